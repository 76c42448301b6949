"""The command ``roofcast calibrate cross-validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, source_options
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import all_option, out_option, output_option
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from calibration.fit.selection import Source


@click.command("cross-validate", short_help="the error on each model when the others are fitted")
@TABLE
@source_options
@all_option
@output_option
@out_option
def cross_validate(table: Path, everything: bool, output: OutputForm, out: Path | None, source: Source) -> None:
    """Predict each model of a table from a fit to the others; token options choose the rows that are fitted.

    \b
    Example:
      roofcast calibrate cross-validate calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --hardware a100-sxm-80gb --stack megatron-lm-2022
    """
    from calibration.fit.checks import run_cross_validation
    from calibration.fit.report import report_validation

    deliver(report_validation(run_cross_validation(table, source, warn), output, everything), out)
