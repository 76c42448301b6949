"""The commands ``roofcast helm ...``."""

from __future__ import annotations

from pathlib import Path

import click

from calibration.commands.options import TABLE_FILE
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import WRITTEN, count_option, name_option, out_option, output_option
from simulator.commands.setting import AskedSetting, place_options
from simulator.errors import CheckFailed, InputError
from simulator.report.output import OutputForm


@click.group()
def helm() -> None:
    """Write, read and check the fitted runtimes that HELM's efficiency metric reads."""


@helm.command(short_help="predicted runtimes in the form that HELM reads")
@name_option("-m", "--model", "models", text="Models, or HELM_NAME=MODEL.")
@place_options(paper=True)
@count_option("-p", "--prompt-tokens", text="Prompt sizes.  [default: the 27 of the paper]")
@count_option("-n", "--output-tokens", text="Output sizes to fit to.  [default: the 10 of the paper]")
@out_option
def export(
    models: list[str], prompt_tokens: list[int], output_tokens: list[int], out: Path | None, place: AskedSetting
) -> None:
    """Predict inference_idealized_runtimes.json for any models and device, without a GPU.

    Predicted requests are fitted as the paper fits measured ones. The file has no place for what it rests on, which is
    said on stderr.

    \b
    Example:
      roofcast helm export -m gptj-6b -m ai21-j1-large -p 1,512,1024
    """
    from calibration.traces.trace_report import report_export
    from simulator.studies.helm_runtimes import PROFILED_OUTPUTS, PROFILED_PROMPTS

    if not models:
        raise InputError("helm export needs a model: -m NAME, as often as you like")
    sizes = (prompt_tokens or PROFILED_PROMPTS, output_tokens or PROFILED_OUTPUTS)
    text, note = report_export(models, place.resolve(), *sizes)
    deliver(text, out)
    warn(note)


@helm.command("import", short_help="such a file beside predictions")
@click.argument("runtimes", type=TABLE_FILE)
@name_option("-m", "--model", text="Only these names of the file.")
@place_options(paper=True)
@click.option("--all-sizes", is_flag=True, help="Print all prompt sizes.  [default: 1, 256, 512, 1024 and 1536]")
@click.option("--table", type=WRITTEN, help="Write the prompt times as a table for 'roofcast validate'.")
@output_option
@out_option
def import_runtimes(
    runtimes: Path,
    model: list[str],
    all_sizes: bool,
    table: Path | None,
    output: OutputForm,
    out: Path | None,
    place: AskedSetting,
) -> None:
    """Print the runtimes of such a file beside Roofcast's prediction, HELM's names on the paper's devices.

    \b
    Example:
      roofcast helm import calibration/examples/idealized.json
    """
    from calibration.traces.trace_report import report_import

    text, files = report_import(runtimes, model, place.resolve(), all_sizes, table, output)
    deliver(text, out, files)


@helm.command(short_help="the paper's own fit of measured requests")
@click.argument("table", type=TABLE_FILE)
@click.option("--against", type=TABLE_FILE, help="Published runtimes to compare with; exit 1 where one differs.")
@click.option("--helm", "helm_file", type=WRITTEN, help="Write the runtimes in HELM's format.")
@output_option
@out_option
def fit(table: Path, against: Path | None, helm_file: Path | None, output: OutputForm, out: Path | None) -> None:
    """Fit each model of a table of measured requests as the paper does, rounding as it rounds.

    \b
    Example:
      roofcast helm fit calibration/tables/narayanan-2023-a100-30-rows.csv
    """
    from calibration.traces.trace_report import report_paper_fit

    text, files, problem = report_paper_fit(table, against, helm_file, output)
    deliver(text, out, {} if problem else files)
    if problem:
        raise CheckFailed(problem)
