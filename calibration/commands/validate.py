"""The command ``roofcast validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, source_options
from simulator.commands.completion import complete_names
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import all_option, check_percent, out_option, output_option
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from calibration.fit.selection import Source


@click.command()
@TABLE
@click.option("-c", "--calibration", required=True, help="Profile: name or YAML.", shell_complete=complete_names)
@click.option("--max-mape", type=float, callback=check_percent, metavar="PERCENT", help="Fail past this mean error.")
@click.option("--record", is_flag=True, help="Write the errors into the profile, for predictions to quote.")
@click.option("--transfer", is_flag=True, help="Judge the profile on another device than its own.")
@source_options
@all_option
@output_option
@out_option
def validate(
    table: Path,
    calibration: str,
    max_mape: float | None,
    transfer: bool,
    record: bool,
    everything: bool,
    output: OutputForm,
    out: Path | None,
    source: Source,
) -> None:
    """Compare predictions with the measurements of a table; exit 1 past the threshold.

    \b
    Example:
      roofcast validate calibration/tables/narayanan-2023-a100-checks.csv \\
        -c a100-sxm-80gb--megatron-lm-2022 --max-mape 5
    """
    from calibration.fit.checks import check_mape, run_validation
    from calibration.fit.report import report_validation

    validation = run_validation(table, source, calibration, transfer, record, warn)
    deliver(report_validation(validation, output, everything), out)
    check_mape(validation, max_mape)
