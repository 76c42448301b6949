"""What a kind of operator is: its laws by class of device, its factors, and its least time."""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.operators import Operator
from simulator.frozen import frozen_dataclass
from simulator.numbers import Number, maximum, minimum, where
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors

Law = Callable[[Operator, Device, Factors], Number]
Bound = Callable[[Operator, Device], Number]
CACHE_END = 1.1  # size of what is repeated, over that of the last cache, from which nothing is found there again


def bound_kernel(operator: Operator, device: Device) -> Number:
    """The least time for this work: its roofline (Williams et al. 2009, doi 10.1145/1498765.1498785)."""
    computing, moving = find_roofs(operator, device)
    return maximum(computing, moving)


def is_compute_bound(operator: Operator, device: Device) -> Number:
    """Whether the roofline of the operator ends at the peak rather than at the bandwidth."""
    computing, moving = find_roofs(operator, device)
    return computing > moving


def find_roofs(operator: Operator, device: Device) -> tuple[Number, Number]:
    """Seconds of the arithmetic at the peak, and of the traffic at the full bandwidth."""
    peak = device.serve(operator).peak_flops_per_s
    from_memory = (operator.bytes_moved - find_written(operator, device)) * (1 - find_kept(operator, device))
    return operator.flops / peak, from_memory / device.bandwidth_bytes_per_s


def find_kept(operator: Operator, device: Device) -> Number:
    """Share of the operands that are still in the last cache, where a benchmark runs copies of a product in turn.

    All of them where the copies fit, and none past ``CACHE_END`` of its size: each is gone before its turn comes again.
    """
    if isinstance(operator.copies, int) and operator.copies == 0:
        return 0.0
    held = operator.copies * (operator.weight_bytes + operator.kv_bytes) + operator.activation_bytes
    return where(operator.copies > 0, find_fitting(held, device), 0.0)


def find_written(operator: Operator, device: Device) -> Number:
    """Bytes of its operands that the kernel just before left in the last cache."""
    if isinstance(operator.written_bytes, float) and operator.written_bytes == 0:
        return 0.0
    return operator.written_bytes * find_fitting(operator.written_bytes, device)


def find_fitting(held: Number, device: Device) -> Number:
    """Share of so many bytes that the last cache still holds when they are read again, all of them, in their order."""
    return minimum(maximum((CACHE_END - held / device.cache_bytes) / (CACHE_END - 1), 0.0), 1.0)


@frozen_dataclass
class Kind:
    """One kind of operator.

    ``gpu`` and ``cpu`` are its laws: seconds of an operator, of numbers or of arrays, on a device with factors; a class
    of device may bring another. The factors are all that each may read. ``bound`` is the least time that the data sheet
    allows. ``is_message``: it runs between devices.
    """

    name: str
    gpu: Law
    cpu: Law
    gpu_factors: tuple[Factor, ...]
    cpu_factors: tuple[Factor, ...]
    bound: Bound = bound_kernel
    is_message: bool = False

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors of its own laws."""
        return self.gpu_factors + self.cpu_factors
