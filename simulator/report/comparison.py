"""The answer of ``compare``: one row a combination, and ratios to a baseline with their 90% intervals."""

from __future__ import annotations

import math
from typing import Any

from simulator.explore.compare import Comparison, Ratio
from simulator.explore.layout import describe_layout
from simulator.metrics.rates import Price, describe_price, find_price
from simulator.prediction import TIME_FIELDS, Prediction
from simulator.report.output import OutputForm, format_csv, format_json, format_markdown, format_table
from simulator.report.prediction import list_rows
from simulator.studies.ideal import find_cost
from simulator.units import format_quantity, format_seconds

SCHEMA = "roofcast/comparison/1"
RATIOS = (*TIME_FIELDS, "output_tokens_per_s", "cost_usd")
# What people see, by the field it comes from. Settings that are the same in all rows go to the title.
SETTINGS = {
    "stack": "stack",
    "calibration": "calibration",
    "dtype": "dtype",
    "weight_dtype": "weights",
    "kv_dtype": "cache",
    "prompt_tokens": "prompt tokens",
    "output_tokens": "output tokens",
    "batch_size": "batch",
    "basis": "basis",
}
TIME_NAMES = {"ttft_s": "first token", "tpot_s": "per output token", "e2e_s": "request"}


def report_comparison(comparison: Comparison, price: str | None, form: OutputForm) -> str:
    """The comparison in one of the forms.

    Raises:
        InputError: a price that is wrong.
    """
    prices = [find_price(prediction.question.hardware.id, price) for prediction in comparison.predictions]
    rows = list_comparison(comparison, prices)
    if form == "csv":
        return format_csv(rows)
    if form == "json":
        impossible = [one._asdict() for one in comparison.impossible]
        document = {"schema": SCHEMA, "baseline": comparison.baseline + 1, "rows": rows, "impossible": impossible}
        return format_json(document)
    return format_comparison(comparison, rows, prices, form)


def list_comparison(comparison: Comparison, prices: list[Price | None]) -> list[dict[str, Any]]:
    """One row a combination: its number, what was asked, the fields of the answer, cost, and ratios to the baseline."""
    costs = [
        None if price is None else float(find_cost(prediction, price))
        for prediction, price in zip(comparison.predictions, prices, strict=True)
    ]
    rows: list[dict[str, Any]] = []
    for index, (prediction, cost) in enumerate(zip(comparison.predictions, costs, strict=True)):
        deployment = prediction.question.work.deployment
        (fields,) = list_rows(prediction)
        row = {"row": index + 1} | fields
        row |= {"layout": describe_layout(deployment), "cost_usd": cost}
        ratios = complete_ratios(comparison, index, costs)
        for name in RATIOS:
            ratio = ratios.get(name)
            for end in Ratio._fields:
                key = f"{name}_ratio" if end == "value" else f"{name}_ratio_{end}"
                row[key] = None if ratio is None else getattr(ratio, end)
        rows.append(row)
    return rows


def complete_ratios(comparison: Comparison, index: int, costs: list[float | None]) -> dict[str, Ratio]:
    """Ratios of one row's times, throughput and cost to the baseline's; the last two follow from that of the request.

    Tokens and prices are exact, so only the request's time gives them a width.
    """
    ratios = dict(comparison.ratios[index])
    whole = ratios["e2e_s"]
    mine, base = (comparison.predictions[place].output_tokens_per_s for place in (index, comparison.baseline))
    inverse = whole.invert()
    ratios["output_tokens_per_s"] = inverse.scale(float(mine / base) / inverse.value)._replace(value=mine / base)
    cost, cost_base = costs[index], costs[comparison.baseline]
    if cost is not None and cost_base is not None:
        ratios["cost_usd"] = whole.scale(cost / cost_base / whole.value)._replace(value=cost / cost_base)
    return {name: ratio for name, ratio in ratios.items() if math.isfinite(ratio.value)}


def format_comparison(
    comparison: Comparison, rows: list[dict[str, Any]], prices: list[Price | None], form: OutputForm
) -> str:
    """Answers and ratios for people."""
    write = format_table if form == "table" else format_markdown
    shared = [name for name in SETTINGS if len(rows) > 1 and len({str(row[name]) for row in rows}) == 1]
    implied = [] if "calibration" in shared or names_profiles(rows) else ["calibration"]
    title = "; ".join(f"{SETTINGS[name]} {rows[0][name]}" for name in shared if rows[0][name] is not None)
    hidden = {*shared, *implied}
    shown = [show_answer(row, prediction, hidden) for row, prediction in zip(rows, comparison.predictions, strict=True)]
    parts = [f"All rows: {title}"] if title else []
    parts.append(write(shown))
    if len(rows) > 1:
        parts += [
            f"Ratios to row {comparison.baseline + 1} with 90% intervals: a time below 1x is shorter than there.",
            write([show_ratios(row, hidden) for row in rows]),
        ]
    known = {price.id: price for price in prices if price is not None}
    parts += [f"Cost is of one request, at {describe_price(price)}" for price in known.values()]
    return "\n\n".join(parts)


def names_profiles(rows: list[dict[str, Any]]) -> bool:
    """Whether device and stack do not say which profile a row rests on."""
    places = {(row["hardware"], row["stack"]) for row in rows}
    profiles = {(row["hardware"], row["stack"], row["calibration"]) for row in rows}
    return len(profiles) > len(places) or any(row["basis"] == "transfer" for row in rows)


def show_answer(row: dict[str, Any], prediction: Prediction, hidden: set[str]) -> dict[str, Any]:
    """The columns of one answer, written for people, without settings that are hidden."""
    shown = {"row": str(row["row"])} | {name: row[name] for name in ("model", "hardware", "devices", "layout")}
    shown |= list_own(row, hidden)
    if "basis" not in hidden:
        shown["basis"] = row["basis"]
    shown |= {TIME_NAMES[name]: show_time(row, name) for name in TIME_FIELDS}
    return shown | {
        "tokens/s": f"{row['output_tokens_per_s']:.4g}",
        "weights": format_quantity(row["weights_bytes"], "B"),
        "KV cache": format_quantity(row["kv_cache_bytes"], "B"),
        "fits": bool(prediction.fits),
        "cost": None if row["cost_usd"] is None else format_quantity(row["cost_usd"], "USD"),
        "prefill bound": row["prefill_bound"],
        "decode bound": row["decode_bound"],
    }


def list_own(row: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """The settings of a row that are not hidden, by the names that people see."""
    return {shown: row[name] for name, shown in SETTINGS.items() if name not in hidden and name != "basis"}


def show_time(row: dict[str, Any], name: str) -> str | None:
    """One time with its 90% interval where it has one."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return None
    text = format_seconds(value)
    if low is None:
        return text
    ends = [format_seconds(end) for end in (low, high)]
    units = {shown.split()[1] for shown in (text, *ends)}
    low_text, high_text = (end.split()[0] for end in ends) if len(units) == 1 else ends
    return f"{text} ({low_text} to {high_text})"


def show_ratios(row: dict[str, Any], hidden: set[str]) -> dict[str, Any]:
    """The ratios of one row, written for people, without settings that are hidden."""
    names = TIME_NAMES | {"output_tokens_per_s": "tokens/s", "cost_usd": "cost"}
    shown = {"row": str(row["row"])} | {name: row[name] for name in ("model", "hardware", "layout")}
    shown |= list_own(row, hidden)
    return shown | {shown_name: write_ratio(row, f"{name}_ratio") for name, shown_name in names.items()}


def write_ratio(row: dict[str, Any], key: str) -> str | None:
    """A ratio as ``1.83x, 1.71-1.96``; None where there is none."""
    value, low, high = (row[key + end] for end in ("", "_low", "_high"))
    if value is None:
        return None
    return f"{value:.3g}x" + ("" if low is None else f", {low:.3g}-{high:.3g}")
