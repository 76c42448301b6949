"""The command ``roofcast ideal``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.delivery import deliver
from simulator.commands.options import FILE, count_option, name_option, out_option, output_option
from simulator.commands.setting import AskedSetting, setting_options
from simulator.errors import InputError
from simulator.report.output import OutputForm


@click.command()
@name_option("-m", "--model", "models", text="Names, YAML files, config.json or their folders.")
@setting_options()
@click.option("--queries", type=FILE, help="CSV, one query a row: prompt_tokens, output_tokens.")
@count_option("-p", "--prompt-tokens", text="Tokens of the prompt, in place of a file.")
@count_option("-n", "--output-tokens", text="Tokens to generate, the first included.")
@output_option
@out_option
def ideal(
    models: list[str],
    queries: Path | None,
    prompt_tokens: list[int],
    output_tokens: list[int],
    output: OutputForm,
    out: Path | None,
    setting: AskedSetting,
) -> None:
    """Compare models on a set of queries: idealized runtime, cost, energy and carbon.

    \b
    Examples:
      roofcast ideal -m gptj-6b -m openai-davinci -H a100-sxm-80gb -p 512 -n 32
      roofcast ideal -m bloom -H a100-sxm-80gb -p 128,512 -n 64 --price '2.50 USD/h' --grid france --pue 1.1
    """
    from simulator.inputs.queries import combine_queries, read_queries
    from simulator.report.ideal import report_ideal
    from simulator.studies.names import resolve_model

    if (queries is None) == (not prompt_tokens or not output_tokens) or (queries and (prompt_tokens or output_tokens)):
        raise InputError("ideal needs either --queries FILE, or --prompt-tokens and --output-tokens")
    if not models:
        raise InputError("ideal needs a model: -m NAME, as often as you like")
    asked = combine_queries(prompt_tokens, output_tokens) if queries is None else read_queries(queries)
    specs = {spec.id: spec for spec in map(resolve_model, models)}
    deliver(report_ideal(list(specs.values()), asked, setting.resolve(), output), out)
