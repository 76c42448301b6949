"""The command ``roofcast denoise``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from calibration.commands.options import TABLE_FILE
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import WRITTEN, out_option, output_option
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
@click.option("--helm", "helm_file", type=WRITTEN, help="Write the one-sided times in HELM's format.")
@output_option
@out_option
def denoise(
    traces: Path,
    reader: str | None,
    model: str | None,
    requested_tokens: int | None,
    prompt_law: Literal["each", "line"] | None,
    seed: int,
    helm_file: Path | None,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Fit overhead, prompt time and time per output token to noisy timings of an API, in two ways.

    As Narayanan et al. 2023 do: regression on the fastest trial of each size. And with noise that only delays, with
    90% intervals. Held-out requests say which describes them better. Requests cut short are left out.

    \b
    Example:
      roofcast denoise calibration/examples/traces.csv
    """
    from calibration.traces.trace_report import report_denoised

    text, files, notes, problems = report_denoised(
        traces, reader, model, requested_tokens, prompt_law, seed, helm_file, output
    )
    for note in notes:
        warn(note)
    if problems:  # a file is written where all of it is right
        if text:
            click.echo(text)
        raise InputError("; ".join(problems))
    deliver(text, out, files)
