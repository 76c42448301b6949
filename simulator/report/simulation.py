"""A simulation for people, as JSON, CSV and Markdown; and the table of its requests."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from simulator.numbers import sort_distinct
from simulator.prediction import answer
from simulator.report.output import OutputForm, format_cell, format_csv, format_json, format_rows
from simulator.report.prediction import describe_basis, describe_formats
from simulator.report.rates import describe_spending
from simulator.serving.outcome import LATENCIES
from simulator.serving.simulation import Simulation

SCHEMA = "roofcast/simulation/1"
COLUMNS = 80  # of the answer for people
LABELS = dict(
    zip(LATENCIES, ("time to first token", "time per output token", "between tokens", "whole request"), strict=True)
)
MOMENTS = 200  # of the run over time in JSON


def report_simulation(simulation: Simulation, form: OutputForm) -> str:
    """The answer in one of the forms."""
    if form == "table":
        return format_simulation(simulation)
    row = simulation.describe_asked() | simulation.to_dict()
    if form == "json":
        return format_json({"schema": SCHEMA, **row, "over_time": thin_out(simulation)})
    return format_rows([row], form, {})


def thin_out(simulation: Simulation) -> dict[str, Any]:
    """The run over time, at so many moments at most."""
    columns = simulation.over_time
    count = len(columns["time_s"])
    places = sort_distinct(np.linspace(0, count - 1, min(count, MOMENTS)).astype(int))
    return {name: values[places] for name, values in columns.items()}


def print_requests(simulation: Simulation) -> str:
    """Every request as CSV."""
    columns = simulation.requests
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return format_csv(rows) + "\n"


def format_simulation(simulation: Simulation) -> str:
    """One simulation for people, in 80 columns."""
    question, load, outcome = simulation.question, simulation.setup.load, simulation.outcome
    deployment = question.work.deployment
    lengths = f"{np.mean(outcome.input_tokens):.4g} prompt + {np.mean(outcome.output_tokens):.4g} output tokens"
    draft = simulation.setup.draft
    reading = simulation.setup.reading * deployment.tp * deployment.pp
    beside = f" and {reading} that read prompts" if reading else ""
    drafted = "" if draft is None else f"; {draft.describe()}"
    mean = "" if np.ptp(outcome.input_tokens) == 0 else " on the mean"
    sentences = [
        f"{question.model.name} on {deployment.devices} x {question.hardware.name}{beside}, "
        f"{question.work.stack.name}, {describe_formats(deployment)}: {load.describe()}, "
        f"{len(outcome.last_s):,} requests of {lengths}{mean}{drafted}",
        f"basis: {describe_basis(answer(question))}",
    ]
    lines = [line for text in sentences for line in textwrap.wrap(text, COLUMNS, subsequent_indent="  ")]
    lines.append(f"  {'':22}{'mean':>9}  {'(90% interval)':<21}{'p50':>8}{'p90':>8}{'p99':>8}")
    lines += [format_latency(simulation, name) for name in LATENCIES]
    for text in (describe_rate(simulation), describe_engine(simulation), describe_cost(simulation)):
        lines += textwrap.wrap(text, COLUMNS, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def format_latency(simulation: Simulation, name: str) -> str:
    """One latency: its mean with the interval, and the percentiles."""

    def write(statistic: str) -> str:
        return format_cell(name, simulation.find(f"{name}_{statistic}"))

    interval = "" if simulation.spread is None else f"({write('mean_low')} to {write('mean_high')})"
    tail = "".join(f"{write(one):>8}" for one in ("p50", "p90", "p99"))
    return f"  {LABELS[name]:22}{write('mean'):>9}  {interval:<21}{tail}"


def describe_cost(simulation: Simulation) -> str:
    """Money, energy and carbon, as far as they are known."""
    spending, price = simulation.spending, simulation.question.rates.price
    hour = "no price known; give one with --price"
    if price is not None and spending.usd_per_hour is not None:
        hour = f"{float(spending.usd_per_hour):.3g} USD/h [{price.id}, {price.date}]"
    return "; ".join([hour, *describe_spending(spending)])


def describe_rate(simulation: Simulation) -> str:
    """Tokens and requests a second, and of those the good ones where there are limits."""
    low, high = (simulation.find(f"output_tokens_per_s{end}") for end in ("_low", "_high"))
    interval = "" if low is None or high is None else f" (90%: {low:.4g} to {high:.4g})"
    text = f"{simulation.output_tokens_per_s:.4g} output tokens/s{interval}, {simulation.requests_per_s:.3g} requests/s"
    return text + (f", {simulation.goodput:.3g} within limits" if simulation.limits else "")


def describe_engine(simulation: Simulation) -> str:
    """Whether the engine keeps up, its queue, its blocks, and where the intervals come from."""
    outcome, load, most = simulation.outcome, simulation.setup.load, simulation.saturation.requests_per_s
    verdict = f"keeps up (it serves some {most:.3g} requests/s at most)"
    if simulation.saturated and load.concurrency is not None:
        verdict = f"SATURATED: it serves some {most:.3g} requests/s, and what is more in flight waits"
    elif simulation.saturated:
        verdict = f"SATURATED from some {most:.3g} requests/s: latencies grow for as long as requests come"
    used = outcome.over_time[:, 3].max() / (simulation.kv_blocks * simulation.question.work.deployment.dp)
    led = "" if simulation.spread is None else f"; intervals led by {simulation.spread.led_by}"
    return (
        f"{verdict}; {outcome.mean_running:.3g} running and {outcome.mean_waiting:.3g} waiting on the mean; "
        f"{100 * used:.0f}% of {simulation.kv_blocks:,} KV blocks at most, {simulation.preemptions:,} preemptions{led}"
    )
