"""A plan of measurements as people read it, and as JSON."""

from __future__ import annotations

from typing import Any

from calibration.fit.benchmark_commands import write_commands
from calibration.fit.plan import Plan
from simulator.inputs.stack_versions import name_engine
from simulator.report.output import OutputForm, format_rows, format_table

SCHEMA = "roofcast/plan/1"
FOLDER = "measured"
FILE_ENGINES = ("llama.cpp",)  # which take a model by its file


def report_plan(plan: Plan, form: OutputForm) -> str:
    """What to measure, what it is expected to do to the interval, and the commands to paste."""
    question = plan.question
    stack, deployment = question.work.stack.id, question.work.deployment
    name = f"{question.model.id}.gguf" if name_engine(stack) in FILE_ENGINES else question.model.hub_name
    commands = write_commands(plan.settings, stack, name, deployment, FOLDER)
    rows = list_rows(plan)
    if form == "table":
        return "\n".join([format_table(rows, "Half the 90% interval, now and after each"), *list_lines(plan, commands)])
    measured = [
        {**one._asdict(), "num_requests": one.num_requests, "seconds": seconds, "commands": lines}
        for one, seconds, lines in zip(plan.settings, plan.seconds, commands, strict=True)
    ]
    return format_rows(rows, form, {"schema": SCHEMA, "half_widths": rows, "measurements": measured})


def list_rows(plan: Plan) -> list[dict[str, Any]]:
    """The expected half-width of each target, before any measurement and after each."""
    names = ["now", *(one.describe() for one in plan.settings)]
    return [
        {"after": name, **{target: f"{100 * width:.1f}%" for target, width in zip(plan.targets, row, strict=True)}}
        for name, row in zip(names, plan.widths, strict=True)
    ]


def list_lines(plan: Plan, commands: list[list[str]]) -> list[str]:
    """The commands, and how their results become a profile."""
    question = plan.question
    stack = question.work.stack.id
    if not commands or not commands[0]:
        return ["", f"{name_engine(stack)} has no benchmark that is known here: measure these loads in your own way"]
    seconds = sum(plan.seconds)
    lines = [f"\nAbout {seconds:.0f} s once the engine runs. Paste, then fit:", "", f"mkdir -p {FOLDER}"]
    lines += [line for several in commands for line in several]
    fit = f"roofcast calibrate fit {FOLDER} -m {question.model.id} -H {question.hardware.id} -s {stack}"
    tp = question.work.deployment.tp
    return [*lines, f"{fit}{f' --tp {tp}' if tp > 1 else ''} --out my-profile.yaml"]
