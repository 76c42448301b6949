"""The screening: every number of replicas and every limit of the engine of one cell, estimated at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.explore.recommend.cells import Cell
from simulator.explore.recommend.wish import Wish
from simulator.metrics.pool import measure_pool
from simulator.metrics.power import find_tdp
from simulator.metrics.rates import Rates
from simulator.serving.cost import Spending, Watts, measure_spending, measure_watts
from simulator.serving.curves import Array, Curves, Mix, measure_curves
from simulator.serving.estimate import Estimate, estimate_closed, estimate_open, settle
from simulator.serving.schedulers import POLICIES
from simulator.serving.setup import find_limits, find_scheduler

BUDGETS = (2048, 4096, 8192, 16384)  # tokens of a pass, beside the default
SEQUENCES = (8, 16, 32, 64, 128, 256)  # that run at most, beside the default
TOLERATED = 1.25  # times a limit up to which a configuration that is estimated past it is simulated all the same
WORTH = 0.98  # times the objective with the engine's own limits, below which others are worth setting
MEMORY, SATURATED = "memory", "saturated"


class Attempt(NamedTuple):
    """One number of replicas with the limits that suit it: what is estimated of it.

    ``miss``: the worst ratio of a value to its limit, and ``binds`` the name of that limit.
    """

    replicas: int
    budget: int
    sequences: int
    objective: float
    miss: float
    binds: str
    values: Mapping[str, float]
    requests_per_s: float
    running: float
    prefill_share: float
    decode_share: float
    is_usual: bool

    @property
    def holds(self) -> bool:
        """Whether every limit is estimated to hold."""
        return self.miss <= 1


class Screened(NamedTuple):
    """A cell with its attempts by number of replicas, how many configurations they stand for, and its frontier.

    ``frontier``: output tokens a second for one user, and for one device, at rising concurrency.
    """

    cell: Cell
    attempts: list[Attempt]
    configurations: int
    frontier: NDArray[np.float64]
    rates: Rates
    lack: str = ""

    @property
    def priced(self) -> bool:
        """Whether money is known."""
        return self.rates.price is not None

    @property
    def best(self) -> Attempt | None:
        """The attempt with the least objective of those that are estimated to hold."""
        return min((one for one in self.attempts if one.holds), key=rank_attempt, default=None)


def rank_attempt(attempt: Attempt) -> tuple[float, float]:
    """The objective, and of equals the faster."""
    return attempt.objective, attempt.miss


class Engine(NamedTuple):
    """Limits of an engine with what they leave: sequences that run at most."""

    budgets: list[int]
    sequences: list[int]
    most: Array  # (budgets, sequences); 0 where the longest request has no room


def list_engines(cell: Cell, wish: Wish) -> Engine:
    """The limits to try; the first of each are the engine's own."""
    question, mix = cell.question, wish.mix
    scheduler = find_scheduler(question.work.stack)
    longest = int(wish.mix.longest)
    usual = find_limits(scheduler, question, min(wish.load.prompt_tokens * 2, longest))
    least = 0 if scheduler.chunked_prefill else 2 * longest
    budgets = [usual.max_num_batched_tokens]
    budgets += [one for one in BUDGETS if one != budgets[0] and one >= max(least, usual.max_num_seqs)]
    sequences = [usual.max_num_seqs, *(one for one in SEQUENCES if one < usual.max_num_seqs)]
    a, d, stack = question.work[:3]
    reserves = POLICIES[scheduler.policy](scheduler).reserves
    held_tokens = math.ceil(mix.final_tokens if reserves else mix.middle_tokens)
    most = np.zeros((len(budgets), len(sequences)))
    for i, budget in enumerate(budgets):
        for j, count in enumerate(sequences):
            tried = None if stack.ledger.sequences is None else count
            pool = measure_pool(a, d, stack, question.hardware, budget_tokens=budget, sequences=tried)
            if pool.blocks >= pool.count_blocks(longest):
                most[i, j] = min(count, max(pool.blocks // pool.count_blocks(held_tokens), 1))
    return Engine(budgets, sequences, most)


def choose_replicas(cell: Cell, wish: Wish) -> Array:
    """Numbers of replicas to try: all that the devices allow, of a closed loop one for each request at the most."""
    most = wish.most_devices // cell.devices
    if wish.is_closed:
        most = min(most, int(wish.offered))
    return np.arange(1.0, most + 1)


def screen(cell: Cell, wish: Wish, rates: Rates) -> Screened:
    """Estimate every configuration of a cell, and keep of each number of replicas the best."""
    engine = list_engines(cell, wish)
    replicas = choose_replicas(cell, wish)
    none = np.zeros((0, 2))
    configurations = len(replicas) * engine.most.size
    if not engine.most.any():
        return Screened(cell, [], configurations, none, rates, MEMORY)
    if not len(replicas):
        return Screened(cell, [], configurations, none, rates, f"{cell.devices} devices are past {wish.most_devices}")
    work, machine = cell.question.work, cell.question.machine
    scheduler = find_scheduler(work.stack)
    budget = np.array(engine.budgets, dtype=np.float64)[:, np.newaxis, np.newaxis]
    top = int(engine.most.max())
    curves = measure_curves(work, machine, scheduler, wish.mix, budget, top)
    most = np.maximum(engine.most, 1.0)
    shape = (len(engine.budgets), len(replicas), len(engine.sequences))
    spread_most = np.broadcast_to(most[:, np.newaxis, :], shape).reshape(shape[0], -1)
    each = np.repeat(split_load(wish, replicas), shape[2])
    estimate = estimate_load(curves, wish, each, spread_most)
    counts = np.repeat(replicas, shape[2])
    watts = measure_grid_watts(cell, wish, estimate) if wish.objective == "energy" else None
    spending = spend(wish, rates, cell, estimate, counts, watts)
    objective = np.broadcast_to(find_objective(wish, cell, spending, counts), estimate.running.shape)
    room = np.broadcast_to((engine.most > 0)[:, np.newaxis, :], shape)
    table = make_table(wish, estimate, counts, objective.reshape(shape), room)
    attempts = [choose_attempt(wish, engine, table, place, int(count)) for place, count in enumerate(replicas)]
    frontier = trace_frontier(curves, wish.mix, float(most[0, 0]), cell.devices)
    kept = [one for one in attempts if one is not None]
    return Screened(cell, kept, configurations, frontier, rates, "" if kept else MEMORY)


def split_load(wish: Wish, replicas: Array) -> Array:
    """What one replica gets, of those that have more where it does not divide."""
    return np.ceil(wish.offered / replicas) if wish.is_closed else wish.offered / replicas


def estimate_load(curves: Curves, wish: Wish, each: Array, most: Array) -> Estimate:
    """What the load of one replica comes to."""
    estimate = estimate_closed if wish.is_closed else estimate_open
    return estimate(curves, wish.mix, each, most)


def find_served(wish: Wish, estimate: Estimate, replicas: Array) -> Array:
    """Requests a second of all replicas: as many as come, or of a closed loop as they do."""
    if not wish.is_closed:
        return np.full_like(estimate.requests_per_s, wish.offered)
    share = wish.offered / (replicas * np.ceil(wish.offered / replicas))  # not all have as many
    return estimate.requests_per_s * replicas * share


def measure_grid_watts(cell: Cell, wish: Wish, estimate: Estimate) -> Watts | None:
    """Power of a replica, by the sequences that it runs."""
    hardware = cell.question.hardware
    if hardware.power is None:
        return None
    running = np.maximum(np.minimum(estimate.running, 4096.0), 1.0)
    return measure_watts(cell.question.work, cell.question.machine, wish.mix, find_tdp(hardware), running)


def spend(
    wish: Wish, rates: Rates, cell: Cell, estimate: Estimate, replicas: Array, watts: Watts | None
) -> Spending:  # fmt: skip
    """What all devices cost."""
    served = find_served(wish, estimate, replicas)
    shares = (estimate.prefill_share, estimate.decode_share)
    return measure_spending(rates, replicas * cell.devices, wish.mix, served, *shares, watts, replicas)


def find_objective(wish: Wish, cell: Cell, spending: Spending, replicas: Array) -> Array:
    """What is to be least; where it is not known, the devices, after all that are known."""
    devices = replicas * float(cell.devices)
    if wish.objective == "devices":
        return devices
    value = spending.usd_per_million_tokens if wish.objective != "energy" else spending.energy_j_per_output_token
    return devices if value is None else np.asarray(value)


class Table(NamedTuple):
    """Estimates of (budgets, replicas, sequences); ``ratios`` of values to their limits stand in front of these."""

    names: list[str]
    values: Array
    ratios: Array
    miss: Array
    objective: Array
    room: NDArray[np.bool_]
    requests_per_s: Array
    running: Array
    prefill_share: Array
    decode_share: Array


def make_table(
    wish: Wish, estimate: Estimate, replicas: Array, objective: Array, room: NDArray[np.bool_]
) -> Table:  # fmt: skip
    """Hold every configuration against the limits."""
    shape = room.shape

    def fold(values: Any) -> Array:
        return np.broadcast_to(values, estimate.running.shape).reshape(shape)

    names = [*wish.limits, SATURATED]
    values = [fold(estimate.find(name)) for name in wish.limits]
    late = np.zeros(shape) if wish.is_closed else np.where(fold(estimate.saturated), np.inf, 0.0)
    ratios = [value / limit for value, limit in zip(values, wish.limits.values(), strict=True)]
    stacked = np.nan_to_num(np.stack([*ratios, late]), nan=0.0, posinf=np.inf)
    miss = np.where(room, stacked.max(axis=0), np.inf)
    return Table(
        names,
        np.stack([*values, late]),
        stacked,
        miss,
        objective,
        room,
        fold(find_served(wish, estimate, replicas)),
        fold(estimate.running),
        fold(estimate.prefill_share),
        fold(estimate.decode_share),
    )


def choose_attempt(wish: Wish, engine: Engine, table: Table, place: int, replicas: int) -> Attempt | None:
    """The limits that suit a number of replicas: the engine's own, unless others hold or are worth setting."""
    miss, objective = table.miss[:, place, :], table.objective[:, place, :]
    if not table.room[:, place, :].any():
        return None
    worth = np.where(miss <= 1, objective, np.inf)
    usual = miss[0, 0] <= 1 and worth.min() > WORTH * objective[0, 0]
    best = int(np.argmin(worth) if (miss <= 1).any() else np.argmin(miss))
    i, j = (0, 0) if usual else divmod(best, miss.shape[1])
    at = (i, place, j)
    return Attempt(
        replicas,
        engine.budgets[i],
        engine.sequences[j],
        float(objective[i, j]),
        float(miss[i, j]),
        table.names[int(np.argmax(table.ratios[(slice(None), *at)]))],
        {name: float(value) for name, value in zip(wish.limits, table.values[(slice(None), *at)], strict=False)},
        float(table.requests_per_s[at]),
        float(table.running[at]),
        float(table.prefill_share[at]),
        float(table.decode_share[at]),
        (i, j) == (0, 0),
    )


def trace_frontier(curves: Curves, mix: Mix, most: float, devices: int) -> NDArray[np.float64]:
    """Output tokens a second for one user and for one device, with the engine's own limits, at rising concurrency."""
    if not mix.passes:
        return np.zeros((0, 2))
    numbers = curves.sequences[curves.sequences <= most]
    flow = settle(curves, mix, numbers)
    pass_s, rate = (one[0] if one.ndim > 1 else one for one in (flow.pass_s, flow.requests_per_s))
    return np.stack([1 / pass_s, rate * mix.output_tokens / devices], axis=-1)
