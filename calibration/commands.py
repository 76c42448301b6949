"""What ``calibrate fit`` and ``validate`` do, from paths and names to results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from calibration.cross_validate import leave_one_model_out
from calibration.design import screen_rows, spare_requests, split_rows
from calibration.fit import fit_profile
from calibration.measurements import HELD_OUT, Measurement, read_table
from calibration.profile_file import add_check, add_operator_checks, check_unfitted, make_profile, write_profile
from calibration.readers import READERS
from calibration.report import report_fit
from calibration.selection import Selection, select_rows
from calibration.show import draw_validation, report_profile
from calibration.validate import Validation, validate_profile
from simulator.errors import CheckFailed, InputError, unknown_name
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import (
    HARDWARE_FOLDER,
    PROFILE_FOLDER,
    STACK_FOLDER,
    find_by_name,
    find_file,
    index_names,
    load_hardware,
    load_stack,
)
from simulator.inputs.stack import Stack
from simulator.report.output import OutputForm
from simulator.timing.efficiency import Profile, load_profile

END_RESERVE_S = 8.0  # of a time budget: the start of Python and torch, a second look at the peaks, and the fit
LEAST_BUDGET_S = 15.0
MOST_OPERATORS = 200  # of a kind, to be fitted
TABLE_FOLDER = Path(__file__).parent / "tables"


def run_fit(
    table: Path,
    reader: str,
    hardware: str,
    stack: str,
    out: Path,
    chosen: dict[str, Any],
    requests: int | None,
    operators: int,
    seed: int,
    preferred: bool,
    form: OutputForm,
    command: str,
) -> str:
    """Read, choose, fit, check on the rows that were not chosen, write the profile, and return the report.

    At most ``requests`` rows of requests are fitted, those that tell the most (None: all), and at most ``operators``
    rows of each kind of operator, chosen at random from the ``seed``.

    Raises:
        InputError: from any of these steps; the profile is written only when all went well.
    """
    device, software = load_hardware(hardware), load_stack(stack)
    check_folder(out)
    rows = read_rows(table, reader, device.id, software.id)
    rows = select_rows(rows, Selection(**chosen, hardware=[device.id], stack=[software.id]))
    return fit_rows(rows, table, device, software, out, requests, operators, seed, preferred, form, command)


def fit_rows(
    rows: list[Measurement],
    table: Path,
    device: Hardware,
    software: Stack,
    out: Path,
    requests: int | None,
    operators: int,
    seed: int,
    preferred: bool,
    form: OutputForm,
    command: str,
) -> str:
    """Fit the rows of a table, check on those that were not fitted, write the profile, and return the report.

    Raises:
        InputError: from any of these steps; the profile is written only when all went well.
    """
    screened = screen_rows(rows, device, software)
    fitted, others = split_rows(screened.rows, operators, seed)
    if requests is not None:
        fitted, spared = spare_requests(fitted, requests, device, software)
        others = others + spared
    fit = fit_profile(fitted, device, software)
    profile = replace(make_profile(fit, out.stem, device.id, software.id, table, command), preferred=preferred)
    checks = [[row for row in others if bool(row.operator) == of_operators] for of_operators in (True, False)]
    by_operator, by_request = [validate_profile(part, profile, device, software) if part else None for part in checks]
    if by_operator is not None:
        profile = add_operator_checks(profile, by_operator)
    if by_request is not None:
        profile = add_check(profile, table, by_request)
    write_profile(out, profile)
    return report_fit(fit, [check for check in (by_operator, by_request) if check is not None], screened.notes, form)


def run_benchmarks(
    device: str,
    suite: Literal["quick", "full"],
    budget_s: float,
    seed: int,
    hardware: str | None,
    stack: str,
    out: Path,
    resume: bool,
    dry_run: bool,
    form: OutputForm,
    command: str,
    say: Callable[[str], None],
) -> str:
    """Measure into the table beside ``out``, then fit it; a dry run lists the benchmarks.

    Raises:
        InputError: from any of these steps; samples that were taken are in the table.
    """
    deadline = time.monotonic() + budget_s - END_RESERVE_S
    software = load_stack(stack)
    check_folder(out)
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a profile ends in .yaml; the table is written beside it as .csv")
    if budget_s < LEAST_BUDGET_S:
        raise InputError(f"a time budget of {budget_s:g} s is too short; it must be at least {LEAST_BUDGET_S:g} s")
    try:
        from calibration import run
    except ImportError:
        raise InputError("measuring needs PyTorch: pip install 'roofcast[measure]'") from None
    if dry_run:
        return run.list_plan(device, suite, seed, hardware, software)
    try:
        with show_progress(say) as tick:
            session = run.run_calibration(device, suite, seed, hardware, software, out, resume, deadline, say, tick)
    except KeyboardInterrupt:
        say(f"{run.Paths(out).table} keeps the samples taken; --resume goes on with it")
        raise
    rows = read_table(session.paths.table)
    table, described = session.paths.table, session.hardware
    fitted = [row for row in rows if not row.notes.startswith(HELD_OUT)]
    if not any(row.model for row in fitted) or not any(row.phase == "linear" for row in fitted):
        raise InputError(f"{table}: no product or no decoder to fit yet; --resume goes on, with a longer --time-budget")
    report = fit_rows(rows, table, described, software, out, None, MOST_OPERATORS, seed, False, form, command)
    named = session.paths.hardware if session.described_here else hardware or described.id
    dtype = next(row.activation_dtype for row in fitted if row.model)
    say(f"use it: roofcast predict -m pythia-160m -H {named} -c {out} -s {stack} --dtype {dtype}")
    return report


def show_profile(
    calibration: str, table: Path | None, hardware: str | None, plot: Path | None, form: OutputForm
) -> str:
    """Return the report of a profile; with ``plot``, draw the rows of its table against their predictions.

    Raises:
        InputError: no such profile, or to draw, no table or no matplotlib.
    """
    profile = load_profile(calibration)
    if plot is not None:
        draw_validation(validate_own_table(profile, calibration, table, hardware), profile, plot)
    return report_profile(profile, form)


def validate_own_table(profile: Profile, calibration: str, table: Path | None, hardware: str | None) -> Validation:
    """Predict the rows of the table that a profile was fitted to.

    Raises:
        InputError: the table is not beside the profile, nor named.
    """
    path = find_file(calibration) or find_by_name("profile", calibration, PROFILE_FOLDER)
    name = profile.provenance.table if profile.provenance else path.with_suffix(".csv").name
    candidates = [table] if table else [path.parent / name, TABLE_FOLDER / name]
    found = next((one for one in candidates if one.is_file()), None)
    if found is None and table is not None:
        raise InputError(f"{table}: no such table" if not table.exists() else f"{table}: not a tidy table")
    if found is None:
        raise InputError(f"{profile.id}: its tidy table {name} is not beside it; name it with --table")
    described = path.with_suffix(".hardware.yaml")
    device = load_hardware(hardware or (described if described.is_file() else profile.hardware))
    rows = select_rows(read_table(found), Selection(hardware=[device.id], stack=[profile.stack]))
    return validate_profile(rows, profile, device, load_stack(profile.stack))


@contextmanager
def show_progress(say: Callable[[str], None]) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while samples are taken where that is a terminal, else a line for each quarter."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=None)
        said: set[int] = set()

        def tick(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            quarter = 4 * done // max(total, 1)
            if progress.disable and quarter and quarter not in said:
                said.add(quarter)
                say(f"{done} of {total} cases measured")

        yield tick


def check_folder(out: Path) -> None:
    """Refuse a file in a folder that is not there, before any work.

    Raises:
        InputError: with both names.
    """
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}")


def run_cross_validation(table: Path, reader: str, hardware: str, stack: str, chosen: dict[str, Any]) -> Validation:
    """Read, and predict each model from a fit to the chosen rows of the others.

    Raises:
        InputError: from any of these steps.
    """
    device, software = load_hardware(hardware), load_stack(stack)
    rows = read_rows(table, reader, device.id, software.id)
    models = Selection(chosen["models"], chosen["exclude_models"], hardware=[device.id], stack=[software.id])
    fitted = Selection(prompt_tokens=chosen["prompt_tokens"], output_tokens=chosen["output_tokens"])
    return leave_one_model_out(select_rows(rows, models), fitted, device, software)


def run_validation(
    table: Path,
    reader: str,
    calibration: str,
    hardware: str | None,
    stack: str | None,
    transfer: bool,
    record: bool,
    chosen: dict[str, Any],
) -> Validation:
    """Read, choose, predict and compare; only the rows of a device and of a stack where they are named.

    ``record`` writes the outcome into the profile's file.

    Raises:
        InputError: from any of these steps.
    """
    profile = load_profile(calibration)
    device = None if hardware is None else load_hardware(hardware)
    software = None if stack is None else load_stack(stack)
    measured_on = profile.hardware if device is None else device.id
    rows = read_rows(table, reader, measured_on, profile.stack if software is None else software.id)
    devices, stacks = [[] if spec is None else [spec.id] for spec in (device, software)]
    kept = select_rows(rows, Selection(**chosen, hardware=devices, stack=stacks))
    validation = validate_profile(kept, profile, device, software, transfer)
    if record:
        path = find_file(calibration) or find_by_name("profile", calibration, PROFILE_FOLDER)
        check_unfitted(profile, validation)
        write_profile(path, add_check(profile, table, validation))
    return validation


def read_rows(table: Path, reader: str, hardware: str, stack: str) -> list[Measurement]:
    """Read measurements with a reader by name.

    Raises:
        InputError: no such reader, or what the reader raises.
    """
    if reader not in READERS:
        raise unknown_name("reader", reader, READERS)
    return name_by_id(READERS[reader](table, hardware, stack))


def name_by_id(rows: list[Measurement]) -> list[Measurement]:
    """Put the ids of shipped devices and stacks for the aliases that rows name them by."""
    devices, stacks = (index_names(folder) for folder in (HARDWARE_FOLDER, STACK_FOLDER))

    def find_id(names: dict[str, Path], name: str) -> str:
        path = names.get(name.lower())
        return name if path is None else path.stem

    return [replace(row, hardware=find_id(devices, row.hardware), stack=find_id(stacks, row.stack)) for row in rows]


def check_mape(validation: Validation, max_mape_percent: float | None) -> None:
    """Compare the mean absolute error with a threshold.

    Raises:
        CheckFailed: the error is larger.
    """
    mape_percent = 100 * validation.summarise()["mape"]
    if max_mape_percent is not None and not mape_percent <= max_mape_percent:
        raise CheckFailed(f"mean absolute error {mape_percent:.2f}% is past the threshold of {max_mape_percent:g}%")
