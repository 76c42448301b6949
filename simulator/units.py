"""Quantities with their units: read from text into SI floats, and written for people.

A spec says ``bandwidth: 2039 GB/s``; inside, it is the float 2.039e12 in a name that ends in ``_bytes_per_s``. A bare
number is refused where a unit is due: 80 could be GB or GiB, and 1410 Hz or MHz.

Decimal prefixes are powers of 1000 (GB = 1e9), binary ones powers of 1024 (GiB = 2**30). Symbols are case-sensitive:
``b`` would be a bit, ``mW`` is not ``MW``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from simulator.errors import nearest

if TYPE_CHECKING:
    from decimal import Decimal


class Dimension(Enum):
    """What a quantity measures: its name in messages, its SI unit, how to write it, and the least and most there is.

    The limits are far past any device, so that no time or size made of numbers within them leaves what a float holds.
    """

    BYTES = ("bytes", "B", "80 GB", 1e-3, 1e18)
    BYTES_PER_SECOND = ("bytes per second", "B/s", "2039 GB/s", 1.0, 1e18)
    FLOPS_PER_SECOND = ("FLOP per second", "FLOP/s", "312 TFLOP/s", 1.0, 1e21)
    WATTS = ("watts", "W", "400 W", 1e-3, 1e9)
    HERTZ = ("hertz", "Hz", "1410 MHz", 1.0, 1e15)
    SECONDS = ("seconds", "s", "5 us", 1e-15, 1e15)
    JOULES = ("joules", "J", "3.6 MJ", 1e-15, 1e18)
    DOLLARS = ("US dollars", "USD", "1.20 USD", 1e-15, 1e15)
    DOLLARS_PER_SECOND = ("US dollars per second", "USD/s", "1.20 USD/h", 1e-18, 1e12)

    def __init__(self, label: str, unit: str, example: str, least: float, most: float) -> None:
        self.label = label
        self.unit = unit
        self.example = example
        self.least = least
        self.most = most


_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_MINUTE_S, _HOUR_S = 60, 3600


def _list_units() -> Iterator[tuple[str, Dimension, Decimal]]:
    """Yield every unit that is understood: symbol, dimension, and its size in the SI unit."""
    from decimal import Decimal

    for unit, dimension in (
        ("B", Dimension.BYTES),
        ("B/s", Dimension.BYTES_PER_SECOND),
        ("FLOP/s", Dimension.FLOPS_PER_SECOND),
        ("OP/s", Dimension.FLOPS_PER_SECOND),
        ("W", Dimension.WATTS),
        ("Hz", Dimension.HERTZ),
        ("J", Dimension.JOULES),
        ("Wh", Dimension.JOULES),
    ):
        prefixes = _DECIMAL | _BINARY if unit.startswith("B") else _DECIMAL
        unit_size = _HOUR_S if unit == "Wh" else 1
        for prefix, size in prefixes.items():
            yield prefix + unit, dimension, Decimal(size * unit_size)
    for symbol, size_s in (("s", "1"), ("ms", "1e-3"), ("ns", "1e-9"), ("min", _MINUTE_S), ("h", _HOUR_S)):
        yield symbol, Dimension.SECONDS, Decimal(size_s)
    for micro in ("u", "\u00b5", "\u03bc"):  # ASCII, the micro sign, and the Greek letter that keyboards give
        yield f"{micro}s", Dimension.SECONDS, Decimal("1e-6")
    yield "mW", Dimension.WATTS, Decimal("1e-3")
    yield "mJ", Dimension.JOULES, Decimal("1e-3")
    yield "USD", Dimension.DOLLARS, Decimal(1)
    yield "USD/s", Dimension.DOLLARS_PER_SECOND, Decimal(1)
    yield "USD/h", Dimension.DOLLARS_PER_SECOND, 1 / Decimal(_HOUR_S)


@cache
def _index_units() -> dict[str, tuple[Dimension, Decimal]]:
    return {symbol: (dimension, size) for symbol, dimension, size in _list_units()}


MOST_LETTERS = 100
_NUMBER = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan)\b)"
_NUMBER_THEN_UNIT = rf"(?P<number>{_NUMBER})\s*(?P<unit>(?:[^\W\d].*)?)"
_BITS = r"(?i:[kmgtpe]?i?)(?:b|bits?)(?:/s|ps)?"


def parse_quantity(text: str, dimension: Dimension) -> float:
    """Read a quantity such as ``'2039 GB/s'`` into the SI unit of its dimension.

    Args:
        text: a decimal number and a unit, with or without a space between them.
        dimension: what the quantity must measure.

    Returns:
        The value in ``dimension.unit`` (bytes, bytes/s, FLOP/s, W, Hz, s, J, USD or USD/s), finite and above zero.

    Raises:
        ValueError: one line: no number, no unit, a unit that is unknown or of another dimension, or a value that is
            not within the limits of the dimension.
    """
    if len(text) > MOST_LETTERS:
        raise ValueError(f"{text[:MOST_LETTERS]!r}... is too long for a number and a unit")
    match = re.fullmatch(_NUMBER_THEN_UNIT, text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number and a unit, e.g. {dimension.example!r}")
    number, unit = match["number"], match["unit"]
    if not unit:
        raise ValueError(f"{text!r} needs a unit, e.g. {dimension.example!r}")
    units = _index_units()
    if unit not in units:
        raise ValueError(_explain_unknown_unit(text, unit, dimension))
    found, size = units[unit]
    if found is not dimension:
        raise ValueError(f"{text!r} is {found.label}; this field needs {dimension.label}, e.g. {dimension.example!r}")
    return _scale(text, number, size, dimension)


def _scale(text: str, number: str, size: Decimal, dimension: Dimension) -> float:
    """Return number x size, checked before and after: the number may be none that a float holds."""
    from decimal import Decimal

    if not math.isfinite(float(number)):
        raise ValueError(f"{text!r} is not finite")
    if float(number) <= 0:
        raise ValueError(f"{text!r} must be more than zero")
    value = float(Decimal(number) * size)  # Decimal, so that '4.1 TB' is the float 4.1e12 and not its neighbour
    if not dimension.least <= value <= dimension.most:
        raise ValueError(
            f"{text!r} is out of range; allowed are {dimension.least:g} to {dimension.most:g} {dimension.unit}"
        )
    return value


def _explain_unknown_unit(text: str, unit: str, dimension: Dimension) -> str:
    problem = f"unknown unit {unit!r} in {text!r}"
    if dimension in (Dimension.BYTES, Dimension.BYTES_PER_SECOND) and re.fullmatch(_BITS, unit):
        return f"{problem}; b is a bit and B a byte (8 bits), e.g. {dimension.example!r}"
    near = nearest(unit, [symbol for symbol, (measures, _) in _index_units().items() if measures is dimension])
    if near is not None:
        return f"{problem}; did you mean {near!r}?"
    return f"{problem}; this field needs {dimension.label}, e.g. {dimension.example!r}"


class Quantity:
    """Marks a float that stands in a file as text with a unit."""

    def __init__(self, dimension: Dimension) -> None:
        self.dimension = dimension

    def read(self, value: object) -> float:
        """Read what stands in the file; a bare number is refused.

        Raises:
            ValueError: one line, as `parse_quantity`.
        """
        if not isinstance(value, str):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            needs = f"{value!r} needs a unit" if is_number else "needs a number and a unit"
            raise ValueError(f"{needs}, e.g. {self.dimension.example!r}")
        return parse_quantity(value, self.dimension)

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """Pydantic's name for how a value is validated; asked for only where a file is."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        """What an editor checks and shows: a text of a number and a unit."""
        d = self.dimension
        return {
            "type": "string",
            "pattern": r"^\s*[+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*\S.*$",
            "description": f"{d.label}, {d.least:g} to {d.most:g} {d.unit}",
            "examples": [d.example],
        }


# Field types for specs: text with a unit in the file, an SI float in the dataclass.
Bytes: TypeAlias = Annotated[float, Quantity(Dimension.BYTES)]
BytesPerSecond: TypeAlias = Annotated[float, Quantity(Dimension.BYTES_PER_SECOND)]
FlopsPerSecond: TypeAlias = Annotated[float, Quantity(Dimension.FLOPS_PER_SECOND)]
Watts: TypeAlias = Annotated[float, Quantity(Dimension.WATTS)]
Hertz: TypeAlias = Annotated[float, Quantity(Dimension.HERTZ)]
Seconds: TypeAlias = Annotated[float, Quantity(Dimension.SECONDS)]
DollarsPerSecond: TypeAlias = Annotated[float, Quantity(Dimension.DOLLARS_PER_SECOND)]


def format_quantity(value: float, unit: str) -> str:
    """Write a value for people, in three digits with a decimal prefix: ``2.039e12, 'B/s'`` is ``'2.04 TB/s'``.

    Args:
        value: the quantity in ``unit``, of either sign.
        unit: an SI unit (``'B'``, ``'FLOP/s'``, ``'W'``...). Seconds go through `format_seconds`; money, and whatever
            is below one, takes no prefix.
    """
    if unit == "s":
        return format_seconds(value)
    prefixes = {"": 1} if unit.startswith("USD") else _DECIMAL
    return _write(value, unit, {prefix + unit: size for prefix, size in prefixes.items()})


def format_seconds(value_s: float, limit_s: float = math.inf) -> str:
    """Write a duration in seconds for people, in three digits: ``0.0372`` is ``'37.2 ms'``.

    Beside a limit that it is past, in the limit's unit: 60.6 s of 2 s, not 1.01 min.
    """
    scales = {"ns": 1e-9, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "min": _MINUTE_S, "h": _HOUR_S}
    if limit_s < value_s < math.inf:
        scales = {symbol: size for symbol, size in scales.items() if size <= max(limit_s, scales["ns"])}
    return _write(value_s, "s", scales)


def _write(value: float, unit: str, scales: Mapping[str, float]) -> str:
    """Write a value in the largest of the scales it reaches (smallest first in ``scales``)."""
    rounded = _round_digits(value)  # before the scale is chosen, so that 999.6 GB is 1 TB and not 1000 GB
    if rounded == 0 or not math.isfinite(rounded):
        return f"{rounded:g} {unit}"
    reached = [symbol for symbol, size in scales.items() if size <= abs(rounded)]
    symbol = reached[-1] if reached else next(iter(scales))
    return f"{_round_digits(rounded / scales[symbol]):g} {symbol}"


def _round_digits(value: float) -> float:
    return float(f"{value:.3g}")
