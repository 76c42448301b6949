"""Other people's formats -> the tidy table. A reader is a function from a path and hints to rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from calibration.readers.megatron_log import read_megatron_log
from calibration.readers.op_table import read_op_table
from simulator.inputs.measurements import Measurement, read_table

Reader = Callable[[Path, str, str], list[Measurement]]


def read_tidy(path: Path, hardware: str, stack: str) -> list[Measurement]:
    """Read a tidy table; its rows name their own hardware and stack."""
    return read_table(path)


READERS: dict[str, Reader] = {"tidy": read_tidy, "megatron-log": read_megatron_log, "op-table": read_op_table}
