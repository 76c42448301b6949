"""A fit -> the profile file that predictions use."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from calibration.fit.least_squares import Fit
from calibration.fit.validate import Validation
from simulator.errors import InputError
from simulator.inputs.library import load_model
from simulator.inputs.measurements import Measurement
from simulator.specfile import write_whole
from simulator.timing.priors import list_factors
from simulator.timing.profile import SCHEMA, Check, Coverage, FittedFactor, OperatorCheck, Profile, Provenance
from simulator.timing.transfer import list_formats, list_kinds

DIGITS = 4  # significant digits of stored factors


def make_profile(
    fit: Fit, profile_id: str, hardware_id: str, stack_id: str, tables: Sequence[Path], command: str
) -> Profile:
    """Wrap a fit with where it comes from: names and hash of the tables, the models, the date and the command.

    A table is a file or a folder of files.
    """
    provenance = Provenance(
        date=today(),
        rows=len(fit.rows),
        table=name_tables(tables),
        table_sha256=hash_tables(tables),
        models=sorted({row.model for row in fit.rows if row.model}),
        roofcast_version=version("roofcast"),
        mape=round_digits(float(np.mean(np.abs(fit.relative_errors)))),
        command=command,
        source=fit.rows[0].source,
    )
    discrepancy = replace(
        fit.discrepancy,
        prefill=round_digits(fit.discrepancy.prefill),
        decode=round_digits(fit.discrepancy.decode),
        operators={kind: round_digits(spread) for kind, spread in (fit.discrepancy.operators or {}).items()} or None,
    )
    return Profile(
        SCHEMA,
        profile_id,
        hardware_id,
        stack_id,
        make_factors(fit),
        make_correlation(fit),
        discrepancy,
        provenance,
        cover_rows(fit.rows),
    )


def cover_rows(measured: Sequence[Measurement]) -> Coverage | None:
    """What the rows of requests among all were of; None where there is none."""
    rows = [row for row in measured if row.model]
    if not rows:
        return None
    models = [load_model(name) for name in sorted({row.model for row in rows})]
    return Coverage(
        sorted({model.id for model in models}),
        sorted({kind for model in models for kind in list_kinds(model.architecture)}),
        sorted({name for row in rows for name in list_formats(row.weight_dtype)}),
        max(row.tp for row in rows),
        max(max(row.batch_size, row.concurrency or 1) for row in rows),
        max(row.prompt_tokens + row.output_tokens for row in rows),
    )


def make_bare_profile(fit: Fit, profile_id: str, hardware_id: str, stack_id: str) -> Profile:
    """Wrap a fit that is used at once and not kept."""
    factors, correlation = make_factors(fit), make_correlation(fit)
    covers = cover_rows(fit.rows)
    return Profile(SCHEMA, profile_id, hardware_id, stack_id, factors, correlation, fit.discrepancy, covers=covers)


def name_tables(tables: Sequence[Path]) -> str:
    """What an answer calls the tables."""
    return ", ".join(table.name for table in tables)


def hash_tables(tables: Sequence[Path]) -> str:
    """SHA-256 of files one after the other, those of a folder in the order of their names."""
    folders = [sorted(path for path in one.iterdir() if path.is_file()) if one.is_dir() else [one] for one in tables]
    return hashlib.sha256(b"".join(path.read_bytes() for paths in folders for path in paths)).hexdigest()


def make_factors(fit: Fit) -> dict[str, FittedFactor]:
    """The factors that the rows informed, as a profile stores them."""
    errors = dict(zip(fit.factors.names, fit.standard_errors.tolist(), strict=True))
    known = list_factors()
    return {
        name: FittedFactor(
            round_digits(getattr(fit.factors, name)),
            known[name].unit,
            round_digits(errors[name]),
            fit.priors[name].value,
            fit.priors[name].spread,
        )
        for name in sorted(fit.informed)
    }


def make_correlation(fit: Fit) -> dict[str, list[float]]:
    """The correlations as a profile stores them."""
    names = sorted(fit.informed)
    places = [fit.factors.names.index(name) for name in names]
    matrix = fit.correlation[np.ix_(places, places)]
    return {name: [round(float(cell), 3) for cell in row] for name, row in zip(names, matrix, strict=True)}


def check_unfitted(profile: Profile, validation: Validation) -> None:
    """Refuse rows of models that were fitted as a check of the profile.

    Raises:
        InputError: with their names.
    """
    models = {row.model for row in validation.rows}
    fitted = models & set(profile.provenance.models if profile.provenance else ())
    if fitted:
        raise InputError(f"--record: {', '.join(sorted(fitted))} was fitted; leave it out with --exclude-models")


def add_check(profile: Profile, tables: Sequence[Path], validation: Validation) -> Profile:
    """Return the profile with the errors on requests that it was not fitted to, so that predictions can quote them.

    Raises:
        InputError: rows of another device.
    """
    models = sorted({row.model for row in validation.rows})
    if {row.hardware for row in validation.rows} != {profile.hardware}:
        raise InputError(f"--record: the rows must all be of {profile.hardware}, the device of the profile")
    summary = validation.summarise()
    errors = {name: round_digits(summary[name]) for name in ("mape", "median_ape", "p90_ape", "bias", "coverage_90")}
    return replace(profile, check=Check(today(), name_tables(tables), summary["rows"], models, **errors))


def add_operator_checks(profile: Profile, validation: Validation) -> Profile:
    """Return the profile with the errors on operators that it was not fitted to."""
    checks = {}
    for group in validation.group("kind", lambda row: row.phase):
        errors = {name: round_digits(group[name]) for name in ("mape", "median_ape", "coverage_90")}
        checks[group["kind"]] = OperatorCheck(group["rows"], **errors)
    return replace(profile, operator_checks=checks)


def today() -> str:
    """The date, UTC."""
    return datetime.datetime.now(tz=datetime.UTC).date().isoformat()


def round_digits(value: float) -> float:
    """A value to the stored number of significant digits."""
    return float(f"{value:.{DIGITS}g}")


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile, whole or not at all.

    Raises:
        InputError: the folder is missing or not writable.
    """
    data = drop_missing(asdict(profile))
    write_whole(path, yaml.dump(data, Dumper=ProfileDumper, sort_keys=False, width=1000))


def drop_missing(value: Any) -> Any:
    """Mappings without the keys that have no value."""
    if not isinstance(value, dict):
        return value
    return {key: drop_missing(member) for key, member in value.items() if member is not None}


class ProfileDumper(yaml.SafeDumper):
    """Writes mappings in blocks, and leaves (a factor, a row of the matrix) on one line."""

    def represent_mapping(self, tag: str, mapping: object, flow_style: bool | None = None) -> yaml.MappingNode:
        leaf = isinstance(mapping, dict) and "standard_error" in mapping
        return super().represent_mapping(tag, mapping, flow_style=leaf)  # type: ignore[arg-type]

    def represent_sequence(self, tag: str, sequence: object, flow_style: bool | None = None) -> yaml.SequenceNode:
        rows = isinstance(sequence, list) and bool(sequence) and isinstance(sequence[0], list)
        return super().represent_sequence(tag, sequence, flow_style=not rows)  # type: ignore[arg-type]
