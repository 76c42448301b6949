"""How long requests are: all alike, uniform in a share of the nominal, log-normal about it, or drawn from a table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias

import numpy as np

from simulator.csvfile import parse_whole, read_text, split_csv
from simulator.errors import InputError
from simulator.serving.state import Counts, Requests

# None: as they are nominally; two shares of the nominal; the deviation of the logarithm; a table.
Lengths: TypeAlias = tuple[float, float] | float | Path | None

COLUMNS = (("input_tokens", "output_tokens"), ("input_length", "output_length"))
WIDEST = 3.0  # deviation of a logarithm


def parse_lengths(text: str) -> Lengths:
    """Read ``0.8-1.0`` (uniform between these shares of the nominal), ``lognormal:0.5``, or the name of a table.

    Raises:
        InputError: it is none of them.
    """
    name, colon, rest = text.partition(":")
    if name == "lognormal" and colon:
        return check_lengths(read_number(text, rest))
    parts = text.split("-")
    if len(parts) == 2 and all(part.strip().replace(".", "", 1).isdigit() for part in parts):
        return check_lengths((float(parts[0]), float(parts[1])))
    if Path(text).suffix not in (".csv", ".gz"):
        raise InputError(
            f"lengths: '{text}' is none of 0.8-1.0 (shares of the nominal), lognormal:0.5 and a .csv table"
        )
    return Path(text)


def read_number(text: str, part: str) -> float:
    """A number in a text.

    Raises:
        InputError: it is none.
    """
    try:
        return float(part)
    except ValueError:
        raise InputError(f"lengths: '{text}': '{part}' is not a number") from None


def check_lengths(lengths: Lengths) -> Lengths:
    """Refuse shares and deviations that cannot be.

    Raises:
        InputError: with them.
    """
    if isinstance(lengths, tuple | list):
        if len(lengths) != 2 or not all(isinstance(one, int | float) for one in lengths):
            raise InputError(f"lengths are {lengths}; uniform lengths are two shares of the nominal, as (0.8, 1.0)")
        low, high = map(float, lengths)
        if not 0 < low <= high < math.inf:
            raise InputError(f"lengths are {low:g} to {high:g} of the nominal; they must be above 0, the lower first")
        return low, high
    if isinstance(lengths, int | float) and not 0 <= lengths <= WIDEST:
        raise InputError(f"lengths: a deviation of the logarithm of {lengths:g}; it must be within 0 to {WIDEST:g}")
    return lengths


def draw_lengths(prompt: int, output: int, lengths: Lengths, count: int, random: np.random.Generator) -> Requests:
    """Lengths of so many requests."""
    lengths = check_lengths(lengths)
    if isinstance(lengths, Path):
        inputs, outputs = read_lengths(lengths)
        places = random.integers(0, len(inputs), count)
        return Requests(inputs[places], outputs[places])
    inputs = draw_counts(prompt, lengths, count, random)
    return Requests(inputs, draw_counts(output, lengths, count, random))


def draw_counts(
    nominal: int, lengths: tuple[float, float] | float | None, count: int, random: np.random.Generator
) -> Counts:
    """Whole numbers about a nominal one, 1 at least."""
    if lengths is None:
        return np.full(count, nominal, dtype=np.int64)
    if isinstance(lengths, tuple):
        low, high = (max(round(share * nominal), 1) for share in lengths)
        return np.asarray(random.integers(low, high + 1, count), dtype=np.int64)
    logs = random.normal(-(lengths**2) / 2, lengths, count)  # of mean 1
    return np.asarray(np.maximum(np.rint(nominal * np.exp(logs)), 1), dtype=np.int64)


def read_lengths(path: Path) -> tuple[Counts, Counts]:
    """Prompt and output lengths of a table.

    Raises:
        InputError: no such columns, no rows, or a length that is no whole number of at least 1; with its line.
    """
    header, lines = split_csv(path, read_text(path))
    names = next((pair for pair in COLUMNS if set(pair) <= set(header)), None)
    if names is None:
        raise InputError(f"{path}:1: lengths need the columns {' and '.join(COLUMNS[0])}; it has {', '.join(header)}")
    rows = [[parse_whole(where, name, cells[name]) for name in names] for where, cells in lines]
    if not rows:
        raise InputError(f"{path}: no rows below the header")
    table = np.array(rows, dtype=np.int64)
    return table[:, 0], table[:, 1]
