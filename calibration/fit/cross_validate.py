"""Leave one model out: fit to all others, predict the one that was not seen, for every model of a table."""

from __future__ import annotations

import numpy as np

from calibration.fit.cases import Array
from calibration.fit.least_squares import fit_profile
from calibration.fit.profile_file import make_bare_profile
from calibration.fit.selection import Selection, select_rows
from calibration.fit.validate import Validation, validate_profile
from simulator.errors import InputError
from simulator.inputs.hardware import Hardware
from simulator.inputs.measurements import Measurement
from simulator.inputs.stack import Stack


def leave_one_model_out(rows: list[Measurement], fitted: Selection, hardware: Hardware, stack: Stack) -> Validation:
    """Predict every model's rows from a fit to the ``fitted`` rows of the other models.

    Raises:
        InputError: fewer than two models.
    """
    models = sorted({row.model for row in rows})
    if len(models) < 2:
        raise InputError(f"leaving one model out needs at least two; the table has {', '.join(models)}")
    folds = [predict_left_out(rows, model, fitted, hardware, stack) for model in models]
    return join_validations(folds)


def predict_left_out(
    rows: list[Measurement], model: str, fitted: Selection, hardware: Hardware, stack: Stack
) -> Validation:
    """Predict one model's rows from a fit to the others."""
    fit = fit_profile(select_rows([row for row in rows if row.model != model], fitted), hardware, stack)
    profile = make_bare_profile(fit, f"without {model}", hardware.id, stack.id)
    return validate_profile([row for row in rows if row.model == model], profile, hardware, stack)


def join_validations(parts: list[Validation]) -> Validation:
    """Put the rows of several validations together."""

    def join(arrays: list[Array]) -> Array:
        return np.concatenate(arrays)

    return Validation(
        [row for part in parts for row in part.rows],
        join([part.predicted for part in parts]),
        join([part.low for part in parts]),
        join([part.high for part in parts]),
    )
