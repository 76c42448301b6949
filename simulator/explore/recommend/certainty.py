"""How sure it is that one recommendation beats another: both again in other worlds that the measurements allow.

In each world the factors of a profile have other values, drawn from its covariance, and so has every error that
carrying it adds. What two configurations share, the factors of one profile and the same differences from its
measurements, is drawn once for both and so cancels. In each world each gets as many replicas as its limits then need,
and the cheaper wins. Values are the closed form's, times what the simulation was found to be of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.explore.recommend.judge import Judged
from simulator.explore.recommend.screen import estimate_load, find_objective, find_served, spend, split_load
from simulator.explore.recommend.wish import Wish
from simulator.prediction import Question
from simulator.serving.cost import Watts
from simulator.serving.curves import Array, Curves, measure_curves
from simulator.serving.setup import find_scheduler
from simulator.timing.factors import Factors
from simulator.timing.profile import Knowledge

DRAWS = 200
SEED = 16
MORE_REPLICAS = 3.0  # times those of today up to which a world may need


class Certainty(NamedTuple):
    """``first_beats_second``: probability. ``holds``: of each of the two, that it holds its limits as it stands."""

    first_beats_second: float
    holds: tuple[float, float]


class World(NamedTuple):
    """One configuration in every world: its objective with the replicas that it then needs, infinite where none do."""

    objective: Array
    holds: NDArray[np.bool_]


def compare_best(wish: Wish, best: Sequence[Judged]) -> Certainty | None:
    """Set the first two against each other; None where one of them has no profile, and so no known error."""
    first, second = (find_worlds(wish, one) for one in best[:2])
    if first is None or second is None:
        return None
    wins = first.objective < second.objective
    ties = first.objective == second.objective
    probability = float(np.mean(wins + 0.5 * ties))
    return Certainty(probability, (float(first.holds.mean()), float(second.holds.mean())))


def find_worlds(wish: Wish, judged: Judged) -> World | None:
    """One configuration in every world; None without a profile."""
    cell, attempt = judged.cell, judged.attempt
    question = cell.question
    knowledge = question.knowledge
    if knowledge is None:
        return None
    most = max(int(2 * attempt.running), 8)
    most = min(most, judged.simulation.setup.limits.max_num_seqs)
    curves = draw_curves(wish, question, knowledge, attempt.budget, most)
    nominal = draw_curves(wish, question, knowledge, attempt.budget, most, draws=None)
    top = max(int(MORE_REPLICAS * attempt.replicas), attempt.replicas + 4)
    top = min(top, int(wish.offered)) if wish.is_closed else top
    replicas = np.arange(1.0, top + 1)
    limit = np.full(len(replicas), float(min(attempt.sequences, most)))
    each = split_load(wish, replicas)
    estimate = estimate_load(curves, wish, each, limit)
    place = attempt.replicas - 1
    known = estimate_load(nominal, wish, each[place : place + 1], limit[:1])
    held = ~np.broadcast_to(estimate.saturated, estimate.running.shape)
    for name, bound in wish.limits.items():
        off = judged.values[name] / float(known.find(name).ravel()[0])
        held = held & (estimate.find(name) * off <= bound)
    spending = spend(wish, judged.screened.rates, cell, estimate, replicas, find_mean_watts(judged))
    objective = np.broadcast_to(find_objective(wish, cell, spending, replicas), held.shape)
    if wish.is_closed and wish.objective == "usd_per_million_tokens":
        off = judged.requests_per_s / float(find_served(wish, known, replicas[place : place + 1]).ravel()[0])
        objective = objective / off
    return World(np.where(held, objective, np.inf).min(axis=-1), held[..., place])


def find_mean_watts(judged: Judged) -> Watts | None:
    """Board power of a replica as it was found, whatever it does: its errors are not known."""
    energy_j = judged.spending.energy_j_per_request
    if energy_j is None:
        return None
    mean_w = energy_j * judged.requests_per_s / judged.screened.rates.site.pue / judged.attempt.replicas
    return Watts(mean_w, mean_w, mean_w)


def draw_curves(
    wish: Wish, question: Question, knowledge: Knowledge, budget: int, most: int, draws: int | None = DRAWS
) -> Curves:
    """The curves of a replica in every world, along the first axis; in the likeliest one where none are drawn."""
    scheduler = find_scheduler(question.work.stack)
    factors = knowledge.factors if draws is None else draw_factors(question, knowledge, draws)
    machine = question.machine._replace(factors=factors)
    curves = measure_curves(question.work, machine, scheduler, wish.mix, float(budget), most)
    if draws is None:
        return curves
    prefill, decode = draw_phases(question, draws)
    return curves._replace(
        step_s=curves.step_s * decode,
        opening_s=curves.opening_s * prefill,
        reading_s=curves.reading_s * prefill,
        alone_s=curves.alone_s * prefill,
    )


def draw(key: str, shape: int | tuple[int, int]) -> Array:
    """Normal variables that are the same for the same key."""
    return np.random.default_rng((SEED, zlib.crc32(key.encode()))).standard_normal(shape)


def draw_factors(question: Question, knowledge: Knowledge, draws: int) -> Factors:
    """Factors in every world: those of a profile from its covariance, others from their priors on this device."""
    carried = sorted(knowledge.carried)
    values, axes = np.linalg.eigh(knowledge.log_covariance(carried))
    normal = draw(f"profile {knowledge.profile.id}", (draws, len(carried)))
    moved = normal @ (axes * np.sqrt(np.maximum(values, 0.0))).T
    logs = dict(zip(carried, moved.T, strict=True))
    place = f"{question.hardware.id} {question.work.stack.id}"
    for name, error in knowledge.errors.items():
        if name not in logs:
            logs[name] = error * draw(f"prior {place} {name}", draws)
    known = knowledge.factors
    drawn = {name: (getattr(known, name) * np.exp(log)).reshape(-1, 1, 1) for name, log in logs.items()}
    return known.replace(**drawn)


def draw_phases(question: Question, draws: int) -> tuple[Array, Array]:
    """What prompts and decode passes take over what the law says, in every world; (worlds, 1)."""
    profile = question.profile
    assert profile is not None
    d, law = question.work.deployment, profile.discrepancy
    own = f"{profile.id} {question.hardware.id} {d.weights_label} {d.tp} {d.pp} {d.ep}"
    errors = [("law " + own, law.prefill, law.decode)]
    errors += [(f"{profile.id} {one.what} {one.words}", one.error.prefill, one.error.decode) for one in question.moves]
    logs = [np.zeros(draws), np.zeros(draws)]
    for key, *pair in errors:
        for place, error in enumerate(pair):
            logs[place] = logs[place] + float(np.max(error)) * draw(f"{key} {place}", draws)
    prefill, decode = (np.exp(one)[:, np.newaxis] for one in logs)
    return prefill, decode
