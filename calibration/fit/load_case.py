"""Rows of load -> what the simulation says of them, at a cost that a fit can bear.

A fit asks for hundreds of values at factors that differ a little. The load in closed form (``serving.estimate``)
follows the factors; the simulation at some factors says how far it is off there, row by row, and that ratio is kept:
the fit is corrected by it, repeated, and ends where the simulation is (a defect correction; Bandler et al. 2004, doi
10.1109/TMTT.2003.820904, call it space mapping). Percentiles are the mean's, by the same ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.inputs.measurements import Measurement
from simulator.inputs.workload import Workload
from simulator.prediction import Question
from simulator.serving.curves import make_mix, measure_curves
from simulator.serving.estimate import find_first_ttft, settle
from simulator.serving.setup import Options, find_limits, find_scheduler
from simulator.serving.simulation import run
from simulator.serving.workload import REQUESTS_IN_FLIGHT, Load
from simulator.timing.factors import Factors, perturb_factors
from simulator.timing.intervals import find_width
from simulator.timing.transfer import widen_spread

Array = NDArray[np.float64]
NO_PROFILE = "a bound has no interval; give a profile"
UNKNOWN_IN_FLIGHT = 16  # of an open loop, before a simulation says how many run
NAMES = {"prefill_s": "ttft_s", "throughput_tok_s": "output_tokens_per_s"}


@dataclass
class LoadCase:
    """Rows of one model on one deployment, each a load of its own.

    ``ratio``: of the simulation over the closed form, of each row; None before the first simulation. ``running``: how
    many sequences run, as far as is known.
    """

    indices: list[int]
    rows: list[Measurement]
    question: Question
    running: Array
    ratio: Array | None = None

    def predict(self, factors: Factors | None) -> Array:
        """Predicted value of each row; without factors those of the profile, by the simulation itself."""
        known = factors if factors is not None else self.question.machine.factors
        if factors is None and self.ratio is None:
            self.settle(known)
        values = self.time_closed_form(known)
        return values if self.ratio is None else values * self.ratio

    def find_ends(self) -> tuple[Array, Array]:
        """Ends of the 90% interval of each row."""
        knowledge = self.question.knowledge
        if knowledge is None:
            raise InputError(NO_PROFILE)
        values = self.predict(None)
        names = list(knowledge.factors.names)
        moved = self.predict(perturb_factors(knowledge.factors, names, 1))
        spread = widen_spread(knowledge.profile, self.question.moves)
        first = np.array([row.phase == "prefill" for row in self.rows])
        scatter = np.where(first, np.asarray(spread.prefill, dtype=float), np.asarray(spread.decode, dtype=float))
        width = find_width(knowledge.log_covariance(names), moved, scatter)
        return values / width, values * width

    def settle(self, factors: Factors | None) -> None:
        """Simulate every row at some factors, and keep how far the closed form is off there."""
        simulated = np.empty(len(self.rows))
        found: dict[tuple[Load, Options], tuple[float, dict[str, float]]] = {}  # rows of one run are of the same load
        for place, row in enumerate(self.rows):
            asked = make_load(row), make_options(row)
            if asked not in found:
                simulation = run(self.ask(row, factors), *asked)
                found[asked] = max(simulation.outcome.mean_running, 1.0), simulation.values
            self.running[place], values = found[asked]
            simulated[place] = values[name_statistic(row)]
        self.ratio = simulated / self.time_closed_form(factors)

    def ask(self, row: Measurement, factors: Factors | None) -> Question:
        """The question that one row answers."""
        work = self.question.work._replace(workload=Workload(float(row.prompt_tokens), float(row.output_tokens)))
        return replace(self.question, work=work, machine=self.question.machine._replace(factors=factors))

    def time_closed_form(self, factors: Factors | None) -> Array:
        """The closed form of each row; leading axes of the factors stay in front."""
        alike: dict[tuple[float, float, float], list[int]] = {}  # such rows differ in how many requests run
        for place, row in enumerate(self.rows):
            alike.setdefault((find_inputs(row), find_outputs(row), self.find_budget(row)), []).append(place)
        found = [self.time_alike(lengths, places, factors) for lengths, places in alike.items()]
        order = np.argsort([place for places in alike.values() for place in places])
        return np.concatenate(found, axis=-1)[..., order]

    def find_budget(self, row: Measurement) -> float:
        """Most tokens of one pass."""
        scheduler = find_scheduler(self.question.work.stack)
        return float(find_limits(scheduler, self.question, row.prompt_tokens, make_options(row)).max_num_batched_tokens)

    def time_alike(self, lengths: tuple[float, float, float], places: list[int], factors: Factors | None) -> Array:
        """The closed form of rows whose requests and passes are alike."""
        inputs, outputs, budget = lengths
        question, running = self.question, self.running[places]
        scheduler = find_scheduler(question.work.stack)
        machine = question.machine._replace(factors=None if factors is None else add_axis(factors))
        mix = make_mix(inputs, outputs)
        curves = measure_curves(question.work, machine, scheduler, mix, budget, math.ceil(running.max()))
        flow = settle(curves, mix, running)
        first = np.array([find_first_share(self.rows[place]) for place in places])
        ttft_s = (1 - first) * flow.ttft_s + first * find_first_ttft(curves, running)
        by_metric = {
            "ttft_s": ttft_s,
            "prefill_s": ttft_s,
            "tpot_s": flow.pass_s,
            "e2e_s": ttft_s + (outputs - 1) * flow.pass_s,
            "throughput_tok_s": flow.requests_per_s * outputs,
        }
        columns = [by_metric[self.rows[place].metric][..., at] for at, place in enumerate(places)]
        return np.stack(columns, axis=-1)


def add_axis(factors: Factors) -> Factors:
    """The same factors, those of several values with one more axis at their end."""
    return factors.replace(**{
        name: value[..., np.newaxis] for name in factors.names if np.ndim(value := getattr(factors, name))
    })  # fmt: skip


def make_load(row: Measurement) -> Load:
    """The load of a row."""
    spread = None if row.length_low is None or row.length_high is None else (row.length_low, row.length_high)
    return Load(
        row.prompt_tokens,
        max(row.output_tokens, 1),
        spread,
        None if row.request_rate is not None else row.concurrency,
        row.request_rate,
        num_requests=row.num_requests,
    )


def make_options(row: Measurement) -> Options:
    """What the engine of a row was told."""
    return Options(row.max_num_batched_tokens, row.max_num_seqs, batch_wait_passes=row.batch_wait_passes)


def name_statistic(row: Measurement) -> str:
    """The name of a row's value among those of a simulation."""
    name = NAMES.get(row.metric, row.metric)
    return name if row.metric == "throughput_tok_s" else f"{name}_{row.statistic or 'mean'}"


def find_inputs(row: Measurement) -> float:
    """Mean tokens of the prompts of a row."""
    return row.prompt_tokens * find_share(row)


def find_outputs(row: Measurement) -> float:
    """Mean output tokens of a row."""
    return max(row.output_tokens * find_share(row), 1.0)


def find_share(row: Measurement) -> float:
    """Mean length over the nominal one."""
    return 1.0 if row.length_low is None or row.length_high is None else (row.length_low + row.length_high) / 2


def find_first_share(row: Measurement) -> float:
    """Share of the requests that come together at the start."""
    if row.concurrency is None or row.request_rate is not None:
        return float(row.request_rate == math.inf)
    return 1 / REQUESTS_IN_FLIGHT if row.num_requests is None else min(row.concurrency / row.num_requests, 1.0)


def guess_running(rows: list[Measurement]) -> Array:
    """Sequences that run before a simulation says so."""
    return np.array([float(row.concurrency or UNKNOWN_IN_FLIGHT) for row in rows])
