"""What each difference between a profile and a question adds to the error, by the published requests.

    python -m benchmarks.transfer [FOLDER]

carries every shipped profile to every other device and stack of the published tables (default: in the folder that
``ROOFCAST_DATA`` names), and fits the errors of ``simulator.timing.transfer`` by likelihood: the logarithm of predicted
over measured time has the variance of factors and law plus the square of the error of each difference that holds. Tails
are those of Student's t with five degrees of freedom, and each pair of settings weighs the same. The priors have seen
these devices, so what is carried to others is off by more: the errors in use are rounded up. Three minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.accuracy import gather_rows
from benchmarks.folder import find_folder
from calibration.fit.cases import RequestCase, build_cases
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.prediction import Question
from simulator.report.output import format_table
from simulator.timing.intervals import NORMAL_90
from simulator.timing.profile import Profile, list_settings, load_profile
from simulator.timing.transfer import ERRORS

DEGREES = 5  # of freedom of the tails
EXPECTED, TIES = 0.07, 5e-4  # an error that no row tells of stays near the first, by as little as the second
PHASES = {"prefill": ("prefill",), "decode": ("decode", "request")}


class Unmoved(Question):
    """A question whose interval knows nothing of what differs."""

    moves = ()


class Row(NamedTuple):
    """A row by a profile: settings and phase, error of the logarithm, its known variance, what differs."""

    group: tuple[str, ...]
    phase: str
    error: float
    variance: float
    differs: frozenset[str]


def list_pairs(folder: Path) -> Iterator[tuple[Profile, list[Measurement]]]:
    """Shipped profiles, each with the rows of every other device and stack."""
    for setting, rows in gather_rows(folder, []).items():
        for home in list_settings():
            rebuilds = load_stack(home[1]).rebuilds and home[1] != setting[1]
            if home != setting and not rebuilds and load_hardware(home[0]).kind != "cpu":
                yield load_profile("--".join(home)), rows


def judge(profile: Profile, rows: list[Measurement]) -> Iterator[Row]:
    """Errors of a profile on rows that it is carried to, with the variance that its factors and the law account for."""
    hardware, stack = load_hardware(rows[0].hardware), load_stack(rows[0].stack)
    for case in build_cases(rows, profile, hardware, stack):
        assert isinstance(case, RequestCase)
        moves, predicted = case.question.moves, case.predict(None)
        parts = (getattr(case.question, field.name) for field in fields(Question))
        low, high = case._replace(question=Unmoved(*parts)).find_ends()
        for place, index in enumerate(case.indices):
            row = rows[index]
            sign = -1 if row.metric == "throughput_tok_s" else 1
            differs = frozenset(
                move.what for move in moves if np.broadcast_to(move.error.decode, predicted.shape)[place]
            )
            variance = (np.log(high[place] / low[place]) / (2 * NORMAL_90)) ** 2
            group = (profile.id, row.hardware, row.stack, row.phase)
            yield Row(group, row.phase, sign * float(np.log(predicted[place] / row.value)), float(variance), differs)


def fit_errors(rows: list[Row]) -> tuple[NDArray[np.float64], float]:
    """The likeliest error of each difference, and the share of rows in their 90% intervals by these."""
    counts = Counter(row.group for row in rows)
    weights = np.array([1 / counts[row.group] for row in rows])
    weights /= weights.sum()
    squares = np.array([row.error**2 for row in rows])
    known = np.array([row.variance for row in rows])
    holds = np.array([[name in row.differs for name in ERRORS] for row in rows], dtype=float)

    def lose(logs: NDArray[np.float64]) -> float:
        variances = known + holds @ np.exp(2 * logs)
        tails = (DEGREES + 1) / 2 * np.log1p(squares / variances / DEGREES)
        return float(weights @ (0.5 * np.log(variances) + tails) + TIES * np.sum((logs - np.log(EXPECTED)) ** 2))

    start = np.full(len(ERRORS), np.log(EXPECTED))
    found = np.exp(minimize(lose, start, method="L-BFGS-B").x)
    inside = squares < NORMAL_90**2 * (known + holds @ found**2)
    return found, float(weights @ inside)


def main(folder: Path) -> None:
    """Print the errors by phase beside those in use."""
    rows: list[Row] = []
    for profile, measured in list_pairs(folder):
        try:
            rows += judge(profile, measured)
        except InputError as refusal:
            print(f"left out: {profile.id}: {refusal}")
    table: dict[str, dict[str, Any]] = {name: {"differs": name} for name in ERRORS}
    for phase, members in PHASES.items():
        chosen = [row for row in rows if row.phase in members]
        errors, inside = fit_errors(chosen)
        print(f"{phase}: {len(chosen):,} predictions, {100 * inside:.0f}% inside their 90% intervals")
        for name, error in zip(ERRORS, errors.tolist(), strict=True):
            count = sum(name in row.differs for row in chosen)
            used = getattr(ERRORS[name], phase)
            table[name] |= {
                f"{phase}_rows": count,
                f"{phase}_likeliest": error if count else None,
                f"{phase}_used": used,
            }
    print(format_table(list(table.values())))


if __name__ == "__main__":
    main(find_folder(__doc__))
