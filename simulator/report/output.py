"""One answer in four forms: a table for the terminal, JSON, CSV and Markdown."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from simulator.report.table import lay_out_parts
from simulator.units import format_quantity, format_seconds

OutputForm = Literal["table", "json", "csv", "md"]
Row = Mapping[str, Any]
WIDTH = 80  # columns where no terminal says them
UNIT_SUFFIXES: dict[str, Callable[[float], str]] = {
    "_flops_per_s": lambda value: format_quantity(value, "FLOP/s"),
    "_bytes_per_s": lambda value: format_quantity(value, "B/s"),
    "_bytes": lambda value: format_quantity(value, "B"),
    "_flops": lambda value: format_quantity(value, "FLOP"),
    "_hz": lambda value: format_quantity(value, "Hz"),
    "_w": lambda value: format_quantity(value, "W"),
    "_j": lambda value: format_quantity(value, "J"),
    "_kg": lambda value: format_quantity(1000 * value, "g"),
    "usd_per_million_output_tokens": lambda value: format_quantity(value, "USD"),
    "_usd": lambda value: format_quantity(value, "USD"),
    "_tokens_per_s": lambda value: f"{value:.4g}",
    "requests_per_s": lambda value: f"{value:.4g}",
    "_s": format_seconds,
}
FRACTIONS = {"mape", "median_ape", "p90_ape", "bias", "coverage_90", "error", "share", "mfu", "mbu", "deviation"}


def to_plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy types become Python's, and what is not a number becomes null."""
    if isinstance(value, np.ndarray):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def format_rows(rows: Sequence[Row], form: OutputForm, document: Mapping[str, Any], keys: int = 1) -> str:
    """Rows in one of the forms; JSON is the document that holds them. ``keys``: as of ``format_table``."""
    if form == "json":
        return format_json(document)
    if form == "table":
        return format_table(rows, keys=keys)
    return format_csv(rows) if form == "csv" else format_markdown(rows)


def format_json(document: Mapping[str, Any]) -> str:
    """A document as indented JSON."""
    return json.dumps(to_plain(document), indent=2, allow_nan=False)


def format_csv(rows: Sequence[Row]) -> str:
    """Rows as CSV, in full precision and SI units."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: to_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue().rstrip("\n")


def to_cell(value: Any) -> Any:
    """A value as one CSV cell: a list becomes text with semicolons."""
    plain = to_plain(value)
    return "; ".join(map(str, plain)) if isinstance(plain, list) else plain


def format_markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table, written for people."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + " --- |" * len(rows[0])]
    for row in rows:
        cells = (format_cell(key, value).replace("|", "\\|") for key, value in row.items())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_table(rows: Sequence[Row], title: str | None = None, keys: int = 1) -> str:
    """Rows as a table written for people, of a width that fits where it is printed; ``keys`` columns name a row."""
    text = ""
    if rows:
        numeric = [all(isinstance(row[key], int | float | np.number | None) for row in rows) for key in rows[0]]
        cells = [[format_cell(key, value) for key, value in row.items()] for row in rows]
        text = lay_out_parts(list(rows[0]), cells, numeric, find_width(), min(keys, len(numeric)))
    return text if title is None else f"{title}\n{text}"


def fold_prose(text: str) -> str:
    """Fold the lines of an answer that are wider than where it is printed; what follows is indented a little more.

    Tables fit there by themselves (``format_table``).
    """
    width = find_width()
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += fold_line(line, width, indent) if len(line) > width else [line]
    return "\n".join(lines)


def fold_line(line: str, width: int, indent: str) -> list[str]:
    """Fold one line at its spaces."""
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def find_width() -> int:
    """Columns of the terminal that an answer is printed in, or what ``COLUMNS`` says; in a pipe 80."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and 0 < int(asked) < 10_000:
        return int(asked)
    return (os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0) or WIDTH


def format_cell(key: str, value: Any) -> str:
    """One value for people: three digits with a prefix where the name of the field ends in a unit."""
    value = to_plain(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if key in FRACTIONS:
        return f"{100 * value:.1f}%"
    bare = re.sub("(_mean|_p[0-9]+)?(_low|_high)?$", "", key)
    for suffix, write in UNIT_SUFFIXES.items():
        if bare.endswith(suffix):
            return write(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
