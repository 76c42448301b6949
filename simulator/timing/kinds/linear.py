"""A weight matrix applied to tokens."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, both, choose, either, is_multiple, maximum, where
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.memory import load_narrowly, move_bytes, time_activations, time_latency
from simulator.timing.kinds.stripes import RELAY_LATENCY, time_stripes
from simulator.timing.kinds.tiles import TILE_FACTORS, time_menu, time_tiled
from simulator.timing.rows import answer_rows

# Asynchronous copies into shared memory are of 4, 8 or 16 bytes (NVIDIA, PTX ISA, cp.async): products whose rows start
# at odd numbers of two bytes load through registers, and run on one general kernel of this tile.
ALIGNMENT_BYTES = 4
MISALIGNED_TILES = ((128, 128),)
# On a CPU, numbers of two bytes become four to be worked on, and one row in fp32 is a product by a vector, which packs
# nothing.
WORKING_BYTES = 4

MISALIGNED_SLOWDOWN = Factor(
    "misaligned_slowdown",
    *("1", 1.0, 20.0),
    "slowdown of a matrix product whose rows do not start at multiples of four bytes",
    Prior(3.0, 0.2, "two-byte loads through registers; about 3 in half precision"),
)
PACKING_PASSES = Factor(
    "packing_passes",
    *("1", 1.0, 6.0),
    "times that the weights of a product cross a CPU's memory where they are packed first",
    Prior(2.0, 0.3, "packed weights are written and read once more, in part from the caches"),
)
UNPACKED_EFFICIENCY = Factor(
    "unpacked_efficiency",
    *("1", 0.02, 1.0),
    "share of a CPU's matrix peak that a product of few rows reaches without packing",
    Prior(0.25, 0.4, "weights that are not packed feed the multipliers more slowly"),
)


def time_linear(operator: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: the fastest tile and split."""
    return answer_rows(time_one_linear, operator, device, f)


def time_one_linear(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_linear`` of numbers or of one-dimensional arrays."""
    if device.weight_share == 1 or device.dequantizes_above == float("inf"):
        return time_product(operator, device, f)
    return choose(
        operator.m > device.dequantizes_above,
        lambda: time_dequantizing(operator, device, f),
        lambda: time_product(operator, device, f),
    )


def time_product(operator: Operator, device: Device, f: Factors) -> Number:
    """The product alone, with asynchronous loads or, where these do not fit its dimensions, without."""
    if device.stripes_narrow and device.weight_share < 1:
        return f.product_latency_s + time_stripes(operator, device, f)
    step = max(ALIGNMENT_BYTES // device.element_bytes, 1)
    aligned = both(is_multiple(operator.n, step), is_multiple(operator.k, step))
    product = choose(
        either(aligned, operator.m <= device.skinny_rows),
        lambda: time_tiled(operator, device, f),
        lambda: time_menu(operator, MISALIGNED_TILES, device, f, f.misaligned_slowdown),
    )
    if device.own_products and device.load_bytes and device.weight_share == 1:
        product = where(operator.m <= 1, maximum(product, load_narrowly(operator.weight_bytes, device, f)), product)
    return f.product_latency_s + product


def time_dequantizing(operator: Operator, device: Device, f: Factors) -> Number:
    """A kernel that dequantizes the weights in memory, then the product with these."""
    wide = operator.n * operator.k * device.element_bytes
    product = time_product(operator._replace(weight_bytes=wide), device._replace(weight_share=1.0), f)
    return f.kernel_latency_s + move_bytes(operator.weight_bytes + wide, device, f) + product


def time_on_cpu(op: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: packing, or not, and multiplication in turn."""
    reading = op.weight_bytes / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    multiplying = op.flops / device.peak_flops_per_s
    product = f.packing_passes * reading + multiplying / f.matrix_efficiency
    if device.element_bytes == WORKING_BYTES:
        product = where(op.m <= device.unpacked_rows, reading + multiplying / f.unpacked_efficiency, product)
        product = where(op.m <= device.vector_rows, reading + multiplying, product)
    return time_latency(1, device, f) + time_activations(op.activation_bytes, device, f) + product


CPU_FACTORS = (
    *(shared.MATRIX_EFFICIENCY, shared.MATRIX_BANDWIDTH, PACKING_PASSES, UNPACKED_EFFICIENCY),
    *(shared.KERNEL_LATENCY, shared.ACTIVATION_BANDWIDTH),
)
LINEAR = Kind(
    "linear",
    time_linear,
    time_on_cpu,
    (
        *TILE_FACTORS,
        RELAY_LATENCY,
        MISALIGNED_SLOWDOWN,
        shared.KERNEL_LATENCY,
        shared.PRODUCT_LATENCY,
        shared.NARROW_LOAD,
        shared.STREAM_EFFICIENCY,
    ),
    CPU_FACTORS,
)
