"""Intervals under load: the error of the times of passes goes through the simulation, that of few requests beside it.

The logarithms of the time of a prompt and of a decode pass err together, with the covariance that the profile's factors
give them and the scatter that ``predict`` has beside it (discrepancy, transfer). Their two independent directions are
followed a standard deviation to either side: four more runs of the same requests, whose statistics give the interval
its upper and lower half. Another draw of requests would give other statistics too; the differences between parts of the
requests say by how much.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.inputs.workload import Workload
from simulator.prediction import Question
from simulator.serving.clock import ScaledClock
from simulator.serving.outcome import Outcome
from simulator.serving.setup import Setup
from simulator.timing.factors import Factors
from simulator.timing.intervals import NORMAL_90, find_directions, find_slopes, list_used_factors
from simulator.timing.request import Times, combine_times
from simulator.timing.transfer import widen_spread


class Spread(NamedTuple):
    """Ends of the 90% intervals by flat names; ``led_by``: what most of the width of TTFT comes from."""

    ends: dict[str, tuple[float, float]]
    led_by: str


def find_spread(setup: Setup, outcome: Outcome) -> Spread | None:
    """Intervals of every statistic; None for a bound."""
    covariance = find_covariance(ask_alike(setup, outcome))
    if covariance is None:
        return None
    center = outcome.summarise()
    below, above = (dict.fromkeys(center, 0.0) for _ in range(2))
    for direction in find_directions(covariance):
        if not np.any(direction):
            continue
        moved = [
            setup.run(ScaledClock(setup.clock, *np.exp(sign * direction).tolist())).summarise() for sign in (1, -1)
        ]
        for name, value in center.items():
            steps = [math.log(one[name] / value) for one in moved if one[name] > 0 and value > 0]
            above[name] += max([*steps, 0.0]) ** 2
            below[name] += min([*steps, 0.0]) ** 2
    errors = outcome.find_errors() if setup.load.trace is None else {}
    ends = {}
    for name, value in center.items():
        own = errors.get(name.replace("itl_s", "tpot_s"), 0.0) ** 2
        low, high = (math.exp(NORMAL_90 * math.sqrt(model[name] + own)) for model in (below, above))
        ends[name] = (value / low, value * high)
    by_requests = errors.get("ttft_s_mean", 0.0) ** 2
    return Spread(ends, "requests" if by_requests > above["ttft_s_mean"] else "factors")


def ask_alike(setup: Setup, outcome: Outcome) -> Question:
    """One batch like the load: as many requests of the mean lengths as run together on the mean."""
    question = setup.question
    workload = Workload(
        float(round(np.mean(outcome.input_tokens))),
        float(max(round(np.mean(outcome.output_tokens)), 2)),
        float(max(round(outcome.mean_running), 1)),
    )
    return replace(question, work=question.work._replace(workload=workload))


def find_covariance(question: Question) -> NDArray[np.float64] | None:
    """Covariance of the logarithms of the times to prefill and to decode; None for a bound."""
    knowledge, workload = question.knowledge, question.work.workload
    if knowledge is None:
        return None

    def law(factors: Factors) -> Times:
        return combine_times(question.times(factors), workload)

    used = list_used_factors(question.passes, question.machine)
    scatter = widen_spread(knowledge.profile, question.moves)
    slopes = np.array(list(find_slopes(knowledge, used, law, np.array(law(knowledge.factors)), 0)))[:, :2]
    return np.asarray(slopes.T @ slopes + np.diag([scatter.prefill**2, scatter.decode**2]))
