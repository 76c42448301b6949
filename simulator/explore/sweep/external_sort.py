"""More rows in order than memory holds: dealt out to files by ranges of the key, and each file sorted alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.explore.sweep.filters import Objective, Table, find_rows, make_key

ROWS_AT_ONCE = 2**18  # that a file should hold
MOST_RANGES = 1000  # of the key; of so many rows that these fill up, a file holds more
SAMPLES = 2**10  # of a table, by which the ranges are chosen
Reader = Callable[[Iterable[str]], Iterable[Table]]  # the same columns of all tables
Codes = dict[str, dict[str, int]]  # a number for each text of a column


def sort_tables(read: Reader, columns: Iterable[str], order: Objective, folder: Path) -> Iterator[Table]:
    """Rows of all tables in order, equal ones in the order they come; the files in between stand in a folder."""
    codes: Codes = {}
    borders = find_borders(read([order.column]), order, codes)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    empty = deal_out(read(columns), borders, order, codes, folder)
    yield decode(empty, codes)
    for path in sorted(folder.iterdir(), key=lambda path: int(path.name)):
        if int(path.name) % 2:  # all of one key
            yield from (decode(rows, codes) for rows in read_pieces(path, empty.dtype))
        else:
            rows = np.fromfile(path, empty.dtype)
            yield decode(rows[np.argsort(find_key(rows, order, codes), kind="stable")], codes)
        path.unlink()


def find_borders(tables: Iterable[Table], order: Objective, codes: Codes) -> NDArray[np.float64]:
    """Keys that cut the rows into ranges of about equal size, by some rows of each table; all texts get a number."""
    samples, total = [], 0
    for table in tables:
        rows = encode(table, codes)
        total += len(rows)
        samples.append(rows[:: max(len(rows) // SAMPLES, 1)])
    key = np.sort(find_key(np.concatenate(samples), order, codes))
    key = key[~np.isnan(key)]
    ranges = min(MOST_RANGES, -(-total // ROWS_AT_ONCE), len(key))
    return np.unique(key[np.arange(1, ranges) * len(key) // max(ranges, 1)])


def deal_out(
    tables: Iterable[Table], borders: NDArray[np.float64], order: Objective, codes: Codes, folder: Path
) -> NDArray[Any]:
    """Write rows to files with numbers for names: even ones between two borders, odd ones at a border or without a key.

    Gives no rows, of the kind that all have.
    """
    rows = np.zeros(0)
    for table in tables:
        rows = encode(table, codes)
        key = find_key(rows, order, codes)
        places = np.searchsorted(borders, key, "left") + np.searchsorted(borders, key, "right")
        places[np.isnan(key)] = 2 * len(borders) + 1
        together = np.argsort(places, kind="stable")
        found, starts = np.unique(places[together], return_index=True)
        for place, part in zip(found, np.split(rows[together], starts[1:]), strict=False):  # no row is one empty part
            with (folder / str(place)).open("ab") as file:
                part.tofile(file)
    return rows[:0]


def read_pieces(path: Path, kind: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Rows of a file, some at a time."""
    with path.open("rb") as file:
        while len(rows := np.fromfile(file, kind, ROWS_AT_ONCE)):
            yield rows


def find_key(rows: NDArray[Any], order: Objective, codes: Codes) -> NDArray[np.float64]:
    """Numbers whose ascending order is the one that is asked for."""
    values = rows[order.column]
    if order.column in codes:
        values = np.argsort(np.argsort(list(codes[order.column])))[values]
    return make_key(values, order.largest).astype(np.float64)


def encode(table: Table, codes: Codes) -> NDArray[Any]:
    """A table as records; new texts get a number."""
    columns = dict(table)
    for name, column in table.items():
        if column.dtype == object:
            known = codes.setdefault(name, {})
            columns[name] = np.array([known.setdefault(text, len(known)) for text in column.tolist()], dtype=np.int32)
    rows = np.empty(find_rows(table), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        rows[name] = column
    return rows


def decode(rows: NDArray[Any], codes: Codes) -> Table:
    """Records as a table."""
    table: Table = {}
    for name in rows.dtype.names or ():
        column = np.ascontiguousarray(rows[name])
        table[name] = np.array(list(codes[name]), dtype=object)[column] if name in codes else column
    return table
