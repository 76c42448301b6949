"""``hardware new``: what the driver reports of a device, as the beginning of a data sheet.

A data sheet holds facts, and a missing one is an error: peaks and bandwidth, which no driver prints, are left for
whoever has the maker's page. Of the nearest device of the same design that ships they are noted beside as a reminder,
by units and clock, never as values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from calibration.measure.device import Accelerator, describe_accelerator, open_device
from calibration.measure.telemetry import open_device as open_telemetry
from calibration.measure.telemetry import read_quantity
from simulator.errors import InputError
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import HARDWARE_FOLDER, list_ids, load_hardware
from simulator.specfile import write_whole

MEGAHERTZ, KILOWATT = 1e6, 1e3


class Reported(NamedTuple):
    """What the driver's own interface adds; None: it does not tell."""

    clock_hz: float | None
    power_w: float | None
    memory_bytes: float | None


def write_new_sheet(device: str, out: Path) -> str:
    """Write the beginning of a data sheet of a CUDA device, and return what is left to do.

    Raises:
        InputError: no torch, no such device, a CPU, or no place to write.
    """
    if device == "cpu":
        raise InputError("a CPU needs no data sheet: roofcast calibrate run --device cpu measures it")
    seen = describe_accelerator(open_device(device))
    write_whole(out, format_sheet(seen, ask_driver(seen)))
    return (
        f"{out} has what the driver reports of {seen.name}. Fill in what is marked with '?' from its maker's data "
        f"sheet, name the page under sources, and check it: roofcast hardware check {out}"
    )


def ask_driver(seen: Accelerator) -> Reported:
    """What NVML says that torch does not: the highest clock, the power, and all of the memory."""
    with open_telemetry(f"GPU-{seen.uuid}" if seen.uuid else 0) as opened:
        if opened is None:
            return Reported(None, None, None)
        clock = read_quantity(opened, "nvmlDeviceGetMaxClockInfo", opened.nvml.NVML_CLOCK_SM)
        power = read_quantity(opened, "nvmlDeviceGetPowerManagementDefaultLimit")
        memory = read_quantity(opened, "nvmlDeviceGetMemoryInfo")
    return Reported(
        None if clock is None else clock * MEGAHERTZ,
        None if power is None else power / KILOWATT,
        None if memory is None else float(memory.total),
    )


def name_vendor(seen: Accelerator) -> str:
    """Who makes the device."""
    return "AMD" if seen.gfx or seen.name.startswith("AMD") else "NVIDIA"


def find_sister(seen: Accelerator) -> Hardware | None:
    """The shipped device of the same capability whose units are nearest in number."""
    sheets = [load_hardware(name) for name in list_ids(HARDWARE_FOLDER)]
    sisters = [one for one in sheets if one.vendor == name_vendor(seen) and one.compute.capability == seen.design]
    return min(sisters, key=lambda one: abs(one.compute.units - seen.units), default=None)


def format_sheet(seen: Accelerator, told: Reported) -> str:
    """The text of the sheet; what has to be filled in is a comment with a question mark."""
    slug = re.sub(r"[^a-z0-9]+", "-", seen.name.lower()).strip("-")
    sister = find_sister(seen)
    capacity = seen.memory_bytes if told.memory_bytes is None else told.memory_bytes
    withheld = max(capacity - seen.memory_bytes, 0.0)
    clock = "# clock: ? MHz, at which the peaks are stated" if told.clock_hz is None else write_clock(told.clock_hz)
    power = ["# power:", "#   tdp: ? W"] if told.power_w is None else ["power:", f"  tdp: {told.power_w:g} W"]
    gives = ["name", "reported_as", "compute.units", "compute.capability", "memory.capacity", "memory.l2_capacity"]
    gives += ["memory.withheld"] if withheld else []
    gives += [] if told.clock_hz is None else ["compute.clock"]
    gives += [] if told.power_w is None else ["power.tdp"]
    lines = [
        f"id: {slug}",
        f"name: {seen.name}",
        f"reported_as: [{seen.name}]",
        f"vendor: {name_vendor(seen)}",
        "kind: gpu",
        "compute:",
        f"  units: {seen.units}",
        f"  {clock}",
        "  matrix_peak:  # dense rates; half of what is printed with sparsity",
        *list_reminders(seen, told, sister),
        f'  capability: "{seen.design}"',
        "memory:",
        f"  capacity: {capacity / 2**20:.0f} MiB",
        *([f"  withheld: {withheld / 2**20:.0f} MiB"] if withheld else []),
        "  # bandwidth: ? GB/s",
        f"  l2_capacity: {seen.l2_bytes / 2**20:g} MiB",
        *power,
        "sources:",
        "  - title: reported by the driver of the device",
        f"    gives: [{', '.join(gives)}]",
        "  # - title: ? the maker's data sheet",
        "  #   url: ?",
        "  #   gives: [compute.matrix_peak, memory.bandwidth]",
    ]
    return "\n".join(lines) + "\n"


def write_clock(clock_hz: float) -> str:
    """The clock's line: the highest that the driver sets, which may be above the one that peaks are stated at."""
    return (
        f"clock: {clock_hz / MEGAHERTZ:.0f} MHz  # the highest that the driver sets; ? the boost clock that is printed"
    )


def list_reminders(seen: Accelerator, told: Reported, sister: Hardware | None) -> list[str]:
    """A line for each peak to be filled in, with what the nearest device of the same design would have at this size."""
    if sister is None:
        return ["    # bf16: ? TFLOP/s", "    # fp16: ? TFLOP/s", "    # fp32: ? TFLOP/s"]
    clock = sister.compute.clock if told.clock_hz is None else told.clock_hz
    ratio = seen.units * clock / (sister.compute.units * sister.compute.clock)
    return [
        f"    # {dtype}: ? TFLOP/s (as {sister.id} by units and clock: {ratio * peak / 1e12:.3g})"
        for dtype, peak in sister.compute.matrix_peak.items()
        if "/" not in dtype
    ]
