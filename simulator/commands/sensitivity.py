"""The command ``roofcast sensitivity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Asked
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import assume_option, out_option, output_option, rates_options, request_options
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@request_options
@click.option(
    "--by",
    metavar="METRIC",
    default="e2e_s",
    show_default=True,
    help="Metric that ranks: ttft_s, cost_usd, energy_j...",
)
@rates_options
@assume_option
@output_option
@out_option
def sensitivity(
    asked: Asked, by: str, rates: AskedRates, assume_fits: bool, output: OutputForm, out: Path | None
) -> None:
    """Say what a time, a cost or an energy depends on: the data sheet, the rates and the factors of the profile.

    An elasticity of -0.8 is 0.8% less time for 1% more of the input, by exact derivatives. For factors also how much
    of the interval would go were they known exactly: what to measure better.

    \b
    Examples:
      roofcast sensitivity -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
      roofcast sensitivity -m llama-3-8b -H h100-sxm-80gb -c none --by tpot_s -o json
    """
    from simulator.explore.sensitivity import find_sensitivity
    from simulator.metrics.fit import check_fit
    from simulator.prediction import answer
    from simulator.report.sensitivity import report_sensitivity

    question = asked.resolve(rates)
    warn_of_question(question)
    if not assume_fits:
        check_fit(answer(question))
    found = find_sensitivity(question, by)
    deliver(report_sensitivity(found, output), out)
