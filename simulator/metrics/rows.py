"""An answer as rows: what was asked, then every metric with the ends of its interval, one row a request."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.metrics.answered import Answered
from simulator.metrics.layout import describe_deployment
from simulator.metrics.registry import list_columns

COUNTS = ("prompt_tokens", "output_tokens", "batch_size")


def list_rows(answered: Answered) -> list[dict[str, Any]]:
    """One row a request: what was asked, then the fields of the answer."""
    question = answered.question
    workload, deployment = question.work.workload, question.work.deployment
    asked: dict[str, Any] = {
        "model": question.model_label,
        "hardware": question.hardware.id,
        "stack": question.work.stack.id,
        "profile": None if question.profile is None else question.profile.id,
        "carried": "; ".join(question.carried),
        "built_parameters": question.built_parameters,
        **describe_deployment(deployment),
        "formats_from": deployment.formats_from,
        **{name: getattr(workload, name) for name in COUNTS},
    }
    columns = asked | {name: answered.find(name) for name in list_columns()}
    arrays = {name: np.atleast_1d(np.asarray(value, dtype=object)).ravel() for name, value in flatten(columns).items()}
    size = max(len(array) for array in arrays.values())
    rows = []
    for index in range(size):
        row = {name: array[index if len(array) > 1 else 0] for name, array in arrays.items()}
        rows.append(row | {name: int(row[name]) for name in COUNTS})
    return rows


def flatten(columns: dict[str, Any]) -> dict[str, Any]:
    """Broadcast the array-valued columns against each other."""
    arrays = {name: value for name, value in columns.items() if isinstance(value, np.ndarray)}
    if not arrays:
        return columns
    return columns | dict(zip(arrays, np.broadcast_arrays(*arrays.values()), strict=True))
