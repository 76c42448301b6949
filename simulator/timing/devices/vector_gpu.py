"""GPUs without matrix units, whose products run on the vector lanes.

A product of a few rows is a matrix-vector kernel there: no tile of matrix instructions is filled up, so it computes
what it is asked for, and mostly waits for its weights.
"""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, choose, round_corner
from simulator.timing.device import Device
from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.gpu import GPU, overlap_queue
from simulator.timing.factors import Factors
from simulator.timing.kinds.linear import time_linear
from simulator.timing.kinds.tiles import DEQUANTIZED_AT_ONCE

VECTOR_ROWS = 8  # rows up to which llama.cpp's Metal kernels multiply by vectors (ggml-metal, ne11_mm_min)


def time_few_rows(op: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: by vectors where they are few, and in tiles where they are many."""
    return choose(op.m <= VECTOR_ROWS, lambda: time_vectors(op, device, f), lambda: time_linear(op, device, f))


def time_vectors(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a matrix-vector kernel: its operands from memory against multiplying, and dequantizing them once."""
    streaming = op.bytes_moved / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    multiplying = op.flops / (f.matrix_efficiency * device.peak_flops_per_s)
    working: Number = multiplying
    if device.weight_share < 1:
        cycles = op.n * op.k / DEQUANTIZED_AT_ONCE * f.dequantize_cycles / device.units
        working = multiplying + cycles / device.clock_hz
    return f.product_latency_s + round_corner(streaming, working)


VECTOR_GPU = DeviceClass("vector gpu", "gpu", overlap_queue, GPU.factors, {"linear": time_few_rows})
