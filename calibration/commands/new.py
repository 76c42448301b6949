"""The command ``roofcast hardware new``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.options import writing_option


@click.command()
@click.option("--device", default="cuda", show_default=True, help="Device in front of you: cuda or cuda:N.")
@writing_option("--out", required=True, text="Data sheet to write.")
def new(device: str, out: Path) -> None:
    """Write down what the driver reports of the device in front of you, as the beginning of its data sheet.

    \b
    Example:
      roofcast hardware new --device cuda --out my-gpu.yaml
    """
    from calibration.measure.new_sheet import write_new_sheet

    click.echo(write_new_sheet(device, out))
