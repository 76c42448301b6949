"""Time laws by kind of kernel, and the bound of any kernel."""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.operators import Operator
from simulator.numbers import Number, maximum
from simulator.timing import cpu
from simulator.timing.attention import time_decode_attention, time_latent_decode, time_prefill_attention
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors
from simulator.timing.matrix import time_batched, time_grouped, time_linear
from simulator.timing.stream import time_stream

Law = Callable[[Operator, Device, Factors], Number]
GPU_LAWS: dict[str, Law] = {
    "elementwise": time_stream,
    "stream": time_stream,
    "linear": time_linear,
    "grouped": time_grouped,
    "batched": time_batched,
    "prefill_attention": time_prefill_attention,
    "decode_attention": time_decode_attention,
    "latent_decode": time_latent_decode,
}
CPU_LAWS: dict[str, Law] = {
    "elementwise": cpu.time_elementwise,
    "stream": time_stream,
    "linear": cpu.time_linear,
    "grouped": cpu.time_grouped,
    "batched": cpu.time_batched,
    "prefill_attention": cpu.time_attention,
    "decode_attention": cpu.time_attention,
    "latent_decode": cpu.time_attention,
}


def time_kernel(operator: Operator, device: Device, f: Factors) -> Number:
    """Seconds of one kernel by the law of its kind."""
    laws = CPU_LAWS if device.is_cpu else GPU_LAWS
    return laws[operator.kind](operator, device.serve(operator), f)


def bound_kernel(operator: Operator, device: Device) -> Number:
    """The least time for this work: its roofline (Williams et al. 2009, doi 10.1145/1498765.1498785)."""
    computing, moving = find_roofs(operator, device)
    return maximum(computing, moving)


def is_compute_bound(operator: Operator, device: Device) -> Number:
    """Whether the roofline of the operator ends at the peak rather than at the bandwidth."""
    computing, moving = find_roofs(operator, device)
    return computing > moving


def find_roofs(operator: Operator, device: Device) -> tuple[Number, Number]:
    """Seconds of the arithmetic at the peak, and of the traffic at the full bandwidth."""
    peak = device.serve(operator).peak_flops_per_s
    return operator.flops / peak, operator.bytes_moved / device.bandwidth_bytes_per_s
