"""What NVML says beside a benchmark is recorded in SI units, and what it cannot say is None."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_nvml import FakeNvml

from calibration.measure import telemetry
from calibration.measure.telemetry import THROTTLES, Record, Sample
from simulator.errors import InputError

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, UNKNOWN = 3, 4, 9, 999
LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST = 12, 13, 15
QUANTITIES = {
    "clock_hz": ["nvmlDeviceGetClockInfo"],
    "power_w": ["nvmlDeviceGetPowerUsage"],
    "energy_j": ["nvmlDeviceGetTotalEnergyConsumption"],
    "temperature_c": ["nvmlDeviceGetTemperature"],
    "throttle_reasons": ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"],
}
ALL = (*QUANTITIES, "throttled")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml(devices=2)
    fake.clock_mhz = 1980
    fake.uuids = ["GPU-1f", "GPU-2f", "MIG-3f"]
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture(autouse=True)
def every_sampling_thread_ends() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("telemetry")]


def watch_for(
    samples: int, device: int | str = 0, interval_s: float = 1e-4, say: Callable[[str], Any] = lambda message: None
) -> Record:
    with telemetry.open_device(device, say) as opened, telemetry.watch(opened, interval_s) as record:
        if opened is not None:
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


def test_the_reasons_are_those_of_nvidia_ml_py() -> None:
    import pynvml

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


@pytest.mark.parametrize("named", [-1, 2, "GPU-9f"])
def test_a_device_that_is_not_there_has_no_sensors_and_that_is_said(nvml: FakeNvml, named: int | str) -> None:
    said: list[str] = []
    assert not watch_for(0, device=named, say=said.append).samples
    assert len(said) == 1
    assert said[0].startswith(f"no telemetry: NVML has no device {named} (")
    assert nvml.called[-1] == ("nvmlShutdown",)


@pytest.mark.parametrize(("uuid", "handle"), [("GPU-2f", "device 1"), ("GPU-3f", "device 2")])
def test_a_device_is_the_one_of_its_uuid_and_a_part_of_one_too(nvml: FakeNvml, uuid: str, handle: str) -> None:
    """CUDA tells the UUID of a part of a GPU, as under MIG, like that of a whole one."""
    watch_for(1, device=uuid)
    assert ("nvmlDeviceGetPowerUsage", handle) in nvml.called


@pytest.mark.parametrize("interval_s", [0.0, -1.0, float("nan")])
def test_an_interval_that_is_none_is_refused(nvml: FakeNvml, interval_s: float) -> None:
    with pytest.raises(InputError, match=r"interval_s is .*; it must be above 0"):
        watch_for(0, interval_s=interval_s)


@pytest.mark.parametrize("code", [NO_PERMISSION, UNKNOWN, GPU_IS_LOST])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_whatever_else_nvml_refuses_is_none_and_said_once(nvml: FakeNvml, quantity: str, code: int) -> None:
    nvml.fails = dict.fromkeys(QUANTITIES[quantity], code)
    said: list[str] = []
    record = watch_for(3, say=said.append)
    missing = {quantity, "throttled"} if quantity == "throttle_reasons" else {quantity}
    assert {name for name in ALL if getattr(record, name) is None} == missing
    assert len(said) == len(QUANTITIES[quantity])
    assert said[0].startswith(f"telemetry: {QUANTITIES[quantity][0]}: ")


@pytest.mark.parametrize("answer", [None, -1, float("nan"), float("inf"), "12", []])
def test_an_answer_that_no_sensor_can_give_is_none(nvml: FakeNvml, answer: Any) -> None:
    """Such a number in a table would make all of it unreadable."""
    for functions in QUANTITIES.values():
        nvml.answers |= dict.fromkeys(functions, lambda *asked: answer)
    record = watch_for(1)
    known = {name for name in ALL if getattr(record, name) is not None}
    assert known <= {"throttle_reasons", "throttled"}
    with telemetry.open_device(0) as opened:
        assert opened is not None
        nvml.answers["nvmlDeviceGetComputeRunningProcesses"] = lambda handle: answer
        assert telemetry.count_processes(opened) in (None, 0)


def test_a_counter_of_energy_that_begins_anew_tells_nothing(nvml: FakeNvml) -> None:
    readings = iter([9_000_000, 12_500])
    nvml.answers["nvmlDeviceGetTotalEnergyConsumption"] = lambda handle: next(readings)
    assert watch_for(1).energy_j is None


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlShutdown"])
def test_nvml_that_does_not_start_or_end_ends_nothing(nvml: FakeNvml, function: str) -> None:
    nvml.fails = {function: GPU_IS_LOST}
    said: list[str] = []
    record = watch_for(0, say=said.append)
    assert bool(record.samples) == (function == "nvmlShutdown")
    assert len(said) == (function == "nvmlInit")


@pytest.mark.parametrize(
    ("fails", "why"),
    [
        ({"nvmlInit": LIBRARY_NOT_FOUND}, "no telemetry: no NVIDIA driver"),
        ({"nvmlInit": DRIVER_NOT_LOADED}, "no telemetry: no NVIDIA driver"),
    ],
)
def test_where_there_is_nothing_to_watch_all_is_none_and_that_is_said_once(
    nvml: FakeNvml, fails: dict[str, int], why: str
) -> None:
    nvml.fails = fails
    said: list[str] = []
    for _ in range(3):
        record = watch_for(0, say=said.append)
        assert [getattr(record, name) for name in ALL] == [None] * len(ALL)
    assert said == [why]


def test_it_is_said_on_standard_error(nvml: FakeNvml, capsys: pytest.CaptureFixture[str]) -> None:
    nvml.fails = {"nvmlInit": LIBRARY_NOT_FOUND}
    telemetry.say_once.cache_clear()
    for _ in range(2):
        with telemetry.open_device(0):
            pass
    assert capsys.readouterr() == ("", "no telemetry: no NVIDIA driver\n")


class BenchmarkError(Exception):
    """What a benchmark may raise."""


def benchmark_that_raises(error: type[BaseException], records: list[Record]) -> None:
    with telemetry.open_device(0) as opened, telemetry.watch(opened, 1e-4) as record:
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
