"""Which models and devices answer to the words that somebody lists them by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from simulator.names import normal_form

_SIZE = re.compile(r"(?P<sign>[<>]=?|)(?P<number>\d+(?:\.\d+)?)(?P<unit>[a-z]+)")
MEMORY_UNITS = {"gb": 1e9, "gib": 2**30, "tb": 1e12}
PARAMETER_UNITS = {"m": 1e6, "b": 1e9, "t": 1e12}
NEAR = (0.93, 1.08)  # of a size: 80GB is what a driver reports as 85.9e9 bytes or as 79.2e9, 8b what counts to 8.03e9


class Entry(NamedTuple):
    """What of a spec can be asked for: its words, and its size in bytes or parameters."""

    words: str
    size: float


def describe_words(*parts: str | Iterable[str] | None) -> str:
    """Put all names of a spec together, each on a line, in lower case."""
    lists = ([part] if isinstance(part, str) else part or () for part in parts)
    return "\n".join(word.casefold() for words in lists for word in words)


def answers_to(entry: Entry, words: Iterable[str], units: Mapping[str, float]) -> bool:
    """Return whether a spec has all the words in its names, and the sizes: ``80gb``, ``<24gb``, ``>=70b``."""
    return all(_has_word(entry, word.casefold(), units) for word in words)


def _has_word(entry: Entry, word: str, units: Mapping[str, float]) -> bool:
    size = _SIZE.fullmatch(word)
    if size is None or size["unit"] not in units:
        form = f" {normal_form(word)} "
        return word in entry.words or any(form in f" {normal_form(name)} " for name in entry.words.splitlines())
    asked = float(size["number"]) * units[size["unit"]]
    match size["sign"]:
        case "<":
            return entry.size < asked
        case "<=":
            return entry.size <= asked * NEAR[1]
        case ">":
            return entry.size > asked * NEAR[1]
        case ">=":
            return entry.size >= asked * NEAR[0]
    return NEAR[0] * asked <= entry.size <= NEAR[1] * asked
