"""The one way to an answer: ``predict`` resolves the question, times it and returns a ``Prediction``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from simulator.costs.footprint import Footprint
from simulator.costs.parameters import count_parameters
from simulator.costs.request import RequestPasses, Work, build_request
from simulator.errors import RebuiltModelWarning
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.deployment import Deployment, check_deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_model
from simulator.inputs.settle import settle_formats
from simulator.inputs.stack import Stack
from simulator.inputs.stack_support import find_obstacle, list_formats_asked
from simulator.inputs.what_if import change_architecture, describe
from simulator.inputs.workload import Workload, check_workload
from simulator.metrics.capacity import measure_on
from simulator.metrics.fit import check_fit
from simulator.metrics.metric import ENDS, Conditions, Metric
from simulator.metrics.rates import SHIPPED_RATES, AskedRates, Rates
from simulator.metrics.registry import METRICS, TIMES, find_column, list_columns
from simulator.shown import Shown, write_range
from simulator.timing.device import describe_device
from simulator.timing.factors import Factors
from simulator.timing.intervals import Intervals, find_intervals, list_used_factors
from simulator.timing.passes import Machine
from simulator.timing.profile import Knowledge, Profile, complete
from simulator.timing.request import RequestTime, Times, combine_times, time_request
from simulator.timing.software import choose_software, find_place
from simulator.timing.transfer import Move, list_moves, widen_spread
from simulator.units import format_seconds

SAME_SIZE = 0.02  # relative difference of parameters up to which a model counts as built as it is


@frozen_dataclass
class Question:
    """A resolved question: every name replaced by what it stands for."""

    model: ModelSpec
    hardware: Hardware
    profile: Profile | None
    work: Work
    machine: Machine
    changes: Mapping[str, Any]
    rates: Rates

    @property
    def model_label(self) -> str:
        """The model's id, with what was changed of it."""
        return f"{self.model.id} ({describe(self.changes)})" if self.changes else self.model.id

    @property
    def basis(self) -> str:
        """``calibrated``, ``transfer`` (a profile of another device or stack) or ``bound`` (no profile)."""
        if self.profile is None:
            return "bound"
        return "calibrated" if self.profile.is_of(self.hardware.id, self.work.stack.id) else "transfer"

    @property
    def caution(self) -> str:
        """What follows the basis where the calibration of the profile refuses it; else nothing."""
        return ", a profile that its own calibration refuses" if self.profile and self.profile.refusal else ""

    @property
    def obstacle(self) -> str | None:
        """Why the stack could not serve the model on this device; None where nothing is known against it."""
        formats = list_formats_asked(self.work.deployment, self.model.formats)
        return find_obstacle(self.work.stack, self.model.architecture, formats, self.hardware)

    @property
    def carried(self) -> list[str]:
        """In words what differs from what the profile was fitted to."""
        return [move.words for move in self.moves]

    @property
    def built_parameters(self) -> int:
        """Parameters of the model as the stack builds it."""
        return int(count_parameters(self.work.architecture))

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """Everything in which the question differs from what the profile was fitted to; nothing of a bound."""
        if self.profile is None:
            return ()
        return list_moves(self.profile, self.hardware, self.model.id, self.work)

    @property
    def conditions(self) -> Conditions:
        """What decides which metrics there are."""
        return Conditions(self.hardware, self.rates, self.profile, self.work.workload.output_tokens)

    @cached_property
    def passes(self) -> RequestPasses:
        """The forward passes of the request."""
        return build_request(self.work)

    @property
    def knowledge(self) -> Knowledge | None:
        """What is known of all factors here; None for a bound."""
        profile, traits = self.profile, self.machine.device.traits
        return None if profile is None else complete(profile, traits, self.work.stack, self.basis == "calibrated")

    def times(self, factors: Factors | None) -> RequestTime:
        """Time the request with other factors than the profile's."""
        return time_request(self.passes, self.machine._replace(factors=factors))


@frozen_dataclass(eq=False)
class Prediction(Shown):
    """The answer: every metric of ``metrics.registry`` is an attribute, worked out when it is first asked for.

    Times are in seconds, sizes in bytes; each a number, or an array where the request has arrays, and NaN where it is
    not defined: ``tpot_s`` of one output token, ``cost_usd`` without a price (``lacks`` says why). The 90% intervals
    ``*_low`` and ``*_high`` are None without a profile.
    """

    question: Question
    request: RequestTime

    @cached_property
    def footprint(self) -> Footprint:
        """Memory that the request needs, bytes."""
        return measure_on(self.question.hardware, *self.question.work)

    @cached_property
    def times(self) -> Times:
        """The three times, seconds."""
        return combine_times(self.request, self.question.work.workload)

    @cached_property
    def intervals(self) -> Intervals | None:
        """90% intervals of the three times; None for a bound."""
        knowledge = self.question.knowledge
        if knowledge is None:
            return None
        workload = self.question.work.workload

        def law(factors: Factors) -> Times:
            return combine_times(self.question.times(factors), workload)

        used = list_used_factors(self.question.passes, self.question.machine)
        spread = widen_spread(knowledge.profile, self.question.moves)
        return find_intervals(knowledge, used, law, np.ndim(self.times.e2e_s), spread)

    def __getattr__(self, name: str) -> Any:
        """A metric or an end of its interval, kept from then on; the registry says what each is.

        Raises:
            AttributeError: there is no such metric.
        """
        column = find_column(name)
        if column is None:
            raise AttributeError(f"{type(self).__name__!r} has no attribute or metric {name!r}")
        metric, end = column
        value = self.find_end(metric, end) if end else metric.measure(self, self.question.conditions)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        """The attributes, the metrics among them."""
        return [*super().__dir__(), *list_columns()]

    def find(self, column: str) -> Any:
        """A metric or an end of its interval by its name."""
        return getattr(self, column)

    def find_end(self, metric: Metric, end: str) -> Any:
        """An end of the 90% interval of a metric, by that of the time which it follows; None for a bound."""
        if self.intervals is None or metric.follows is None:
            return None
        time, power = metric.follows
        same = (end == "_low") == (power == 1)
        moved = getattr(self.intervals.low if same else self.intervals.high, time)
        if metric.name == time:
            return moved
        return self.find(metric.name) * (moved / getattr(self.times, time)) ** power

    @property
    def carried(self) -> list[str]:
        """In words what differs from what the profile was fitted to."""
        return self.question.carried

    @property
    def lacks(self) -> dict[str, str]:
        """Metrics that are not known, each with the reason in words."""
        found = {name: metric.find_lack(self.question.conditions) for name, metric in METRICS.items()}
        return {name: lack for name, lack in found.items() if lack is not None}

    @property
    def formats_from(self) -> str:
        """Where the number formats come from: the options, the checkpoint, or the default; in words."""
        return self.question.work.deployment.formats_from

    def __repr__(self) -> str:
        """What was asked of what, and the times, those of a single request with their 90% intervals; in one line."""
        question = self.question
        prompt, output, batch = (write_range(count, "{:,.0f}".format) for count in question.work.workload.counts)
        place = f"{question.model_label} on {self.devices} x {question.hardware.id}, {question.work.stack.id}"
        times = ", ".join(self.describe_time(name) for name in TIMES)
        return f"Prediction({place}, {prompt} + {output} tokens, batch {batch}: {times}; {question.basis})"

    def describe_time(self, name: str) -> str:
        """A time in words."""
        value = self.find(name)
        text = f"{name} {write_range(value, format_seconds)}"
        if self.intervals is None or np.ndim(value):
            return text
        return f"{text} ({format_seconds(self.find(name + ENDS[0]))} to {format_seconds(self.find(name + ENDS[1]))})"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a request: what was asked, then all metrics and the ends of their intervals."""
        from simulator.metrics.rows import list_rows

        return list_rows(self)

    def to_dict(self) -> dict[str, Any]:
        """All metrics and the ends of their intervals by name."""
        return {name: self.find(name) for name in list_columns()}


def predict(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None = None,
    *,
    stack: str | Path | Stack | None = None,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: int = 1,
    micro_batches: int = 1,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
    prompt_tokens: Any = 512,
    output_tokens: Any = 128,
    batch_size: Any = 1,
    identical_prompts: bool = False,
    changes: Mapping[str, Any] | None = None,
    hardware_changes: Mapping[str, str] | None = None,
    assume_fits: bool = False,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
) -> Prediction:
    """Predict the time of a request.

    Args:
        model: name or alias, YAML, Hugging Face ``config.json`` or its folder, or an object.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound, with every efficiency 1 and no overhead;
            None for the shipped profile with the least transfer error.
        stack: name, YAML or object; an engine without a version (``"vllm"``) is the version that can be carried best.
            None: the profile's stack where one is named, the ideal one for a bound, else what the device is served
            with.
        tp: tensor-parallel size, devices that share every layer.
        pp: pipeline-parallel size, groups of devices that hold consecutive layers.
        dp: replicas of the model, which share the batch.
        ep: devices that experts are spread over, of one replica or of several.
        micro_batches: parts in which the batch goes through the pipeline.
        dtype: format of matrix products with weights and of their inputs; all else is of 16 bits at least. None: the
            checkpoint's own formats, bf16 where none are known.
        weight_dtype: format of weights; None: ``dtype``, else the checkpoint's own.
        kv_dtype: format of the KV cache; None: the same, of 16 bits at least with a ``dtype``.
        prompt_tokens: tokens of the prompt; a number or an array.
        output_tokens: tokens to generate, the first included; a number or an array.
        batch_size: requests that run together; a number or an array. The three broadcast.
        identical_prompts: whether all requests of the batch are the same text, so that all meet the same experts.
        changes: architecture fields to change, once the stack has built the model.
        hardware_changes: numbers of the data sheet to change, as text with units: ``{"memory.bandwidth": "4.8 TB/s"}``.
        assume_fits: answer even where the model does not fit in memory.
        price: of one device, such as ``"4.096 USD/h"``, or by name; None: the first that ships for the device.
        grid: carbon intensity of electricity, such as ``"400 gCO2e/kWh"``, or by name; None: the world's mean.
        pue: power usage effectiveness of the site, a number as text or by name; None: the average.

    Returns:
        Times in seconds, sizes in bytes, of the shape that the three counts broadcast to; plain numbers of such.

    Raises:
        InputError: a name, file, layout or count that is wrong.
        ImpossibleError: it does not fit in memory.
    """
    deployment = Deployment(tp, pp, dp, ep, micro_batches, dtype, weight_dtype, kv_dtype)
    workload = Workload(prompt_tokens, output_tokens, batch_size, identical_prompts=identical_prompts)
    asked = AskedRates(price, grid, pue)
    place = find_place(load_model(model), hardware, hardware_changes or {}, calibration, stack, deployment)
    question = resolve(model, *place, deployment, workload, changes or {}, asked)
    warn_of_build(question)
    prediction = answer(question)
    if not assume_fits:
        check_fit(prediction)
    return prediction


def resolve(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None,
    stack: str | Path | Stack | None,
    deployment: Deployment,
    workload: Workload,
    changes: Mapping[str, Any] = MappingProxyType({}),
    rates: AskedRates | Rates = SHIPPED_RATES,
) -> Question:
    """Replace every name of a question by what it stands for, and check that the parts go together.

    Raises:
        InputError: with the first reason found.
    """
    spec = load_model(model)
    device = load_hardware(hardware)
    profile, chosen = choose_software(device, stack, calibration, spec, deployment)
    architecture = chosen.build(spec.architecture, spec.id)
    if changes:
        architecture = change_architecture(architecture, changes)
    deployment = store_weights(settle_formats(deployment, spec.formats, device, chosen), chosen)
    check_deployment(deployment, architecture, device, chosen)
    learned = architecture.position_embedding == "learned"
    workload = check_workload(workload, architecture.max_position_embeddings, learned)
    machine = describe_machine(device, chosen, deployment, profile)
    known = rates.find(device.id) if isinstance(rates, AskedRates) else rates
    return Question(spec, device, profile, Work(architecture, deployment, chosen, workload), machine, changes, known)


def describe_build(model: ModelSpec, stack: Stack) -> str | None:
    """How much smaller or larger than it is a stack builds a model; None where it does not."""
    if not stack.rebuilds:
        return None
    named, built = map(count_parameters, (model.architecture, stack.build(model.architecture, model.id)))
    if abs(built / named - 1) <= SAME_SIZE:
        return None
    sizes = f"{built / 1e9:.3g} billion parameters, not {named / 1e9:.3g}"
    return f"stack {stack.id} builds {model.id} as a model of {sizes}"


def warn_of_build(question: Question) -> None:
    """Warn whoever called the caller where the stack builds another model than the one that was named."""
    built = None if question.changes else describe_build(question.model, question.work.stack)
    if built is not None:
        warnings.warn(built, RebuiltModelWarning, stacklevel=3)


def store_weights(deployment: Deployment, stack: Stack) -> Deployment:
    """Put in the format in which a stack stores weights of the named one."""
    stored = (stack.stores_as or {}).get(deployment.weight_dtype or deployment.input_dtype)
    return deployment if stored is None or deployment.own is not None else replace(deployment, weight_dtype=stored)


def describe_machine(hardware: Hardware, stack: Stack, deployment: Deployment, profile: Profile | None) -> Machine:
    """Collect what the time laws need beside the work.

    Raises:
        InputError: the data sheet lacks a peak for the data type, or a link that the layout needs.
    """
    device = describe_device(hardware, deployment, stack)
    if profile is None:
        return Machine(device, None)
    at_home = profile.is_of(hardware.id, stack.id)
    return Machine(device, complete(profile, device.traits, stack, at_home).factors)


def answer(question: Question) -> Prediction:
    """Time a resolved question."""
    return Prediction(question, time_request(question.passes, question.machine))
