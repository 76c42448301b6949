"""``calibrate run``: measure the device in front, sample by sample into a table, then fit that table.

Imports torch through the benchmarks; nothing else of the package does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch

from calibration.fit.profile_file import today
from calibration.fit.verdict import FEWEST_MODELS, RunFacts, key_row
from calibration.measure import quiet
from calibration.measure.benchmarks.bench import Bench, Case, Sample, Suite, Timing
from calibration.measure.benchmarks.suite import (
    LIMITS_S,
    Course,
    Plan,
    describe_case,
    describe_error,
    make_measure,
    plan_suite,
    run_suite,
)
from calibration.measure.device import (
    LOOK_S,
    Accelerator,
    describe_accelerator,
    describe_cpu,
    list_cpu_dtypes,
    make_bench,
    open_device,
    take_best,
)
from calibration.measure.hardware_file import write_hardware
from calibration.measure.quiet import BUSY, MOST_BUSY, find_others_share, find_unrest, read_ticks, wait_for_quiet
from calibration.measure.sheet import choose_dtypes, confirm_named, find_sheet
from calibration.measure.stopwatch import measure_empty_pair, measure_overhead
from calibration.measure.telemetry import Device, Record, watch
from calibration.measure.telemetry import open_device as open_telemetry
from simulator.errors import CheckFailed, InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import HELD_OUT, OWN_SOURCE, Measurement, read_table, write_table
from simulator.inputs.stack import Stack
from simulator.prediction import describe_machine
from simulator.specfile import write_whole

POOL_BYTES: dict[str, dict[Suite, float]] = {
    "cpu": {"quick": 1.7e9, "full": 4e9},
    "cuda": {"quick": 40e9, "full": 60e9},
}
STACKS = ("pytorch-eager", "pytorch-graph")
BUSY_LOOKS = 4  # times as long as usual are peaks looked at on a machine that is busy
CONTEXT_BYTES = 0.7e9  # that CUDA takes for itself
NO_TIMING = Timing(1.0, 0.0, 1)
Say = Callable[[str], None]
Tick = Callable[[int, int], None]


@dataclass(frozen=True)
class Paths:
    """Files of one run, named after the profile.

    The table of samples, the cases that failed, and the device where no file describes it.
    """

    profile: Path

    @property
    def table(self) -> Path:
        """The best sample of each case, as soon as it is taken."""
        return self.profile.with_suffix(".csv")

    @property
    def failed(self) -> Path:
        """A line for each case that failed, as soon as it has."""
        return self.profile.with_suffix(".failed.txt")

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
    described_here: bool
    accelerator: Accelerator | None = None
    used_share: float = 0.0  # of its memory, before anything was measured


class Run(NamedTuple):
    """A session that is over, and what the fit has to know of it."""

    session: Session
    facts: RunFacts


def open_session(
    device: str, suite: Suite, seed: int, hardware: str | None, stack: Stack, paths: Paths, budget_s: float, say: Say
) -> Session:
    """Open the device, describe it, check that what is measured can be fitted, and plan the suite.

    Raises:
        InputError: no torch, no such device, a CUDA device that no data sheet fits, or one that lacks what is needed.
        CheckFailed: a CPU that others use too much to be described.
    """
    bench, seen = open_bench(device, suite, stack)
    described = find_described(bench, seen, hardware, paths, say)
    others = wait_for_quiet(budget_s, say)
    if described is None:
        described = measure_cpu(bench, paths, others)
    plan = plan_session(bench, seen, described, suite, seed, stack)
    for line in plan.left_out:
        say(line)
    events = "" if seen is None else f", {time_events(bench, say)}"
    source = f"{OWN_SOURCE}, torch {torch.__version__}, {suite} suite, seed {seed}, {today()}{events}"
    described_here = hardware is None and seen is None
    used = 0.0 if seen is None else max(1 - (bench.free_bytes + CONTEXT_BYTES) / seen.memory_bytes, 0.0)
    return Session(bench, suite, described, stack.id, plan, paths, source, described_here, seen, used)


def open_bench(device: str, suite: Suite, stack: Stack) -> tuple[Bench, Accelerator | None]:
    """The device with its memory for operands, and what torch says of one that is no CPU.

    Raises:
        InputError: no such device, or a stack that the benchmarks do not run.
    """
    if stack.id not in STACKS:
        raise InputError(f"the benchmarks run PyTorch: the stack is {' or '.join(STACKS)}, not {stack.id}")
    opened = open_device(device)
    bench = make_bench(opened, POOL_BYTES[opened.type][suite], stack.execution == "graph")
    return bench, describe_accelerator(opened) if opened.type == "cuda" else None


def find_described(
    bench: Bench, seen: Accelerator | None, named: str | None, paths: Paths, say: Say
) -> Hardware | None:
    """The device's data sheet: as named, as this run described it before, or as shipped; None of a CPU without one.

    Raises:
        InputError: a CUDA device that no shipped data sheet is of.
    """
    if named is None and seen is None:
        return load_hardware(paths.hardware) if paths.hardware.is_file() else None
    if seen is None or named is not None:
        sheet = load_hardware(str(named))
        doubt = "" if seen is None else confirm_named(sheet, seen)
        if doubt:
            say(doubt)
        return sheet
    return find_sheet(seen)


def measure_cpu(bench: Bench, paths: Paths, others: float) -> Hardware:
    """This CPU as a device, in a file beside the profile; a machine that others use too is looked at for longer.

    Raises:
        CheckFailed: they take so much of it that nothing could be said of it.
    """
    if others > MOST_BUSY:
        raise CheckFailed(
            f"other processes take {100 * others:.0f}% of the processors, beside which the peaks of a CPU cannot be "
            "measured: end them, or name a data sheet with -H"
        )
    look_s = LOOK_S if others <= BUSY else BUSY_LOOKS * LOOK_S
    write_hardware(paths.hardware, describe_cpu(list_cpu_dtypes(), bench, look_s))
    return load_hardware(paths.hardware)


def plan_session(
    bench: Bench, seen: Accelerator | None, sheet: Hardware | None, suite: Suite, seed: int, stack: Stack
) -> Plan:
    """The cases of a suite in the types of a device, checked to be enough for a fit and for a check of it.

    Raises:
        InputError: the data sheet lacks what the laws need, or the memory that is free is too little.
    """
    if seen is not None and sheet is not None:
        dtypes = choose_dtypes(sheet, seen.capability)
    else:
        measured = list_cpu_dtypes()
        dtypes = [dtype for dtype in measured if sheet is None or dtype in sheet.compute.matrix_peak]
    if sheet is not None:
        for dtype in dtypes:
            describe_machine(sheet, stack, Deployment(dtype=dtype), None)
    if find_spec("scipy") is None:
        raise InputError("a fit needs SciPy: pip install 'roofcast[calibrate]'")
    most = None if sheet is None or seen is None else sheet.most_in_node
    plan = plan_suite(suite, bench, dtypes, seed, most)
    models = {case.model for case in plan.cases if case.held_out and case.model}
    if seen is not None and len(models) < FEWEST_MODELS:
        raise InputError(
            f"{bench.free_bytes / 1e9:.1f} GB of the device are free, which is enough for {len(models)} of the models "
            f"that a fit is checked on; it takes {FEWEST_MODELS}"
        )
    return plan


def time_events(bench: Bench, say: Say) -> str:
    """Measure what two events add to the calls between them, say it, and return it in a few words.

    Raises:
        InputError: not even these run, as where torch was built without kernels for the device.
    """
    try:
        empty_s, overhead_s = measure_empty_pair(bench), measure_overhead(bench)
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(f"torch {torch.__version__} runs nothing on this device: {describe_error(error)}") from None
    say(
        f"two events with nothing between them are {1e6 * empty_s:.1f} us apart; of calls between them "
        f"{1e6 * overhead_s:.1f} us are taken off"
    )
    return f"events {1e6 * overhead_s:.1f} us"


def look_again(session: Session, look_s: float) -> Session:
    """The session with peaks and bandwidth measured once more, since other work may have slowed the first look."""
    hardware = session.hardware
    second = take_best(hardware, describe_cpu(list(hardware.compute.matrix_peak), session.bench, look_s))
    write_hardware(session.paths.hardware, second)
    return replace(session, hardware=second)


def measure(
    session: Session, rows: list[Measurement], sensors: Device | None, budget_s: float, say: Say, tick: Tick
) -> Course:
    """Measure what ``rows`` do not have yet, writing the table anew with every sample.

    Cases that failed before come last, so that one that takes the device with it does not do so again at once.
    """
    samples = {key_row(row): row for row in rows}
    done = set(samples)
    tick(len(done), len(session.plan.cases))
    measure_case = make_measure(session.bench)
    failed = read_failed(session.paths.failed)
    record = Record()

    def measure_watched(case: Any, limit_s: float) -> Any:
        nonlocal record
        with watch(sensors) as record:
            return measure_case(case, limit_s)

    def take(sample: Sample) -> None:
        samples[sample.case.key] = make_row(session, sample, record)
        write_table(session.paths.table, samples.values())
        tick(len(samples), len(session.plan.cases))

    def leave_out(case: Case, reason: str) -> None:
        say(f"{describe_case(case)}: left out, {reason}")
        failed[describe_case(case)] = reason
        write_whole(session.paths.failed, "".join(f"{name}: {why}\n" for name, why in failed.items()))

    cases = sorted(session.plan.cases, key=lambda case: describe_case(case) in failed)
    limits = LIMITS_S[session.suite]
    return run_suite(cases, done, budget_s, take, measure_watched, limits, time.monotonic, leave_out)


def read_failed(path: Path) -> dict[str, str]:
    """Cases that failed in earlier runs, with what was said."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {name: reason for name, _, reason in (line.partition(": ") for line in lines)}


def make_row(session: Session, sample: Sample, record: Record) -> Measurement:
    """A sample as a row of the table."""
    case, timing = sample
    notes = "; ".join(part for part in (HELD_OUT if case.held_out else "", case.variant) if part)
    return Measurement(
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
        clock_hz=record.clock_hz,
        power_w=record.power_w,
        energy_j=record.energy_j,
        temperature_c=record.temperature_c,
        throttled=", ".join(record.throttle_reasons or ()),
    )


def list_plan(device: str, suite: Suite, seed: int, hardware: str | None, stack: Stack, out: Path, say: Say) -> str:
    """The cases that would run, one a line, with those that the device has no room for; nothing is measured or written.

    Raises:
        InputError: as a run does.
    """
    bench, seen = open_bench(device, suite, stack)
    described = find_described(bench, seen, hardware, Paths(out), say)
    plan = plan_session(bench, seen, described, suite, seed, stack)
    lines = [] if described is None else [f"data sheet: {described.id}"]
    lines += [describe_case(case) for case in plan.cases] + plan.left_out
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
    tick: Tick,
) -> Run:
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
    session = open_session(device, suite, seed, hardware, stack, paths, deadline - time.monotonic(), say)
    check_origin(rows, session)
    since = read_ticks()
    with open_sensors(session, say) as sensors:
        doubts = quiet.find_company(session.used_share, sensors)
        course = measure(session, rows, sensors, deadline - time.monotonic(), say, tick)
        doubts += [line for line in quiet.find_company(session.used_share, sensors) if line not in doubts]
    others = find_others_share(since)
    if session.described_here:
        session = look_again(session, LOOK_S if others <= BUSY else BUSY_LOOKS * LOOK_S)
    doubts += find_unrest(course, others)
    if course.lost:
        say(f"the device failed ({course.lost}); --resume goes on behind the case that it failed at")
    elif course.left_over:
        left, planned = len(course.left_over), len(session.plan.cases)
        say(f"the time ended with {left} of {planned} cases to go; --resume goes on with them")
    kinds = {key_row(make_row(session, Sample(case, NO_TIMING), Record())): case.kind for case in session.plan.cases}
    return Run(session, RunFacts(kinds, doubts))


def open_sensors(session: Session, say: Say) -> AbstractContextManager[Device | None]:
    """NVML's view of the device; None of a CPU, and where CUDA does not tell which of NVML's devices it is."""
    seen = session.accelerator
    if seen is None:
        return nullcontext()
    if torch.version.hip:
        say("no telemetry: NVML, which it is read from, has NVIDIA's devices alone")
        return nullcontext()
    if not seen.uuid:
        say("no telemetry: torch does not tell the UUID of the device, by which NVML would know it")
        return nullcontext()
    return open_telemetry(seen.uuid if seen.uuid.startswith(("GPU-", "MIG-")) else f"GPU-{seen.uuid}", say)


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
