"""All benchmarks of a suite in a random order, within a budget of time."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from calibration.fit.verdict import FEWEST_MODELS
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


MOST_LOOKS = 4  # at one case, while time is left
AGREED = 0.1  # relative difference up to which the two shortest looks at a case agree
FREE_SHARE = 0.9  # of the free memory that a case may fill: the allocator and the context take the rest


class Plan(NamedTuple):
    """A suite: its cases in the order to run them, and a line for each that the device cannot run."""

    cases: list[Case]
    left_out: list[str]


class DeviceLost(Exception):
    """Nothing more can be measured: the device has failed, with what it said."""


@dataclass
class Course:
    """How a suite went: cases that the time left over, those that failed with the reason, and what ended it.

    ``looks`` has the medians of each look at a case, seconds.
    """

    left_over: list[Case] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    looks: dict[tuple[object, ...], list[float]] = field(default_factory=dict)
    lost: str = ""

    @property
    def share_apart(self) -> float:
        """Share of the cases of which the first two looks differ by more than ``AGREED``."""
        pairs = [looks for looks in self.looks.values() if len(looks) > 1]
        return sum(are_apart(looks[:2]) for looks in pairs) / max(len(pairs), 1)


def plan_suite(suite: Suite, bench: Bench, dtypes: list[str], seed: int, most_devices: int | None = None) -> Plan:
    """Collect the cases of all kinds that fit in the bench's memory, shuffled.

    ``most_devices`` that a link joins; None: no limit.
    """
    plan = Plan([], [])
    listed = [case for kind in KINDS for case in kind.list_cases(suite, dtypes, bench.device.type)]
    fitting = {case.model for case in listed if case.held_out and find_obstacle(case, bench) is None}
    if bench.device.type == "cuda" and len(fitting) <= FEWEST_MODELS:
        listed += decoder.list_small_checks(dtypes[-1])
    for case in listed:
        reason = find_obstacle(case, bench)
        if reason is None and most_devices is not None and case.tp > most_devices:
            reason = "no link in the data sheet joins so many"
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
    beside = FREE_SHARE * bench.free_bytes - bench.pool_bytes
    if case.outside_bytes > beside:
        return f"its cache and activations need {case.outside_bytes / 1e9:.1f} GB and {beside / 1e9:.1f} GB are free"
    devices = torch.cuda.device_count() if bench.device.type == "cuda" else case.tp
    if case.tp > devices:
        return f"it needs {case.tp} devices and there is {devices}"
    return None


def describe_case(case: Case) -> str:
    """A case in a few words."""
    if not case.model:
        devices = f"on {case.tp} devices" if case.tp > 1 else ""
        return " ".join(part for part in (case.operator, case.variant, case.dtype, devices) if part)
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
    leave_out: Callable[[Case, str], None] = lambda case, reason: None,
) -> Course:
    """Measure the cases that are not done, and give each sample away at once.

    Next is always a case of the kind that is furthest behind its share of the time, so that a short budget cuts all
    kinds alike. Every ``ROUND`` cases are looked at a second time, some seconds after the first, and a shorter median
    is given away too: other work on the machine only ever makes a call longer. In the time that is left at the end,
    cases are looked at again whose looks do not agree. ``measure`` times one case within a limit; ``limits_s`` are
    those of one look at a kernel and at a decoder. A case that fails is left out; a device that is lost ends the suite.
    """
    end = clock() + budget_s
    course = Course()
    waiting: dict[str, list[Case]] = {}
    for case in cases:
        if case.key not in done:
            waiting.setdefault(case.kind, []).append(case)
    spent = dict.fromkeys(waiting, 0.0)

    def look(case: Case) -> None:
        begun = clock()
        try:
            timing = measure(case, min(limits_s[1 if case.model else 0], end - begun))
        except Exception as error:  # of torch, the driver or a kernel; a test that a benchmark runs at all is elsewhere
            course.failed[describe_case(case)] = reason = describe_error(error)
            course.lost = reason if isinstance(error, DeviceLost) else ""
            leave_out(case, reason)
            return
        finally:
            spent[case.kind] += clock() - begun
        looks = course.looks.setdefault(case.key, [])
        if not looks or timing.median_s < min(looks):
            take(Sample(case, timing))
        looks.append(timing.median_s)

    def goes_on() -> bool:
        return clock() < end and not course.lost

    seen: list[Case] = []
    while waiting and goes_on():
        turn: list[Case] = []
        while waiting and goes_on() and len(turn) < ROUND:
            turn.append(pick_case(waiting, spent))
            look(turn[-1])
        turn = [case for case in turn if case.key in course.looks]
        seen += turn
        for case in turn:
            if goes_on():
                look(case)
    for _ in range(2, MOST_LOOKS):
        for case in seen:
            if goes_on() and are_apart(course.looks[case.key]):
                look(case)
    course.left_over = [case for left_over in waiting.values() for case in left_over]
    return course


def are_apart(looks: list[float]) -> bool:
    """Whether the two shortest of several looks at a case do not agree."""
    first, *others = sorted(looks)
    return bool(others) and others[0] > (1 + AGREED) * first


def describe_error(error: Exception) -> str:
    """The first line of what was raised, with its kind where it is not torch's."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out of memory"
    return said if said and isinstance(error, RuntimeError | DeviceLost) else f"{type(error).__name__} {said}".strip()


def pick_case(waiting: dict[str, list[Case]], spent: dict[str, float]) -> Case:
    """Take the next case out of those that wait."""
    kind = min(waiting, key=lambda name: spent[name] / SHARES[name])
    case = waiting[kind].pop(0)
    if not waiting[kind]:
        del waiting[kind]
    return case


def make_measure(bench: Bench) -> Callable[[Case, float], Timing]:
    """The measuring of cases on one bench, for ``run_suite``."""

    def measure(case: Case, limit_s: float) -> Timing:
        try:
            return measure_case(case, bench, limit_s)
        except Exception as error:
            error.__traceback__ = None  # it holds the operands
            check_alive(bench, error)
            raise

    return measure


def check_alive(bench: Bench, error: Exception) -> None:
    """Free what a failed case has taken, and see whether the device still answers.

    Raises:
        DeviceLost: it does not.
    """
    gc.collect()
    if bench.device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(bench.device)
        torch.cuda.empty_cache()
        torch.zeros(1, device=bench.device)
    except Exception as failure:
        raise DeviceLost(f"{describe_error(error)} (and then {describe_error(failure)})") from None
