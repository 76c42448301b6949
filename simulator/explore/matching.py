"""Which rows of a table are of the requests that a prediction is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import HARDWARE_FOLDER, MODEL_FOLDER, STACK_FOLDER, find_id, list_ids, load_stack
from simulator.inputs.measurements import Measurement, read_table
from simulator.metrics.layout import describe_deployment
from simulator.prediction import Prediction, store_weights

COUNTS = ("prompt_tokens", "output_tokens", "batch_size")


def match_measurement(path: Path, prediction: Prediction) -> dict[str, Any]:
    """Return the measured request that a single prediction is about: value, error of the prediction, source.

    Raises:
        InputError: the table has no such row, or the prediction is of several requests.
    """
    if isinstance(prediction.e2e_s, np.ndarray):
        raise InputError("--measured takes a single request, not a list or a range")
    asked = describe_asked(prediction)
    rows = [row for row in read_table(path) if row.metric == "e2e_s" and not row.is_load]
    if not rows:
        raise InputError(f"{path}: no e2e_s row")
    nearest, row = min(((find_differences(describe_row(row), asked), row) for row in rows), key=lambda one: len(one[0]))
    if nearest:
        raise InputError(f"{path}: no e2e_s row of this request; the nearest has {tell(nearest)}")
    return {"measured_e2e_s": row.value, "error": prediction.e2e_s / row.value - 1, "measured_source": row.source}


def tell(differences: dict[str, Any]) -> str:
    """What a row has otherwise, in words."""
    return ", ".join(f"{name} {value}" for name, value in differences.items())


def find_differences(row: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What a row has otherwise than asked for."""
    return {name: value for name, value in row.items() if value != asked[name]}


def describe_row(row: Measurement, but: str = "") -> dict[str, Any]:
    """What a row is of, but for one count. Names in a table may be aliases of what ships."""
    deployment = Deployment(
        tp=row.tp, pp=row.pp, dtype=row.activation_dtype, weight_dtype=row.weight_dtype, kv_dtype=row.kv_dtype
    )
    stack = find_id("stack", row.stack, STACK_FOLDER)
    if stack in list_ids(STACK_FOLDER):
        deployment = store_weights(deployment, load_stack(stack))
    return {
        "model": find_id("model", row.model, MODEL_FOLDER),
        "hardware": find_id("hardware", row.hardware, HARDWARE_FOLDER),
        "stack": stack,
        **describe_deployment(deployment),
        **{name: count(row, name) for name in COUNTS if name != but},
    }


def describe_asked(prediction: Prediction, but: str = "") -> dict[str, Any]:
    """The same of a prediction."""
    question = prediction.question
    workload = question.work.workload
    return {
        "model": question.model_label,
        "hardware": question.hardware.id,
        "stack": question.work.stack.id,
        **describe_deployment(question.work.deployment),
        **{name: int(np.ravel(getattr(workload, name))[0]) for name in COUNTS if name != but},
    }


def count(row: Measurement, name: str) -> int:
    """A count of a row's request. An empty prompt is predicted as one of a token, and no output as its first token."""
    return max(int(getattr(row, name)), 1)
