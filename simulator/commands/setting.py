"""Options that say on what, how and at what price models are compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from simulator.commands.options import Command
from simulator.errors import InputError


def add_options(options: list[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """A decorator that adds options in their order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def place_options(default_hardware: str | None = None) -> Callable[[Command], Command]:
    """Options that say on what and how models run."""
    need = {"required": True} if default_hardware is None else {"default": default_hardware, "show_default": True}
    return add_options(
        [
            click.option("-H", "--hardware", **need, help="Name or YAML of the device."),
            click.option(
                "-c", "--calibration", help="Profile: name, YAML, or 'none' for the bound.  [default: the device's own]"
            ),
            click.option("-s", "--stack", help="Software stack.  [default: the profile's; ideal for a bound]"),
            click.option("--dtype", default="fp16", show_default=True, help="Arithmetic: fp16, bf16 or fp32."),
            click.option("--tp", type=click.IntRange(1), help="Tensor-parallel devices.  [default: fewest that fit]"),
            click.option("--pp", type=click.IntRange(1), help="Pipeline stages.  [default: fewest that fit]"),
            click.option("--layouts", help="Devices by model: narayanan-2023 (the paper's), or a YAML file."),
        ]
    )


def setting_options(default_hardware: str | None = None) -> Callable[[Command], Command]:
    """Options that say on what, how and at what price models are compared."""
    priced = add_options(
        [
            click.option("--price", help="Of one device: '4.096 USD/h', or a price that ships by name."),
            click.option("--grid", help="Electricity: '400 gCO2e/kWh', or a grid that ships.  [default: world]"),
            click.option("--pue", help="Power usage effectiveness: a number, or a site.  [default: average]"),
        ]
    )
    place = place_options(default_hardware)
    return lambda command: place(priced(command))


def make_setting(
    hardware: str,
    calibration: str | None,
    stack: str | None,
    layouts: str | None,
    tp: int | None,
    pp: int | None,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    dtype: str = "fp16",
    usual_layouts: str | None = None,
) -> Any:
    """Resolve the options that ``setting_options`` and ``place_options`` add.

    ``usual_layouts`` are taken where the options name no layout of their own.

    Raises:
        InputError: a name or number that is wrong, or a layout given in two ways.
    """
    from simulator.inputs.library import load_hardware
    from simulator.metrics.rates import find_grid, find_price, find_site
    from simulator.prediction import choose_profile
    from simulator.studies.ideal import Setting
    from simulator.studies.names import find_layout

    if layouts is not None and (tp or pp):
        raise InputError("--layouts gives the devices of each model; leave out --tp and --pp, or --layouts")
    device = load_hardware(hardware)
    return Setting(
        device,
        choose_profile(hardware, stack, calibration),
        stack,
        dtype,
        tp,
        pp,
        find_layout(layouts or (None if tp or pp else usual_layouts)),
        find_price(device.id, price),
        find_grid(grid),
        find_site(pue),
    )
