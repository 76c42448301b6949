"""Where the time of one request goes, and what lies between the bound and the prediction.

The waterfall evaluates the time laws with factors idealised, one group after the other, host and device apart:

1. the bound: every operator at its roofline;
2. ``tiles``: efficiencies 1 and latencies 0, so that whole tiles, waves, padding and splits along k remain;
3. ``efficiency``: what matrix products multiply with is real too;
4. ``bandwidth``: so are the bandwidths of memory and links;
5. ``device``: so are latencies; the host still takes no time;
6. then the host's times: to issue kernels, for each pass, for each sequence, for text. That is the prediction.

Matrix products and messages take these steps one by one. Elementwise kernels take them at once, and attention too: as
it alone grows with the context, it gets what the time of the request gains and no other operator does. Without the
host's times, the time of a request is a weighted sum of its operators' times, so the steps add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from simulator.costs.batch import prefill_batch
from simulator.costs.layers import list_layers
from simulator.costs.operators import Operator
from simulator.explore.explanation import Explanation, OperatorPart, Phase, WaterfallStep
from simulator.prediction import Prediction, Question, answer
from simulator.timing.factors import Factors
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import is_compute_bound
from simulator.timing.passes import Machine, PassTime, overlap_host
from simulator.timing.request import RequestTime

MATRIX_KINDS = frozenset({"linear", "grouped"})
RESOURCES = ("compute", "memory", "network", "host")
LAYER_KINDS = (
    *("embedding", "projections", "attention", "ffn", "experts"),
    *("elementwise kernels", "collectives", "head", "host"),
)
HOST = "host"
SMALL = 1e-4  # relative change of the host's time by which its part of a pass is found

# What the steps of the waterfall idealise, in their order.
IDEAL_EFFICIENCY = {
    "matrix_efficiency": 1.0,
    "balanced_tile_side": 0.0,
    "misaligned_slowdown": 1.0,
    "dequantize_cycles": 0.0,
    "grouped_slowdown": 1.0,
    "flop_energy_j": 0.0,
    "narrow_load_cycles": 0.0,
    "packing_passes": 1.0,
    "unpacked_efficiency": 1.0,
}
IDEAL_BANDWIDTH = {
    "matrix_bandwidth_efficiency": 1.0,
    "stream_efficiency": 1.0,
    "cache_bytes_per_cycle": 64.0,
}
IDEAL_LATENCY = {
    "kernel_latency_s": 0.0,
    "product_latency_s": 0.0,
    "link_latency_cycles": 0.0,
    "link_hop_cycles": 0.0,
    "network_hop_s": 0.0,
    "peer_wait_s": 0.0,
    "direct_latency_cycles": 0.0,
    "direct_barrier_cycles": 0.0,
}
IDEAL_HOST: dict[str, dict[str, float]] = {
    "host issuing": {"launch_s": 0.0, "layer_host_s": 0.0, "collective_host_s": 0.0, "layer_setup_s": 0.0},
    "host passes": {"step_host_s": 0.0, "parallel_step_s": 0.0, "request_setup_s": 0.0},
    "host sequences": {"sequence_host_s": 0.0},
    "host text": {"prompt_token_host_s": 0.0},
}


class StepMeaning(NamedTuple):
    """A step that some operators take: from one stage to another, and what it means."""

    operators: str
    start: str
    end: str
    meaning: str


DEVICE_STEPS: dict[str, StepMeaning] = {
    "matrix tiles": StepMeaning(
        "matrix", "bound", "tiles", "whole tiles and waves, padding and splits along k, work in turn and not at once"
    ),
    "matrix efficiency": StepMeaning("matrix", "tiles", "efficiency", "multiplying below the peak"),
    "matrix bandwidth": StepMeaning("matrix", "efficiency", "bandwidth", "operands from memory below its bandwidth"),
    "matrix latency": StepMeaning("matrix", "bandwidth", "device", "start and end of matrix kernels"),
    "attention": StepMeaning("attention", "bound", "device", "attention beyond its roofline, latencies included"),
    "elementwise kernels": StepMeaning(
        "elementwise", "bound", "device", "other kernels beyond the bandwidth, latencies included"
    ),
    "collective protocol": StepMeaning(
        "messages", "bound", "bandwidth", "messages beyond the bandwidth of the link: protocol, copies"
    ),
    "collective latency": StepMeaning("messages", "bandwidth", "device", "latency of messages, and waiting for peers"),
}
HOST_STEPS = {
    "host issuing": "the host issues kernels one by one, as far as the device waits for it",
    "host passes": "the host's work around a pass",
    "host sequences": "the host's work for each sequence of a pass",
    "host text": "the prompt's text to tokens",
}


class Passes(NamedTuple):
    """How often passes run one after the other: of the prompt, of decode for the first token, and for all others."""

    prefill: float
    first: float
    decode: float


def explain(question: Question) -> Explanation:
    """Explain the answer to a question of plain numbers."""
    prediction = answer(question)
    passes = count_passes(question)
    kinds = LayerKinds(question)
    parts = list_parts(question, prediction.request, passes, kinds)
    return Explanation(prediction, find_waterfall(question, prediction, passes, kinds), parts)


class LayerKinds:
    """Tells what part of a model an operator belongs to, by the lists that the cost laws make."""

    def __init__(self, question: Question) -> None:
        """Collect names of operators in their parts."""
        d, request = question.work.deployment, question.passes
        mixing = [*request.prefill.mixing, *request.decode.mixing, *(request.first_mixing or ())]
        parts = [(layer.feed_forward, layer) for layer in list_layers(question.work.architecture)]
        self.names = {"attention": collect_names(operator for _, operators in mixing for operator in operators)}
        for feed_forward, layer in parts:
            found = collect_names(feed_forward.list_gemms(layer, d, prefill_batch(1.0, 1.0)))
            self.names[feed_forward.label] = self.names.get(feed_forward.label, frozenset()) | found
        self.names["head"] = collect_names(request.decode.linear.head)
        self.names["embedding"] = collect_names(request.decode.linear.embedding)

    def find(self, operator: Operator) -> str:
        """Layer kind of an operator."""
        name = operator.name
        if KINDS[operator.kind].is_message:
            return "collectives"
        for kind, names in self.names.items():
            if name in names:
                return kind
        return "projections" if operator.kind in MATRIX_KINDS else "elementwise kernels"

    def find_class(self, operator: Operator) -> str:
        """Which steps of the waterfall an operator takes."""
        if KINDS[operator.kind].is_message:
            return "messages"
        if operator.name in self.names["attention"]:
            return "attention"
        return "matrix" if operator.kind in MATRIX_KINDS else "elementwise"


def collect_names(operators: Iterable[Operator]) -> frozenset[str]:
    """Names of operators."""
    return frozenset(operator.name for operator in operators)


def count_passes(question: Question) -> Passes:
    """How often each pass counts in the time of a request."""
    request = question.passes
    first = request.filling if request.first_mixing is not None else 0.0
    counts = (request.filling * request.prefill_passes, first, request.turns * request.decode_passes)
    return Passes(*map(float, counts))


def idle_host(f: Factors) -> Factors:
    """Factors with a host that takes no time."""
    return f.replace(**{name: 0.0 for group in IDEAL_HOST.values() for name in group})


def find_waterfall(
    question: Question, prediction: Prediction, passes: Passes, kinds: LayerKinds
) -> list[WaterfallStep]:
    """The bound and what each step adds, in the order of the module's docstring."""
    f = question.machine.factors
    bound = prediction.request if f is None else question.times(None)
    steps = [WaterfallStep("bound", "every operator at its roofline, no overhead", *read_phases(bound))]
    if f is None:
        nothing = [*((name, step.meaning) for name, step in DEVICE_STEPS.items()), *HOST_STEPS.items()]
        return steps + [WaterfallStep(*one, 0.0, 0.0) for one in nothing]
    stages = {name: question.times(factors) for name, factors in idealise_device(f).items()}
    times = {"bound": bound} | stages
    steps += list_device_steps(times, passes, kinds.find_class)
    return steps + list_host_steps(question, f, stages["device"], prediction.request)


def idealise_device(f: Factors) -> dict[str, Factors]:
    """Factors of the stages between the bound and a device whose host takes no time."""
    device = idle_host(f)
    bandwidth = device.replace(**IDEAL_LATENCY)
    efficiency = bandwidth.replace(**IDEAL_BANDWIDTH)
    tiles = efficiency.replace(**IDEAL_EFFICIENCY)
    return {"tiles": tiles, "efficiency": efficiency, "bandwidth": bandwidth, "device": device}


def read_phases(request: RequestTime) -> Phase:
    """Seconds of both phases."""
    return Phase(float(request.prefill_s), float(request.decode_s))


def list_device_steps(
    times: dict[str, RequestTime], passes: Passes, find_class: Callable[[Operator], str]
) -> list[WaterfallStep]:
    """Steps from the bound to the device's time: attention's is what the others leave of the whole."""
    sums = {stage: sum_classes(request, passes, find_class) for stage, request in times.items()}
    added: dict[str, Phase] = {}
    for name, (operators, start, end, _) in DEVICE_STEPS.items():
        if operators != "attention":
            before, after = (sums[stage].get(operators, Phase(0.0, 0.0)) for stage in (start, end))
            added[name] = Phase(after.prefill_s - before.prefill_s, after.decode_s - before.decode_s)
    bound, device = read_phases(times["bound"]), read_phases(times["device"])
    others = [sum(step) for step in zip(*added.values(), strict=True)]
    added["attention"] = Phase(
        device.prefill_s - bound.prefill_s - others[0], device.decode_s - bound.decode_s - others[1]
    )
    return [WaterfallStep(name, step.meaning, *added[name]) for name, step in DEVICE_STEPS.items()]


def sum_classes(request: RequestTime, passes: Passes, find_class: Callable[[Operator], str]) -> dict[str, Phase]:
    """Seconds of each class of operators over a request, but for attention, whose passes differ."""
    prefill, decode = sum_pass(request.prefill, find_class), sum_pass(request.decode, find_class)
    return {
        name: Phase(
            passes.prefill * prefill.get(name, 0.0) + passes.first * decode.get(name, 0.0),
            passes.decode * decode.get(name, 0.0),
        )
        for name in prefill | decode
    }


def sum_pass(time: PassTime, find_class: Callable[[Operator], str]) -> dict[str, float]:
    """Seconds of each class of operators in one pass."""
    sums: dict[str, float] = {}
    for operator, count, seconds in time.operators:
        name = find_class(operator)
        sums[name] = sums.get(name, 0.0) + float(count * seconds)
    return sums


def list_host_steps(
    question: Question, f: Factors, device: RequestTime, prediction: RequestTime
) -> list[WaterfallStep]:
    """Steps from the device's time to the prediction: the host's times become real group by group."""
    steps, before, factors = [], read_phases(device), idle_host(f)
    for name, meaning in HOST_STEPS.items():
        factors = factors.replace(**{factor: getattr(f, factor) for factor in IDEAL_HOST[name]})
        after = read_phases(prediction if factors == f else question.times(factors))
        added = (end - start for end, start in zip(after, before, strict=True))
        steps.append(WaterfallStep(name, meaning, *added))
        before = after
    return steps


def list_parts(question: Question, request: RequestTime, passes: Passes, kinds: LayerKinds) -> list[OperatorPart]:
    """Parts of both phases by operator and host; those of a phase add up to its time.

    Decode passes differ in their context: all are shared out as the one at the middle.
    """
    machine = question.machine
    parts = []
    whole = passes.prefill * float(request.prefill.seconds)
    first = float(request.prefill_s) - whole if passes.first else 0.0
    if passes.prefill:
        seconds = whole if first else float(request.prefill_s)
        parts += share_pass("prefill", request.prefill, seconds, passes.prefill, machine, kinds)
    if first:
        parts += share_pass("prefill", request.decode, first, passes.first, machine, kinds)
    if request.decode_s:
        parts += share_pass("decode", request.decode, float(request.decode_s), passes.decode, machine, kinds)
    return merge_parts(parts)


def share_pass(
    phase: str, time: PassTime, seconds: float, count: float, machine: Machine, kinds: LayerKinds
) -> list[OperatorPart]:
    """Share out the seconds of ``count`` equal passes.

    Where host and device overlap, each decides as much of the time as its own time does in proportion (the maximum is
    homogeneous, so both parts add up to it).
    """
    issuing = find_host_part(time, machine)
    layers = float(time.seconds) - float(time.head_s) - float(time.serial_s) - issuing
    visible = (layers + float(time.head_s)) / (float(time.device_s) + float(time.head_s))
    scale = seconds / float(time.seconds)
    parts = []
    for operator, times, each in time.operators:
        busy = float(times * each)
        resource = "compute" if is_compute_bound(operator, machine.device) else "memory"
        resource = "network" if KINDS[operator.kind].is_message else resource
        part = (kinds.find(operator), resource, count * float(times), count * busy, scale * visible * busy)
        parts.append(OperatorPart(phase, operator.name, *part))
    for name, busy, waited in (
        ("issuing kernels", float(time.host_s), issuing),
        ("before and after", float(time.serial_s), float(time.serial_s)),
    ):
        if busy:
            parts.append(OperatorPart(phase, name, HOST, HOST, count, count * busy, scale * waited))
    return parts


def find_host_part(time: PassTime, machine: Machine) -> float:
    """Seconds of a pass that the host decides while the device runs: its time x the pass's derivative by it."""
    f = machine.factors
    if f is None or not time.host_s:
        return 0.0
    more, less = (
        float(overlap_host(time.host_s * factor, time.device_s, machine.device, f)) for factor in (1 + SMALL, 1 - SMALL)
    )
    return (more - less) / (2 * SMALL)


def merge_parts(parts: list[OperatorPart]) -> list[OperatorPart]:
    """Parts of the same operator and phase as one."""
    merged: dict[tuple[str, str, str, str], OperatorPart] = {}
    for part in parts:
        key = part[:4]
        if key in merged:
            one = merged[key]
            sums = (mine + other for mine, other in zip(one[4:], part[4:], strict=True))
            merged[key] = OperatorPart(*key, *sums)
        else:
            merged[key] = part
    return list(merged.values())
