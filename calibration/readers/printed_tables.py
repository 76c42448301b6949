"""Tables that tools print: boxes of lines around cells."""

from __future__ import annotations

import re

EDGES = re.compile(r"[│┃|]")
RULES = set("│┃|─━═=-+┏┓┗┛┡┩└┘┌┐├┤┳┻╇┴┬┼╋╈: ")


def split_cells(line: str) -> list[str]:
    """The cells of a row; none of a line that is no row or a rule between rows."""
    if not EDGES.search(line) or set(line.strip()) <= RULES:
        return []
    cells = [cell.strip() for cell in EDGES.split(line.strip())]
    return cells[bool(not cells[0]) : len(cells) - bool(not cells[-1])]


def split_row(line: str) -> list[str]:
    """The cells of a row of a Markdown table; none of a line that is no row."""
    text = line.strip()
    return [cell.strip() for cell in text.strip("|").split("|")] if text.startswith("|") and len(text) > 1 else []


def list_tables(text: str) -> list[list[tuple[int, list[str]]]]:
    """The rows of each printed table with their lines; a line that is none ends a table."""
    tables: list[list[tuple[int, list[str]]]] = [[]]
    for number, line in enumerate(text.splitlines(), start=1):
        cells = split_cells(line)
        if cells:
            tables[-1].append((number, cells))
        elif tables[-1] and not (set(line.strip()) <= RULES and line.strip()):
            tables.append([])
    return [table for table in tables if table]
