"""A table of measurements -> a profile file, checked on the rows that were not fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from calibration.fit.design import screen_rows, spare_requests, split_rows
from calibration.fit.least_squares import fit_profile
from calibration.fit.profile_file import add_check, add_operator_checks, make_profile, write_profile
from calibration.fit.report import report_fit
from calibration.fit.selection import Source, read_setting, select_rows
from calibration.fit.validate import validate_profile
from simulator.inputs.hardware import Hardware
from simulator.inputs.measurements import Measurement
from simulator.inputs.stack import Stack
from simulator.report.output import OutputForm


def run_fit(
    table: Path,
    source: Source,
    out: Path,
    requests: int | None,
    operators: int,
    seed: int,
    form: OutputForm,
    command: str,
    say: Callable[[str], None],
) -> str:
    """Read, choose, fit, check on the rows that were not chosen, write the profile, and return the report.

    At most ``requests`` rows of requests are fitted, those that tell the most (None: all), and at most ``operators``
    rows of each kind of operator, chosen at random from the ``seed``.

    Raises:
        InputError: from any of these steps; the profile is written only when all went well.
    """
    rows, device, software = read_setting(table, source, say)
    chosen = source.chosen._replace(hardware=[device.id], stack=[software.id])
    rows = select_rows(rows, chosen)
    return fit_rows(rows, [table, *source.also], device, software, out, requests, operators, seed, form, command)


def fit_rows(
    rows: list[Measurement],
    tables: Sequence[Path],
    device: Hardware,
    software: Stack,
    out: Path,
    requests: int | None,
    operators: int,
    seed: int,
    form: OutputForm,
    command: str,
) -> str:
    """Fit the rows of tables, check on those that were not fitted, write the profile, and return the report.

    Raises:
        InputError: from any of these steps; the profile is written only when all went well.
    """
    screened = screen_rows(rows, device, software)
    fitted, others = split_rows(screened.rows, operators, seed)
    if requests is not None:
        fitted, spared = spare_requests(fitted, requests, device, software)
        others = others + spared
    fit = fit_profile(fitted, device, software)
    profile = make_profile(fit, out.stem, device.id, software.id, tables, command)
    checks = [[row for row in others if bool(row.operator) == of_operators] for of_operators in (True, False)]
    by_operator, by_request = [validate_profile(part, profile, device, software) if part else None for part in checks]
    if by_operator is not None:
        profile = add_operator_checks(profile, by_operator)
    if by_request is not None:
        profile = add_check(profile, tables, by_request)
    write_profile(out, profile)
    return report_fit(fit, [check for check in (by_operator, by_request) if check is not None], screened.notes, form)
