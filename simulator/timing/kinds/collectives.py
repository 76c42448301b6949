"""Messages between devices.

A library such as NCCL picks between a ring, which uses the whole link for large messages, and a low-latency protocol
for small ones. A ring all-reduce sends ``2 (t - 1) / t`` of its message over every link, an all-gather ``(t - 1) / t``
(Thakur et al. 2005, doi 10.1177/1094342005051521, section 4). Serving stacks bring kernels of their own for small
all-reduces, in which every device reads its peers' memory.
"""

from __future__ import annotations

import math
from functools import partial

from simulator.costs.operators import Operator
from simulator.numbers import Number, choose, minimum
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds.base import Kind, Law

# Up to here a direct all-reduce spreads over ever more blocks, each of which waits for each peer: 512 threads of 16
# bytes each (vLLM, csrc/custom_all_reduce.cuh).
BARRIER_BYTES = 8192

LINK_EFFICIENCY = Factor(
    "link_efficiency",
    *("1", 0.02, 1.0),
    "share of the link bandwidth that a ring collective reaches with large messages",
    Prior(0.7, 0.2, "NCCL rings of large messages on NVLink"),
)
LOW_LATENCY_EFFICIENCY = Factor(
    "low_latency_link_efficiency",
    *("1", 0.01, 0.5),
    "share of the link bandwidth that the low-latency protocol reaches, whose data carry flags",
    Prior(0.22, 0.4, "half the bytes are flags, and a tree has an up and a down"),
)
LINK_LATENCY = Factor(
    "link_latency_cycles",
    *("cycles", 100.0, 1e6),
    "time of a collective of two devices with no data",
    Prior(14000.0, 0.4, "NCCL on NVLink: 10 us over two A100 for 256 B"),
)
LINK_HOP = Factor(
    "link_hop_cycles",
    *("cycles", 10.0, 1e6),
    "latency that each further device adds to a collective",
    Prior(3000.0, 0.4, "NCCL on NVLink: 22 us over eight A100 for 256 B"),
)
NETWORK_HOP = Factor(
    "network_hop_s",
    *("s", 1e-7, 1e-3),
    "time of a small message from one node to another",
    Prior(5e-6, 0.5, "NCCL counts on 5 us a step of a tree over InfiniBand and 2.7 of a ring (src/graph/tuning.cc)"),
)
RING_FILL = Factor(
    "ring_fill_cycles",
    *("cycles", 100.0, 1e6),
    "time in which the pipeline of a ring fills",
    Prior(35000.0, 0.4, "some 2.5 latencies of a collective in NCCL's tables on A100"),
)
RING_PASSES = Factor(
    "ring_memory_passes",
    *("1", 1.0, 10.0),
    "times that a message crosses a device's own memory in a ring",
    Prior(3.0, 0.3, "it is copied, added and written"),
)
DIRECT_EFFICIENCY = Factor(
    "direct_link_efficiency",
    *("1", 0.02, 1.0),
    "share of the link bandwidth that direct reads of the peers' memory reach",
    Prior(0.62, 0.3, "loads over NVLink by kernels"),
)
DIRECT_LATENCY = Factor(
    "direct_latency_cycles",
    *("cycles", 100.0, 1e6),
    "time of a direct all-reduce with no data",
    Prior(5500.0, 0.25, "AIConfigurator's tables of TensorRT-LLM: 5400 on A100, 5200 on H100 and H200, 9000 on B200"),
)
DIRECT_BARRIER = Factor(
    "direct_barrier_cycles",
    *("cycles", 1.0, 1e5),
    "time for which the blocks of a direct all-reduce wait for each peer",
    Prior(400.0, 0.6, "a flag over the link is about 1000 cycles, several in flight"),
)
DIRECT_PHASE = Factor(
    "direct_phase_cycles",
    *("cycles", 100.0, 1e6),
    "time that a second phase adds to a direct all-reduce, in which each device sums its share alone",
    Prior(27500.0, 0.4, "some five latencies of the first phase in AIConfigurator's table of A100"),
)
LIBRARY_FACTORS = (LINK_EFFICIENCY, LOW_LATENCY_EFFICIENCY, LINK_LATENCY, LINK_HOP, NETWORK_HOP, RING_FILL, RING_PASSES)
DIRECT_FACTORS = (DIRECT_EFFICIENCY, DIRECT_LATENCY, DIRECT_BARRIER, DIRECT_PHASE)


def time_all_reduce(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of one all-reduce: by direct reads up to the stack's size, else by the library."""
    links = device.links
    if not links.direct_reduce_bytes:
        return time_message(op, device, f)
    return choose(
        op.message_bytes <= links.direct_reduce_bytes,
        lambda: time_direct_reduce(op.message_bytes, links.tp, links.layer_bytes_per_s, device, f),
        lambda: time_message(op, device, f),
    )


def time_message(op: Operator, device: Device, f: Factors) -> Number:
    """The faster of the two protocols of a collective library.

    Where devices take turns on the host's bus, all that they send together crosses it at the rate of one link: on eight
    L40S a ring reaches a ninth of what it does on two.
    """
    devices, link, nodes, turns = device.links.find_group(op.kind)
    hops = f.link_latency_cycles + max(devices / nodes - 2, 0) * f.link_hop_cycles
    latency = hops / device.clock_hz + count_crossings(op.kind, nodes) * f.network_hop_s
    low_latency = turns * op.message_bytes / (f.low_latency_link_efficiency * link)
    own_memory = f.ring_memory_passes * op.message_bytes / device.bandwidth_bytes_per_s
    ring = f.ring_fill_cycles / device.clock_hz + turns * bound_message(op, device) / f.link_efficiency + own_memory
    return latency + minimum(low_latency, ring)


def count_crossings(kind: str, nodes: int) -> float:
    """Times that a message goes from node to node, one after the other: up a tree and down, or once around a ring."""
    return 2 * math.log2(nodes) if kind == "all_reduce" else nodes - 1


def time_direct_reduce(message_bytes: Number, devices: int, link: Number, device: Device, f: Factors) -> Number:
    """Every device reads all peers at once, or first its share and then the others' sums."""
    latency = f.direct_latency_cycles / device.clock_hz
    one = message_bytes / (f.direct_link_efficiency * link)
    both_phases = f.direct_phase_cycles / device.clock_hz + 2 * (devices - 1) / devices * one
    blocks = minimum(message_bytes / BARRIER_BYTES, 1.0)
    barrier = (devices - 1) * blocks * f.direct_barrier_cycles / device.clock_hz
    return latency + barrier + minimum((devices - 1) * one, both_phases)


def bound_message(op: Operator, device: Device) -> Number:
    """The least time of one message: the bytes that must cross a device's link, at its full bandwidth."""
    devices, link, *_ = device.links.find_group(op.kind)
    share = {"all_reduce": 2 * (devices - 1) / devices, "send": 1.0}.get(op.kind, (devices - 1) / devices)
    return share * op.message_bytes / link


def make_kind(name: str, law: Law, factors: tuple[Factor, ...]) -> Kind:
    """A kind of message, whose law no class of device changes."""
    return Kind(name, law, law, factors, factors, bound=bound_message, is_message=True)


library = partial(make_kind, law=time_message, factors=LIBRARY_FACTORS)
ALL_REDUCE = make_kind("all_reduce", time_all_reduce, LIBRARY_FACTORS + DIRECT_FACTORS)
ALL_GATHER, ALL_TO_ALL, SEND = library("all_gather"), library("all_to_all"), library("send")
