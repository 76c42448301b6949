"""CSV by columns: what Python's csv module reads of it are the values that were written, floats to the last bit."""

import csv
import io
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator.explore.sweep import csv_text
from simulator.explore.sweep.csv_text import write_header, write_rows

KINDS: list[tuple[type[Any], st.SearchStrategy[Any]]] = [
    (np.float64, st.floats()),
    (np.int64, st.integers(-(2**63), 2**63 - 1)),
    (np.bool_, st.booleans()),
    (
        np.object_,
        st.none() | st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(['a,"b"', "a\nb", "a\rb"]),
    ),
]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, NDArray[Any]]:
    rows = draw(st.integers(0, 30))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
    columns = [np.array(draw(st.lists(cells, min_size=rows, max_size=rows)), dtype=kind) for kind, cells in kinds]
    return {f"column {place}, {column.dtype}": column for place, column in enumerate(columns)}


def expect(cell: object) -> str:
    """What is read where a value was written, a float apart."""
    return "" if cell is None else str(cell)


@given(tables(), st.sampled_from([7, 2**15]))
def test_what_is_read_is_what_was_written(table: dict[str, NDArray[Any]], at_once: int) -> None:
    before, csv_text.ROWS_AT_ONCE = csv_text.ROWS_AT_ONCE, at_once
    try:
        written = write_header(table) + b"".join(write_rows(table))
    finally:
        csv_text.ROWS_AT_ONCE = before
    header, *rows = csv.reader(io.StringIO(written.decode(), newline=""))
    assert header == list(table)
    assert len(rows) == len(next(iter(table.values())))
    for place, column in enumerate(table.values()):
        cells = [row[place] for row in rows]
        if column.dtype == np.float64:
            floats = np.array([float(cell or "nan") for cell in cells])
            assert np.array_equal(floats, column, equal_nan=True)
            for cell, value in zip(cells, column.tolist(), strict=True):  # no digit more than Python writes
                assert value != value or Decimal(cell) == Decimal(repr(value))
        else:
            assert cells == [expect(cell) for cell in column.tolist()]
