"""Our own tidy table; its rows name their device and stack, by any name that ships."""

from __future__ import annotations

from collections.abc import Iterator

from calibration.readers.content import Content, read_header
from calibration.readers.runs import Told
from simulator.inputs.measurements import Measurement, read_table


def recognise(content: Content) -> bool:
    """By its header."""
    return {"hardware", "stack", "metric", "value"} <= set(read_header(content))


def read(content: Content, told: Told) -> Iterator[Measurement]:
    """The rows as they are."""
    yield from read_table(content.path)
