"""The command ``roofcast calibrate fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, TABLE_FILE, describe_command, source_options
from simulator.commands.delivery import warn
from simulator.commands.options import all_option, output_option, writing_option
from simulator.errors import CheckFailed
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from calibration.fit.selection import Source


@click.command(short_help="a profile from a table of measurements")
@TABLE
@writing_option("--out", required=True, text="Profile to write.")
@click.option(
    "--requests", type=click.IntRange(1), help="Fit so many requests or runs of load: the most telling.  [default: all]"
)
@click.option(
    "--operators", type=click.IntRange(2), default=200, show_default=True, help="Most rows of a kind of operator."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of operators.")
@click.option("--also", type=TABLE_FILE, multiple=True, help="More tables, of which the rows count too.")
@source_options
@all_option
@output_option
def fit(
    table: Path,
    out: Path,
    requests: int | None,
    operators: int,
    seed: int,
    also: tuple[Path, ...],
    everything: bool,
    output: OutputForm,
    source: Source,
) -> None:
    """Fit a profile to measurements, write it, and print a report.

    TABLE is a tidy table, the result of a benchmark tool, or a folder of its results.

    \b
    Example:
      roofcast calibrate fit calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --hardware a100-sxm-80gb --stack megatron-lm-2022 --out profile.yaml
    """
    from calibration.fit.from_table import describe_refusal, run_fit

    source = source._replace(also=also)
    fitted = run_fit(table, source, out, requests, operators, seed, output, describe_command(), warn, everything)
    click.echo(fitted.report)
    refusal = describe_refusal(out, fitted.verdict)
    if refusal:
        raise CheckFailed(refusal)
