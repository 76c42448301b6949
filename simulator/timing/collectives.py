"""Time laws of messages between the devices of a node.

Ring algorithms, as NCCL uses them for large messages: an all-reduce sends ``2 (t - 1) / t`` of its message over every
link, an all-gather ``(t - 1) / t`` (Thakur et al. 2005, doi 10.1177/1094342005051521, section 4). Latency grows with
the logarithm of the number of devices, as for the trees that carry small messages.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from simulator.costs.elementary import Number
from simulator.costs.operators import Operator
from simulator.timing.efficiency import Factors


def time_collective(operator: Operator, devices: int, link_bytes_per_s: Number, f: Factors) -> Number:
    """Seconds of one collective, or of a message between two pipeline stages (``devices`` is 2).

    ``link_bytes_per_s`` is one device's link in one direction.
    """
    latency = f.link_latency_s * math.log2(devices)
    return latency + bound_collective(operator, devices, link_bytes_per_s) / f.link_efficiency


def bound_collective(operator: Operator, devices: int, link_bytes_per_s: Number) -> Number:
    """The least time of one collective: the bytes that must cross a device's link, at its full bandwidth."""
    return SHARES[operator.kind](devices) * operator.message_bytes / link_bytes_per_s


SHARES: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda devices: 2 * (devices - 1) / devices,
    "all_gather": lambda devices: (devices - 1) / devices,
    "send": lambda devices: 1.0,
}
