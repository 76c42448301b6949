"""Classes of devices by name: one module and one line each."""

from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.cpu import CPU
from simulator.timing.devices.gpu import GPU
from simulator.timing.devices.systolic import SYSTOLIC
from simulator.timing.devices.vector_gpu import VECTOR_GPU

DEVICE_CLASSES: dict[str, DeviceClass] = {one.name: one for one in (GPU, VECTOR_GPU, CPU, SYSTOLIC)}
