"""The most load that holds limits on latencies, or the least of the devices for a load, by simulation on both sides.

More load never shortens a latency of the same requests but by chance, and a larger number of a data sheet never
lengthens one, so the limits are searched by bisection: a concurrency to the whole number, a rate or a number to one
percent. Layouts are tried from the fewest devices up. The seed is the same for every trial. What is saturated by an
open loop holds no limit, however short the run: its latencies grow for as long as requests come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from simulator.errors import ImpossibleError, InputError, unknown_name
from simulator.explore.datasheet import find_unit, list_numbers
from simulator.explore.solve import COUNTS, LAYOUTS, Problem, check_number, list_candidates
from simulator.inputs.deployment import Deployment
from simulator.prediction import Question
from simulator.serving.engine import Progress
from simulator.serving.outcome import LATENCIES, STATISTICS
from simulator.serving.setup import USUAL, Options
from simulator.serving.simulation import Simulation, run
from simulator.serving.workload import LOADS, Load
from simulator.shown import Shown
from simulator.units import format_quantity, format_seconds

LIMITED = tuple(f"{name}_{statistic}" for name in LATENCIES for statistic in STATISTICS)
MOST_IN_FLIGHT = 2**14
FINE = 1.01  # ratio of the rates on both sides of an answer
LEAST_SHARE, MOST_SHARE = 0.01, 3.0  # of the capacity, between which rates are searched
OCTAVES = 12  # either way from what the data sheet says
MOST_REPLICAS = 256


class Trial(NamedTuple):
    """A value that was tried, and its simulation; None where there is no room for a request."""

    value: float
    simulation: Simulation | None


@dataclass(frozen=True)
class LoadSolution(Shown):
    """The value at which the limits hold, its simulation, and the next one, at which they do not.

    ``beyond`` is None where no value was found that fails. ``sense``: whether it is the largest or the smallest.
    """

    unknown: str
    sense: str
    value: float
    at: Simulation
    beyond: Trial | None
    limits: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The value, the limits, and the simulation at it."""
        return {
            "unknown": self.unknown,
            "value": self.value,
            "beyond": None if self.beyond is None else self.beyond.value,
            **{f"limit_{name}": limit for name, limit in self.limits.items()},
            **self.at.describe_asked(),
            **self.at.to_dict(),
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def describe_beyond(self, name: str) -> str:
        """A limited statistic at the next value, in words."""
        assert self.beyond is not None
        found = self.beyond.simulation
        if found is None:
            return "no room"
        return format_seconds(found.values[name], self.limits[name]) + (", saturated" if is_past(found) else "")

    def __repr__(self) -> str:
        """The answer and the simulation at it, in one line."""
        return f"LoadSolution({self.sense} {self.unknown} {self.value:.4g}; {self.at!r})"


def solve_load(
    question: Question,
    load: Load,
    unknown: str,
    limits: Mapping[str, float],
    options: Options = USUAL,
    progress: Progress | None = None,
) -> LoadSolution:
    """Find the largest load that holds every limit, or the least of the devices with which a load does.

    ``progress`` is called now and then with the number of values that were tried; what it raises ends the search.

    Raises:
        InputError: no limit, a limit on what is no statistic of a latency, an unknown that there is not, or a load that
            is wrong.
        ImpossibleError: no value holds them.
    """
    if not limits:
        raise InputError(f"--for {unknown} needs a limit: --slo ttft_s_p99:1 or --slo tpot_s_mean:40ms")
    for name in limits:
        if name not in LIMITED:
            raise unknown_name("limit of a load", name, LIMITED)
    trials: dict[Any, Trial] = {}

    def attempt(value: Any, ask: Callable[[], tuple[Question, Load]]) -> Trial:
        if value not in trials:
            tell = None if progress is None else lambda _: progress(len(trials))
            number = name_value(unknown, value)
            try:
                trials[value] = Trial(number, run(*ask(), options, progress=tell))
            except ImpossibleError:
                trials[value] = Trial(number, None)
        return trials[value]

    def holds(trial: Trial) -> bool:
        found = trial.simulation
        return found is not None and not is_past(found) and all(found.values[one] <= limits[one] for one in limits)

    if unknown in LOADS:
        found = search_loads(
            lambda value: attempt(value, lambda: (question, put(load, unknown, value))), holds, unknown,
            *find_ends(question, load, unknown, options),
        )  # fmt: skip
        return conclude(unknown, "largest", limits, *found)
    problem = Problem(question, unknown, ())
    if unknown in COUNTS:
        raise InputError(f"under load --for takes {', '.join((*LOADS, *LAYOUTS))} or a number of the data sheet")

    def supply(value: Any) -> Trial:
        return attempt(value, lambda: (problem.ask(value), load))

    if unknown in LAYOUTS:
        return conclude(unknown, "smallest", limits, *search_layouts(supply, holds, problem, load))
    check_number(question, unknown)
    there = list_numbers(question.hardware)[unknown]
    return conclude(unknown, "smallest", limits, *search_numbers(supply, holds, there))


def name_value(unknown: str, value: Any) -> float:
    """The number that a trial is known by: whole, of a layout or in flight, or any of a rate or a data sheet."""
    if isinstance(value, Deployment):
        return int(getattr(value, unknown))
    return int(value) if unknown == "concurrency" else float(value)


def is_past(simulation: Simulation) -> bool:
    """Whether an open loop brings more than the engine serves; a closed loop brings no more than it does."""
    return simulation.setup.load.concurrency is None and simulation.saturated


def conclude(
    unknown: str, sense: str, limits: Mapping[str, float], at: Trial | None, beyond: Trial | None
) -> LoadSolution:  # fmt: skip
    """The answer.

    Raises:
        ImpossibleError: nothing holds the limits.
    """
    if at is not None and at.simulation is not None:
        return LoadSolution(unknown, sense, at.value, at.simulation, beyond, dict(limits))
    assert beyond is not None
    found, value = beyond.simulation, describe_value(unknown, beyond.value)
    if found is None:
        raise ImpossibleError(f"no {unknown} holds the limits: at {value} there is no room for a request")
    missed = [f"{name} {format_seconds(found.values[name], limit)}" for name, limit in limits.items()]
    past = f", and more comes than the {found.saturation.requests_per_s:.3g} requests/s it serves"
    said = f"{', '.join(missed)}{past if is_past(found) else ''}"
    raise ImpossibleError(f"no {unknown} holds the limits: at {value} there is {said}")


def describe_value(unknown: str, value: float) -> str:
    """A value of the unknown, with the unit that a number of a data sheet has."""
    unit = "1" if unknown in (*LOADS, *LAYOUTS) else find_unit(unknown)
    return f"{value:.4g}" if unit == "1" else format_quantity(value, unit)


Found = tuple[Trial | None, Trial | None]  # the last that holds, and the next, which does not


def search_loads(
    attempt: Callable[[float], Trial], holds: Callable[[Trial], bool], unknown: str, low: float, high: float
) -> Found:  # fmt: skip
    """The largest load between a least one and one past every answer."""
    at, beyond = attempt(low), None
    if not holds(at):
        return None, at
    while not is_next(unknown, low, high):
        middle = halve(unknown, low, high)
        trial = attempt(middle)
        if holds(trial):
            low, at = middle, trial
        else:
            high, beyond = middle, trial
    return at, beyond


def search_layouts(
    attempt: Callable[[Deployment], Trial], holds: Callable[[Trial], bool], problem: Problem, load: Load
) -> Found:  # fmt: skip
    """The first layout that holds, from the fewest devices up, and the last before it; none that cannot be linked."""
    layouts = list_candidates(problem)
    if problem.unknown == "dp":
        most = min(load.concurrency or MOST_REPLICAS, MOST_REPLICAS)
        layouts = [replace(problem.question.work.deployment, dp=size) for size in range(1, most + 1)]
    beyond, wrong = None, InputError(f"no {problem.unknown} can be linked or runs on the stack")
    for layout in layouts:
        try:
            trial = attempt(layout)
        except InputError as error:
            wrong = error
            continue
        if holds(trial):
            return trial, beyond
        beyond = trial
    if beyond is None:
        raise wrong
    return None, beyond


def search_numbers(attempt: Callable[[float], Trial], holds: Callable[[Trial], bool], there: float) -> Found:
    """The smallest number of a data sheet, by octaves from what it is and then by bisection of its logarithm."""
    at: Trial | None = None
    beyond: Trial | None = None
    value = there
    for _ in range(OCTAVES + 1):
        trial = attempt(value)
        at, beyond = (trial, beyond) if holds(trial) else (at, trial)
        if at is not None and beyond is not None:
            break
        value *= 2.0 if at is None else 0.5
    while at is not None and beyond is not None and at.value > FINE * beyond.value:
        trial = attempt(math.sqrt(at.value * beyond.value))
        at, beyond = (trial, beyond) if holds(trial) else (at, trial)
    return at, beyond


def find_ends(question: Question, load: Load, unknown: str, options: Options) -> tuple[float, float]:
    """The least load, and one past every answer."""
    if unknown == "concurrency":  # each replica has one at least
        return question.work.deployment.dp, MOST_IN_FLIGHT
    capacity = run(question, put(load, "concurrency", question.work.deployment.dp), options).saturation.requests_per_s
    return LEAST_SHARE * capacity, MOST_SHARE * capacity


def put(load: Load, unknown: str, value: float) -> Load:
    """A load of so many in flight, or of such a rate."""
    if unknown == "concurrency":
        return replace(load, concurrency=int(value), request_rate=None)
    return replace(load, concurrency=None, request_rate=value)


def is_next(unknown: str, low: float, high: float) -> bool:
    """Whether nothing lies between two loads."""
    return high - low <= 1 if unknown == "concurrency" else high <= FINE * low


def halve(unknown: str, low: float, high: float) -> float:
    """A load between two: by ratio, since latencies are steep at the end."""
    middle = math.sqrt(low * high)
    return min(max(round(middle), low + 1), high - 1) if unknown == "concurrency" else middle
