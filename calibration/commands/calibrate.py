"""The commands ``roofcast calibrate ...``."""

from __future__ import annotations

import click

from calibration.commands.cross_validate import cross_validate
from calibration.commands.fit import fit
from calibration.commands.plan import plan
from calibration.commands.power import power
from calibration.commands.read import read
from calibration.commands.run import run
from calibration.commands.show import show


@click.group()
def calibrate() -> None:
    """Measure a device and fit a profile to measurements."""


for command in (read, fit, plan, run, show, cross_validate, power):
    calibrate.add_command(command)
