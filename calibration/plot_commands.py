"""The commands ``roofcast plot latency`` and ``roofcast plot residuals``: predictions beside measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.command_line import TABLE, reader_option, selection_options
from simulator.explore.plot_command import assume_option, check_place, deliver_plot, picture_options
from simulator.report.options import (
    FILE,
    ask_grid,
    grid_options,
    warn_of_question,
)


@click.command()
@grid_options
@click.option("--measured", type=FILE, help="Tidy table whose matching rows are drawn too.")
@assume_option
@picture_options
def latency(measured: Path | None, assume_fits: bool, picture: Path | None, terminal: bool, **asked: Any) -> None:
    """Draw the three times against the prompt, the output or the batch: whichever has several values.

    \b
    Examples:
      roofcast plot latency -m gptj-6b -H a100-sxm-80gb -n 16 -b 1-32*2 --terminal
      roofcast plot latency -m ai21-j1-large -H a100-sxm-80gb -p 512 -n 2-64*2 -O latency.svg \\
        --measured calibration/tables/narayanan-2023-a100-30-rows.csv
    """
    check_place(picture, terminal)
    from calibration.latency_points import find_points
    from simulator.report.plots import latency as drawn
    from simulator.report.prediction import check_fit

    counts = {name: sorted(set(asked[name])) for name in drawn.AXES}
    axis = drawn.choose_axis(counts)
    prediction = ask_grid(**asked | counts)
    if not assume_fits:
        check_fit(prediction)
    found = drawn.find_latency(prediction, axis, [] if measured is None else find_points(measured, prediction, axis))
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(prediction.question, asked)


@click.command()
@TABLE
@click.option("-c", "--calibration", required=True, help="Profile: name or YAML.")
@click.option("--transfer", is_flag=True, help="Judge the profile on another device than its own.")
@click.option("--hardware", "-H", help="Only rows of this device: name or YAML.")
@click.option("--stack", "-s", help="Only rows of this stack: name or YAML.")
@reader_option
@selection_options
@picture_options
def residuals(
    table: Path,
    calibration: str,
    transfer: bool,
    hardware: str | None,
    stack: str | None,
    reader: str,
    picture: Path | None,
    terminal: bool,
    **chosen: Any,
) -> None:
    """Draw the errors of a profile on a table of measurements: by size, model and phase.

    \b
    Examples:
      roofcast plot residuals calibration/tables/narayanan-2023-a100-checks.csv \\
        -c a100-sxm-80gb--megatron-lm-2022 --terminal
      roofcast plot residuals calibration/tables/narayanan-2023-a100-30-rows.csv \\
        -c a100-sxm-80gb--megatron-lm-2022 -O residuals.svg
    """
    check_place(picture, terminal)
    from calibration import residual_plot as drawn
    from calibration.commands import run_validation
    from simulator.timing.efficiency import load_profile

    validation = run_validation(table, reader, calibration, hardware, stack, transfer, False, chosen)
    found = drawn.find_residuals(validation, load_profile(calibration), table.name)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
