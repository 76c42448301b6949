"""Options that commands on tables share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.options import Verb, count_option, gather, name_option
from simulator.errors import InputError
from simulator.units import Dimension, parse_quantity

if TYPE_CHECKING:
    from calibration.fit.selection import Selection


def parse_seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """A time with its unit, above zero."""
    if value is None:
        return None
    try:
        seconds = parse_quantity(value, Dimension.SECONDS)
    except ValueError as error:
        raise InputError(f"{option.opts[0]}: {error}") from None
    if not seconds > 0:
        raise InputError(f"{option.opts[0]}: {value} is not a time above 0")
    return seconds


def describe_command() -> str:
    """The command line as it was typed."""
    return "roofcast " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])


TABLE_FILE = click.Path(path_type=Path)
TABLE = click.argument("table", type=TABLE_FILE)
reader_option = click.option(
    "--reader", default="tidy", show_default=True, help="Format: tidy, megatron-log or op-table (a folder)."
)


def measured_on_options(command: Verb) -> Verb:
    """Options that say where the rows of a table were measured."""
    stack = click.option("--stack", "-s", required=True, help="Software stack they were measured with: name or YAML.")
    hardware = click.option("--hardware", "-H", required=True, help="Device the rows were measured on: name or YAML.")
    return hardware(stack(command))


def make_selection(given: Mapping[str, Any]) -> Selection:
    """Which rows of a table to use, by the values of options."""
    from calibration.fit.selection import Selection

    return Selection(**given)


selection_options = gather(
    "chosen",
    {
        "models": name_option("--models", text="Only these models."),
        "exclude_models": name_option("--exclude-models", text="All models but these."),
        "output_tokens": count_option("--output-tokens", text="Only rows of these output sizes."),
        "prompt_tokens": count_option("--prompt-tokens", text="Only rows of these prompt sizes."),
    },
    make_selection,
)
