"""The answer of ``tradeoff``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulator.report.ideal import describe_setting, frame
from simulator.report.output import OutputForm, format_json, format_rows
from simulator.report.rates import describe_energy, describe_money
from simulator.studies.tradeoff import COSTS, Tradeoff
from simulator.studies.tradeoff_views import View, list_agreement, list_models, list_points, list_scenarios

SCHEMA = "roofcast/tradeoff/1"


def report_tradeoff(tradeoff: Tradeoff, view: View, form: OutputForm, least: float, models: int) -> str:
    """The trade-off in one of the forms, with what its costs rest on; JSON holds all views.

    ``least``: Kendall's tau from which two rankings count as the same. ``models``: fewest of a scenario that counts.
    """
    points, compare, column = tradeoff.points, tradeoff.compare, COSTS[tradeoff.against].column
    rows = list_points(points, column, compare)
    views: dict[str, list[dict[str, Any]]] = {
        "rows": rows,
        "scenarios": list_scenarios(points, compare),
        "models": list_models(rows, column),
        "agreement": [] if compare is None else list_agreement(points, least, models),
    }
    if form == "json":
        asked = {"against": tradeoff.against, "compare": compare, "setting": tradeoff.basis}
        return format_json({"schema": SCHEMA, **asked, **views})
    if form == "csv":
        return format_rows([row | tradeoff.basis for row in views[view]], form, {})
    return frame(title_tradeoff(tradeoff), views[view], list_notes(tradeoff), form)


def title_tradeoff(tradeoff: Tradeoff) -> str:
    """What the costs are and rest on, for people."""
    label = COSTS[tradeoff.against].label
    if tradeoff.basis["basis"] == "published" and tradeoff.runtimes is not None:
        title = f"{label}\nbasis: published, {tradeoff.runtimes.name}"
    elif tradeoff.basis["basis"] == "counted" or tradeoff.prediction is None:
        title = f"{label}\nbasis: counted from the architectures"
    else:
        title = f"{label} {describe_setting(tradeoff.prediction)}"
    return title if tradeoff.compare is None else f"{title}\ncompared with: {describe_compared(tradeoff.compare)}"


def describe_compared(compare: str) -> str:
    """The other cost, for people."""
    if compare in COSTS:
        return COSTS[compare].label
    return f"published, {Path(compare).name}" if compare.endswith(".json") else f"column {compare} of the table"


def list_notes(tradeoff: Tradeoff) -> list[str]:
    """What the money and the energy rest on, where they are asked for."""
    asked = (tradeoff.against, tradeoff.compare)
    rates, hardware = tradeoff.setting.rates, tradeoff.setting.hardware
    notes = [describe_money(rates)] if "cost" in asked else []
    return notes + (describe_energy(rates, hardware) if "energy" in asked else [])
