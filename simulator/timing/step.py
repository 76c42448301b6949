"""The time of one forward pass: the host issues kernels, the device runs them, the slower of the two decides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.costs.attention import Tokens
from simulator.costs.layers import Group
from simulator.costs.model import Step, build_fixed
from simulator.costs.operators import Operator
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.memo import remember
from simulator.numbers import Number, smooth_maximum
from simulator.timing.collectives import bound_collective, time_collective
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors
from simulator.timing.kernels import bound_kernel, is_compute_bound, time_kernel

# With one device the queue of kernels decouples host and device almost perfectly.
SINGLE_DEVICE_OVERLAP = 12
MESSAGES = frozenset({"all_reduce", "all_gather", "all_to_all", "send"})


class Machine(NamedTuple):
    """Everything but the work: one device, the layout with its links, and the factors. No factors: the bound.

    The links are one device's, in one direction, bytes per second: to the ``tp`` devices that share a layer, to the
    ``ep`` devices that share experts, and to the next pipeline stage. ``direct_reduce_bytes`` is the largest all-reduce
    that reads the peers' memory.
    """

    device: Device
    link_bytes_per_s: Number
    expert_link_bytes_per_s: Number
    stage_link_bytes_per_s: Number
    direct_reduce_bytes: int
    tp: int
    ep: int
    eager_prefill: bool
    eager_decode: bool
    encodes_text: bool
    allocates_cache: bool
    factors: Factors | None


class OperatorTime(NamedTuple):
    """One operator with how often it runs in a pass and the seconds of one run."""

    operator: Operator
    count: Number
    seconds: Number


class PassTime(NamedTuple):
    """One forward pass, seconds.

    ``host_s`` and ``device_s`` run side by side; ``head_s`` (everything after the last layer, which only starts when
    its inputs are ready) and ``serial_s`` (host work that nothing hides) come on top.
    """

    seconds: Number
    host_s: Number
    device_s: Number
    head_s: Number
    serial_s: Number
    operators: list[OperatorTime]


class FixedTime(NamedTuple):
    """The part of a pass that does not depend on the context: its work, and its times in seconds."""

    step: Step
    device_s: Number
    host_s: Number
    head_s: Number
    serial_s: Number
    eager: bool
    operators: list[OperatorTime]


def time_operator(operator: Operator, machine: Machine) -> Number:
    """Seconds of one operator on the machine."""
    f = machine.factors
    if operator.kind not in MESSAGES:
        return bound_kernel(operator, machine.device) if f is None else time_kernel(operator, machine.device, f)
    devices, link = find_group(operator, machine)
    if f is None:
        return bound_collective(operator, devices, link)
    return time_collective(operator, devices, link, machine.direct_reduce_bytes, machine.device, f)


def find_group(operator: Operator, machine: Machine) -> tuple[int, Number]:
    """How many devices a message is between, and their link."""
    if operator.kind == "send":
        return 2, machine.stage_link_bytes_per_s
    if operator.kind == "all_to_all":
        return machine.ep, machine.expert_link_bytes_per_s
    return machine.tp, machine.link_bytes_per_s


def time_groups(groups: list[Group], machine: Machine) -> list[OperatorTime]:
    """Time each operator of groups that run in so many layers."""
    return [timed for layers, operators in groups for timed in time_operators(operators, layers, machine)]


def sum_times(timed: list[OperatorTime]) -> Number:
    """Seconds of operators one after the other."""
    return sum(one.count * one.seconds for one in timed)


def time_operators(operators: list[Operator], count: Number, machine: Machine) -> list[OperatorTime]:
    """Time each operator of a list that runs ``count`` times."""
    return [OperatorTime(operator, count, time_operator(operator, machine)) for operator in operators]


@remember
def time_fixed(a: Architecture, d: Deployment, stack: Stack, tokens: Tokens, machine: Machine) -> FixedTime:
    """Time the part of a pass over ``tokens`` that does not depend on their context."""
    step = build_fixed(a, d, stack, tokens)
    layers = time_groups(step.layers, machine)
    stage = time_operators(step.embedding + step.stage, 1, machine)
    head = time_operators(step.head, 1, machine)
    device_s = sum_times(layers) + sum_times(stage)
    head_s = sum_times(head)
    f = machine.factors
    if f is None:
        return FixedTime(step, device_s, 0.0, head_s, 0.0, False, layers + stage + head)
    eager = machine.eager_decode if tokens.decoding else machine.eager_prefill
    serial_s = f.step_host_s + f.sequence_host_s * tokens.sequences
    if machine.encodes_text and not tokens.decoding:
        serial_s = serial_s + f.prompt_token_host_s * tokens.m
    host_s = 0.0
    if eager:
        own_s = f.layer_host_s + (f.layer_setup_s if machine.allocates_cache and not tokens.decoding else 0.0)
        host_s = step.depth * own_s + time_issuing(step.layers, f)
    return FixedTime(step, device_s, host_s, head_s, serial_s, eager, layers + stage + head)


def time_issuing(groups: list[Group], f: Factors) -> Number:
    """Host seconds to issue the operators of all layers."""
    seconds: Number = 0.0
    for layers, operators in groups:
        collectives = sum(1 for operator in operators if operator.kind in MESSAGES)
        launches = sum(operator.launches for operator in operators if operator.kind not in MESSAGES)
        seconds = seconds + layers * (launches * f.launch_s + collectives * f.collective_host_s)
    return seconds


def add_attention(fixed: FixedTime, attention: list[Group], machine: Machine) -> PassTime:
    """Complete a pass with the attention over one context, and let host and device overlap."""
    timed = time_groups(attention, machine)
    device_s = fixed.device_s + sum_times(timed)
    host_s = fixed.host_s
    f = machine.factors
    if f is None or not fixed.eager:
        overlapped = device_s
    else:
        host_s = host_s + time_issuing(attention, f)
        overlapped = overlap_host(host_s, device_s, machine, f)
    seconds = overlapped + fixed.head_s + fixed.serial_s
    return PassTime(seconds, host_s, device_s, fixed.head_s, fixed.serial_s, fixed.operators + timed)


def overlap_host(host_s: Number, device_s: Number, machine: Machine, f: Factors) -> Number:
    """Seconds until host and device are done with the layers; a CPU is both, and does one thing after the other."""
    if machine.device.is_cpu:
        return host_s + device_s
    return smooth_maximum(host_s, device_s, SINGLE_DEVICE_OVERLAP if machine.tp == 1 else f.parallel_overlap)


def find_bound(time: PassTime, machine: Machine) -> Any:
    """What most of a pass waits for: the host, or the resource that takes most of the device's time."""
    spent: dict[str, Number] = {"compute": 0.0, "memory": 0.0, "network": 0.0}
    for operator, count, seconds in time.operators:
        total = count * seconds
        if operator.kind in MESSAGES:
            spent["network"] = spent["network"] + total
            continue
        share = is_compute_bound(operator, machine.device) * 1.0
        spent["compute"] = spent["compute"] + total * share
        spent["memory"] = spent["memory"] + total * (1.0 - share)
    waiting = {"host": where_host_leads(time), **spent}
    names, seconds_of = list(waiting), np.broadcast_arrays(*waiting.values())
    chosen = np.array(names)[np.argmax(np.stack(seconds_of), axis=0)]
    return str(chosen) if chosen.ndim == 0 else chosen


def where_host_leads(time: PassTime) -> Number:
    """Seconds the pass waits for the host: all of the host's where it is the slower one, else what nothing hides."""
    leads = np.asarray(time.host_s > time.device_s)
    return np.where(leads, time.host_s, 0.0) + time.serial_s
