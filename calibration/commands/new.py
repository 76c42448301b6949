"""The command ``roofcast hardware new``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.options import writing_option


@click.command(short_help="begin the sheet of a device, real or imagined")
@click.option("--device", default="cuda", show_default=True, help="Device in front of you: cuda or cuda:N.")
@click.option("--like", metavar="NAME", help="A device that ships, whose numbers to begin with, in place of that.")
@writing_option("--out", required=True, text="Data sheet to write.")
def new(device: str, like: str | None, out: Path) -> None:
    """Begin a data sheet: of a device that does not exist with the numbers of one that does (--like), or of the device
    in front of you with what its driver reports.

    \b
    Examples:
      roofcast hardware new --like h100 --out my-chip.yaml
      roofcast hardware new --device cuda --out my-gpu.yaml
    """
    if like is not None:
        from calibration.measure.own_sheet import write_own_sheet

        click.echo(write_own_sheet(like, out))
        return
    from calibration.measure.new_sheet import write_new_sheet

    click.echo(write_new_sheet(device, out))
