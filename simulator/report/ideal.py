"""The answer of ``ideal``, and the parts that it shares with other studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.errors import InputError
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.queries import Queries
from simulator.prediction import Prediction
from simulator.report.output import OutputForm, Row, fold_prose, format_markdown, format_rows, format_table
from simulator.report.prediction import describe_basis
from simulator.report.rates import describe_carbon, describe_energy, describe_money, list_sources
from simulator.studies.ideal import Setting, predict_queries, summarise

SCHEMA = "roofcast/ideal/1"
SHOWN = (
    *("model", "layout", "mean_s", "mean_s_low", "mean_s_high", "median_s", "total_s", "total_cost_usd"),
    *("total_energy_j", "total_carbon_kg", "prefill_power_w", "decode_power_w", "basis"),
)


def describe_setting(prediction: Prediction) -> str:
    """What answers that share a setting rest on, for people: one line of where they run and one of the basis."""
    question = prediction.question
    where = f"{question.hardware.name}, {question.work.stack.name}, {question.work.deployment.dtype}"
    return f"on {where}\nbasis: {describe_basis(prediction)}"


def report_ideal(specs: Sequence[ModelSpec], queries: Queries, setting: Setting, form: OutputForm) -> str:
    """The comparison in one of the forms; tables say what prices and intensities they rest on."""
    if not specs:
        raise InputError("no model to compare; name one with -m")
    predictions = [predict_queries(spec, queries, setting) for spec in specs]
    rows = [summarise(prediction) for prediction in predictions]
    if form in ("json", "csv"):
        return format_rows(rows, form, {"schema": SCHEMA, "sources": list_sources(setting.rates), "models": rows})
    shown = [{name: describe_layout(row) if name == "layout" else row[name] for name in SHOWN} for row in rows]
    prompt, output = (float(np.mean(tokens)) for tokens in queries)
    title = (
        f"{rows[0]['queries']:,} queries, {prompt:,.0f} prompt + {output:,.0f} output tokens on average, "
        f"one at a time {describe_setting(predictions[0])}"
    )
    return frame(title, shown, list_notes(setting), form)


def frame(title: str, rows: Sequence[Row], notes: Sequence[str], form: OutputForm) -> str:
    """A table for people between its title and its notes, each a line of its own in Markdown too."""
    if form == "md":
        paragraphs = [*title.splitlines(), format_markdown(rows), *(note.strip() for note in notes)]
        return "\n\n".join(paragraphs)
    return fold_prose("\n".join([format_table(rows, title + "\n"), *(["", *notes] if notes else [])]))


def describe_layout(row: Mapping[str, Any]) -> str:
    """Devices and how they share the model."""
    parts = [f"{kind} {row[kind]}" for kind in ("tp", "pp") if row[kind] > 1]
    return f"{row['devices']}" + (f" ({', '.join(parts)})" if parts else "")


def list_notes(setting: Setting) -> list[str]:
    """What the money, the energy and the carbon rest on."""
    rates, hardware = setting.rates, setting.hardware
    carbon = [] if hardware.power is None else [describe_carbon(rates)]
    return [describe_money(rates), *carbon, *describe_energy(rates, hardware)]
