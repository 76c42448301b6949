"""The numbers of a data sheet by their keys, such as ``memory.bandwidth``: listed and replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from simulator.inputs.hardware import Hardware

UNITS, CLOCK, TDP = "compute.units", "compute.clock", "power.tdp"
SCALES_PEAKS = (UNITS, CLOCK)  # more of these do more at once, or sooner
JOINED = ("max_devices", "nics", "shared_by")  # counts that decide what a link is, not how fast
DIMENSIONS = {
    "bandwidth": "B/s",
    "capacity": "B",
    "withheld": "B",
    "l2_capacity": "B",
    "clock": "Hz",
    "clock_limit": "Hz",
    "tdp": "W",
    "units": "1",
}


def list_numbers(hardware: Hardware) -> dict[str, float]:
    """Every number of a data sheet by its key, in SI units, but for how many devices and cards a link joins."""
    return {key: number for key, number in walk(hardware, "") if key.rpartition(".")[2] not in JOINED}


def walk(part: Any, key: str) -> Iterator[tuple[str, float]]:
    """Keys and numbers of a part of a data sheet, from below its own key."""
    if isinstance(part, int | float) and not isinstance(part, bool):
        yield key, part
    for name, inner in list_parts(part).items():
        yield from walk(inner, f"{key}.{name}".lstrip("."))


def list_parts(part: Any) -> Mapping[str, Any]:
    """What a record or a mapping of a data sheet holds by name; nothing where it is neither."""
    if is_dataclass(part):
        return {field.name: getattr(part, field.name) for field in fields(part)}
    return part if isinstance(part, dict) else {}


def replace_numbers(hardware: Hardware, numbers: Mapping[str, Any]) -> Hardware:
    """The same data sheet with other numbers at some keys, of any kind that the laws take.

    Raises:
        KeyError: the data sheet has no such key.
    """
    changed: Any = hardware
    for key, number in numbers.items():
        changed = replace_one(changed, key.split("."), number)
    return changed  # type: ignore[no-any-return]


def replace_one(part: Any, names: list[str], number: Any) -> Any:
    """A part of a data sheet with one number in it replaced."""
    if not names:
        return number
    inner = replace_one(list_parts(part)[names[0]], names[1:], number)
    return part | {names[0]: inner} if isinstance(part, dict) else replace(part, **{names[0]: inner})


def list_peaks(hardware: Hardware) -> dict[str, float]:
    """The peaks of a data sheet by key, FLOP/s."""
    return {key: number for key, number in list_numbers(hardware).items() if is_peak(key)}


def is_peak(key: str) -> bool:
    """Whether a key is of a peak."""
    return "_peak." in key


def find_unit(key: str) -> str:
    """SI unit of the number at a key; ``1`` of a count."""
    return "FLOP/s" if is_peak(key) else DIMENSIONS.get(key.rpartition(".")[2], "1")
