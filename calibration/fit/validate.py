"""Prediction against measurement: error tables, and whether they pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from calibration.fit.cases import Array, build_cases, predict_intervals, predict_rows
from calibration.fit.design import screen_rows
from calibration.fit.operators import classify_size
from simulator.errors import InputError
from simulator.inputs.formats import element_bytes
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.stack import Stack
from simulator.timing.profile import Profile

SCHEMA = "roofcast/validation/1"
WORST = 10


@dataclass(frozen=True)
class Validation:
    """Predictions beside measurements, in the order of the rows. Errors are fractions of the measured value."""

    rows: list[Measurement]
    predicted: Array
    low: Array
    high: Array
    notes: list[str] = field(default_factory=list)

    @property
    def measured(self) -> Array:
        """Measured values."""
        return np.array([row.value for row in self.rows])

    @property
    def errors(self) -> Array:
        """(predicted - measured) / measured."""
        return np.asarray(self.predicted / self.measured - 1)

    def summarise(self, chosen: Any = slice(None)) -> dict[str, Any]:
        """Rows, errors and coverage of all rows or of the chosen ones."""
        errors = self.errors[chosen]
        sizes = np.abs(errors)
        inside = (self.low <= self.measured) & (self.measured <= self.high)
        return {
            "rows": len(errors),
            "mape": float(np.mean(sizes)),
            "median_ape": float(np.median(sizes)),
            "p90_ape": float(np.quantile(sizes, 0.9)),
            "bias": float(np.mean(errors)),
            "coverage_90": float(np.mean(inside[chosen])),
        }

    def group(self, name: str, key: Callable[[Measurement], str]) -> list[dict[str, Any]]:
        """One summary for each value of a key that is not empty."""
        keys = np.array([key(row) for row in self.rows])
        return [{name: str(value), **self.summarise(keys == value)} for value in np.unique(keys) if value]

    def list_worst(self) -> list[dict[str, Any]]:
        """The rows with the largest errors."""
        order = np.argsort(-np.abs(self.errors))[:WORST]
        return [
            {
                "subject": row.model or row.operator,
                "tp": row.tp,
                "batch_size": row.batch_size,
                "prompt_tokens": row.prompt_tokens,
                "output_tokens": row.output_tokens,
                "metric": row.metric,
                "measured": row.value,
                "predicted": float(self.predicted[index]),
                "error": float(self.errors[index]),
            }
            for index in order
            for row in (self.rows[index],)
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON answer."""
        return {
            "schema": SCHEMA,
            **self.summarise(),
            "by_model": self.group("model", lambda row: row.model),
            "by_phase": self.group("phase", lambda row: row.phase),
            "by_metric": self.group("metric", lambda row: "" if row.operator else row.metric),
            "by_size_class": self.group("size_class", find_size_class),
            "worst": self.list_worst(),
            "notes": self.notes,
        }


def find_size_class(row: Measurement) -> str:
    """Size class of an operator; empty for a request."""
    return classify_size(row.operator, element_bytes(row.activation_dtype)) if row.operator else ""


def validate_profile(
    rows: list[Measurement],
    profile: Profile,
    hardware: Hardware | None = None,
    stack: Stack | None = None,
    transfer: bool = False,
) -> Validation:
    """Predict every row with a profile.

    ``hardware`` and ``stack`` stand for what the rows name; None: what ships under that name.

    Raises:
        InputError: no rows; rows of another device or stack, unless ``transfer`` says that this is meant;
            or rows the predictor cannot answer.
    """
    if not rows:
        raise InputError("no rows to validate against")
    meant = stack.id if stack is not None and transfer else profile.stack
    stacks = sorted({row.stack for row in rows} - {meant})
    if stacks:
        raise InputError(f"the table has rows of stack {', '.join(stacks)}; profile {profile.id} is of {profile.stack}")
    devices = sorted({row.hardware for row in rows} - {profile.hardware})
    if devices and not transfer:
        raise InputError(
            f"the table has rows of {', '.join(devices)}; profile {profile.id} is of {profile.hardware} "
            "(--transfer judges it there all the same)"
        )
    screened = screen_rows(rows, hardware, stack or load_stack(profile.stack))
    cases = build_cases(screened.rows, profile, hardware, stack)
    low, high = predict_intervals(cases)
    return Validation(screened.rows, predict_rows(cases), low, high, screened.notes)
