"""Roofline: the device's limits, and the operators of prefill and decode as the prediction has them.

Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model", doi 10.1145/1498765.1498785.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from simulator.prediction import Prediction
from simulator.report.plots.style import (
    BLUE,
    GREY,
    LINES,
    SHAPES,
    VERMILION,
    add_legend,
    label_logarithmic,
    new_figure,
    pick_unit,
    soften,
    wrap_lines,
)
from simulator.report.plots.text import LETTERS, WIDTH, Canvas, Scale, align, join_lines
from simulator.report.plots.title import title_request
from simulator.timing.passes import OperatorTime, PassTime
from simulator.units import format_quantity

COLOURS = {"prefill": VERMILION, "decode": BLUE}
ENTRY_INCHES, OTHER_ENTRIES = 0.182, 7  # of the legend
INTENSITY = "arithmetic intensity (FLOP/byte of device memory)"
NAME_COLUMNS = 28  # of an operator in characters
SMALLEST_MARK, LARGEST_MARK = 30.0, 200.0  # area of a mark in square points, by its operator's share of the pass


class Roof(NamedTuple):
    """The peak of one or several formats; ``used`` where products of this prediction run at it."""

    dtypes: tuple[str, ...]
    flops_per_s: float
    used: bool

    @property
    def label(self) -> str:
        """Formats with their peak."""
        return f"{', '.join(self.dtypes)}: {format_quantity(self.flops_per_s, 'FLOP/s')}"


class Point(NamedTuple):
    """All runs of one operator in a pass; ``share`` of the pass's operator time."""

    name: str
    phase: str
    intensity: float
    flops_per_s: float
    share: float


class Roofline(NamedTuple):
    """Roofs, points, and the share of each phase's operator time that has no matrix FLOPs and so no place here."""

    title: list[str]
    bandwidth_bytes_per_s: float
    roofs: list[Roof]
    points: list[Point]
    left_out: dict[str, float]

    @property
    def top(self) -> float:
        """The highest roof in use."""
        return max(roof.flops_per_s for roof in self.roofs if roof.used)

    @property
    def ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ends of both axes: around the points and the ridge."""
        ridge = self.top / self.bandwidth_bytes_per_s
        across = [ridge, *(point.intensity for point in self.points)]
        up = [point.flops_per_s for point in self.points]
        highest = max(self.top, *(roof.flops_per_s for roof in self.roofs))
        low = min([*across, 1.0]) / 3
        return (low, max(across) * 3), (min([*up, low * self.bandwidth_bytes_per_s]) / 2, highest * 2)

    @property
    def memory(self) -> str:
        """The slope with its bandwidth."""
        return f"memory: {format_quantity(self.bandwidth_bytes_per_s, 'B/s')}"

    @property
    def note(self) -> str:
        """What is not drawn."""
        shares = " and ".join(f"{100 * share:.0f}% of {phase}" for phase, share in self.left_out.items())
        return f"not drawn, since they have no matrix FLOPs: operators that take {shares}"


def find_roofline(prediction: Prediction) -> Roofline:
    """Collect the roofs of a device and the operators of a single request."""
    request, hardware = prediction.request, prediction.question.hardware
    device = prediction.question.machine.device
    used = {float(device.peak_flops_per_s), float(device.wide_peak_flops_per_s)}
    peaks: dict[float, list[str]] = {}
    for dtype, peak in hardware.compute.matrix_peak.items():
        peaks.setdefault(float(peak), []).append(dtype)
    roofs = [Roof(tuple(dtypes), peak, peak in used) for peak, dtypes in sorted(peaks.items(), reverse=True)]
    passes = {"prefill": request.prefill}
    if prediction.question.work.workload.output_tokens > 1:
        passes["decode"] = request.decode
    points = [point for phase, timed in passes.items() for point in list_points(phase, timed)]
    drawn = {phase: sum(point.share for point in points if point.phase == phase) for phase in passes}
    left_out = {phase: max(1 - share, 0.0) for phase, share in drawn.items()}
    title = title_request(prediction, "Roofline of one device")
    return Roofline(title, float(device.bandwidth_bytes_per_s), roofs, points, left_out)


def list_points(phase: str, timed: PassTime) -> list[Point]:
    """The operators of a pass with matrix FLOPs, those of one name and intensity together."""
    everything = sum(float(one.count * one.seconds) for one in timed.operators)
    groups: dict[tuple[str, float], list[OperatorTime]] = {}
    for one in timed.operators:
        if one.operator.flops > 0 and one.operator.bytes_moved > 0 and one.count > 0:
            intensity = float(one.operator.flops / one.operator.bytes_moved)
            groups.setdefault((one.operator.name, intensity), []).append(one)
    points = []
    for (name, intensity), group in groups.items():
        seconds = sum(float(one.count * one.seconds) for one in group)
        flops = sum(float(one.count * one.operator.flops) for one in group)
        points.append(Point(name, phase, intensity, flops / seconds, seconds / everything))
    return points


def make_figure(found: Roofline) -> Any:
    """The picture: a mark's shape is its operator, its colour the phase, its area the share of the pass."""
    entries = len(found.roofs) + len({point.name for point in found.points}) + OTHER_ENTRIES
    figure = new_figure(8.6, max(4.9, ENTRY_INCHES * entries + 0.4), found.title)
    axes = figure.add_subplot()
    across, up = found.ends
    unit = pick_unit(up, "FLOP/s")
    label_logarithmic(axes.xaxis, across, 0.1)
    label_logarithmic(axes.yaxis, (up[0] / unit.size, up[1] / unit.size), 0.1)
    handles = [*draw_roofs(axes, found, unit.size), *draw_points(axes, found, unit.size)]
    soften(axes)
    axes.set(xlabel=INTENSITY, ylabel=f"predicted speed of the operator ({unit.symbol})")
    axes.annotate(found.note, (0, 0), xytext=(0, -46), xycoords="axes fraction", textcoords="offset points", fontsize=8)
    add_legend(axes, handles, "upper left", bbox_to_anchor=(1.01, 1.02), fontsize=8.5)
    return figure


def draw_roofs(axes: Any, found: Roofline, size: float) -> list[Any]:
    """Draw the memory's slope and a roof for each peak; return their entries of the legend."""
    (low, high), _ = found.ends
    bandwidth = found.bandwidth_bytes_per_s
    last = min(max(roof.flops_per_s for roof in found.roofs) / bandwidth, high)
    across = sorted({low, min(found.top / bandwidth, last), last})
    handles = []
    for ends, colour, width in ((across[:2], "black", 1.8), (across[1:], GREY, 1.1)):
        speeds = [edge * bandwidth / size for edge in ends]
        handles += axes.plot(ends, speeds, color=colour, linewidth=width, label=found.memory, gid="memory")
    del handles[1:]
    ranked = sorted(found.roofs, key=lambda roof: not roof.used)
    for roof in found.roofs:
        ridge = max(roof.flops_per_s / bandwidth, low)
        style = LINES[ranked.index(roof) % len(LINES)]
        look = {"color": "black", "linewidth": 1.8} if roof.used else {"color": GREY, "linewidth": 1.1}
        speeds = [roof.flops_per_s / size] * 2
        handles += axes.plot([ridge, high], speeds, label=roof.label, linestyle=style, gid="roof", **look)
    return handles


def draw_points(axes: Any, found: Roofline, size: float) -> list[Any]:
    """Draw the operators; return entries of the legend for phases and for operators."""
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(point.name for point in found.points))
    for point in sorted(found.points, key=lambda one: -one.share):
        axes.scatter(
            point.intensity,
            point.flops_per_s / size,
            s=SMALLEST_MARK + (LARGEST_MARK - SMALLEST_MARK) * point.share,
            marker=SHAPES[names.index(point.name) % len(SHAPES)],
            facecolors="none" if point.phase == "decode" else COLOURS[point.phase] + "80",
            edgecolors=COLOURS[point.phase],
            linewidths=1.3,
            zorder=3,
            gid=f"{point.phase}: {point.name}",
        )
    phases = dict.fromkeys(point.phase for point in found.points)
    blank = Line2D([], [], linestyle="", label="")
    looks = {"prefill": ("filled", COLOURS["prefill"] + "80"), "decode": ("open", "none")}
    handles = [blank]
    for phase in phases:
        said, face = looks[phase]
        mark: Any = {"marker": "s", "markersize": 8, "markeredgecolor": COLOURS[phase], "markerfacecolor": face}
        handles.append(Line2D([], [], linestyle="", label=f"{phase} ({said})", **mark))
    handles += [Line2D([], [], linestyle="", label="larger: more of the time"), blank]
    for place, name in enumerate(names):
        mark = {"marker": SHAPES[place % len(SHAPES)], "markersize": 7, "color": "0.35", "markerfacecolor": "none"}
        handles.append(Line2D([], [], linestyle="", label=name, **mark))
    return handles


def follow_roof(ridge: float, peak: float, intensity: float) -> float:
    """A roof at one intensity; not a number left of its ridge."""
    return peak if intensity >= ridge else math.nan


def print_text(found: Roofline) -> str:
    """The same in characters: a letter an operator, capital in decode."""
    across, up = found.ends
    scales = (
        Scale(*across, logarithmic=True),
        Scale(*up, logarithmic=True, write=lambda value: format_quantity(value, "FLOP/s")),
    )
    canvas = Canvas(*scales)
    for roof in found.roofs:
        peak = roof.flops_per_s
        ridge = peak / found.bandwidth_bytes_per_s
        canvas.draw_line(partial(follow_roof, ridge, peak), "=" if roof.used else "-")
    highest = max(roof.flops_per_s for roof in found.roofs)
    canvas.draw_line(lambda x: speed if (speed := x * found.bandwidth_bytes_per_s) <= highest else math.nan, "/")
    names = list(dict.fromkeys(point.name for point in found.points))
    labels = align(["operator", *(point.name for point in found.points)], NAME_COLUMNS)
    lines = [f"   {labels[0]} {'phase':7} {'FLOP/byte':>10} {'speed':>13} {'of the pass':>12}"]
    for label, point in zip(labels[1:], found.points, strict=True):
        letter = LETTERS[names.index(point.name) % 26]
        letter = letter.upper() if point.phase == "decode" else letter
        canvas.mark(point.intensity, point.flops_per_s, letter, several="*")
        speed = format_quantity(point.flops_per_s, "FLOP/s")
        share = f"{100 * point.share:.1f}%"
        lines.append(f"{letter}  {label} {point.phase:7} {point.intensity:10.4g} {speed:>13} {share:>12}")
    roofs = [f"{'===' if roof.used else '---'} {roof.label}" for roof in found.roofs]
    picture = canvas.print(INTENSITY, "predicted speed")
    lines.append("*  several of them")
    return join_lines(found.title, picture, [f"/// {found.memory}", *roofs], lines, wrap_lines([found.note], WIDTH))
