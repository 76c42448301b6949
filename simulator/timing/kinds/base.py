"""What a kind of operator is: its laws by class of device, its factors, and its least time."""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.operators import Operator
from simulator.frozen import frozen_dataclass
from simulator.numbers import Number, maximum
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors

Law = Callable[[Operator, Device, Factors], Number]
Bound = Callable[[Operator, Device], Number]


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
    return operator.flops / peak, operator.bytes_moved / device.bandwidth_bytes_per_s


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
