"""The commands ``roofcast calibrate ...`` and ``roofcast validate``: read arguments, call one function, print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import click

from simulator.errors import InputError
from simulator.report.options import (
    FILE,
    Command,
    check_percent,
    count_option,
    deliver,
    name_option,
    out_option,
    output_option,
    warn,
)
from simulator.report.output import OutputForm
from simulator.units import Dimension, parse_quantity

DEFAULT_BUDGETS_S = {"quick": 60.0, "full": 600.0}


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


@click.group()
def calibrate() -> None:
    """Measure a device and fit a profile to measurements."""


TABLE = click.argument("table", type=click.Path(path_type=Path))
reader_option = click.option(
    "--reader", default="tidy", show_default=True, help="Format: tidy, megatron-log or op-table (a folder)."
)


def measured_on_options(command: Command) -> Command:
    """Options that say where the rows of a table were measured."""
    stack = click.option("--stack", "-s", required=True, help="Software stack they were measured with: name or YAML.")
    hardware = click.option("--hardware", "-H", required=True, help="Device the rows were measured on: name or YAML.")
    return hardware(stack(command))


def selection_options(command: Command) -> Command:
    """Options that choose rows of a table."""
    for option in (
        count_option("--prompt-tokens", text="Only rows of these prompt sizes."),
        count_option("--output-tokens", text="Only rows of these output sizes."),
        name_option("--exclude-models", text="All models but these."),
        name_option("--models", text="Only these models."),
    ):
        command = option(command)
    return command


@calibrate.command()
@TABLE
@measured_on_options
@click.option("--out", required=True, type=FILE, help="Profile to write.")
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
    **chosen: Any,
) -> None:
    """Fit a profile to a table of measurements, write it, and print a report.

    \b
    Example:
      roofcast calibrate fit calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --hardware a100-sxm-80gb --stack megatron-lm-2022 --out profile.yaml
    """
    from calibration.commands import run_fit

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


@calibrate.command()
@click.option("--device", default="cpu", show_default=True, help="Device in front of you: cpu, cuda or cuda:N.")
@click.option("--suite", type=click.Choice(["quick", "full"]), default="quick", show_default=True, help="Benchmarks.")
@click.option("--time-budget", callback=parse_seconds, help="Time for all of it.  [default: 60s, full: 10min]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order of the benchmarks.")
@click.option("--hardware", "-H", help="Data sheet: name or YAML.  [default: found by name; measured for a CPU]")
@click.option("--stack", "-s", default="pytorch-eager", show_default=True, help="Software stack: name or YAML.")
@click.option("--resume", is_flag=True, help="Go on with the table of an earlier run.")
@click.option("--dry-run", is_flag=True, help="List the benchmarks and stop.")
@click.option("--out", required=True, type=FILE, help="Profile to write; the table goes beside it as .csv.")
@output_option
def run(
    device: str,
    suite: Literal["quick", "full"],
    time_budget: float | None,
    seed: int,
    hardware: str | None,
    stack: str,
    resume: bool,
    dry_run: bool,
    out: Path,
    output: OutputForm,
) -> None:
    """Measure the device in front of you, fit a profile, and check it on decoders that were not fitted.

    \b
    Example:
      roofcast calibrate run --device cpu --dry-run --out my-cpu.yaml
    """
    from calibration.commands import run_benchmarks

    budget_s = time_budget or DEFAULT_BUDGETS_S[suite]
    command = describe_command()
    click.echo(
        run_benchmarks(device, suite, budget_s, seed, hardware, stack, out, resume, dry_run, output, command, warn)
    )


@calibrate.command()
@click.argument("profile")
@click.option("--table", type=FILE, help="Table the profile was fitted to.  [default: beside the profile]")
@click.option("--hardware", "-H", help="Device of the table: name or YAML.  [default: beside the profile, or by name]")
@click.option("--plot", type=FILE, help="Draw measured against predicted times: a .svg or .png file.")
@output_option
@out_option
def show(
    profile: str, table: Path | None, hardware: str | None, plot: Path | None, output: OutputForm, out: Path | None
) -> None:
    """Show a profile: factors with their errors, where it comes from, and its own check.

    \b
    Example:
      roofcast calibrate show a100-sxm-80gb--megatron-lm-2022
    """
    from calibration.commands import show_profile

    deliver(show_profile(profile, table, hardware, plot, output), out)


@calibrate.command("cross-validate")
@TABLE
@measured_on_options
@reader_option
@selection_options
@output_option
@out_option
def cross_validate(
    table: Path, hardware: str, stack: str, reader: str, output: OutputForm, out: Path | None, **chosen: Any
) -> None:
    """Predict each model of a table from a fit to the others; token options choose the rows that are fitted.

    \b
    Example:
      roofcast calibrate cross-validate calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --hardware a100-sxm-80gb --stack megatron-lm-2022
    """
    from calibration.commands import run_cross_validation
    from calibration.report import report_validation

    deliver(report_validation(run_cross_validation(table, reader, hardware, stack, chosen), output), out)


@click.command()
@TABLE
@click.option("-c", "--calibration", required=True, help="Profile: name or YAML.")
@click.option("--max-mape", type=float, callback=check_percent, metavar="PERCENT", help="Fail past this mean error.")
@click.option("--record", is_flag=True, help="Write the errors into the profile, for predictions to quote.")
@click.option("--transfer", is_flag=True, help="Judge the profile on another device than its own.")
@click.option("--hardware", "-H", help="Only rows of this device: name or YAML.")
@click.option("--stack", "-s", help="Only rows of this stack: name or YAML.")
@reader_option
@selection_options
@output_option
@out_option
def validate(
    table: Path,
    calibration: str,
    max_mape: float | None,
    transfer: bool,
    record: bool,
    hardware: str | None,
    stack: str | None,
    reader: str,
    output: OutputForm,
    out: Path | None,
    **chosen: Any,
) -> None:
    """Compare predictions with the measurements of a table; exit 1 past the threshold.

    \b
    Example:
      roofcast validate calibration/tables/narayanan-2023-a100-checks.csv \\
        -c a100-sxm-80gb--megatron-lm-2022 --max-mape 5
    """
    from calibration.commands import check_mape, run_validation
    from calibration.report import report_validation

    validation = run_validation(table, reader, calibration, hardware, stack, transfer, record, chosen)
    deliver(report_validation(validation, output), out)
    check_mape(validation, max_mape)
