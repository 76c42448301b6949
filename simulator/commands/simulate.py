"""The command ``roofcast simulate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import (
    WRITTEN,
    load_options,
    out_option,
    output_option,
    rates_options,
    simulate_options,
)
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


def parse_request_limits(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Limits that each request is held against, as ``ttft_s:1`` or ``tpot_s:40ms``."""
    from simulator.serving.limits import LIMITED, read_limits

    return read_limits(values, LIMITED)


@click.command()
@simulate_options
@load_options
@rates_options
@click.option(
    "--slo",
    multiple=True,
    callback=parse_request_limits,
    metavar="NAME:SECONDS",
    help="A limit on ttft_s, tpot_s or e2e_s of each request, for goodput. Repeated, all hold.",
)
@click.option("--requests", "requests_out", type=WRITTEN, help="Write a CSV of every request.")
@output_option
@out_option
def simulate(
    asked: Asked,
    load: AskedLoad,
    rates: AskedRates,
    slo: Mapping[str, float],
    requests_out: Path | None,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Simulate a serving engine under load: latencies of requests that come and go, rates, capacity and cost.

    \b
    Examples:
      roofcast simulate -m llama-3.1-8b -H a100-sxm-80gb -s vllm --concurrency 32 -p 1024 -n 256
      roofcast simulate -m llama-3.1-8b -H a100-sxm-80gb -s vllm --request-rate 5 --lengths lognormal:0.8
      roofcast simulate -m llama-3.1-8b -H a100-sxm-80gb -s sglang --concurrency 8 --slo ttft_s:1 -o json
    """
    from simulator.report.simulation import print_requests, report_simulation
    from simulator.serving.simulation import run

    wanted, options = load.resolve(asked.counts)
    question = asked.resolve(rates)
    simulation = run(question, wanted, options, slo, progress=show_progress if sys.stderr.isatty() else None)
    files = {} if requests_out is None else {requests_out: print_requests(simulation)}
    deliver(report_simulation(simulation, output), out, files)
    warn_of_question(question)


def show_progress(done: int) -> None:
    """Say how many requests are done, on one line that is written over."""
    click.echo(f"\r{done:,} requests done", nl=False, err=True)
