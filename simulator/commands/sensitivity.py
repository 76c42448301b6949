"""The command ``roofcast sensitivity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import (
    all_option,
    assume_option,
    load_options,
    out_option,
    output_option,
    rates_options,
    request_options,
)
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@request_options
@click.option(
    "--by",
    metavar="METRIC",
    help="Metric that ranks: ttft_s, cost_usd, energy_j...  [default: e2e_s; tpot_s_mean under load]",
)
@all_option
@load_options
@rates_options
@assume_option
@output_option
@out_option
def sensitivity(
    asked: Asked,
    load: AskedLoad,
    by: str | None,
    everything: bool,
    rates: AskedRates,
    assume_fits: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Say what a time, a cost or an energy depends on: the data sheet, the rates and the factors of the profile.

    Under load the statistic is simulated a step to either side of each input.

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
    if load.is_given:
        from simulator.explore.load_sensitivity import find_load_sensitivity
        from simulator.report.load_questions import report_load_sensitivity

        load.check_batch(asked.counts)
        wanted, options = load.resolve(asked.counts)
        under_load = find_load_sensitivity(question, wanted, by or "tpot_s_mean", options)
        deliver(report_load_sensitivity(under_load, output), out)
        return
    if not assume_fits:
        check_fit(answer(question))
    found = find_sensitivity(question, by or "e2e_s")
    deliver(report_sensitivity(found, output, everything), out)
