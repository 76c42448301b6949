"""The command ``roofcast calibrate run``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from calibration.commands.options import describe_command, parse_seconds
from simulator.commands.delivery import warn
from simulator.commands.options import output_option, writing_option
from simulator.report.output import OutputForm

DEFAULT_BUDGETS_S = {"quick": 60.0, "full": 600.0}


@click.command()
@click.option("--device", default="cpu", show_default=True, help="Device in front of you: cpu, cuda or cuda:N.")
@click.option("--suite", type=click.Choice(["quick", "full"]), default="quick", show_default=True, help="Benchmarks.")
@click.option("--time-budget", callback=parse_seconds, help="Time for all of it.  [default: 60s, full: 10min]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order of the benchmarks.")
@click.option("--hardware", "-H", help="Data sheet: name or YAML.  [default: found by name; measured for a CPU]")
@click.option("--stack", "-s", default="pytorch-eager", show_default=True, help="Software stack: name or YAML.")
@click.option("--resume", is_flag=True, help="Go on with the table of an earlier run.")
@click.option("--dry-run", is_flag=True, help="List the benchmarks and stop.")
@writing_option("--out", required=True, text="Profile to write; the table goes beside it as .csv.")
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
    from calibration.measure.session import run_benchmarks

    budget_s = time_budget or DEFAULT_BUDGETS_S[suite]
    command = describe_command()
    click.echo(
        run_benchmarks(device, suite, budget_s, seed, hardware, stack, out, resume, dry_run, output, command, warn)
    )
