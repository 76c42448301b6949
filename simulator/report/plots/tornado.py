"""Tornado: how much a metric grows with one percent more of each input, and which factor the interval comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

from simulator.explore.sensitivity import Sensitivity
from simulator.metrics.registry import METRICS
from simulator.report.plots.style import BLUE, GREEN, ORANGE, add_legend, new_figure, soften
from simulator.report.plots.text import align, draw_bar, join_lines
from simulator.report.plots.title import title_request

LOOKS = {"data sheet": (BLUE, ""), "rate": (GREEN, "..."), "factor": (ORANGE, "///")}
CHARACTERS = {"data sheet": "#", "rate": "$", "factor": "="}
NAME_COLUMNS, BAR_COLUMNS = 30, 26  # in characters
LEAST_HEIGHT, ROW_INCHES, NOTE_INCHES = 1.7, 0.29, 0.2
LEAST_ELASTICITY = 5e-4  # that is drawn
STEPPED = " *"  # behind the name of an input that the times follow in steps


class Row(NamedTuple):
    """One input, its name marked where the times follow it in steps.

    Beside the elasticity: the share of the interval's variance that knowing the input would take away.
    """

    name: str
    kind: str
    elasticity: float
    known_share: float | None

    @property
    def label(self) -> str:
        """The elasticity with its sign."""
        return f"{self.elasticity:+.3f}".replace("-", "−")


class Tornado(NamedTuple):
    """The inputs that matter most first, and how many matter less or not at all."""

    title: list[str]
    metric: str
    rows: list[Row]
    left_out: int

    @property
    def has_shares(self) -> bool:
        """Whether there is an interval to share out."""
        return any(row.known_share is not None for row in self.rows)

    @property
    def kinds(self) -> list[str]:
        """The kinds of input that are drawn."""
        return [kind for kind in LOOKS if any(row.kind == kind for row in self.rows)]

    @property
    def label(self) -> str:
        """What the bars say."""
        return f"change of the {METRICS[self.metric].label} (%) for 1% more of the input"

    @property
    def notes(self) -> list[str]:
        """What is not drawn, and what the mark of a step means."""
        steps = any(row.name.endswith(STEPPED) for row in self.rows)
        others = (
            f"{self.left_out} further inputs matter less or not at all" if self.left_out else "these are all inputs"
        )
        return [
            others,
            *(["*: the times follow this in steps, or bend here: the slope between the steps"] if steps else []),
        ]


def find_tornado(sensitivity: Sensitivity, most: int) -> Tornado:
    """Take the inputs with the largest elasticities of the metric that the sensitivity ranks by."""
    by = sensitivity.by
    slopes = [(one, one.elasticities[by] or 0.0) for one in sensitivity.influences]
    large = [(one, slope) for one, slope in slopes if abs(slope) >= LEAST_ELASTICITY]
    rows = [
        Row(one.name + (STEPPED if one.stepped else ""), one.kind, slope, one.known_share)
        for one, slope in large[:most]
    ]
    title = title_request(sensitivity.prediction, f"What the {METRICS[by].label} depends on")
    return Tornado(title, by, rows, len(slopes) - len(rows))


def make_figure(found: Tornado) -> Any:
    """The picture: bars of the elasticities, and beside them the shares of the interval where there is one."""
    from matplotlib.patches import Patch

    height = LEAST_HEIGHT + ROW_INCHES * len(found.rows) + NOTE_INCHES * len(found.notes)
    figure = new_figure(8.6, height, found.title)
    columns = 2 if found.has_shares else 1
    ratios = [2.2, 1.0][:columns]
    panels = figure.subplots(1, columns, squeeze=False, sharey=True, width_ratios=ratios)[0]
    draw_elasticities(panels[0], found)
    if found.has_shares:
        draw_shares(panels[1], found)
    panels[0].set_yticks(range(len(found.rows)), [row.name for row in found.rows], parse_math=False)
    panels[0].invert_yaxis()
    handles = [Patch(facecolor=LOOKS[k][0], hatch=LOOKS[k][1], edgecolor="black", label=k) for k in found.kinds]
    notes = "\n".join(found.notes)
    add_legend(figure, handles, "outside lower center", ncols=len(handles), title=notes)
    return figure


def draw_elasticities(panel: Any, found: Tornado) -> None:
    """Bars to the left where more of the input makes the time shorter, to the right where longer."""
    for place, row in enumerate(found.rows):
        colour, hatch = LOOKS[row.kind]
        panel.barh(place, row.elasticity, color=colour, hatch=hatch, edgecolor="black", linewidth=0.7, height=0.7)
        left = row.elasticity < 0
        text: Any = {"xytext": (-4 if left else 4, 0), "textcoords": "offset points", "ha": "right" if left else "left"}
        panel.annotate(row.label, (row.elasticity, place), va="center", fontsize=8.5, **text)
    values = [row.elasticity for row in found.rows]
    span = max(max(values), 0.0) - min(min(values), 0.0)
    panel.set_xlim(min(min(values), 0.0) - 0.22 * span, max(max(values), 0.0) + 0.22 * span)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel(found.label.replace(" for ", "\nfor "))
    panel.tick_params(axis="y", length=0)
    soften(panel, "x")


def draw_shares(panel: Any, found: Tornado) -> None:
    """Bars of how much of the interval's variance would go were a factor known exactly."""
    shares = [100 * (row.known_share or 0.0) for row in found.rows]
    for place, row in enumerate(found.rows):
        if row.known_share is None:
            continue
        panel.barh(place, shares[place], color="0.45", edgecolor="black", linewidth=0.7, height=0.7)
        text: Any = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
        panel.annotate(f"{shares[place]:.1f}%", (shares[place], place), **text)
    panel.set_xlim(0, 1.3 * max([*shares, 1.0]))
    panel.set_xlabel("of the interval's variance (%),\ngone were it known exactly")
    panel.tick_params(axis="y", length=0)
    soften(panel, "x")


def print_text(found: Tornado) -> str:
    """The same in characters."""
    values = [row.elasticity for row in found.rows]
    low, high = min(min(values), 0.0), max(max(values), 0.0)
    zero = -low / (high - low)
    names = align([row.name for row in found.rows], NAME_COLUMNS)
    head = f"{'':{len(names[0])}} {'percent':>8}  {'':{BAR_COLUMNS + 2}}" + (" interval" if found.has_shares else "")
    lines = [head.rstrip()]
    for name, row in zip(names, found.rows, strict=True):
        end = (row.elasticity - low) / (high - low)
        drawn = draw_bar(zero, end, BAR_COLUMNS, CHARACTERS[row.kind])
        share = "" if row.known_share is None else f"{100 * row.known_share:8.1f}%"
        lines.append(f"{name} {row.label:>8}  |{drawn}|{share}".rstrip())
    legend = [f"{CHARACTERS[kind]} {kind}" for kind in found.kinds]
    shares = ["interval: share of its variance that would go were the factor known exactly"] if found.has_shares else []
    return join_lines(found.title, lines, [*legend, f"percent: {found.label}", *shares, *found.notes])
