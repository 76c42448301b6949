"""Load: running and waiting requests and blocks in use over the time of one simulation, or latency against load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.report.output import format_cell
from simulator.report.plots.style import add_legend, fit_axis, make_mark, new_figure, pick_unit, soften
from simulator.report.plots.text import Canvas, Scale, choose_scale, join_lines
from simulator.serving.simulation import Simulation

LATENCIES = {"ttft_s": "time to first token", "tpot_s": "time per output token"}
COLUMNS = {"running": "running", "waiting": "waiting", "kv_blocks_used": "KV blocks in use, % of all"}
LETTERS = {"ttft_s": "F", "tpot_s": "P", "running": "R", "waiting": "W", "kv_blocks_used": "B"}
MOMENTS = 400  # that are drawn of a run
TEXT_LINES = 12  # of a panel in characters


class Series(NamedTuple):
    """One line: values from left to right, with the ends of their intervals where there are such."""

    name: str
    y: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None

    @property
    def reach(self) -> list[float]:
        """All that is drawn of it: an axis must hold the ends of the intervals too."""
        parts = np.concatenate([part for part in (self.y, self.low, self.high) if part is not None])
        return [float(value) for value in parts[np.isfinite(parts)]]


class LoadPlot(NamedTuple):
    """Panels below each other over one axis; ``unit`` of each: ``s`` takes a prefix."""

    title: list[str]
    across: str
    x: NDArray[np.float64]
    panels: list[tuple[str, str, list[Series]]]  # what is drawn, its unit, its lines


def describe_title(simulation: Simulation, load: str) -> list[str]:
    """What is drawn of what."""
    question = simulation.question
    d = question.work.deployment
    place = f"{question.model_label} on {d.devices} x {question.hardware.id}, {question.work.stack.id}"
    return [place, f"{load}, {question.basis}{question.caution}"]


def find_run(simulation: Simulation) -> LoadPlot:
    """One run over its time: what holds from each moment to the next, so in steps."""
    columns = simulation.over_time
    count = len(columns["time_s"])
    places = np.unique(np.linspace(0, count - 1, min(count, MOMENTS)).astype(int))
    total = simulation.kv_blocks * simulation.question.work.deployment.dp
    steps = {name: np.repeat(values[places], 2) for name, values in columns.items()}
    requests = [Series(name, steps[name][:-1]) for name in ("running", "waiting")]
    blocks = [Series("kv_blocks_used", 100 * steps["kv_blocks_used"][:-1] / total)]
    title = describe_title(simulation, simulation.setup.load.describe())
    panels = [("requests", "", requests), (COLUMNS["kv_blocks_used"], "", blocks)]
    return LoadPlot(title, "time (s)", steps["time_s"][1:], panels)


def find_ladder(simulations: Sequence[Simulation]) -> LoadPlot:
    """Mean latencies against the load, one simulation a step."""
    loads = [one.setup.load for one in simulations]
    closed = loads[0].concurrency is not None
    x = np.array([float(load.concurrency or load.request_rate or 0.0) for load in loads])
    panels = []
    for name, label in LATENCIES.items():
        y, low, high = (
            np.array([one.find(f"{name}_mean{end}") or np.nan for one in simulations]) for end in ("", "_low", "_high")
        )
        panels.append((f"mean {label}", "s", [Series(name, y, low, high)]))
    across = "requests in flight" if closed else "requests/s"
    return LoadPlot(describe_title(simulations[0], "mean latency against load"), across, x, panels)


def make_figure(found: LoadPlot) -> Any:
    """The panels below each other, intervals as bands."""
    figure = new_figure(7.2, 1.2 + 2.2 * len(found.panels), found.title)
    handles = []
    panels = np.atleast_1d(figure.subplots(len(found.panels), 1, sharex=True))
    for axes, (label, unit, lines) in zip(panels, found.panels, strict=True):
        size, symbol = 1.0, ""
        if unit:
            picked = pick_unit([value for line in lines for value in line.y.tolist()], unit)
            size, symbol = picked.size, f" ({picked.symbol})"
        for place, line in enumerate(lines):
            mark = make_mark(place, COLUMNS.get(line.name, label))
            axes.plot(found.x, line.y / size, color=mark.get_color(), gid=line.name)
            if line.low is not None and line.high is not None:
                axes.fill_between(found.x, line.low / size, line.high / size, color=mark.get_color(), alpha=0.2)
            if len(lines) > 1:
                handles.append(mark)
        fit_axis(axes.yaxis, [value / size for line in lines for value in line.reach], 0.1)
        axes.set(ylabel=f"{label}{symbol}")
        soften(axes)
    panels[-1].set(xlabel=found.across)
    if handles:
        add_legend(figure, handles, "outside lower center", ncols=len(handles), fontsize=8.5)
    return figure


def print_text(found: LoadPlot) -> str:
    """The same in characters, a letter a line."""
    parts = []
    for label, unit, lines in found.panels:
        values = [value for line in lines for value in line.y.tolist()]
        up = choose_scale(values, write_seconds) if unit else Scale(0.0, 1.1 * max(*values, 1.0))
        across = choose_scale(found.x.tolist()) if unit else Scale(0.0, max(float(found.x[-1]), 1e-9))
        canvas = Canvas(across, up, lines=TEXT_LINES)
        for line in lines:
            canvas.draw_path(list(zip(found.x.tolist(), line.y.tolist(), strict=True)), LETTERS[line.name])
        named = ", ".join(f"{LETTERS[line.name]} {COLUMNS.get(line.name, label)}" for line in lines)
        parts.append(canvas.print(found.across, named))
    return join_lines(found.title, *parts)


def write_seconds(value: float) -> str:
    """A time for an axis."""
    return format_cell("axis_s", value)
