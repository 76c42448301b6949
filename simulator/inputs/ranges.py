"""Numbers on the command line: ``512``, a list ``1,8,64``, a range ``64-512+64`` or ``128-32768*2``."""

from __future__ import annotations

import re

from simulator.errors import InputError

RANGE = r"(\d+)-(\d+)([+*])(\d+)"
MOST_DIGITS = 40
MOST = 100_000  # values one range may give


def parse_counts(text: str, name: str) -> list[int]:
    """Return the whole numbers that the text stands for, in its order.

    Raises:
        InputError: not a number, a list or a range; below 1; or a range that goes nowhere.
    """
    counts: list[int] = []
    for part in text.split(","):
        counts += parse_part(part.strip(), name)
    return counts


def parse_part(part: str, name: str) -> list[int]:
    """Return the numbers of one item of the list."""
    if len(part) > MOST_DIGITS:
        raise InputError(f"{name}: '{part[:MOST_DIGITS]}...' is too long to be a count")
    if part.isdecimal() and int(part) >= 1:
        return [int(part)]
    matched = re.fullmatch(RANGE, part)
    if matched is None:
        raise InputError(
            f"{name}: '{part}' is not a whole number of at least 1, a list such as 1,8,64, "
            "or a range such as 64-512+64 or 128-32768*2"
        )
    first, last, step = int(matched[1]), int(matched[2]), int(matched[4])
    growing = step >= 1 if matched[3] == "+" else step >= 2
    if first < 1 or last < first or not growing:
        raise InputError(f"{name}: range '{part}' must start at 1 or more, go up, and step by at least +1 or *2")
    counts = []
    while first <= last:
        counts.append(first)
        first = first + step if matched[3] == "+" else first * step
        if len(counts) > MOST:
            raise InputError(f"{name}: range '{part}' gives more than {MOST} values")
    return counts
