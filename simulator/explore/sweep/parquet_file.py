"""Tables into Parquet, by arro3 (parquet-rs) and nanoarrow: a fifth of PyArrow's size, memory for a group of rows.

The columns' names stand once more in a row in the file's last part, its footer, where they are plain bytes: so a file
is known again without parsing it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.explore.sweep.filters import Table, find_rows

MAGIC = b"PAR1"
KEY = "roofcast sweep"
GROUP_ROWS = 2**17  # held in memory until they are written


def write_parquet(path: Path, tables: Iterable[Table]) -> int:
    """Write tables as Parquet; what is not a number is null. The number of rows."""
    require_writer()
    from arro3.core import RecordBatch, RecordBatchReader
    from arro3.io import write_parquet as write

    tables = iter(tables)
    first = next(tables)
    schema = make_schema(first)
    rows = 0

    def make_batches() -> Iterator[Any]:
        nonlocal rows
        for table in chain([first], tables):
            rows += find_rows(table)
            yield RecordBatch.from_arrays([make_array(column) for column in table.values()], schema=schema)

    texts: dict[str | Sequence[str], bool] = {name: column.dtype == object for name, column in first.items()}
    write(
        RecordBatchReader.from_batches(schema, make_batches()),
        path,
        compression="snappy",
        column_dictionary_enabled=texts,
        max_row_group_size=GROUP_ROWS,
        key_value_metadata={KEY: list_columns(first)},
        skip_arrow_metadata=True,
    )
    return rows


def make_schema(table: Table) -> Any:
    """Names and types of a table's columns."""
    from arro3.core import DataType, Field, Schema

    kinds = {"f": DataType.float64(), "i": DataType.int64(), "b": DataType.bool(), "O": DataType.utf8()}
    return Schema([Field(name, kinds[column.dtype.kind], nullable=True) for name, column in table.items()])


def make_array(column: NDArray[Any]) -> Any:
    """A column as an Arrow array, whose numbers are not copied."""
    import nanoarrow

    if column.dtype.kind == "O":
        return nanoarrow.c_array(column.tolist(), nanoarrow.string())
    if column.dtype.kind == "b":
        bits = np.packbits(column, bitorder="little")
        return nanoarrow.c_array_from_buffers(nanoarrow.bool_(), len(column), [None, bits], null_count=0)
    if column.dtype.kind == "i":
        whole = np.ascontiguousarray(column, dtype=np.int64)
        return nanoarrow.c_array_from_buffers(nanoarrow.int64(), len(column), [None, whole], null_count=0)
    none = np.isnan(column)
    known = np.packbits(~none, bitorder="little") if none.any() else None
    numbers = np.ascontiguousarray(column, dtype=np.float64)
    return nanoarrow.c_array_from_buffers(
        nanoarrow.float64(), len(column), [known, numbers], null_count=int(none.sum())
    )


def holds_columns(path: Path, names: Iterable[str]) -> bool:
    """Whether a file is Parquet that ``write_parquet`` made with these columns, by its footer."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        end = file.read(8)
        length = int.from_bytes(end[:4], "little") + 8
        if end[4:] != MAGIC or length > size:
            return False
        file.seek(size - length)
        return list_columns(names).encode() in file.read(length)


def list_columns(names: Iterable[str]) -> str:
    """The columns' names as the footer has them, between marks, so that the first of more columns are not all."""
    return f"[{','.join(names)}]"


def require_writer() -> None:
    """See that what writes Parquet is installed.

    Raises:
        InputError: it is not.
    """
    if not all(find_spec(name) for name in ("arro3", "arro3.io", "nanoarrow")):
        raise InputError("Parquet needs arro3 and nanoarrow: pip install 'roofcast[sweep]', or write a .csv")
