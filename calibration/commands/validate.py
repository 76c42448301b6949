"""The command ``roofcast validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, reader_option, selection_options
from simulator.commands.delivery import deliver
from simulator.commands.options import check_percent, out_option, output_option
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from calibration.fit.selection import Selection


@click.command()
@TABLE
@click.option("-c", "--calibration", required=True, help="Profile: name or YAML.")
@click.option("--max-mape", type=float, callback=check_percent, metavar="PERCENT", help="Fail past this mean error.")
@click.option("--record", is_flag=True, help="Write the errors into the profile, for predictions to quote.")
@click.option("--transfer", is_flag=True, help="Judge the profile on another device than its own.")
@click.option("--hardware", "-H", help="Only rows of this device: name or YAML.")
@click.option("--stack", "-s", help="Only rows of this stack: name or YAML.")
@reader_option
@selection_options
@output_option
@out_option
def validate(
    table: Path,
    calibration: str,
    max_mape: float | None,
    transfer: bool,
    record: bool,
    hardware: str | None,
    stack: str | None,
    reader: str,
    output: OutputForm,
    out: Path | None,
    chosen: Selection,
) -> None:
    """Compare predictions with the measurements of a table; exit 1 past the threshold.

    \b
    Example:
      roofcast validate calibration/tables/narayanan-2023-a100-checks.csv \\
        -c a100-sxm-80gb--megatron-lm-2022 --max-mape 5
    """
    from calibration.fit.checks import check_mape, run_validation
    from calibration.fit.report import report_validation

    validation = run_validation(table, reader, calibration, hardware, stack, transfer, record, chosen)
    deliver(report_validation(validation, output), out)
    check_mape(validation, max_mape)
