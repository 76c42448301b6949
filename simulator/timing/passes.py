"""The time of one forward pass: the host issues kernels, the device runs them, the slower of the two decides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.costs.operators import Operator
from simulator.costs.passes import HostWork, LinearPart, Pass
from simulator.costs.structure import Group
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


class LinearTime(NamedTuple):
    """The part of a pass that no context changes, seconds."""

    device_s: Number
    host_s: Number
    head_s: Number
    serial_s: Number
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


def time_pass(work: Pass, machine: Machine) -> PassTime:
    """Time one forward pass."""
    return add_mixing(work.linear, work.mixing, machine)


@remember
def time_linear_part(part: LinearPart, machine: Machine) -> LinearTime:
    """Time the part of a pass that no context changes."""
    layers = time_groups(part.layers, machine)
    stage = time_operators(part.embedding + part.stage, 1, machine)
    head = time_operators(part.head, 1, machine)
    device_s = sum_times(layers) + sum_times(stage)
    operators = layers + stage + head
    f = machine.factors
    if f is None:
        return LinearTime(device_s, 0.0, sum_times(head), 0.0, operators)
    host_s, serial_s = time_host(part.host, part.layers, f)
    return LinearTime(device_s, host_s, sum_times(head), serial_s, operators)


def time_host(work: HostWork, layers: list[Group], f: Factors) -> tuple[Number, Number]:
    """Host seconds beside the device, and those that nothing hides."""
    serial_s = f.step_host_s + f.sequence_host_s * work.sequences + f.prompt_token_host_s * work.encoded_tokens
    if not work.eager:
        return 0.0, serial_s
    own_s = f.layer_host_s + (f.layer_setup_s if work.allocates else 0.0)
    return work.depth * own_s + time_issuing(layers, f), serial_s


def time_issuing(groups: list[Group], f: Factors) -> Number:
    """Host seconds to issue the operators of all layers."""
    seconds: Number = 0.0
    for layers, operators in groups:
        collectives = sum(1 for operator in operators if operator.kind in MESSAGES)
        launches = sum(operator.launches for operator in operators if operator.kind not in MESSAGES)
        seconds = seconds + layers * (launches * f.launch_s + collectives * f.collective_host_s)
    return seconds


def add_mixing(part: LinearPart, mixing: list[Group], machine: Machine) -> PassTime:
    """Complete a pass with the mixing of tokens, and let host and device overlap."""
    linear = time_linear_part(part, machine)
    timed = time_groups(mixing, machine)
    device_s, host_s = linear.device_s + sum_times(timed), linear.host_s
    f = machine.factors
    if f is None or not part.host.eager:
        overlapped = device_s
    else:
        host_s = host_s + time_issuing(mixing, f)
        overlapped = overlap_host(host_s, device_s, machine, f)
    seconds = overlapped + linear.head_s + linear.serial_s
    return PassTime(seconds, host_s, device_s, linear.head_s, linear.serial_s, linear.operators + timed)


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
