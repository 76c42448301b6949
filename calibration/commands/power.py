"""The command ``roofcast calibrate power``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.delivery import deliver
from simulator.commands.options import out_option, output_option
from simulator.report.output import OutputForm


@click.command(short_help="shares of board power, from kernels with watts")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--hardware", "-H", default="h200-sxm-141gb", show_default=True, help="Device the rows were measured on.")
@click.option("--rows", type=click.IntRange(10), default=200, show_default=True, help="Random rows to fit.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of rows.")
@click.option("--repeats", type=click.IntRange(1), default=1, show_default=True, help="Fits, each with the next seed.")
@output_option
@out_option
def power(
    folder: Path, hardware: str, rows: int, seed: int, repeats: int, output: OutputForm, out: Path | None
) -> None:
    """Fit the shares of board power to matrix products with their mean power, and show the error on the rest.

    \b
    Example:
      roofcast calibrate power calibration/tables/h200-power-sample --rows 50
    """
    from calibration.fit.power import read_power, report_power
    from simulator.inputs.library import load_hardware

    table = read_power(folder, load_hardware(hardware))
    deliver(report_power(table, range(seed, seed + repeats), rows, output), out)
