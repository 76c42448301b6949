"""The most load that holds limits on latencies: the largest concurrency or request rate, by simulation on both sides.

More load never shortens a latency of the same requests but by chance, so the limits are searched by bisection: a
concurrency to the whole number, a rate to one percent. The seed is the same for every load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.errors import ImpossibleError, InputError, unknown_name
from simulator.prediction import Question
from simulator.serving.engine import Progress
from simulator.serving.outcome import LATENCIES, STATISTICS
from simulator.serving.setup import USUAL, Options
from simulator.serving.simulation import Simulation, run
from simulator.serving.workload import Load
from simulator.shown import Shown
from simulator.units import format_seconds

LIMITED = tuple(f"{name}_{statistic}" for name in LATENCIES for statistic in STATISTICS)
MOST_IN_FLIGHT = 2**14
FINE = 1.01  # ratio of the rates on both sides of an answer
LEAST_SHARE, MOST_SHARE = 0.01, 3.0  # of the capacity, between which rates are searched


@dataclass(frozen=True)
class LoadSolution(Shown):
    """The largest load that holds the limits, its simulation, and the next one, which does not.

    ``beyond`` is None where no load was found that fails.
    """

    unknown: str
    value: float
    at: Simulation
    beyond: Simulation | None
    limits: Mapping[str, float]

    def find_load(self, simulation: Simulation) -> float | None:
        """The load of a simulation."""
        value: float | None = getattr(simulation.setup.load, self.unknown)
        return value

    def to_dict(self) -> dict[str, Any]:
        """The load, the limits, and the simulation at it."""
        return {
            "unknown": self.unknown,
            "value": self.value,
            "beyond": None if self.beyond is None else self.find_load(self.beyond),
            **{f"limit_{name}": limit for name, limit in self.limits.items()},
            **self.at.describe_asked(),
            **self.at.to_dict(),
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row."""
        return [self.to_dict()]

    def __repr__(self) -> str:
        """The answer and the simulation at it, in one line."""
        return f"LoadSolution(largest {self.unknown} {self.value:.4g}; {self.at!r})"


def solve_load(
    question: Question,
    load: Load,
    unknown: str,
    limits: Mapping[str, float],
    options: Options = USUAL,
    progress: Progress | None = None,
) -> LoadSolution:
    """Find the largest load that holds every limit.

    ``progress`` is called now and then with the number of loads that were tried; what it raises ends the search.

    Raises:
        InputError: no limit, a limit on what is no statistic of a latency, or a load that is wrong.
        ImpossibleError: not even the least load holds them.
    """
    if not limits:
        raise InputError(f"--for {unknown} needs a limit: --slo ttft_s_p99:1 or --slo tpot_s_mean:40ms")
    for name in limits:
        if name not in LIMITED:
            raise unknown_name("limit of a load", name, LIMITED)
    found: dict[float, Simulation] = {}

    def holds(value: float) -> bool:
        if value not in found:
            tell = None if progress is None else lambda _: progress(len(found))
            found[value] = run(question, put(load, unknown, value), options, progress=tell)
        values = found[value].values
        return all(values[name] <= limit for name, limit in limits.items())

    low, high = find_ends(question, load, unknown, options)
    if not holds(low):
        missed = [f"{name} {format_seconds(found[low].values[name], limit)}" for name, limit in limits.items()]
        raise ImpossibleError(f"no {unknown} holds the limits: at {low:.3g} there is {', '.join(missed)}")
    while not is_next(unknown, low, high):
        middle = halve(unknown, low, high)
        if holds(middle):
            low = middle
        else:
            high = middle
    beyond = found.get(high)
    return LoadSolution(unknown, low, found[low], beyond, dict(limits))


def find_ends(question: Question, load: Load, unknown: str, options: Options) -> tuple[float, float]:
    """The least load, and one past every answer."""
    if unknown == "concurrency":
        return 1, MOST_IN_FLIGHT
    capacity = run(question, put(load, "concurrency", 1), options).saturation.requests_per_s
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
