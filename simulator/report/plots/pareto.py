"""Pareto: combinations of models, devices and layouts by two metrics, with the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from simulator.errors import ImpossibleError, InputError
from simulator.metrics.layout import describe_layout
from simulator.metrics.metric import Metric
from simulator.metrics.pareto import mark_frontier, orient
from simulator.metrics.registry import read_metric
from simulator.prediction import Prediction
from simulator.report.output import format_cell
from simulator.report.plots.style import (
    GREY,
    MARK_POINTS,
    SHAPES,
    Unit,
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
from simulator.report.prediction import describe_formats

MOST_SERIES = len(SHAPES)
LEGEND_INCHES = 0.2
PREFIXED = ("s", "B", "J")  # units that take one
COUNTS = ("prompt_tokens", "output_tokens", "batch_size")


class Point(NamedTuple):
    """One combination: its place along both axes, in the units of their metrics, with the interval's ends of the first.

    The ends are None where there is no interval.
    """

    series: str
    label: str
    x: float
    low: float | None
    high: float | None
    y: float
    on_frontier: bool


class Pareto(NamedTuple):
    """Points with what they are of; ``varies`` names what tells the points of a series apart."""

    title: list[str]
    of: Metric
    against: Metric
    varies: str
    points: list[Point]
    left_out: int

    @property
    def series(self) -> list[str]:
        """Names of the series in their order."""
        return list(dict.fromkeys(point.series for point in self.points))

    @property
    def frontier(self) -> list[Point]:
        """The points on the frontier, from left to right."""
        return sorted((point for point in self.points if point.on_frontier), key=lambda point: point.x)

    @property
    def notes(self) -> list[str]:
        """What the marks of the figure mean, and what is not there."""
        notes = ["filled: on the frontier; open: another is at least as good in both"]
        if any(point.low is not None for point in self.points):
            notes.append(f"bars: 90% interval of the {self.of.label}")
        if self.varies:
            notes.append(f"numbers: {self.varies}")
        return [*notes, *self.omissions]

    @property
    def omissions(self) -> list[str]:
        """How many combinations are not there, if any."""
        return [f"{self.left_out} combinations do not fit in memory and are left out"] if self.left_out else []


def find_pareto(predictions: Sequence[Prediction], of: str, against: str) -> Pareto:
    """Set single requests against each other by two metrics.

    Raises:
        ImpossibleError: none of them fits in memory.
        InputError: a metric that there is not or that is not known of one of them, or too many series.
    """
    metric, other = read_metric(of, "--of"), read_metric(against, "--against")
    fitting = [prediction for prediction in predictions if prediction.fits]
    if not fitting:
        raise ImpossibleError("none of these combinations fits in memory")
    names, shared = name_series(fitting)
    if len(set(names)) > MOST_SERIES:
        raise InputError(f"plot pareto tells up to {MOST_SERIES} combinations apart; these are {len(set(names))}")
    across, up = ([find_value(prediction, one) for prediction in fitting] for one in (metric, other))
    best = mark_frontier(orient([across, up], [metric.better == "up", other.better == "up"]))
    varies = [name for name in COUNTS if len({count_of(prediction, name) for prediction in fitting}) > 1]
    points = [
        Point(name, label_point(one, varies), x, *find_ends(one, metric), y, on_it)
        for name, one, x, y, on_it in zip(names, fitting, across, up, best, strict=True)
    ]
    title = [f"{metric.label.capitalize()} against {other.label}", *shared]
    told = " + ".join(name.replace("_", " ") for name in varies)
    return Pareto(title, metric, other, told, points, len(predictions) - len(fitting))


def count_of(prediction: Prediction, name: str) -> int:
    """A count of a single request."""
    return int(getattr(prediction.question.work.workload, name))


def label_point(prediction: Prediction, varies: Sequence[str]) -> str:
    """The counts that tell points of a series apart."""
    return " + ".join(f"{count_of(prediction, name):,}" for name in varies)


def find_ends(prediction: Prediction, metric: Metric) -> tuple[float | None, float | None]:
    """Ends of the interval of a metric; None where it has none."""
    if metric.follows is None:
        return None, None
    return prediction.find(metric.name + "_low"), prediction.find(metric.name + "_high")


def find_value(prediction: Prediction, metric: Metric) -> float:
    """A metric of a single request.

    Raises:
        InputError: it is not known.
    """
    lack = prediction.lacks.get(metric.name)
    if lack is not None:
        raise InputError(f"there is no {metric.name} to draw: {lack}")
    return float(prediction.find(metric.name))


def pick_axis(metric: Metric, values: Sequence[float]) -> Unit:
    """The unit of an axis: with a prefix where the unit of the metric takes one."""
    return pick_unit(values, metric.unit) if metric.unit in PREFIXED else Unit(metric.unit, 1.0)


def label_axis(metric: Metric, symbol: str) -> str:
    """What an axis is of, and its unit where it has one."""
    return metric.label if symbol == "1" else f"{metric.label} ({symbol})"


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
    profile = "" if question.profile is None else f" ({question.profile.id})"
    return {
        "model": question.model_label,
        "place": f"{d.devices} x {question.hardware.id}" + (f" ({layout})" if ", " in layout else ""),
        "stack": question.work.stack.id,
        "formats": describe_formats(d),
        "basis": f"{question.basis}{profile}{question.caution}",
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
    edges = [edge for point in found.points for edge in (point.low, point.x, point.high) if edge]
    across, up = pick_axis(found.of, edges), pick_axis(found.against, [point.y for point in found.points])
    draw_frontier(axes, found, across.size, up.size)
    texts = [text for place, name in enumerate(series) for text in draw_series(axes, found, name, place, across, up)]
    fit_axis(axes.xaxis, [edge / across.size for edge in edges], 0.12, from_zero=False)
    fit_axis(axes.yaxis, [point.y / up.size for point in found.points], 0.1)
    axes.set(xlabel=label_axis(found.of, across.symbol), ylabel=label_axis(found.against, up.symbol))
    soften(axes)
    handles = [make_mark(place, name) for place, name in enumerate(series)]
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, label="frontier"))
    add_legend(figure, handles, "outside lower center", ncols=beside, fontsize=8.5, title="\n".join(notes))
    drop_overlapping(figure, axes, texts, [(point.x / across.size, point.y / up.size) for point in found.points])
    return figure


def draw_frontier(axes: Any, found: Pareto, width: float, height: float) -> None:
    """The best that is to be had at each place, as steps."""
    best = found.frontier
    axes.step(
        [point.x / width for point in best],
        [point.y / height for point in best],
        where="post" if found.of.better == "down" else "pre",
        color=GREY,
        linewidth=1.2,
        zorder=1,
        gid="frontier",
    )


def draw_series(axes: Any, found: Pareto, name: str, place: int, across: Unit, up: Unit) -> list[Any]:
    """The points of one series; return their labels."""
    mark = choose_mark(place)
    colour = mark["color"]
    texts = []
    for point in (point for point in found.points if point.series == name):
        x, y = point.x / across.size, point.y / up.size
        if point.low is not None and point.high is not None:
            ends = [point.low / across.size, point.high / across.size]
            axes.plot(ends, [y, y], color=colour, alpha=0.4, linewidth=1, zorder=2)
        face = colour if point.on_frontier else "white"
        axes.plot(x, y, linestyle="", markerfacecolor=face, markersize=MARK_POINTS, zorder=3, gid="point", **mark)
        if point.label:
            texts.append(axes.annotate(point.label, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=7.5))
    return texts


def print_text(found: Pareto) -> str:
    """The same in characters: a letter a series, capital on the frontier."""

    def write(metric: Metric, value: float) -> str:
        text = format_cell(metric.name, value)
        return text if " " in text or metric.unit == "1" else f"{text} {metric.unit}"

    canvas = Canvas(
        choose_scale([point.x for point in found.points], partial(write, found.of)),
        choose_scale([point.y for point in found.points], partial(write, found.against)),
    )
    steps = [(point.x, point.y) for point in found.frontier]
    corners = [(x, height) if found.of.better == "down" else (left, y) for (left, height), (x, y) in pairwise(steps)]
    canvas.draw_path([corner for pair in zip(steps, [*corners, steps[-1]], strict=True) for corner in pair], ".")
    lines = []
    for point in sorted(found.points, key=lambda point: point.x):
        letter = LETTERS[found.series.index(point.series)]
        letter = letter.upper() if point.on_frontier else letter
        canvas.mark(point.x, point.y, letter, several="*")
        label = f"{found.varies} {point.label}" if point.label else ""
        said = f"{'frontier' if point.on_frontier else '':8}  {label}"
        both = f"{write(found.of, point.x):>9}  {write(found.against, point.y):>16}"
        lines.append(f"{letter}  {both}  {said}".rstrip())
    names = [f"{LETTERS[place]}  {name}" for place, name in enumerate(found.series)]
    picture = canvas.print(found.of.label, label_axis(found.against, found.against.unit))
    legend = ["capital: on the frontier; small: another is at least as good in both", ". frontier; * several"]
    return join_lines(found.title, picture, names, lines, [*legend, *found.omissions])
