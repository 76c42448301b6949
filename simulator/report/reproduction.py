"""The answer of ``reproduce``: published runtimes beside predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.report.ideal import describe_setting, frame
from simulator.report.output import OutputForm, format_json, format_markdown, format_rows, format_table
from simulator.report.rates import describe_money
from simulator.studies.ideal import name_basis
from simulator.studies.reproduction import Reproduction, list_fitted, summarise_errors
from simulator.units import format_seconds

SCHEMA = "roofcast/reproduction/1"


def report_reproduction(found: Reproduction, form: OutputForm) -> str:
    """Rows with their summary in one of the forms; CSV holds the rows alone."""
    rows, basis = found.rows, name_basis(found.prediction)
    summaries = summarise_errors(rows, list_fitted(found.prediction))
    if form == "json":
        return format_json({"schema": SCHEMA, "setting": basis, "rows": rows, "summary": summaries})
    if form == "csv":
        return format_rows([row | basis for row in rows], form, {})
    shown = pivot(rows) if "parameter" in rows[0] else rows
    title = f"published against predicted {describe_setting(found.prediction)}"
    notes = [] if "parameter" in rows[0] else [describe_money(found.setting.rates)]
    table = format_markdown(summaries) if form == "md" else format_table(summaries)
    return "\n\n".join([frame(title, shown, notes, form), table])


def pivot(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a model: for each parameter published time, predicted time and error."""
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault("/".join(row["names"]), {"model": row["model"], "devices": row["devices"]})
        published, predicted = format_seconds(row["published_s"]), format_seconds(row["predicted_s"])
        line[row["parameter"]] = f"{published} {predicted} {100 * row['error']:+.1f}%"
    return list(lines.values())
