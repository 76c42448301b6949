"""Accelerators of a few large systolic arrays, such as TPU, Gaudi and Trainium.

They have no multiprocessors over which blocks of attention could spread in waves. Attention of one token streams the
cache through the vector units beside the arrays; that of a prompt is products of the scores that the mask leaves, and
the softmax on the vector units is counted in the share of the peak that they reach.
"""

from __future__ import annotations

from simulator.costs.batch import add
from simulator.costs.operators import Operator
from simulator.numbers import Number, round_corner
from simulator.timing.device import Device
from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.gpu import GPU, overlap_queue
from simulator.timing.factors import Factors
from simulator.timing.kinds import shared
from simulator.timing.kinds.prefill_attention import time_operands
from simulator.timing.kinds.ragged import share_launch


def stream_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """One new token of each sequence: a roofline over its cache, and the latency of the launches."""
    latency = operator.launches * f.kernel_latency_s
    return latency + share_launch(time_equal, operator, device, f)


def time_equal(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds over sequences of equal lengths, without the latency."""
    streaming = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    return round_corner(streaming, op.flops / (f.attention_efficiency * device.peak_flops_per_s))


def multiply_prompt(operator: Operator, device: Device, f: Factors) -> Number:
    """New tokens over those before them: their products, and what crosses memory around the kernel."""
    parts = operator.parts or (operator,)
    products = add(op.flops for op in parts) / (f.attention_efficiency * device.peak_flops_per_s)
    return operator.launches * f.kernel_latency_s + products + add(time_operands(op, device, f) for op in parts)


LAWS = {
    "prefill_attention": multiply_prompt,
    "decode_attention": stream_attention,
    "latent_decode": stream_attention,
}
SYSTOLIC = DeviceClass("systolic", "gpu", overlap_queue, GPU.factors, LAWS, (shared.ATTENTION_EFFICIENCY,))
