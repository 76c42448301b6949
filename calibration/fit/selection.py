"""Which rows of a table to use."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.errors import InputError, suggest
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.stack import Stack


class Selection(NamedTuple):
    """Keep rows whose values are listed; an empty collection keeps all."""

    models: Collection[str] = ()
    exclude_models: Collection[str] = ()
    hardware: Collection[str] = ()
    stack: Collection[str] = ()
    prompt_tokens: Collection[int] = ()
    output_tokens: Collection[int] = ()
    batch_size: Collection[int] = ()
    exclude_operators: Collection[str] = ()  # regular expressions


class Source(NamedTuple):
    """How to read a file of measurements, what it leaves out, which of its rows to use, and files of more of them."""

    reader: str | None = None
    told: Told = Told()
    chosen: Selection = Selection()
    also: Sequence[Path] = ()


def select_rows(rows: list[Measurement], selection: Selection) -> list[Measurement]:
    """Return the rows that match.

    Raises:
        InputError: a model that the table does not have, or nothing left.
    """
    known = {row.model for row in rows}
    for model in (*selection.models, *selection.exclude_models):
        if model not in known:
            raise InputError(suggest(f"the table has no model '{model}'", model, sorted(known)))
    kept = [row for row in rows if row.model not in selection.exclude_models and matches(row, selection)]
    if not kept:
        devices = ", ".join(sorted({f"{row.hardware} / {row.stack}" for row in rows}))
        raise InputError(f"no row of the table is left after selection; it has rows of {devices}")
    return kept


def matches(row: Measurement, selection: Selection) -> bool:
    """Whether a row has one of the listed values in each place."""
    wanted = (
        (row.model, selection.models),
        (row.hardware, selection.hardware),
        (row.stack, selection.stack),
        (row.prompt_tokens, selection.prompt_tokens),
        (row.output_tokens, selection.output_tokens),
        (row.batch_size, selection.batch_size),
    )
    return all(not allowed or value in allowed for value, allowed in wanted) and not is_excluded(row, selection)


def is_excluded(row: Measurement, selection: Selection) -> bool:
    """Whether the text of an operator, followed by its formats, has one of the patterns that are not wanted.

    Raises:
        InputError: a pattern that is no regular expression.
    """
    if not row.operator or not selection.exclude_operators:
        return False
    formats = f"dtype={row.activation_dtype} weight_dtype={row.weight_dtype} kv_dtype={row.kv_dtype}"
    try:
        return any(re.search(pattern, f"{row.operator} {formats}") for pattern in selection.exclude_operators)
    except re.error as error:
        raise InputError(f"--exclude-operators: not a pattern: {error}") from None


def read_setting(path: Path, source: Source, say: Callable[[str], None]) -> tuple[list[Measurement], Hardware, Stack]:
    """Rows of a file, with the device and the stack that they are of: those that are told, else the file's own.

    Raises:
        InputError: from reading, or rows of several devices or stacks.
    """
    told = source.told
    rows = [row for one in (path, *source.also) for row in read_rows(one, source.reader, told, say)]
    devices, stacks = ({getattr(row, name) for row in rows} for name in ("hardware", "stack"))
    for what, option, named, found in (("device", "-H", told.hardware, devices), ("stack", "-s", told.stack, stacks)):
        if named is None and len(found) > 1:
            raise InputError(f"{path}: rows of several {what}s ({', '.join(sorted(found))}); name one with {option}")
    return rows, load_hardware(told.hardware or devices.pop()), load_stack(told.stack or stacks.pop())
