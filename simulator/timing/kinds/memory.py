"""Kernels that only move numbers: over activations, or through memory that no cache holds."""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, maximum, minimum
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import shared
from simulator.timing.kinds.base import Kind, find_kept, find_written

NARROW_BYTES, STATED_LOAD = 128, 4  # that ``narrow_load_cycles`` is stated for, and bytes of one load of a thread
WORKING_BYTES = 4  # of a number while a CPU computes with it

GATHER_EFFICIENCY = Factor(
    "gather_efficiency",
    *("1", 0.05, 1.0),
    "share of the memory bandwidth of a kernel that moves rows to their experts or back",
    Prior(0.55, 0.25, "blocks of experts on H100 and B200: 0.4 to 0.65 where kernels that stream reach 0.6 to 0.9"),
)
ROUTING_LATENCY = Factor(
    "routing_latency_s",
    *("s", 1e-8, 1e-4),
    "time on the device of a kernel that chooses, orders, copies or adds up for experts, with no work in it",
    Prior(2.5e-6, 0.35, "a kernel's latency; sorting and prefix sums take several rounds of it within some kernels"),
)


def time_stream(operator: Operator, device: Device, f: Factors) -> Number:
    """A kernel that moves numbers through memory: latency of each launch plus bytes over the bandwidth it reaches."""
    found = find_written(operator, device)
    moving = move_bytes(operator.bytes_moved - found, device, f)
    if not isinstance(found, float) or found > 0:
        moving = moving + found * minimum(find_cache_time(device, f), find_stream_time(device, f))
    return operator.launches * f.kernel_latency_s + moving


def move_bytes(moved_bytes: Number, device: Device, f: Factors) -> Number:
    """Seconds in which a kernel moves bytes, once it runs."""
    streaming = moved_bytes * find_stream_time(device, f)
    return maximum(streaming, load_narrowly(moved_bytes, device, f)) if device.load_bytes else streaming


def find_stream_time(device: Device, f: Factors) -> Number:
    """Seconds a byte of a kernel that only moves numbers."""
    return 1 / (f.stream_efficiency * device.bandwidth_bytes_per_s)


def time_gather(op: Operator, device: Device, f: Factors) -> Number:
    """A kernel that moves rows in another order than they lie: latency and bytes as of others, slower."""
    moving = op.bytes_moved / (f.gather_efficiency * device.bandwidth_bytes_per_s)
    return op.launches * f.routing_latency_s + moving


def find_byte_time(op: Operator, device: Device, f: Factors, efficiency: Number) -> Number:
    """Seconds a byte of an operator's operands: of the memory at a share of its bandwidth, or of the last cache.

    They come from the cache as far as they are still in it, and it is the faster.
    """
    in_memory = 1 / (efficiency * device.bandwidth_bytes_per_s)
    if isinstance(op.copies, int) and op.copies == 0:
        return in_memory
    kept = find_kept(op, device)
    return (1 - kept) * in_memory + kept * minimum(find_cache_time(device, f), in_memory)


def stream_operands(op: Operator, seconds_per_byte: Number, device: Device, f: Factors) -> Number:
    """Seconds in which the operands of a product stream in and out, what was just written for it from the cache."""
    found = find_written(op, device)
    if isinstance(found, float) and found == 0:
        return op.bytes_moved * seconds_per_byte
    return (op.bytes_moved - found) * seconds_per_byte + found * minimum(find_cache_time(device, f), seconds_per_byte)


def find_cache_time(device: Device, f: Factors) -> Number:
    """Seconds a byte from the last cache, all units at once."""
    return 1 / (f.cache_bytes_per_cycle * device.units * device.clock_hz)


def load_narrowly(moved_bytes: Number, device: Device, f: Factors) -> Number:
    """Least seconds of a kernel whose threads load four bytes at a time, or two.

    Too few bytes are then under way to fill the latency of the memory (Little's law), so that a multiprocessor takes in
    so many a cycle, however fast the memory is: half as many where a load is half as wide.
    """
    cycles = f.narrow_load_cycles * STATED_LOAD / device.load_bytes
    return moved_bytes / NARROW_BYTES * cycles / (device.units * device.clock_hz)


def time_on_cpu(op: Operator, device: Device, f: Factors) -> Number:
    """A kernel over activations, which stay in a CPU's caches."""
    return time_latency(op.launches, device, f) + time_activations(op.bytes_moved, device, f)


def time_latency(launches: Number, device: Device, f: Factors) -> Number:
    """Start and end of kernels on all cores."""
    return launches * f.kernel_latency_s


def time_activations(size: Number, device: Device, f: Factors) -> Number:
    """Streaming of activations through the caches."""
    working = size * WORKING_BYTES / device.element_bytes
    return working / (f.activation_bandwidth_ratio * device.bandwidth_bytes_per_s)


GPU_FACTORS = (shared.KERNEL_LATENCY, shared.STREAM_EFFICIENCY, shared.NARROW_LOAD, shared.CACHE_BYTES)
ELEMENTWISE = Kind(
    "elementwise", time_stream, time_on_cpu, GPU_FACTORS, (shared.KERNEL_LATENCY, shared.ACTIVATION_BANDWIDTH)
)
GATHER = Kind("gather", time_gather, time_on_cpu, (ROUTING_LATENCY, GATHER_EFFICIENCY), ELEMENTWISE.cpu_factors)
STREAM = Kind("stream", time_stream, time_stream, GPU_FACTORS, (shared.KERNEL_LATENCY, shared.STREAM_EFFICIENCY))
