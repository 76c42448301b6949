"""A table of plain text: columns as wide as their cells, narrower where they would not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

WORD = r"\s*\S+\s*"
NARROW = "\u0300"  # characters before this one take one column of a terminal each
GAP = "   "  # between columns
NARROWEST = 3  # a character and the halves of two gaps


def lay_out(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> str:
    """Lay out cells below a header and a rule, numbers to the right; cells that do not fit are folded into lines.

    Args:
        header: one name a column.
        rows: as many cells each.
        numeric: whether a column holds numbers.
        width: columns of the terminal that the table must fit, where one character a cell does.
    """
    last = len(header) - 1
    margins = [(place > 0) + (place < last) for place in range(len(header))]  # half the gap at either side
    widths = [max(measure(line) for row in (header, *rows) for line in row[i].split("\n")) for i in range(last + 1)]
    padded = [max(width, 1) + margin for width, margin in zip(widths, margins, strict=True)]
    widths = [each - margin for each, margin in zip(narrow(padded, width - 2 - last), margins, strict=True)]
    rule = "─" * (sum(widths) + len(GAP) * (len(widths) - 1))
    lines = [*list_lines(header, widths, numeric, from_below=True), rule]
    for row in rows:
        lines += list_lines(row, widths, numeric)
    return "\n".join(f" {line}".rstrip() for line in lines)


def list_lines(
    cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], from_below: bool = False
) -> Iterator[str]:
    """Yield the lines of one row, whose cells stand at its top or at its bottom."""
    folded = [fold(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, folded))
    for lines in folded:
        blank = [""] * (height - len(lines))
        lines[:] = blank + lines if from_below else lines + blank
    for parts in zip(*folded, strict=True):
        yield GAP.join(pad(*each) for each in zip(parts, widths, numeric, strict=True))


def narrow(widths: Sequence[int], most: int) -> list[int]:
    """Take what is too much in all from the widest columns, until they are as wide as each other."""
    widths = list(widths)
    excess = sum(widths) - most
    while excess > 0 and max(widths) > NARROWEST:
        widest = max(widths)
        places = [place for place, width in enumerate(widths) if width == widest]
        step = widest - max((width for width in widths if width < widest), default=NARROWEST)
        for left, place in zip(range(len(places), 0, -1), places, strict=True):
            taken = min(step, round(excess / left))
            widths[place] -= taken
            excess -= taken
    return widths


def fold(text: str, width: int) -> list[str]:
    """Break a text into lines at its spaces, and within words that are wider than a line."""
    lines = []
    for part in text.split("\n"):
        if measure(part) <= width:
            lines.append(part)
            continue
        line = ""
        for word in re.findall(WORD, part):
            if measure(line + word.rstrip()) <= width:
                line += word
                continue
            if line:
                lines.append(line)
            if measure(word.rstrip()) > width:
                while measure(word) > width:
                    lines.append(cut(word, width))
                    word = word[len(lines[-1]) :]
            line = word
        lines.append(line)
    return [line.rstrip() for line in lines]


def cut(text: str, width: int) -> str:
    """Return as much of a text as fits, a character at least."""
    end = 1
    while end < len(text) and measure(text[: end + 1]) <= width:
        end += 1
    return text[:end]


def pad(text: str, width: int, to_the_right: bool) -> str:
    """Fill a text up to a width."""
    spaces = " " * (width - measure(text))
    return spaces + text if to_the_right else text + spaces


def measure(text: str) -> int:
    """Count the columns that a text takes in a terminal: two for wide characters, none for accents of their own."""
    if max(text, default="") < NARROW:
        return len(text)
    return sum(measure_character(character) for character in text)


def measure_character(character: str) -> int:
    """Count the columns that a character takes in a terminal."""
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
