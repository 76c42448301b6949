"""The command ``roofcast footprint``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.asked import Asked
from simulator.commands.delivery import deliver, warn_of_question
from simulator.commands.options import out_option, output_option, request_options
from simulator.errors import ImpossibleError
from simulator.report.output import OutputForm


@click.command()
@request_options
@output_option
@out_option
def footprint(asked: Asked, output: OutputForm, out: Path | None) -> None:
    """Say what a model takes of each device, and the largest batch, longest context and fewest devices.

    Exit 3 where it does not fit.

    \b
    Example:
      roofcast footprint -m llama-3-70b -H h100-sxm-80gb --tp 4 --dtype bf16 -p 4096 -b 16
    """
    from simulator.report.footprint import report_footprint

    question = asked.resolve()
    text, fits = report_footprint(question, output)
    deliver(text, out)
    warn_of_question(question)
    if not fits:
        raise ImpossibleError(f"{question.model_label} does not fit on {question.hardware.id} so")
