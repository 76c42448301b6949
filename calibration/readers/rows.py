"""Rows of measurements from any format, by the ids that ship."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calibration.readers import READERS
from simulator.errors import unknown_name
from simulator.inputs.library import HARDWARE_FOLDER, STACK_FOLDER, find_id
from simulator.inputs.measurements import Measurement


def read_rows(table: Path, reader: str, hardware: str, stack: str) -> list[Measurement]:
    """Read measurements with a reader by name.

    Raises:
        InputError: no such reader, or what the reader raises.
    """
    if reader not in READERS:
        raise unknown_name("reader", reader, READERS)
    return name_by_id(READERS[reader](table, hardware, stack))


def name_by_id(rows: list[Measurement]) -> list[Measurement]:
    """Put the ids of shipped devices and stacks for the aliases that rows name them by."""
    return [
        replace(
            row,
            hardware=find_id("hardware", row.hardware, HARDWARE_FOLDER),
            stack=find_id("stack", row.stack, STACK_FOLDER),
        )
        for row in rows
    ]
