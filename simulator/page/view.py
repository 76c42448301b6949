"""Answers as HTML: numbers with their intervals, what they rest on, pictures, and the same question elsewhere."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

import numpy as np

from simulator.explore.compare import Comparison
from simulator.explore.explanation import Explanation
from simulator.explore.load_solve import LoadSolution, describe_value
from simulator.explore.recommend.reasons import list_losers
from simulator.explore.recommend.recommend import Recommendation
from simulator.explore.solution import Solution
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.registry import METRICS, list_ranked
from simulator.metrics.rows import COUNTS
from simulator.page import pictures
from simulator.page.answers import list_given, write_command, write_python
from simulator.page.questions import Question
from simulator.prediction import Prediction, answer, describe_build
from simulator.report.comparison import list_notes
from simulator.report.output import format_cell
from simulator.report.prediction import describe_basis, describe_formats
from simulator.report.rates import describe_rates
from simulator.report.recommendation import (
    USUAL_SHOWN,
    describe_certainty,
    describe_choice,
    describe_format,
    describe_prices,
    describe_question,
    describe_search,
    list_cells,
    list_launch,
    name_loser,
)
from simulator.report.simulation import describe_cost
from simulator.report.solution import list_shown, write_value
from simulator.serving.outcome import LATENCIES, STATISTICS
from simulator.serving.simulation import Simulation
from simulator.units import format_quantity, format_seconds

LEADING = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s")
RATE = LEADING[3]
SHOWN = ("weights_bytes", "kv_cache_bytes", "mfu", "mbu")
SETTINGS = (
    *("model", "hardware", "layout", "stack", "dtype", "weight_dtype", "kv_dtype"),
    *("prompt_tokens", "output_tokens", "batch_size", "basis"),
)
FORMS = ("json", "csv")
MOST_ROWS = 200  # of a table
FRONTIER = ("tpot_s", "output_tokens_per_s_per_device")
COMPARED = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "cost_usd", "energy_j")
MOST_OPERATORS = 12


def write_answer(question: Question, found: Any, width: int) -> str:
    """The answer to a question."""
    return SHOW[question.verb](found, width) + write_elsewhere(question)


def write_error(line: str) -> str:
    """A line in place of an answer."""
    return f'<p class="error" role="alert">{escape(line)}</p>'


def write_query(question: Question) -> str:
    """The question as the query of a link."""
    return urlencode({name: "true" if value is True else value for name, value in list_given(question).items()})


def write_elsewhere(question: Question) -> str:
    """The same question as a command, in Python, and as files."""
    query, verb = escape(write_query(question), quote=True), question.verb
    boxes = [("command", write_command(question)), ("Python", write_python(question))]
    copied = "".join(
        f'<div class="copy"><button type="button" data-copy="copy-{what}">Copy as {what}</button>'
        f'<pre id="copy-{what}" tabindex="0">{escape(text)}</pre></div>'
        for what, text in boxes
    )
    files = [
        f'<a href="/api/{verb}?{query}&amp;output={form}" download="{verb}.{form}">{form.upper()}</a>' for form in FORMS
    ]
    links = f'<p class="links"><button type="button" data-copy="link">Copy link</button>{"".join(files)}</p>'
    return f'<section aria-labelledby="elsewhere"><h2 id="elsewhere">The same elsewhere</h2>{copied}{links}</section>'


def list_warnings(prediction: Prediction) -> list[str]:
    """What a person should know of an answer."""
    question = prediction.question
    notes = [question.model.note, question.work.stack.note]
    notes.append(None if question.changes else describe_build(question.model, question.work.stack))
    return [note for note in notes if note]


def write_head(prediction: Prediction, request: str) -> str:
    """What was asked of what, what the answer rests on, and notes."""
    q = prediction.question
    d = q.work.deployment
    place = f"{q.model_label} on {d.devices} × {q.hardware.name}, {q.work.stack.name}"
    lines = [
        f"<h2>{escape(place)}</h2>",
        f"<p>{escape(request)}, {escape(describe_formats(d))} ({escape(d.formats_from)})</p>",
    ]
    rests = describe_basis(prediction).removeprefix(q.basis).lstrip("; ")
    lines.append(f'<p class="basis"><b>{escape(q.basis)}</b> {escape(rests)}</p>')
    lines += [f'<p class="warning">{escape(note)}</p>' for note in list_warnings(prediction)]
    return "".join(lines)


def write_cards(cards: Sequence[tuple[str, str, str]]) -> str:
    """The numbers that matter most: what, how much, and the interval."""
    inner = "".join(
        f"<div><dt>{escape(what)}</dt><dd><b>{escape(value)}</b> <span>{escape(beside)}</span></dd></div>"
        for what, value, beside in cards
    )
    return f'<dl class="cards">{inner}</dl>'


def write_interval(found: Any, name: str) -> str:
    """The 90% interval of a metric in words."""
    low, high = (found.find(f"{name}{end}") for end in ("_low", "_high"))
    bare, unit = name.removesuffix("_mean"), "tokens/s, " if name == RATE else ""
    return unit + ("no interval" if low is None else f"{format_cell(bare, low)} to {format_cell(bare, high)}")


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table that scrolls in its own box; the first cell of a row is its name."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    table = f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{escape(caption, quote=True)}" tabindex="0">{table}</div>'


def show_prediction(prediction: Prediction, width: int) -> str:
    """One request, or a table of several."""
    workload = prediction.question.work.workload
    if any(np.ndim(count) for count in workload.counts):
        rows = prediction.to_dicts()
        columns = [*COUNTS, *LEADING]
        cells = [[format_cell(name, row[name]) for name in columns] for row in rows[:MOST_ROWS]]
        return write_table([name.replace("_", " ") for name in columns], cells, f"{len(rows)} requests")
    lacks = prediction.lacks
    prompt, output, batch = (f"{count:,.0f}" for count in workload.counts)
    cards = [
        (METRICS[name].label, format_cell(name, prediction.find(name)), write_interval(prediction, name))
        for name in LEADING
        if name not in lacks
    ]
    table = [describe_memory(prediction)]
    for name in dict.fromkeys([*SHOWN, *(one.name for one in list_ranked() if one.name not in LEADING)]):
        value = lacks.get(name) or format_cell(name, prediction.find(name))
        interval = "" if name in lacks or METRICS[name].follows is None else write_interval(prediction, name)
        table.append([METRICS[name].label or METRICS[name].meaning, value, interval])
    unfit = "" if prediction.fits else '<p class="warning">It does not fit in memory; the times are as if it did.</p>'
    waits = f"Prefill waits for {prediction.prefill_bound}"
    waits += f", decode for {prediction.decode_bound}." if workload.output_tokens > 1 else "."
    return (
        write_head(prediction, f"{prompt} prompt + {output} output tokens, batch {batch}")
        + unfit
        + write_cards(cards)
        + f"<p>{escape(waits)}</p>"
        + write_figure(pictures.draw_roofline(prediction, width), "Roofline of one device")
        + write_table(["", "value", "90% interval"], table, "Memory, use, money and energy")
        + write_list(describe_rates(prediction.question))
    )


def describe_memory(prediction: Prediction) -> list[str]:
    """Memory of a device in use, of what a stack lets itself use."""
    question = prediction.question
    used, usable = prediction.footprint.device_bytes, find_usable_bytes(question.hardware, question.work.stack)
    sizes = (format_quantity(float(size), "B") for size in (used, usable))
    return ["memory of each device", " of ".join(sizes), f"{100 * float(used / usable):.0f}%"]


def write_figure(svg: str, caption: str) -> str:
    """A picture with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def write_share(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.1f}%"


def show_explanation(explanation: Explanation, width: int) -> str:
    """Where the time goes: a waterfall, and the operators that take most."""
    prediction = explanation.prediction
    prompt, output, batch = (f"{count:,.0f}" for count in prediction.question.work.workload.counts)
    parts = sorted(explanation.parts, key=lambda part: -part.seconds)[:MOST_OPERATORS]
    whole = float(prediction.e2e_s)
    rows = [
        [
            part.operator,
            part.phase,
            part.resource,
            format_cell("e2e_s", part.seconds),
            f"{100 * part.seconds / whole:.1f}%",
        ]
        for part in parts
    ]
    steps = [
        [
            row["step"],
            *(format_cell(name, row[name]) for name in ("ttft_s", "tpot_s", "e2e_s")),
            f"{100 * row['share']:.1f}%",
        ]
        for row in explanation.to_dicts()
        if row["e2e_s"]
    ]
    return (
        write_head(prediction, f"{prompt} prompt + {output} output tokens, batch {batch}")
        + write_figure(pictures.draw_waterfall(explanation, width), "From the bound to the prediction")
        + write_table(["operator", "phase", "waits for", "time", "share"], rows, "Operators that take most of the time")
        + write_table(["step", "ttft", "tpot", "e2e", "share"], steps, "The steps of the picture")
    )


def show_comparison(comparison: Comparison, width: int) -> str:
    """Rows side by side, ratios to the baseline, and the frontier."""
    rows = comparison.to_dicts()
    fields = [name for name in SETTINGS if len({str(row[name]) for row in rows}) > 1 or name in SETTINGS[:2]]
    header = ["row", *(name.replace("_", " ") for name in fields)]
    header += [*(METRICS[name].heading or name for name in COMPARED), f"e2e to row {comparison.baseline + 1}"]
    cells = []
    for row in rows:
        ratio = row.get("e2e_s_ratio")
        metrics = [format_cell(name, row[name]) for name in COMPARED]
        cells.append(
            [str(row["row"]), *(str(row[name]) for name in fields), *metrics, f"{ratio:.3g}×" if ratio else ""]
        )
    figure = ""
    if not any(name in one.lacks for one in comparison.predictions for name in FRONTIER):
        picture = pictures.draw_frontier(comparison, width, *FRONTIER)
        figure = write_figure(picture, "The frontier of speed and throughput")
    count = len(comparison.impossible)
    left = "".join(f"<li>{escape(one.label)}: {escape(one.reason)}</li>" for one in comparison.impossible[:10])
    out = f"<details><summary>{count} combinations are impossible</summary><ul>{left}</ul></details>" if count else ""
    return (
        f"<h2>{len(rows)} combinations</h2>"
        + figure
        + out
        + write_table(header, cells, "Side by side")
        + write_list(list_notes(comparison))
    )


def show_simulation(simulation: Simulation, width: int) -> str:
    """A simulation, with the button that asks for several loads."""
    ladder = '<div id="ladder"><button type="button" id="draw-ladder">Draw load against latency</button></div>'
    return write_simulation(simulation, width) + ladder


def show_solution(found: Solution | LoadSolution, width: int) -> str:
    """The value, the limits at it and just past it, and the answer there."""
    if isinstance(found, LoadSolution):
        rows = [
            [
                f"{name} at most {format_seconds(limit)}",
                format_seconds(found.at.values[name], limit),
                "-" if found.beyond is None else found.describe_beyond(name),
            ]
            for name, limit in found.limits.items()
        ]
        value = describe_value(found.unknown, found.value)
        past = "" if found.beyond is None else f"at {describe_value(found.unknown, found.beyond.value)}"
        limits = write_table(["limit", f"at {value}", f"just past it, {past}"], rows, "Limits")
        card = (f"{found.sense} {found.unknown.replace('_', ' ')}", value, "simulated on both sides")
        return write_cards([card]) + limits + write_simulation(found.at, width)
    at = found.at.prediction
    assert at is not None
    listed = list_shown(found)
    table = [[format_cell("", cell) for cell in row.values()] for row in listed]
    binds = ", ".join(found.binding)
    card = (
        f"{found.sense} {found.unknown.replace('_', ' ')}",
        write_value(found, found.at.value),
        f"bound by {binds}" if binds else f"nothing binds; tried: {found.tried}",
    )
    return write_cards([card]) + write_table(list(listed[0]), table, "Limits") + show_prediction(at, width)


def show_recommendation(found: Recommendation, width: int) -> str:
    """The best, how sure their order is, why others lost, the frontier, and how to start the first."""
    first, launch = found.best[0], list_launch(found)
    cost = first.spending.usd_per_million_tokens
    cards = [
        (
            "least " + found.wish.objective.replace("_", " "),
            f"{first.devices} × {first.cell.device}",
            first.cell.layout,
        ),
        ("format", describe_format(first), f"replicas: {first.attempt.replicas}"),
        *([("1M tokens", format_quantity(float(cost), "USD"), "in and out together")] if cost is not None else []),
        ("time to first token, p99", format_seconds(first.values["ttft_s_p99"]), "simulated"),
        ("time per output token", format_seconds(first.values["tpot_s_mean"]), "mean, simulated"),
    ]
    shown = list(found.wish.limits) or list(USUAL_SHOWN)
    rows = [list_cells(place, one, found, shown) for place, one in enumerate(found.best)]
    said = [describe_choice(place, one, found) for place, one in enumerate(found.best)]
    others = [f"{name_loser(one)}: {one.reason}" for one in list_losers(found)]
    picture = pictures.draw_choice(found, width)
    command = (
        ""
        if not launch
        else f'<h2>{escape(launch[0].strip())}</h2><pre tabindex="0">'
        + escape(textwrap.dedent("\n".join(launch[1:])))
        + "</pre>"
    )
    return (
        f"<h2>{escape(describe_question(found))}</h2>"
        + write_cards(cards)
        + write_table(list(rows[0]), [list(row.values()) for row in rows], "The best, simulated")
        + write_list([*said, describe_certainty(found), describe_prices(found)])
        + (write_figure(picture, "The frontier: tokens/s for a device against for a user") if picture else "")
        + (write_table(["not among them", "why"], [one.split(": ", 1) for one in others], "Others") if others else "")
        + command
        + f"<p>{escape(describe_search(found))}</p>"
    )


def write_list(lines: Sequence[str]) -> str:
    """Sentences below each other."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines if line) + "</ul>"


def write_simulation(simulation: Simulation, width: int) -> str:
    """Latencies, rates, whether the engine keeps up, and the run over its time."""
    load, most, outcome = simulation.setup.load, simulation.saturation.requests_per_s, simulation.outcome
    cards = []
    for name in LEADING:
        mean = name if name == RATE else f"{name}_mean"
        label = "output of all requests" if name == RATE else f"{METRICS[name].label}, mean"
        cards.append((label, format_cell(name, simulation.find(mean)), write_interval(simulation, mean)))
    rows = [[name, *(format_cell(name, simulation.find(f"{name}_{one}")) for one in STATISTICS)] for name in LATENCIES]
    verdict = "Saturated: it serves" if simulation.saturated else "It keeps up; it serves at most"
    good = f", {simulation.goodput:.3g} requests/s within limits" if simulation.limits else ""
    state = f"{verdict} some {most:.3g} requests/s. {simulation.requests_per_s:.3g} requests/s here{good}; "
    state += f"{simulation.preemptions:,} preemptions."
    lengths = f"{load.prompt_tokens:,} + {load.output_tokens:,} tokens"
    request = f"{load.describe()}, {len(outcome.last_s):,} requests of {lengths}"
    return (
        write_head(answer(simulation.question), request)
        + write_cards(cards)
        + f"<p>{escape(state)}</p>"
        + f"<p>{escape(describe_cost(simulation))}</p>"
        + write_table(["latency", *STATISTICS], rows, "Latencies")
        + write_figure(pictures.draw_run(simulation, width), "The run over time")
    )


SHOW: dict[str, Callable[[Any, int], str]] = {
    "predict": show_prediction,
    "explain": show_explanation,
    "compare": show_comparison,
    "simulate": show_simulation,
    "recommend": show_recommendation,
    "solve": show_solution,
}
