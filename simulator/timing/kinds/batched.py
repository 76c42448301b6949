"""Many small products of activations alone, as in unfused attention."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, choose, maximum, round_corner, where
from simulator.timing.device import LIBRARY_TILING, Device
from simulator.timing.factors import Factors
from simulator.timing.kinds import shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.memory import find_cache_time, time_activations, time_latency
from simulator.timing.kinds.tiles import TILE_FACTORS, time_tiled
from simulator.timing.rows import answer_rows


def time_batched(operator: Operator, device: Device, f: Factors) -> Number:
    """Many small products at once, as in unfused attention: their tiles share the waves, and few rows only stream."""
    return answer_rows(time_one_batched, operator, device, f)


def time_one_batched(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_batched`` of numbers or of one-dimensional arrays."""
    product = choose(
        operator.m <= device.skinny_rows,
        lambda: time_streamed(operator, device, f),
        lambda: time_tiled(operator, device._replace(splits_k=False, tiling=LIBRARY_TILING), f),
    )
    return f.product_latency_s + product


def time_streamed(op: Operator, device: Device, f: Factors) -> Number:
    """Products of so few rows that no tile is worth its while: a roofline.

    Query heads that share keys read them once each, from the cache but for the first.
    """
    streaming = op.bytes_moved / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    cached = op.kv_bytes * op.group * find_cache_time(device, f)
    reading = where(op.group > 1, maximum(streaming, cached), streaming)
    return round_corner(reading, op.flops / (f.matrix_efficiency * device.peak_flops_per_s))


def time_on_cpu(op: Operator, device: Device, f: Factors) -> Number:
    """Many small products at once, as in unfused attention."""
    multiplying = op.flops / (f.matrix_efficiency * device.peak_flops_per_s)
    return time_latency(1, device, f) + time_activations(op.bytes_moved, device, f) + multiplying


BATCHED = Kind(
    "batched",
    time_batched,
    time_on_cpu,
    (*TILE_FACTORS, shared.PRODUCT_LATENCY),
    (shared.MATRIX_EFFICIENCY, shared.KERNEL_LATENCY, shared.ACTIVATION_BANDWIDTH),
)
