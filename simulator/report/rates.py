"""What money, energy and carbon rest on, and why some of them are not known, in lines for people."""

from __future__ import annotations

from typing import Any

from simulator.inputs.hardware import Hardware
from simulator.metrics.prices import describe_price
from simulator.metrics.rate_file import HOUR_S
from simulator.metrics.rates import Rates
from simulator.metrics.registry import METRICS
from simulator.prediction import Prediction, Question
from simulator.serving.cost import Spending
from simulator.units import format_quantity


def list_sources(rates: Rates) -> dict[str, Any]:
    """Price, grid and site with their sources, as JSON has them."""
    return {name: None if part is None else vars(part) for name, part in rates._asdict().items()}


def describe_rates(question: Question) -> list[str]:
    """A line with the price, and one with grid and PUE, that an answer rests on, of those that it does."""
    price, grid, site = question.rates
    lines = [] if price is None else [f"  {price.price * HOUR_S:.6g} USD per device-hour [{price.id}, {price.date}]"]
    if question.hardware.power is not None:
        lines.append(
            f"  energy of the accelerator boards; PUE {site.pue:g} [{site.id}, {site.date}]; "
            f"{grid.g_co2e_per_kwh:g} g CO2e/kWh [{grid.id}, {grid.date}]"
        )
    return lines


def describe_money(rates: Rates) -> str:
    """What the money rests on."""
    return "  price   " + ("none known; give one with --price" if rates.price is None else describe_price(rates.price))


def describe_carbon(rates: Rates) -> str:
    """What the carbon rests on."""
    grid = rates.grid
    return f"  carbon  {grid.g_co2e_per_kwh:g} g CO2e/kWh [{grid.id}, {grid.date}: {grid.title}]"


def describe_energy(rates: Rates, hardware: Hardware) -> list[str]:
    """What the energy rests on."""
    if hardware.power is None:
        return [f"  energy  not known: the data sheet of {hardware.id} gives no power.tdp"]
    site = rates.site
    return [
        "  energy  of the accelerator boards times PUE; hosts and switches are not in it",
        f"  PUE     {site.pue:g} [{site.id}, {site.date}: {site.title}]",
    ]


def describe_lacks(prediction: Prediction) -> list[str]:
    """Lines that say which metrics of a table are not known, and why."""
    lines: dict[str, list[str]] = {}
    for name, lack in prediction.lacks.items():
        if METRICS[name].heading:
            lines.setdefault(lack, []).append(METRICS[name].heading)
    return [f"  no {', '.join(names)}: {lack}" for lack, names in lines.items()]


def describe_spending(spending: Spending) -> list[str]:
    """Money, energy and carbon of a request under load, and of tokens in and out."""
    parts = []
    if spending.usd_per_request is not None:
        parts.append(
            f"{format_quantity(float(spending.usd_per_request), 'USD')} a request, 1M tokens "
            f"{spending.prefill_usd_per_million_input_tokens:.3g} USD in and "
            f"{spending.decode_usd_per_million_output_tokens:.3g} out"
        )
    if spending.energy_j_per_request is not None:
        joules, carbon = float(spending.energy_j_per_request), float(spending.carbon_kg_per_request or 0.0)
        parts.append(f"{format_quantity(joules, 'J')} and {format_quantity(1000 * carbon, 'g')} CO2e a request")
    return parts
