"""What money, energy and carbon rest on: a price of a device, a grid and a site, as given or of what ships."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from simulator.errors import InputError, unknown_name
from simulator.metrics.prices import find_prices
from simulator.metrics.rate_file import INTENSITY, MOST_GRAMS, Grid, Price, Site, read_rates


class Rates(NamedTuple):
    """What money, energy and carbon rest on; no price where none is known."""

    price: Price | None
    grid: Grid
    site: Site


class AskedRates(NamedTuple):
    """Rates as people give them: with a unit, or by name; None: the first that ships."""

    price: str | None = None  # of each device, or by device: ``h100=2.5,b200=4.8``
    grid: str | None = None
    pue: str | None = None

    def find(self, hardware: str) -> Rates:
        """The rates of a device.

        Raises:
            InputError: as ``find_price``, ``find_grid`` and ``find_site``.
        """
        return self.find_all([hardware])[hardware]

    def find_all(self, devices: Sequence[str]) -> dict[str, Rates]:
        """The rates of several devices, with prices that compare as far as there are any.

        Raises:
            InputError: as ``find_prices``, ``find_grid`` and ``find_site``.
        """
        grid, site = find_grid(self.grid), find_site(self.pue)
        return {name: Rates(price, grid, site) for name, price in find_prices(devices, self.price).items()}


SHIPPED_RATES = AskedRates()


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
