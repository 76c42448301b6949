"""What every answer can do in Python and in a notebook: rows, data frames, and a table of HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from simulator.errors import InputError

MOST_SHOWN = 20  # rows of a table of HTML
MOST_LETTERS = 60  # of one of its cells


class Shown:
    """An answer that has rows. The names of their columns end in the SI unit of their numbers."""

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows, each a number, text, truth or None by column."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("to_pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.to_dicts())

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``.

        Raises:
            InputError: Polars is not installed.
        """
        try:
            import polars
        except ImportError:
            raise InputError("to_polars needs Polars: pip install polars") from None
        return polars.DataFrame(self.to_dicts(), infer_schema_length=None)

    def _repr_html_(self) -> str:
        """What a notebook shows: the answer in words, and its first rows; of a single row one line a column."""
        return write_html(repr(self), self.to_dicts())


def write_html(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A caption and a table of rows; a single row stands upright, with the ends of intervals beside their value."""
    if len(rows) == 1:
        header, lines = ["", "value", "low (90%)", "high"], list_upright(rows[0])
    else:
        columns = [name for name in (rows[0] if rows else ()) if any(row[name] is not None for row in rows)]
        header, lines = columns, [[write_value(row[name]) for name in columns] for row in rows[:MOST_SHOWN]]
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    more = f"<p>and {len(rows) - MOST_SHOWN:,} more rows</p>" if len(rows) > MOST_SHOWN else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<p>{escape(title)}</p>{table}{more}"


def list_upright(row: Mapping[str, Any]) -> list[list[str]]:
    """Name, value and ends of each column that is known and is no end itself."""
    ends = {name for name in row if name.endswith(("_low", "_high")) and name.rpartition("_")[0] in row}
    return [
        [name, *(write_value(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))]
        for name in row
        if name not in ends and write_value(row[name])
    ]


def write_range(values: Any, write: Callable[[float], str]) -> str:
    """A number in words, or the least and the most of an array of them."""
    ends = list(dict.fromkeys(write(float(end(values))) for end in (np.min, np.max)))
    return " to ".join(ends)


def write_value(value: Any) -> str:
    """A value in up to four digits; nothing for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e15 else f"{value:.3e}"
    text = str(value)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
