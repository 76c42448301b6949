"""The data sheet of the device in front: the one whose driver prints its name, or none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from calibration.measure.device import Accelerator
from simulator.errors import InputError, nearest
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import HARDWARE_FOLDER, list_ids, load_hardware

# Of the memory that the sheet states: torch keeps back what its context takes, and drivers differ a little.
MEMORY_SHARE = (0.9, 1.1)


def find_sheet(seen: Accelerator) -> Hardware:
    """Return the shipped sheet with the name that torch prints; multiprocessors, memory and design confirm it.

    Raises:
        InputError: no sheet has the name, or the one that has it is of another device (a part of it, as under MIG).
    """
    sheets = [load_hardware(name) for name in list_ids(HARDWARE_FOLDER)]
    named = [one for one in sheets if seen.name in (one.reported_as or ())]
    if not named:
        owners = {printed: one.id for one in sheets for printed in one.reported_as or ()}
        near = nearest(seen.name, owners)
        like = find_like(seen, sheets).id if near is None else owners[near]
        raise InputError(
            f"no data sheet is of {describe(seen)}; the nearest is {like}; roofcast hardware new --out FILE writes "
            "down what the driver reports, -H FILE takes it"
        )
    fitting = [one for one in named if is_confirmed(one, seen)]
    if len(fitting) != 1:
        others = ", ".join(f"{one.id} has {one.compute.units}, {one.memory.capacity / 1e9:.1f} GB" for one in named)
        raise InputError(f"this is {describe(seen)}, but {others}: a part of it, or another card; name a sheet with -H")
    return fitting[0]


def is_confirmed(sheet: Hardware, seen: Accelerator) -> bool:
    """Whether a device has a sheet's multiprocessors, about its memory and, where torch tells, its design."""
    low, high = MEMORY_SHARE
    tells = sheet.vendor == "NVIDIA" or seen.gfx
    return (
        sheet.compute.units == seen.units
        and low < seen.memory_bytes / sheet.memory.capacity < high
        and (not tells or sheet.compute.capability in (None, seen.design))
    )


def find_like(seen: Accelerator, sheets: Sequence[Hardware]) -> Hardware:
    """The GPU whose multiprocessors and memory are the nearest in ratio, for a name that is like none."""
    gpus = [one for one in sheets if one.kind == "gpu" and one.reported_as]
    facts = (seen.units, seen.memory_bytes)
    return min(
        gpus,
        key=lambda one: sum(
            abs(math.log(has / is_)) for has, is_ in zip(facts, (one.compute.units, one.memory.capacity), strict=True)
        ),
    )


def describe(seen: Accelerator) -> str:
    """What torch says of a device, in words."""
    return f"{seen.name!r} with {seen.units} multiprocessors and {seen.memory_bytes / 1e9:.1f} GB"


def confirm_named(sheet: Hardware, seen: Accelerator) -> str:
    """What to say of a sheet that was named for a device that is another, or a part of it; else nothing."""
    if is_confirmed(sheet, seen):
        return ""
    return (
        f"{sheet.id} has {sheet.compute.units} multiprocessors and {sheet.memory.capacity / 1e9:.1f} GB; this is "
        f"{describe(seen)}"
    )


def choose_dtypes(sheet: Hardware, capability: tuple[int, int]) -> list[str]:
    """The one type that is measured on a CUDA device: of 16 bits where it computes faster in that, else fp32.

    bf16 is native from Ampere on (compute capability 8.0); before, fp16 is, but for cards that do it in passing.

    Raises:
        InputError: the sheet has no peak of any of these.
    """
    peaks = sheet.compute.matrix_peak
    half = "bf16" if capability >= (8, 0) and "bf16" in peaks else "fp16"
    found = max(("fp32", half), key=lambda dtype: peaks.get(dtype, 0.0))
    if found not in peaks:
        known = ", ".join(peaks) or "none"
        raise InputError(f"{sheet.id}: a matrix peak of bf16, fp16 or fp32 is needed to measure it (it has {known})")
    return [found]
