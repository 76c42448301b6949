"""A table of plain text: columns as wide as their cells; where they do not fit, narrower, and then in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

WORD = r"\s*\S+\s*"
NARROW = "\u0300"  # characters before this one take one column of a terminal each
GAP = "   "  # between columns
NARROWEST = 3  # a character and the halves of two gaps
READABLE = 24  # columns that a text can be folded into and still be read


def lay_out_parts(
    header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int, keys: int
) -> str:
    """Lay out a table of any width: columns that do not fit stand in further parts, below the first columns again.

    Args:
        header, rows, numeric, width: as of ``lay_out``.
        keys: how many of the first columns say what a row is of, and stand in every part.
    """
    needs = [find_need([line[place] for line in (header, *rows)]) for place in range(len(header))]
    parts = []
    for places in share_out(needs, width - 1, keys):
        cells = [[row[place] for place in places] for row in rows]
        names, numbers = [header[place] for place in places], [numeric[place] for place in places]
        # Of the blanks at both sides that the layout keeps, the one at the end is not printed.
        parts.append(lay_out(names, cells, numbers, width + 1, [needs[place] for place in places]))
    return "\n\n".join(parts)


def find_need(cells: Sequence[str]) -> int:
    """Columns of the terminal that cells take at least, where no word may break and texts stay readable."""
    lines = [line for cell in cells for line in cell.split("\n")]
    widest = max(map(measure, lines))
    return min(widest, max(READABLE, *(measure(word) for line in lines for word in line.split() or [""])))


def share_out(needs: Sequence[int], width: int, keys: int) -> list[list[int]]:
    """Share columns among parts, each of which begins with the keys, in their order."""
    first = list(range(keys))
    parts = [[*first]]
    for place in range(keys, len(needs)):
        part = [*parts[-1], place]
        if len(parts[-1]) > keys and sum(needs[one] for one in part) + len(GAP) * (len(part) - 1) > width:
            parts.append([*first, place])
        else:
            parts[-1] = part
    return parts


def lay_out(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    width: int,
    needs: Sequence[int] | None = None,
) -> str:
    """Lay out cells below a header and a rule, numbers to the right; cells that do not fit are folded into lines.

    Args:
        header: one name a column.
        rows: as many cells each.
        numeric: whether a column holds numbers.
        width: columns of the terminal that the table must fit, where one character a cell does.
        needs: what each column keeps for as long as others have more than they need.
    """
    last = len(header) - 1
    margins = [(place > 0) + (place < last) for place in range(len(header))]  # half the gap at either side
    widths = [max(measure(line) for row in (header, *rows) for line in row[i].split("\n")) for i in range(last + 1)]
    padded = [max(width, 1) + margin for width, margin in zip(widths, margins, strict=True)]
    most, least = width - 2 - last, [NARROWEST] * len(header)
    if needs is not None:
        padded = narrow(padded, most, [need + margin for need, margin in zip(needs, margins, strict=True)])
    widths = [each - margin for each, margin in zip(narrow(padded, most, least), margins, strict=True)]
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


def narrow(widths: Sequence[int], most: int, floors: Sequence[int]) -> list[int]:
    """Take what is too much in all from the widest columns, until they are as wide as each other or at their floors."""
    widths = list(widths)
    excess = sum(widths) - most
    while excess > 0:
        free = [place for place, width in enumerate(widths) if width > floors[place]]
        if not free:
            break
        widest = max(widths[place] for place in free)
        places = [place for place in free if widths[place] == widest]
        step = widest - max((widths[place] for place in free if widths[place] < widest), default=NARROWEST)
        for left, place in zip(range(len(places), 0, -1), places, strict=True):
            taken = min(step, round(excess / left), widths[place] - floors[place])
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
