"""Time laws of kernels that only move numbers."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, maximum
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors

NARROW_BYTES = 128  # that ``narrow_load_cycles`` is stated for


def time_stream(operator: Operator, device: Device, f: Factors) -> Number:
    """A kernel that moves numbers through memory: latency of each launch plus bytes over the bandwidth it reaches."""
    return operator.launches * f.kernel_latency_cycles / device.clock_hz + move_bytes(operator.bytes_moved, device, f)


def move_bytes(moved_bytes: Number, device: Device, f: Factors) -> Number:
    """Seconds in which a kernel moves bytes, once it runs."""
    streaming = moved_bytes / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    return maximum(streaming, load_narrowly(moved_bytes, device, f)) if device.narrow_loads else streaming


def load_narrowly(moved_bytes: Number, device: Device, f: Factors) -> Number:
    """Least seconds of a kernel whose threads load four bytes at a time.

    Too few bytes are then under way to fill the latency of the memory (Little's law), so that a multiprocessor takes in
    so many a cycle, however fast the memory is.
    """
    return moved_bytes / NARROW_BYTES * f.narrow_load_cycles / (device.units * device.clock_hz)
