"""The frontier of a recommendation: throughput of a device against interactivity, a line a device, the best marked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.explore.recommend.recommend import Recommendation
from simulator.report.plots.style import SHAPES, add_legend, fit_axis, make_mark, new_figure, soften

MOST_LINES = len(SHAPES)


ACROSS, UP = "output tokens/s for a user", "output tokens/s for a device"


class Best(NamedTuple):
    """One of the best as it was simulated, by its number in the table."""

    number: int
    device: str
    x: float
    y: float


class Choice(NamedTuple):
    """Frontiers by device, that with the most throughput first, and the best among them."""

    title: list[str]
    lines: dict[str, NDArray[np.float64]]
    best: list[Best]


def find_choice(found: Recommendation) -> Choice:
    """What is drawn of a recommendation."""
    frontier = {device: points for device, points in found.frontier.items() if len(points)}
    order = sorted(frontier, key=lambda device: -float(frontier[device][:, 1].max()))[:MOST_LINES]
    best = [
        Best(place + 1, one.cell.device, 1 / one.values["tpot_s_mean"], one.values["output_tokens_per_s"] / one.devices)
        for place, one in enumerate(found.best)
        if one.values["tpot_s_mean"] > 0
    ]
    title = [
        f"{found.wish.model.name}: output tokens a second for a device against those for a user",
        f"estimated; numbers: the best, simulated at {found.wish.load.describe()}",
    ]
    return Choice(title, {device: frontier[device] for device in order}, best)


def draw_recommendation(found: Recommendation) -> Any:
    """One panel; numbers are those of the table of the best.

    Raises:
        InputError: nothing to draw, where requests end with their first token.
    """
    choice = find_choice(found)
    if not choice.lines and not choice.best:
        raise InputError("a picture is of times per output token, and requests of one have none; ask for more (-n)")
    order = list(choice.lines)
    figure = new_figure(7.2, 5.0, choice.title)
    axes = figure.subplots()
    handles = []
    xs, ys = [], []
    for place, (device, points) in enumerate(choice.lines.items()):
        mark = make_mark(place, device)
        axes.plot(points[:, 0], points[:, 1], color=mark.get_color(), drawstyle="steps-pre", gid=device)
        handles.append(mark)
        xs += points[:, 0].tolist()
        ys += points[:, 1].tolist()
    for number, device, x, y in choice.best:
        mark = handles[order.index(device)] if device in order else None
        colour, shape = ("0.3", "o") if mark is None else (mark.get_color(), mark.get_marker())
        axes.plot([x], [y], marker=shape, color=colour, markersize=7, gid=f"best {number}")
        axes.annotate(str(number), (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
        xs.append(x)
        ys.append(y)
    fit_axis(axes.xaxis, xs, 0.1)
    fit_axis(axes.yaxis, ys, 0.1)
    axes.set(xlabel=ACROSS, ylabel=UP)
    soften(axes)
    add_legend(figure, handles, "outside lower center", ncols=3, fontsize=8.5)
    return figure
