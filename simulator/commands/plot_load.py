"""The command ``roofcast plot load``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import warn_of_question
from simulator.commands.options import load_options, simulate_options
from simulator.commands.plot import check_place, deliver_plot, picture_options
from simulator.errors import InputError

MOST_STEPS = 50


@click.command(short_help="an engine over time, or latency against load")
@simulate_options
@load_options
@picture_options
def load(asked: Asked, load: AskedLoad, picture: Path | None, terminal: bool) -> None:
    """Draw a simulated engine over time; with several loads (--concurrency 1,4,16) latency against load.

    \b
    Examples:
      roofcast plot load -m llama-3.1-8b -H a100-sxm-80gb -s vllm --request-rate 5 --terminal
      roofcast plot load -m llama-3.1-8b -H a100-sxm-80gb -s vllm --concurrency 1-32*2 -O ladder.svg
    """
    check_place(picture, terminal)
    from simulator.report.plots import load as drawn
    from simulator.serving.simulation import run

    question = asked.resolve()
    loads = load.list_several()
    if len(loads) > MOST_STEPS:
        raise InputError(f"plot load draws up to {MOST_STEPS} loads; these are {len(loads)}")
    steps = [run(question, *one.resolve(asked.counts)) for one in loads]
    found = drawn.find_run(steps[0]) if len(steps) == 1 else drawn.find_ladder(steps)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(question)
