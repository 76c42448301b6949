"""Errors of a profile on a table, as a picture: by size, by model or kind of operator, and by phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from calibration.fit.validate import Validation, find_size_class
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.report.plots.style import BLUE, COLOURS, MARKS, label_logarithmic, new_figure, soften
from simulator.report.plots.text import WIDTH, Canvas, Scale, align, join_lines
from simulator.timing.profile import Profile

BAND = 10.0  # percent, either side, that is shaded
OUTER, INNER = (5.0, 95.0), (25.0, 75.0)  # percentiles
TEXT_LINES, NUMBER_COLUMNS, MOST_NAME = 15, 25, 36  # in characters
ROW_INCHES = 0.27
CROWDED = 500  # points of a phase that are drawn smaller
SIZES = (128, 512, 2048, 8192, 32768)  # tokens of a batch, bounds of the classes
TOKENS = "tokens of the batch, prompt and output"


class Group(NamedTuple):
    """Errors of some rows, percent: mean size, and percentiles 5, 25, 50, 75 and 95."""

    name: str
    rows: int
    mape: float
    percentiles: tuple[float, ...]


class Residuals(NamedTuple):
    """Errors in percent of the measured value: of requests against their tokens by phase, and of groups of rows."""

    title: list[str]
    phases: list[str]
    points: dict[str, list[tuple[float, float]]]
    groups: dict[str, list[Group]]

    @property
    def most(self) -> float:
        """The largest error that is drawn, at least the band's."""
        groups = [abs(value) for groups in self.groups.values() for group in groups for value in group.percentiles]
        return 1.1 * max([*groups, *(abs(error) for _, error in self.list_points()), 1.2 * BAND])

    def list_points(self) -> list[tuple[float, float]]:
        """The points of all phases."""
        return [point for points in self.points.values() for point in points]


def find_residuals(validation: Validation, profile: Profile, table: str) -> Residuals:
    """Sort the errors of a validation."""
    rows, errors = validation.rows, 100 * validation.errors
    points: dict[str, list[tuple[float, float]]] = {}
    for row, error in zip(rows, errors.tolist(), strict=True):
        if row.model:
            points.setdefault(row.phase, []).append((float(count_tokens(row)), error))
    keys = {
        "phase": [row.phase.replace("_", " ") for row in rows],
        "size (tokens)": [classify_tokens(row) for row in rows],
        "model": [row.model for row in rows],
        "operator": [find_size_class(row) for row in rows],
    }
    groups = {name: group_errors(names, errors) for name, names in keys.items()}
    title = [f"Errors of profile {profile.id} on {table}", *describe_validation(validation, profile)]
    return Residuals(title, sorted(points), points, {name: found for name, found in groups.items() if found})


def describe_validation(validation: Validation, profile: Profile) -> list[str]:
    """Lines of a title: what was measured, the basis of its predictions, and how far off they are."""
    summary = validation.summarise()
    hardware = ", ".join(sorted({find_name(load_hardware, row.hardware) for row in validation.rows}))
    return [
        f"{hardware}, {find_name(load_stack, profile.stack)}; basis: {name_basis(validation.rows, profile)}",
        f"{summary['rows']:,} rows, mean error {100 * summary['mape']:.1f}%, "
        f"{100 * summary['coverage_90']:.0f}% in the 90% interval",
    ]


def find_name(load: Callable[[str], Any], id: str) -> str:
    """The name of a device or stack that ships; the id of another."""
    try:
        return str(load(id).name)
    except InputError:
        return id


def name_basis(rows: Sequence[Measurement], profile: Profile) -> str:
    """Whether all rows are of the profile's own device and stack."""
    own = all((row.hardware, row.stack) == (profile.hardware, profile.stack) for row in rows)
    return "calibrated" if own else "transfer"


def count_tokens(row: Measurement) -> int:
    """Tokens of all requests of a batch, of prompts and outputs."""
    return max(row.batch_size * (row.prompt_tokens + row.output_tokens), 1)


def classify_tokens(row: Measurement) -> str:
    """Size class of a request; empty of an operator."""
    if not row.model:
        return ""
    tokens = count_tokens(row)
    place = sum(tokens > edge for edge in SIZES)
    if place == len(SIZES):
        return f"past {SIZES[-1]:,}"
    return f"up to {SIZES[place]:,}"


def group_errors(names: Sequence[str], errors: Any) -> list[Group]:
    """A group for each name that is not empty, in the order of sizes where the names have one."""
    found = []
    for name in sorted(set(names) - {""}, key=lambda name: (name.startswith("past"), find_number(name), name)):
        chosen = errors[np.array([one == name for one in names])]
        percentiles = np.percentile(chosen, [OUTER[0], INNER[0], 50.0, INNER[1], OUTER[1]])
        found.append(Group(name, len(chosen), float(np.mean(np.abs(chosen))), tuple(percentiles.tolist())))
    return found


def find_number(name: str) -> int:
    """The bound of a size class; 0 of any other name."""
    digits = name.rpartition(" ")[2].replace(",", "")
    return int(digits) if name.startswith("up to ") and digits.isdecimal() else 0


def make_figure(found: Residuals) -> Any:
    """The picture: each request's error over its size, and strips of the percentiles of groups."""
    strips = {name: groups for name, groups in found.groups.items() if name != "size (tokens)" or not found.points}
    heights = [ROW_INCHES * len(groups) + 0.75 for groups in strips.values()]
    tall = max(sum(heights), 3.8)
    figure = new_figure(10.6 if found.points else 7.4, tall, found.title)
    parts = figure.subfigures(1, 2, width_ratios=[1.0, 1.1]) if found.points else [figure]
    if found.points:
        draw_points(parts[0].add_subplot(), found)
    panels = parts[-1].subplots(len(strips), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, (name, groups) in zip(panels, strips.items(), strict=True):
        draw_strips(panel, name, groups, found.most)
    panels[-1].set_xlabel("error of the prediction (%)\ndot: median, thick: half of the rows, thin: 90% of them")
    return figure


def draw_points(axes: Any, found: Residuals) -> None:
    """Errors of requests over their tokens, a shape and a colour a phase."""
    tokens = [size for size, _ in found.list_points()]
    axes.axhspan(-BAND, BAND, color="0.93", linewidth=0)
    axes.axhline(0, color="black", linewidth=0.8)
    for phase in sorted(found.phases, key=lambda phase: -len(found.points[phase])):
        x, y = zip(*found.points[phase], strict=True)
        place, crowded = found.phases.index(phase), len(x) > CROWDED
        look: Any = {"edgecolors": COLOURS[place % len(COLOURS)], "linewidths": 0.5 if crowded else 0.9}
        look |= {"s": 8 if crowded else 22, "alpha": 0.5 if crowded else 0.9, "marker": MARKS[place % len(MARKS)]}
        axes.scatter(x, y, facecolors="none", label=f"{phase} ({len(x):,})", gid="residual", **look)
    label_logarithmic(axes.xaxis, (min(tokens) / 1.4, max(tokens) * 1.4), 0.14)
    axes.set(
        xlabel=TOKENS, ylabel=f"error of the prediction (%), grey: within {BAND:.0f}%", ylim=(-found.most, found.most)
    )
    soften(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)


def draw_strips(panel: Any, name: str, groups: Sequence[Group], most: float) -> None:
    """Percentiles of each group, a line each."""
    panel.axvspan(-BAND, BAND, color="0.93", linewidth=0)
    panel.axvline(0, color="black", linewidth=0.8)
    for place, group in enumerate(groups):
        low, lower, middle, upper, high = group.percentiles
        panel.plot([low, high], [place, place], color=BLUE, linewidth=1.0)
        panel.plot([lower, upper], [place, place], color=BLUE, linewidth=5.0, solid_capstyle="butt")
        panel.plot(middle, place, "o", color="black", markerfacecolor="white", markersize=5, gid="median")
    labels = [f"{group.name} ({group.rows:,})" for group in groups]
    panel.set_yticks(range(len(groups)), labels, parse_math=False, fontsize=8.5)
    panel.set(xlim=(-most, most), ylim=(len(groups) - 0.4, -0.6))
    panel.set_title(f"by {name}", fontsize="medium", loc="left")
    panel.tick_params(axis="y", length=0)
    soften(panel, "x")


def print_text(found: Residuals) -> str:
    """The same in characters."""
    heads = [f"by {name}" for name in found.groups]
    width = max(map(len, [*heads, *(group.name for groups in found.groups.values() for group in groups)]))
    width = min(width, MOST_NAME)
    columns = (WIDTH - NUMBER_COLUMNS - width - 1) // 2 * 2 + 1
    tables = []
    for title, groups in zip(heads, found.groups.values(), strict=True):
        head = f"{'rows':>7} {'mean':>7} {'median':>7}  {print_strip_scale(found.most, columns)}"
        names = align([group.name for group in groups], width)
        rows = [
            print_group(f"{label:{width}}", one, found.most, columns) for label, one in zip(names, groups, strict=True)
        ]
        tables.append([f"{title:{width}}{head}", *rows])
    note = "strips: o median, = half of the rows, - 90% of them; mean: of the errors' sizes"
    return join_lines(found.title, print_points(found) if found.points else [], *tables, [note])


def print_strip_scale(most: float, columns: int) -> str:
    """Numbers above the strips: their ends and the middle."""
    side = columns // 2
    return f"{f'{-most:.0f}%':<{side}}0{f'{most:+.0f}%':>{side}}"


def print_points(found: Residuals) -> list[str]:
    """Errors of requests over their tokens: the first letter of the phase."""
    tokens = [size for size, _ in found.list_points()]
    scale = Scale(min(tokens) / 1.1, max(tokens) * 1.1, logarithmic=True)
    canvas = Canvas(scale, Scale(-found.most, found.most, write=lambda value: f"{value:+.0f}%"), TEXT_LINES)
    canvas.draw_line(lambda _: 0.0, "-")
    for phase in found.phases:
        for size, error in found.points[phase]:
            canvas.mark(size, error, phase[0], several="*")
    names = ", ".join(f"{phase[0]} {phase} ({len(found.points[phase]):,})" for phase in found.phases)
    return [*canvas.print(TOKENS, "error of the prediction"), f"{names}, * several"]


def print_group(label: str, group: Group, most: float, columns: int) -> str:
    """A line of one group."""
    strip = [" "] * columns
    places = [round((value / most + 1) / 2 * (columns - 1)) for value in group.percentiles]
    strip[(columns - 1) // 2] = "|"
    for first, last, character in ((places[0], places[4], "-"), (places[1], places[3], "=")):
        strip[first : last + 1] = character * (last + 1 - first)
    strip[places[2]] = "o"
    numbers = f"{group.rows:>7,} {f'{group.mape:.1f}%':>7} {f'{group.percentiles[2]:+.1f}%':>7}"
    return f"{label}{numbers}  {''.join(strip)}".rstrip()
