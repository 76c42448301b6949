"""Our own tidy table; its rows name their device and stack, by any name that ships."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from calibration.readers.content import Content
from calibration.readers.runs import Told
from simulator.inputs.library import HARDWARE_FOLDER, STACK_FOLDER, index_names
from simulator.inputs.measurements import Measurement, read_table


def recognise(content: Content) -> bool:
    """By its header."""
    header = next(csv.reader(content.text.splitlines()[:1]), [])
    return {"hardware", "stack", "metric", "value"} <= set(header)


def read(content: Content, told: Told) -> Iterator[Measurement]:
    """The rows, with ids for the aliases that they name devices and stacks by."""
    devices, stacks = (index_names(folder) for folder in (HARDWARE_FOLDER, STACK_FOLDER))

    def find_id(names: dict[str, Path], name: str) -> str:
        path = names.get(name.lower())
        return name if path is None else path.stem

    for row in read_table(content.path):
        yield replace(row, hardware=find_id(devices, row.hardware), stack=find_id(stacks, row.stack))
