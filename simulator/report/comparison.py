"""The answer of ``compare``: one row a combination, and ratios to a baseline with their 90% intervals."""

from __future__ import annotations

import math
from typing import Any

from simulator.explore.compare import Comparison
from simulator.metrics.metric import Metric
from simulator.metrics.prices import describe_mix
from simulator.metrics.registry import METRICS, TIMES, list_headed, list_ranked
from simulator.report.grid import format_screen
from simulator.report.output import (
    OutputForm,
    fold_prose,
    format_cell,
    format_csv,
    format_json,
    format_markdown,
    format_table,
)
from simulator.report.rates import describe_lacks, describe_rates
from simulator.units import format_seconds

SCHEMA = "roofcast/comparison/1"
LEADING = (*TIMES, "output_tokens_per_s", "usd_per_million_output_tokens")  # what a comparison is mostly asked for
MOST_SIDE_BY_SIDE = 5  # rows with intervals and ratios on one screen
# What people see, by the field it comes from. Settings that are the same in all rows go to the title.
SETTINGS = {
    "model": "model",
    "hardware": "device",
    "devices": "devices",
    "layout": "layout",
    "stack": "stack",
    "profile": "profile",
    "dtype": "dtype",
    "weight_dtype": "weights",
    "kv_dtype": "cache",
    "prompt_tokens": "prompt tokens",
    "output_tokens": "output tokens",
    "batch_size": "batch",
    "basis": "basis",
}


def report_comparison(comparison: Comparison, form: OutputForm, everything: bool = False) -> str:
    """The comparison in one of the forms; a table has the leading columns, unless everything is asked for."""
    if form == "json":
        return format_json({"schema": SCHEMA, **comparison.to_dict()})
    rows = comparison.to_dicts()
    return format_csv(rows) if form == "csv" else format_comparison(comparison, rows, form, everything or form == "md")


def format_comparison(
    comparison: Comparison, rows: list[dict[str, Any]], form: OutputForm, everything: bool = True
) -> str:
    """Answers and ratios for people."""
    write = format_table if form == "table" else format_markdown
    shared = [name for name in SETTINGS if len({str(row[name]) for row in rows}) == 1]
    implied = [] if "profile" in shared or names_profiles(rows) else ["profile"]
    facts = {SETTINGS[name]: rows[0][name] for name in shared if rows[0][name] is not None}
    title = "; ".join(f"{name} {value}" for name, value in facts.items())
    hidden = {*shared, *implied}
    parts = [f"{'All rows: ' if len(rows) > 1 else ''}{title}"] if title else []
    unfit = not all(row["fits"] for row in rows)
    metrics = [one for one in list_headed() if everything or one.name in LEADING or (unfit and one.name == "fits")]
    if len(rows) > MOST_SIDE_BY_SIDE and not everything:
        notes = "\n".join(list_notes(comparison, False))
        return fold_prose("\n\n".join([*parts, format_many(rows, hidden, metrics), notes]))
    parts.append(write([show_answer(row, hidden, metrics) for row in rows]))
    if len(rows) > 1:
        parts += [
            f"Ratios to row {comparison.baseline + 1} with 90% intervals: a time below 1x is shorter than there.",
            write([show_ratios(row, metrics if everything else [METRICS[name] for name in TIMES]) for row in rows]),
        ]
    left = len(list_headed()) - len(metrics)
    more = (
        [f"  {left} more columns, such as memory, energy and what bounds each phase, and further ratios: --all"]
        if left
        else []
    )
    text = "\n\n".join([*parts, "\n".join([*list_notes(comparison), *more])])
    return fold_prose(text) if form == "table" else text


def format_many(rows: list[dict[str, Any]], hidden: set[str], metrics: list[Metric]) -> str:
    """More rows than stand on a screen with intervals and ratios: what tells them apart, and their leading metrics."""
    telling: list[str] = []
    for name in SETTINGS:
        tried = [*telling, name]
        if name not in hidden and count_kinds(rows, tried) > count_kinds(rows, telling):
            telling = tried
    shown = [
        {"row": str(row["row"])}
        | {SETTINGS[name]: row[name] for name in telling}
        | {metric.heading: show_cell(row, metric.name) for metric in metrics}
        for row in rows
    ]
    leading = [one.heading for one in metrics if one.name in LEADING]
    table = format_screen(shown, {"row", *(SETTINGS[name] for name in telling)}, set(), leading)
    kinds = {
        **{basis: [row for row in rows if row["basis"] == basis] for basis in ("transfer", "bound")},
        "does not fit": [row for row in rows if not row["fits"]],
    }
    lines = [f"{what}: row {', '.join(str(row['row']) for row in found)}" for what, found in kinds.items() if found]
    return "\n".join([table, *lines, "with fewer rows or --all: intervals, and ratios to a row"])


def count_kinds(rows: list[dict[str, Any]], names: list[str]) -> int:
    """How many rows some settings tell apart."""
    return len({tuple(str(row[name]) for name in names) for row in rows})


def list_notes(comparison: Comparison, with_rates: bool = True) -> list[str]:
    """What money, energy and carbon rest on, and which metrics are not known."""
    lines: dict[str, None] = {}
    for prediction in comparison.predictions:
        lines |= dict.fromkeys(
            [*(describe_rates(prediction.question) if with_rates else []), *describe_lacks(prediction)]
        )
    mixed = describe_mix({one.question.hardware.id: one.question.rates.price for one in comparison.predictions})
    return [*lines, *([f"  {mixed}"] if mixed else []), *describe_mixed_bases(comparison.to_dicts())]


def describe_mixed_bases(rows: list[dict[str, Any]]) -> list[str]:
    """What the rows rest on, where it is not the same for all: nothing where they share stack and basis."""
    kinds = {(row["stack"], row["basis"]): None for row in rows}
    if len(kinds) < 2:
        return []
    said = ", ".join(f"{stack} {basis}" for stack, basis in kinds)
    return [f"  rows mix what they rest on ({said}): part of their ratios is the software's, or a bound's"]


def names_profiles(rows: list[dict[str, Any]]) -> bool:
    """Whether device and stack do not say which profile a row rests on."""
    places = {(row["hardware"], row["stack"]) for row in rows}
    profiles = {(row["hardware"], row["stack"], row["profile"]) for row in rows}
    return len(profiles) > len(places) or any(row["basis"] == "transfer" for row in rows)


def show_answer(row: dict[str, Any], hidden: set[str], metrics: list[Metric]) -> dict[str, Any]:
    """The columns of one answer, written for people, and its settings but for the hidden ones."""
    shown = {"row": str(row["row"])} | {shown: row[name] for name, shown in SETTINGS.items() if name not in hidden}
    for metric in metrics:
        shown[metric.heading] = show_time(row, metric.name) if metric.name in TIMES else show_cell(row, metric.name)
    return shown


def show_cell(row: dict[str, Any], name: str) -> str | None:
    """One metric, written for people; None where it is not known."""
    return None if row[name] is None or row[name] != row[name] else format_cell(name, row[name])


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


def show_ratios(row: dict[str, Any], metrics: list[Metric]) -> dict[str, Any]:
    """The ratios of one row, written for people."""
    return {"row": str(row["row"])} | {
        metric.heading: write_ratio(row, f"{metric.name}_ratio") for metric in list_ranked() if metric in metrics
    }


def write_ratio(row: dict[str, Any], key: str) -> str | None:
    """A ratio as ``1.83x, 1.71-1.96``; None where there is none."""
    value, low, high = (row.get(key + end) for end in ("", "_low", "_high"))
    if value is None:
        return None
    return f"{value:.3g}x" + ("" if low is None else f", {low:.3g}-{high:.3g}")
