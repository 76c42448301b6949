"""The answer of ``solve`` under load, in the four forms."""

from __future__ import annotations

from simulator.explore.load_solve import LoadSolution
from simulator.report.output import OutputForm, format_cell, format_json, format_rows
from simulator.report.simulation import format_simulation

SCHEMA = "roofcast/load-solution/1"


def report_load(solution: LoadSolution, form: OutputForm) -> str:
    """A solution in one of the forms."""
    if form == "table":
        return format_load(solution)
    row = solution.to_dict()
    return format_json({"schema": SCHEMA, **row}) if form == "json" else format_rows([row], form, {})


def format_load(solution: LoadSolution) -> str:
    """A solution for people: the load, the limits at it and past it, and the simulation."""
    lines = [f"largest {solution.unknown.replace('_', ' ')}: {solution.value:.4g}"]
    for name, limit in solution.limits.items():
        unit = name.rpartition("_")[0]  # the latency, without its statistic
        at, most = (format_cell(unit, value) for value in (solution.at.values[name], limit))
        past = ""
        if solution.beyond is not None:
            next_load = solution.find_load(solution.beyond)
            past = f", {format_cell(unit, solution.beyond.values[name])} at {next_load:.4g}"
        lines.append(f"  {name} {at} of at most {most}{past}")
    return "\n".join([*lines, "", format_simulation(solution.at)])
