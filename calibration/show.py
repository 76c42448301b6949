"""A profile as people read it, with a picture of measured against predicted times."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from calibration.fit import list_high_correlations
from calibration.report import describe_correlations, describe_factor
from calibration.validate import Validation
from simulator.errors import InputError
from simulator.report.output import OutputForm, format_rows, format_table
from simulator.report.plot_style import check_picture, render
from simulator.specfile import write_whole
from simulator.timing.efficiency import FACTORS, Factors, Profile

MARKS = {"prefill": "o", "decode": "s", "request": "D"}  # operators share the cross


def report_profile(profile: Profile, form: OutputForm) -> str:
    """A profile in one of the forms; as CSV or Markdown, the factors."""
    rows = list_factors(profile)
    if form == "table":
        return format_profile(profile, rows)
    document = {"schema": "roofcast/profile-report/1", "id": profile.id, **list_facts(profile), "factors": rows}
    return format_rows(rows, form, document)


def list_factors(profile: Profile) -> list[dict[str, Any]]:
    """One row a factor: what the measurement made of it, and what was known before."""
    rows = []
    for name in Factors._fields:
        factor = profile.factors[name]
        measured = factor.standard_error < 0.95 * factor.prior_standard_error
        rows.append(
            {
                **describe_factor(name, factor.value, factor.standard_error, factor.prior, factor.prior_standard_error),
                "known_from": "measurement" if measured else "prior",
                "meaning": FACTORS[name].meaning,
            }
        )
    return rows


def list_facts(profile: Profile) -> dict[str, Any]:
    """Everything of a profile but its factors."""
    parts = (("provenance", profile.provenance), ("check", profile.check), ("scatter", profile.discrepancy))
    facts = {name: None if part is None else asdict(part) for name, part in parts}
    checks = {kind: asdict(check) for kind, check in (profile.operator_checks or {}).items()}
    return {"hardware": profile.hardware, "stack": profile.stack, **facts, "operator_checks": checks}


def format_profile(profile: Profile, rows: list[dict[str, Any]]) -> str:
    """The report: head, factors, correlations, checks."""
    lines = [f"{profile.id}: {profile.hardware} with {profile.stack}"]
    source = profile.provenance
    if source is not None:
        lines += [
            f"fitted on {source.date} to {source.rows:,} rows of {source.table} (SHA-256 {source.table_sha256})",
            f"residuals of these rows: mean {100 * source.mape:.1f}%",
            *(f"{name}: {text}" for name, text in (("source", source.source), ("command", source.command)) if text),
        ]
    table = [{key: value for key, value in row.items() if key != "meaning"} for row in rows]
    lines += ["", format_table(table, "Factors (errors are relative)")]
    lines.append(describe_correlations(list_high_correlations(profile.correlation_matrix())))
    if profile.check is not None:
        check = asdict(profile.check)
        lines += ["", format_table([{**check, "models": ", ".join(check["models"])}], "Requests that were not fitted")]
    if profile.operator_checks:
        checks = [{"kind": kind, **asdict(check)} for kind, check in profile.operator_checks.items()]
        lines += ["", format_table(checks, "Operators that were not fitted")]
    return "\n".join(lines)


def draw_validation(validation: Validation, path: Path) -> None:
    """Draw every row as measured against predicted time, seconds, with the interval of each prediction.

    Raises:
        InputError: matplotlib is not installed, another ending than .svg or .png, or a folder that is not there.
    """
    check_picture(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    write_whole(path, render(lambda: make_figure(validation), path))


def make_figure(validation: Validation) -> Any:
    """The figure of ``draw_validation``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes = figure.add_subplot()
    phases = np.array([row.phase for row in validation.rows])
    greys = np.linspace(0.0, 0.6, len(set(phases)))
    for grey, phase in zip(greys, sorted(set(phases)), strict=True):
        chosen = phases == phase
        predicted = validation.predicted[chosen]
        below, above = predicted - validation.low[chosen], validation.high[chosen] - predicted
        mark = MARKS.get(phase, "x")
        axes.errorbar(
            validation.measured[chosen],
            predicted,
            yerr=[np.maximum(below, 0), np.maximum(above, 0)],
            fmt=mark,
            color=str(grey),
            ecolor=(0, 0, 0, 0.15),
            markersize=5,
            markerfacecolor="none" if mark != "x" else str(grey),
            label=f"{phase.replace('_', ' ')} ({chosen.sum():,})",
        )
    times = np.concatenate([validation.measured, validation.predicted])
    ends = (float(times.min()) / 1.5, float(times.max()) * 1.5)
    axes.plot(ends, ends, color="black", linewidth=1)
    low, high = ([share * end for end in ends] for share in (0.9, 1.1))
    axes.fill_between(ends, low, high, color="black", alpha=0.1, label="within 10%")
    axes.set(xscale="log", yscale="log", xlabel="measured (s)", ylabel="predicted (s), bars: 90% interval", xlim=ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", frameon=False)
    return figure
