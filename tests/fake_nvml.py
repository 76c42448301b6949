"""NVML that is not there: the real module's constants and errors, and answers that are planted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

MIB = 2**20
UUID = "8f6b4c1e-0000-4000-8000-00000000cafe"


class FakeNvml:
    """nvidia-ml-py with its own constants and errors, and the numbers of one device or of several.

    ``fails`` has NVML's code by the name of the function that fails, ``bits`` what holds the clock down, ``clock_mhz``
    the clock of the multiprocessors.
    """

    def __init__(self, bits: int = 0, fails: dict[str, int] | None = None, devices: int = 1) -> None:
        import pynvml

        self.real, self.bits, self.fails, self.devices = pynvml, bits, fails or {}, devices
        self.clock_mhz, self.processes = 1410, 1
        self.uuids = [f"GPU-{UUID}"]
        self.called: list[tuple[Any, ...]] = []
        energy_mj = iter(range(5_000_000, 500_000_000, 12_500))
        self.answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetHandleByIndex": self.find_by_index,
            "nvmlDeviceGetHandleByUUID": self.find_by_uuid,
            "nvmlDeviceGetClockInfo": lambda handle, kind: self.clock_mhz if kind == pynvml.NVML_CLOCK_SM else 0,
            "nvmlDeviceGetPowerUsage": lambda handle: 350_250,  # mW
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: next(energy_mj),
            "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: self.bits,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: self.bits,
            "nvmlDeviceGetMaxClockInfo": lambda handle, kind: 2520 if kind == pynvml.NVML_CLOCK_SM else 0,
            "nvmlDeviceGetPowerManagementDefaultLimit": lambda handle: 450_000,  # mW
            "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=24564 * MIB),
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [SimpleNamespace(pid=1)] * self.processes,
        }

    def find_by_index(self, index: int) -> str:
        """A handle."""
        if not 0 <= index < self.devices:
            raise self.real.NVMLError(self.real.NVML_ERROR_INVALID_ARGUMENT)
        return f"device {index}"

    def find_by_uuid(self, uuid: str) -> str:
        """A handle."""
        if uuid not in self.uuids:
            raise self.real.NVMLError(self.real.NVML_ERROR_NOT_FOUND)
        return f"device {self.uuids.index(uuid)}"

    def __getattr__(self, name: str) -> Any:
        """A function that answers, or a constant of the real module."""
        answers = self.__dict__["answers"]
        if name not in answers:
            found = getattr(self.real, name)
            if callable(found) and name.startswith("nvml"):
                raise AssertionError(f"{name} would ask a real driver")
            return found

        def call(*given: Any) -> Any:
            self.called.append((name, *given))
            if name in self.fails:
                raise self.real.NVMLError(self.fails[name])
            return answers[name](*given)

        return call
