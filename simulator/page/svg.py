"""Pictures as SVG text: axes with round labels, in the page's own colours, as wide as the screen.

No style stands in them: the page's sheet gives colours by class (``c0`` to ``c7``), light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from simulator.report.plots.style import LEAST_RATIO, choose_ticks, list_even_ticks, write_plain

FONT = 13.0  # pixels
LETTER = 0.56 * FONT  # of a digit, on the mean
LEFT, RIGHT, TOP, BOTTOM = 66.0, 14.0, 12.0, 44.0  # room around the axes
NARROWEST, WIDEST = 280, 900
Point = tuple[float, float]


class Axis:
    """From numbers to pixels."""

    def __init__(self, values: Sequence[float], start: float, end: float, label: str, from_zero: bool = True) -> None:
        """Hold finite values between two pixels: logarithmic where they span much and are above zero."""
        low, high = min(values), max(values)
        self.logarithmic = low > 0 and high / low >= LEAST_RATIO
        if self.logarithmic:
            room = (high / low) ** 0.06
            self.low, self.high = low / room, high * room
        else:
            room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
            self.low, self.high = 0.0 if from_zero and low >= 0 else low - room, high + room
        self.start, self.end, self.label = start, end, label

    def place(self, value: float) -> float:
        """The pixel of a number, held within the axis."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def list_ticks(self, room: float) -> list[float]:
        """Round numbers to label, each with so many pixels of room."""
        most = max(int(abs(self.end - self.start) / room), 2)
        if self.logarithmic:
            return choose_ticks(self.low, self.high, 1 / most)
        return [tick for tick in list_even_ticks(self.low, self.high, most) if self.low <= tick <= self.high]


class Drawing:
    """Shapes and text in pixels; ``title`` and ``description`` are what a screen reader says."""

    def __init__(self, width: int, height: float, title: str, description: str) -> None:
        """An empty drawing."""
        self.width, self.height = min(max(width, NARROWEST), WIDEST), height
        self.title, self.description = title, description
        self.parts: list[str] = []

    def add_text(
        self, x: float, y: float, text: str, anchor: str = "start", kind: str = "label", turn: int = 0
    ) -> None:
        """A text; ``kind`` is its class."""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{turned}>{escape(text)}</text>'
        )

    def add_line(self, points: Sequence[Point], kind: str) -> None:
        """A path from point to point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" class="{kind}"/>')

    def add_area(self, points: Sequence[Point], kind: str) -> None:
        """A filled shape."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polygon points="{path}" class="{kind}"/>')

    def add_mark(self, x: float, y: float, kind: str, shape: int, said: str, radius: float = 5.0) -> None:
        """A mark of one of the shapes, with what a pointer over it says."""
        path = MARKS[shape % len(MARKS)](x, y, radius)
        self.parts.append(f'<path d="{path}" class="{kind}"><title>{escape(said)}</title></path>')

    def add_bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """A rectangle."""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>')

    def add_axes(self, across: Axis, up: Axis, write: tuple[Callable[[float], str], Callable[[float], str]]) -> None:
        """Both axes with a light grid."""
        for tick in across.list_ticks(62):
            x = across.place(tick)
            self.add_line([(x, up.start), (x, up.end)], "grid")
            self.add_text(x, up.start + 17, write[0](tick), "middle", "tick")
        for tick in up.list_ticks(34):
            y = up.place(tick)
            self.add_line([(across.start, y), (across.end, y)], "grid")
            self.add_text(across.start - 6, y + 4, write[1](tick), "end", "tick")
        middle = (across.start + across.end) / 2
        self.add_text(middle, up.start + 36, fit(across.label, self.width / LETTER), "middle")
        self.add_text(
            12, (up.start + up.end) / 2, fit(up.label, abs(up.start - up.end) / LETTER), "middle", "label", -90
        )

    def print(self) -> str:
        """The SVG."""
        head = f'<svg viewBox="0 0 {self.width} {self.height:.0f}" width="{self.width}" role="img"'
        said = f"<title>{escape(self.title)}</title><desc>{escape(self.description)}</desc>"
        return f'{head} aria-label="{escape(self.title, quote=True)}">{said}{"".join(self.parts)}</svg>'


def make_axes(
    width: int, height: float, x: Sequence[float], y: Sequence[float], labels: tuple[str, str], from_zero: bool = True
) -> tuple[Axis, Axis]:
    """Axes that hold so many numbers in a drawing of that size."""
    width = min(max(width, NARROWEST), WIDEST)
    across = Axis(x, LEFT, width - RIGHT, labels[0], from_zero)
    return across, Axis(y, height - BOTTOM, TOP, labels[1])


def fit(text: str, letters: float) -> str:
    """A text cut to so many letters."""
    return text if len(text) <= letters else text[: max(int(letters) - 1, 1)] + "…"


def draw_circle(x: float, y: float, r: float) -> str:
    """A path of a circle."""
    return f"M{x - r:.1f},{y:.1f}a{r:.1f},{r:.1f} 0 1,0 {2 * r:.1f},0a{r:.1f},{r:.1f} 0 1,0 {-2 * r:.1f},0Z"


def draw_corners(corners: Sequence[Point]) -> Callable[[float, float, float], str]:
    """A path through corners around a centre."""

    def draw(x: float, y: float, r: float) -> str:
        return "M" + "L".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners) + "Z"

    return draw


MARKS: tuple[Callable[[float, float, float], str], ...] = (
    draw_circle,
    draw_corners([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
    draw_corners([(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)]),
    draw_corners([(0, -1.1), (1.1, 0.9), (-1.1, 0.9)]),
    draw_corners([(0, 1.1), (1.1, -0.9), (-1.1, -0.9)]),
    draw_corners([(-1, -1), (1, -1), (-1, 1), (1, 1)]),
)
plain = write_plain
