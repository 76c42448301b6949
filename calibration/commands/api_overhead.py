"""The command ``roofcast api-overhead``."""

from __future__ import annotations

from pathlib import Path

import click

from calibration.commands.options import TABLE_FILE
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import out_option, output_option
from simulator.report.output import OutputForm


@click.command()
@click.argument("scenarios", type=TABLE_FILE)
@click.option("--denoised", type=TABLE_FILE, required=True, help="HELM's file of denoised runtimes.")
@click.option("--idealized", type=TABLE_FILE, help="HELM's file of idealized runtimes.  [default: the table's column]")
@output_option
@out_option
def api_overhead(scenarios: Path, denoised: Path, idealized: Path | None, output: OutputForm, out: Path | None) -> None:
    """Say how much of an API's speed is the model and how much its serving: raw, denoised, idealized runtime.

    \b
    Example:
      roofcast api-overhead calibration/examples/scenarios.csv --denoised calibration/examples/denoised.json \\
        --idealized calibration/examples/idealized.json
    """
    from calibration.traces.trace_report import report_api_overhead

    text, left_out = report_api_overhead(scenarios, denoised, idealized, output)
    deliver(text, out)
    if left_out:
        warn(f"{left_out} rows without a model or token counts are left out")
