"""How every picture looks and is made: readable in grey and without seeing colours, and the same file each time."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import InputError
from simulator.specfile import check_target

PICTURES = (".svg", ".png")
# Shapes tell things apart without colour; the colours are Okabe and Ito's, which differ in lightness too.
MARKS = "osD^vP<X>p*hd8"
# More of them, where many things must be told apart without colour; the octagon looks like the circle.
HOURGLASS = ((-1, -1), (1, -1), (-1, 1), (1, 1), (-1, -1))
BOW = ((-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -1))
ANGLE = ((-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1), (-1, -1))
SHAPES: tuple[Any, ...] = (*MARKS.rstrip("8"), (4, 1, 0), (7, 1, 0), HOURGLASS, BOW, ANGLE)
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
BLACK, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY = COLOURS
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (8, 3)), (0, (3, 1, 1, 1)))
# The salt makes names inside an SVG the same each time; sizes are in points.
DOTS_PER_INCH = 150
STYLE = {"svg.hashsalt": "roofcast", "font.size": 9.5, "axes.axisbelow": True, "figure.dpi": DOTS_PER_INCH}
TITLE_INCH = 0.078  # of a letter of a title, on average
# Multiples of powers of ten that a logarithmic axis is labelled at, the fewest first.
SUBDIVISIONS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
LEAST_LABELS = 3
LEAST_GAP = 0.24  # of the axis, between two labels: they are up to eight letters wide
LEAST_RATIO = 8.0  # of the ends of an axis that is logarithmic
MARK_POINTS = 7.0  # across a mark
PREFIXES = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15))
SECONDS = (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0))


class Unit(NamedTuple):
    """What numbers on an axis are in: the symbol, and its size in the SI unit."""

    symbol: str
    size: float


def check_picture(path: Path, option: str = "") -> None:
    """Refuse what cannot be drawn, before anything is written.

    Raises:
        InputError: another ending than .svg or .png.
    """
    if path.suffix not in PICTURES:
        raise InputError(f"{option}{path}: a picture ends in {' or '.join(PICTURES)}")


def render(make: Callable[[], Any], path: Path) -> bytes:
    """Return a picture in the format of a path's ending: the same bytes for the same picture.

    ``make`` builds the figure; it is called with the style set.

    Raises:
        InputError: another ending than .svg or .png, a place that cannot be written, or matplotlib is not installed.
    """
    check_picture(path)
    check_target(path)
    try:
        from matplotlib import style
    except ImportError:
        raise InputError("a picture needs matplotlib: pip install 'roofcast[plot]'") from None
    picture = io.BytesIO()
    with style.context(["default", STYLE]):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        make().savefig(picture, format=path.suffix[1:], metadata=metadata, dpi=DOTS_PER_INCH)
    return picture.getvalue()


def new_figure(width: float, height: float, title: Sequence[str]) -> Any:
    """An empty figure of so many inches below its title, whose lines are wrapped to the width."""
    from matplotlib.figure import Figure

    lines = wrap_lines(title, int(width / TITLE_INCH))
    figure = Figure(figsize=(width, height + 0.19 * len(lines)), layout="constrained")
    figure.suptitle("\n".join(lines), fontsize="medium", parse_math=False)
    return figure


def wrap_lines(lines: Sequence[str], letters: int) -> list[str]:
    """Each line cut between words into as many as it needs; names keep their hyphens together."""
    return [part for line in lines for part in textwrap.wrap(line, letters, break_on_hyphens=False)]


def add_legend(owner: Any, handles: Sequence[Any], place: str, **options: Any) -> Any:
    """A legend of a figure or of its axes; names in it may hold dollars, which would begin a formula."""
    legend = owner.legend(handles=handles, loc=place, frameon=False, **options)
    legend.get_title().set_fontsize(legend.get_texts()[0].get_fontsize())
    for text in legend.get_texts():
        text.set_parse_math(False)
    return legend


def soften(axes: Any, direction: str = "both") -> None:
    """A light grid, and no frame on the sides that carry no scale."""
    axes.grid(True, axis=direction, color="0.88", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def make_mark(place: int, label: str) -> Any:
    """The entry of a legend for the thing at a place of a list: its own shape and colour."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", markersize=MARK_POINTS, label=label, **choose_mark(place))


def choose_mark(place: int) -> dict[str, Any]:
    """Shape and colour of the thing at a place of a list."""
    return {"marker": SHAPES[place % len(SHAPES)], "color": COLOURS[place % len(COLOURS)]}


def pick_unit(values: Sequence[float], base: str) -> Unit:
    """The unit that numbers of an axis are easiest read in: of ``s``, or another base with a prefix.

    The largest is at least one in it; where the axis is logarithmic, the number in its middle.
    """
    low, high, logarithmic = find_ends(values)
    largest = math.sqrt(low * high) if logarithmic else high
    units = SECONDS if base == "s" else tuple((prefix + base, size) for prefix, size in PREFIXES)
    reached = [Unit(*unit) for unit in units if unit[1] <= largest]
    return reached[-1] if reached else Unit(*units[0])


def label_logarithmic(
    axis: Any, ends: tuple[float, float], gap: float = LEAST_GAP, write: Callable[[float], str] | None = None
) -> None:
    """Label a logarithmic axis at round numbers, written out."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": ends})
    axis.set_major_locator(FixedLocator(choose_ticks(*ends, gap)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: (write or write_plain)(value)))
    axis.set_minor_locator(NullLocator())


def fit_axis(axis: Any, values: Sequence[float], gap: float = 0.13, from_zero: bool = True) -> None:
    """Let an axis hold values from zero on, as ``find_ends`` has it."""
    low, high, logarithmic = find_ends(values, from_zero)
    if logarithmic:
        label_logarithmic(axis, (low, high), gap)
    else:
        axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})


def find_ends(values: Sequence[float], from_zero: bool = True) -> tuple[float, float, bool]:
    """Ends of an axis with room around values from zero on, and whether it is logarithmic: where they span much.

    Otherwise, and where one is zero, it is linear, and begins at zero if wanted.
    """
    low, high = min(values), max(values)
    if low > 0 and high / low >= LEAST_RATIO:
        room = (high / low) ** 0.05
        return low / room, high * room, True
    room = 0.05 * (high - low) or 0.05 * high or 1.0
    return 0.0 if from_zero else low - room, high + room, False


def drop_overlapping(figure: Any, axes: Any, texts: Sequence[Any], points: Sequence[tuple[float, float]]) -> None:
    """Take away each text that would touch one before it, or the mark of a point of the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    half = MARK_POINTS / 2 * figure.dpi / 72
    places = axes.transData.transform(points)
    kept = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in places]
    for text in texts:
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in kept):
            text.remove()
        else:
            kept.append(box)


def write_plain(value: float) -> str:
    """A number in up to four digits, thousands in groups; from ten million on, and far below one, with an exponent."""
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if value == 0 or 1e-4 <= abs(value) < 1e4 else f"{value:.3g}"


def choose_ticks(low: float, high: float, gap: float = LEAST_GAP) -> list[float]:
    """Where to label a logarithmic axis: round numbers, three or more where they leave room for each other."""
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tried = [[multiple * 10.0**ten for ten in tens for multiple in multiples] for multiples in SUBDIVISIONS]
    tried.append(list_even_ticks(low, high, 2 * LEAST_LABELS))
    fitting = [space_out([tick for tick in ticks if low <= tick <= high], low, high, gap) for ticks in tried]
    enough = [ticks for ticks in fitting if len(ticks) >= LEAST_LABELS]
    return enough[0] if enough else max(fitting, key=len)


def space_out(ticks: Sequence[float], low: float, high: float, gap: float = LEAST_GAP) -> list[float]:
    """The ticks that are far enough from the one before, on a logarithmic axis."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or math.log(tick / kept[-1]) >= gap * math.log(high / low):
            kept.append(tick)
    return kept


def list_even_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers at even steps from ``low`` to ``high``, at most so many."""
    rough = (high - low) / most
    ten = 10.0 ** math.floor(math.log10(rough))
    step = ten * next(multiple for multiple in (1.0, 2.0, 2.5, 5.0, 10.0) if multiple * ten >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = 15 - math.ceil(math.log10(max(abs(low), abs(high), step)))
    return [round(place * step, digits) for place in range(first, last + 1)]
