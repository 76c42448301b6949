"""The pictures of the page, by the arrangement that ``report.plots`` computes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from simulator.explore.compare import Comparison
from simulator.explore.explanation import Explanation
from simulator.explore.recommend.recommend import Recommendation
from simulator.page.svg import BOTTOM, LEFT, LETTER, RIGHT, TOP, Axis, Drawing, fit, make_axes, plain
from simulator.prediction import Prediction
from simulator.report.output import format_cell
from simulator.report.plots.load import LoadPlot, Series, find_ladder, find_run
from simulator.report.plots.pareto import find_pareto, label_axis, pick_axis
from simulator.report.plots.recommendation import ACROSS, UP, find_choice
from simulator.report.plots.roofline import find_roofline
from simulator.report.plots.style import pick_unit
from simulator.report.plots.waterfall import NEGLIGIBLE, find_waterfall
from simulator.serving.simulation import Simulation
from simulator.units import format_quantity, format_seconds

LINE, GAP = 20.0, 14.0  # of a legend and above it, in pixels
INTENSITY = "FLOP per byte of device memory"
MOST_LEGEND = 12
HEIGHT = 330.0


def draw_roofline(prediction: Prediction, width: int) -> str:
    """The device's roofs, and the operators of both phases under them; larger marks take more of their phase."""
    found = find_roofline(prediction)
    roofs = [roof for roof in found.roofs if roof.used] or found.roofs[:1]
    (low, high), (bottom, top) = found.ends
    legend = [f"prefill (circles), decode (squares); {found.note}", f"slope: {found.memory}"]
    legend += [f"{roof.label}" for roof in roofs]
    wrapped = [line for text in legend for line in wrap(text, width)]
    height = HEIGHT + GAP + LINE * len(wrapped)
    drawing = Drawing(width, height, "Roofline", "; ".join([*found.title, *legend]))
    unit = pick_unit([bottom, top], "FLOP/s")
    across, up = make_axes(width, HEIGHT, [low, high], [bottom / unit.size, top / unit.size], (INTENSITY, unit.symbol))
    drawing.add_axes(across, up, (plain, plain))
    for roof in roofs:
        ridge = roof.flops_per_s / found.bandwidth_bytes_per_s
        corners = [(low, low * found.bandwidth_bytes_per_s), (ridge, roof.flops_per_s), (high, roof.flops_per_s)]
        drawing.add_line([(across.place(x), up.place(y / unit.size)) for x, y in corners], "roof")
    for point in found.points:
        place = int(point.phase == "decode")
        reached = format_quantity(point.flops_per_s, "FLOP/s")
        said = f"{point.phase} {point.name}: {reached}, {100 * point.share:.0f}% of the phase"
        x, y = across.place(point.intensity), up.place(point.flops_per_s / unit.size)
        drawing.add_mark(x, y, f"mark c{place + 1}", place, said, 3.0 + 8.0 * math.sqrt(point.share))
    add_lines(drawing, wrapped, HEIGHT + GAP)
    return drawing.print()


def draw_waterfall(explanation: Explanation, width: int, metric: str = "e2e_s") -> str:
    """What lies between the bound and the prediction, a bar a step."""
    found = find_waterfall(explanation, metric)
    bars = [bar for bar in found.bars if bar.is_total or abs(bar.end_s - bar.start_s) > NEGLIGIBLE * found.seconds]
    names = 150.0 if width < 500 else 190.0
    row, top = 26.0, 8.0
    said = ", ".join(f"{bar.name} {bar.label}" for bar in bars)
    drawing = Drawing(width, top + row * len(bars) + 8, f"From the bound to the prediction: {metric}", said)
    width = drawing.width
    axis = Axis([0.0, max(max(bar.start_s, bar.end_s) for bar in bars)], names, width - 76.0, "")
    for place, bar in enumerate(bars):
        y = top + row * place
        left, right = sorted((axis.place(bar.start_s), axis.place(bar.end_s)))
        kind = {"total": "c1", "longer": "c5", "shorter": "c7"}[bar.kind]
        drawing.add_text(names - 8, y + 17, fit(bar.name, (names - 8) / LETTER), "end")
        drawing.add_bar(left, y + 4, max(right - left, 1.5), row - 9, f"bar {kind}")
        drawing.add_text(right + 5, y + 17, bar.label, "start", "tick")
    return drawing.print()


def draw_frontier(comparison: Comparison, width: int, of: str, against: str) -> str:
    """All rows by two metrics; filled marks are on the frontier."""
    found = find_pareto(comparison.predictions, of, against)
    xs = [point.x for point in found.points]
    across_unit = pick_axis(found.of, xs)
    up_unit = pick_axis(found.against, [point.y for point in found.points])
    series = found.series
    legend = [line for text in found.notes for line in wrap(text, width)]
    shown = series[:MOST_LEGEND]
    height = HEIGHT + GAP + LINE * (len(shown) + len(legend))
    told = [f"{p.series} {p.label}: {format_cell(of, p.x)}, {format_cell(against, p.y)}" for p in found.points]
    best = [text for text, point in zip(told, found.points, strict=True) if point.on_frontier]
    drawing = Drawing(width, height, found.title[0], f"On the frontier: {'; '.join(best)}")
    labels = (label_axis(found.of, across_unit.symbol), label_axis(found.against, up_unit.symbol))
    x, y = ([value / across_unit.size for value in xs], [point.y / up_unit.size for point in found.points])
    edges = [edge / across_unit.size for point in found.points for edge in (point.low, point.high) if edge]
    across, up = make_axes(width, HEIGHT, [*x, *edges], y, labels, from_zero=False)
    drawing.add_axes(across, up, (plain, plain))
    steps = [(across.place(p.x / across_unit.size), up.place(p.y / up_unit.size)) for p in found.frontier]
    corners = [
        (after[0], before[1]) if found.of.better == "down" else (before[0], after[1])
        for before, after in pairwise(steps)
    ]
    drawing.add_line([p for pair in zip(steps, [*corners, steps[-1]], strict=True) for p in pair], "frontier")
    for point, text, px, py in zip(found.points, told, x, y, strict=True):
        place = series.index(point.series)
        kind = f"mark c{place % 8}" + ("" if point.on_frontier else " open")
        if point.low is not None and point.high is not None:
            ends = [across.place(end / across_unit.size) for end in (point.low, point.high)]
            drawing.add_line([(end, up.place(py)) for end in ends], f"interval c{place % 8}")
        drawing.add_mark(across.place(px), up.place(py), kind, place, text)
        if point.on_frontier and point.label and len(found.frontier) <= 16:
            drawing.add_text(across.place(px) + 7, up.place(py) - 6, point.label, "start", "tick")
    for row, name in enumerate(shown):
        line = HEIGHT + GAP + LINE * row + 6
        drawing.add_mark(LEFT, line - 4, f"mark c{row % 8}", row, name)
        drawing.add_text(LEFT + 12, line, fit(name, (drawing.width - LEFT - 20) / LETTER))
    add_lines(drawing, legend, HEIGHT + GAP + LINE * len(shown))
    return drawing.print()


def draw_choice(found: Recommendation, width: int) -> str:
    """The frontier of each device, and the best by their numbers in the table; empty where no token has a time."""
    choice = find_choice(found)
    if not choice.lines and not choice.best:
        return ""
    points = [(float(x), float(y)) for line in choice.lines.values() for x, y in line]
    points += [(one.x, one.y) for one in choice.best]
    told = [f"{one.number}: {one.device}, {one.x:.3g} for a user and {one.y:.4g} for a device" for one in choice.best]
    notes = wrap("lines: estimated; numbers: the best, simulated", width)
    height = HEIGHT + GAP + LINE * (len(choice.lines) + len(notes))
    drawing = Drawing(width, height, "Tokens a second for a device against for a user", "; ".join(told))
    across, up = make_axes(width, HEIGHT, [x for x, _ in points], [y for _, y in points], (ACROSS, UP))
    drawing.add_axes(across, up, (plain, plain))
    order = list(choice.lines)
    for place, line in enumerate(choice.lines.values()):
        steps = [(across.place(float(x)), up.place(float(y))) for x, y in line]
        corners = [(before[0], after[1]) for before, after in pairwise(steps)]
        path = [p for pair in zip(steps, [*corners, steps[-1]], strict=True) for p in pair]
        drawing.add_line(path, f"line c{place % 8}")
    for one, text in zip(choice.best, told, strict=True):
        place = order.index(one.device) if one.device in order else 0
        x, y = across.place(one.x), up.place(one.y)
        drawing.add_mark(x, y, f"mark c{place % 8}", place, text)
        drawing.add_text(x + 8, y - 7, str(one.number), "start", "label")
    for row, name in enumerate(order):
        line_y = HEIGHT + GAP + LINE * row + 6
        drawing.add_mark(LEFT, line_y - 4, f"mark c{row % 8}", row, name)
        drawing.add_text(LEFT + 12, line_y, fit(name, (drawing.width - LEFT - 20) / LETTER))
    add_lines(drawing, notes, HEIGHT + GAP + LINE * len(order))
    return drawing.print()


def draw_run(simulation: Simulation, width: int) -> str:
    """One simulation over its time: requests that run and wait, and blocks in use."""
    return draw_panels(find_run(simulation), "The run over time", width)


def draw_ladder(simulations: Sequence[Simulation], width: int) -> str:
    """Latency against load, with bands of the 90% intervals."""
    return draw_panels(find_ladder(simulations), "Latency against load", width)


def draw_panels(found: LoadPlot, title: str, width: int) -> str:
    """Panels below each other over one axis."""
    panel, gap = 190.0, 34.0
    names = [f"{line.name}: {write_ends(line, unit)}" for _, unit, lines in found.panels for line in lines]
    drawing = Drawing(width, (panel + gap) * len(found.panels) + 8, title, "; ".join([*found.title, *names]))
    for place, (named, unit, lines) in enumerate(found.panels):
        label = named.replace(" in use, % of all", ", %")
        reach = [value for line in lines for value in line.reach] or [0.0]
        size = pick_unit(reach, unit) if unit else None
        scale, symbol = (size.size, f" ({size.symbol})") if size else (1.0, "")
        across = Axis([float(x) for x in found.x], LEFT, drawing.width - RIGHT, found.across)
        start = (panel + gap) * place + panel
        up = Axis([0.0, *(v / scale for v in reach)], start - BOTTOM + 22, start - panel + TOP + 10, f"{label}{symbol}")
        drawing.add_axes(across, up, (plain, plain))
        for number, line in enumerate(lines):
            if line.low is not None and line.high is not None:
                band = [*zip(found.x, line.high, strict=True), *reversed([*zip(found.x, line.low, strict=True)])]
                finite = [(x, y) for x, y in band if math.isfinite(y)]
                drawing.add_area([(across.place(x), up.place(y / scale)) for x, y in finite], f"band c{number + 1}")
            look = f"line c{number + 1} dash{number}"
            points = [(x, y) for x, y in zip(found.x, line.y, strict=True) if math.isfinite(y)]
            drawing.add_line([(across.place(x), up.place(y / scale)) for x, y in points], look)
            if len(lines) > 1:
                at, above = LEFT + 8 + 110 * number, start - panel + 10
                drawing.add_line([(at, above), (at + 24, above)], look)
                drawing.add_text(at + 30, above + 4, line.name)
    return drawing.print()


def write_ends(line: Series, unit: str) -> str:
    """From where to where a line goes, in words."""
    reach = line.reach
    if not reach:
        return "nothing"
    write = format_seconds if unit == "s" else plain
    return f"{write(min(reach))} to {write(max(reach))}"


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of a picture's width."""
    return textwrap.wrap(text, max(int((width - 2 * RIGHT) / LETTER), 20))


def add_lines(drawing: Drawing, lines: Sequence[str], top: float) -> None:
    """Lines of a legend."""
    for row, text in enumerate(lines):
        drawing.add_text(RIGHT, top + LINE * row + 10, text, "start", "note")
