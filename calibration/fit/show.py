"""A profile as people read it, with a picture of measured against predicted times."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from calibration.fit.least_squares import list_high_correlations
from calibration.fit.report import describe_correlations, describe_factor, format_verdict
from calibration.fit.residual_plot import describe_validation
from calibration.fit.validate import Validation
from simulator.report.output import OutputForm, fold_prose, format_rows, format_table
from simulator.report.plots.style import (
    add_legend,
    choose_mark,
    label_logarithmic,
    new_figure,
    pick_unit,
    render,
    soften,
)
from simulator.report.sensitivity import write_value
from simulator.timing.priors import list_factors
from simulator.timing.profile import Profile

MOST_FACTORS = 12  # of one screen


def report_profile(profile: Profile, form: OutputForm, everything: bool = False) -> str:
    """A profile in one of the forms; as CSV or Markdown, the factors."""
    rows = list_fitted(profile)
    if form == "table":
        return format_profile(profile, everything)
    document = {"schema": "roofcast/profile-report/1", "id": profile.id, **list_facts(profile), "factors": rows}
    return format_rows(rows, form, document)


def list_fitted(profile: Profile) -> list[dict[str, Any]]:
    """One row a factor: what the measurement made of it, and what was known before."""
    rows = []
    known = list_factors()
    for name, factor in profile.factors.items():
        rows.append(
            {
                **describe_factor(name, factor.value, factor.standard_error, factor.prior, factor.prior_standard_error),
                "meaning": known[name].meaning,
            }
        )
    return rows


def list_facts(profile: Profile) -> dict[str, Any]:
    """Everything of a profile but its factors."""
    parts = (("provenance", profile.provenance), ("check", profile.check), ("scatter", profile.discrepancy))
    verdict = None if profile.verdict is None else asdict(profile.verdict)
    facts = {name: None if part is None else asdict(part) for name, part in parts}
    checks = {kind: asdict(check) for kind, check in (profile.operator_checks or {}).items()}
    return {
        "hardware": profile.hardware,
        "stack": profile.stack,
        **facts,
        "operator_checks": checks,
        "verdict": verdict,
    }


def list_learnt(profile: Profile, everything: bool) -> list[dict[str, Any]]:
    """Factors for people: those first of which the measurements said most, beside what was known before."""
    factors = sorted(profile.factors.items(), key=lambda pair: pair[1].standard_error / pair[1].prior_standard_error)
    known = list_factors()
    return [
        {
            "factor": name,
            "value": f"{write_value(one.value, known[name].unit)} ±{100 * one.standard_error:.0f}%",
            "known before": f"{write_value(one.prior, known[name].unit)} ±{100 * one.prior_standard_error:.0f}%",
        }
        for name, one in (factors if everything else factors[:MOST_FACTORS])
    ]


def format_profile(profile: Profile, everything: bool) -> str:
    """The report: head, factors, correlations, checks."""
    lines = [f"{profile.id}: {profile.hardware} with {profile.stack}"]
    source = profile.provenance
    if source is not None:
        lines += [
            f"fitted on {source.date} to {source.rows:,} rows of {source.table} (SHA-256 {source.table_sha256})",
            f"residuals of these rows: mean {100 * source.mape:.1f}%",
            *(f"{name}: {text}" for name, text in (("source", source.source), ("command", source.command)) if text),
        ]
    table = list_learnt(profile, everything)
    lines += ["", format_table(table, "Factors, those first that the measurements said most of")]
    left = len(profile.factors) - len(table)
    lines += [f"and {left} more: --all"] if left else []
    lines.append(describe_correlations(list_high_correlations(sorted(profile.factors), profile.correlation_matrix)))
    if profile.check is not None:
        check = asdict(profile.check)
        lines += ["", format_table([{**check, "models": ", ".join(check["models"])}], "Requests that were not fitted")]
    if profile.operator_checks:
        checks = [{"kind": kind, **asdict(check)} for kind, check in profile.operator_checks.items()]
        lines += ["", format_table(checks, "Operators that were not fitted")]
    lines += format_verdict(profile.verdict)
    return fold_prose("\n".join(lines))


def draw_validation(validation: Validation, profile: Profile, path: Path) -> str | bytes:
    """A picture of every row as measured against predicted time, seconds, with the interval of each prediction.

    Raises:
        InputError: matplotlib is not installed, another ending than .svg or .png, or no place to write.
    """
    return render(lambda: make_figure(validation, profile), path)


def make_figure(validation: Validation, profile: Profile) -> Any:
    """The figure of ``draw_validation``."""
    title = [f"Measured and predicted: profile {profile.id}", *describe_validation(validation, profile)]
    figure = new_figure(7.0, 6.4, title)
    axes = figure.add_subplot()
    times = np.concatenate([validation.measured, validation.predicted, validation.low, validation.high])
    unit = pick_unit(times.tolist(), "s")
    ends = (float(times.min()) / unit.size / 1.3, float(times.max()) / unit.size * 1.3)
    phases = np.array([row.phase for row in validation.rows])
    for place, phase in enumerate(sorted(set(phases))):
        chosen = phases == phase
        predicted = validation.predicted[chosen]
        bars = [np.maximum(predicted - validation.low[chosen], 0), np.maximum(validation.high[chosen] - predicted, 0)]
        axes.errorbar(
            validation.measured[chosen] / unit.size,
            predicted / unit.size,
            yerr=np.array(bars) / unit.size,
            linestyle="",
            elinewidth=1.2,
            markersize=4.5,
            markerfacecolor="none",
            label=f"{phase.replace('_', ' ')} ({chosen.sum():,})",
            **choose_mark(place),
        )
    axes.plot(ends, ends, color="black", linewidth=1)
    low, high = ([share * end for end in ends] for share in (0.9, 1.1))
    axes.fill_between(ends, low, high, color="0.88", linewidth=0, label="within 10%", zorder=0)
    for axis in (axes.xaxis, axes.yaxis):
        label_logarithmic(axis, ends, 0.1)
    axes.set(xlabel=f"measured ({unit.symbol})", ylabel=f"predicted ({unit.symbol}), bars: 90% interval")
    axes.set_aspect("equal")
    soften(axes)
    add_legend(axes, axes.get_legend_handles_labels()[0], "upper left")
    return figure
