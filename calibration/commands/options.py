"""Options that commands on tables share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import complete_names
from simulator.commands.options import Decorator, count_option, gather, name_option
from simulator.errors import InputError
from simulator.units import Dimension, parse_quantity

if TYPE_CHECKING:
    from calibration.fit.selection import Source


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
CHOOSING = {
    "models": name_option("--models", text="Only these models."),
    "exclude_models": name_option("--exclude-models", text="All models but these."),
    "exclude_operators": name_option(
        "--exclude-operators", text="No operators with these patterns in their text or formats: window, kv_dtype=fp8."
    ),
    "prompt_tokens": count_option("-p", "--prompt-tokens", text="Only these prompt sizes; one: where none is stated."),
    "output_tokens": count_option("-n", "--output-tokens", text="Only these output sizes; one: where none is stated."),
}


def tell(*flags: str, text: str, count: bool = False) -> Decorator:
    """An option that says what a file may leave out."""
    if count:
        return click.option(*flags, type=click.IntRange(1), help=text)
    return click.option(*flags, help=text, shell_complete=complete_names)


def flag(name: str, text: str) -> Decorator:
    """An option that says something of all rows."""
    return click.option(name, is_flag=True, help=text)


def make_source(given: Mapping[str, Any]) -> Source:
    """How to read a file, what it leaves out and which of its rows to use, by the values of options."""
    from calibration.fit.selection import Selection, Source
    from calibration.readers.runs import Told

    stated: dict[str, Any] = {name: given[name] for name in TELLING}
    for name in ("prompt_tokens", "output_tokens"):
        stated[name] = given[name][0] if len(given[name]) == 1 else None
    told = Told(**stated)
    return Source(given["reader"], told, Selection(**{name: given[name] for name in CHOOSING}))


TELLING = {
    "model": tell("-m", "--model", text="Model, where the file does not name one that ships."),
    "hardware": tell("-H", "--hardware", text="Device they were measured on: name or YAML.  [default: the file's]"),
    "stack": tell("-s", "--stack", text="Software stack: name or YAML.  [default: the file's]"),
    "tp": tell("--tp", text="Tensor-parallel devices, where the file does not say.  [default: 1]", count=True),
    "pp": tell("--pp", text="Pipeline stages, where the file does not say.  [default: 1]", count=True),
    "dtype": tell("--dtype", text="Format of products.  [default: the file's, or the checkpoint's by its name]"),
    "weight_dtype": tell("--weight-dtype", text="Format of weights.  [default: as --dtype's]"),
    "kv_dtype": tell("--kv-dtype", text="Format of the KV cache.  [default: the file's, else --dtype]"),
    "batch_size": tell("-b", "--batch-size", text="Batch size, where the file does not say.", count=True),
    "concurrency": tell("--concurrency", text="Requests in flight, where the file does not say.", count=True),
    "identical_prompts": flag("--identical-prompts", text="All sequences of a batch are the same prompt."),
}
READER = {"reader": tell("--reader", text="Tool that wrote it: vllm-serve, llama-bench...  [default: recognised]")}
source_options = gather("source", READER | TELLING | CHOOSING, make_source)
