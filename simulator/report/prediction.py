"""A prediction as rows and as a breakdown by phase."""

from __future__ import annotations

import textwrap
from typing import Any

from simulator.inputs.deployment import Deployment
from simulator.inputs.what_if import describe
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.metric import ENDS
from simulator.metrics.rate_file import HOUR_S
from simulator.metrics.registry import METRICS, TIMES, list_headed, list_ranked
from simulator.metrics.rows import COUNTS, list_rows
from simulator.prediction import Prediction
from simulator.report.grid import format_grid, format_screen
from simulator.report.output import OutputForm, find_width, format_cell, format_rows, format_table
from simulator.report.rates import list_sources
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import is_compute_bound
from simulator.timing.passes import PassTime
from simulator.units import format_quantity, format_seconds

SCHEMA = "roofcast/prediction/2"
MONEY = ("cost_usd", "usd_per_million_output_tokens")
IN_SENTENCES = {*TIMES, "output_tokens_per_s", *MONEY, "energy_j", "carbon_kg"}  # of one request
LINE = 80  # columns past which no line of an answer goes


def report_prediction(
    prediction: Prediction,
    form: OutputForm,
    measured: dict[str, Any] | None = None,
    operators: bool = False,
    everything: bool = False,
) -> str:
    """The answer in one of the forms; for people that of a single request with its operators if asked for, and of
    several what one screen holds unless everything is asked for."""
    rows = list_rows(prediction)
    if form == "table" and len(rows) == 1:
        return format_prediction(prediction, operators, measured)
    if measured is not None and len(rows) == 1:
        rows = [rows[0] | measured]
    if form in ("table", "md"):
        shown = [{key: row[key] for key in (*list_shown(), *(measured or {}))} for row in rows]
        if form == "table":
            return format_several(prediction, shown, everything)
        return format_rows(shown, form, {})
    sources = list_sources(prediction.question.rates)
    return format_rows(rows, form, {"schema": SCHEMA, "sources": sources, "predictions": rows})


def format_several(prediction: Prediction, rows: list[dict[str, Any]], everything: bool) -> str:
    """Several requests for people, below what was asked."""
    varied = {name for name in COUNTS if len({row[name] for row in rows}) > 1}
    title = "\n".join([describe_place(prediction), wrap(f"basis: {describe_basis(prediction)}", 7)])
    named = {*COUNTS, *(() if all(row["fits"] for row in rows) else ("fits",))}
    return f"{title}\n\n{format_grid(rows, varied) if everything else format_screen(rows, varied, named)}"


def list_shown() -> list[str]:
    """Columns of a table of several requests for people: no sizes, which hardly differ."""
    names = [metric.name for metric in list_headed() if metric.unit != "B"]
    return [*COUNTS, *names, "e2e_s_low", "e2e_s_high", "mfu", "mbu", "basis"]


def list_breakdown(passed: PassTime, prediction: Prediction) -> list[dict[str, Any]]:
    """Where one forward pass spends its time: the device's operators, then the host."""
    device = prediction.question.machine.device
    rows = []
    for operator, count, seconds in passed.operators:
        compute = "compute" if is_compute_bound(operator, device) else "memory"
        rows.append(
            {
                "operator": operator.name,
                "times": int(count),
                "each_s": seconds,
                "total_s": count * seconds,
                "share": count * seconds / passed.seconds,
                "bound": "network" if KINDS[operator.kind].is_message else compute,
            }
        )
    for name, total in (("host, beside the device", passed.host_s), ("host, before and after", passed.serial_s)):
        if total:
            rows.append(
                {
                    "operator": name,
                    "times": 1,
                    "each_s": total,
                    "total_s": total,
                    "share": total / passed.seconds,
                    "bound": "host",
                }
            )
    return rows


def describe_formats(d: Deployment) -> str:
    """The format of arithmetic, and those of weights and cache where they are others."""
    others = (("weights", d.weights_label, d.input_dtype), ("cache", d.cache_dtype, d.wide_dtype))
    return "".join([d.input_dtype, *(f", {what} {name}" for what, name, same in others if name != same)])


def format_prediction(prediction: Prediction, operators: bool, measured: dict[str, Any] | None = None) -> str:
    """One request for people: the answer, its measurement where there is one, and both phases if asked for."""
    lines = [*describe_question(prediction), "", *list_times(prediction)]
    if measured is not None:
        lines.append(
            wrap(
                f"  measured                {format_seconds(measured['measured_e2e_s']):>8}   "
                f"prediction {100 * measured['error']:+.1f}%   [{measured['measured_source']}]",
                26,
            )
        )
    lines += [wrap(line, 26) for line in list_amounts(prediction)]
    return "\n".join([*lines, *(list_operators(prediction) if operators else [])])


def describe_question(prediction: Prediction) -> list[str]:
    """What was asked, and what the answer rests on."""
    question = prediction.question
    workload, deployment = question.work.workload, question.work.deployment
    formats = f"{describe_formats(deployment)} ({deployment.formats_from})"
    tokens = f"{workload.prompt_tokens:.0f} prompt + {workload.output_tokens:.0f} output tokens"
    return [
        describe_place(prediction),
        wrap(f"{tokens}, batch {workload.batch_size:.0f}, {formats}", 2),
        wrap(f"basis: {describe_basis(prediction)}", 7),
    ]


def describe_place(prediction: Prediction) -> str:
    """The model, the devices and the stack."""
    question = prediction.question
    label = f" ({describe(question.changes)})" if question.changes else ""
    where = f"{question.work.deployment.devices} x {question.hardware.name}, {question.work.stack.name}"
    return wrap(f"{question.model.name}{label} on {where}", 2)


def list_times(prediction: Prediction) -> list[str]:
    """The times with their intervals and what they wait for."""
    lines = [f"  time to first token     {write_interval(prediction, 'ttft_s')}   {prediction.prefill_bound}-bound"]
    if prediction.question.work.workload.output_tokens > 1:
        bound = f"{prediction.decode_bound}-bound"
        lines.append(f"  time per output token   {write_interval(prediction, 'tpot_s')}   {bound}")
    return [*lines, f"  whole request           {write_interval(prediction, 'e2e_s')}"]


def list_amounts(prediction: Prediction) -> list[str]:
    """Throughput, utilisation, memory, money and energy, or why they are not known."""
    question, lacks = prediction.question, prediction.lacks
    price, grid, site = question.rates
    decode = "mbu" not in lacks and question.work.workload.output_tokens > 1
    mbu = f"; decode {100 * prediction.mbu:.0f}% of the bandwidth" if decode else ""
    usable = format_quantity(find_usable_bytes(question.hardware, question.work.stack) * prediction.devices, "B")
    weights, cache = (format_quantity(size, "B") for size in (prediction.weights_bytes, prediction.kv_cache_bytes))
    cost = lacks.get("cost_usd")
    if cost is None and price is not None:
        one, million = (format_cell("_usd", prediction.find(name)) for name in MONEY)
        cost = f"{one}; {million} for 1M output tokens ({price.price * HOUR_S:.4g} USD/h a device: {price.id})"
    energy = lacks.get("energy_j")
    if energy is None:
        joules, carbon = format_cell("_j", prediction.energy_j), format_cell("_kg", prediction.carbon_kg)
        energy = f"{joules}, {carbon} CO2e (the boards x PUE {site.pue:g}; grid: {grid.id})"
    return [
        f"  throughput              {prediction.output_tokens_per_s:.4g} output tokens/s",
        f"  utilisation             prefill {100 * prediction.mfu:.0f}% of the peak{mbu}",
        f"  memory                  {weights} weights + {cache} KV cache of {usable} usable; "
        f"{'fits' if prediction.fits else 'does not fit'}",
        f"  cost                    {cost}",
        f"  energy                  {energy}",
        *list_further(prediction),
    ]


def list_further(prediction: Prediction) -> list[str]:
    """Metrics of one request that no other line holds, or why they are not known."""
    lacks = prediction.lacks
    return [
        f"  {metric.label:24}{lacks.get(metric.name) or write_interval(prediction, metric.name)}"
        for metric in list_ranked()
        if metric.name not in IN_SENTENCES
    ]


def list_operators(prediction: Prediction) -> list[str]:
    """Both phases operator by operator, and how host and device share a pass."""
    question = prediction.question
    lines = ["", format_table(list_breakdown(prediction.request.prefill, prediction), "Prefill")]
    if question.work.workload.output_tokens > 1:
        title = "Decode, one output token in the middle of the generation"
        lines += ["", format_table(list_breakdown(prediction.request.decode, prediction), title)]
    if question.work.stack.execution == "eager" and question.profile is not None:
        beside = "The host issues kernels while the device runs them; the slower of the two decides a pass."
        in_turn = "The processor issues kernels and runs them in turn; both times add up."
        lines += ["", in_turn if question.machine.device.kind == "cpu" else beside]
    return lines


def wrap(line: str, indent: int) -> str:
    """A line folded at the width of the terminal, what follows indented."""
    return "\n".join(
        textwrap.wrap(line, min(find_width(), LINE), subsequent_indent=" " * indent, break_long_words=False)
    )


def describe_basis(prediction: Prediction) -> str:
    """What the answer rests on, with the profile's error on measurements that it was not fitted to."""
    profile = prediction.question.profile
    if profile is None:
        return "bound; every efficiency 1, no overhead: a lower bound"
    check = profile.check
    if check is None:
        error = "its error on measurements it was not fitted to is not known"
    else:
        fitted = profile.provenance.models if profile.provenance else ()
        others = "that it was not fitted to" if set(check.models) & set(fitted) else "of models it was not fitted to"
        error = f"mean error {100 * check.mape:.1f}% on {check.rows:,} rows there {others}"
    differs = "".join(f"; {words}" for words in prediction.carried)
    return f"{prediction.basis} ({profile.id}{differs}; {error})"


def write_interval(prediction: Prediction, name: str) -> str:
    """One metric with its 90% interval where it has one."""
    text = f"{format_cell(name, prediction.find(name)):>8}"
    if METRICS[name].follows is None or prediction.intervals is None:
        return text
    low, high = (format_cell(name, prediction.find(name + end)) for end in ENDS)
    return f"{text}   (90%: {low} to {high})"
