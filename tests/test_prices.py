"""Prices of several devices compare, or the answer says that they do not."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli import app
from simulator.errors import InputError
from simulator.metrics.prices import describe_mix, find_price, find_prices
from simulator.metrics.rate_file import HOUR_S, read_rates

H100, H200, A100, MI300X = "h100-sxm-80gb", "h200-sxm-141gb", "a100-sxm-80gb", "mi300x-192gb"


def test_prices_of_several_devices_are_of_one_provider_kind_region_and_date() -> None:
    """Though the first price that ships for each device is of another list."""
    together = find_prices([H100, H200, A100], None)
    assert len({price.list_name for price in together.values() if price}) == 1
    assert describe_mix(together) is None
    alone = {name: find_price(name, None) for name in together}
    assert "do not compare" in (describe_mix(alone) or "")


def test_a_device_without_a_price_is_named() -> None:
    prices = find_prices([H100, MI300X], None)
    assert prices[MI300X] is None
    assert MI300X in (describe_mix(prices) or "")
    assert "do not compare" not in (describe_mix(prices) or "")


def test_every_price_says_whose_it_is_and_of_what_kind() -> None:
    assert all(
        price.provider and price.kind in ("on demand", "marketplace", "capacity block") for price in read_rates().prices
    )


def test_prices_by_device_are_dollars_an_hour() -> None:
    prices = find_prices([H100, H200], "h100=2.5, h200=4 USD/h")
    assert [price.price * HOUR_S for price in prices.values() if price] == pytest.approx([2.5, 4.0])
    assert describe_mix(prices) is None
    assert describe_mix(find_prices([H100, H200], "h100=2.5")) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h100=", "not of the form"),
        ("h100=2.5,b2000=3", "no device 'b2000'"),
        ("h100=2.5,h100-sxm-80gb=3", "given twice"),
        ("h100=0", "more than zero"),
        ("h100=2 EUR/h", "not in US dollars"),
        ("h100=cheap", "not of the form"),
    ],
)
def test_a_wrong_price_by_device_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_prices([H100], text)


def test_twice_the_price_is_twice_the_cost() -> None:
    asked = ["compare", "-m", "gptj-6b", "-H", "h100,a100-sxm-80gb", "-c", "none", "-p", "64", "-n", "8", "-o", "json"]
    costs = []
    for price in ("h100=2,a100-sxm-80gb=3", "h100=4,a100-sxm-80gb=6"):
        done = CliRunner().invoke(app, [*asked, "--price", price])
        costs.append([row["cost_usd"] for row in json.loads(done.stdout)["rows"]])
    assert costs[1] == pytest.approx([2 * cost for cost in costs[0]])
