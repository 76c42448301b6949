"""The command ``roofcast sweep``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.asked import AskedLoad, Choices
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import (
    WRITE_ANSWER,
    Written,
    all_option,
    load_options,
    name_option,
    output_option,
    rates_options,
    slo_option,
    sweep_options,
    writing_option,
)
from simulator.errors import InputError
from simulator.prediction import describe_build
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.explore.sweep.plan import Plan
    from simulator.explore.sweep.sweep import Progress
    from simulator.metrics.rates import AskedRates

SCHEMA = "roofcast/sweep/1"
MOST_ROWS = 100_000  # that are answered other than into .csv and .parquet


@click.command()
@sweep_options
@load_options
@click.option("--where", multiple=True, metavar="COLUMN<NUMBER", help="Keep rows that compare so; repeatable.")
@slo_option
@click.option(
    "--pareto", metavar="COLUMN,COLUMN", help="Keep the frontier: best of each; min: and max: before it say otherwise."
)
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN descends.")
@click.option("--top", type=click.IntRange(1), help="Keep the first rows.")
@name_option("--columns", text="Further columns: energy_j, carbon_kg, decode_bound, mfu, e2e_s_low...")
@rates_options
@click.option("--assume-fits", is_flag=True, help="Keep points that do not fit in memory.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--dask", metavar="ADDRESS", help="Scheduler of a Dask cluster that does the work.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted sweep into --out.")
@all_option
@output_option
@writing_option("--out", text=WRITE_ANSWER, kind=Written(lambda path: True))  # the writer looks at its columns
def sweep(
    asked: Choices,
    load: AskedLoad,
    where: tuple[str, ...],
    slo: tuple[str, ...],
    pareto: str | None,
    sort: str | None,
    top: int | None,
    columns: list[str],
    rates: AskedRates,
    assume_fits: bool,
    jobs: int,
    dask: str | None,
    resume: bool,
    everything: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Predict a whole grid: every option takes lists and ranges.

    Points come in the order of the options from -m to --kv-dtype, then --set-hw, --set, -p, -n and -b; the last varies
    fastest. Impossible points and those that do not fit are left out and counted. Columns are in SI units: what varies,
    times, throughput, devices, memory and the cost of a request. A file .csv or .parquet is written in chunks, sorted
    or not: memory stays flat, and FILE.parts takes about 100 bytes of disk a row on the way, twice that for --sort.

    With --concurrency or --request-rate, which take lists too and vary fastest, every point is simulated; columns are
    those of simulate, and limits are on its statistics: --slo ttft_s_p99:1.

    \b
    Examples:
      roofcast sweep -m llama-3-8b -H a100-sxm-80gb,h100-sxm-80gb -b 1-64*2 --slo tpot_s:0.03 --sort cost_usd
      roofcast sweep -m llama-3-8b -H h100-sxm-80gb --set-hw memory.bandwidth=1TB/s..8TB/s*1.2 --dtype bf16
      roofcast sweep -m llama-3-8b -H h100-sxm-80gb -p 128-8192+64 -b 1-64+1 --out grid.parquet --jobs 2
      roofcast sweep -m llama-3.1-8b -H h100,h200 --tp 1,2 --concurrency 1-64*2 --out load.csv --jobs 2
    """
    from simulator.explore.sweep.sweep import describe_lacks, describe_left_out, make_plan, run_plan
    from simulator.explore.sweep.writers import STREAMED, write_sweep

    kept: dict[str, Any] = {
        "where": where, "slo": slo, "pareto": pareto, "sort": sort, "top": top, "columns": columns, "rates": rates,
    }  # fmt: skip
    if load.is_given:
        from simulator.explore.sweep.load import make_load_plan

        if assume_fits:
            raise InputError("a load runs in the memory that there is; leave out --assume-fits")
        loads = [one.resolve(asked.counts) for one in load.list_several()]
        plan: Plan = make_load_plan(asked.make_space(), [one for one, _ in loads], loads[0][1], **kept)
    else:
        plan = make_plan(asked.make_space(), assume_fits=assume_fits, **kept)
    form = "" if out is None else out.suffix.lower()
    if out is not None and form in STREAMED:
        if output not in ("table", form[1:]):
            raise InputError(f"{out}: is written as {form[1:]}, not as {output}")
        try:
            with show_progress() as progress:
                written = write_sweep(plan, out, resume, jobs, dask, progress)
        except (KeyboardInterrupt, OSError):
            warn(f"what is done stands in {out}.parts; --resume goes on with it")
            raise
        rows, left_out = written.rows, written.left_out
    else:
        if resume:
            raise InputError("--resume needs --out FILE.csv or FILE.parquet")
        with show_progress() as progress:
            result = run_plan(plan, jobs, dask, progress, MOST_ROWS)
        rows, left_out = len(result), dict(result.left_out)
        asked_for = [*columns, sort or "", *(pareto or "").split(",")]
        names = None if everything or out is not None else {name.rpartition(":")[2].strip("-") for name in asked_for}
        deliver(report_rows(result.to_dicts(), plan, left_out, output, names), out)
    for line in [*describe_left_out(left_out, plan.points), *describe_lacks(plan), *list_notes(plan)]:
        warn(line)
    if not rows:
        warn("no point meets the conditions")


def report_rows(
    rows: list[dict[str, Any]],
    plan: Plan,
    left_out: dict[str, int],
    form: OutputForm,
    names: set[str] | None = None,
) -> str:
    """Rows in one of the forms; for people, numbers of a data sheet with their units.

    ``names``: metrics that a table on one screen has beside the leading ones; None: all of them, and all rows.
    """
    from simulator.explore.datasheet import find_unit
    from simulator.report.grid import format_grid, format_screen
    from simulator.report.output import format_rows
    from simulator.units import format_quantity

    document = {"schema": SCHEMA, "points": plan.points, "left_out": left_out, "rows": rows}
    if form in ("table", "md"):
        units = {axis.name: find_unit(axis.name) for axis in plan.space.hardware_fields}
        rows = [
            row | {key: format_quantity(row[key], unit) for key, unit in units.items() if key in row and unit != "1"}
            for row in rows
        ]
    if form == "table":
        varied = {axis.name for axis in plan.axes if len(axis.values) > 1}
        return format_grid(rows, varied) if names is None or not rows else format_screen(rows, varied, names)
    return format_rows(rows, form, document)


def list_notes(plan: Plan) -> list[str]:
    """What a person should know of the models and of the prices."""
    from simulator.metrics.prices import describe_mix

    stacks = {one.stack.id: one.stack for devices in plan.software for rows in devices for row in rows for one in row}
    notes = [model.note for model in plan.models if model.note is not None]
    if not plan.space.architecture_fields:
        built = (describe_build(model, stack) for model in plan.models for stack in stacks.values())
        notes += [note for note in built if note is not None]
    devices = [next(one for one in rows if not isinstance(one, str)).id for rows in plan.devices]
    mixed = describe_mix({name: one.price for name, one in zip(devices, plan.rates, strict=True)})
    return notes if mixed is None else [*notes, mixed]


@contextmanager
def show_progress() -> Iterator[Progress | None]:
    """A progress bar on stderr where it is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(
        BarColumn(), MofNCompleteColumn(), "points", TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("sweep")
        yield lambda done, points: bar.update(task, completed=done, total=points)
