"""The answer of ``explain``: a waterfall from the bound to the prediction; time by resource, layer and operator."""

from __future__ import annotations

from typing import Any

from simulator.explore.explain import LAYER_KINDS, RESOURCES
from simulator.explore.explanation import Explanation
from simulator.metrics.rows import list_rows
from simulator.report.output import OutputForm, fold_prose, format_csv, format_json, format_markdown, format_table
from simulator.report.prediction import describe_basis
from simulator.units import format_seconds

SCHEMA = "roofcast/explanation/1"
BOUND_NOTE = "The answer is the bound, so nothing is lost: a calibration (-c) says what is."
LEAST_SHARE = 0.01  # of the whole request, of a step that the summary shows
MOST_OPERATORS = 8  # of the summary
TITLES = {
    "waterfall": "From the bound to the prediction",
    "resource": "By what is waited for",
    "layer": "By layer kind",
    "operator": "By operator",
}
NOTES = {
    "waterfall": "tpot is the mean over the tokens after the first; a step below zero beats the bound's assumption, as "
    "caches do that the bound does not know.",
    "resource": "A pass waits for the slower of host and device, whose own time counts here; the waterfall says what "
    "the host adds to the device's time.",
    "operator": "busy is how long an operator runs in the whole request; time is what the request waits for it.",
}


def report_explanation(explanation: Explanation, by: str | None, form: OutputForm) -> str:
    """One view or all of them in one of the forms; where none is named, the largest of them on one screen.

    CSV holds one view, the waterfall where none is named, and JSON all.
    """
    if by is None and form == "table":
        return format_summary(explanation)
    views, by = list_views(explanation), by or "all"
    if form == "json":
        (prediction,) = list_rows(explanation.prediction)
        shown = views if by == "all" else {by: views[by]}
        return format_json({"schema": SCHEMA, "prediction": prediction} | shown)
    if form == "csv":
        return format_csv(views["waterfall" if by == "all" else by])
    people = form == "table"
    write = format_table if people else format_markdown
    parts = [describe_question(explanation)]
    for name in views if by == "all" else [by]:
        parts += [TITLES[name], write([show_row(row) for row in views[name]])]
        if name == "waterfall" and explanation.prediction.basis == "bound":
            parts.append(BOUND_NOTE)
        elif name in NOTES:
            parts.append(NOTES[name])
    text = "\n\n".join(parts)
    return fold_prose(text) if people else text


def format_summary(explanation: Explanation) -> str:
    """The question, the steps and the operators that take most, and how long what is waited for: one screen."""
    steps = explanation.to_dicts()
    between = [row for row in steps[1:-1] if abs(row["share"]) >= LEAST_SHARE]
    left, is_bound = len(steps) - 2 - len(between), explanation.prediction.basis == "bound"
    asked = [{name: row[name] for name in row if name != "meaning"} for row in (steps[0], *between, steps[-1])]
    waits = sorted(explanation.sum_by("resource").items(), key=lambda pair: -pair[1])
    whole = float(explanation.prediction.e2e_s)
    waited = ", ".join(f"{name} {100 * seconds / whole:.0f}%" for name, seconds in waits if seconds)
    operators = sorted(explanation.parts, key=lambda part: -part.seconds)
    most = [
        {
            "operator": one.operator,
            "phase": one.phase,
            "waits for": one.resource,
            "time_s": one.seconds,
            "share": one.seconds / whole,
        }
        for one in operators[:MOST_OPERATORS]
    ]
    further = len(operators) - len(most)
    lines = [
        describe_question(explanation),
        "",
        format_table([show_row(row) for row in asked]),
        "",
        *([BOUND_NOTE] if is_bound else []),
        *([f"{left} more steps, each below {100 * LEAST_SHARE:g}%: --by waterfall"] if left and not is_bound else []),
        f"Waited for: {waited} (--by resource)",
        "",
        format_table([show_row(row) for row in most]),
        "",
        *([f"and {further} more operators: --by operator; everything: --by all"] if further > 0 else []),
    ]
    return fold_prose("\n".join(lines))


def list_views(explanation: Explanation) -> dict[str, list[dict[str, Any]]]:
    """The rows of every view."""
    return {
        "waterfall": explanation.to_dicts(),
        "resource": list_sums(explanation, "resource", RESOURCES),
        "layer": list_sums(explanation, "layer_kind", LAYER_KINDS),
        "operator": list_operators(explanation),
    }


def list_sums(explanation: Explanation, key: str, order: tuple[str, ...]) -> list[dict[str, Any]]:
    """Seconds and shares of each phase and of the whole request."""
    whole = float(explanation.prediction.e2e_s)
    phases = {phase: explanation.sum_by(key, phase) for phase in explanation.phases}
    total = explanation.sum_by(key)
    rows = []
    for name in order:
        if key == "layer_kind" and name not in total:
            continue
        row: dict[str, Any] = {key: name}
        for phase in ("prefill", "decode"):
            there = phase in phases
            seconds = phases[phase].get(name, 0.0) if there else None
            row[f"{phase}_s"] = seconds
            row[f"{phase}_share"] = None if seconds is None else seconds / explanation.phases[phase]
        rows.append(row | {"e2e_s": total.get(name, 0.0), "share": total.get(name, 0.0) / whole})
    return rows


def list_operators(explanation: Explanation) -> list[dict[str, Any]]:
    """Every operator of both phases, the most time first; ``share`` is of its phase."""
    rows = []
    for phase, whole in explanation.phases.items():
        parts = sorted((part for part in explanation.parts if part.phase == phase), key=lambda part: -part.seconds)
        for part in parts:
            row = part._asdict()
            seconds = row.pop("seconds")
            rows.append(row | {"time_s": seconds, "share": seconds / whole})
    return rows


def show_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: shares as percentages, numbers of runs without decimals."""
    shown = {}
    for key, value in row.items():
        if key.endswith("share") and value is not None:
            value = f"{100 * value:.1f}%"
        elif key == "times":
            value = f"{value:,.0f}"
        elif key.endswith("_s") and value is not None:
            value = format_seconds(value)
        shown[key.removesuffix("_s").replace("_", " ")] = value
    return shown


def describe_question(explanation: Explanation) -> str:
    """What is explained, in two lines."""
    prediction = explanation.prediction
    question = prediction.question
    d, workload = question.work.deployment, question.work.workload
    return (
        f"{question.model_label} on {d.devices} x {question.hardware.id}, {question.work.stack.id}, {d.dtype}, "
        f"{workload.prompt_tokens:.0f} prompt + {workload.output_tokens:.0f} output tokens, "
        f"batch {workload.batch_size:.0f}\nbasis: {describe_basis(prediction)}"
    )
