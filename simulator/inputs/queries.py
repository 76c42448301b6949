"""A set of queries: how many tokens each has, from a CSV table or from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.csvfile import parse_whole, read_text, split_csv
from simulator.errors import InputError, nearest

MOST_QUERIES = 1_000_000


class Queries(NamedTuple):
    """Token counts, one entry a query."""

    prompt_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]


def read_queries(path: Path) -> Queries:
    """Read ``prompt_tokens`` and ``output_tokens`` of a CSV table; other columns are left alone.

    Raises:
        InputError: no such file, a column missing, no row, or a count that is not a whole number of at least 1.
    """
    columns = ("prompt_tokens", "output_tokens")
    counts = [[parse_whole(where, name, row[name]) for name in columns] for where, row in read_csv(path, columns)]
    if not counts:
        raise InputError(f"{path}: no rows below the header")
    prompt, output = np.array(counts, dtype=np.float64).T
    return Queries(prompt, output)


def combine_queries(prompt_tokens: list[int], output_tokens: list[int]) -> Queries:
    """Every combination of the counts, one query each.

    Raises:
        InputError: more than fit into memory.
    """
    if len(prompt_tokens) * len(output_tokens) > MOST_QUERIES:
        raise InputError(
            f"{len(prompt_tokens) * len(output_tokens):,} combinations of prompt and output tokens are more than the "
            f"{MOST_QUERIES:,} that fit into memory; ask for coarser ranges"
        )
    prompt, output = np.meshgrid(prompt_tokens, output_tokens, indexing="ij")
    return Queries(prompt.ravel().astype(np.float64), output.ravel().astype(np.float64))


def read_csv(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of a CSV table as mappings, each with the place where it stands.

    Raises:
        InputError: no such file, not text, a needed column missing, or a row with too few or too many cells.
    """
    header, rows = split_csv(path, read_text(path))
    names = [name.strip() for name in header]
    check_columns(path, names, needed)
    for where, cells in rows:
        yield where, dict(zip(names, cells.values(), strict=True))


def check_columns(path: Path, header: list[str], needed: tuple[str, ...]) -> None:
    """Refuse a header without the needed columns.

    Raises:
        InputError: with the first that is missing, and the column that may be meant.
    """
    for name in needed:
        if name not in header:
            near = nearest(name, header)
            hint = "" if near is None else f"; did you mean its column {near!r}?"
            raise InputError(f"{path}:1: missing column {name}{hint} (it has: {', '.join(header) or 'nothing'})")
