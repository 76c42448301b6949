"""The answer of ``sensitivity``: inputs by how much they matter, as rows and in the four forms."""

from __future__ import annotations

from typing import Any

from simulator.explore.sensitivity import Sensitivity
from simulator.metrics.registry import METRICS, TIMES
from simulator.report.output import OutputForm, fold_prose, format_cell, format_rows, format_table
from simulator.units import format_quantity

SCHEMA = "roofcast/sensitivity/1"
SHOWN = 0.5e-4  # elasticities that do not round to nothing
MOST, MOST_KNOWN = 12, 3  # inputs of one screen, and factors that would narrow the interval
STEPS_NOTE = "*: the times follow this in steps, or bend at this very value: the slope between the steps."
PLAIN_UNITS = ("1", "cycles", "elements")
IN_TABLES = (*TIMES, "cost_usd", "energy_j")  # beside the metric that ranks; what others depend on follows from these


def report_sensitivity(sensitivity: Sensitivity, form: OutputForm, everything: bool = False) -> str:
    """A sensitivity in one of the forms; for people on one screen, or without what hardly matters."""
    rows = sensitivity.to_dicts()
    if form == "table":
        return format_sensitivity(sensitivity) if everything else format_most(sensitivity)
    if form == "md":
        return format_rows(list_shown(sensitivity), form, {})
    return format_rows(rows, form, {"schema": SCHEMA, **sensitivity.to_dict()})


def list_shown(sensitivity: Sensitivity) -> list[dict[str, Any]]:
    """The rows for people: inputs that matter in the digits shown, and metrics that there are."""
    asked = dict.fromkeys((*IN_TABLES, sensitivity.by))
    defined = [metric for metric in asked if sensitivity.metrics.get(metric) is not None]
    rows = []
    for influence in sensitivity.influences:
        if not any(abs(influence.elasticities[metric] or 0.0) >= SHOWN for metric in defined):
            continue
        name = f"{influence.name}{' *' if influence.stepped else ''}"
        row: dict[str, Any] = {"input": name, "value": write_value(influence.value, influence.unit)}
        row |= {metric: write_slope(influence.elasticities[metric]) for metric in defined}
        if sensitivity.spread is not None:
            row["standard error"] = write_share(influence.standard_error)
            row["interval's share"] = write_share(influence.known_share)
        rows.append(row)
    return rows


def describe_asked(sensitivity: Sensitivity) -> list[str]:
    """What was asked, its answer, and how to read the table."""
    prediction, by = sensitivity.prediction, sensitivity.by
    question = prediction.question
    workload = question.work.workload
    return [
        f"{question.model_label} on {prediction.devices} x {question.hardware.id}, {question.work.stack.id}, "
        f"{question.work.deployment.dtype}, {workload.prompt_tokens:.0f} prompt + {workload.output_tokens:.0f} output "
        f"tokens, batch {workload.batch_size:.0f}; basis: {prediction.basis}{question.caution}",
        f"{METRICS[by].label}: {format_cell(by, sensitivity.metrics[by])}",
        f"Growth in % with 1% more of the input; those that move {by} most come first.",
        "",
    ]


def format_most(sensitivity: Sensitivity) -> str:
    """The inputs that matter most, and which factors to measure better: one screen."""
    by, shown = sensitivity.by, list_shown(sensitivity)
    columns = ("input", "value", *(TIMES if by in TIMES else (by, *TIMES[:2])))
    moving = [row for row in shown if row[by].strip("+-0.")][:MOST]
    rows = [{name: row[name] for name in columns if name in row} for row in moving]
    lines = [*describe_asked(sensitivity), format_table(rows), ""]
    if len(shown) > len(rows):
        lines.append(f"and {len(shown) - len(rows)} more that move this or other metrics, with those: --all")
    if any(str(row["input"]).endswith("*") for row in rows):
        lines.append(STEPS_NOTE)
    lines += describe_interval(sensitivity)[1:-1]
    known = sorted(sensitivity.influences, key=lambda one: -(one.known_share or 0.0))[:MOST_KNOWN]
    parts = [f"{one.name} {write_share(one.known_share)}" for one in known if one.known_share]
    if parts:
        lines.append(f"What of it would go were a factor known exactly: {', '.join(parts)}.")
    return fold_prose("\n".join([*lines, *list_lacks(sensitivity)]))


def format_sensitivity(sensitivity: Sensitivity) -> str:
    """A sensitivity for people: what was asked, the ranked inputs, where the interval comes from."""
    shown = list_shown(sensitivity)
    lines = [*describe_asked(sensitivity), format_table(shown)]
    hidden = len(sensitivity.influences) - len(shown)
    lines += ["", f"{hidden} further inputs move nothing by 0.0001%."] if hidden else []
    if any(influence.stepped for influence in sensitivity.influences):
        lines.append(STEPS_NOTE)
    lines += [*describe_combined(sensitivity), *describe_interval(sensitivity), *list_lacks(sensitivity)]
    return fold_prose("\n".join(lines))


def describe_combined(sensitivity: Sensitivity) -> list[str]:
    """What clock and units do with the peaks in proportion, in words; nothing where no time depends on them."""
    if not sensitivity.combined:
        return []
    lines = ["", "Each input moves alone. With the peaks in proportion (units: mean from half to twice as many):"]
    for one in sensitivity.combined:
        known = ((metric, one.elasticities.get(metric)) for metric in dict.fromkeys((*IN_TABLES, sensitivity.by)))
        slopes = (f"{metric} {write_slope(slope)}" for metric, slope in known if slope is not None)
        lines.append(f"  {one.name.removesuffix(' with peaks')}: {', '.join(slopes)}")
    return lines


def list_lacks(sensitivity: Sensitivity) -> list[str]:
    """Why a column of the table is not there."""
    lacks = sensitivity.prediction.lacks
    return [f"no {metric}: {lacks[metric]}" for metric in IN_TABLES if metric in lacks]


def describe_interval(sensitivity: Sensitivity) -> list[str]:
    """Where the interval comes from, in words; nothing for a bound."""
    spread = sensitivity.spread
    if spread is None:
        return []
    shares = {
        "the factors with their correlations": spread.factors + spread.correlations,
        "scatter of the law": spread.scatter,
        "transfer to what was not measured": spread.transfer,
    }
    parts = ", ".join(f"{name} {100 * share:.0f}%" for name, share in shares.items())
    return [
        "",
        f"Variance of the interval of {sensitivity.by}: {parts}.",
        "interval's share: what of it would go were this factor known exactly.",
    ]


def write_value(value: float, unit: str) -> str:
    """An input for people."""
    if unit == "USD/s":
        return f"{3600 * value:.4g} USD/h"
    return f"{value:.4g}" + ("" if unit == "1" else f" {unit}") if unit in PLAIN_UNITS else format_quantity(value, unit)


def write_slope(slope: float | None) -> str:
    """An elasticity with its sign; a plain 0 where there is none."""
    return "-" if slope is None else f"{slope:+.4f}" if slope else "0"


def write_share(share: float | None) -> str:
    """A share in percent."""
    return "-" if share is None else f"{100 * share:.1f}%"
