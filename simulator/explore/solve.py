"""The inverse of a prediction: the extreme value of one unknown with which every limit holds.

Every trial is a call of ``predict``, and an answer comes with the trial beside it that just fails.

- **Counts** (batch, prompt, output): the largest. What fits in memory grows with no count, so the end is found by
  bisection. Times need not grow with a count, because larger tiles may be faster: up to ``MOST_SCANNED`` counts above
  the largest that is known to hold are all tried. Only past that are times taken to grow between two points of a grid
  that is finer than 2%, and the counts after the answer are all tried again.
- **Devices and layouts**: the fewest. All layouts that an engine runs are tried from the fewest devices up, past one
  node those of whole nodes.
- **Units**: the fewest; all numbers from one up are tried.
- **Other numbers of the data sheet**: the smallest, by bisection of the logarithm between the first point of a grid
  (ten an octave) that holds and the one below it. Times fall as bandwidths grow, so that is the answer; with clock and
  peak tiles change in steps, and where a time crosses its limit more than once the crossing is one of those.

More units like these, or a higher clock, have higher peaks: the peaks of the data sheet change in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError, unknown_name
from simulator.explore.datasheet import SCALES_PEAKS, UNITS, find_unit, list_numbers, list_peaks, replace_numbers
from simulator.explore.limits import (
    Check,
    Limit,
    check_limited,
    find_closest,
    find_misses,
    hold_all,
    keep_tightest,
    list_checks,
)
from simulator.explore.sensitivity import list_used_numbers
from simulator.explore.solution import Solution, Trial
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.metrics.capacity import MOST, find_largest
from simulator.metrics.layout import divides, list_layouts
from simulator.metrics.registry import is_interval
from simulator.prediction import Prediction, Question, answer, resolve

COUNTS = ("batch_size", "prompt_tokens", "output_tokens")
LAYOUTS = ("devices", "tp", "pp", "dp")
CAPACITY = "memory.capacity"
POSITIONS = "positions"
MOST_SCANNED = 2**18
CHUNK = 2**15  # counts in one array
GRID_RATIO = 1 + 1 / 64
MOST_UNITS = 1024  # that are tried, or eight times as many as there are
OCTAVES, POINTS = 20, 10  # of the grid over a number of a data sheet: each way from what it is, and of each octave
PRECISION = 1e-9  # relative, of such a number


@dataclass(frozen=True)
class Problem:
    """One unknown of a question, and the limits."""

    question: Question
    unknown: str
    limits: tuple[Limit, ...]

    @property
    def most_scanned(self) -> int:
        """Counts that are all tried; fewer where each takes an interval, which costs as much as 32 predictions."""
        return MOST_SCANNED // 32 if any(is_interval(limit.name) for limit in self.limits) else MOST_SCANNED

    def predict(self, value: Any) -> Prediction:
        """Predict with the unknown at a value."""
        return answer(self.ask(value))

    def ask(self, value: Any) -> Question:
        """The question with the unknown at a value, an array of them where it is a count, a layout where it is one.

        Raises:
            InputError: as ``predict``.
        """
        q = self.question
        work = q.work
        hardware, layout = q.hardware, value if isinstance(value, Deployment) else work.deployment
        counts = {name: getattr(work.workload, name) for name in COUNTS}
        if self.unknown in COUNTS:
            counts[self.unknown] = value
        elif self.unknown not in LAYOUTS:
            hardware = change_number(hardware, self.unknown, value)
        calibration = "none" if q.profile is None else q.profile
        workload = replace(work.workload, **counts)
        return resolve(q.model, hardware, calibration, work.stack, layout, workload, q.changes, q.rates)

    def check(self, value: Any) -> list[Check]:
        """The limits at a value, or at an array of them."""
        return self.hold(self.predict(value))

    def attempt(self, value: Any) -> Trial:
        """Try one value."""
        prediction = self.predict(value)
        return Trial(value, prediction, self.hold(prediction))

    def hold(self, prediction: Prediction) -> list[Check]:
        """Hold a prediction against the limits, the memory and, where a count may pass them, learned positions."""
        checks = list_checks(prediction, self.limits)
        work = prediction.question.work
        if self.unknown == "batch_size" or self.unknown not in COUNTS or not has_table(work.architecture):
            return checks
        reached = work.workload.prompt_tokens + work.workload.output_tokens - 1
        return [*checks, Check(POSITIONS, reached, float(work.architecture.max_position_embeddings), False)]


def change_number(hardware: Hardware, key: str, value: float) -> Hardware:
    """A device with another number in its data sheet, which makes it another device unless it is the same number."""
    there = list_numbers(hardware)[key]
    if there == value:
        return hardware
    peaks = {peak: number * value / there for peak, number in list_peaks(hardware).items()}
    numbers = {key: value} | (peaks if key in SCALES_PEAKS else {})
    return replace(replace_numbers(hardware, numbers), id=f"{hardware.id} ({key}={value:g} {find_unit(key)})")


def solve(problem: Problem) -> Solution:
    """Find the extreme value of the unknown that meets every limit and fits in memory.

    Raises:
        InputError: an unknown that there is not or that nothing depends on, or a limit on what the request lacks.
    """
    check_problem(problem)
    problem = replace(problem, limits=keep_tightest(problem.limits))
    if problem.unknown in COUNTS:
        return solve_count(problem)
    if problem.unknown in LAYOUTS:
        return solve_layout(problem)
    return solve_units(problem) if problem.unknown == UNITS else solve_number(problem)


def check_problem(problem: Problem) -> None:
    """Refuse a problem that has no answer whatever the numbers.

    Raises:
        InputError: with the reason.
    """
    question, unknown = problem.question, problem.unknown
    if unknown not in (*COUNTS, *LAYOUTS):
        check_number(question, unknown)
    if not problem.limits and unknown not in (*COUNTS, *LAYOUTS, CAPACITY):
        raise InputError(f"solve for {unknown} needs a limit: --slo tpot_s:0.03")
    given = question.conditions
    for limit in problem.limits:
        check_limited(limit.name, given._replace(output_tokens=MOST) if unknown == "output_tokens" else given)


def check_number(question: Question, unknown: str) -> None:
    """Refuse what no data sheet has, and numbers that reach no time.

    Raises:
        InputError: with the reason.
    """
    numbers, used = list_numbers(question.hardware), [*list_used_numbers(question), CAPACITY]
    if unknown not in numbers:
        raise unknown_name("--for", unknown, [*COUNTS, *LAYOUTS, *used])
    if unknown not in used:
        raise InputError(f"no time of this request depends on {unknown} (it does on {', '.join(used[:-1])})")


def solve_count(problem: Problem) -> Solution:
    """The largest count that meets every limit."""
    most = find_most(problem)
    fitting = find_largest(lambda count: count <= most and problem.predict(count).fits)
    end = min(max(fitting, 1), most)
    meeting = find_largest_meeting(problem, end) if fitting else 0
    if meeting:
        at = problem.attempt(meeting)
        return conclude(problem, "largest", at, attempt_past(problem, meeting + 1, most), f"1 to {end:,}")
    return conclude(problem, "largest", problem.attempt(find_closest_count(problem, end)), None, f"1 to {end:,}")


def find_closest_count(problem: Problem, end: int) -> int:
    """The count up to an end that misses the limits by the least: of all where these are few, else of a grid."""
    counts = np.arange(1.0, end + 1) if end <= problem.most_scanned else list_counts(1, end)
    misses = []
    for start in range(0, len(counts), CHUNK):
        part = counts[start : start + CHUNK]
        missed = find_misses(problem.check(part))
        misses.append(np.broadcast_to(missed, (len(missed), len(part))))
    return int(counts[find_closest(np.concatenate(misses, axis=1))])


def find_most(problem: Problem) -> int:
    """The largest count that there are positions for, where a model learned these."""
    work = problem.question.work
    if problem.unknown == "batch_size" or not has_table(work.architecture):
        return MOST
    other = "output_tokens" if problem.unknown == "prompt_tokens" else "prompt_tokens"
    return int(work.architecture.max_position_embeddings - getattr(work.workload, other) + 1)


def has_table(architecture: Architecture) -> bool:
    """Whether a model has a vector for each position, and none past the last."""
    return architecture.position_embedding == "learned"


def attempt_past(problem: Problem, count: int, most: int) -> Trial | None:
    """Try the count after the answer; a model has no prediction past its positions, and nobody asks past ``MOST``."""
    if count <= most:
        return problem.attempt(count)
    if most == MOST:
        return None
    positions = float(problem.question.work.architecture.max_position_embeddings)
    return Trial(count, None, [Check(POSITIONS, positions + count - most, positions, False)])


def list_counts(first: int, last: int) -> NDArray[np.float64]:
    """Whole numbers from the first to the last, each at most 2% or one above the one before it."""
    points = math.ceil(math.log(last / first) / math.log(GRID_RATIO)) + 1
    return np.unique(np.append(np.floor(first * GRID_RATIO ** np.arange(points)), last).clip(first, last))


def find_largest_meeting(problem: Problem, end: int) -> int:
    """The largest count up to an end at which every limit holds; 0 where none does."""
    grid = list_counts(1, end)
    holding = np.flatnonzero(np.broadcast_to(hold_all(problem.check(grid)), grid.shape))
    best = scanned = int(grid[holding[-1]]) if holding.size else 0
    while best < end:
        last = min(best + problem.most_scanned, end)
        found = scan_down(problem, scanned + 1, last)
        if not found and best and last < end:
            found = bisect_counts(problem, best, int(grid[np.searchsorted(grid, last, side="right")]))
        if found <= best:
            break
        best, scanned = found, max(found, last)
    return best


def scan_down(problem: Problem, first: int, last: int) -> int:
    """The largest of a run of counts at which every limit holds, all of them tried; 0 where none does."""
    while last >= first:
        start = max(first, last - CHUNK + 1)
        counts = np.arange(start, last + 1, dtype=np.float64)
        holding = np.flatnonzero(np.broadcast_to(hold_all(problem.check(counts)), counts.shape))
        if holding.size:
            return int(counts[holding[-1]])
        last = start - 1
    return 0


def bisect_counts(problem: Problem, holding: int, failing: int) -> int:
    """The last count before one that fails, on the way from one that holds to one that does not."""
    while failing - holding > 1:
        middle = (holding + failing) // 2
        holding, failing = (middle, failing) if hold_all(problem.check(middle)) else (holding, middle)
    return holding


def solve_layout(problem: Problem) -> Solution:
    """The fewest devices that meet every limit, of equally many the ones with the widest tensor parallelism in a node.

    Layouts are tried from the fewest devices up, and no further than the first that holds.
    """
    failing: list[Trial] = []
    at = None
    for layout in list_candidates(problem):
        if can_run(problem, layout):
            trial = problem.attempt(layout)
            if trial.holds:
                at = trial
                break
            failing.append(trial)
    tried = [*failing, *([at] if at else [])]
    if not tried:
        question = problem.question
        raise InputError(f"no {problem.unknown} divides {question.model_label} on {question.hardware.id}")
    said = f"{len(tried)} layouts of {tried[0].value.devices} to {tried[-1].value.devices} devices"
    if at is None:
        return conclude(problem, "smallest", pick_closest(failing), None, said)
    most = max((trial.value.devices for trial in failing if trial.value.devices < at.value.devices), default=0)
    fewer = [trial for trial in failing if trial.value.devices == most]
    return conclude(problem, "smallest", at, pick_closest(fewer) if fewer else None, said)


def list_candidates(problem: Problem) -> list[Deployment]:
    """Layouts that the stack runs and that can be linked, from the fewest devices to the most."""
    work, hardware = problem.question.work, problem.question.hardware
    a, d = work.architecture, work.deployment
    if problem.unknown == "devices":
        return list_layouts(a, hardware, work.stack, d)
    most = {"tp": a.num_attention_heads, "pp": a.num_hidden_layers, "dp": work.workload.batch_size}
    sizes: list[dict[str, Any]] = [{problem.unknown: size} for size in range(1, int(most[problem.unknown]) + 1)]
    layouts = [replace(d, **size) for size in sizes]
    return [layout for layout in layouts if divides(layout, a, hardware, work.stack)]


def can_run(problem: Problem, layout: Deployment) -> bool:
    """Whether the devices of a layout can be linked, the stages of a pipeline included."""
    try:
        problem.predict(layout)
    except InputError:
        return False
    return True


def solve_units(problem: Problem) -> Solution:
    """The fewest units that meet every limit."""
    most = max(MOST_UNITS, 8 * problem.question.hardware.compute.units)
    return solve_upwards(problem, range(1, most + 1), f"1 to {most:,}")


def solve_upwards(problem: Problem, values: Iterable[float], tried: str) -> Solution:
    """The first of ascending values that meets every limit, with the one before it."""
    failing: list[Trial] = []
    for value in values:
        trial = problem.attempt(value)
        if trial.holds:
            return conclude(problem, "smallest", trial, failing[-1] if failing else None, tried)
        failing.append(trial)
    return conclude(problem, "smallest", pick_closest(failing), None, tried)


def solve_number(problem: Problem) -> Solution:
    """The smallest number of the data sheet that meets every limit, to ``PRECISION``."""
    hardware = problem.question.hardware
    there = list_numbers(hardware)[problem.unknown]
    steps = range(-OCTAVES * POINTS, OCTAVES * POINTS + 1)
    tried = f"2^-{OCTAVES} to 2^{OCTAVES} times what {hardware.id} has"
    rough = solve_upwards(problem, (there * 2.0 ** (step / POINTS) for step in steps), tried)
    if not rough.possible or rough.beyond is None:
        return rough
    return conclude(problem, "smallest", *narrow(problem, rough.at, rough.beyond), tried)


def pick_closest(trials: list[Trial]) -> Trial:
    """The first of the trials that miss their limits by the least."""
    return trials[find_closest(np.stack([find_misses(trial.checks) for trial in trials], axis=1))]


def narrow(problem: Problem, holding: Trial, failing: Trial) -> tuple[Trial, Trial]:
    """Bring a value that holds and one below it that fails together."""
    while holding.value / failing.value - 1 > PRECISION:
        middle = problem.attempt(math.sqrt(holding.value * failing.value))
        holding, failing = (middle, failing) if middle.holds else (holding, middle)
    return holding, failing


def conclude(problem: Problem, sense: str, at: Trial, beyond: Trial | None, tried: str) -> Solution:
    """Say which limits bind."""
    failing = beyond if at.holds else at
    binding = [] if failing is None else [check.limit for check in failing.checks if not check.holds]
    unit = "1" if problem.unknown in (*COUNTS, *LAYOUTS) else find_unit(problem.unknown)
    return Solution(problem.question, problem.unknown, unit, sense, at.holds, at, beyond, binding, tried)
