"""The command ``roofcast calibrate fit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, describe_command, measured_on_options, reader_option, selection_options
from simulator.commands.options import output_option, writing_option
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from calibration.fit.selection import Selection


@click.command()
@TABLE
@measured_on_options
@writing_option("--out", required=True, text="Profile to write.")
@reader_option
@click.option(
    "--requests", type=click.IntRange(1), help="Fit so many rows of requests, those that tell the most.  [default: all]"
)
@click.option(
    "--operators", type=click.IntRange(2), default=200, show_default=True, help="Most rows of a kind of operator."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the choice of operators.")
@click.option("--preferred", is_flag=True, help="The profile stands for its device where no stack is named.")
@selection_options
@output_option
def fit(
    table: Path,
    hardware: str,
    stack: str,
    out: Path,
    reader: str,
    requests: int | None,
    operators: int,
    seed: int,
    preferred: bool,
    output: OutputForm,
    chosen: Selection,
) -> None:
    """Fit a profile to a table of measurements, write it, and print a report.

    \b
    Example:
      roofcast calibrate fit calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --hardware a100-sxm-80gb --stack megatron-lm-2022 --out profile.yaml
    """
    from calibration.fit.from_table import run_fit

    click.echo(
        run_fit(
            table,
            reader,
            hardware,
            stack,
            out,
            chosen,
            requests,
            operators,
            seed,
            preferred,
            output,
            describe_command(),
        )
    )
