"""GPUs: kernels in a queue that the host fills."""

from __future__ import annotations

from simulator.numbers import Number, smooth_maximum
from simulator.timing.devices.base import DeviceClass
from simulator.timing.factors import Factor, Factors, Prior

PARALLEL_OVERLAP = Factor(
    "parallel_overlap",
    *("1", 1.0, 50.0),
    "sharpness of the maximum of host and device time where devices wait for each other",
    Prior(4.0, 0.4, "hosts of several devices jitter by some 20% against each other"),
)
QUEUE_OVERLAP = Factor(
    "queue_overlap",
    *("1", 1.0, 50.0),
    "sharpness of the maximum of host and device time on one device",
    Prior(12.0, 0.3, "the queue of kernels decouples host and device almost perfectly"),
)


def overlap_queue(host_s: Number, device_s: Number, tp: int, f: Factors) -> Number:
    """The slower of host and device, rounded off: they wait for each other where neither leads throughout."""
    return smooth_maximum(host_s, device_s, f.queue_overlap if tp == 1 else f.parallel_overlap)


GPU = DeviceClass("gpu", "gpu", overlap_queue, (PARALLEL_OVERLAP, QUEUE_OVERLAP))
