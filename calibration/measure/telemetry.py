"""What an NVIDIA device does while a benchmark runs: clock, power, energy, temperature, and why it slows down.

::

    with telemetry.open_device(0) as device:
        with telemetry.watch(device) as record:
            run_benchmark()  # which waits for the device before it returns
        row = (record.clock_hz, record.power_w, record.throttle_reasons)

All of it comes from NVML (https://docs.nvidia.com/deploy/nvml-api/), sampled by a thread beside the benchmark. Nothing
that NVML says or refuses ends a measurement: without a driver or a device the record stays empty, a quantity that it
will not tell (no permission, unknown, lost) is None, and each such thing is said once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from statistics import fmean
from threading import Event
from typing import Any

from simulator.errors import InputError

# The bits of nvmlClocksEventReasons that count as throttling. NVML's nvmlPerfPolicyType_t lists what can "cause the GPU
# to be below application clocks": power, temperature, the slower members of a sync boost group, the board, its
# reliability, and low utilization. All but the last count. "Hardware slowdown" at least halves the core clock; NVML may
# also report it for a moment while the clock changes. Not counted are the idle state (0x1), since there is no work to
# slow down, and application clocks (0x2) and display clocks (0x100), which are settings.
THROTTLES = {
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x200: "board limit",
    0x400: "reliability limit",
}


@dataclass(frozen=True)
class Sample:
    """One look at the device; None is a quantity that it or its driver does not have.

    ``clock_hz`` is the clock of the SMs. ``power_w`` is of the whole board, and the mean over the last second on Ampere
    and newer devices other than GA100 (A100). ``throttle_bits`` is NVML's mask, idle state and settings included.
    """

    clock_hz: float | None
    power_w: float | None
    temperature_c: float | None
    throttle_bits: int | None


@dataclass(frozen=True)
class Record:
    """All samples of a benchmark, and what they come to. It fills up while the benchmark runs.

    ``energy_counter_j`` is the energy since the driver was loaded, read before and after the benchmark.
    """

    samples: list[Sample] = field(default_factory=list)
    energy_counter_j: list[float | None] = field(default_factory=list)

    @property
    def clock_hz(self) -> float | None:
        """Mean clock of the SMs."""
        return mean_known(sample.clock_hz for sample in self.samples)

    @property
    def power_w(self) -> float | None:
        """Mean power of the board. For a benchmark of less than some seconds, energy over time is the better number."""
        return mean_known(sample.power_w for sample in self.samples)

    @property
    def energy_j(self) -> float | None:
        """Energy that the board took from the beginning of the benchmark to its end (Volta and newer)."""
        if len(self.energy_counter_j) < 2:
            return None
        before, *_, after = self.energy_counter_j
        return None if before is None or after is None or after < before else after - before

    @property
    def temperature_c(self) -> float | None:
        """Highest temperature of the chip, in degrees Celsius."""
        known = [sample.temperature_c for sample in self.samples if sample.temperature_c is not None]
        return max(known) if known else None

    @property
    def throttle_reasons(self) -> tuple[str, ...] | None:
        """Every reason in `THROTTLES` that held the clock down in some sample."""
        known = [sample.throttle_bits for sample in self.samples if sample.throttle_bits is not None]
        return tuple(name for bit, name in THROTTLES.items() if any(bits & bit for bits in known)) if known else None

    @property
    def throttled(self) -> bool | None:
        """Whether anything but a setting or the lack of work held the clock down."""
        return None if self.throttle_reasons is None else bool(self.throttle_reasons)


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def say_on_stderr(message: str) -> None:
    """Print a line on standard error."""
    print(message, file=sys.stderr)


@contextmanager
def watch(device: Device | None, interval_s: float = 0.02) -> Iterator[Record]:
    """Record what a device does until the block ends; None: the record stays empty.

    Raises:
        InputError: an interval that is none.
    """
    if not interval_s > 0:
        raise InputError(f"telemetry: interval_s is {interval_s}; it must be above 0")
    record = Record()
    if device is None:
        yield record
        return
    with sample_beside(device, record.samples, interval_s):
        record.energy_counter_j.append(read_energy_j(device))
        yield record
        record.energy_counter_j.append(read_energy_j(device))


@contextmanager
def sample_beside(device: Device, samples: list[Sample], interval_s: float) -> Iterator[None]:
    """Take samples in a thread of its own, which ends with the block, however that ends."""
    stop = Event()
    with ThreadPoolExecutor(1, "telemetry") as pool:
        sampling = pool.submit(take_samples, device, samples, stop, interval_s)
        try:
            yield
        finally:
            stop.set()
        sampling.result()


def take_samples(device: Device, samples: list[Sample], stop: Event, interval_s: float) -> None:
    """Append a sample at once, and another after every interval until told to stop."""
    while True:
        samples.append(read_sample(device))
        if stop.wait(interval_s):
            return


@dataclass(frozen=True)
class Device:
    """A device that NVML has opened: the module, the handle that its functions take, and who is told of failures."""

    nvml: Any
    handle: Any
    say: Callable[[str], object] = say_on_stderr


@contextmanager
def open_device(named: int | str, say: Callable[[str], object] = say_on_stderr) -> Iterator[Device | None]:
    """Open a device for the length of a block; None where NVML has nothing to say of it, which is said once.

    Args:
        named: index in NVML's order, which is that of the PCI bus and does not heed ``CUDA_VISIBLE_DEVICES``, or the
            UUID, ``GPU-...`` or ``MIG-...``, by which CUDA and NVML mean the same device.
        say: told in one line what is missing.
    """
    try:
        import pynvml  # here, so that nobody loads it who only reads records
    except ImportError:
        say_once(say, "no telemetry: pip install 'roofcast[telemetry]'")
        yield None
        return
    try:
        pynvml.nvmlInit()
    except Exception as error:
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        known = getattr(error, "value", None) in absent
        say_once(say, "no telemetry: no NVIDIA driver" if known else f"no telemetry: nvmlInit: {error}")
        yield None
        return
    try:
        yield find_device(pynvml, named, say)
    finally:
        with suppress(Exception):
            pynvml.nvmlShutdown()


@cache
def say_once(say: Callable[[str], object], message: str) -> None:
    """Tell something to somebody who has not heard it yet."""
    say(message)


def find_device(nvml: Any, named: int | str, say: Callable[[str], object]) -> Device | None:
    """Return a device by its index or UUID; None where NVML does not have it.

    Of a part of a GPU, as under MIG, CUDA tells the UUID without saying that it is one.
    """
    try:
        if isinstance(named, int):
            return Device(nvml, nvml.nvmlDeviceGetHandleByIndex(named), say)
        try:
            return Device(nvml, nvml.nvmlDeviceGetHandleByUUID(named), say)
        except nvml.NVMLError:
            return Device(nvml, nvml.nvmlDeviceGetHandleByUUID(named.replace("GPU-", "MIG-", 1)), say)
    except Exception as error:
        say_once(say, f"no telemetry: NVML has no device {named} ({error})")
        return None


def read_sample(device: Device) -> Sample:
    """Look at the device once."""
    nvml = device.nvml
    bits = read_quantity(device, "nvmlDeviceGetCurrentClocksEventReasons")
    if bits is None:  # a driver that has them only by their former name
        bits = read_quantity(device, "nvmlDeviceGetCurrentClocksThrottleReasons")
    return Sample(
        clock_hz=scale(read_quantity(device, "nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM), 1e6),  # in MHz
        power_w=scale(read_quantity(device, "nvmlDeviceGetPowerUsage"), 1e-3),  # in mW
        temperature_c=scale(read_quantity(device, "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU), 1.0),
        throttle_bits=bits if isinstance(bits, int) else None,
    )


def read_energy_j(device: Device) -> float | None:
    """Energy of the board since the driver was loaded; None before Volta."""
    return scale(read_quantity(device, "nvmlDeviceGetTotalEnergyConsumption"), 1e-3)  # in mJ


def count_processes(device: Device) -> int | None:
    """Processes that compute on the device, this one included where it has begun to; None where NVML does not tell."""
    found = read_quantity(device, "nvmlDeviceGetComputeRunningProcesses")
    return len(found) if isinstance(found, list) else None


def scale(number: Any, unit: float) -> float | None:
    """Return a number in SI units; None of what no sensor shows, which would spoil the row that it stands in."""
    return number * unit if isinstance(number, int | float) and 0 <= number < math.inf else None


def read_quantity(device: Device, function: str, *arguments: Any) -> Any:
    """Ask for one thing of a device; None where it cannot be had, which is said unless the device does not have it."""
    nvml = device.nvml
    try:
        return getattr(nvml, function)(device.handle, *arguments)
    except Exception as error:
        absent = (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        if not isinstance(error, AttributeError) and getattr(error, "value", None) not in absent:
            say_once(device.say, f"telemetry: {function}: {error}; it is left out")
        return None
