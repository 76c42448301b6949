"""The command ``roofcast denoise``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.options import TABLE_FILE
from simulator.commands.options import FILE, deliver, out_option, output_option, warn
from simulator.errors import InputError
from simulator.report.output import OutputForm


@click.command()
@click.argument("traces", type=TABLE_FILE)
@click.option("--reader", help="Format: csv, vllm or aiperf.  [default: by ending: .csv, .json, .jsonl]")
@click.option("--model", help="Name of the model, where the file has none.")
@click.option(
    "--requested-tokens", type=click.IntRange(1), help="Output tokens asked for, where the file does not say."
)
@click.option(
    "--prompt-law",
    type=click.Choice(["each", "line"]),
    help="A time for each prompt size, or all on a line.  [default: each, where there are requests enough]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random draws.")
@click.option("--helm", "helm_file", type=FILE, help="Write the one-sided times in HELM's format.")
@output_option
@out_option
def denoise(output: OutputForm, out: Path | None, **arguments: Any) -> None:
    """Fit overhead, prompt time and time per output token to noisy timings of an API, in two ways.

    As Narayanan et al. 2023 do: regression on the fastest trial of each size. And with noise that only delays, with
    90% intervals. Held-out requests say which describes them better. Requests cut short are left out.

    \b
    Example:
      roofcast denoise calibration/examples/traces.csv
    """
    from calibration.traces.trace_report import report_denoised

    text, files, notes, problems = report_denoised(path=arguments.pop("traces"), form=output, **arguments)
    for note in notes:
        warn(note)
    if problems:  # a file is written where all of it is right
        if text:
            click.echo(text)
        raise InputError("; ".join(problems))
    deliver(text, out, files)
