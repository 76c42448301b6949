"""The command ``roofcast explain``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.asked import Asked
from simulator.commands.delivery import deliver, warn, warn_of_question
from simulator.commands.options import assume_option, out_option, output_option, request_options
from simulator.report.output import OutputForm


@click.command()
@request_options
@click.option(
    "--by",
    type=click.Choice(["all", "waterfall", "resource", "layer", "operator"]),
    default="all",
    show_default=True,
    help="View; csv holds one, the waterfall where none is named.",
)
@assume_option
@output_option
@out_option
def explain(asked: Asked, by: str, assume_fits: bool, output: OutputForm, out: Path | None) -> None:
    """Say where the time goes: from the bound to the prediction, by resource, layer kind and operator.

    \b
    Examples:
      roofcast explain -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
      roofcast explain -m llama-3-8b -H a100-sxm-80gb -s vllm-0.6 --by waterfall -o csv
    """
    from simulator.explore.explain import explain as find_explanation
    from simulator.metrics.fit import check_fit
    from simulator.report.explanation import report_explanation

    question = asked.resolve()
    explanation = find_explanation(question)
    if not assume_fits:
        check_fit(explanation.prediction)
    deliver(report_explanation(explanation, by, output), out)
    warn_of_question(question)
    if not explanation.prediction.fits:
        warn("the model does not fit in memory so; the times are as if it did")
