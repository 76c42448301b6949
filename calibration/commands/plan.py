"""The command ``roofcast calibrate plan``."""

from __future__ import annotations

from pathlib import Path

import click

from calibration.commands.options import parse_seconds
from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import load_options, out_option, output_option, simulate_options
from simulator.report.output import OutputForm

LONGEST_S = 300.0


@click.command(short_help="the measurements that would narrow an answer most")
@simulate_options
@load_options
@click.option("--measurements", type=click.IntRange(1, 12), default=4, show_default=True, help="How many to plan.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(["ttft_s", "tpot_s"]),
    help="What is to be known better.  [default: both]",
)
@click.option("--time-budget", callback=parse_seconds, help="Longest that one may take.  [default: 5min]")
@output_option
@out_option
def plan(
    asked: Asked,
    load: AskedLoad,
    measurements: int,
    metrics: tuple[str, ...],
    time_budget: float | None,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Name the measurements that would narrow the answer to a question most, as commands of the engine's benchmark.

    \b
    Example:
      roofcast calibrate plan -m llama-3.1-70b -H h100-sxm-80gb --tp 4 -s vllm \\
        --concurrency 32 -p 2048 -n 512
    """
    from calibration.fit.plan import check_targets, plan_measurements
    from calibration.fit.plan_report import report_plan

    wanted, _ = load.resolve(asked.counts)
    question = asked.resolve()
    found = plan_measurements(
        question, wanted, asked.model, measurements, check_targets(metrics), time_budget or LONGEST_S
    )
    deliver(report_plan(found, output), out)
    warn_of_question(question)
