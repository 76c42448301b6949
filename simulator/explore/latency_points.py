"""Measured points beside a curve: the rows of a table that are of the same requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simulator.errors import InputError
from simulator.explore.matching import count, describe_asked, describe_row, find_differences, tell
from simulator.inputs.measurements import Measurement, read_table
from simulator.prediction import Prediction

TIMES = {"ttft_s": "ttft_s", "prefill_s": "ttft_s", "tpot_s": "tpot_s", "e2e_s": "e2e_s"}
MOST_NAMED = 10  # counts in a message


class Measured(NamedTuple):
    """One measured time, seconds, with its standard deviation where it is known."""

    name: str
    x: float
    seconds: float
    std: float | None = None


def find_points(path: Path, prediction: Prediction, axis: str) -> list[Measured]:
    """Read the rows that differ from a prediction's requests in nothing but the axis, and lie within its range.

    Names in the table may be aliases of what ships. A row of output tokens per second gives the time of its request,
    and a time to first token is the same whatever is generated after it.

    Raises:
        InputError: the table has no such row, or is wrong.
    """
    counts = np.ravel(getattr(prediction.question.work.workload, axis))
    asked = describe_asked(prediction, axis)
    rows = [(row, list_points(row, axis)) for row in read_table(path) if not row.is_load]
    unlike = [(find_differences(describe_row(row, axis), asked), points) for row, points in rows if points]
    found = [point for differences, points in unlike for point in points if is_of(point, differences)]
    inside = [point for point in found if np.min(counts) <= point.x <= np.max(counts)]
    if inside:
        return inside
    if found:
        others = ", ".join(f"{x:,.0f}" for x in sorted({point.x for point in found})[:MOST_NAMED])
        raise InputError(f"{path}: no row of these requests within this range of {axis}; rows there are of {others}")
    if not unlike:
        raise InputError(f"{path}: no row of a time")
    nearest = min((differences for differences, _ in unlike), key=len)
    raise InputError(f"{path}: no row of these requests; the nearest has {tell(nearest)}")


def is_of(point: Measured, differences: dict[str, Any]) -> bool:
    """Whether a point of a row that differs so is of the requests asked for."""
    return not differences or (point.name == "ttft_s" and set(differences) == {"output_tokens"})


def list_points(row: Measurement, axis: str) -> list[Measured]:
    """The points of a row: a request of one token is its own first token too."""
    x = float(count(row, axis))
    if row.metric == "throughput_tok_s":
        return [Measured("e2e_s", x, row.batch_size * row.output_tokens / row.value)]
    if row.metric not in TIMES:
        return []
    point = Measured(TIMES[row.metric], x, row.value, row.std)
    alone = row.metric == "e2e_s" and row.output_tokens == 1
    return [point, point._replace(name="ttft_s")] if alone else [point]
