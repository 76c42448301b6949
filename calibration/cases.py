"""Rows of a table -> questions for the predictor: rows that differ only in their token counts become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.measurements import Measurement
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.prediction import Prediction, Question, answer, resolve
from simulator.timing.efficiency import Factors, Profile
from simulator.timing.request import Times, combine_times, find_throughput

Array = NDArray[np.float64]


class Case(NamedTuple):
    """One question over several rows of the table: their indices, metrics and the question itself."""

    indices: list[int]
    metrics: list[str]
    question: Question


def build_cases(
    rows: list[Measurement],
    calibration: Profile | str,
    hardware: Hardware | None = None,
    stack: Stack | None = None,
) -> list[Case]:
    """Group rows by everything but token counts, batch and metric, and resolve each group.

    ``hardware`` and ``stack`` stand for what the rows name; None: what ships under that name, and the profile's stack.

    Raises:
        InputError: a row that the predictor cannot answer, named.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(rows):
        key = (row.model, row.hardware, row.tp, row.pp, row.activation_dtype, row.weight_dtype, row.kv_dtype)
        groups.setdefault(key, []).append(index)
    return [build_case(rows, indices, calibration, hardware, stack) for indices in groups.values()]


def build_case(
    rows: list[Measurement],
    indices: list[int],
    calibration: Profile | str,
    hardware: Hardware | None,
    stack: Stack | None,
) -> Case:
    """Resolve one group of rows."""
    first = rows[indices[0]]
    deployment = Deployment(first.tp, first.pp, first.activation_dtype, first.weight_dtype, first.kv_dtype)
    members = [rows[index] for index in indices]
    # A generation from an empty context starts with one token, and a prefill gives one.
    workload = Workload(
        np.array([max(row.prompt_tokens, 1) for row in members], dtype=np.float64),
        np.array([max(row.output_tokens, 1) for row in members], dtype=np.float64),
        np.array([row.batch_size for row in members], dtype=np.float64),
    )
    try:
        question = resolve(first.model, hardware or first.hardware, calibration, stack, deployment, workload)
    except InputError as error:
        raise InputError(f"rows of {first.model} on {first.hardware}: {error}") from None
    return Case(indices, [row.metric for row in members], question)


def predict_case(case: Case, factors: Factors) -> Array:
    """Predicted value of each row's metric for a set of factors; leading axes of the factors stay in front."""
    times = combine_times(case.question.times(factors), case.question.work.workload)
    return pick_metrics(case, times)


def pick_metrics(case: Case, times: Times) -> Array:
    """Each row's metric out of the three times."""
    request = case.question.work.workload
    by_metric = {
        "e2e_s": times.e2e_s,
        "ttft_s": times.ttft_s,
        "prefill_s": times.ttft_s,
        "tpot_s": times.tpot_s,
        "throughput_tok_s": find_throughput(request, times.e2e_s),
    }
    columns = [by_metric[metric][..., place] for place, metric in enumerate(case.metrics)]
    return np.stack(columns, axis=-1)


def scatter(cases: Sequence[Case], values: Iterable[Array]) -> Array:
    """Put values of cases back into the order of the table, along the last axis."""
    order = np.argsort(np.concatenate([case.indices for case in cases]))
    return np.concatenate(list(values), axis=-1)[..., order]


def predict_rows(cases: list[Case], factors: Factors) -> Array:
    """Predicted values in the order of the table, along the last axis."""
    return scatter(cases, (predict_case(case, factors) for case in cases))


def predict_intervals(cases: list[Case]) -> tuple[Array, Array]:
    """Ends of the 90% intervals in the order of the table, from each case's own profile."""
    lows, highs = [], []
    for case in cases:
        prediction: Prediction = answer(case.question)
        intervals = prediction.intervals
        if intervals is None:
            raise InputError("a bound has no interval; give a profile")
        ends = [pick_metrics(case, end) for end in intervals]
        lows.append(np.minimum(*ends))
        highs.append(np.maximum(*ends))
    return scatter(cases, lows), scatter(cases, highs)
