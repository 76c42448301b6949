"""What a time depends on: its elasticity to every number of the data sheet and to every factor of the profile.

The elasticity is ``d log(time) / d log(input)``: by how many percent the time grows with one percent more of the input.
The derivatives are exact, carried by dual numbers through the laws that ``predict`` runs. What moves in steps, such as
the number of waves of tiles, has derivative zero: the elasticity is that of the time between its steps. The number of
units, and any input that stands at a step or a corner, is marked as stepped.

Each number moves alone. More units share the peak, so they are slower ones, and the waves that they save are steps; a
higher clock leaves the peak as it is. What they do with peaks that grow in proportion ``combined`` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.explore.datasheet import CLOCK, UNITS, find_unit, is_peak, list_numbers, replace_numbers
from simulator.explore.dual import Dual, seed_duals, slopes_of, value_of
from simulator.metrics.rates import Price, cost_request
from simulator.prediction import Prediction, Question, answer, describe_machine
from simulator.timing.intervals import NORMAL_90, TRANSFER_STANDARD_ERROR
from simulator.timing.passes import Machine
from simulator.timing.priors import list_factors
from simulator.timing.request import Times, combine_times, time_request

METRICS = ("ttft_s", "tpot_s", "e2e_s", "cost_usd")
PRICE = "price"
NEAR = 1e-6  # of a logarithm: how far to either side of an input to look for a step
SAME = 1e-4  # difference of two elasticities that agree


@dataclass(frozen=True)
class Influence:
    """One input, with the elasticity of each metric to it; None where the metric is not defined.

    ``kind``: ``data sheet``, ``price`` or ``factor``. ``stepped``: the times follow it in steps, or step or bend at
    this very value; the elasticities are slopes between the steps. The rest is of factors alone. ``standard_error`` is
    relative.
    ``variance_share``: ``(elasticity x standard error)^2`` over the variance of the interval of the metric that was
    chosen. ``known_share``: how much of that variance would go were the factor known exactly, with what this tells of
    the factors that it is correlated with.
    """

    name: str
    kind: str
    value: float
    unit: str
    elasticities: dict[str, float | None]
    stepped: bool = False
    standard_error: float | None = None
    variance_share: float | None = None
    known_share: float | None = None


@dataclass(frozen=True)
class Spread:
    """The variance of the logarithm of a metric, and the shares of it, which add up to 1.

    ``factors``: each factor on its own, as in ``Influence.variance_share``. ``correlations``: what their correlations
    add to or take from that. ``scatter``: of the law against measurements. ``transfer``: to a device or stack that was
    not measured.
    """

    variance: float
    factors: float
    correlations: float
    scatter: float
    transfer: float


@dataclass(frozen=True)
class Sensitivity:
    """The answer: inputs by how much they matter for the metric ``by``, and where its interval comes from.

    ``combined``: the clock, and the units, with the peaks in proportion. For units, which act through waves of tiles,
    the elasticity is the mean from half to twice as many.
    """

    prediction: Prediction
    by: str
    metrics: dict[str, float | None]
    influences: list[Influence]
    combined: list[Influence]
    spread: Spread | None


def find_sensitivity(question: Question, by: str = "e2e_s", price: Price | None = None) -> Sensitivity:
    """Derive the times of one request by all that they depend on, the inputs that matter most first.

    Args:
        question: with plain numbers of tokens and requests.
        by: the metric that ranks: ``ttft_s``, ``tpot_s``, ``e2e_s`` or ``cost_usd``.
        price: of one device; None leaves the cost out.

    Raises:
        InputError: the metric that ranks is not defined.
    """
    prediction = answer(question)
    inputs = list_inputs(question, price)
    metrics = derive_metrics(question, inputs, seed_duals(inputs))
    values = {name: None if metric is None else value_of(metric) for name, metric in metrics.items()}
    if values[by] is None:
        raise InputError(f"there is no {by} here: {explain_undefined(question, by)}")
    slopes = {name: find_elasticities(metric, len(inputs)) for name, metric in metrics.items()}
    spread, shares = find_spread(prediction, by, list(inputs), slopes[by])
    influences = []
    for place, (name, value) in enumerate(inputs.items()):
        own = {metric: None if slope is None else float(slope[place]) for metric, slope in slopes.items()}
        stepped = (name == UNITS and any(own.values())) or (
            find_kind(name) == "data sheet" and has_step_beside(question, inputs, name, values, own)
        )  # a factor that was fitted stands at no step
        shared = shares.get(name, (None, None, None))
        influences.append(Influence(name, find_kind(name), value, find_input_unit(name), own, stepped, *shared))
    influences.sort(key=lambda influence: -abs(influence.elasticities[by] or 0.0))
    return Sensitivity(prediction, by, values, influences, combine_with_peaks(question, inputs, influences), spread)


def explain_undefined(question: Question, by: str) -> str:
    """Why a metric is not defined."""
    if by == "cost_usd":
        return f"no price ships for {question.hardware.id}; give one with --price '2.50 USD/h'"
    return "a request of one output token has none (--output-tokens)"


def has_step_beside(
    question: Question,
    inputs: dict[str, float],
    name: str,
    values: Mapping[str, float | None],
    slopes: Mapping[str, float | None],
) -> bool:
    """Whether the metrics just beside an input are others than its elasticities say."""
    for side in (-NEAR, NEAR):
        moved = derive_metrics(question, inputs, inputs | {name: inputs[name] * math.exp(side)})
        for metric, slope in slopes.items():
            if slope is not None and abs(math.log(moved[metric] / values[metric]) / side - slope) > SAME:
                return True
    return False


def combine_with_peaks(question: Question, inputs: dict[str, float], influences: list[Influence]) -> list[Influence]:
    """The clock and the units, each with the peaks in proportion, where a time depends on both."""
    found = {one.name: one for one in influences}
    peaks = [name for name in inputs if is_peak(name)]
    if CLOCK not in found or not peaks:
        return []
    times = [
        derive_metrics(question, inputs, inputs | {name: inputs[name] * factor for name in (UNITS, *peaks)})
        for factor in (0.5, 2.0)
    ]
    defined = [metric for metric, slope in found[CLOCK].elasticities.items() if slope is not None]
    combined = {
        CLOCK: {metric: sum(found[name].elasticities[metric] or 0.0 for name in (CLOCK, *peaks)) for metric in defined},
        UNITS: {metric: math.log(times[1][metric] / times[0][metric]) / math.log(4) for metric in defined},
    }
    return [
        replace(found[name], name=f"{name} with peaks", elasticities=dict.fromkeys(METRICS) | slopes, stepped=False)
        for name, slopes in combined.items()
    ]


def find_kind(name: str) -> str:
    """What an input is: of the data sheet, a price, or a factor of the profile."""
    return "factor" if name in list_factors() else "price" if name == PRICE else "data sheet"


def find_input_unit(name: str) -> str:
    """SI unit of an input."""
    if name == PRICE:
        return "USD/s"
    known = list_factors()
    return known[name].unit if name in known else find_unit(name)


def list_inputs(question: Question, price: Price | None) -> dict[str, float]:
    """The numbers of the data sheet that reach the time laws, the price and the factors, by name."""
    inputs = {name: float(value) for name, value in list_used_numbers(question).items()}
    if price is not None:
        inputs[PRICE] = price.price
    factors = question.machine.factors
    if factors is not None:
        inputs |= dict(zip(factors.names, factors, strict=True))
    return inputs


def list_used_numbers(question: Question) -> dict[str, float]:
    """The numbers of the data sheet that reach the time laws of a question, by key."""
    numbers = list_numbers(question.hardware)
    machine = describe_with(question, seed_duals(numbers))
    reached = sum(np.abs(slopes_of(number)) for number in (*machine.device, *machine.device.links))
    return {name: value for (name, value), there in zip(numbers.items(), np.asarray(reached) > 0, strict=True) if there}


def describe_with(question: Question, numbers: dict[str, Any]) -> Machine:
    """The machine of a question with other numbers of the data sheet and other factors, by name."""
    hardware = replace_numbers(question.hardware, {name: x for name, x in numbers.items() if "." in name})
    work = question.work
    machine = describe_machine(hardware, work.stack, work.deployment, question.profile)
    if machine.factors is None:
        return machine
    known = machine.factors
    return machine._replace(factors=known.replace(**{name: numbers[name] for name in known.names if name in numbers}))


def derive_metrics(question: Question, inputs: dict[str, float], numbers: dict[str, Any]) -> dict[str, Any]:
    """The metrics at numbers of any kind in place of the inputs; None of a metric that is not defined."""
    request = time_request(question.passes, describe_with(question, {name: numbers[name] for name in inputs}))
    times = combine_times(request, question.work.workload)
    found = {name: getattr(times, name) for name in Times._fields}
    if math.isnan(value_of(times.tpot_s)):
        found["tpot_s"] = None
    if PRICE not in inputs:
        return found | {"cost_usd": None}
    devices, batch = question.work.deployment.devices, question.work.workload.batch_size
    return found | {"cost_usd": cost_request(numbers[PRICE], devices, times.e2e_s, batch)}


def find_elasticities(metric: Any, inputs: int) -> NDArray[np.float64] | None:
    """Elasticities of a metric to all inputs, derived by their logarithms; None where it is not defined."""
    if metric is None:
        return None
    return metric.slopes / metric.value if isinstance(metric, Dual) else np.zeros(inputs)


def find_spread(
    prediction: Prediction, by: str, inputs: list[str], slopes: NDArray[np.float64] | None
) -> tuple[Spread | None, dict[str, tuple[float, float, float]]]:
    """Where the interval of a metric comes from, and of each factor its standard error, own share and known share.

    The variance is that of the interval which ``predict`` gives; what neither the factors nor the transfer account for
    is the scatter of the law.
    """
    knowledge = prediction.question.knowledge
    variance = find_variance(prediction, by)
    if knowledge is None or slopes is None or variance is None:
        return None, {}
    names = list(knowledge.factors.names)
    elasticities = slopes[[inputs.index(name) for name in names]]
    covariance = knowledge.log_covariance(names)
    own = elasticities**2 * np.diag(covariance)
    joint = covariance @ elasticities
    carried = max(float(elasticities @ joint), 0.0)
    moved = TRANSFER_STANDARD_ERROR**2 if prediction.basis == "transfer" else 0.0
    scatter = max(variance - carried - moved, 0.0)
    whole = carried + moved + scatter
    known = np.divide(joint**2, np.diag(covariance), out=np.zeros_like(joint), where=np.diag(covariance) > 0)
    errors = np.sqrt(np.diag(covariance))
    shares = zip(errors.tolist(), (own / whole).tolist(), (known / whole).tolist(), strict=True)
    parts = (float(np.sum(own)), carried - float(np.sum(own)), scatter, moved)
    return Spread(whole, *(part / whole for part in parts)), dict(zip(names, shares, strict=True))


def find_variance(prediction: Prediction, by: str) -> float | None:
    """Variance of the logarithm of a metric, by its 90% interval; None of a bound. A cost varies as its time does."""
    intervals = prediction.intervals
    if intervals is None:
        return None
    name = "e2e_s" if by == "cost_usd" else by
    width = getattr(intervals.high, name) / getattr(intervals.low, name)
    return (math.log(width) / (2 * NORMAL_90)) ** 2 if width > 1 else None
