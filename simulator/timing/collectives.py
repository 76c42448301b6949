"""Time laws of messages between devices.

A library such as NCCL picks between a ring, which uses the whole link for large messages, and a low-latency protocol
for small ones. A ring all-reduce sends ``2 (t - 1) / t`` of its message over every link, an all-gather ``(t - 1) / t``
(Thakur et al. 2005, doi 10.1177/1094342005051521, section 4). Serving stacks bring kernels of their own for small
all-reduces, in which every device reads its peers' memory.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.operators import Operator
from simulator.numbers import Number, choose, minimum
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors

RING_FILL = 2.5  # latencies of a collective that filling the pipeline of a ring takes on top
LOCAL_PASSES = 3  # times that a message crosses a device's own memory in a ring: copied, added, written
TWO_SHOT_LATENCY = 5  # latencies of a direct all-reduce that its second phase adds
BARRIER_BYTES = 8192  # up to here a direct all-reduce spreads over ever more blocks, each of which waits for each peer


def time_collective(op: Operator, devices: int, link: Number, direct_bytes: int, device: Device, f: Factors) -> Number:
    """Seconds of one collective, or of a message between two pipeline stages (``devices`` is 2).

    ``link`` is one device's link in one direction, bytes per second; messages of up to ``direct_bytes`` may be reduced
    by direct reads.
    """
    if op.kind != "all_reduce" or not direct_bytes:
        return time_message(op, devices, link, device, f)
    return choose(
        op.message_bytes <= direct_bytes,
        lambda: time_direct_reduce(op.message_bytes, devices, link, device, f),
        lambda: time_message(op, devices, link, device, f),
    )


def time_message(op: Operator, devices: int, link: Number, device: Device, f: Factors) -> Number:
    """The faster of the two protocols of a collective library."""
    latency = f.link_latency_cycles / device.clock_hz
    low_latency = op.message_bytes / (f.low_latency_link_efficiency * link)
    copies = LOCAL_PASSES * op.message_bytes / device.bandwidth_bytes_per_s
    ring = RING_FILL * latency + bound_collective(op, devices, link) / f.link_efficiency + copies
    return latency + (devices - 2) * f.link_hop_cycles / device.clock_hz + minimum(low_latency, ring)


def time_direct_reduce(message_bytes: Number, devices: int, link: Number, device: Device, f: Factors) -> Number:
    """Every device reads all peers at once, or first its share and then the others' sums."""
    latency = f.direct_latency_cycles / device.clock_hz
    one = message_bytes / (f.direct_link_efficiency * link)
    both_phases = TWO_SHOT_LATENCY * latency + 2 * (devices - 1) / devices * one
    blocks = minimum(message_bytes / BARRIER_BYTES, 1.0)
    barrier = (devices - 1) * blocks * f.direct_barrier_cycles / device.clock_hz
    return latency + barrier + minimum((devices - 1) * one, both_phases)


def bound_collective(operator: Operator, devices: int, link: Number) -> Number:
    """The least time of one collective: the bytes that must cross a device's link, at its full bandwidth."""
    return SHARES[operator.kind](devices) * operator.message_bytes / link


SHARES: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda devices: 2 * (devices - 1) / devices,
    "all_gather": lambda devices: (devices - 1) / devices,
    "all_to_all": lambda devices: (devices - 1) / devices,
    "send": lambda devices: 1.0,
}
