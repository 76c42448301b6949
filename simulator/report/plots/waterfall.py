"""Waterfall: from the bound, step by step, to the prediction."""

from __future__ import annotations

from typing import Any, NamedTuple

from simulator.errors import InputError
from simulator.explore.explanation import Explanation
from simulator.metrics.registry import METRICS
from simulator.report.plots.style import BLUE, GREY, ORANGE, new_figure, pick_unit, soften
from simulator.report.plots.text import align, draw_bar, join_lines
from simulator.report.plots.title import title_request
from simulator.units import format_seconds

TOTAL = "prediction"
NEGLIGIBLE = 1e-9  # of the whole: such steps are not drawn
NAME_COLUMNS, BAR_COLUMNS = 24, 32  # in characters
LABEL_ROOM = 1.32  # of the longest bar, for what stands beside it
LEAST_HEIGHT, ROW_INCHES = 1.6, 0.34
LOOKS = {"total": (BLUE, ""), "longer": (ORANGE, "///"), "shorter": (GREY, "...")}


class Step(NamedTuple):
    """A named change of the time, seconds; totals stand from zero."""

    name: str
    seconds: float


class Bar(NamedTuple):
    """One row of the picture: where it starts and ends, seconds, and whether it is a total."""

    name: str
    start_s: float
    end_s: float
    is_total: bool

    @property
    def kind(self) -> str:
        """``total``, ``longer`` or ``shorter``."""
        return "total" if self.is_total else "longer" if self.end_s >= self.start_s else "shorter"

    @property
    def label(self) -> str:
        """Its time, with a sign where it is a change."""
        seconds = self.end_s - self.start_s
        written = format_seconds(abs(seconds))
        return written if self.is_total else f"{'+' if seconds >= 0 else '−'}{written}"


class Waterfall(NamedTuple):
    """What the time is of, and its steps, the first of which is a time in itself."""

    title: list[str]
    steps: list[Step]

    @property
    def seconds(self) -> float:
        """The sum of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def bars(self) -> list[Bar]:
        """The steps one after the other, and their sum."""
        reached, bars = 0.0, []
        for place, step in enumerate(self.steps):
            bars.append(Bar(step.name, reached, reached + step.seconds, place == 0))
            reached += step.seconds
        return [*bars, Bar(TOTAL, 0.0, reached, True)]

    @property
    def longest_s(self) -> float:
        """Where the bar that reaches farthest ends."""
        return max(bar.end_s for bar in self.bars)


def find_waterfall(explanation: Explanation, metric: str) -> Waterfall:
    """Take the steps that change a time: ``ttft_s``, ``tpot_s`` or ``e2e_s``.

    Raises:
        InputError: the time of an output token, where there is one.
    """
    prediction = explanation.prediction
    passes = float(prediction.question.work.workload.output_tokens) - 1
    if metric == "tpot_s" and not passes:
        raise InputError("--of tpot_s: is not defined here: it needs 2 output tokens or more")
    first, others = {"ttft_s": (1.0, 0.0), "tpot_s": (0.0, 1 / max(passes, 1.0)), "e2e_s": (1.0, 1.0)}[metric]
    steps = [Step(step.name, first * step.prefill_s + others * step.decode_s) for step in explanation.waterfall]
    whole = sum(step.seconds for step in steps)
    kept = [step for place, step in enumerate(steps) if place == 0 or abs(step.seconds) > NEGLIGIBLE * whole]
    title = title_request(prediction, f"From the bound to the prediction: {METRICS[metric].label}")
    return Waterfall(title, kept)


def make_figure(found: Waterfall) -> Any:
    """The picture: a row a step, downwards."""
    bars = found.bars
    figure = new_figure(8.2, LEAST_HEIGHT + ROW_INCHES * len(bars), found.title)
    axes = figure.add_subplot()
    unit = pick_unit([found.longest_s], "s")
    for row, bar in enumerate(bars):
        start, width = bar.start_s / unit.size, (bar.end_s - bar.start_s) / unit.size
        colour, hatch = LOOKS[bar.kind]
        axes.barh(row, width, left=start, color=colour, hatch=hatch, edgecolor="black", linewidth=0.7, height=0.66)
        end = max(start, start + width)
        share = "" if bar.is_total else f"  ({100 * (bar.end_s - bar.start_s) / found.seconds:+.1f}%)"
        axes.annotate(bar.label + share, (end, row), xytext=(5, 0), textcoords="offset points", va="center")
        if row + 1 < len(bars):
            edge = bar.end_s / unit.size
            axes.plot([edge, edge], [row + 0.33, row + 0.67], color="black", linewidth=0.7)
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars], parse_math=False)
    axes.invert_yaxis()
    axes.set(xlim=(0, LABEL_ROOM * found.longest_s / unit.size), xlabel=f"time ({unit.symbol}); percent of the {TOTAL}")
    axes.tick_params(axis="y", length=0)
    soften(axes, "x")
    return figure


def print_text(found: Waterfall) -> str:
    """The same in characters."""
    bars = found.bars
    longest = found.longest_s
    lines = []
    for name, bar in zip(align([bar.name for bar in bars], NAME_COLUMNS), bars, strict=True):
        character = {"total": "#", "longer": "=", "shorter": "-"}[bar.kind]
        drawn = draw_bar(bar.start_s / longest, bar.end_s / longest, BAR_COLUMNS, character)
        share = f"{100 * (bar.end_s - bar.start_s) / found.seconds:.1f}%"
        lines.append(f"{name} {bar.label:>9} {share:>6}  |{drawn}|")
    return join_lines(found.title, lines, [f"percent: of the {TOTAL}"])
