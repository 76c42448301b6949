"""What to keep of a sweep: conditions on its columns, Pareto's frontier, an order and how many rows.

A table is a mapping of columns, NumPy arrays of one length. Conditions come first, then the frontier, the order and
the number of rows. Equal rows keep the order of the grid, so a reduction may be applied to each chunk and again to
what the chunks left, with the same answer.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError, suggest
from simulator.explore.limits import parse_limit
from simulator.metrics.pareto import find_frontier, orient
from simulator.metrics.registry import find_column
from simulator.textfile import shorten

Table = dict[str, NDArray[Any]]
MOST_LETTERS = 200  # of a comparison
CONDITION = re.compile(r"\s*([\w.]+(?:/\w+)?)\s*(<=|>=|==|!=|<|>|=)\s*(.+?)\s*")
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


class Condition(NamedTuple):
    """A comparison of a column with a number or a text."""

    column: str
    sign: str
    value: float | str


class Objective(NamedTuple):
    """A column to minimise, or to maximise."""

    column: str
    largest: bool


class Reduction(NamedTuple):
    """Pareto's frontier, an order (``largest``: descending) and how many rows; each may be missing."""

    pareto: tuple[Objective, ...] = ()
    order: Objective | None = None
    top: int | None = None

    @property
    def columns(self) -> list[str]:
        """Columns that it looks at."""
        return [objective.column for objective in (*self.pareto, *([self.order] if self.order else []))]

    @property
    def bounds_rows(self) -> bool:
        """Whether a chunk may be reduced by itself."""
        return bool(self.pareto) or self.top is not None


def check_column(name: str, known: Sequence[str], where: str) -> str:
    """A column by its name.

    Raises:
        InputError: there is none.
    """
    name = name.strip()
    if name not in known:
        raise InputError(suggest(f"{where}: unknown column '{name}'", name, known))
    return name


def parse_condition(text: str, known: Sequence[str]) -> Condition:
    """Read ``tpot_s<0.05`` or ``decode_bound==memory``.

    Raises:
        InputError: no such column, or no comparison.
    """
    matched = CONDITION.fullmatch(text) if len(text) <= MOST_LETTERS else None
    if matched is None:
        raise InputError(
            f"--where: '{shorten(text)}' is not a comparison such as 'tpot_s<0.05' or 'decode_bound==memory'"
        )
    column = check_column(matched[1], known, "--where")
    return Condition(column, matched[2], read_value(matched[3]))


def read_value(text: str) -> float | str:
    """A number, true or false as a number, or text without its quotes."""
    if text.lower() in TRUTHS:
        return float(TRUTHS[text.lower()])
    try:
        return float(text)
    except ValueError:
        return text.strip("'\"")


def read_limit(text: str) -> Condition:
    """Read a limit such as ``ttft_s:0.5`` as a condition on its column.

    Raises:
        InputError: as ``parse_limit``.
    """
    limit = parse_limit(text)
    return Condition(limit.name, ">=" if limit.at_least else "<=", limit.bound)


def parse_objectives(
    text: str, known: Sequence[str], larger: frozenset[str] = frozenset()
) -> tuple[Objective, ...]:  # fmt: skip
    """Read ``ttft_s,output_tokens_per_s``: each in the sense in which it is better, or as ``min:`` and ``max:`` say.

    What has no sense, such as a number of tokens, is minimised; ``larger`` are better so beside those of the registry.

    Raises:
        InputError: no such column, or fewer than two.
    """
    found = []
    for part in text.split(","):
        sense, colon, name = part.strip().rpartition(":")
        if colon and sense not in ("min", "max"):
            raise InputError(f"--pareto: '{part.strip()}' is no column, min:COLUMN or max:COLUMN")
        column = check_column(name, known, "--pareto")
        measured = find_column(column)
        up = column in larger or (measured is not None and measured.metric.better == "up")
        best = "max" if up else "min"
        found.append(Objective(column, (sense or best) == "max"))
    if len(found) < 2:
        raise InputError(f"--pareto: '{text}' names one column; a trade-off needs two, such as ttft_s,cost_usd")
    return tuple(found)


def parse_order(text: str, known: Sequence[str]) -> Objective:
    """Read ``e2e_s``, ascending, or ``-e2e_s``, descending.

    Raises:
        InputError: no such column.
    """
    return Objective(check_column(text.strip().removeprefix("-"), known, "--sort"), text.strip().startswith("-"))


def parse_reduction(
    pareto: str | None, sort: str | None, top: int | None, known: Sequence[str], larger: frozenset[str] = frozenset()
) -> Reduction:
    """What is kept of the rows; ``larger`` names the columns that are better where they are larger, past the metrics.

    Raises:
        InputError: no such column, or no row is to be kept.
    """
    if top is not None and top < 1:
        raise InputError(f"--top is {top}; it must be at least 1")
    objectives = () if pareto is None else parse_objectives(pareto, known, larger)
    return Reduction(objectives, None if sort is None else parse_order(sort, known), top)


def find_rows(table: Mapping[str, NDArray[Any]]) -> int:
    """Rows of a table."""
    return len(next(iter(table.values()))) if table else 0


def take_rows(table: Table, places: Any) -> Table:
    """Rows of a table by place or mask."""
    return {name: column[places] for name, column in table.items()}


def join_tables(tables: Sequence[Table]) -> Table:
    """Tables of the same columns one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]} if tables else {}


def apply_conditions(table: Table, conditions: Sequence[Condition]) -> Table:
    """Rows that meet all conditions; what is not a number meets none.

    Raises:
        InputError: a number is compared with text.
    """
    if not conditions:
        return table
    kept = np.ones(find_rows(table), dtype=bool)
    for column, sign, value in conditions:
        kept &= compare(table[column], sign, value, column)
    return take_rows(table, kept)


def compare(values: NDArray[Any], sign: str, value: float | str, column: str) -> NDArray[np.bool_]:
    """Where a comparison holds."""
    is_text = values.dtype.kind in "OU"
    if is_text and sign not in ("==", "=", "!="):
        raise InputError(f"--where: {column} holds text, which is compared by == and != alone")
    if is_text and isinstance(value, float):
        value = f"{value:g}"
    if not is_text and isinstance(value, str):
        raise InputError(f"--where: {column} holds numbers, and '{value}' is none (SI units, without a unit)")
    met = np.asarray(COMPARISONS[sign](values, value), dtype=bool)
    return met & ~np.isnan(values) if values.dtype.kind == "f" else met


def reduce_table(table: Table, reduction: Reduction, final: bool = True) -> Table:
    """The frontier, the order and the first rows; not final: as much of it as a chunk can say by itself."""
    if reduction.pareto:
        table = take_rows(table, find_frontier(stack_objectives(table, reduction.pareto)))
        if not final:
            return table
    if reduction.order is not None and (final or reduction.top is not None):
        table = take_rows(table, sort_rows(table, reduction.order))
    if reduction.top is not None:
        table = take_rows(table, slice(reduction.top))
    return table


def sort_rows(table: Table, order: Objective) -> NDArray[np.intp]:
    """Places of the rows in order, what is not a number last, equal rows in the order they have."""
    return np.argsort(make_key(table[order.column], order.largest), kind="stable")


def make_key(values: NDArray[Any], descending: bool) -> NDArray[Any]:
    """Numbers whose ascending order is the one that is asked for."""
    if values.dtype.kind in "OU":
        values = np.unique(values.astype(str), return_inverse=True)[1]
    return -values.astype(np.float64) if descending else values


def stack_objectives(table: Table, objectives: Sequence[Objective]) -> NDArray[np.float64]:
    """The objectives of all rows, one a column, each to be minimised.

    Raises:
        InputError: an objective that is text.
    """
    for objective in objectives:
        if table[objective.column].dtype.kind in "OU":
            raise InputError(f"--pareto: {objective.column} holds text, which is neither small nor large")
    return orient([table[name] for name, _ in objectives], [largest for _, largest in objectives])
