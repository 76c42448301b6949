"""``calibrate run``: measure the device in front, sample by sample into a table, then fit that table.

Imports torch through the benchmarks; nothing else of the package does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from calibration.fit.profile_file import today
from calibration.measure.benchmarks.bench import Bench, Sample, Suite
from calibration.measure.benchmarks.suite import LIMITS_S, Plan, describe_case, make_measure, plan_suite, run_suite
from calibration.measure.device import describe_accelerator, describe_cpu, make_bench, open_device, take_best
from calibration.measure.hardware_file import write_hardware
from calibration.measure.sheet import find_sheet
from calibration.measure.telemetry import Record, watch
from simulator.errors import InputError
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import HELD_OUT, OWN_SOURCE, Measurement, read_table, write_table
from simulator.inputs.stack import Stack

POOL_BYTES: dict[str, dict[Suite, float]] = {
    "cpu": {"quick": 1.7e9, "full": 4e9},
    "cuda": {"quick": 40e9, "full": 60e9},
}
STACKS = ("pytorch-eager", "pytorch-graph")
DTYPES = {"cpu": ["fp32", "bf16"], "cuda": ["bf16"]}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Paths:
    """Files of one run, named after the profile: the table of samples, and the device where no file describes it."""

    profile: Path

    @property
    def table(self) -> Path:
        """The best sample of each case, as soon as it is taken."""
        return self.profile.with_suffix(".csv")

    @property
    def hardware(self) -> Path:
        """The device as measured here."""
        return self.profile.with_suffix(".hardware.yaml")


@dataclass(frozen=True)
class Session:
    """One device, described, with what is to be measured on it and where that goes."""

    bench: Bench
    suite: Suite
    hardware: Hardware
    stack: str
    plan: Plan
    paths: Paths
    source: str
    telemetry_index: int | None
    described_here: bool


def open_session(
    device: str, suite: Suite, seed: int, hardware: str | None, stack: Stack, paths: Paths, say: Say
) -> Session:
    """Open the device, describe it and plan the suite.

    Raises:
        InputError: no torch, no such device, or a CUDA device that no data sheet fits.
    """
    bench = open_bench(device, suite, stack)
    dtypes = DTYPES[bench.device.type]
    described = describe_hardware(bench, dtypes, hardware, paths)
    plan = plan_suite(suite, bench, [dtype for dtype in dtypes if dtype in described.compute.matrix_peak], seed)
    for line in plan.left_out:
        say(line)
    source = f"{OWN_SOURCE}, torch {torch.__version__}, {suite} suite, seed {seed}, {today()}"
    index = find_nvml_index(bench.device.index or 0) if bench.device.type == "cuda" else None
    described_here = hardware is None and bench.device.type == "cpu"
    return Session(bench, suite, described, stack.id, plan, paths, source, index, described_here)


def open_bench(device: str, suite: Suite, stack: Stack) -> Bench:
    """The device with its memory for operands.

    Raises:
        InputError: no such device, or a stack that the benchmarks do not run.
    """
    if stack.id not in STACKS:
        raise InputError(f"the benchmarks run PyTorch: the stack is {' or '.join(STACKS)}, not {stack.id}")
    opened = open_device(device)
    return make_bench(opened, POOL_BYTES[opened.type][suite], stack.execution == "graph")


def find_nvml_index(index: int) -> int | None:
    """Index by which NVML knows a CUDA device; None where the environment names devices in another way."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if not visible:
        return index
    return int(visible[index]) if index < len(visible) and visible[index].isdigit() else None


def describe_hardware(bench: Bench, dtypes: list[str], named: str | None, paths: Paths) -> Hardware:
    """The device's data sheet: as named, as this run described it before, as shipped, or for a CPU as measured now.

    Raises:
        InputError: a CUDA device that no shipped data sheet is of.
    """
    if named is not None:
        return load_hardware(named)
    if paths.hardware.is_file():
        return load_hardware(paths.hardware)
    if bench.device.type == "cpu":
        write_hardware(paths.hardware, describe_cpu(dtypes, bench))
        return load_hardware(paths.hardware)
    return find_sheet(describe_accelerator(bench.device))


def look_again(session: Session) -> Session:
    """The session with peaks and bandwidth measured once more, since other work may have slowed the first look."""
    hardware = session.hardware
    second = take_best(hardware, describe_cpu(list(hardware.compute.matrix_peak), session.bench))
    write_hardware(session.paths.hardware, second)
    return replace(session, hardware=second)


def measure(session: Session, rows: list[Measurement], budget_s: float, say: Say, tick: Callable[[int], None]) -> int:
    """Measure what ``rows`` do not have yet, writing the table anew with every sample; returns the cases left over.

    ``tick`` is called with the number of cases done.
    """
    samples = {row_key(row): row for row in rows}
    done = set(samples)
    tick(len(done))
    measure_case = make_measure(session.bench)
    records: list[Record] = []

    def measure_watched(case: Any, limit_s: float) -> Any:
        if session.telemetry_index is None:
            return measure_case(case, limit_s)
        with watch(session.telemetry_index, say=say) as record:
            timing = measure_case(case, limit_s)
        records[:] = [record]
        return timing

    def take(sample: Sample) -> None:
        samples[sample.case.key] = make_row(session, sample, records[0] if records else None)
        write_table(session.paths.table, samples.values())
        tick(len(samples))

    limits = LIMITS_S[session.suite]
    return len(run_suite(session.plan.cases, done, budget_s, take, measure_watched, limits, clock=time.monotonic))


def make_row(session: Session, sample: Sample, record: Record | None) -> Measurement:
    """A sample as a row of the table."""
    case, timing = sample
    notes = "; ".join(part for part in (HELD_OUT if case.held_out else "", case.variant) if part)
    row = Measurement(
        session.source,
        case.model,
        session.hardware.id,
        session.stack,
        case.tp,
        1,
        case.dtype,
        case.dtype,
        case.dtype,
        case.batch_size,
        case.prompt_tokens,
        case.output_tokens,
        case.metric,
        timing.median_s,
        timing.deviation_s,
        notes,
        case.operator,
    )
    if record is None:
        return row
    return replace(
        row,
        clock_hz=record.clock_hz,
        power_w=record.power_w,
        energy_j=record.energy_j,
        temperature_c=record.temperature_c,
        throttled=", ".join(record.throttle_reasons or ()),
    )


def row_key(row: Measurement) -> tuple[object, ...]:
    """What tells a case from another, as ``Case.key``."""
    variant = row.notes.removeprefix(HELD_OUT).removeprefix("; ")
    tokens = (row.batch_size, row.prompt_tokens, row.output_tokens)
    return (row.operator, variant, row.activation_dtype, row.metric, row.tp, row.model, *tokens)


def list_plan(device: str, suite: Suite, seed: int, hardware: str | None, stack: Stack) -> str:
    """The cases that would run, one a line, with those that the device has no room for; nothing is measured or written.

    Raises:
        InputError: as a run does.
    """
    bench = open_bench(device, suite, stack)
    dtypes = DTYPES[bench.device.type]
    sheet = None if hardware is None else load_hardware(hardware)
    if sheet is None and bench.device.type == "cuda":
        sheet = find_sheet(describe_accelerator(bench.device))
    if sheet is not None:
        dtypes = [dtype for dtype in dtypes if dtype in sheet.compute.matrix_peak]
    plan = plan_suite(suite, bench, dtypes, seed)
    lines = [describe_case(case) for case in plan.cases] + plan.left_out
    return "\n".join([*lines, f"{len(plan.cases)} cases"])


def run_calibration(
    device: str,
    suite: Suite,
    seed: int,
    hardware: str | None,
    stack: Stack,
    out: Path,
    resume: bool,
    deadline: float,
    say: Say,
    tick: Callable[[int, int], None],
) -> Session:
    """Measure until the suite or the time is through; the table holds every sample then.

    ``deadline`` is a value of ``time.monotonic()``. ``tick`` is called with the cases done and all cases.

    Raises:
        InputError: no torch, no such device, a table that is there already, or one that cannot be read.
    """
    paths = Paths(out)
    for path in (paths.table, paths.hardware):
        if path.is_file() and not resume:
            raise InputError(f"{path} is there already; --resume goes on with it, or name another --out")
    rows = read_table(paths.table) if paths.table.is_file() else []
    session = open_session(device, suite, seed, hardware, stack, paths, say)
    check_origin(rows, session)
    left = measure(session, rows, deadline - time.monotonic(), say, lambda done: tick(done, len(session.plan.cases)))
    if session.described_here:
        session = look_again(session)
    if left:
        say(f"the time ended with {left} of {len(session.plan.cases)} cases to go; --resume goes on with them")
    return session


def check_origin(rows: list[Measurement], session: Session) -> None:
    """Refuse to go on with the table of another device or stack.

    Raises:
        InputError: with both.
    """
    others = {(row.hardware, row.stack) for row in rows} - {(session.hardware.id, session.stack)}
    for hardware, stack in sorted(others):
        raise InputError(
            f"{session.paths.table} has rows of {hardware} with {stack}; this run is of {session.hardware.id} with "
            f"{session.stack}: name another --out"
        )
