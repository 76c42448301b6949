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
from simulator.explore.datasheet import CLOCK, TDP, UNITS, find_unit, is_peak, list_numbers, replace_numbers
from simulator.explore.dual import Dual, seed_duals, slopes_of, value_of
from simulator.metrics.rates import Rates
from simulator.metrics.registry import METRICS, TIMES, read_metric
from simulator.metrics.registry import list_numbers as list_metrics
from simulator.prediction import Prediction, Question, answer, describe_machine
from simulator.shown import Shown
from simulator.timing.intervals import NORMAL_90, find_scatter
from simulator.timing.passes import Machine
from simulator.timing.priors import list_factors
from simulator.timing.transfer import add_errors

PRICE, GRID, PUE = "price", "grid", "pue"
STEPPED = (UNITS, "resident_blocks")  # they divide whole blocks and tiles into whole waves
RATE_UNITS = {PRICE: "USD/s", GRID: "gCO2e/kWh", PUE: "1"}
MOST_NAMED = 5  # inputs in a line
NEAR = 1e-6  # of a logarithm: how far to either side of an input to look for a step
SAME = 1e-4  # difference of two elasticities that agree


@dataclass(frozen=True)
class Influence:
    """One input, with the elasticity of each metric to it; None where the metric is not defined.

    ``kind``: ``data sheet``, ``rate`` or ``factor``. ``stepped``: the times follow it in steps, or step or bend at
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

    def to_dict(self) -> dict[str, Any]:
        """One row of the answer; ``meaning`` is that of a factor."""
        meaning = list_factors().get(self.name)
        return {
            "input": self.name,
            "kind": self.kind,
            "value": self.value,
            "unit": self.unit,
            **{f"{metric}_elasticity": slope for metric, slope in self.elasticities.items()},
            "stepped": self.stepped,
            "standard_error": self.standard_error,
            "variance_share": self.variance_share,
            "known_share": self.known_share,
            "meaning": None if meaning is None else meaning.meaning,
        }


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
class Sensitivity(Shown):
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

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row an input, the most important first: what a tornado plot draws."""
        return [influence.to_dict() for influence in self.influences]

    def to_dict(self) -> dict[str, Any]:
        """What was asked with its prediction, the ranked inputs, and where the interval comes from."""
        spread = self.spread
        shares = ("factors", "correlations", "scatter", "transfer")
        interval = None if spread is None else {f"{name}_share": getattr(spread, name) for name in shares}
        return {
            "by": self.by,
            "prediction": self.prediction.to_dicts()[0],
            "sensitivities": self.to_dicts(),
            "combined": [one.to_dict() for one in self.combined],
            "interval": None if spread is None or interval is None else {"log_variance": spread.variance} | interval,
        }

    def __repr__(self) -> str:
        """The inputs that matter most, with their elasticities."""
        most = [(one.name, one.elasticities[self.by]) for one in self.influences[:MOST_NAMED]]
        named = ", ".join(f"{name} {slope:+.2f}" for name, slope in most if slope is not None)
        return f"Sensitivity({self.by} by {named}; {self.prediction!r})"


def find_sensitivity(question: Question, by: str = "e2e_s") -> Sensitivity:
    """Derive the metrics of one request by all that they depend on, the inputs that matter most first.

    Args:
        question: with plain numbers of tokens and requests.
        by: the metric that ranks; any number that depends on a time.

    Raises:
        InputError: the metric that ranks is not known, or depends on nothing that is derived by.
    """
    read_metric(by, "--by")
    prediction = answer(question)
    inputs = list_inputs(question)
    derived = derive_metrics(question, inputs, seed_duals(inputs))
    metrics = {name: metric for name, metric in derived.items() if metric is None or isinstance(metric, Dual)}
    if metrics.get(by) is None:
        depends = ", ".join(name for name, metric in metrics.items() if metric is not None)
        lack = prediction.lacks.get(by)
        raise InputError(f"there is no {by} here: {lack}" if lack else f"{by} depends on no time (these do: {depends})")
    values = {name: None if metric is None else value_of(metric) for name, metric in metrics.items()}
    slopes = {name: find_elasticities(metric, len(inputs)) for name, metric in metrics.items()}
    spread, shares = find_spread(prediction, by, list(inputs), slopes[by])
    influences = []
    for place, (name, value) in enumerate(inputs.items()):
        own = {metric: None if slope is None else float(slope[place]) for metric, slope in slopes.items()}
        stepped = (name in STEPPED and any(own.values())) or (
            (find_kind(name) == "data sheet" or name in STEPPED)
            and has_step_beside(question, inputs, name, values, own)
        )  # no other factor goes in steps
        shared = shares.get(name, (None, None, None))
        influences.append(Influence(name, find_kind(name), value, find_input_unit(name), own, stepped, *shared))
    influences.sort(key=lambda influence: -abs(influence.elasticities[by] or 0.0))
    return Sensitivity(prediction, by, values, influences, combine_with_peaks(question, inputs, influences), spread)


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
    few, many = (
        derive_metrics(question, inputs, inputs | {name: inputs[name] * factor for name in (UNITS, *peaks)})
        for factor in (0.5, 2.0)
    )
    defined = [metric for metric, slope in found[CLOCK].elasticities.items() if slope is not None]
    combined = {
        CLOCK: {metric: sum(found[name].elasticities[metric] or 0.0 for name in (CLOCK, *peaks)) for metric in defined},
        UNITS: {metric: math.log(many[metric] / few[metric]) / math.log(4) for metric in defined},
    }
    return [
        replace(
            found[name],
            name=f"{name} with peaks",
            elasticities=dict.fromkeys(found[CLOCK].elasticities) | slopes,
            stepped=False,
        )
        for name, slopes in combined.items()
    ]


def find_kind(name: str) -> str:
    """What an input is: of the data sheet, a rate (price, grid, PUE), or a factor of the profile."""
    return "factor" if name in list_factors() else "rate" if name in RATE_UNITS else "data sheet"


def find_input_unit(name: str) -> str:
    """SI unit of an input; of the grid the one in which intensities are given."""
    if name in RATE_UNITS:
        return RATE_UNITS[name]
    known = list_factors()
    return known[name].unit if name in known else find_unit(name)


def list_inputs(question: Question) -> dict[str, float]:
    """The numbers of the data sheet that reach a time or the energy, the rates and the factors, by name."""
    inputs = {name: float(value) for name, value in list_used_numbers(question).items()}
    price, grid, site = question.rates
    if question.hardware.power is not None:
        inputs |= {TDP: float(question.hardware.power.tdp), GRID: grid.g_co2e_per_kwh, PUE: site.pue}
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
    return change_question(question, numbers).machine


def change_question(question: Question, numbers: dict[str, Any]) -> Question:
    """A question with other numbers of the data sheet, rates and factors, by name."""
    hardware = replace_numbers(question.hardware, {name: x for name, x in numbers.items() if "." in name})
    work = question.work
    machine = describe_machine(hardware, work.stack, work.deployment, question.profile)
    if machine.factors is not None:
        known = machine.factors
        moved = {name: numbers[name] for name in known.names if name in numbers}
        machine = machine._replace(factors=known.replace(**moved))
    price, grid, site = question.rates
    rates = Rates(
        None if price is None else replace(price, price=numbers.get(PRICE, price.price)),
        replace(grid, g_co2e_per_kwh=numbers.get(GRID, grid.g_co2e_per_kwh)),
        replace(site, pue=numbers.get(PUE, site.pue)),
    )
    return replace(question, hardware=hardware, machine=machine, rates=rates)


def derive_metrics(question: Question, inputs: dict[str, float], numbers: dict[str, Any]) -> dict[str, Any]:
    """All metrics that are numbers, at numbers of any kind in place of the inputs; None of one that is not known."""
    prediction = answer(change_question(question, {name: numbers[name] for name in inputs}))
    lacks = prediction.lacks
    return {one.name: None if one.name in lacks else prediction.find(one.name) for one in list_metrics()}


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
    moved = find_move_variance(prediction, by)
    scatter = max(variance - carried - moved, 0.0)
    whole = carried + moved + scatter
    known = np.divide(joint**2, np.diag(covariance), out=np.zeros_like(joint), where=np.diag(covariance) > 0)
    errors = np.sqrt(np.diag(covariance))
    shares = zip(errors.tolist(), (own / whole).tolist(), (known / whole).tolist(), strict=True)
    parts = (float(np.sum(own)), carried - float(np.sum(own)), scatter, moved)
    return Spread(whole, *(part / whole for part in parts)), dict(zip(names, shares, strict=True))


def find_move_variance(prediction: Prediction, by: str) -> float:
    """Variance of the logarithm of a metric by what the question differs in from the profile's measurements."""
    follows = METRICS[by].follows
    assert follows is not None
    errors = find_scatter(add_errors(prediction.question.moves), prediction.times)
    return float(dict(zip(TIMES, errors, strict=True))[follows.time] ** 2)


def find_variance(prediction: Prediction, by: str) -> float | None:
    """Variance of the logarithm of a metric, by the 90% interval of the time which it follows; None without one."""
    intervals, follows = prediction.intervals, METRICS[by].follows
    if intervals is None or follows is None:
        return None
    width = getattr(intervals.high, follows.time) / getattr(intervals.low, follows.time)
    return (math.log(width) / (2 * NORMAL_90)) ** 2 if width > 1 else None
