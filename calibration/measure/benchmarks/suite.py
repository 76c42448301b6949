"""All benchmarks of a suite in a random order, within a budget of time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch

from calibration.measure.benchmarks import attention, collectives, decoder, elementwise, gemm, host, memory
from calibration.measure.benchmarks.bench import Bench, Case, Sample, Suite, Timing
from calibration.measure.stopwatch import measure_case

KINDS = (memory, gemm, attention, elementwise, host, collectives, decoder)
# Parts of the time that each kind gets: products and whole decoders tell most.
SHARES = {
    "memory": 1.0,
    "gemm": 5.0,
    "attention": 1.5,
    "elementwise": 1.5,
    "host": 0.2,
    "collectives": 1.0,
    "decoder": 3.0,
    "check": 6.0,
}
CHECKED_KINDS = ("gemm", "attention", "elementwise")
HELD_OUT_EVERY = 5
# Most seconds of one look at a case, of a kernel and of a decoder.
LIMITS_S: dict[Suite, tuple[float, float]] = {"quick": (0.05, 0.25), "full": (0.5, 3.0)}
ROUND = 12  # cases between two looks at one: long enough for a disturbance to pass, short enough to lose little


class Plan(NamedTuple):
    """A suite: its cases in the order to run them, and a line for each that the device cannot run."""

    cases: list[Case]
    left_out: list[str]


def plan_suite(suite: Suite, bench: Bench, dtypes: list[str], seed: int) -> Plan:
    """Collect the cases of all kinds that fit in the bench's memory, shuffled."""
    plan = Plan([], [])
    for kind in KINDS:
        for case in kind.list_cases(suite, dtypes, bench.device.type):
            reason = find_obstacle(case, bench)
            if reason is None:
                plan.cases.append(case)
            else:
                plan.left_out.append(f"{describe_case(case)}: left out, {reason}")
    random.Random(seed).shuffle(plan.cases)
    return plan._replace(cases=hold_out_shapes(plan.cases))


def hold_out_shapes(cases: list[Case]) -> list[Case]:
    """Mark every fifth product, attention and elementwise kernel for checking the fit, in all its types."""
    shapes = list(dict.fromkeys(case.operator for case in cases if case.kind in CHECKED_KINDS))
    chosen = set(shapes[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY])
    return [replace(case, held_out=True) if case.operator in chosen else case for case in cases]


def find_obstacle(case: Case, bench: Bench) -> str | None:
    """Why the device cannot run a case; None where it can."""
    if case.needed_bytes > bench.pool_bytes:
        return f"it needs {case.needed_bytes / 1e9:.1f} GB and {bench.pool_bytes / 1e9:.1f} GB are free for it"
    devices = torch.cuda.device_count() if bench.device.type == "cuda" else case.tp
    if case.tp > devices:
        return f"it needs {case.tp} devices and there is {devices}"
    return None


def describe_case(case: Case) -> str:
    """A case in a few words."""
    if not case.model:
        return " ".join(part for part in (case.operator, case.variant, case.dtype) if part)
    tokens = f"batch {case.batch_size}, prompt {case.prompt_tokens}"
    return f"{case.model} {case.dtype} {tokens}, {case.metric.removesuffix('_s').upper()}"


def run_suite(
    cases: Iterable[Case],
    done: Collection[tuple[object, ...]],
    budget_s: float,
    take: Callable[[Sample], None],
    measure: Callable[[Case, float], Timing],
    limits_s: tuple[float, float],
    clock: Callable[[], float] = time.monotonic,
) -> list[Case]:
    """Measure the cases that are not done, and give each sample away at once. Returns those that the time left over.

    Next is always a case of the kind that is furthest behind its share of the time, so that a short budget cuts all
    kinds alike. Every ``ROUND`` cases are looked at a second time, some seconds after the first, and a shorter median
    is given away too: other work on the machine only ever makes a call longer. ``measure`` times one case within a
    limit; ``limits_s`` are those of one look at a kernel and at a decoder.
    """
    end = clock() + budget_s
    waiting: dict[str, list[Case]] = {}
    for case in cases:
        if case.key not in done:
            waiting.setdefault(case.kind, []).append(case)
    spent = dict.fromkeys(waiting, 0.0)

    def look(case: Case) -> Timing:
        begun = clock()
        timing = measure(case, min(limits_s[1 if case.model else 0], end - begun))
        spent[case.kind] += clock() - begun
        return timing

    while waiting and clock() < end:
        seen: list[Sample] = []
        while waiting and clock() < end and len(seen) < ROUND:
            case = pick_case(waiting, spent)
            seen.append(Sample(case, look(case)))
            take(seen[-1])
        for case, first in seen:
            if clock() >= end:
                break
            second = look(case)
            if second.median_s < first.median_s:
                take(Sample(case, second))
    return [case for left_over in waiting.values() for case in left_over]


def pick_case(waiting: dict[str, list[Case]], spent: dict[str, float]) -> Case:
    """Take the next case out of those that wait."""
    kind = min(waiting, key=lambda name: spent[name] / SHARES[name])
    case = waiting[kind].pop(0)
    if not waiting[kind]:
        del waiting[kind]
    return case


def make_measure(bench: Bench) -> Callable[[Case, float], Timing]:
    """The measuring of cases on one bench, for ``run_suite``."""
    return lambda case, limit_s: measure_case(case, bench, limit_s)
