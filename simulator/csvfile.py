"""The ground of every CSV table: rows by column, each with where it stands."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

from simulator import textfile
from simulator.errors import InputError

Row = dict[str, str]
MOST_COUNT = 2**40  # past any number of tokens or bytes


def read_text(path: Path) -> str:
    """Text of a table, also of one that is packed (``.gz``).

    Raises:
        InputError: no such file, or not text.
    """
    return textfile.read_text(path, "cannot read the table")


def split_csv(path: Path, text: str) -> tuple[list[str], Iterator[tuple[str, Row]]]:
    """Header of a table, and its rows by column with their places; an empty header where there is no line.

    Raises:
        InputError: not CSV, a column named twice, or, as rows are taken, one with more or fewer cells than the header.
    """
    reader = csv.reader(io.StringIO(text), strict=True)

    def take() -> list[str] | None:
        try:
            return next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None

    header = take() or []
    if len(set(header)) != len(header):
        raise InputError(f"{path}:1: a column is named twice")

    def iterate() -> Iterator[tuple[str, Row]]:
        while (cells := take()) is not None:
            where = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(f"{where}: {len(cells)} cells where the header has {len(header)}; is the row cut off?")
            yield where, dict(zip(header, cells, strict=True))

    return header, iterate()


def parse_real(where: str, name: str, text: str) -> float:
    """A finite number.

    Raises:
        InputError: it is none.
    """
    try:
        number = float(text)
    except ValueError:
        raise InputError(f"{where}: {name} is '{text}'; it must be a plain number") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is '{text}'; it must be finite")
    return number


def parse_whole(where: str, name: str, text: str) -> int:
    """A whole number of at least 1, such as of tokens.

    Raises:
        InputError: it is none.
    """
    number = parse_real(where, name, text)
    if not 1 <= number <= MOST_COUNT or number != int(number):
        raise InputError(f"{where}: {name} is '{text}'; it must be a whole number of at least 1")
    return int(number)
