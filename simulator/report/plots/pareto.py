"""Pareto: combinations of models, devices and layouts by time against cost or throughput, with the frontier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from simulator.errors import ImpossibleError, InputError
from simulator.explore.layout import describe_layout
from simulator.metrics.pareto import find_frontier
from simulator.metrics.rates import find_price
from simulator.prediction import Prediction
from simulator.report.plots.style import (
    GREY,
    MARK_POINTS,
    SHAPES,
    add_legend,
    choose_mark,
    drop_overlapping,
    fit_axis,
    make_mark,
    new_figure,
    pick_unit,
    soften,
)
from simulator.report.plots.text import LETTERS, Canvas, choose_scale, join_lines
from simulator.report.plots.title import write_count
from simulator.report.sensitivity import LABELS
from simulator.studies.ideal import find_cost
from simulator.units import format_quantity, format_seconds

MOST_SERIES = len(SHAPES)
LEGEND_INCHES = 0.2
COUNTS = ("prompt_tokens", "output_tokens", "batch_size")


class Against(NamedTuple):
    """What time is set against: its label with a unit, how one is written, and whether more of it is better."""

    label: str
    write: Callable[[float], str]
    more_is_better: bool


AGAINST = {
    "throughput": Against("output tokens/s per device", lambda value: f"{value:.4g} tokens/s", True),
    "cost": Against("cost of a request (USD)", lambda value: format_quantity(value, "USD"), False),
}


class Point(NamedTuple):
    """One combination: its time with the interval's ends where there is one, seconds, and what that is set against."""

    series: str
    label: str
    seconds: float
    low: float | None
    high: float | None
    value: float
    on_frontier: bool


class Pareto(NamedTuple):
    """Points with what they are of; ``varies`` names what tells the points of a series apart."""

    title: list[str]
    metric: str
    against: str
    varies: str
    points: list[Point]
    left_out: int

    @property
    def series(self) -> list[str]:
        """Names of the series in their order."""
        return list(dict.fromkeys(point.series for point in self.points))

    @property
    def frontier(self) -> list[Point]:
        """The points on the frontier, the fastest first."""
        return sorted((point for point in self.points if point.on_frontier), key=lambda point: point.seconds)

    @property
    def notes(self) -> list[str]:
        """What the marks of the figure mean, and what is not there."""
        notes = ["filled: on the frontier; open: another is at least as good in both"]
        if any(point.low is not None for point in self.points):
            notes.append("bars: 90% interval of the time")
        if self.varies:
            notes.append(f"numbers: {self.varies}")
        return [*notes, *self.omissions]

    @property
    def omissions(self) -> list[str]:
        """How many combinations are not there, if any."""
        return [f"{self.left_out} combinations do not fit in memory and are left out"] if self.left_out else []


def find_pareto(predictions: Sequence[Prediction], metric: str, against: str, price: str | None) -> Pareto:
    """Set single requests against each other.

    Raises:
        ImpossibleError: none of them fits in memory.
        InputError: a device without a price where cost is asked for, a time that is not defined, or too many series.
    """
    fitting = [prediction for prediction in predictions if prediction.fits]
    if not fitting:
        raise ImpossibleError("none of these combinations fits in memory")
    names, shared = name_series(fitting)
    if len(set(names)) > MOST_SERIES:
        raise InputError(f"plot pareto tells up to {MOST_SERIES} combinations apart; these are {len(set(names))}")
    times = [float(getattr(prediction, metric)) for prediction in fitting]
    if not np.all(np.isfinite(times)):
        raise InputError(f"--time {metric}: is not defined here: it needs 2 output tokens or more")
    values = [find_value(prediction, against, price) for prediction in fitting]
    sign = 1 if AGAINST[against].more_is_better else -1
    best = find_frontier([(sign * value, time) for value, time in zip(values, times, strict=True)])
    varies = [name for name in COUNTS if len({count_of(prediction, name) for prediction in fitting}) > 1]
    points = [
        Point(name, label_point(one, varies), time, *find_ends(one, metric), value, on_it)
        for name, one, time, value, on_it in zip(names, fitting, times, values, best, strict=True)
    ]
    title = [f"{LABELS[metric].capitalize()} against {AGAINST[against].label.partition(' (')[0]}", *shared]
    told = " + ".join(name.replace("_", " ") for name in varies)
    return Pareto(title, metric, against, told, points, len(predictions) - len(fitting))


def count_of(prediction: Prediction, name: str) -> int:
    """A count of a single request."""
    return int(getattr(prediction.question.work.workload, name))


def label_point(prediction: Prediction, varies: Sequence[str]) -> str:
    """The counts that tell points of a series apart."""
    return " + ".join(f"{count_of(prediction, name):,}" for name in varies)


def find_ends(prediction: Prediction, metric: str) -> tuple[float | None, float | None]:
    """Ends of the interval of a time."""
    return getattr(prediction, metric + "_low"), getattr(prediction, metric + "_high")


def find_value(prediction: Prediction, against: str, price: str | None) -> float:
    """What a time is set against.

    Raises:
        InputError: no price of the device is known, or a price that is wrong.
    """
    if against == "throughput":
        return float(prediction.output_tokens_per_s / prediction.devices)
    hardware = prediction.question.hardware.id
    found = find_price(hardware, price)
    if found is None:
        raise InputError(f"no price of {hardware} is known; give one with --price, such as --price '2.50 USD/h'")
    return float(find_cost(prediction, found))


def name_series(predictions: Sequence[Prediction]) -> tuple[list[str], list[str]]:
    """What each prediction is of, by what differs; and what all share, lines of the title."""
    facts = [list_facts(prediction) for prediction in predictions]
    same = {name for name in facts[0] if len({fact[name] for fact in facts}) == 1}
    always = {"model", "place"} if len(same) == len(facts[0]) else {"place"} - same
    names = [", ".join(text for name, text in fact.items() if name not in same or name in always) for fact in facts]
    counts = [
        write_count(name, count_of(predictions[0], name))
        for name in COUNTS
        if len({count_of(prediction, name) for prediction in predictions}) == 1
    ]
    shared = [", ".join(facts[0][name] for name in facts[0] if name in same), ", ".join(counts)]
    return names, [line for line in shared if line]


def list_facts(prediction: Prediction) -> dict[str, str]:
    """What a prediction is of, but for its request."""
    question = prediction.question
    d = question.work.deployment
    layout = describe_layout(d)
    formats = [
        d.dtype,
        *(f"{name} {value}" for name, value in (("weights", d.weight_dtype), ("cache", d.kv_dtype)) if value),
    ]
    profile = "" if question.profile is None else f" ({question.profile.id})"
    return {
        "model": question.model_label,
        "place": f"{d.devices} x {question.hardware.id}" + (f" ({layout})" if ", " in layout else ""),
        "stack": question.work.stack.id,
        "formats": ", ".join(formats),
        "basis": f"{question.basis}{profile}",
    }


def make_figure(found: Pareto) -> Any:
    """The picture: a colour and a shape a series, the frontier as steps, the intervals as thin bars."""
    from matplotlib.lines import Line2D

    series, notes = found.series, found.notes
    longest = max(map(len, series))
    beside = max(1, min(len(series), int(8.0 / (0.5 + 0.075 * longest))))
    rows = -(-len(series) // beside) + len(notes)
    figure = new_figure(8.2, 4.4 + LEGEND_INCHES * rows, found.title)
    axes = figure.add_subplot()
    edges = [edge for point in found.points for edge in (point.low, point.seconds, point.high) if edge]
    unit = pick_unit(edges, "s")
    draw_frontier(axes, found, unit.size)
    texts = [text for place, name in enumerate(series) for text in draw_series(axes, found, name, place, unit.size)]
    fit_axis(axes.xaxis, [edge / unit.size for edge in edges], 0.12, from_zero=False)
    fit_axis(axes.yaxis, [point.value for point in found.points], 0.1)
    axes.set(xlabel=f"{LABELS[found.metric]} ({unit.symbol})", ylabel=AGAINST[found.against].label)
    soften(axes)
    handles = [make_mark(place, name) for place, name in enumerate(series)]
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, label="frontier"))
    add_legend(figure, handles, "outside lower center", ncols=beside, fontsize=8.5, title="\n".join(notes))
    drop_overlapping(figure, axes, texts, [(point.seconds / unit.size, point.value) for point in found.points])
    return figure


def draw_frontier(axes: Any, found: Pareto, size: float) -> None:
    """The best that is to be had within each time, as steps."""
    best = found.frontier
    axes.step(
        [point.seconds / size for point in best],
        [point.value for point in best],
        where="post",
        color=GREY,
        linewidth=1.2,
        zorder=1,
        gid="frontier",
    )


def draw_series(axes: Any, found: Pareto, name: str, place: int, size: float) -> list[Any]:
    """The points of one series; return their labels."""
    mark = choose_mark(place)
    colour = mark["color"]
    texts = []
    for point in (point for point in found.points if point.series == name):
        x, y = point.seconds / size, point.value
        if point.low is not None and point.high is not None:
            axes.plot([point.low / size, point.high / size], [y, y], color=colour, alpha=0.4, linewidth=1, zorder=2)
        face = colour if point.on_frontier else "white"
        axes.plot(x, y, linestyle="", markerfacecolor=face, markersize=MARK_POINTS, zorder=3, gid="point", **mark)
        if point.label:
            texts.append(axes.annotate(point.label, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=7.5))
    return texts


def print_text(found: Pareto) -> str:
    """The same in characters: a letter a series, capital on the frontier."""
    against = AGAINST[found.against]
    canvas = Canvas(
        choose_scale([point.seconds for point in found.points], format_seconds),
        choose_scale([point.value for point in found.points], against.write),
    )
    steps = [(point.seconds, point.value) for point in found.frontier]
    corners = [(x, height) for (_, height), (x, _) in pairwise(steps)]
    canvas.draw_path([corner for pair in zip(steps, [*corners, steps[-1]], strict=True) for corner in pair], ".")
    lines = []
    for point in sorted(found.points, key=lambda point: point.seconds):
        letter = LETTERS[found.series.index(point.series)]
        letter = letter.upper() if point.on_frontier else letter
        canvas.mark(point.seconds, point.value, letter, several="*")
        label = f"{found.varies} {point.label}" if point.label else ""
        said = f"{'frontier' if point.on_frontier else '':8}  {label}"
        lines.append(f"{letter}  {format_seconds(point.seconds):>9}  {against.write(point.value):>16}  {said}".rstrip())
    names = [f"{LETTERS[place]}  {name}" for place, name in enumerate(found.series)]
    picture = canvas.print(LABELS[found.metric], against.label)
    legend = ["capital: on the frontier; small: another is at least as good in both", ". frontier; * several"]
    return join_lines(found.title, picture, names, lines, [*legend, *found.omissions])
