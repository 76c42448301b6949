"""Pictures of accuracy against cost: one panel a scenario, readable in grey and without seeing colours."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.errors import InputError
from simulator.metrics.pareto import mark_frontier
from simulator.report.plots.style import (
    MARK_POINTS,
    add_legend,
    check_picture,
    choose_mark,
    label_logarithmic,
    make_mark,
    new_figure,
    render,
    soften,
)
from simulator.report.tradeoff import title_tradeoff
from simulator.studies.tradeoff import COSTS, CostKind, Point, Tradeoff, group_points, list_objectives
from simulator.units import format_quantity

MOST_PANELS = 16
PANEL_INCHES = 3.3
LETTER_INCHES = 0.065  # of the legend, on average
LINE_INCHES = 0.23
TITLE_LETTERS = 38  # that fit on a panel


def draw_tradeoff(tradeoff: Tradeoff, metric: str, path: Path) -> bytes:
    """Draw accuracy over cost, the frontier as a line of steps; a filled mark is on it, an open one is dominated.

    Returns:
        The picture in the format of the path's ending.

    Raises:
        InputError: matplotlib is not installed, another ending than .svg or .png, a place that cannot be written, or
            too many scenarios.
    """
    check_picture(path, "--plot: ")
    scenarios = len(group_points(tradeoff.points))
    if scenarios > MOST_PANELS:
        raise InputError(
            f"--plot: {scenarios} scenarios are too many panels; choose up to {MOST_PANELS} with --scenario"
        )
    return render(lambda: make_figure(tradeoff, metric), path)


def make_figure(tradeoff: Tradeoff, metric: str) -> Any:
    """The figure: what the costs rest on above, a panel a scenario, the marks below."""
    kind, groups = COSTS[tradeoff.against], group_points(tradeoff.points)
    models = list(dict.fromkeys(point.score.model for point in tradeoff.points))
    columns = min(len(groups), 1 + math.isqrt(len(groups) - 1))
    lines = -(-len(groups) // columns)
    width = PANEL_INCHES * max(columns, 2)
    handles = [*(make_mark(place, model) for place, model in enumerate(models)), *explain_marks()]
    longest = max(len(handle.get_label()) for handle in handles)
    beside = max(1, int(width / (0.6 + LETTER_INCHES * longest)))
    height = PANEL_INCHES * lines + LINE_INCHES * (-(-len(handles) // beside) + 1)
    figure = new_figure(width, height, title_tradeoff(tradeoff).splitlines())
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, (scenario, group) in zip(panels, groups.items(), strict=False):
        draw_panel(panel, scenario, group, models, kind)
        panel.set_ylabel(metric.replace("_", " "), parse_math=False)
    for panel in panels[len(groups) :]:
        panel.set_axis_off()
    add_legend(figure, handles, "outside lower center", ncols=beside, fontsize="small")
    return figure


def draw_panel(panel: Any, scenario: str, group: Sequence[Point], models: Sequence[str], kind: CostKind) -> None:
    """One scenario."""
    on_frontier = mark_frontier(list_objectives(group))
    best = sorted((point.cost, point.score.accuracy) for point, on_it in zip(group, on_frontier, strict=True) if on_it)
    panel.step(*zip(*best, strict=True), where="post", color="0.6", linewidth=1, zorder=1)
    for point, on_it in zip(group, on_frontier, strict=True):
        mark = choose_mark(models.index(point.score.model))
        face = mark["color"] if on_it else "white"
        panel.plot(point.cost, point.score.accuracy, linestyle="", markerfacecolor=face, markersize=MARK_POINTS, **mark)
    costs = [point.cost for point in group]
    ends = (min(costs) / 1.2, max(costs) * 1.2)
    label_logarithmic(panel.xaxis, ends, write=lambda cost: write_cost(cost, kind.unit))
    soften(panel)
    panel.tick_params(axis="x", labelsize="small")
    panel.set_xlabel(kind.label)
    title = textwrap.fill(scenario.replace(",", ", "), TITLE_LETTERS)
    panel.set_title(title, fontsize="small", parse_math=False)


def write_cost(cost: float, unit: str) -> str:
    """A cost on an axis; parameters in billions, as the field has them."""
    return format_quantity(cost, unit) if unit else f"{cost / 1e9:.3g}B"


def explain_marks() -> list[Any]:
    """The entries of the legend that say what open, filled and the line mean."""
    from matplotlib.lines import Line2D

    marks = [
        Line2D(
            [], [], marker="o", color="0.4", linestyle="", markersize=MARK_POINTS, markerfacecolor=face, label=meaning
        )
        for face, meaning in (("0.4", "filled: on the frontier"), ("white", "open: dominated"))
    ]
    return [*marks, Line2D([], [], color="0.6", linewidth=1, label="the frontier")]
