"""The command ``roofcast tradeoff``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from simulator.commands.delivery import deliver, warn
from simulator.commands.options import FILE, WRITTEN, out_option, output_option
from simulator.commands.setting import AskedSetting, setting_options
from simulator.errors import InputError
from simulator.report.output import OutputForm

ENOUGH = 0.95  # Kendall's tau of rankings that are called the same
AGAINST = ("idealized_runtime", "cost", "energy", "flops", "parameters")


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
@click.option("--plot", type=WRITTEN, help="Draw accuracy against cost: a .svg or .png file.")
@setting_options(paper=True)
@output_option
@out_option
def tradeoff(
    table: Path,
    metric: str,
    against: str,
    compare: str | None,
    runtimes: Path | None,
    scenarios: tuple[str, ...],
    by: Literal["rows", "scenarios", "models", "agreement"],
    min_tau: float | None,
    min_models: int,
    plot: Path | None,
    output: OutputForm,
    out: Path | None,
    setting: AskedSetting,
) -> None:
    """Set what models can do against what they cost: Pareto frontier, ranks, and how far two rankings agree.

    \b
    Examples:
      roofcast tradeoff docs/examples/scores.csv --against cost
      roofcast tradeoff docs/examples/scores.csv --against flops --compare energy --by scenarios
    """
    from simulator.inputs.scores import read_scores
    from simulator.report.plots.tradeoff import draw_tradeoff
    from simulator.report.tradeoff import report_tradeoff
    from simulator.studies.tradeoff import find_tradeoff
    from simulator.studies.tradeoff_views import check_agreement

    if compare is None and (min_tau is not None or by == "agreement"):
        raise InputError("an agreement is of two costs: name the other one with --compare")
    if runtimes is not None and against != "idealized_runtime":
        raise InputError("--runtimes are runtimes: they go with --against idealized_runtime")
    scores = read_scores(table, metric)
    found, missing = find_tradeoff(scores.rows, scenarios, against, compare, setting.resolve(), runtimes)
    text = report_tradeoff(found, by, output, ENOUGH if min_tau is None else min_tau, min_models)
    deliver(text, out, {} if plot is None else {plot: draw_tradeoff(found, metric, plot)})
    if scores.left_out:
        warn(f"{scores.left_out} rows of {table} have no model or no {metric} and are left out")
    if missing:
        warn(f"{runtimes} has no runtime of {', '.join(missing)}: left out")
    if min_tau is not None:
        check_agreement(found.points, min_tau, min_models)
