"""Pictures in plain characters, at most 80 columns wide: a grid with two axes, and bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from simulator.report.plots.style import choose_ticks, find_ends, list_even_ticks, wrap_lines, write_plain

WIDTH = 80  # columns of a picture
COLUMNS, LINES = 64, 20  # of the grid inside its axes
MARGIN = WIDTH - COLUMNS - 2  # columns left of the grid
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Scale:
    """One axis: its ends, whether it is logarithmic, and how its numbers are written."""

    low: float
    high: float
    logarithmic: bool = False
    write: Callable[[float], str] = write_plain

    def place(self, value: float) -> float:
        """Where a value is: 0 at the low end, 1 at the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, place: float) -> float:
        """The value at a place."""
        if self.logarithmic:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)

    def ticks(self, gap: float) -> list[float]:
        """Round values to label, at least so far apart."""
        if self.logarithmic:
            return choose_ticks(self.low, self.high, gap)
        return list_even_ticks(self.low, self.high, int(1 / gap))


@dataclass
class Canvas:
    """Characters on a grid. What is drawn later stands on top."""

    x: Scale
    y: Scale
    lines: int = LINES
    cells: dict[tuple[int, int], str] = field(default_factory=dict)

    def mark(self, x: float, y: float, character: str, several: str = "") -> None:
        """Put a character at a point; nothing where the point is outside or not a number.

        ``several`` stands in its place where another letter is there already.
        """
        across, up = self.x.place(x), self.y.place(y)
        if 0 <= across <= 1 and 0 <= up <= 1:
            cell = round(up * (self.lines - 1)), round(across * (COLUMNS - 1))
            there = self.cells.get(cell, " ")
            met = several and there != character and (there.isalpha() or there == several)
            self.cells[cell] = several if met else character

    def draw_line(self, law: Callable[[float], float], character: str) -> None:
        """Draw a function of x over all columns."""
        for column in range(COLUMNS):
            x = self.x.value(column / (COLUMNS - 1))
            self.mark(x, law(x), character)

    def draw_path(self, points: Sequence[tuple[float, float]], character: str) -> None:
        """Draw straight lines from each point to the next, on the axes as they are."""
        for (x, y), (next_x, next_y) in pairwise(points):
            ends = [scale.place(value) for scale, value in ((self.x, x), (self.x, next_x))]
            heights = [self.y.place(y), self.y.place(next_y)]
            steps = max(
                2, math.ceil(COLUMNS * abs(ends[1] - ends[0])), math.ceil(self.lines * abs(heights[1] - heights[0]))
            )
            for step in range(steps + 1):
                share = step / steps
                across = ends[0] + share * (ends[1] - ends[0])
                self.mark(self.x.value(across), self.y.value(heights[0] + share * (heights[1] - heights[0])), character)

    def print(self, x_label: str, y_label: str) -> list[str]:
        """The lines of the picture with its axes."""
        labels = {round(self.y.place(tick) * (self.lines - 1)): self.y.write(tick) for tick in self.y.ticks(0.2)}
        lines = [y_label]
        for row in reversed(range(self.lines)):
            inside = "".join(self.cells.get((row, column), " ") for column in range(COLUMNS))
            lines.append(f"{labels.get(row, ''):>{MARGIN}} {'+' if row in labels else '|'}{inside}".rstrip())
        return [*lines, *self.print_scale(), f"{x_label:>{WIDTH}}"]

    def print_scale(self) -> list[str]:
        """The horizontal axis: a line with ticks, and their numbers below."""
        axis, numbers = ["-"] * COLUMNS, [" "] * WIDTH
        taken = 0
        for tick in self.x.ticks(0.12):
            column, text = round(self.x.place(tick) * (COLUMNS - 1)), self.x.write(tick)
            first = min(MARGIN + 2 + column - len(text) // 2, WIDTH - len(text))
            if first < taken:
                continue
            axis[column] = "+"
            numbers[first : first + len(text)] = text
            taken = first + len(text) + 1
        return [" " * (MARGIN + 1) + "+" + "".join(axis), "".join(numbers).rstrip()]


def choose_scale(values: Sequence[float], write: Callable[[float], str] = write_plain, from_zero: bool = True) -> Scale:
    """A scale that holds values above zero, as the axis of a figure would."""
    low, high, logarithmic = find_ends(values, from_zero)
    return Scale(low, high, logarithmic, write)


def join_lines(title: Sequence[str], *parts: Sequence[str]) -> str:
    """The text of a picture: its title, wrapped, and its parts with an empty line before each."""
    return "\n".join([*wrap_lines(title, WIDTH), *(line for part in parts if part for line in ("", *part))])


def draw_bar(start: float, end: float, width: int, character: str) -> str:
    """A bar between two shares of a width, at least one character long."""
    first, last = sorted((round(start * width), round(end * width)))
    first = min(first, width - 1)
    last = max(last, first + 1)
    return (" " * first + character * (last - first)).ljust(width)


def align(names: Sequence[str], most: int) -> list[str]:
    """Names padded to one width, cut where they are too long."""
    width = min(max(map(len, names)), most)
    return [(name if len(name) <= width else name[: width - 1] + "…").ljust(width) for name in names]
