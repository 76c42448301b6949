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

PAPER_HARDWARE, PAPER_STACK, PAPER_DTYPE = "a100-sxm-80gb", "megatron-lm-2022", "fp16"


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
    usual_stack: str | None = None  # where neither a stack nor a profile is named

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
        named = self.stack or (self.usual_stack if self.calibration is None else None)
        profile, stack = choose_software(device, named, self.calibration)
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


def list_place_options(paper: bool) -> dict[str, Decorator]:
    """Options that say on what and how models run, by name."""
    rows = {row.name: row for row in (*PLACE, *LAYOUT)}
    if paper:
        rows["hardware"] = rows["hardware"]._replace(default=PAPER_HARDWARE, required=False)
        rows["dtype"] = rows["dtype"]._replace(text="Matrix products.", default=PAPER_DTYPE)
        text = f"Software stack.  [default: the profile's, else {PAPER_STACK}]"
        rows["stack"] = rows["stack"]._replace(text=text)
    shared = {name: rows[name].take_one() for name in ("hardware", "calibration", "stack", "dtype")}
    size = click.IntRange(1)
    return shared | {
        "tp": click.option("--tp", type=size, help="Tensor-parallel devices.  [default: fewest that fit]"),
        "pp": click.option("--pp", type=size, help="Pipeline stages.  [default: fewest that fit]"),
        "layouts": click.option("--layouts", help="Devices by model: narayanan-2023 (the paper's), or a YAML file."),
    }


def place_options(paper: bool = False) -> Decorator:
    """Options that say on what and how models run, the paper's where none is given; the command gets ``place``."""
    usual = PAPER_STACK if paper else None
    return gather("place", list_place_options(paper), lambda given: AskedSetting(**given, usual_stack=usual))


def setting_options(paper: bool = False) -> Decorator:
    """Options that say on what, how and at what price models are compared; the command gets ``setting``."""
    place, usual = list_place_options(paper), PAPER_STACK if paper else None

    def make(given: Mapping[str, Any]) -> AskedSetting:
        return AskedSetting(**{name: given[name] for name in place}, rates=read_rates(given), usual_stack=usual)

    return gather("setting", place | RATES, make)
