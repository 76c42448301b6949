"""The command ``roofcast predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Asked
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import all_option, assume_option, grid_options, out_option, output_option, rates_options
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@grid_options
@rates_options
@click.option(
    "--measured", type=click.Path(path_type=Path), help="Tidy table whose matching row is printed beside the answer."
)
@click.option("--operators", is_flag=True, help="Both phases operator by operator, below the answer.")
@assume_option
@all_option
@output_option
@out_option
def predict(
    asked: Asked,
    rates: AskedRates,
    measured: Path | None,
    operators: bool,
    assume_fits: bool,
    everything: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Predict time to first token, time per output token and the whole request, its cost and its energy.

    \b
    Examples:
      roofcast predict -m llama-3.1-70b -H h100 --tp 4 -p 1024 -n 256 -b 8
      roofcast predict -m gptj-6b -H a100-sxm-80gb -p 128-1024*2 -n 1,64 -o csv
      roofcast predict -m gptj-6b -H a100-sxm-80gb -c none --set-hw memory.bandwidth="4.8 TB/s"
    """
    from simulator.metrics.fit import check_fit
    from simulator.prediction import answer
    from simulator.report.prediction import report_prediction

    prediction = answer(asked.resolve(rates))
    if not assume_fits:
        check_fit(prediction)
    found = None
    if measured is not None:
        from simulator.explore.matching import match_measurement

        found = match_measurement(measured, prediction)
    deliver(report_prediction(prediction, output, found, operators, everything), out)
    warn_of_question(prediction.question)
