"""The command ``roofcast compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import AskedLoad, Choices
from simulator.commands.delivery import deliver, warn, warn_of_combinations
from simulator.commands.options import (
    all_option,
    choice_options,
    load_options,
    out_option,
    output_option,
    rates_options,
)
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@choice_options
@load_options
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes, for loads.")
@rates_options
@click.option(
    "--baseline", type=click.IntRange(1), default=1, show_default=True, help="Number of the row that ratios are to."
)
@all_option
@output_option
@out_option
def compare(
    asked: Choices,
    load: AskedLoad,
    jobs: int,
    rates: AskedRates,
    baseline: int,
    everything: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Set models, devices, layouts and stacks side by side: times, throughput, memory, cost, energy, and ratios.

    Every option takes a list; every combination that is possible is a row. Ratios are a row's value over the
    baseline's, with 90% intervals in which the errors that both share cancel.

    With --concurrency or --request-rate, which take lists too, every combination is simulated.

    \b
    Examples:
      roofcast compare -m gptj-6b -m bloom-7b1 -H a100-sxm-80gb -p 512 -n 32
      roofcast compare -m openai-davinci -H a100-sxm-80gb --tp 8 --pp 1,2 -n 64 --baseline 2 -o json
    """
    if load.is_given:
        from simulator.explore.load_compare import compare_loads
        from simulator.report.load_questions import report_load_comparison

        found = compare_loads(asked.list_combinations(load, rates), jobs)
        deliver(report_load_comparison(found, output), out)
        for reason in found.impossible:
            warn(f"left out: {reason}")
        return
    from simulator.report.comparison import report_comparison

    comparison = asked.compare(rates, baseline)
    deliver(report_comparison(comparison, output, everything), out)
    unfit = sum(not prediction.fits for prediction in comparison.predictions)
    if unfit:
        warn(f"{unfit} of {len(comparison.predictions)} rows do not fit in memory; their times are as if they did")
    warn_of_combinations(comparison, asked)
