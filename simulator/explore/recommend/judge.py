"""The best by the screening, simulated: what a load really comes to there, in steady state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from simulator.explore.recommend.cells import Cell
from simulator.explore.recommend.screen import Attempt, Screened
from simulator.explore.recommend.wish import Wish
from simulator.metrics.power import find_tdp
from simulator.prediction import Question
from simulator.serving.cost import Spending, measure_spending, measure_watts
from simulator.serving.engine import Progress
from simulator.serving.outcome import summarise
from simulator.serving.setup import Options
from simulator.serving.simulation import Simulation, run
from simulator.serving.workload import Load

ROUNDS, FEWEST, MOST = 10, 300, 1500  # requests for each in flight, and in all
USUAL_OPEN = 1000
WARM_UP = 0.2  # share of the requests of an open loop that come before it is steady


class Judged(NamedTuple):
    """A configuration as it was simulated: values in steady state, and what it costs."""

    screened: Screened
    attempt: Attempt
    simulation: Simulation
    values: dict[str, float]
    requests_per_s: float
    spending: Spending
    objective: float

    @property
    def cell(self) -> Cell:
        """Device, format and layout."""
        return self.screened.cell

    @property
    def devices(self) -> int:
        """Devices of all replicas."""
        return self.cell.count_devices(self.attempt.replicas)

    def find_misses(self, wish: Wish) -> dict[str, float]:
        """Ratio of each limited value to its limit."""
        return {name: self.values[name] / limit for name, limit in wish.limits.items()}

    def holds(self, wish: Wish) -> bool:
        """Whether every limit holds, and what comes is served."""
        return all(ratio <= 1 for ratio in self.find_misses(wish).values())


def judge(screened: Screened, attempt: Attempt, wish: Wish, progress: Progress | None = None) -> Judged:
    """Simulate one configuration."""
    question = place_replicas(screened.cell.question, attempt.replicas)
    load = lengthen(wish.load)
    options = Options(max_num_batched_tokens=attempt.budget, max_num_seqs=attempt.sequences)
    simulation = run(question, load, options, progress=progress)
    values = measure_steady(simulation)
    served = float(wish.offered) if not wish.is_closed else values["requests_per_s"]
    spending = spend_simulated(screened, attempt, wish, served)
    return Judged(screened, attempt, simulation, values, served, spending, read_objective(wish, spending, question))


def place_replicas(question: Question, replicas: int) -> Question:
    """The same question of several replicas."""
    work = question.work
    return replace(question, work=work._replace(deployment=replace(work.deployment, dp=replicas)))


def lengthen(load: Load) -> Load:
    """A load of as many requests as its percentiles need, beside those that come before it is steady."""
    if load.num_requests is not None:
        return load
    if load.concurrency is None:
        return replace(load, num_requests=USUAL_OPEN)
    steady = max(min(max(ROUNDS * load.concurrency, FEWEST), MOST), load.concurrency)
    return replace(load, num_requests=load.concurrency + steady)


def measure_steady(simulation: Simulation) -> dict[str, float]:
    """Statistics over the requests that come once the load is steady.

    The first of a closed loop come together, which users do not; those of an open loop find the engine empty. The time
    between tokens is over all of them.
    """
    outcome, load = simulation.outcome, simulation.setup.load
    order = np.argsort(outcome.arrival_s, kind="stable")
    count = len(order)
    first = min(load.concurrency, count // 2) if load.concurrency is not None else int(WARM_UP * count)
    kept = order[first:]
    found: dict[str, float] = {}
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        values = summarise(getattr(outcome, name)[kept])
        found |= {f"{name}_{statistic}": value for statistic, value in values.items()}
    found |= {f"itl_s_{statistic}": value for statistic, value in outcome.summarise_gaps().items()}
    arrivals = outcome.arrival_s[kept]
    span_s = float(arrivals.max() - arrivals.min())
    rate = (len(kept) - 1) / span_s if span_s else simulation.requests_per_s
    return found | {"requests_per_s": rate, "output_tokens_per_s": rate * float(outcome.output_tokens[kept].mean())}


def spend_simulated(screened: Screened, attempt: Attempt, wish: Wish, served: float) -> Spending:
    """What a simulated configuration costs; the shares of its time are those of the estimate."""
    cell, work = screened.cell, screened.cell.question.work
    hardware = cell.question.hardware
    watts = None
    if hardware.power is not None:
        running = max(attempt.running, 1.0)
        watts = measure_watts(work, cell.question.machine, wish.mix, find_tdp(hardware), running)
    return measure_spending(
        screened.rates,
        cell.count_devices(attempt.replicas),
        wish.mix,
        served,
        attempt.prefill_share,
        attempt.decode_share,
        watts,
        attempt.replicas,
    )


def read_objective(wish: Wish, spending: Spending, question: Question) -> float:
    """What is to be least; the devices where it is not known."""
    known: dict[str, Any] = {
        "usd_per_million_tokens": spending.usd_per_million_tokens,
        "energy": spending.energy_j_per_output_token,
    }
    value = known.get(wish.objective)
    return float(question.work.deployment.devices if value is None else value)
