"""``calibrate plan``: the next few loads whose measurement would narrow the interval of an answer most.

What is known is the covariance of the factors (the profile's, and the priors' for what it does not hold), and beside it
one error of each phase that everything measured here would share: that of carrying the profile (``timing.transfer``).
Both are taken as further factors, which every measurement on this device sees in full; what a load leaves unexplained
is its own. The loads are chosen for the targets alone (I-optimal for them; ``load_design.choose_blocks``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration.fit.cases import Array, build_cases, predict_rows
from calibration.fit.least_squares import LAW_SCATTER, find_sigma
from calibration.fit.load_design import METRICS, Place, Setting, choose_blocks, list_settings, runs
from simulator.errors import InputError
from simulator.inputs.measurements import OWN_SOURCE, Measurement
from simulator.prediction import Question
from simulator.serving.workload import Load
from simulator.timing.factors import find_log_slopes, perturb_factors
from simulator.timing.intervals import NORMAL_90
from simulator.timing.priors import as_factors, choose_priors
from simulator.timing.transfer import Phases, add_errors

CANDIDATES = list_settings((128, 512, 2048, 8192), (32, 256), (1, 4, 16, 64))


@dataclass(frozen=True)
class Plan:
    """The loads in the order of what they tell, with half the width of the 90% interval of each target.

    ``widths`` has a row before the first and one after each: of the targets as shares of their values.
    """

    question: Question
    targets: list[str]
    candidates: list[Setting]
    settings: list[Setting]
    seconds: list[float]
    widths: Array


def plan_measurements(
    question: Question, load: Load, model: str, most: int, targets: list[str], longest_s: float
) -> Plan:
    """Choose up to so many loads, each of at most so many seconds, for what is asked of a load.

    Raises:
        InputError: a trace, or no load that can be measured.
    """
    if load.trace is not None:
        raise InputError("a plan is for a load of one kind of request: --concurrency or --request-rate, not --trace")
    if question.work.stack.scheduler is None and load.concurrency != 1:
        raise InputError(
            f"stack {question.work.stack.id} has no scheduler, and nothing is known of it under load; --concurrency 1"
        )
    place = Place.of(question, OWN_SOURCE, model)
    settings = [one for one in CANDIDATES if runs(question, one, place)]
    rows = [row for setting in settings for row in setting.make_rows(place)]
    asked = [make_target(load, place, name) for name in targets]
    priors = choose_priors(question.machine.device.traits, question.work.stack)
    names = list(priors)
    typical = question.machine.factors or as_factors(priors)
    cases = build_cases([*rows, *asked], "none", question.hardware, question.work.stack)
    values = predict_rows(cases, perturb_factors(typical, names, 1))
    seconds = [one.estimate_seconds(*values[0, 2 * at : 2 * at + 2]) for at, one in enumerate(settings)]
    kept = [at for at, each_s in enumerate(seconds) if each_s <= longest_s]
    if not kept:
        raise InputError(f"no load can be measured in {longest_s:.0f} s each; take a longer --time-budget")
    blocks = np.array([[2 * at, 2 * at + 1] for at in kept])
    slopes = add_shared(find_log_slopes(values), [*rows, *asked])
    covariance = find_covariance(question, names)
    noise = find_sigma(rows, question.hardware) ** 2
    measured, wanted = slopes[:, : len(rows)], slopes[:, len(rows) :]
    own = find_own_scatter(question, asked)
    widths = [find_half_widths(covariance, wanted, own)]
    chosen: list[int] = []
    for count in range(1, min(most, len(kept)) + 1):
        chosen, left = choose_blocks(measured, covariance, noise, blocks, wanted, count)
        widths.append(find_half_widths(left, wanted, own))
    picked = [kept[at] for at in chosen]
    return Plan(
        question,
        targets,
        [settings[at] for at in kept],
        [settings[at] for at in picked],
        [seconds[at] for at in picked],
        np.array(widths),
    )


def make_target(load: Load, place: Place, metric: str) -> Measurement:
    """What is asked, as a row without a value."""
    row = Measurement(*place, 1, load.prompt_tokens, load.output_tokens, metric, 1.0)
    spread: dict[str, Any] = {}
    if isinstance(load.lengths, tuple):
        spread = {"length_low": load.lengths[0], "length_high": load.lengths[1]}
    return replace(
        row,
        concurrency=load.concurrency,
        request_rate=load.request_rate,
        num_requests=load.num_requests,
        statistic="mean" if load.concurrency != 1 else "",
        **spread,
    )


def add_shared(slopes: Array, rows: list[Measurement]) -> Array:
    """Two more factors: an error that all times to first token here share, and one of all times per output token."""
    first = np.array([row.metric == "ttft_s" for row in rows], dtype=float)
    return np.concatenate([slopes, first[np.newaxis], 1 - first[np.newaxis]])


def find_covariance(question: Question, names: list[str]) -> Array:
    """Of the logarithms of the factors, and of the two errors of carrying the profile."""
    knowledge = question.knowledge
    if knowledge is None:
        priors = choose_priors(question.machine.device.traits, question.work.stack)
        factors, carried = np.diag([priors[name].spread ** 2 for name in names]), Phases(0.0, 0.0)
    else:
        factors, carried = knowledge.log_covariance(names), add_errors(question.moves)
    covariance = np.zeros((len(names) + 2, len(names) + 2))
    covariance[:-2, :-2] = factors
    covariance[-2, -2], covariance[-1, -1] = float(np.max(carried.prefill)) ** 2, float(np.max(carried.decode)) ** 2
    return covariance


def find_own_scatter(question: Question, rows: list[Measurement]) -> Array:
    """Variance of what is asked that no measurement of something else takes away: what the law leaves."""
    profile = question.profile
    left = Phases(LAW_SCATTER, LAW_SCATTER) if profile is None else profile.discrepancy
    return np.array([(left.prefill if row.metric == "ttft_s" else left.decode) ** 2 for row in rows], dtype=float)


def find_half_widths(covariance: Array, targets: Array, own: Array) -> Array:
    """Upper end of the 90% interval of each target over its value, less 1."""
    variance = np.einsum("fr,fg,gr->r", targets, covariance, targets) + own
    return np.asarray(np.expm1(NORMAL_90 * np.sqrt(variance)))


def check_targets(names: tuple[str, ...]) -> list[str]:
    """Which times are to be known; both where none is named."""
    return list(dict.fromkeys(names)) or list(METRICS)
