"""The command ``roofcast calibrate show``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import complete_names
from simulator.commands.delivery import deliver
from simulator.commands.options import FILE, WRITTEN, all_option, out_option, output_option
from simulator.report.output import OutputForm


@click.command(short_help="a profile: factors, origin, errors")
@click.argument("profile", shell_complete=complete_names)
@click.option("--table", type=FILE, help="Table the profile was fitted to.  [default: beside the profile]")
@click.option(
    "--hardware",
    "-H",
    help="Device of the table: name or YAML.  [default: beside the profile, or by name]",
    shell_complete=complete_names,
)
@click.option("--plot", type=WRITTEN, help="Draw measured against predicted times: a .svg or .png file.")
@all_option
@output_option
@out_option
def show(
    profile: str,
    table: Path | None,
    hardware: str | None,
    plot: Path | None,
    everything: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Show a profile: factors with their errors, where it comes from, and its own check.

    \b
    Example:
      roofcast calibrate show a100-sxm-80gb--megatron-lm-2022
    """
    from calibration.fit.checks import show_profile

    text, files = show_profile(profile, table, hardware, plot, output, everything)
    deliver(text, out, files)
