"""The least and the most that a number of a file may be, stated with its field: ``Annotated[int, Range(1, 1e6)]``.

The same statement refuses a file, a dataclass that was made in code (``check_ranges``), and what an editor types, since
the JSON Schemas are made of it. A limit is what no device, model or measurement can pass, never what is usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import Annotated, Any, TypeAlias, get_args, get_type_hints

from simulator.errors import InputError


class Range:
    """Marks a number with its least and its most; ``above``: the least itself is not allowed."""

    def __init__(self, least: float, most: float, above: bool = False) -> None:
        self.least = least
        self.most = most
        self.above = above

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Pydantic's schema with the limits; asked for only where a file is."""
        schema = dict(handler(source))
        whole = schema["type"] == "int"
        least, most = (int(end) if whole else float(end) for end in (self.least, self.most))
        return schema | {"gt" if self.above else "ge": least, "le": most}

    def explain(self, value: float) -> str | None:
        """What is wrong with a value; None where nothing is."""
        if value > self.most:
            return f"it must be at most {write(self.most)}"
        if value < self.least or (self.above and value == self.least) or value != value:
            return f"it must be {'above' if self.above else 'at least'} {write(self.least)}"
        return None


def write(number: float) -> str:
    """A limit for people."""
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:g}"


MOST_COUNT = 2**31
Positive: TypeAlias = Annotated[int, Range(1, MOST_COUNT)]
Count: TypeAlias = Annotated[int, Range(0, MOST_COUNT)]
Devices: TypeAlias = Annotated[int, Range(1, 2**20)]
Times: TypeAlias = Annotated[float, Range(0, 1000)]  # that a kernel reads, writes or passes over something
Launches: TypeAlias = Annotated[int, Range(0, 1000)]
Share: TypeAlias = Annotated[float, Range(0, 1)]
Error: TypeAlias = Annotated[float, Range(0, 1e9)]  # as a fraction of what was measured


def check_ranges(record: object, where: str) -> None:
    """Refuse a dataclass one of whose numbers is out of the range of its field; arrays and symbols are left alone.

    Raises:
        InputError: with the field.
    """
    for name, allowed in list_ranges(type(record)):  # type: ignore[arg-type]  # mypy: unhashable
        value = getattr(record, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            problem = allowed.explain(value)
            if problem is not None:
                shown = f"{value}" if abs(value) < 1e15 else f"past {allowed.most:g}"
                raise InputError(f"{where}: {name} is {shown}; {problem}")


@cache
def list_ranges(kind: type[Any]) -> tuple[tuple[str, Range], ...]:
    """The fields of a dataclass that have a range, with it."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((one.name, found) for one in fields(kind) for found in find_ranges(hints[one.name]))


def find_ranges(hint: Any) -> Iterator[Range]:
    """The range of a type, or of one of the types of a union."""
    for part in (hint, *get_args(hint)):
        yield from (one for one in getattr(part, "__metadata__", ()) if isinstance(one, Range))
