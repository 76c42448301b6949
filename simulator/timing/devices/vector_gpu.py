"""GPUs without matrix units, whose products run on the vector lanes."""

from __future__ import annotations

from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.gpu import GPU, overlap_queue

VECTOR_GPU = DeviceClass("vector gpu", "gpu", overlap_queue, GPU.factors)
