"""Several weight matrices in one kernel, each with its own tokens, as of experts."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number
from simulator.timing.device import LIBRARY_TILING, Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import linear, shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.ragged import share_launch
from simulator.timing.kinds.tiles import TILE_FACTORS, time_tiled
from simulator.timing.rows import answer_rows

GROUPED_SLOWDOWN = Factor(
    "grouped_slowdown",
    *("1", 1.0, 10.0),
    "slowdown of multiplying where one kernel applies several weight matrices, as of experts",
    Prior(1.25, 0.25, "1.04 to 1.42 in tables of mixtures of experts on five devices"),
)


def time_grouped(operator: Operator, device: Device, f: Factors) -> Number:
    """Several weight matrices, each with its own tokens, whose tiles share the waves; classes of them may differ."""
    return f.product_latency_s + share_launch(time_alike, operator, device, f)


def time_alike(operator: Operator, device: Device, f: Factors) -> Number:
    """Seconds of matrices with equally many tokens, without the latency."""
    return answer_rows(time_one_grouped, operator, device, f)


def time_one_grouped(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_alike`` of numbers or of one-dimensional arrays."""
    slower = f.replace(matrix_efficiency=f.matrix_efficiency / f.grouped_slowdown)
    return time_tiled(operator, device._replace(splits_k=False, tiling=LIBRARY_TILING), slower)


def time_on_cpu(op: Operator, device: Device, f: Factors) -> Number:
    """Several weight matrices, one after the other."""
    one = op._replace(
        flops=op.flops / op.batch,
        weight_bytes=op.weight_bytes / op.batch,
        activation_bytes=op.activation_bytes / op.batch,
    )
    return op.batch * linear.time_on_cpu(one, device, f)


GROUPED = Kind(
    "grouped",
    time_grouped,
    time_on_cpu,
    (*TILE_FACTORS, GROUPED_SLOWDOWN, shared.PRODUCT_LATENCY),
    linear.LINEAR.cpu_factors,
)
