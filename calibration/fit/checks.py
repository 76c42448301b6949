"""Profiles against tables, from paths and names to results: validate, cross-validate, show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from calibration.fit.cross_validate import leave_one_model_out
from calibration.fit.profile_file import add_check, check_unfitted, write_profile
from calibration.fit.selection import Selection, Source, read_setting, select_rows
from calibration.fit.show import draw_validation, report_profile
from calibration.fit.validate import Validation, validate_profile
from calibration.readers.rows import read_rows
from simulator.errors import CheckFailed, InputError
from simulator.inputs.library import PROFILE_FOLDER, find_by_name, find_file, load_hardware, load_stack
from simulator.inputs.measurements import read_table
from simulator.report.output import OutputForm
from simulator.timing.profile import Profile, load_profile

TABLE_FOLDER = Path(__file__).parents[1] / "tables"


def show_profile(
    calibration: str,
    table: Path | None,
    hardware: str | None,
    plot: Path | None,
    form: OutputForm,
    everything: bool = False,
) -> tuple[str, dict[Path, str | bytes]]:
    """Return the report of a profile; with ``plot``, also a picture of its table's rows against their predictions.

    Raises:
        InputError: no such profile, or to draw, no table or no matplotlib.
    """
    profile = load_profile(calibration)
    files: dict[Path, str | bytes] = {}
    if plot is not None:
        files[plot] = draw_validation(validate_own_table(profile, calibration, table, hardware), profile, plot)
    return report_profile(profile, form, everything), files


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


def run_cross_validation(table: Path, source: Source, say: Callable[[str], None]) -> Validation:
    """Read, and predict each model from a fit to the chosen rows of the others.

    Raises:
        InputError: from any of these steps.
    """
    rows, device, software = read_setting(table, source, say)
    chosen = source.chosen
    models = Selection(chosen.models, chosen.exclude_models, hardware=[device.id], stack=[software.id])
    fitted = Selection(prompt_tokens=chosen.prompt_tokens, output_tokens=chosen.output_tokens)
    return leave_one_model_out(select_rows(rows, models), fitted, device, software)


def run_validation(
    table: Path,
    source: Source,
    calibration: str,
    transfer: bool,
    record: bool,
    say: Callable[[str], None],
) -> Validation:
    """Read, choose, predict and compare; only the rows of a device and of a stack where they are named.

    ``record`` writes the outcome into the profile's file.

    Raises:
        InputError: from any of these steps.
    """
    profile = load_profile(calibration)
    told = source.told._replace(assumed_hardware=profile.hardware, assumed_stack=profile.stack)
    device = None if told.hardware is None else load_hardware(told.hardware)
    software = None if told.stack is None else load_stack(told.stack)
    rows = read_rows(table, source.reader, told, say)
    devices, stacks = [[] if spec is None else [spec.id] for spec in (device, software)]
    kept = select_rows(rows, source.chosen._replace(hardware=devices, stack=stacks))
    validation = validate_profile(kept, profile, device, software, transfer)
    if record:
        path = find_file(calibration) or find_by_name("profile", calibration, PROFILE_FOLDER)
        check_unfitted(profile, validation)
        write_profile(path, add_check(profile, [table], validation))
    return validation


def check_mape(validation: Validation, max_mape_percent: float | None) -> None:
    """Compare the mean absolute error with a threshold.

    Raises:
        CheckFailed: the error is larger.
    """
    mape_percent = 100 * validation.summarise()["mape"]
    if max_mape_percent is not None and not mape_percent <= max_mape_percent:
        raise CheckFailed(f"mean absolute error {mape_percent:.2f}% is past the threshold of {max_mape_percent:g}%")
