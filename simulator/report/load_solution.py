"""The answer of ``solve`` under load, in the four forms."""

from __future__ import annotations

from simulator.explore.load_solve import LoadSolution, describe_value
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
    """A solution for people: the value, the limits at it and past it, and the simulation."""
    unknown, beyond = solution.unknown, solution.beyond
    lines = [f"{solution.sense} {unknown.replace('_', ' ')}: {describe_value(unknown, solution.value)}"]
    for name, limit in solution.limits.items():
        past = ""
        if beyond is not None:
            past = f"; at {describe_value(unknown, beyond.value)} {solution.describe_beyond(name)}"
        at = format_seconds(solution.at.values[name], limit)
        lines.append(f"  {name} {at} of at most {format_seconds(limit)}{past}")
    return "\n".join([*lines, "", format_simulation(solution.at)])
