"""The command ``roofcast reproduce``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.delivery import deliver, warn
from simulator.commands.options import FILE, check_percent, count_option, name_option, out_option, output_option
from simulator.commands.setting import AskedSetting, setting_options
from simulator.errors import InputError
from simulator.report.output import OutputForm


@click.command()
@click.argument("runtimes", type=FILE)
@name_option("-m", "--model", "models", text="Only these models of the file.")
@count_option("-p", "--prompt-tokens", text="Requests of so many prompt tokens, in place of the parameters.")
@count_option("-n", "--output-tokens", text="Tokens that these requests generate.")
@click.option("--max-mape", type=float, callback=check_percent, metavar="PERCENT", help="Fail past this mean error.")
@setting_options(paper=True)
@output_option
@out_option
def reproduce(
    runtimes: Path,
    models: list[str],
    prompt_tokens: list[int],
    output_tokens: list[int],
    max_mape: float | None,
    output: OutputForm,
    out: Path | None,
    setting: AskedSetting,
) -> None:
    """Put published runtimes in HELM's format beside predictions: seconds by prompt size and per output token.

    Models run on the paper's devices, the layout narayanan-2023, unless the options say otherwise.

    \b
    Examples:
      roofcast reproduce docs/examples/runtimes.json
      roofcast reproduce docs/examples/runtimes.json -p 512 -n 32 --price '4.096 USD/h'
    """
    from simulator.inputs.queries import combine_queries
    from simulator.report.reproduction import report_reproduction
    from simulator.studies.helm_runtimes import API_PROMPTS
    from simulator.studies.names import PAPER_LAYOUT
    from simulator.studies.reproduction import check_error, list_parameters, list_requests, read_entries

    if bool(prompt_tokens) != bool(output_tokens):
        raise InputError("a request needs both --prompt-tokens and --output-tokens")
    entries = read_entries(runtimes, models)
    shared = setting.resolve(PAPER_LAYOUT)
    if prompt_tokens:
        found = list_requests(entries, shared, combine_queries(prompt_tokens, output_tokens))
    else:
        found = list_parameters(entries, shared, API_PROMPTS)
    deliver(report_reproduction(found, output), out)
    others = {row["model"] for row in found.rows if row.get("published_devices") not in (None, row["devices"])}
    if others:
        warn(f"the published times of {', '.join(sorted(others))} were measured on another number of devices")
    check_error(found.rows, max_mape)
