"""The command ``roofcast plot latency``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.asked import Asked
from simulator.commands.delivery import warn_of_question
from simulator.commands.options import FILE, assume_option, grid_options
from simulator.commands.plot import check_place, deliver_plot, picture_options


@click.command(short_help="times against prompt, output or batch")
@grid_options
@click.option("--measured", type=FILE, help="Tidy table whose matching rows are drawn too.")
@assume_option
@picture_options
def latency(asked: Asked, measured: Path | None, assume_fits: bool, picture: Path | None, terminal: bool) -> None:
    """Draw the three times against the prompt, the output or the batch: whichever has several values.

    \b
    Examples:
      roofcast plot latency -m gptj-6b -H a100-sxm-80gb -n 16 -b 1-32*2 --terminal
      roofcast plot latency -m ai21-j1-large -H a100-sxm-80gb -s megatron-lm-2022 --dtype fp16 -p 512 \\
        -n 2-64*2 -O latency.svg --measured calibration/tables/narayanan-2023-a100-30-rows.csv
    """
    check_place(picture, terminal)
    from simulator.explore.latency_points import find_points
    from simulator.metrics.fit import check_fit
    from simulator.prediction import answer
    from simulator.report.plots import latency as drawn

    counts = {name: sorted(set(values)) for name, values in asked.counts._asdict().items()}
    axis = drawn.choose_axis(counts)
    prediction = answer(asked.with_counts(**counts).resolve())
    if not assume_fits:
        check_fit(prediction)
    found = drawn.find_latency(prediction, axis, [] if measured is None else find_points(measured, prediction, axis))
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(prediction.question)
