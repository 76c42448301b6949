"""Options that say on what, how and at what price models are compared; a command gets them as an ``AskedSetting``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.options import LAYOUT, PLACE, RATES, Decorator, gather, read_rates
from simulator.errors import InputError

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates
    from simulator.studies.ideal import Setting


@dataclass(frozen=True)
class AskedSetting:
    """What ``setting_options`` and ``place_options`` ask, as it was given."""

    hardware: str
    calibration: str | None
    stack: str | None
    dtype: str | None
    tp: int | None
    pp: int | None
    layouts: str | None
    rates: AskedRates | None = None

    def resolve(self, usual_layouts: str | None = None) -> Setting:
        """The setting; ``usual_layouts`` are taken where the options name no layout of their own.

        Raises:
            InputError: a name or number that is wrong, or a layout given in two ways.
        """
        from simulator.inputs.library import load_hardware
        from simulator.metrics.rates import SHIPPED_RATES
        from simulator.studies.ideal import Setting
        from simulator.studies.names import find_layout
        from simulator.timing.software import choose_software

        sized = bool(self.tp or self.pp)
        if self.layouts is not None and sized:
            raise InputError("--layouts gives the devices of each model; leave out --tp and --pp, or --layouts")
        device = load_hardware(self.hardware)
        profile, stack = choose_software(device, self.stack, self.calibration)
        return Setting(
            device,
            profile or "none",
            stack,
            self.dtype,
            self.tp,
            self.pp,
            find_layout(self.layouts or (None if sized else usual_layouts)),
            self.rates or SHIPPED_RATES,
        )


def list_place_options(default_hardware: str | None) -> dict[str, Decorator]:
    """Options that say on what and how models run, by name."""
    rows = {row.name: row for row in (*PLACE, *LAYOUT)}
    if default_hardware is not None:
        rows["hardware"] = rows["hardware"]._replace(default=default_hardware, required=False)
        rows["dtype"] = rows["dtype"]._replace(text="Matrix products.", default="fp16")  # the paper's
    shared = {name: rows[name].take_one() for name in ("hardware", "calibration", "stack", "dtype")}
    size = click.IntRange(1)
    return shared | {
        "tp": click.option("--tp", type=size, help="Tensor-parallel devices.  [default: fewest that fit]"),
        "pp": click.option("--pp", type=size, help="Pipeline stages.  [default: fewest that fit]"),
        "layouts": click.option("--layouts", help="Devices by model: narayanan-2023 (the paper's), or a YAML file."),
    }


def place_options(default_hardware: str | None = None) -> Decorator:
    """Options that say on what and how models run; the command gets ``place``."""
    return gather("place", list_place_options(default_hardware), lambda given: AskedSetting(**given))


def setting_options(default_hardware: str | None = None) -> Decorator:
    """Options that say on what, how and at what price models are compared; the command gets ``setting``."""
    place = list_place_options(default_hardware)

    def make(given: Mapping[str, Any]) -> AskedSetting:
        return AskedSetting(**{name: given[name] for name in place}, rates=read_rates(given))

    return gather("setting", place | RATES, make)
