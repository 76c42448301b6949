"""What ``explain``, ``sensitivity`` and ``compare`` answer under load, for people and as JSON, CSV and Markdown."""

from __future__ import annotations

import textwrap
from typing import Any

from simulator.explore.load_compare import LoadComparison
from simulator.explore.load_explain import LoadExplanation
from simulator.explore.load_sensitivity import LoadSensitivity
from simulator.prediction import answer
from simulator.report.output import OutputForm, format_rows, format_table
from simulator.report.prediction import describe_basis
from simulator.serving.simulation import Simulation
from simulator.units import format_seconds

COLUMNS = 80
ASKED = (
    *("model", "hardware", "stack", "tp", "pp", "dp", "ep"),
    *("prompt_tokens", "output_tokens", "concurrency", "request_rate", "basis"),
)
LATENCY_LABELS = {"ttft_s_mean": "ttft", "ttft_s_p99": "ttft p99", "tpot_s_mean": "tpot", "tpot_s_p99": "tpot p99"}


def describe_asked(simulation: Simulation) -> str:
    """What was simulated, in a few words, and on what it rests."""
    question, setup = simulation.question, simulation.setup
    text = (
        f"{question.model.name} on {question.work.deployment.devices} x {question.hardware.name}, "
        f"{question.work.stack.name}: {setup.load.describe()}; {describe_basis(answer(question))}"
    )
    return textwrap.fill(text, COLUMNS, subsequent_indent="  ")


def report_load_explanation(found: LoadExplanation, form: OutputForm) -> str:
    """The parts of TTFT and of TPOT."""
    rows = found.to_dicts()
    if form != "table":
        document = {"schema": "roofcast/load-explanation/1", **found.simulation.describe_asked(), "parts": rows}
        return format_rows(rows, form, document)
    values = found.simulation.values
    blocks = [describe_asked(found.simulation)]
    for of, name in (("ttft_s", "Time to first token"), ("tpot_s", "Time per output token")):
        shown = [
            {
                "part": row["part"],
                "time": format_seconds(row["seconds"]),
                "share": f"{100 * row['share']:.0f}%",
                "": row["meaning"],
            }
            for row in rows
            if row["of"] == of
        ]
        if shown:
            blocks.append(format_table(shown, f"{name}, {format_seconds(values[f'{of}_mean'])} on the mean"))
    return "\n\n".join(blocks)


def report_load_sensitivity(found: LoadSensitivity, form: OutputForm) -> str:
    """Inputs by how much the statistic depends on them."""
    rows = found.to_dicts()
    if form != "table":
        asked = found.simulation.describe_asked()
        document = {"schema": "roofcast/load-sensitivity/1", "by": found.by, **asked, "sensitivities": rows}
        return format_rows(rows, form, document)
    names = {one: one.removesuffix("_elasticity") for row in rows[:1] for one in row if one.endswith("_elasticity")}
    shown: list[dict[str, Any]] = [
        {"input": row["input"], **{short: f"{row[name]:+.2f}" for name, short in names.items()}} for row in rows
    ]
    title = "Percent more of each for one percent more of the input"
    return f"{describe_asked(found.simulation)}\n\n{format_table(shown, title)}"


def report_load_comparison(found: LoadComparison, form: OutputForm) -> str:
    """A row for each combination."""
    if form == "json":
        document = {"schema": "roofcast/load-comparison/1", "rows": found.rows, "impossible": found.impossible}
        return format_rows(found.rows, form, document)
    if form != "table":
        return format_rows(found.rows, form, {})
    same = {name for name in found.rows[0] if len({str(row.get(name)) for row in found.rows}) == 1}
    line = ", ".join(f"{name} {found.rows[0][name]}" for name in ASKED if name in same and name in found.rows[0])
    saturated = any(row["saturated"] for row in found.rows)
    priced = any(row["usd_per_million_tokens"] is not None for row in found.rows)
    shown = []
    for row in found.rows:
        cells = {name: row[name] for name in ASKED if name in row and name not in same}
        cells |= {label: format_seconds(row[name]) for name, label in LATENCY_LABELS.items()}
        cells |= {"tokens/s": f"{row['output_tokens_per_s']:.4g}"}
        if priced:
            cost = row["usd_per_million_tokens"]
            cells |= {"USD/1M": "-" if cost is None else f"{cost:.3g}"}
        shown.append(cells | ({"": "SATURATED" if row["saturated"] else ""} if saturated else {}))
    return "\n".join([*([textwrap.fill(line, COLUMNS)] if line else []), format_table(shown)])
