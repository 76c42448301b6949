"""The command ``roofcast compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Choices
from simulator.commands.delivery import deliver, warn, warn_of_combinations
from simulator.commands.options import choice_options, out_option, output_option, rates_options
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@choice_options
@rates_options
@click.option(
    "--baseline", type=click.IntRange(1), default=1, show_default=True, help="Number of the row that ratios are to."
)
@output_option
@out_option
def compare(asked: Choices, rates: AskedRates, baseline: int, output: OutputForm, out: Path | None) -> None:
    """Set models, devices, layouts and stacks side by side: times, throughput, memory, cost, energy, and ratios.

    Every option takes a list; every combination that is possible is a row. Ratios are a row's value over the
    baseline's, with 90% intervals in which the errors that both share cancel.

    \b
    Examples:
      roofcast compare -m gptj-6b -m bloom-7b1 -H a100-sxm-80gb -p 512 -n 32
      roofcast compare -m openai-davinci -H a100-sxm-80gb --tp 8 --pp 1,2 -n 64 --baseline 2 -o json
    """
    from simulator.report.comparison import report_comparison

    comparison = asked.compare(rates, baseline)
    deliver(report_comparison(comparison, output), out)
    unfit = sum(not prediction.fits for prediction in comparison.predictions)
    if unfit:
        warn(f"{unfit} of {len(comparison.predictions)} rows do not fit in memory; their times are as if they did")
    warn_of_combinations(comparison, asked)
