"""Time laws of kernels on one device.

A matrix product is cut into output tiles; tiles run in waves, one tile a multiprocessor, and the last wave takes as
long as a full one (NVIDIA, Matrix Multiplication Background User's Guide, sections 'Tile Quantization' and 'Wave
Quantization'). The library picks the tile shape that is fastest, so the law takes the least over a menu of shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

from simulator.costs.elementary import Number, both, ceil, choose, is_multiple, maximum, minimum, smooth_maximum
from simulator.costs.operators import Operator
from simulator.inputs.deployment import BYTES_PER_ELEMENT
from simulator.inputs.hardware import Hardware
from simulator.timing.efficiency import Factors

# Output tiles (token rows x weight columns) that cuBLAS kernels of Volta and Ampere use for half precision.
TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 64))
# Products misaligned to this many bytes cannot use wide loads, and run on one general kernel of this tile.
ALIGNMENT_BYTES = 16
MISALIGNED_TILE = (128, 128)
# Products of at most this many rows run on matrix-vector kernels, which stream the weights and have no tiles.
SKINNY_ROWS = 32
# Compute and memory of one kernel overlap well but not perfectly: the corner of its roofline is rounded.
ROOFLINE_SHARPNESS = 4


class Device(NamedTuple):
    """What the kernel laws need of a data sheet, for one data type."""

    peak_flops_per_s: Number
    bandwidth_bytes_per_s: Number
    units: Number
    l2_bytes: Number
    element_bytes: int


def describe_device(hardware: Hardware, dtype: str) -> Device:
    """Collect the numbers of one device for one data type.

    Raises:
        InputError: the data sheet has no matrix peak for the type.
    """
    return Device(
        hardware.peak_flops_per_s(dtype),
        hardware.memory.bandwidth,
        hardware.compute.units,
        hardware.memory.l2_capacity,
        BYTES_PER_ELEMENT[dtype],
    )


def time_elementwise(operator: Operator, device: Device, f: Factors) -> Number:
    """A kernel that moves numbers: latency of each launch plus bytes over the bandwidth it reaches."""
    streaming = operator.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    return operator.launches * f.kernel_latency_s + streaming


def time_linear(operator: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: the fastest tile, or plain streaming where there are few tokens."""
    op = operator
    seconds_per_byte = 1 / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    streaming = op.bytes_moved * seconds_per_byte
    # Each row of tiles reads the weights anew, but for what the cache still holds of them.
    reread = maximum(op.weight_bytes - f.weight_reuse * device.l2_bytes, 0.0) * seconds_per_byte

    def time_tile(rows: int, columns: int, slowdown: Number) -> Number:
        tiles = ceil(op.m / rows) * ceil(op.n / columns)
        compute = time_waves(tiles, rows, columns, op.k, device, f) * slowdown
        memory = streaming + (ceil(op.m / rows) - 1) * reread
        return smooth_maximum(compute, memory, ROOFLINE_SHARPNESS)

    def time_aligned() -> Number:
        return least(time_tile(*tile, 1.0) for tile in TILES)

    def time_misaligned() -> Number:
        return time_tile(*MISALIGNED_TILE, f.misaligned_slowdown)

    step = ALIGNMENT_BYTES // device.element_bytes
    aligned = both(is_multiple(op.n, step), is_multiple(op.k, step))
    tiled = choose(
        op.m <= SKINNY_ROWS,
        lambda: time_untiled(op, streaming, device, f),
        lambda: choose(aligned, time_aligned, time_misaligned),
    )
    return f.kernel_latency_s + tiled


def time_batched(operator: Operator, device: Device, f: Factors) -> Number:
    """Many small products at once, as in unfused attention: their tiles share the waves."""
    op = operator
    streaming = op.bytes_moved / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)

    def time_tiled() -> Number:
        compute = least(
            time_waves(op.batch * ceil(op.m / rows) * ceil(op.n / columns), rows, columns, op.k, device, f)
            for rows, columns in TILES
        )
        return smooth_maximum(compute, streaming, ROOFLINE_SHARPNESS)

    return f.kernel_latency_s + choose(op.m <= SKINNY_ROWS, lambda: time_untiled(op, streaming, device, f), time_tiled)


def time_untiled(op: Operator, streaming: Number, device: Device, f: Factors) -> Number:
    """A product of few rows: its operands stream by, and the peak still bounds it."""
    return smooth_maximum(streaming, op.flops / (f.matrix_efficiency * device.peak_flops_per_s), ROOFLINE_SHARPNESS)


def least(values: Iterable[Number]) -> Number:
    """The smallest of several values."""
    return reduce(minimum, values)


def time_waves(tiles: Number, rows: int, columns: int, k: Number, device: Device, f: Factors) -> Number:
    """Seconds to compute output tiles in waves over the multiprocessors.

    A tile first takes in ``(rows + columns) k`` operands and then multiplies ``rows x columns x k``. The intake is
    stated relative to the multiplication, since devices with faster matrix units also feed them faster.
    """
    unit_peak = device.peak_flops_per_s / device.units
    multiply = 2 * rows * columns / unit_peak / f.matrix_efficiency
    load = (rows + columns) * f.balanced_tile_side / unit_peak
    return ceil(tiles / device.units) * (k * (multiply + load) + f.wave_latency_s)


def time_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """Fused attention: the roofline of its FLOPs and its bytes."""
    compute = operator.flops / (f.attention_efficiency * device.peak_flops_per_s)
    streaming = operator.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    return f.kernel_latency_s + smooth_maximum(compute, streaming, ROOFLINE_SHARPNESS)


LAWS: dict[str, Callable[[Operator, Device, Factors], Number]] = {
    "elementwise": time_elementwise,
    "linear": time_linear,
    "batched": time_batched,
    "attention": time_attention,
}


def bound_kernel(operator: Operator, device: Device) -> Number:
    """The least time for this work: its roofline (Williams et al. 2009, doi 10.1145/1498765.1498785)."""
    return maximum(operator.flops / device.peak_flops_per_s, operator.bytes_moved / device.bandwidth_bytes_per_s)


def is_compute_bound(operator: Operator, device: Device) -> Number:
    """Whether the roofline of the operator ends at the peak rather than at the bandwidth."""
    return operator.flops / device.peak_flops_per_s > operator.bytes_moved / device.bandwidth_bytes_per_s
