"""A table of measurements -> a profile file, checked on the rows that were not fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from calibration.fit.design import screen_rows, spare_requests, split_rows
from calibration.fit.least_squares import fit_profile
from calibration.fit.profile_file import add_check, add_operator_checks, make_profile, write_profile
from calibration.fit.report import report_fit
from calibration.fit.selection import Source, read_setting, select_rows
from calibration.fit.validate import validate_profile
from calibration.fit.verdict import RunFacts, judge
from simulator.inputs.hardware import Hardware
from simulator.inputs.measurements import Measurement
from simulator.inputs.stack import Stack
from simulator.report.output import OutputForm
from simulator.timing.profile import Verdict


class Fitted(NamedTuple):
    """The report of a fit whose profile is written, and what is to be said against that."""

    report: str
    verdict: Verdict | None


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
    everything: bool = False,
) -> Fitted:
    """Read, choose, fit, check on the rows that were not chosen, write the profile, and return the report.

    At most ``requests`` requests or runs of load are fitted, those that tell the most (None: all), and at most
    ``operators`` rows of each kind of operator, chosen at random from the ``seed``.

    Raises:
        InputError: from any of these steps; the profile is written only when all went well.
    """
    rows, device, software = read_setting(table, source, say)
    chosen = source.chosen._replace(hardware=[device.id], stack=[software.id])
    rows = select_rows(rows, chosen)
    return fit_rows(
        rows,
        [table, *source.also],
        device,
        software,
        out,
        requests,
        operators,
        seed,
        form,
        command,
        everything=everything,
    )


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
    facts: RunFacts | None = None,
    everything: bool = False,
) -> Fitted:
    """Fit the rows of tables, check on those that were not fitted, judge and write the profile.

    ``facts`` of the run that took the rows; ``everything``: a report of more than a screen.

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
    verdict = judge(rows, screened, fit, by_request, device, facts)
    write_profile(out, replace(profile, verdict=verdict))
    checks_made = [check for check in (by_operator, by_request) if check is not None]
    return Fitted(report_fit(fit, checks_made, screened.notes, verdict, form, everything), verdict)


def describe_refusal(out: Path, verdict: Verdict | None) -> str:
    """Why a profile must not be used, in a line; empty where that is not so."""
    if verdict is None or not verdict.refused:
        return ""
    return f"do not use {out}: {'; '.join(verdict.refused)}"
