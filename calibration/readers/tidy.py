"""Our own tidy table; its rows name their device and stack, by any name that ships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from calibration.readers.content import Content, read_header
from calibration.readers.runs import Told
from simulator.inputs.library import HARDWARE_FOLDER, STACK_FOLDER, find_id
from simulator.inputs.measurements import Measurement, read_table


def recognise(content: Content) -> bool:
    """By its header."""
    return {"hardware", "stack", "metric", "value"} <= set(read_header(content))


def read(content: Content, told: Told) -> Iterator[Measurement]:
    """The rows, with ids for the aliases that they name devices and stacks by."""
    for row in read_table(content.path):
        hardware = find_id("hardware", row.hardware, HARDWARE_FOLDER)
        yield replace(row, hardware=hardware, stack=find_id("stack", row.stack, STACK_FOLDER))
