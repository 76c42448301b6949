"""The answer of ``solve`` under load, in the four forms."""

from __future__ import annotations

from simulator.explore.load_solve import LoadSolution
from simulator.report.output import OutputForm, format_json, format_rows
from simulator.report.simulation import format_simulation
from simulator.units import format_seconds

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
        at, most = format_seconds(solution.at.values[name], limit), format_seconds(limit)
        past = ""
        if solution.beyond is not None:
            next_load = solution.find_load(solution.beyond)
            past = f", {format_seconds(solution.beyond.values[name], limit)} at {next_load:.4g}"
        lines.append(f"  {name} {at} of at most {most}{past}")
    return "\n".join([*lines, "", format_simulation(solution.at)])
