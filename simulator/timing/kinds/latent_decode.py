"""One new token over a compressed cache that all heads share, as of multi-head latent attention."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, round_corner
from simulator.timing.device import Device
from simulator.timing.factors import Factors
from simulator.timing.kinds import prefill_attention, shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.ragged import share_launch


def time_latent_decode(operator: Operator, device: Device, f: Factors) -> Number:
    """One new token of each sequence over its compressed cache."""
    latency = operator.launches * f.kernel_latency_s
    return latency + share_launch(time_equal, operator, device, f)


def time_equal(op: Operator, device: Device, f: Factors) -> Number:
    """A roofline over all sequences of the launch, and parts to merge: the cache is read once.

    As in FlashMLA (github.com/deepseek-ai/FlashMLA), whose blocks take 64 heads with all of a part of the cache.
    """
    streaming = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    computing = op.flops / (f.attention_efficiency * device.peak_flops_per_s)
    return 2 * f.attention_block_cycles / device.clock_hz + round_corner(streaming, computing)


GPU_FACTORS = (shared.STREAM_EFFICIENCY, shared.ATTENTION_EFFICIENCY, shared.KERNEL_LATENCY, shared.ATTENTION_BLOCK)
LATENT_DECODE = Kind(
    "latent_decode", time_latent_decode, prefill_attention.time_on_cpu, GPU_FACTORS, prefill_attention.CPU_FACTORS
)
