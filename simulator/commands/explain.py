"""The command ``roofcast explain``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import deliver, warn, warn_of_question
from simulator.commands.options import assume_option, load_options, out_option, output_option, request_options
from simulator.report.output import OutputForm


@click.command()
@request_options
@click.option(
    "--by",
    type=click.Choice(["all", "waterfall", "resource", "layer", "operator"]),
    help="A whole view, or all.  [default: what is largest, on one screen; in csv the waterfall, in json all]",
)
@load_options
@assume_option
@output_option
@out_option
def explain(
    asked: Asked, load: AskedLoad, by: str | None, assume_fits: bool, output: OutputForm, out: Path | None
) -> None:
    """Say where the time goes: from the bound to the prediction, by resource, layer kind and operator. Under load, of
    the first token and of every other one: queue, own prompt, weights, cache, host, and the prompts of others.

    \b
    Examples:
      roofcast explain -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
      roofcast explain -m llama-3-8b -H a100-sxm-80gb -s vllm-0.6 --by waterfall -o csv
      roofcast explain -m llama-3.1-8b -H h100-sxm-80gb -s vllm --concurrency 32
    """
    from simulator.explore.explain import explain as find_explanation
    from simulator.metrics.fit import check_fit
    from simulator.report.explanation import report_explanation

    question = asked.resolve()
    if load.is_given:
        from simulator.explore.load_explain import LoadExplanation
        from simulator.report.load_questions import report_load_explanation
        from simulator.serving.simulation import run

        load.check_batch(asked.counts)
        wanted, options = load.resolve(asked.counts)
        deliver(report_load_explanation(LoadExplanation(run(question, wanted, options)), output), out)
        warn_of_question(question)
        return
    explanation = find_explanation(question)
    if not assume_fits:
        check_fit(explanation.prediction)
    deliver(report_explanation(explanation, by, output), out)
    warn_of_question(question)
    if not explanation.prediction.fits:
        warn("the model does not fit in memory so; the times are as if it did")
