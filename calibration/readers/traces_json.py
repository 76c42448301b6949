"""What readers of JSON traces share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.errors import InputError
from simulator.textfile import parse_json, read_text


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of a file with its place: one JSON document, or one a line.

    Raises:
        InputError: not readable, not JSON, or not objects.
    """
    text = read_text(path, "cannot read the traces")
    try:
        documents = [(str(path), parse_json(text))]
    except ValueError:
        documents = [(f"{path}:{number}", parse_line(path, number, line)) for number, line in number_lines(text)]
    if not documents:
        raise InputError(f"{path}: the file is empty")
    for where, document in documents:
        if not isinstance(document, dict):
            raise InputError(f"{where}: not a JSON object")
        yield where, document


def number_lines(text: str) -> list[tuple[int, str]]:
    """The lines that are not blank."""
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def parse_line(path: Path, number: int, line: str) -> Any:
    """One line of JSON."""
    try:
        return parse_json(line)
    except ValueError as error:
        raise InputError(f"{path}:{number}: not JSON: {error}") from None


def require_number(where: str, name: str, value: Any) -> float:
    """A finite JSON number; true is none.

    Raises:
        InputError: missing, or something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise InputError(f"{where}: {name} is {'missing' if value is None else repr(value)}; it must be a number")
    return float(value)
