"""The command ``roofcast estimate-cost``."""

from __future__ import annotations

from pathlib import Path

import click

from calibration.commands.options import TABLE_FILE
from simulator.commands.delivery import deliver
from simulator.commands.options import out_option, output_option
from simulator.report.output import OutputForm


@click.command("estimate-cost")
@click.argument("queries", type=TABLE_FILE)
@click.option("--runtimes", type=TABLE_FILE, required=True, help="HELM's file of idealized runtimes.")
@click.option("-m", "--model", "name", required=True, help="Name in that file.")
@click.option("--query-model", help="Only queries whose column 'model' says so.")
@click.option("--per-row", type=float, default=1.0, show_default=True, help="Queries a row without a count stands for.")
@click.option("--profiled", type=TABLE_FILE, required=True, help="Tidy table with the model's profile.")
@click.option("--calibrated", type=TABLE_FILE, help="Tidy table that calibrated the device; prices predicting too.")
@click.option("--devices", type=click.IntRange(1), help="Of the model.  [default: as the paper ran it]")
@click.option("--device-price", required=True, help="Of one device: '5.12 USD/h'.")
@click.option("--input-price", required=True, help="Of prompt tokens through the API: '1.50 USD/1M tokens'.")
@click.option("--output-price", required=True, help="Of output tokens through the API: '0.002 USD/1000 tokens'.")
@click.option("--trials", type=click.IntRange(1), default=50, show_default=True, help="Runs of a request on devices.")
@click.option("--api-trials", type=click.IntRange(1), default=10, show_default=True, help="Of a request, by the API.")
@output_option
@out_option
def estimate_cost(
    queries: Path,
    runtimes: Path,
    name: str,
    query_model: str | None,
    per_row: float,
    profiled: Path,
    calibrated: Path | None,
    devices: int | None,
    device_price: str,
    input_price: str,
    output_price: str,
    trials: int,
    api_trials: int,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Price estimating the runtimes of a query set against measuring every query.

    \b
    Example:
      roofcast estimate-cost calibration/examples/scenarios.csv --query-model ai21_j1-large --per-row 1000 \\
        --runtimes calibration/examples/idealized.json --model ai21/j1-large \\
        --profiled calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --device-price "5.12 USD/h" --input-price "1.50 USD/1M tokens" --output-price "2 USD/1M tokens"
    """
    from calibration.traces.trace_report import report_costs

    prices = {"device": device_price, "input": input_price, "output": output_price}
    models = (runtimes, name)
    tables = (profiled, calibrated)
    text = report_costs(queries, query_model, per_row, *models, *tables, devices, prices, trials, api_trials, output)
    deliver(text, out)
