"""The commands ``roofcast ideal``, ``tradeoff`` and ``reproduce``: read arguments, call one function, print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    warn_of_bound,
)
from simulator.report.output import OutputForm

ENOUGH = 0.95  # Kendall's tau of rankings that are called the same
AGAINST = ("idealized_runtime", "cost", "energy", "flops", "parameters")


def add_options(options: list[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """A decorator that adds options in their order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def place_options(default_hardware: str | None = None) -> Callable[[Command], Command]:
    """Options that say on what and how models run."""
    need = {"required": True} if default_hardware is None else {"default": default_hardware, "show_default": True}
    return add_options(
        [
            click.option("-H", "--hardware", **need, help="Name or YAML of the device."),
            click.option(
                "-c", "--calibration", help="Profile: name, YAML, or 'none' for the bound.  [default: the device's own]"
            ),
            click.option("-s", "--stack", help="Software stack.  [default: the profile's; ideal for a bound]"),
            click.option("--dtype", default="fp16", show_default=True, help="Arithmetic: fp16, bf16 or fp32."),
            click.option("--tp", type=click.IntRange(1), help="Tensor-parallel devices.  [default: fewest that fit]"),
            click.option("--pp", type=click.IntRange(1), help="Pipeline stages.  [default: fewest that fit]"),
            click.option("--layouts", help="Devices by model: narayanan-2023 (the paper's), or a YAML file."),
        ]
    )


def setting_options(default_hardware: str | None = None) -> Callable[[Command], Command]:
    """Options that say on what, how and at what price models are compared."""
    priced = add_options(
        [
            click.option("--price", help="Of one device: '4.096 USD/h', or a price that ships by name."),
            click.option("--grid", help="Electricity: '400 gCO2e/kWh', or a grid that ships.  [default: world]"),
            click.option("--pue", help="Power usage effectiveness: a number, or a site.  [default: average]"),
        ]
    )
    place = place_options(default_hardware)
    return lambda command: place(priced(command))


def make_setting(
    hardware: str,
    calibration: str | None,
    stack: str | None,
    layouts: str | None,
    tp: int | None,
    pp: int | None,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    dtype: str = "fp16",
    usual_layouts: str | None = None,
) -> Any:
    """Resolve the options that ``setting_options`` and ``place_options`` add.

    ``usual_layouts`` are taken where the options name no layout of their own.

    Raises:
        InputError: a name or number that is wrong, or a layout given in two ways.
    """
    from simulator.inputs.library import load_hardware
    from simulator.metrics.names import find_layout
    from simulator.metrics.rates import find_grid, find_price, find_site
    from simulator.prediction import choose_profile
    from simulator.report.ideal import Setting

    if layouts is not None and (tp or pp):
        raise InputError("--layouts gives the devices of each model; leave out --tp and --pp, or --layouts")
    device = load_hardware(hardware)
    return Setting(
        device,
        choose_profile(hardware, stack, calibration),
        stack,
        dtype,
        tp,
        pp,
        find_layout(layouts or (None if tp or pp else usual_layouts)),
        find_price(device.id, price),
        find_grid(grid),
        find_site(pue),
    )


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
    **setting: Any,
) -> None:
    """Compare models on a set of queries: idealized runtime, cost, energy and carbon.

    \b
    Examples:
      roofcast ideal -m gptj-6b -m openai-davinci -H a100-sxm-80gb -p 512 -n 32
      roofcast ideal -m bloom -H a100-sxm-80gb -p 128,512 -n 64 --price '2.50 USD/h' --grid france --pue 1.1
    """
    from simulator.inputs.queries import combine_queries, read_queries
    from simulator.metrics.names import resolve_model
    from simulator.report.ideal import report_ideal

    if (queries is None) == (not prompt_tokens or not output_tokens) or (queries and (prompt_tokens or output_tokens)):
        raise InputError("ideal needs either --queries FILE, or --prompt-tokens and --output-tokens")
    if not models:
        raise InputError("ideal needs a model: -m NAME, as often as you like")
    asked = combine_queries(prompt_tokens, output_tokens) if queries is None else read_queries(queries)
    specs = {spec.id: spec for spec in map(resolve_model, models)}
    text, basis = report_ideal(list(specs.values()), asked, make_setting(**setting), output)
    deliver(text, out)
    warn_of_bound(basis, setting["calibration"], setting["hardware"])


@click.command()
@click.argument("table", type=FILE)
@click.option("--metric", default="exact_match", show_default=True, help="Column that says how capable a model is.")
@click.option("--against", type=click.Choice(AGAINST), default="idealized_runtime", show_default=True, help="Cost.")
@click.option("--compare", metavar="COST|COLUMN|FILE.json", help="Another cost, to compare the rankings with.")
@click.option("--runtimes", type=FILE, help="Published runtimes (HELM's JSON) in place of predicted ones.")
@click.option("--scenario", "scenarios", multiple=True, metavar="TEXT", help="Only this, or all that begin so.")
@click.option(
    "--by",
    type=click.Choice(["rows", "scenarios", "models", "agreement"]),
    default="rows",
    show_default=True,
    help="View.",
)
@click.option("--min-tau", type=click.FloatRange(-1, 1), help="Fail where the compared rankings agree less.")
@click.option(
    "--min-models", type=click.IntRange(2), default=5, show_default=True, help="Scenarios that --min-tau judges."
)
@click.option("--plot", type=FILE, help="Draw accuracy against cost: a .svg or .png file.")
@setting_options("a100-sxm-80gb")
@output_option
@out_option
def tradeoff(
    table: Path,
    metric: str,
    against: str,
    compare: str | None,
    runtimes: Path | None,
    scenarios: tuple[str, ...],
    by: Any,
    min_tau: float | None,
    min_models: int,
    plot: Path | None,
    output: OutputForm,
    out: Path | None,
    **options: Any,
) -> None:
    """Set what models can do against what they cost: Pareto frontier, ranks, and how far two rankings agree.

    \b
    Examples:
      roofcast tradeoff docs/examples/scores.csv --against cost
      roofcast tradeoff docs/examples/scores.csv --against flops --compare energy --by scenarios
    """
    from simulator.inputs.scores import read_scores
    from simulator.report.tradeoff import find_tradeoff
    from simulator.report.tradeoff_plot import draw_tradeoff
    from simulator.report.tradeoff_views import check_agreement, report_tradeoff

    if compare is None and (min_tau is not None or by == "agreement"):
        raise InputError("an agreement is of two costs: name the other one with --compare")
    if runtimes is not None and against != "idealized_runtime":
        raise InputError("--runtimes are runtimes: they go with --against idealized_runtime")
    scores = read_scores(table, metric)
    found, missing = find_tradeoff(scores.rows, scenarios, against, compare, make_setting(**options), runtimes)
    text = report_tradeoff(found, by, output, ENOUGH if min_tau is None else min_tau, min_models)
    deliver(text, out, {} if plot is None else {plot: draw_tradeoff(found, metric, plot)})
    if scores.left_out:
        warn(f"{scores.left_out} rows of {table} have no model or no {metric} and are left out")
    if missing:
        warn(f"{runtimes} has no runtime of {', '.join(missing)}: left out")
    warn_of_bound(found.basis["basis"], options["calibration"], options["hardware"])
    if min_tau is not None:
        check_agreement(found.points, min_tau, min_models)


@click.command()
@click.argument("runtimes", type=FILE)
@name_option("-m", "--model", "models", text="Only these models of the file.")
@count_option("-p", "--prompt-tokens", text="Requests of so many prompt tokens, in place of the parameters.")
@count_option("-n", "--output-tokens", text="Tokens that these requests generate.")
@click.option("--max-mape", type=float, callback=check_percent, metavar="PERCENT", help="Fail past this mean error.")
@setting_options("a100-sxm-80gb")
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
    **options: Any,
) -> None:
    """Put published runtimes in HELM's format beside predictions: seconds by prompt size and per output token.

    Models run on the paper's devices, the layout narayanan-2023, unless the options say otherwise.

    \b
    Examples:
      roofcast reproduce docs/examples/runtimes.json
      roofcast reproduce docs/examples/runtimes.json -p 512 -n 32 --price '4.096 USD/h'
    """
    from simulator.inputs.queries import combine_queries
    from simulator.metrics.helm_runtimes import API_PROMPTS
    from simulator.metrics.names import PAPER_LAYOUT
    from simulator.report.reproduction import (
        check_error,
        list_parameters,
        list_requests,
        read_entries,
        report_reproduction,
    )

    if bool(prompt_tokens) != bool(output_tokens):
        raise InputError("a request needs both --prompt-tokens and --output-tokens")
    entries = read_entries(runtimes, models)
    setting = make_setting(**options, usual_layouts=PAPER_LAYOUT)
    if prompt_tokens:
        found = list_requests(entries, setting, combine_queries(prompt_tokens, output_tokens))
    else:
        found = list_parameters(entries, setting, API_PROMPTS)
    deliver(report_reproduction(found, output), out)
    warn_of_bound(found.prediction.basis, options["calibration"], options["hardware"])
    others = {row["model"] for row in found.rows if row.get("published_devices") not in (None, row["devices"])}
    if others:
        warn(f"the published times of {', '.join(sorted(others))} were measured on another number of devices")
    check_error(found.rows, max_mape)
