"""What an hour of a device, a kilowatt-hour and the building around it cost: numbers with a date and a source."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from simulator.errors import InputError, suggest, unknown_name
from simulator.specfile import Range, build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled
from simulator.units import DollarsPerSecond

HOUR_S = 3600
MOST_GRAMS = 1e6
JOULES_PER_KWH = 3.6e6
MONEY = r"(\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Z]{3})"
PER_SECOND = {"h": 3600.0, "s": 1.0}
TOKENS = {"1000 tokens": 1e3, "1k tokens": 1e3, "1M tokens": 1e6, "1000000 tokens": 1e6, "token": 1.0}
INTENSITY = r"\s*(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*(k?)g(?:CO2e?)?/kWh\s*"


@spec_dataclass
class Price:
    """Price of one device, US dollars per second; a file writes ``4.096 USD/h``."""

    id: str
    hardware: list[str]
    price: DollarsPerSecond
    date: str
    title: str
    url: str | None = None
    note: str | None = None


@spec_dataclass
class Grid:
    """Carbon intensity of electricity, grams of CO2 equivalents per kilowatt-hour."""

    id: str
    g_co2e_per_kwh: Annotated[float, Range(0, 1e6)]
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


class Rates(NamedTuple):
    """What money, energy and carbon rest on; no price where none is known."""

    price: Price | None
    grid: Grid
    site: Site


class AskedRates(NamedTuple):
    """Rates as people give them: with a unit, or by name; None: the first that ships."""

    price: str | None = None
    grid: str | None = None
    pue: str | None = None

    def find(self, hardware: str) -> Rates:
        """The rates of a device.

        Raises:
            InputError: as ``find_price``, ``find_grid`` and ``find_site``.
        """
        return Rates(find_price(hardware, self.price), find_grid(self.grid), find_site(self.pue))


SHIPPED_RATES = AskedRates()


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


def find_price(hardware: str, text: str | None) -> Price | None:
    """Return the price of a device: given with its unit, named, or the first that ships for it; None where none does.

    Raises:
        InputError: no currency, an unknown unit, or a name that no price of the device has.
    """
    shipped = [price for price in read_rates().prices if hardware in price.hardware]
    if text is None:
        return shipped[0] if shipped else None
    named = [price for price in shipped if price.id == text.strip()]
    if named:
        return named[0]
    if not text.strip()[:1].isdigit() and not text.strip().startswith((".", "+", "-")):
        known = ", ".join(price.id for price in shipped) or "none ships"
        raise InputError(f"'{text}' is no price of {hardware}: one with its unit, such as '4.096 USD/h', or {known}")
    money = parse_rate(text, PER_SECOND, "4.096 USD/h")
    if money.currency != "USD":
        raise InputError(f"the price '{text}' is not in US dollars, in which prices are given: '4.096 USD/h'")
    if not money.amount > 0:
        raise InputError(f"the price '{text}' must be more than zero")
    return Price("given", [hardware], money.amount, "today", "as given")


def find_grid(text: str | None) -> Grid:
    """Return a grid: its intensity given with its unit, named, or the world's mean.

    Raises:
        InputError: neither a name that ships nor an intensity such as '400 gCO2e/kWh'.
    """
    grids = {grid.id: grid for grid in read_rates().grids}
    wanted = next(iter(grids)) if text is None else text.strip().lower()
    if wanted in grids:
        return grids[wanted]
    matched = re.fullmatch(INTENSITY, text or "", re.IGNORECASE)
    if matched is None:
        if wanted[:1].isdigit():
            raise InputError(f"grid: '{text}' needs the unit of an intensity, e.g. '400 gCO2e/kWh'")
        raise unknown_name("grid", wanted, grids)
    grams = float(matched[1]) * (1000 if matched[2] else 1)
    if not grams <= MOST_GRAMS:
        raise InputError(f"grid: '{text}' is more than {MOST_GRAMS:g} gCO2e/kWh")
    return Grid("given", grams, "today", "as given")


def find_site(text: str | None) -> Site:
    """Return a data centre: its PUE as a number of at least 1, named, or the average one.

    Raises:
        InputError: below 1, or no number and no name that ships.
    """
    sites = {site.id: site for site in read_rates().sites}
    wanted = next(iter(sites)) if text is None else text.strip().lower()
    if wanted in sites:
        return sites[wanted]
    try:
        pue = float(wanted)
    except ValueError:
        raise unknown_name("site", wanted, sites) from None
    if not 1 <= pue < 100:
        raise InputError(f"PUE is {text}; it is all the energy of a site over that of its machines: from 1 to 100")
    return Site("given", pue, "today", "as given")


def describe_price(price: Price) -> str:
    """A price with its date and source, for people."""
    return f"{price.price * HOUR_S:.6g} USD per device-hour [{price.id}, {price.date}: {price.title}]"
