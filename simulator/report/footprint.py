"""The answer of ``footprint``."""

from __future__ import annotations

from simulator.explore.footprint import describe_footprint
from simulator.prediction import Question
from simulator.report.output import OutputForm, format_rows
from simulator.report.specs import format_facts

SCHEMA = "roofcast/footprint/1"


def report_footprint(question: Question, form: OutputForm) -> tuple[str, bool]:
    """The footprint of one request in one of the forms, and whether it fits."""
    facts = describe_footprint(question)
    if form == "table":
        return format_facts(facts), facts["fits"]
    return format_rows([facts], form, {"schema": SCHEMA, "footprints": [facts]}), facts["fits"]
