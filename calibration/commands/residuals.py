"""The command ``roofcast plot residuals``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, source_options
from simulator.commands.completion import complete_names
from simulator.commands.delivery import warn
from simulator.commands.plot import check_place, deliver_plot, picture_options

if TYPE_CHECKING:
    from calibration.fit.selection import Source


@click.command(short_help="errors of a profile on a table")
@TABLE
@click.option("-c", "--calibration", required=True, help="Profile: name or YAML.", shell_complete=complete_names)
@click.option("--transfer", is_flag=True, help="Judge the profile on another device than its own.")
@source_options
@picture_options
def residuals(
    table: Path,
    calibration: str,
    transfer: bool,
    picture: Path | None,
    terminal: bool,
    source: Source,
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
    from calibration.fit import residual_plot as drawn
    from calibration.fit.checks import run_validation
    from simulator.timing.profile import load_profile

    validation = run_validation(table, source, calibration, transfer, False, warn)
    found = drawn.find_residuals(validation, load_profile(calibration), table.name)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
