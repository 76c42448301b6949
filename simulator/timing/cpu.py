"""Time laws of kernels on a CPU, where all cores work on one kernel and the next one waits for it.

A matrix product with enough rows first copies its weights into a layout of their own and then multiplies, one after the
other (Goto and van de Geijn 2008, doi 10.1145/1356052.1356053, section 4: packing). Products of few rows in fp32 do
without. Activations stay in the caches between two kernels; numbers of two bytes are widened to four to be worked on.
"""

from __future__ import annotations

from simulator.costs.operators import Operator, count_scores, share_read
from simulator.numbers import Number, ceil, minimum, where
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors

WORKING_BYTES = 4  # of an element while it is computed with
VECTOR_ROWS = 3  # products in fp32 of up to so many rows run as matrix-vector products
UNPACKED_ROWS = 15  # and of up to so many without packing
# Queries of one block of torch's fused attention, by the fewest queries it is used for (ATen FlashAttentionKernel.cpp).
QUERY_BLOCKS = ((768, 256), (192, 64), (0, 32))


def time_linear(op: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: packing, or not, and multiplication in turn."""
    reading = op.weight_bytes / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    multiplying = op.flops / device.peak_flops_per_s
    product = f.packing_passes * reading + multiplying / f.matrix_efficiency
    if device.element_bytes == WORKING_BYTES:
        unpacked = reading + multiplying / f.unpacked_efficiency
        few = where(op.m <= VECTOR_ROWS, reading + multiplying, unpacked)
        product = where(op.m <= UNPACKED_ROWS, few, product)
    return time_latency(1, device, f) + time_activations(op.activation_bytes, device, f) + product


def time_grouped(op: Operator, device: Device, f: Factors) -> Number:
    """Several weight matrices, one after the other."""
    one = op._replace(
        flops=op.flops / op.batch,
        weight_bytes=op.weight_bytes / op.batch,
        activation_bytes=op.activation_bytes / op.batch,
    )
    return op.batch * time_linear(one, device, f)


def time_batched(op: Operator, device: Device, f: Factors) -> Number:
    """Many small products at once, as in unfused attention."""
    multiplying = op.flops / (f.matrix_efficiency * device.peak_flops_per_s)
    return time_latency(1, device, f) + time_activations(op.bytes_moved, device, f) + multiplying


def time_elementwise(op: Operator, device: Device, f: Factors) -> Number:
    """A kernel over activations."""
    return time_latency(op.launches, device, f) + time_activations(op.bytes_moved, device, f)


def time_attention(op: Operator, device: Device, f: Factors) -> Number:
    """Fused attention: products, a softmax of so many cycles a score, and the cache from memory.

    A block of queries works out all scores up to its last query's, so half a block more than the mask lets through.
    """
    block = minimum(op.m, choose_block(op.m))
    scores = op.batch * (count_scores(op.m, op.n, op.unseen) + op.m * (block - 1) / 2)
    blocks = op.batch * ceil(op.m / block)
    products = 4 * scores * op.k / (f.attention_efficiency * device.peak_flops_per_s)
    cycles = scores * f.score_cycles + blocks * f.attention_block_cycles
    cache_bytes = op.kv_bytes * share_read(op)
    reading = cache_bytes / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    return time_latency(1, device, f) + products + cycles / (device.units * device.clock_hz) + reading


def choose_block(queries: Number) -> Number:
    """Queries of one block of attention."""
    (most, large), (some, middle), (_, small) = QUERY_BLOCKS
    return where(queries >= most, large, where(queries >= some, middle, small))


def time_latency(launches: Number, device: Device, f: Factors) -> Number:
    """Start and end of kernels on all cores."""
    return launches * f.kernel_latency_cycles / device.clock_hz


def time_activations(size: Number, device: Device, f: Factors) -> Number:
    """Streaming of activations through the caches."""
    widened = size * WORKING_BYTES / device.element_bytes
    return widened / (f.cache_bandwidth_ratio * device.bandwidth_bytes_per_s)
