"""The commands ``roofcast denoise``, ``helm ...``, ``serving`` and ``estimate-cost``: read arguments, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from simulator.errors import CheckFailed, InputError
from simulator.metrics.commands import make_setting, place_options
from simulator.report.options import (
    FILE,
    count_option,
    deliver,
    name_option,
    out_option,
    output_option,
    warn,
    warn_of_bound,
)
from simulator.report.output import OutputForm

TABLE = click.Path(path_type=Path)


@click.command()
@click.argument("traces", type=TABLE)
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
    from calibration.trace_report import report_denoised

    text, files, notes, problems = report_denoised(path=arguments.pop("traces"), form=output, **arguments)
    for note in notes:
        warn(note)
    if problems:  # a file is written where all of it is right
        if text:
            click.echo(text)
        raise InputError("; ".join(problems))
    deliver(text, out, files)


@click.group()
def helm() -> None:
    """Write, read and check the fitted runtimes that HELM's efficiency metric reads."""


@helm.command()
@name_option("-m", "--model", "models", text="Models, or HELM_NAME=MODEL.")
@place_options("a100-sxm-80gb")
@count_option("-p", "--prompt-tokens", text="Prompt sizes.  [default: the 27 of the paper]")
@count_option("-n", "--output-tokens", text="Output sizes to fit to.  [default: the 10 of the paper]")
@click.option("--out", type=FILE, help="Write to a file, whole or not at all.")
def export(
    models: list[str], prompt_tokens: list[int], output_tokens: list[int], out: Path | None, **place: Any
) -> None:
    """Predict inference_idealized_runtimes.json for any models and device, without a GPU.

    Predicted requests are fitted as the paper fits measured ones. The file has no place for what it rests on, which is
    said on stderr.

    \b
    Example:
      roofcast helm export -m gptj-6b -m ai21-j1-large -p 1,512,1024
    """
    from calibration.trace_report import report_export
    from simulator.metrics.helm_runtimes import PROFILED_OUTPUTS, PROFILED_PROMPTS

    if not models:
        raise InputError("helm export needs a model: -m NAME, as often as you like")
    sizes = (prompt_tokens or PROFILED_PROMPTS, output_tokens or PROFILED_OUTPUTS)
    text, note, basis = report_export(models, make_setting(**place), *sizes)
    deliver(text, out)
    warn(note)
    warn_of_bound(basis, place["calibration"], place["hardware"])


@helm.command("import")
@click.argument("runtimes", type=TABLE)
@name_option("-m", "--model", text="Only these names of the file.")
@place_options("a100-sxm-80gb")
@click.option("--all-sizes", is_flag=True, help="Print all prompt sizes.  [default: 1, 256, 512, 1024 and 1536]")
@click.option("--table", type=FILE, help="Write the prompt times as a table for 'roofcast validate'.")
@output_option
@out_option
def import_runtimes(
    runtimes: Path,
    model: list[str],
    all_sizes: bool,
    table: Path | None,
    output: OutputForm,
    out: Path | None,
    **place: Any,
) -> None:
    """Print the runtimes of such a file beside Roofcast's prediction, HELM's names on the paper's devices.

    \b
    Example:
      roofcast helm import calibration/examples/idealized.json
    """
    from calibration.trace_report import report_import

    text, files, basis = report_import(runtimes, model, make_setting(**place), all_sizes, table, output)
    deliver(text, out, files)
    warn_of_bound(basis, place["calibration"], place["hardware"])


@helm.command()
@click.argument("table", type=TABLE)
@click.option("--against", type=TABLE, help="Published runtimes to compare with; exit 1 where one differs.")
@click.option("--helm", "helm_file", type=FILE, help="Write the runtimes in HELM's format.")
@output_option
@out_option
def fit(table: Path, against: Path | None, helm_file: Path | None, output: OutputForm, out: Path | None) -> None:
    """Fit each model of a table of measured requests as the paper does, rounding as it rounds.

    \b
    Example:
      roofcast helm fit calibration/tables/narayanan-2023-a100-30-rows.csv
    """
    from calibration.trace_report import report_paper_fit

    text, files, problem = report_paper_fit(table, against, helm_file, output)
    deliver(text, out, {} if problem else files)
    if problem:
        raise CheckFailed(problem)


@click.command()
@click.argument("scenarios", type=TABLE)
@click.option("--denoised", type=TABLE, required=True, help="HELM's file of denoised runtimes.")
@click.option("--idealized", type=TABLE, help="HELM's file of idealized runtimes.  [default: the table's column]")
@output_option
@out_option
def serving(scenarios: Path, denoised: Path, idealized: Path | None, output: OutputForm, out: Path | None) -> None:
    """Say how much of an API's speed is the model and how much its serving: raw, denoised, idealized runtime.

    \b
    Example:
      roofcast serving calibration/examples/scenarios.csv --denoised calibration/examples/denoised.json \\
        --idealized calibration/examples/idealized.json
    """
    from calibration.trace_report import report_serving

    text, left_out = report_serving(scenarios, denoised, idealized, output)
    deliver(text, out)
    if left_out:
        warn(f"{left_out} rows without a model or token counts are left out")


@click.command("estimate-cost")
@click.argument("queries", type=TABLE)
@click.option("--runtimes", type=TABLE, required=True, help="HELM's file of idealized runtimes.")
@click.option("-m", "--model", "name", required=True, help="Name in that file.")
@click.option("--query-model", help="Only queries whose column 'model' says so.")
@click.option("--per-row", type=float, default=1.0, show_default=True, help="Queries a row without a count stands for.")
@click.option("--profiled", type=TABLE, required=True, help="Tidy table with the model's profile.")
@click.option("--calibrated", type=TABLE, help="Tidy table that calibrated the device; adds the price of predicting.")
@click.option("--devices", type=click.IntRange(1), help="Of the model.  [default: as the paper ran it]")
@click.option("--device-price", required=True, help="Of one device: '5.12 USD/h'.")
@click.option("--input-price", required=True, help="Of prompt tokens through the API: '1.50 USD/1M tokens'.")
@click.option("--output-price", required=True, help="Of output tokens through the API: '0.002 USD/1000 tokens'.")
@click.option("--trials", type=click.IntRange(1), default=50, show_default=True, help="Runs of a request on devices.")
@click.option("--api-trials", type=click.IntRange(1), default=10, show_default=True, help="Of a request, by the API.")
@output_option
@out_option
def estimate_cost(
    device_price: str, input_price: str, output_price: str, output: OutputForm, out: Path | None, **arguments: Any
) -> None:
    """Price estimating the runtimes of a query set against measuring every query.

    \b
    Example:
      roofcast estimate-cost calibration/examples/scenarios.csv --query-model ai21_j1-large --per-row 1000 \\
        --runtimes calibration/examples/idealized.json --model ai21/j1-large \\
        --profiled calibration/tables/narayanan-2023-a100-30-rows.csv \\
        --device-price "5.12 USD/h" --input-price "1.50 USD/1M tokens" --output-price "2 USD/1M tokens"
    """
    from calibration.trace_report import report_costs

    prices = {"device": device_price, "input": input_price, "output": output_price}
    deliver(report_costs(prices=prices, form=output, **arguments), out)
