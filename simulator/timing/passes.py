"""The time of one forward pass: the host issues kernels, the device runs them, the slower of the two decides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from simulator.costs.operators import Operator
from simulator.costs.passes import LinearPart, Pass
from simulator.costs.structure import Group
from simulator.memo import remember
from simulator.numbers import Number
from simulator.timing.device import Device
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.factors import Factors
from simulator.timing.host import time_host, time_issuing
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import is_compute_bound


class Machine(NamedTuple):
    """Everything but the work: one device with its links, and the factors. No factors: the bound."""

    device: Device
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
    kind, device = KINDS[operator.kind], machine.device
    if machine.factors is None:
        return kind.bound(operator, device)
    return DEVICE_CLASSES[device.kind].find_law(kind)(operator, device.serve(operator), machine.factors)


def time_groups(groups: list[Group], machine: Machine) -> list[OperatorTime]:
    """Time each operator of groups that run in so many layers."""
    return [timed for layers, operators in groups for timed in time_operators(operators, layers, machine)]


def sum_times(timed: list[OperatorTime]) -> Number:
    """Seconds of operators one after the other."""
    return sum(one.count * one.seconds for one in timed)


def time_operators(operators: list[Operator], count: Number, machine: Machine) -> list[OperatorTime]:
    """Time each operator of a list that runs ``count`` times.

    In a pass a message waits for the device that comes last; benchmarks of messages alone keep devices in step.
    """
    f = machine.factors
    times = []
    for operator in operators:
        seconds = time_operator(operator, machine)
        if f is not None and KINDS[operator.kind].is_message:
            seconds = seconds + f.peer_wait_s
        times.append(OperatorTime(operator, count, seconds))
    return times


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
        overlapped = overlap_host(host_s, device_s, machine.device, f)
    seconds = overlapped + linear.head_s + linear.serial_s
    return PassTime(seconds, host_s, device_s, linear.head_s, linear.serial_s, linear.operators + timed)


def overlap_host(host_s: Number, device_s: Number, device: Device, f: Factors) -> Number:
    """Seconds until host and device are done with the layers."""
    return DEVICE_CLASSES[device.kind].overlap(host_s, device_s, device.links.tp, f)


def find_bound(time: PassTime, machine: Machine) -> Any:
    """What most of a pass waits for: the host, or the resource that takes most of the device's time."""
    spent: dict[str, Number] = {"compute": 0.0, "memory": 0.0, "network": 0.0}
    for operator, count, seconds in time.operators:
        total = count * seconds
        if KINDS[operator.kind].is_message:
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
