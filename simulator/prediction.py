"""The one way to an answer: ``predict`` resolves the question, times it and returns a ``Prediction``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from simulator.costs.footprint import Footprint, measure_footprint
from simulator.costs.request import RequestPasses, Work, build_request
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.deployment import Deployment, check_deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.inputs.stack import Stack
from simulator.inputs.what_if import change_architecture, describe
from simulator.inputs.workload import Workload, check_workload
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.utilisation import find_mbu, find_mfu
from simulator.numbers import Number
from simulator.timing.device import describe_device
from simulator.timing.factors import Factors
from simulator.timing.intervals import Intervals, find_intervals, list_used_factors
from simulator.timing.passes import Machine, find_bound
from simulator.timing.profile import Knowledge, Profile, complete, find_profile, load_profile
from simulator.timing.request import RequestTime, Times, combine_times, find_throughput, time_request

DEFAULT_STACK = "ideal"
TIME_FIELDS = ("ttft_s", "tpot_s", "e2e_s")
FIELDS = (
    *(name + end for name in TIME_FIELDS for end in ("", "_low", "_high")),
    "output_tokens_per_s",
    "devices",
    "fits",
    "weights_bytes",
    "kv_cache_bytes",
    "prefill_bound",
    "decode_bound",
    "mfu",
    "mbu",
    "basis",
)


@frozen_dataclass
class Question:
    """A resolved question: every name replaced by what it stands for."""

    model: ModelSpec
    hardware: Hardware
    profile: Profile | None
    work: Work
    machine: Machine
    changes: Mapping[str, Any]

    @property
    def model_label(self) -> str:
        """The model's id, with what was changed of it."""
        return f"{self.model.id} ({describe(self.changes)})" if self.changes else self.model.id

    @property
    def basis(self) -> str:
        """``calibrated``, ``transfer`` (a profile of another device or stack) or ``bound`` (no profile)."""
        if self.profile is None:
            return "bound"
        measured = (self.profile.hardware, self.profile.stack)
        return "calibrated" if measured == (self.hardware.id, self.work.stack.id) else "transfer"

    @cached_property
    def passes(self) -> RequestPasses:
        """The forward passes of the request."""
        return build_request(self.work)

    @property
    def knowledge(self) -> Knowledge | None:
        """What is known of all factors here; None for a bound."""
        return None if self.profile is None else complete(self.profile, self.machine.device.kind, self.work.stack)

    def times(self, factors: Factors | None) -> RequestTime:
        """Time the request with other factors than the profile's."""
        return time_request(self.passes, self.machine._replace(factors=factors))


@frozen_dataclass(eq=False)
class Prediction:
    """The answer. Times in seconds, sizes in bytes; each field a number, or an array where the request has arrays.

    ``ttft_s`` is the whole prefill with the first token. ``tpot_s`` is (E2E - TTFT) / (output tokens - 1), NaN where
    there is one output token. Bounds are one of ``host``, ``compute``, ``memory``, ``network``: what most of the pass
    waits for. The 90% intervals ``*_low`` and ``*_high`` are None without a profile.
    """

    question: Question
    request: RequestTime

    @cached_property
    def footprint(self) -> Footprint:
        """Memory that the request needs, bytes."""
        a, d, stack, workload = self.question.work
        return measure_footprint(a, d, stack, workload.prompt_tokens, workload.output_tokens, workload.batch_size)

    @cached_property
    def times(self) -> Times:
        """The three times, seconds."""
        return combine_times(self.request, self.question.work.workload)

    @property
    def ttft_s(self) -> Number:
        """Time to first token, seconds."""
        return self.times.ttft_s

    @property
    def tpot_s(self) -> Number:
        """Mean time per output token after the first, seconds."""
        return self.times.tpot_s

    @property
    def e2e_s(self) -> Number:
        """Time of the whole request, seconds."""
        return self.times.e2e_s

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
        return find_intervals(knowledge, used, law, np.ndim(self.e2e_s), self.basis == "transfer")

    @property
    def output_tokens_per_s(self) -> Number:
        """Output tokens per second over the batch."""
        return find_throughput(self.question.work.workload, self.e2e_s)

    @property
    def devices(self) -> int:
        """Devices in use."""
        return self.question.work.deployment.devices

    @property
    def fits(self) -> Number:
        """Whether weights, KV cache, activations and the runtime fit in what the stack uses of each device."""
        fits = self.footprint.device_bytes <= find_usable_bytes(self.question.hardware, self.question.work.stack)
        return fits if isinstance(fits, np.ndarray) else bool(fits)

    @property
    def weights_bytes(self) -> Number:
        """Weights over all devices, bytes."""
        return self.footprint.weights_bytes

    @property
    def kv_cache_bytes(self) -> Number:
        """KV cache at the end of the request over all devices, bytes."""
        return self.footprint.kv_cache_bytes

    @property
    def prefill_bound(self) -> Any:
        """What the prefill waits for."""
        return find_bound(self.request.prefill, self.question.machine)

    @property
    def decode_bound(self) -> Any:
        """What a decode pass waits for."""
        return find_bound(self.request.decode, self.question.machine)

    @property
    def mfu(self) -> Number:
        """Model FLOPs utilisation of the prefill."""
        work, machine = self.question.work, self.question.machine
        return find_mfu(work, self.ttft_s, machine.device)

    @property
    def mbu(self) -> Number:
        """Model bandwidth utilisation of decode; NaN where there is one output token."""
        work, machine = self.question.work, self.question.machine
        passes = self.question.passes
        return find_mbu(passes.decode, self.tpot_s, machine.device, work.deployment.pp, passes.micro_batches)

    @property
    def basis(self) -> str:
        """``calibrated``, ``transfer`` or ``bound``."""
        return self.question.basis

    @property
    def ttft_s_low(self) -> Number | None:
        """Lower end of the 90% interval of the time to first token, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.low.ttft_s

    @property
    def ttft_s_high(self) -> Number | None:
        """Upper end of the 90% interval of the time to first token, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.high.ttft_s

    @property
    def tpot_s_low(self) -> Number | None:
        """Lower end of the 90% interval of the mean time per output token, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.low.tpot_s

    @property
    def tpot_s_high(self) -> Number | None:
        """Upper end of the 90% interval of the mean time per output token, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.high.tpot_s

    @property
    def e2e_s_low(self) -> Number | None:
        """Lower end of the 90% interval of the time of the whole request, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.low.e2e_s

    @property
    def e2e_s_high(self) -> Number | None:
        """Upper end of the 90% interval of the time of the whole request, seconds; None for a bound."""
        return None if self.intervals is None else self.intervals.high.e2e_s

    def __repr__(self) -> str:
        """What was asked of what, in one line."""
        question = self.question
        return f"Prediction({question.model_label} on {self.devices} x {question.hardware.id}, {self.basis})"

    def to_dict(self) -> dict[str, Any]:
        """The fields of the answer by name, with the values of the attributes."""
        return {name: getattr(self, name) for name in FIELDS}


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
    dtype: str = "fp16",
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
    prompt_tokens: Any = 512,
    output_tokens: Any = 128,
    batch_size: Any = 1,
    changes: Mapping[str, Any] | None = None,
) -> Prediction:
    """Predict the time of a request.

    Args:
        model: name or alias, YAML, Hugging Face ``config.json`` or its folder, or an object.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound, with every efficiency 1 and no overhead;
            None for the shipped profile of the device, and the bound where there is none.
        stack: name, YAML or object. None: the profile's stack, or the ideal one for a bound.
        tp: tensor-parallel size, devices that share every layer.
        pp: pipeline-parallel size, groups of devices that hold consecutive layers.
        dp: copies of the model, which share the batch.
        ep: devices that experts are spread over, of one copy or of several.
        micro_batches: parts in which the batch goes through the pipeline.
        dtype: format of matrix products with weights and of their inputs; all else is of 16 bits at least.
        weight_dtype: format of weights; None: ``dtype``.
        kv_dtype: format of the KV cache; None: ``dtype``, of 16 bits at least.
        prompt_tokens: tokens of the prompt; a number or an array.
        output_tokens: tokens to generate, the first included; a number or an array.
        batch_size: requests that run together; a number or an array. The three broadcast.
        changes: architecture fields to change, once the stack has built the model.

    Raises:
        InputError: a name, file, layout or count that is wrong.
    """
    deployment = Deployment(tp, pp, dp, ep, micro_batches, dtype, weight_dtype, kv_dtype)
    workload = Workload(prompt_tokens, output_tokens, batch_size)
    return answer(resolve(model, hardware, calibration, stack, deployment, workload, changes or {}))


def resolve(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None,
    stack: str | Path | Stack | None,
    deployment: Deployment,
    workload: Workload,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Question:
    """Replace every name of a question by what it stands for, and check that the parts go together.

    Raises:
        InputError: with the first reason found.
    """
    spec = load_model(model)
    device = load_hardware(hardware)
    chosen = None if stack is None else load_stack(stack)
    profile = resolve_profile(device, chosen, calibration)
    if chosen is None:
        chosen = load_stack(DEFAULT_STACK if profile is None else profile.stack)
    architecture = chosen.build(spec.architecture, spec.id)
    if changes:
        architecture = change_architecture(architecture, changes)
    deployment = store_weights(deployment, chosen)
    check_deployment(deployment, architecture, device)
    learned = architecture.position_embedding == "learned"
    workload = check_workload(workload, architecture.max_position_embeddings, learned)
    machine = describe_machine(device, chosen, deployment, profile)
    return Question(spec, device, profile, Work(architecture, deployment, chosen, workload), machine, changes)


def store_weights(deployment: Deployment, stack: Stack) -> Deployment:
    """Put in the format in which a stack stores weights of the named one."""
    stored = (stack.stores_as or {}).get(deployment.weight_dtype or deployment.dtype)
    return deployment if stored is None else replace(deployment, weight_dtype=stored)


def describe_machine(hardware: Hardware, stack: Stack, deployment: Deployment, profile: Profile | None) -> Machine:
    """Collect what the time laws need beside the work.

    Raises:
        InputError: the data sheet lacks a peak for the data type, or a link that the layout needs.
    """
    device = describe_device(hardware, deployment, stack)
    return Machine(device, None if profile is None else complete(profile, device.kind, stack).factors)


def choose_profile(hardware: str, stack: str | None, calibration: str | None) -> str | Profile | None:
    """Return the profile that a device's own measurement gives, unless another is named.

    A device with changed facts is another device: it takes the profile of the device it was, as a transfer.
    """
    if calibration is not None:
        return calibration
    profile = find_profile(load_hardware(hardware).id, None if stack is None else load_stack(stack).id)
    return "none" if profile is None else profile


def resolve_profile(
    hardware: Hardware, stack: Stack | None, calibration: str | Path | Profile | None
) -> Profile | None:
    """Return the profile to use; None for a bound."""
    if isinstance(calibration, str) and calibration.lower() == "none":
        return None
    if calibration is None:
        return find_profile(hardware.id, None if stack is None else stack.id)
    return load_profile(calibration)


def answer(question: Question) -> Prediction:
    """Time a resolved question."""
    return Prediction(question, time_request(question.passes, question.machine))
