"""What an hour of a device, a kilowatt-hour and the building around it cost: numbers with a date and a source."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from simulator.errors import InputError, suggest
from simulator.specfile import Range, build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled
from simulator.units import DollarsPerSecond

HOUR_S = 3600
JOULES_PER_KWH = 3.6e6
MONEY = r"(\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Z]{3})"
PER_SECOND = {"h": 3600.0, "s": 1.0}
TOKENS = {"1000 tokens": 1e3, "1k tokens": 1e3, "1M tokens": 1e6, "1000000 tokens": 1e6, "token": 1.0}
MOST_GRAMS = 1e6  # of CO2 equivalents for a kilowatt-hour: a thousand times coal's
INTENSITY = r"\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*(k?)g(?:CO2e?)?/kWh\s*"


@spec_dataclass
class Price:
    """Price of one device, US dollars per second; a file writes ``4.096 USD/h``."""

    id: str
    hardware: list[str]
    price: DollarsPerSecond
    date: str
    title: str
    provider: str
    kind: Literal["on demand", "marketplace", "capacity block", "as given"]
    region: str | None = None
    url: str | None = None
    note: str | None = None

    @property
    def list_name(self) -> str:
        """The list that it stands in: prices of one list compare."""
        if self.kind == "as given":
            return self.kind
        return f"{self.provider} {self.kind}{f', {self.region}' if self.region else ''}, {self.date}"


@spec_dataclass
class Grid:
    """Carbon intensity of electricity, grams of CO2 equivalents per kilowatt-hour."""

    id: str
    g_co2e_per_kwh: Annotated[float, Range(0, MOST_GRAMS)]
    date: str
    title: str
    url: str | None = None
    note: str | None = None

    @property
    def kg_co2e_per_j(self) -> float:
        """Kilograms of CO2 equivalents per joule."""
        return self.g_co2e_per_kwh * 1e-3 / JOULES_PER_KWH


@spec_dataclass
class Site:
    """Power usage effectiveness of a data centre: all its energy over that of its machines."""

    id: str
    pue: Annotated[float, Range(1, 100)]
    date: str
    title: str
    url: str | None = None
    note: str | None = None


@spec_dataclass
class RateFile:
    """File of rates; of each kind, and of the prices of a device, the first is taken where none is named."""

    prices: list[Price]
    grids: list[Grid]
    sites: list[Site]


class Money(NamedTuple):
    """An amount of money, for one of whatever it is for."""

    amount: float
    currency: str


@cache
def read_rates() -> RateFile:
    """Read what ships."""
    return read_compiled(Path(__file__).with_name("rates.yaml"), read_rate_file)


def read_rate_file(path: Path) -> RateFile:
    """Read a file of rates.

    Raises:
        InputError: the file is wrong.
    """
    return build(read_spec(path), RateFile)


def parse_rate(text: str, units: Mapping[str, float], example: str) -> Money:
    """Read an amount of money for so much of something: ``5.12 USD/h``, ``2.50 USD/1M tokens``.

    Args:
        text: amount, currency, slash and unit.
        units: sizes of the units that are understood, in the unit of the answer.
        example: what the error says to write.

    Raises:
        InputError: no number, no currency of three capital letters, or no such unit.
    """
    money, slash, unit = text.partition("/")
    matched, unit = re.fullmatch(MONEY, money.strip()), " ".join(unit.split())
    if matched is None or not math.isfinite(float(matched[1])):
        raise InputError(f"the price '{text}' is not of the form '{example}': an amount and its currency")
    if not slash or unit not in units:
        raise InputError(suggest(f"the price '{text}' is not of the form '{example}': it needs its unit", unit, units))
    return Money(float(matched[1]) / units[unit], matched[2])
