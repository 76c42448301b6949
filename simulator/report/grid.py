"""Rows of a grid for people: what is the same above, and as much of the rest as one screen holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.report.output import fold_prose, format_cell, format_table

LEADING = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s")  # metrics of one screen, with those asked for
LEADING_OF_LOADS = ("ttft_s_mean", "tpot_s_mean", "output_tokens_per_s", "saturated")
MOST_SHOWN = 25  # rows of one screen


def format_screen(
    rows: list[dict[str, Any]], varied: set[str], names: set[str], leading: Sequence[str] | None = None
) -> str:
    """The first rows, with as many of the leading columns as stand beside each other, and what is left out."""
    leading = leading or (LEADING if LEADING[0] in rows[0] else LEADING_OF_LOADS)
    for count in range(len(leading), 1, -1):
        kept = {*varied, *names, *leading[:count]}
        shown = [{name: value for name, value in row.items() if name in kept} for row in rows[:MOST_SHOWN]]
        text = format_grid(shown, varied)
        if "\n\n" not in text.partition("─\n")[2]:  # all columns in one part
            break
    left = [f"{len(rows) - len(shown):,} more rows"] if len(rows) > len(shown) else []
    left += [f"{len(rows[0]) - len(shown[0])} more columns"] if len(rows[0]) > len(shown[0]) else []
    return text + (f"\n\nand {', '.join(left)}: --all, or -o csv" if left else "")


def format_grid(rows: list[dict[str, Any]], varied: set[str]) -> str:
    """Rows for people: what is the same in all stands above the table, what varies at the head of each of its parts."""
    same = {} if len(rows) < 2 else {name: value for name, value in rows[0].items() if name not in varied}
    same = {name: value for name, value in same.items() if all(row[name] == value for row in rows)}
    shown = [{name: value for name, value in row.items() if name not in same} for row in rows]
    table = format_table(shown, keys=len(varied))
    if not same:
        return table
    title = "; ".join(f"{name} {format_cell(name, value)}" for name, value in same.items())
    return f"{fold_prose(f'All rows: {title}')}\n\n{table}"
