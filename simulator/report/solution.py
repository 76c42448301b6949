"""The answer of ``solve``: the value, the limits at it and just past it, in the four forms."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from simulator.explore.datasheet import find_unit, list_numbers
from simulator.explore.limits import MEMORY, Check
from simulator.explore.sensitivity import list_used_numbers
from simulator.explore.solution import Solution, Trial, find_beyond, list_limit, plain_value
from simulator.explore.solve import has_table
from simulator.inputs.deployment import Deployment
from simulator.metrics.rate_file import HOUR_S
from simulator.metrics.registry import list_ranked
from simulator.report.output import OutputForm, fold_prose, format_cell, format_rows, format_table
from simulator.report.rates import describe_rates
from simulator.units import format_quantity

SCHEMA = "roofcast/solution/1"


def report_solution(solution: Solution, form: OutputForm) -> str:
    """A solution in one of the forms."""
    if form == "table":
        return format_solution(solution)
    if form == "md":
        return format_rows(list_shown(solution), form, {})
    document = {"schema": SCHEMA, "solutions": [describe_solution(solution)]}
    return format_rows(solution.to_dicts(), form, document)


def describe_solution(solution: Solution) -> dict[str, Any]:
    """A solution as JSON has it. ``value`` is null where it is impossible; the limits are then of ``closest``."""
    question, at = solution.question, solution.at
    price = question.rates.price
    workload = question.work.workload
    names = [field.name for field in fields(workload) if field.name != solution.unknown]
    counts = {name: int(getattr(workload, name)) for name in names}
    return {
        "model": question.model_label,
        "hardware": question.hardware.id,
        "stack": question.work.stack.id,
        "dtype": question.work.deployment.dtype,
        "profile": None if question.profile is None else question.profile.id,
        **counts,
        "unknown": solution.unknown,
        "unit": solution.unit,
        "sense": solution.sense,
        "possible": solution.possible,
        "value": plain_value(solution.unknown, at.value) if solution.possible else None,
        "closest": None if solution.possible else plain_value(solution.unknown, at.value),
        "layout": describe_layout(at),
        "beyond": None if solution.beyond is None else plain_value(solution.unknown, solution.beyond.value),
        "along": list_along(solution),
        "binding": solution.binding,
        "tried": solution.tried,
        "price_usd_per_device_hour": None if price is None else price.price * HOUR_S,
        **({} if at.prediction is None else at.prediction.to_dict()),
        "limits": [list_limit(solution, check) for check in at.checks],
    }


def describe_layout(trial: Trial) -> dict[str, int] | None:
    """Sizes of the layout of a trial."""
    if trial.prediction is None:
        return None
    d = trial.prediction.question.work.deployment
    return {name: getattr(d, name) for name in ("tp", "pp", "dp", "ep")}


def list_along(solution: Solution) -> dict[str, float]:
    """Numbers of the data sheet that change with the unknown, of those that the request depends on, at the answer."""
    prediction = solution.at.prediction
    if prediction is None:
        return {}
    before, after = (list_numbers(question.hardware) for question in (solution.question, prediction.question))
    used = list_used_numbers(solution.question)
    return {key: after[key] for key in used if after[key] != before[key] and key != solution.unknown}


def note_positions(solution: Solution) -> str | None:
    """That an answer runs past the positions that the model is made for, which costs no time but sense."""
    prediction = solution.at.prediction
    if prediction is None or has_table(architecture := prediction.question.work.architecture):
        return None
    workload, most = prediction.question.work.workload, architecture.max_position_embeddings
    reached = int(workload.prompt_tokens + workload.output_tokens - 1)
    if reached <= most:
        return None
    return f"the request reaches {reached:,} tokens, and the model is made for {most:,} (max_position_embeddings)"


def list_shown(solution: Solution) -> list[dict[str, Any]]:
    """The limits for people."""
    here = write_value(solution, solution.at.value)
    rows = []
    for check in solution.at.checks:
        beyond = find_beyond(solution, check.limit)
        row = {
            "limit": f"{check.limit} {'at least' if check.at_least else 'at most'} {write_measure(check, check.bound)}",
            here if solution.possible else f"closest: {here}": write_measure(check, check.value),
            "slack": f"{100 * check.slack:+.2f}%",
        }
        if solution.beyond is not None:
            fails = beyond is not None and not beyond.holds
            written = "-" if beyond is None else write_measure(check, beyond.value)
            past = write_value(solution, solution.beyond.value)
            column = "just past it" if past == here else f"just past: {past}"
            row[column] = f"{written}{' fails' if fails else ''}"
        rows.append(row | {"binds": check.limit in solution.binding})
    return rows


def format_solution(solution: Solution) -> str:
    """A solution for people: the answer in a line, binding constraints, and the limits on both sides of it."""
    question, prediction = solution.question, solution.at.prediction
    lines = [f"{question.model_label} on {question.hardware.id}, {question.work.stack.id}", write_answer(solution)]
    lines += describe_number(solution)
    if prediction is not None:
        known = [metric.name for metric in list_ranked() if metric.name not in prediction.lacks]
        there = (f"{name} {format_cell(name, prediction.find(name))}" for name in known)
        lines.append(f"there: {', '.join(there)}; basis: {prediction.basis}{question.caution}")
    return fold_prose("\n".join([*lines, "", format_table(list_shown(solution)), "", *describe_rates(question)]))


def describe_number(solution: Solution) -> list[str]:
    """What there is to say of a number of a data sheet: all its digits, what there is now, what changes along."""
    now = list_numbers(solution.question.hardware).get(solution.unknown)
    if now is None:
        return []
    value, beyond = solution.at.value, solution.beyond
    times = f"{value / now:.4g} times the {write_value(solution, now)} of {solution.question.hardware.id}"
    exactly = f"exactly {value!r} {solution.unit}" + (f"; fails at {beyond.value!r}" if beyond is not None else "")
    lines = [times if solution.unit == "1" else f"{exactly}; {times}"]
    along = (f"{key} {format_quantity(number, find_unit(key))}" for key, number in list_along(solution).items())
    written = ", ".join(along)
    return [*lines, f"along with it: {written}"] if written else lines


def write_answer(solution: Solution) -> str:
    """The answer in a line."""
    here = write_value(solution, solution.at.value)
    if not solution.possible:
        return f"impossible: no {name_unknown(solution)} meets every limit; the closest is {here}"
    found = f"{solution.sense} {solution.unknown}: {here}"
    if solution.beyond is None:
        return f"{found}, the end of what was tried ({solution.tried}): no constraint binds"
    return f"{found}; binding constraints: {', '.join(solution.binding)}"


def explain_impossible(solution: Solution) -> str:
    """Why there is no answer and how close one gets, in a line."""
    failing = [check for check in solution.at.checks if not check.holds]
    missed = ", ".join(
        f"{check.limit} {write_measure(check, check.value)} where {'at least' if check.at_least else 'at most'} "
        f"{write_measure(check, check.bound)} is asked for"
        for check in failing
    )
    here = write_value(solution, solution.at.value)
    return (
        f"impossible: no {name_unknown(solution)} meets every limit (tried: {solution.tried}); the closest you get is "
        f"{missed}, at {here if solution.unknown == 'devices' else f'{solution.unknown} {here}'}"
    )


def name_unknown(solution: Solution) -> str:
    """The unknown in a sentence."""
    return "number of devices" if solution.unknown == "devices" else solution.unknown


def write_value(solution: Solution, value: Any) -> str:
    """A value of the unknown for people."""
    if isinstance(value, Deployment):
        layout = f"tp {value.tp}, pp {value.pp}" + (f", dp {value.dp}" if value.dp > 1 else "")
        devices = f"{value.devices} device{'s' if value.devices > 1 else ''}"
        if solution.unknown == "devices":
            return f"{devices} ({layout})"
        return f"{plain_value(solution.unknown, value)} ({devices})"
    return f"{value:,}" if solution.unit == "1" else format_quantity(value, solution.unit)


def write_measure(check: Check, value: Any) -> str:
    """What is held against a limit, for people."""
    key = "bytes" if check.limit == MEMORY else check.limit
    return format_cell(f"_{key}" if key == "bytes" else key, float(value))
