"""A recommendation for people, on one screen of 80 columns and 40 lines, and as JSON, CSV and Markdown."""

from __future__ import annotations

import textwrap
from itertools import pairwise

import numpy as np

from simulator.explore.recommend.judge import Judged
from simulator.explore.recommend.launch import describe_checkpoint, write_launch
from simulator.explore.recommend.reasons import Loser, describe_miss, find_binding, find_fewer, list_losers
from simulator.explore.recommend.recommend import Recommendation
from simulator.explore.recommend.record import record_judged
from simulator.explore.recommend.wish import OBJECTIVES
from simulator.metrics.prices import describe_mix
from simulator.report.output import OutputForm, format_cell, format_json, format_rows
from simulator.report.rates import describe_spending
from simulator.report.table import lay_out
from simulator.units import format_seconds

SCHEMA = "roofcast/recommendation/1"
COLUMNS = 80  # of the answer for people
MOST_LOSERS = 6
BINDING = 0.8  # share of a limit from which it is said to bind
LEVELS = (10, 20, 30, 50, 70, 100, 150, 200, 300, 500)  # output tokens a second for one user
SHOWN_LEVELS = 5
MOST_DEVICES = 6  # of the frontier
GAP, TEXTS = "  ", (" ", "devices", "format, layout")
USUAL_SHOWN = ("ttft_s_p99", "tpot_s_mean")  # where nothing is limited


def report_recommendation(found: Recommendation, form: OutputForm) -> str:
    """A recommendation in one of the forms."""
    if form == "table":
        return format_recommendation(found)
    if form == "json":
        return format_json({"schema": SCHEMA, **found.to_dict()})
    return format_rows([record_judged(one, found) for one in found.best], form, {})


def format_recommendation(found: Recommendation) -> str:
    """A recommendation for people."""
    parts = [
        [*fill(describe_question(found)), *fill(describe_search(found))],
        [list_best(found)],
        [line for place, one in enumerate(found.best) for line in fill(describe_choice(place, one, found), "  ")],
        fill(describe_certainty(found), "  "),
        list_others(found),
        list_frontier(found),
        list_launch(found),
    ]
    return "\n".join(line for part in parts for line in part)


def fill(text: str, indent: str = "") -> list[str]:
    """A text in lines."""
    return textwrap.wrap(text, COLUMNS, initial_indent=indent, subsequent_indent=indent + "  ")


def describe_question(found: Recommendation) -> str:
    """What was asked."""
    wish, load = found.wish, found.wish.load
    spread = load.lengths
    uniform = f", each {spread[0]:g} to {spread[1]:g} times that" if isinstance(spread, tuple) else ""
    limits = ", ".join(f"{name} {format_seconds(limit)}" for name, limit in wish.limits.items())
    return (
        f"{wish.model.name}: {load.describe()}, {load.prompt_tokens} prompt + {load.output_tokens} output tokens"
        f"{uniform}; {f'at most {limits}' if limits else 'no limits'}; least {wish.objective}"
    )


def describe_search(found: Recommendation) -> str:
    """How much was looked at."""
    simulated, count = len(found.best) + len(found.missed), len(found.wish.devices)
    return (
        f"{found.configurations:,} configurations of {count} {'device' if count == 1 else 'devices'} estimated, "
        f"{simulated} simulated"
    )


def list_best(found: Recommendation) -> str:
    """The table of the best; columns that do not fit are left to the other forms."""
    shown = list(found.wish.limits)[:3] or [
        name for name in USUAL_SHOWN if found.wish.load.output_tokens > 1 or name.startswith("ttft")
    ]
    rows = [list_cells(place, one, found, shown) for place, one in enumerate(found.best)]
    dropped = iter(("USD/h", "tokens/s", *reversed([shorten(name) for name in shown])))
    while True:
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
        if sum(widths.values()) + len(GAP) * (len(widths) - 1) <= COLUMNS:
            break
        name = next(dropped, None)
        if name is None:
            break
        for row in rows:
            row.pop(name, None)
    lines = [{name: name.strip() for name in widths}, *rows]
    text = (
        GAP.join(
            line[name].ljust(width) if name in TEXTS else line[name].rjust(width) for name, width in widths.items()
        )
        for line in lines
    )
    return "\n".join(fit(line.rstrip()) for line in text)


def list_cells(place: int, one: Judged, found: Recommendation, shown: list[str]) -> dict[str, str]:
    """One of the best by heading."""
    energy = found.wish.objective == "energy"
    spending = one.spending
    joules = spending.energy_j_per_request
    cost = (None if joules is None else joules / 1000) if energy else spending.usd_per_million_tokens
    replicas = f" x {one.attempt.replicas}" if one.attempt.replicas > 1 else ""
    return {
        " ": str(place + 1),
        "devices": f"{one.devices} x {one.cell.device}",
        "format, layout": f"{describe_format(one)}, {one.cell.layout}{replicas}",
        "kJ/req" if energy else "USD/1M": "-" if cost is None else f"{float(cost):.3g}",
        "USD/h": "-" if spending.usd_per_hour is None else f"{float(spending.usd_per_hour):.3g}",
        **{shorten(name): format_cell("_s", one.values[name]) for name in shown},
        "tokens/s": f"{one.values['output_tokens_per_s']:.4g}",
    }


def shorten(name: str) -> str:
    """The heading of a statistic."""
    latency, _, statistic = name.rpartition("_")
    return f"{latency.removesuffix('_s').upper()} {statistic}"


def describe_format(one: Judged) -> str:
    """Formats of the weights."""
    label = one.cell.describe_formats()
    return "+".join(dict.fromkeys(part.split()[-1] for part in label.split(", ")))


def describe_choice(place: int, one: Judged, found: Recommendation) -> str:
    """What binds a configuration, what fails with fewer devices, what more it costs, and what it rests on."""
    parts = []
    binding = find_binding(one, found)
    if binding.name:
        used, limit = one.values[binding.name], found.wish.limits[binding.name]
        verb = "binds" if binding.ratio >= BINDING else "is closest to its limit"
        parts.append(f"{binding.name} {verb}: {format_seconds(used, limit)} of {format_seconds(limit)}")
    fewer = find_fewer(one, found)
    if fewer is None and one.devices > 1:
        parts.append("fewer have no room")
    if fewer is not None:
        screened, attempt = fewer
        count = screened.cell.count_devices(attempt.replicas)
        parts.append(f"with {count} ({screened.cell.layout} x {attempt.replicas}) it {describe_miss(attempt, found)}")
    question = one.simulation.question
    basis = f"{question.work.stack.name}, {question.basis}"
    if question.profile is not None and question.basis != "calibrated":
        basis += f" from {question.profile.id}"
    elif question.carried:
        basis += f" but for {question.carried[0]}"
    lead = f"{place + 1}: "
    if place:
        lead += f"{one.objective / found.best[0].objective:.2f}x of the first; "
    else:
        parts += describe_spending(one.spending)
    return lead + "; ".join([*parts, basis])


def describe_certainty(found: Recommendation) -> str:
    """How sure it is that the first beats the second."""
    if len(found.best) < 2:
        return "nothing else was found to hold"
    certainty = found.certainty
    if certainty is None:
        return "how sure it is that 1 beats 2 is not known: a bound has no errors"
    one, other = (f"{100 * share:.0f}%" for share in certainty.holds)
    held = "hold the limits" if found.wish.limits else "keep up"
    return (
        f"how sure, by what the measurements leave open: {100 * certainty.first_beats_second:.0f}% that 1 beats 2; "
        f"that 1 and 2 {held} as they stand, {one} and {other}"
    )


def list_others(found: Recommendation) -> list[str]:
    """Devices that are not among the best, and why; then where the prices are from."""
    losers = list_losers(found)
    lines = [fit(f"  {name_loser(one)}: {one.reason}") for one in losers[:MOST_LOSERS]]
    if len(losers) > MOST_LOSERS:
        lines.append(f"  and {len(losers) - MOST_LOSERS} other devices (-o json)")
    return [*lines, *fill(describe_prices(found), "  ")]


def describe_prices(found: Recommendation) -> str:
    """Where the prices are from; nothing where they are neither known nor asked for."""
    prices = {one.cell.device: one.rates.price for one in found.screened}
    lists = list(dict.fromkeys(price.list_name for price in prices.values() if price is not None))
    if not lists and found.wish.objective != OBJECTIVES[0]:
        return ""
    mixed = describe_mix(prices)
    known = ", ".join(lists) or "none; --price h100=2.5 gives one"
    said = mixed if mixed is not None and len(lists) > 1 else known
    return f"{said if mixed == said else f'prices: {said}'} (--price)"


def name_loser(one: Loser) -> str:
    """A device with what it would take."""
    if one.screened is None or one.attempt is None:
        return one.device
    return one.screened.cell.describe(one.attempt.replicas)


def fit(line: str) -> str:
    """A line that is cut where it would not fit."""
    return line if len(line) <= COLUMNS else line[: COLUMNS - 3].rstrip() + "..."


def list_frontier(found: Recommendation) -> list[str]:
    """The most output tokens a second for a device at so many for each user."""
    frontier = {device: points for device, points in found.frontier.items() if len(points)}
    if not frontier:
        return []
    fastest = max(float(points[:, 0].max()) for points in frontier.values())
    levels = [level for level in LEVELS if level <= fastest][-SHOWN_LEVELS:]
    order = sorted(frontier, key=lambda device: -float(frontier[device][:, 1].max()))[:MOST_DEVICES]
    rows = []
    for device in order:
        points = frontier[device]
        reached = [points[points[:, 0] >= level, 1] for level in levels]
        rows.append([device, *(f"{float(np.max(one)):.4g}" if len(one) else "-" for one in reached)])
    header = ["tokens/s for a device, with for a user:", *(f"{level}" for level in levels)]
    return [lay_out(header, rows, [False, *[True] * len(levels)], COLUMNS)]


def list_launch(found: Recommendation) -> list[str]:
    """The command that starts the first."""
    first = found.best[0]
    command = write_launch(first.cell, first.attempt)
    if command is None:
        return []
    times = f", once for each of {first.attempt.replicas} replicas" if first.attempt.replicas > 1 else ""
    words = command.split(" --")
    options = [words[0], *(f"--{word}" for word in words[1:])]
    lines = [f"  start the first{times}:"]
    line = "    "
    for option, after in pairwise([*options, ""]):
        if len(line) + len(option) + 3 > COLUMNS and line.strip():
            lines.append(line.rstrip() + " \\")
            line = "      "
        line += option + (" " if after else "")
    checkpoint = describe_checkpoint(first.cell)
    return [*lines, line.rstrip(), *([f"    {checkpoint}"] if checkpoint else [])]
