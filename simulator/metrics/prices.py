"""Which price a device has: as given, by name, or of the list that most of the devices at hand stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulator.errors import InputError
from simulator.inputs.library import HARDWARE_FOLDER, find_id, list_ids
from simulator.metrics.rate_file import HOUR_S, PER_SECOND, Price, parse_rate, read_rates

EXAMPLE = "4.096 USD/h"
MOST_NAMED = 4  # devices of one list that are named


def find_price(hardware: str, text: str | None) -> Price | None:
    """Return the price of a device: given with its unit, named, or the first that ships for it; None where none does.

    Raises:
        InputError: as ``find_prices``.
    """
    return find_prices([hardware], text)[hardware]


def find_prices(devices: Sequence[str], text: str | None) -> dict[str, Price | None]:
    """Return the price of each device; None where there is none.

    Args:
        devices: their ids.
        text: one for all, as ``4.096 USD/h`` or a name; by device, as ``h100=2.5,b200=4.8``, in US dollars an hour
            where no unit is given; None: of what ships.

    Raises:
        InputError: no currency, an unknown unit, a name that no price of a device has, or a device that there is not.
    """
    if text is not None and "=" in text:
        given = parse_by_device(text, devices)
        left = [name for name in devices if name not in given]
        return {name: given.get(name) for name in devices} | choose_shipped(left)
    if text is not None:
        return {name: read_price(name, text) for name in devices}
    return choose_shipped(devices)


def choose_shipped(devices: Sequence[str]) -> dict[str, Price | None]:
    """Shipped prices, of the list that most of the devices stand in; of equals the newest. One device has its first."""
    by_device = {name: list_shipped(name) for name in devices}
    if len(by_device) == 1:
        return {name: prices[0] if prices else None for name, prices in by_device.items()}
    lists: dict[str, dict[str, Price]] = {}
    for name, prices in by_device.items():
        for price in prices:
            lists.setdefault(price.list_name, {}).setdefault(name, price)
    best = max(lists.values(), key=lambda one: (len(one), next(iter(one.values())).date), default={})
    return {name: best.get(name, prices[0] if prices else None) for name, prices in by_device.items()}


def list_shipped(hardware: str) -> list[Price]:
    """The prices that ship for a device."""
    return [price for price in read_rates().prices if hardware in price.hardware]


def read_price(hardware: str, text: str) -> Price:
    """The price of a device by name, or as given.

    Raises:
        InputError: as ``find_prices``.
    """
    shipped = list_shipped(hardware)
    named = [price for price in shipped if price.id == text.strip()]
    if named:
        return named[0]
    if not text.strip()[:1].isdigit() and not text.strip().startswith((".", "+", "-")):
        known = ", ".join(price.id for price in shipped) or "none ships"
        raise InputError(f"'{text}' is no price of {hardware}: one with its unit, such as '{EXAMPLE}', or {known}")
    return take_given(hardware, text)


def take_given(hardware: str, text: str) -> Price:
    """A price as it was given.

    Raises:
        InputError: no amount above zero of US dollars for a time.
    """
    money = parse_rate(text, PER_SECOND, EXAMPLE)
    if money.currency != "USD":
        raise InputError(f"the price '{text}' is not in US dollars, in which prices are given: '{EXAMPLE}'")
    if not money.amount > 0:
        raise InputError(f"the price '{text}' must be more than zero")
    return Price("given", [hardware], money.amount, "today", "as given", "you", "as given")


def parse_by_device(text: str, devices: Sequence[str]) -> dict[str, Price]:
    """Read ``h100=2.5,b200=4.8 USD/h``.

    Raises:
        InputError: not of that form, a device that there is not, or one twice.
    """
    given: dict[str, Price] = {}
    for part in text.split(","):
        name, sign, amount = (one.strip() for one in part.partition("="))
        if not sign or not name or not amount:
            raise InputError(f"--price: '{part}' is not of the form DEVICE=USD, as h100=2.5")
        device = name if name in devices else find_id("hardware", name, HARDWARE_FOLDER)
        if device not in devices and device not in list_ids(HARDWARE_FOLDER):
            raise InputError(f"--price: there is no device '{name}' here; these are {', '.join(devices)}")
        if device in given:
            raise InputError(f"--price: {name} is given twice")
        bare = amount.replace(".", "", 1).isdigit()
        given[device] = take_given(device, f"{amount} USD/h" if bare else amount)
    return given


def describe_price(price: Price) -> str:
    """A price with its date and source, for people."""
    return f"{price.price * HOUR_S:.6g} USD per device-hour [{price.id}, {price.date}: {price.title}]"


def describe_mix(prices: Mapping[str, Price | None]) -> str | None:
    """In words how far the prices of several devices compare; None where all are of one list, or of one device."""
    if len(prices) < 2:
        return None
    lists: dict[str, list[str]] = {}
    for name, price in prices.items():
        lists.setdefault("no price" if price is None else price.list_name, []).append(name)
    if len(lists) == 1:
        return None
    mixed = len([one for one in lists if one != "no price"]) > 1
    said = "; ".join(
        f"{', '.join(names) if len(names) <= MOST_NAMED else f'{len(names)} devices'}: {one}"
        for one, names in lists.items()
    )
    return ("prices are not of one kind, date and region, and costs do not compare: " if mixed else "") + said
