"""Latency: the three times against the prompt, the output or the batch, with their intervals and measured points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simulator.errors import InputError
from simulator.explore.latency_points import Measured
from simulator.prediction import Prediction
from simulator.report.plots.style import BLUE, VERMILION, add_legend, fit_axis, new_figure, pick_unit, soften
from simulator.report.plots.text import Canvas, choose_scale, join_lines
from simulator.report.plots.title import describe_place, name_basis, write_count
from simulator.units import format_seconds

AXES = {
    "prompt_tokens": "tokens of the prompt",
    "output_tokens": "tokens generated",
    "batch_size": "requests in the batch",
}
TIMES = {"ttft_s": "time to first token", "tpot_s": "time per output token", "e2e_s": "whole request"}
TEXT_LINES = 13
MOST_DOTS = 40  # that a curve is drawn with; past it they would hide the band


class Curve(NamedTuple):
    """One time along the axis, seconds, with the ends of its 90% interval where it has one."""

    name: str
    x: list[float]
    seconds: list[float]
    low: list[float] | None
    high: list[float] | None


class Latency(NamedTuple):
    """Curves over one axis, and what was measured of them."""

    title: list[str]
    axis: str
    curves: list[Curve]
    measured: list[Measured]

    def of(self, curve: Curve) -> list[Measured]:
        """The measurements of one curve."""
        return [point for point in self.measured if point.name == curve.name]


def choose_axis(counts: dict[str, list[int]]) -> str:
    """The one count that has several values.

    Raises:
        InputError: none has, or more than one.
    """
    several = [name for name in AXES if len(set(counts[name])) > 1]
    if len(several) != 1:
        raise InputError(
            "plot latency draws over one axis: give one of --prompt-tokens, --output-tokens and --batch-size several "
            f"values, such as -b 1-64*2, and the others one ({len(several)} have several)"
        )
    return several[0]


def find_latency(prediction: Prediction, axis: str, measured: Sequence[Measured] = ()) -> Latency:
    """Collect the curves of a prediction of arrays along one axis, but for a time that is nowhere defined."""
    workload = prediction.question.work.workload
    x = np.ravel(getattr(workload, axis)).astype(float)
    curves = []
    for name in TIMES:
        seconds = np.ravel(getattr(prediction, name))
        there = np.isfinite(seconds)
        if not np.any(there):
            continue
        ends = [getattr(prediction, name + end) for end in ("_low", "_high")]
        low, high = (None if end is None else np.ravel(end)[there].tolist() for end in ends)
        curves.append(Curve(name, x[there].tolist(), seconds[there].tolist(), low, high))
    return Latency(title_curves(prediction, axis), axis, curves, list(measured))


def title_curves(prediction: Prediction, axis: str) -> list[str]:
    """The lines above the picture."""
    question = prediction.question
    workload = question.work.workload
    fixed = [write_count(name, int(np.ravel(getattr(workload, name))[0])) for name in AXES if name != axis]
    return ["Latency", describe_place(question), f"{', '.join(fixed)}; {name_basis(question)}"]


def make_figure(found: Latency) -> Any:
    """The picture: a panel a time, the interval as a band, measured points as open diamonds."""
    figure = new_figure(3.5 * max(len(found.curves), 2), 3.6, found.title)
    panels = figure.subplots(1, len(found.curves), squeeze=False)[0]
    for panel, curve in zip(panels, found.curves, strict=True):
        draw_curve(panel, found, curve)
    handles = {handle.get_label(): handle for panel in panels for handle in panel.get_legend_handles_labels()[0]}
    add_legend(figure, list(handles.values()), "outside lower center", ncols=len(handles))
    return figure


def draw_curve(panel: Any, found: Latency, curve: Curve) -> None:
    """One panel."""
    points = found.of(curve)
    spread = any(point.std for point in found.measured)
    drawn = [*curve.seconds, *(curve.low or ()), *(curve.high or ()), *(point.seconds for point in points)]
    unit = pick_unit(drawn, "s")
    fit_axis(panel.xaxis, [*curve.x, *(point.x for point in points)], 0.15, from_zero=False)
    fit_axis(panel.yaxis, [value / unit.size for value in drawn], 0.1)
    label = "prediction"
    if curve.low is not None and curve.high is not None:
        low, high = ([value / unit.size for value in end] for end in (curve.low, curve.high))
        panel.fill_between(curve.x, low, high, color=BLUE, alpha=0.25, linewidth=0, label="90% interval")
    else:
        label = "bound: no software can be faster"
    seconds = [value / unit.size for value in curve.seconds]
    dots = "o-" if len(curve.x) <= MOST_DOTS else "-"
    panel.plot(curve.x, seconds, dots, color=BLUE, markersize=4, linewidth=1.5, label=label)
    if points:
        panel.errorbar(
            [point.x for point in points],
            [point.seconds / unit.size for point in points],
            yerr=[(point.std or 0.0) / unit.size for point in points],
            fmt="D",
            color=VERMILION,
            markerfacecolor="white",
            markersize=5.5,
            linewidth=1.2,
            label="measured (bars: standard deviation)" if spread else "measured",
            zorder=4,
        )
    panel.set(xlabel=AXES[found.axis], ylabel=f"{TIMES[curve.name]} ({unit.symbol})")
    soften(panel)


def print_text(found: Latency) -> str:
    """The same in characters, and as a table."""
    legend = ["* prediction"] + ([". ends of the 90% interval"] if found.curves[0].low is not None else [])
    legend += ["o measured"] if found.measured else []
    return join_lines(found.title, *(print_curve(found, curve) for curve in found.curves), legend)


def print_curve(found: Latency, curve: Curve) -> list[str]:
    """One time: the picture, then its numbers."""
    points = found.of(curve)
    ends = [curve.low or curve.seconds, curve.high or curve.seconds]
    drawn = [*ends[0], *ends[1], *(point.seconds for point in points)]
    across = [*curve.x, *(point.x for point in points)]
    canvas = Canvas(choose_scale(across, from_zero=False), choose_scale(drawn, format_seconds), TEXT_LINES)
    for end in ends:
        canvas.draw_path(list(zip(curve.x, end, strict=True)), ".")
    canvas.draw_path(list(zip(curve.x, curve.seconds, strict=True)), "*")
    for point in points:
        canvas.mark(point.x, point.seconds, "o")
    rows = [f"{'':12}{found.axis:>14}  {'predicted':>10}  {'90% interval':>24}  {'measured':>10}"]
    rows += [print_row(found, curve, place) for place in range(len(curve.x))]
    return [*canvas.print(AXES[found.axis], TIMES[curve.name]), "", *rows]


def print_row(found: Latency, curve: Curve, place: int) -> str:
    """The numbers of one point, with the measurement at it where there is one."""
    interval = "-"
    if curve.low is not None and curve.high is not None:
        interval = f"{format_seconds(curve.low[place])} to {format_seconds(curve.high[place])}"
    here = [point.seconds for point in found.of(curve) if math.isclose(point.x, curve.x[place])]
    measured = format_seconds(here[0]) if here else "-"
    predicted = format_seconds(curve.seconds[place])
    return f"{'':12}{curve.x[place]:>14,.0f}  {predicted:>10}  {interval:>24}  {measured:>10}"
