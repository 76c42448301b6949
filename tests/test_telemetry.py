"""What NVML says beside a benchmark is recorded in SI units, and what it cannot say is None."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from calibration.measure import telemetry
from calibration.measure.telemetry import THROTTLES, Record, Sample
from simulator.errors import InputError

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED = 3, 4, 9
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 12, 13, 15
QUANTITIES = {
    "clock_hz": ["nvmlDeviceGetClockInfo"],
    "power_w": ["nvmlDeviceGetPowerUsage"],
    "energy_j": ["nvmlDeviceGetTotalEnergyConsumption"],
    "temperature_c": ["nvmlDeviceGetTemperature"],
    "throttle_reasons": ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"],
}
ALL = (*QUANTITIES, "throttled")


class NVMLError(Exception):
    """As pynvml has it: the code is ``value``."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


class FakeNvml(SimpleNamespace):
    """A stand-in for the module: numbers in NVML's units, and the codes of the functions that fail."""

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = NOT_SUPPORTED
    NVML_ERROR_DRIVER_NOT_LOADED = DRIVER_NOT_LOADED
    NVML_ERROR_LIBRARY_NOT_FOUND = LIBRARY_NOT_FOUND
    NVML_ERROR_FUNCTION_NOT_FOUND = FUNCTION_NOT_FOUND
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    def __init__(self) -> None:
        super().__init__(devices=2, fails={}, called=[], bits=0, energy_mj=iter(range(5_000_000, 6_000_000, 12_500)))
        answers: dict[str, Callable[..., Any]] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: self.devices,
            "nvmlDeviceGetHandleByIndex": lambda index: f"device {index}",
            "nvmlDeviceGetClockInfo": lambda handle, clock: 1980 if clock == self.NVML_CLOCK_SM else 0,  # MHz
            "nvmlDeviceGetPowerUsage": lambda handle: 350_250,  # mW
            "nvmlDeviceGetTotalEnergyConsumption": lambda handle: next(self.energy_mj),
            "nvmlDeviceGetTemperature": lambda handle, sensor: 61,
            "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: self.bits,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda handle: self.bits,
        }
        for name, answer in answers.items():
            setattr(self, name, lambda *given, name=name, answer=answer: self.answer(name, answer, *given))

    def answer(self, name: str, answer: Callable[..., Any], *given: Any) -> Any:
        self.called.append((name, *given))
        if name in self.fails:
            raise NVMLError(self.fails[name])
        return answer(*given)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture(autouse=True)
def every_sampling_thread_ends() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("telemetry")]


def watch_for(samples: int, **options: Any) -> Record:
    with telemetry.watch(**{"interval_s": 1e-4} | options) as record:
        await_samples(record, samples)
    return record


def await_samples(record: Record, count: int) -> None:
    end = time.monotonic() + 20
    while len(record.samples) < count:
        assert time.monotonic() < end, "no samples come in"
        time.sleep(1e-4)


def sample(clock_hz: float | None = None, bits: int | None = None, **given: float) -> Sample:
    return Sample(clock_hz, given.get("power_w"), given.get("temperature_c"), bits)


def test_what_nvml_says_is_recorded_in_si_units(nvml: FakeNvml) -> None:
    record = watch_for(3, device=1)
    assert record.clock_hz == pytest.approx(1.98e9)
    assert record.power_w == pytest.approx(350.25)
    assert record.temperature_c == 61
    assert record.energy_j == pytest.approx(12.5)  # of the two readings around the benchmark, whatever lies between
    assert (record.throttled, record.throttle_reasons) == (False, ())
    assert {given[0] for name, *given in nvml.called if given} == {1, "device 1"}
    assert [nvml.called[0], nvml.called[-1]] == [("nvmlInit",), ("nvmlShutdown",)]


def test_the_sampling_goes_on_as_long_as_the_benchmark_and_no_longer(nvml: FakeNvml) -> None:
    record = watch_for(50)
    taken = len(record.samples)
    time.sleep(0.01)
    assert len(record.samples) == taken >= 50


def test_a_benchmark_shorter_than_the_interval_is_sampled_once(nvml: FakeNvml) -> None:
    assert len(watch_for(0, interval_s=60.0).samples) == 1


def test_clock_and_power_are_means_and_the_temperature_is_the_highest() -> None:
    record = Record([sample(1e9, power_w=100.0, temperature_c=70.0), sample(3e9, temperature_c=40.0), sample()])
    assert (record.clock_hz, record.power_w, record.temperature_c) == (2e9, 100.0, 70.0)


@pytest.mark.parametrize("bit", THROTTLES)
def test_a_reason_that_slows_the_chip_is_named(nvml: FakeNvml, bit: int) -> None:
    nvml.bits = bit | 0x1 | 0x2 | 0x100
    record = watch_for(1)
    assert (record.throttled, record.throttle_reasons) == (True, (THROTTLES[bit],))


@pytest.mark.parametrize("bits", [0, 0x1, 0x2, 0x100, 0x103], ids=hex)
def test_idleness_and_settings_are_no_throttling(nvml: FakeNvml, bits: int) -> None:
    nvml.bits = bits
    record = watch_for(1)
    assert (record.throttled, record.throttle_reasons) == (False, ())


def test_a_reason_counts_though_it_held_for_one_sample_only() -> None:
    record = Record([sample(bits=0), sample(bits=0x40), sample(bits=None), sample(bits=0x4 | 0x1)])
    assert record.throttle_reasons == ("software power cap", "hardware thermal slowdown")


def test_the_reasons_and_functions_are_those_of_nvidia_ml_py(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    watch_for(1)
    watch_for_old_driver(nvml)
    monkeypatch.undo()
    import pynvml

    assert [name for name, *_ in nvml.called if not hasattr(pynvml, name)] == []
    for name in [name for name in dir(FakeNvml) if name.startswith("NVML_")]:
        assert getattr(pynvml, name) == getattr(FakeNvml, name)
    prefix = "nvmlClocksThrottleReason"
    bits = {name.removeprefix(prefix): getattr(pynvml, name) for name in dir(pynvml) if name.startswith(prefix)}
    settings = {"None", "All", "GpuIdle", "ApplicationsClocksSetting", "UserDefinedClocks", "DisplayClockSetting"}
    assert {name: THROTTLES[bits[name]] for name in bits.keys() - settings} == {
        "SwPowerCap": "software power cap",
        "HwSlowdown": "hardware slowdown",
        "SyncBoost": "sync boost",
        "SwThermalSlowdown": "software thermal slowdown",
        "HwThermalSlowdown": "hardware thermal slowdown",
        "HwPowerBrakeSlowdown": "hardware power brake",
        "BoardLimit": "board limit",
        "Reliability": "reliability limit",
    }


def watch_for_old_driver(nvml: FakeNvml) -> Record:
    nvml.fails["nvmlDeviceGetCurrentClocksEventReasons"] = FUNCTION_NOT_FOUND
    return watch_for(1)


def test_a_driver_that_knows_the_reasons_by_their_old_name_is_asked_by_it(nvml: FakeNvml) -> None:
    nvml.bits = 0x8
    assert watch_for_old_driver(nvml).throttle_reasons == ("hardware slowdown",)


@pytest.mark.parametrize("code", [NOT_SUPPORTED, FUNCTION_NOT_FOUND])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_quantity_that_the_device_lacks_is_none_and_the_others_are_there(
    nvml: FakeNvml, quantity: str, code: int
) -> None:
    nvml.fails = dict.fromkeys(QUANTITIES[quantity], code)
    record = watch_for(2)
    missing = {quantity, "throttled"} if quantity == "throttle_reasons" else {quantity}
    assert {name for name in ALL if getattr(record, name) is None} == missing


@pytest.mark.parametrize("index", [-1, 2, 7])
def test_a_device_that_is_not_there_is_refused(nvml: FakeNvml, index: int) -> None:
    with pytest.raises(InputError, match=rf"^telemetry: no NVIDIA device {index}; the last of this machine is 1$"):
        watch_for(0, device=index)
    assert nvml.called[-1] == ("nvmlShutdown",)


@pytest.mark.parametrize("interval_s", [0.0, -1.0, float("nan")])
def test_an_interval_that_is_none_is_refused(nvml: FakeNvml, interval_s: float) -> None:
    with pytest.raises(InputError, match=r"interval_s is .*; it must be above 0"):
        watch_for(0, interval_s=interval_s)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("nvmlInit", NO_PERMISSION),
        ("nvmlDeviceGetHandleByIndex", GPU_IS_LOST),
        ("nvmlDeviceGetTotalEnergyConsumption", GPU_IS_LOST),
        ("nvmlDeviceGetClockInfo", GPU_IS_LOST),  # in the sampling thread
        ("nvmlShutdown", GPU_IS_LOST),
    ],
)
def test_any_other_failure_of_nvml_is_an_error_of_one_line(nvml: FakeNvml, function: str, code: int) -> None:
    nvml.fails = {function: code}
    with pytest.raises(InputError, match=rf"^telemetry: {function}: NVML error {code}$"):
        watch_for(0)


@pytest.mark.parametrize(
    ("fails", "devices", "why"),
    [
        ({"nvmlInit": LIBRARY_NOT_FOUND}, 1, "no telemetry: no NVIDIA driver"),
        ({"nvmlInit": DRIVER_NOT_LOADED}, 1, "no telemetry: no NVIDIA driver"),
        ({}, 0, "no telemetry: no NVIDIA device"),
    ],
)
def test_where_there_is_nothing_to_watch_all_is_none_and_that_is_said_once(
    nvml: FakeNvml, fails: dict[str, int], devices: int, why: str
) -> None:
    nvml.fails, nvml.devices = fails, devices
    said: list[str] = []
    for _ in range(3):
        record = watch_for(0, say=said.append)
        assert [getattr(record, name) for name in ALL] == [None] * len(ALL)
    assert said == [why]


def test_it_is_said_on_standard_error(nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    nvml.fails = {"nvmlInit": LIBRARY_NOT_FOUND}
    telemetry.say_once.cache_clear()
    watch_for(0)
    watch_for(0)
    assert capsys.readouterr() == ("", "no telemetry: no NVIDIA driver\n")


class BenchmarkError(Exception):
    """What a benchmark may raise."""


def benchmark_that_raises(error: type[BaseException], records: list[Record]) -> None:
    with telemetry.watch(interval_s=1e-4) as record:
        records.append(record)
        await_samples(record, 2)
        raise error


@pytest.mark.parametrize("error", [BenchmarkError, KeyboardInterrupt])
def test_a_benchmark_that_raises_ends_the_sampling_and_is_what_is_raised(
    nvml: FakeNvml, error: type[BaseException]
) -> None:
    records: list[Record] = []
    with pytest.raises(error):
        benchmark_that_raises(error, records)
    [record] = records
    taken = len(record.samples)
    time.sleep(0.01)
    assert len(record.samples) == taken >= 2
    assert record.energy_j is None
    assert nvml.called[-1] == ("nvmlShutdown",)


def test_a_failure_of_the_sampling_is_told_beside_that_of_the_benchmark(nvml: FakeNvml) -> None:
    nvml.fails = {"nvmlDeviceGetPowerUsage": GPU_IS_LOST}
    with pytest.raises(BenchmarkError) as caught, telemetry.watch():
        raise BenchmarkError
    assert caught.value.__notes__ == [
        f"the telemetry beside it failed as well: telemetry: nvmlDeviceGetPowerUsage: NVML error {GPU_IS_LOST}"
    ]
