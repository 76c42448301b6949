"""Measured points beside a curve: the rows of a table that are of the same requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from calibration.measurements import Measurement, read_table
from simulator.errors import InputError
from simulator.inputs.library import HARDWARE_FOLDER, MODEL_FOLDER, STACK_FOLDER, index_names
from simulator.prediction import Prediction
from simulator.report.plots.latency import AXES, Measured

TIMES = {"ttft_s": "ttft_s", "prefill_s": "ttft_s", "tpot_s": "tpot_s", "e2e_s": "e2e_s"}


def find_points(path: Path, prediction: Prediction, axis: str) -> list[Measured]:
    """Read the rows that differ from a prediction's requests in nothing but the axis, and lie within its range.

    Names in the table may be aliases of what ships. A row of output tokens per second gives the time of its request.

    Raises:
        InputError: the table has no such row, or is wrong.
    """
    values = np.ravel(getattr(prediction.question.work.workload, axis))
    rows = [row for row in read_table(path) if describe_row(row, axis) == describe_asked(prediction, axis)]
    inside = [row for row in rows if float(np.min(values)) <= getattr(row, axis) <= float(np.max(values))]
    if not inside:
        raise InputError(f"{path}: no row of these requests ({len(rows)} with other values of {axis})")
    return [point for row in inside for point in list_points(row, axis)]


def describe_row(row: Measurement, axis: str) -> dict[str, Any]:
    """What a row is of, but for its place on the axis."""
    return {
        "model": find_id(MODEL_FOLDER, row.model),
        "hardware": find_id(HARDWARE_FOLDER, row.hardware),
        "stack": find_id(STACK_FOLDER, row.stack),
        "layout": (row.tp, row.pp),
        "formats": (row.activation_dtype, row.weight_dtype, row.kv_dtype),
        **{name: getattr(row, name) for name in AXES if name != axis},
    }


def describe_asked(prediction: Prediction, axis: str) -> dict[str, Any]:
    """The same of a prediction."""
    question = prediction.question
    d, workload = question.work.deployment, question.work.workload
    return {
        "model": question.model_label,
        "hardware": question.hardware.id,
        "stack": question.work.stack.id,
        "layout": (d.tp, d.pp),
        "formats": (d.dtype, d.weight_dtype or d.dtype, d.kv_dtype or d.dtype),
        **{name: int(np.ravel(getattr(workload, name))[0]) for name in AXES if name != axis},
    }


def find_id(folder: Path, name: str) -> str:
    """The id of what ships under a name; any other name as it is."""
    path = index_names(folder).get(name.lower())
    return name if path is None else path.stem


def list_points(row: Measurement, axis: str) -> list[Measured]:
    """The points of a row: a request of one token is its own first token too."""
    x = float(getattr(row, axis))
    if row.metric == "throughput_tok_s":
        return [Measured("e2e_s", x, row.batch_size * row.output_tokens / row.value)]
    if row.metric not in TIMES:
        return []
    point = Measured(TIMES[row.metric], x, row.value, row.std)
    alone = row.metric == "e2e_s" and row.output_tokens == 1
    return [point, point._replace(name="ttft_s")] if alone else [point]
