"""Several questions side by side, and the ratios of their answers with intervals.

Two answers that rest on the same profile share the errors of its factors, so that much of them cancels in a ratio.
With ``s`` the derivatives of the logarithm of a time by the logarithms of the factors and ``C`` their covariance, the
variance of the logarithm of a ratio is ``(s - s0)' C (s - s0)`` plus the scatter of both answers; that is the sum of
both variances less twice ``s' C s0``. Answers by different profiles are independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ImpossibleError, InputError
from simulator.explore.sweep.space import (
    COUNTS,
    Counts,
    DeviceName,
    FormatName,
    ModelName,
    ProfileName,
    Several,
    StackName,
    read_counts,
    read_name,
)
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.deployment import ASKED, Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_model
from simulator.inputs.what_if import change_architecture
from simulator.inputs.workload import Workload
from simulator.metrics.fit import describe_misfit
from simulator.metrics.layout import describe_layout
from simulator.metrics.metric import Metric
from simulator.metrics.rates import AskedRates, Rates
from simulator.metrics.registry import TIMES, list_numbers
from simulator.prediction import Prediction, answer, resolve
from simulator.shown import Shown
from simulator.timing.factors import find_log_slopes, perturb_factors
from simulator.timing.intervals import NORMAL_90, find_scatter
from simulator.timing.profile import Knowledge
from simulator.timing.request import combine_times
from simulator.timing.software import Place, find_place
from simulator.timing.transfer import add_errors

MOST_COMBINATIONS = 1000


class Impossible(NamedTuple):
    """A combination that cannot be, and why."""

    label: str
    reason: str


class Ratio(NamedTuple):
    """One value over another, with its 90% interval; None where one of them has none."""

    value: float
    low: float | None
    high: float | None

    def move(self, value: float) -> Ratio:
        """Another ratio whose ends are as far from it, relatively."""
        if self.low is None or self.high is None:
            return Ratio(value, None, None)
        return Ratio(value, self.low * value / self.value, self.high * value / self.value)

    def invert(self) -> Ratio:
        """One over the ratio."""
        ends = (None, None) if self.low is None or self.high is None else (1 / self.high, 1 / self.low)
        return Ratio(1 / self.value, *ends)


@dataclass(frozen=True)
class Comparison(Shown):
    """What is possible, one prediction each of plain numbers, what is not, and the place of the baseline."""

    predictions: list[Prediction]
    impossible: list[Impossible]
    baseline: int

    @cached_property
    def ratios(self) -> list[dict[str, Ratio]]:
        """Ratios of every metric of each prediction to the baseline's, where both have it."""
        base = Answer(self.predictions[self.baseline])
        return [find_all_ratios(Answer(prediction), base) for prediction in self.predictions]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a combination: its number, what was asked, the metrics of the answer, and ratios to the baseline."""
        rows: list[dict[str, Any]] = []
        for index, (prediction, ratios) in enumerate(zip(self.predictions, self.ratios, strict=True)):
            (fields,) = prediction.to_dicts()
            row = {"row": index + 1} | fields | {"layout": describe_layout(prediction.question.work.deployment)}
            for metric in list_numbers():
                for end in Ratio._fields if metric.follows else ("value",):
                    key = f"{metric.name}_ratio" if end == "value" else f"{metric.name}_ratio_{end}"
                    row[key] = getattr(ratios[metric.name], end) if metric.name in ratios else None
            rows.append(row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything by name, as the command's JSON has it."""
        impossible = [one._asdict() for one in self.impossible]
        return {"baseline": self.baseline + 1, "rows": self.to_dicts(), "impossible": impossible}

    def __repr__(self) -> str:
        """The answers, a line each, the baseline starred."""
        lines = [f"{'*' if n == self.baseline else ' '}{n + 1}  {one!r}" for n, one in enumerate(self.predictions)]
        return "\n".join([f"Comparison({len(lines)} possible, {len(self.impossible)} not)", *lines])


class Answer:
    """A prediction with what its interval is made of, each an array over the three times."""

    def __init__(self, prediction: Prediction) -> None:
        """Take a prediction of plain numbers."""
        self.prediction = prediction
        self.question = prediction.question
        self.profile = prediction.question.profile

    @property
    def knowledge(self) -> Knowledge:
        """What is known of the factors; only of an answer with a profile."""
        assert self.question.knowledge is not None
        return self.question.knowledge

    @cached_property
    def log_slopes(self) -> NDArray[Any]:
        """Derivatives of the logarithms of the times by those of the factors, (factors, 3)."""
        factors = self.knowledge.factors
        moved = perturb_factors(factors, list(factors.names), 0)
        times = combine_times(self.question.times(moved), self.question.work.workload)
        return find_log_slopes(np.stack(np.broadcast_arrays(*times), axis=1))

    @cached_property
    def log_variances(self) -> NDArray[Any]:
        """Variances of the logarithms of the times, as their 90% intervals state them."""
        assert self.prediction.intervals is not None
        high, middle = np.array(self.prediction.intervals.high), np.array(self.prediction.times)
        return np.asarray((np.log(high / middle) / NORMAL_90) ** 2)


def compare(
    model: Several[ModelName],
    hardware: Several[DeviceName],
    calibration: Several[ProfileName] = None,
    *,
    stack: Several[StackName] = None,
    tp: Counts = 1,
    pp: Counts = 1,
    dp: Counts = 1,
    ep: Counts = 1,
    micro_batches: Counts = 1,
    dtype: Several[FormatName] = None,
    weight_dtype: Several[FormatName] = None,
    kv_dtype: Several[FormatName] = None,
    prompt_tokens: Counts = 512,
    output_tokens: Counts = 128,
    batch_size: Counts = 1,
    changes: Mapping[str, Any] | None = None,
    hardware_changes: Mapping[str, str] | None = None,
    baseline: int = 1,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    assume_fits: bool = False,
) -> Comparison:
    """Predict every combination of what is given, and set the answers side by side.

    Args:
        model: as of ``predict``, one or several; so is all up to ``batch_size``. The last varies fastest.
        hardware: device or devices.
        calibration: profile or profiles.
        stack: software stack or stacks.
        tp: tensor-parallel sizes: a number, several, or text such as ``"1-8*2"``; so are the sizes and counts below.
        pp: pipeline-parallel sizes.
        dp: replicas of the model.
        ep: devices that experts are spread over.
        micro_batches: parts of the batch in a pipeline.
        dtype: formats of matrix products.
        weight_dtype: formats of weights.
        kv_dtype: formats of the KV cache.
        prompt_tokens: tokens of the prompt.
        output_tokens: tokens to generate.
        batch_size: requests that run together.
        changes: architecture fields to change, of all models that take them.
        hardware_changes: numbers of the data sheets to change, as text with units.
        baseline: number of the row that ratios are to, from 1; only what is possible is a row.
        price: of one device, as of ``predict``, with ``grid`` and ``pue``.
        grid: carbon intensity of electricity.
        pue: power usage effectiveness of the site.
        assume_fits: keep what does not fit in memory, with times as if it did; else it is among ``impossible``.

    Returns:
        One prediction of plain numbers a row (times in seconds, sizes in bytes), and ratios to the baseline with 90%
        intervals in which the errors that both share cancel.

    Raises:
        InputError: too many combinations, fewer than the baseline's number, or changes that no model takes.
        ImpossibleError: no combination is possible.
    """
    models = [load_model(name) for name in read_name("model", model)]
    if changes:
        check_changes(models, changes)
    names = (read_name("hardware", hardware), read_name("stack", stack), read_name("calibration", calibration))
    layout = (tp, pp, dp, ep, micro_batches, dtype, weight_dtype, kv_dtype)
    deployments = [Deployment(*sizes) for sizes in product(*map(read_name, ASKED, layout))]
    counts = (prompt_tokens, output_tokens, batch_size)
    workloads = [Workload(*sizes) for sizes in product(*map(read_counts, COUNTS, counts))]
    count = math.prod(map(len, (models, *names, deployments, workloads)))
    if count > MOST_COMBINATIONS:
        raise InputError(f"{count:,} combinations are more than the {MOST_COMBINATIONS:,} that are set side by side")
    places = [
        (one, find_place(one, device, hardware_changes or {}, profile, named, deployment), deployment)
        for one, (device, named, profile), deployment in product(models, list(product(*names)), deployments)
    ]
    rates = AskedRates(price, grid, pue)
    known = rates.find_all(list(dict.fromkeys(place.hardware.id for _, place, _ in places)))
    predictions, impossible = predict_all(product(places, workloads), changes or {}, known)
    if not assume_fits:
        impossible += [refuse_misfit(one) for one in predictions if not one.fits]
        predictions = [one for one in predictions if one.fits]
    if not predictions:
        others = f" ({count - 1:,} others neither)" if count > 1 else ""
        raise ImpossibleError(f"not possible: {impossible[0].label}: {impossible[0].reason}{others}")
    if not 1 <= baseline <= len(predictions):
        raise InputError(f"--baseline is {baseline}; the rows that are possible are 1 to {len(predictions)}")
    return Comparison(predictions, impossible, baseline - 1)


def refuse_misfit(prediction: Prediction) -> Impossible:
    """A combination that does not fit in memory."""
    q = prediction.question
    return Impossible(label_combination(q.model_label, q.hardware, q.work.deployment), describe_misfit(prediction))


def label_combination(model: str, hardware: Hardware, deployment: Deployment) -> str:
    """A combination in words, whether it can be or not."""
    formats = "" if deployment.dtype is None else f", {deployment.dtype}"
    return f"{model} on {hardware.id}, {describe_layout(deployment)}{formats}"


def check_changes(models: Sequence[ModelSpec], changes: Mapping[str, Any]) -> None:
    """Refuse changes that no model takes.

    Raises:
        InputError: why the first one does not.
    """
    refusals = []
    for model in models:
        try:
            change_architecture(model.architecture, changes)
        except InputError as error:
            refusals.append(error)
    if len(refusals) == len(models):
        raise refusals[0]


def predict_all(
    combinations: Iterable[tuple[tuple[ModelSpec, Place, Deployment], Workload]],
    changes: Mapping[str, Any],
    rates: Mapping[str, Rates],
) -> tuple[list[Prediction], list[Impossible]]:
    """Predict what is possible, and say why the rest is not."""
    predictions, impossible = [], []
    for (model, place, deployment), workload in combinations:
        try:
            question = resolve(model, *place, deployment, workload, changes, rates[place.hardware.id])
        except InputError as error:
            impossible.append(Impossible(label_combination(model.id, place.hardware, deployment), str(error)))
        else:
            predictions.append(answer(question))
    return predictions, impossible


def find_all_ratios(one: Answer, base: Answer) -> dict[str, Ratio]:
    """Ratios of the metrics that both answers have and that are numbers above zero.

    Tokens, prices and devices are exact, so what follows a time has the width of that time's ratio.
    """
    times = find_ratios(one, base)
    ratios = {}
    for metric in list_numbers():
        mine, theirs = (float(answer.prediction.find(metric.name)) for answer in (one, base))
        if math.isfinite(mine) and theirs > 0:
            ratios[metric.name] = find_ratio(metric, mine / theirs, times)
    return ratios


def find_ratio(metric: Metric, value: float, times: Mapping[str, Ratio]) -> Ratio:
    """A ratio of a metric with the ends that it has by the ratio of the time which it follows."""
    if metric.follows is None:
        return Ratio(value, None, None)
    time, power = metric.follows
    return (times[time] if power == 1 else times[time].invert()).move(value)


def find_ratios(one: Answer, base: Answer) -> dict[str, Ratio]:
    """Ratios of the three times of an answer to those of another; NaN where a time does not exist.

    Of a question to itself they are 1, without a width.
    """
    values = [float(mine / theirs) for mine, theirs in zip(one.prediction.times, base.prediction.times, strict=True)]
    if one.profile is None or base.profile is None:
        ratios = [Ratio(value, None, None) for value in values]
    elif is_same(one, base):
        ratios = [Ratio(value, value, value) for value in values]
    else:
        widths = np.exp(NORMAL_90 * np.sqrt(find_ratio_variances(one, base)))
        ratios = [
            Ratio(value, value / width, value * width) for value, width in zip(values, widths.tolist(), strict=True)
        ]
    return dict(zip(TIMES, ratios, strict=True))


def is_same(one: Answer, other: Answer) -> bool:
    """Whether two answers are to the same question."""
    first, second = one.question, other.question
    return first is second or (first.work == second.work and first.machine == second.machine and is_akin(one, other))


def is_akin(one: Answer, other: Answer) -> bool:
    """Whether two answers rest on the same profile."""
    return one.profile is not None and one.profile == other.profile


def find_ratio_variances(one: Answer, base: Answer) -> NDArray[Any]:
    """Variances of the logarithms of the ratios of three times; the factors' errors are shared within a profile.

    So is the error of what both differ in from its measurements, where both answers are of one device and stack.
    """
    variances = one.log_variances + base.log_variances
    if not is_akin(one, base):
        return np.asarray(variances)
    covariance = one.knowledge.log_covariance(list(one.knowledge.factors.names))
    shared = np.einsum("it,ij,jt->t", one.log_slopes, covariance, base.log_slopes)
    if is_moved_alike(one, base):
        alike = [move for move in one.question.moves if move in base.question.moves]
        scatters = [find_scatter(add_errors(alike), answer.prediction.times) for answer in (one, base)]
        shared = shared + scatters[0] * scatters[1]
    return np.asarray(np.maximum(variances - 2 * shared, 0.0))


def is_moved_alike(one: Answer, other: Answer) -> bool:
    """Whether two answers are of the same device and stack."""
    first, second = one.question, other.question
    return first.hardware == second.hardware and first.work.stack == second.work.stack
