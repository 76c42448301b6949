"""Accelerators of a few large systolic arrays, such as TPU, Gaudi and Trainium."""

from __future__ import annotations

from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.gpu import GPU, overlap_queue

SYSTOLIC = DeviceClass("systolic", "gpu", overlap_queue, GPU.factors)
