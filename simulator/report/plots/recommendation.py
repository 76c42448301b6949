"""The frontier of a recommendation: throughput of a device against interactivity, a line a device, the best marked."""

from __future__ import annotations

from typing import Any

from simulator.explore.recommend.recommend import Recommendation
from simulator.report.plots.style import SHAPES, add_legend, fit_axis, make_mark, new_figure, soften

MOST_LINES = len(SHAPES)


def draw_recommendation(found: Recommendation) -> Any:
    """One panel; numbers are those of the table of the best."""
    frontier = {device: points for device, points in found.frontier.items() if len(points)}
    order = sorted(frontier, key=lambda device: -float(frontier[device][:, 1].max()))[:MOST_LINES]
    title = [
        f"{found.wish.model.name}: output tokens a second for a device against those for a user",
        f"estimated; numbers: the best, simulated at {found.wish.load.describe()}",
    ]
    figure = new_figure(7.2, 5.0, title)
    axes = figure.subplots()
    handles = []
    xs, ys = [], []
    for place, device in enumerate(order):
        points = frontier[device]
        mark = make_mark(place, device)
        axes.plot(points[:, 0], points[:, 1], color=mark.get_color(), drawstyle="steps-pre", gid=device)
        handles.append(mark)
        xs += points[:, 0].tolist()
        ys += points[:, 1].tolist()
    for place, one in enumerate(found.best):
        tpot_s = one.values["tpot_s_mean"]
        if not tpot_s > 0:
            continue
        x, y = 1 / tpot_s, one.values["output_tokens_per_s"] / one.devices
        mark = handles[order.index(one.cell.device)] if one.cell.device in order else None
        colour, shape = ("0.3", "o") if mark is None else (mark.get_color(), mark.get_marker())
        axes.plot([x], [y], marker=shape, color=colour, markersize=7, gid=f"best {place + 1}")
        axes.annotate(str(place + 1), (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
        xs.append(x)
        ys.append(y)
    fit_axis(axes.xaxis, xs, 0.1)
    fit_axis(axes.yaxis, ys, 0.1)
    axes.set(xlabel="output tokens/s for a user", ylabel="output tokens/s for a device")
    soften(axes)
    add_legend(figure, handles, "outside lower center", ncols=3, fontsize=8.5)
    return figure
