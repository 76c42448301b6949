"""What-if: a shipped spec with some of its facts changed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, check_architecture
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import HARDWARE_FOLDER, find_by_name, find_file, load_hardware
from simulator.specfile import Spec, build, read_spec
from simulator.textfile import MOST_WHOLE, shorten

MOST_LETTERS = 200  # of one value


def change_architecture(architecture: Architecture, changes: Mapping[str, Any]) -> Architecture:
    """Return an architecture with fields changed, e.g. ``{"num_hidden_layers": 48}``.

    Raises:
        InputError: a field that does not exist, a value of the wrong type, or dimensions that do not go together.
    """
    data = {key: value for key, value in asdict(architecture).items() if value is not None}
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in changes.items()}
    changed = build(Spec(Path("--set"), data | plain, {}), Architecture)
    check_architecture(changed, "--set")
    return changed


def change_hardware(hardware: str | Path | Hardware, changes: Mapping[str, str]) -> Hardware:
    """Return a device with data-sheet numbers changed, e.g. ``{"memory.bandwidth": "4.8 TB/s"}``.

    Raises:
        InputError: a key that does not exist, a value without its unit, or a device that has no file.
    """
    if isinstance(hardware, Hardware):
        raise InputError("hardware_changes change the file of a device: give its name or file, not an object")
    base = load_hardware(hardware)
    path = find_file(hardware) or find_by_name("hardware", str(hardware), HARDWARE_FOLDER)
    data = copy.deepcopy(read_spec(path).data)
    for key, text in changes.items():
        set_nested(data, key, read_scalar(text))
    changed = build(Spec(Path("--set-hw"), data, {}), Hardware)
    return replace(changed, id=f"{base.id} ({describe(changes)})", name=f"{base.name} ({describe(changes)})")


def describe(changes: Mapping[str, Any]) -> str:
    """The changes as text."""
    return ", ".join(f"{key}={value}" for key, value in changes.items())


def read_scalar(text: str) -> Any:
    """A value as YAML reads it: text, a number, true, false or null.

    Raises:
        InputError: anything else.
    """
    import yaml

    if len(text) > MOST_LETTERS or text.count("[") + text.count("{") > 1:
        raise InputError(f"'{shorten(text)}' is not a value")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError):
        value = ...
    if not isinstance(value, str | int | float | bool | None):
        raise InputError(f"'{text}' is not a value")
    if isinstance(value, int) and abs(value) > MOST_WHOLE:
        raise InputError(f"'{shorten(text)}' is past 2^63, the most that a whole number can be")
    return value


def set_nested(data: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.c`` in nested mappings, making those that are missing.

    Raises:
        InputError: the path runs through something that is not a mapping.
    """
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise InputError(f"--set-hw: {key}: '{parent}' holds a value, not further keys")
    data[last] = value
