"""A fit and a validation as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from calibration.fit.least_squares import HIGH_CORRELATION, Fit
from calibration.fit.validate import Validation
from simulator.report.output import OutputForm, fold_prose, format_cell, format_rows, format_table
from simulator.timing.priors import list_factors
from simulator.timing.profile import Verdict

MOST_FACTORS, MOST_GROUPS, MOST_KINDS, MOST_ROWS = 12, 12, 5, 5  # of one screen
SHARES = {"mape": "mean error", "median_ape": "median", "p90_ape": "p90", "bias": "bias"}


def list_fitted(fit: Fit) -> list[dict[str, Any]]:
    """One row a factor: value, relative standard error, prior, and how far the data moved it."""
    at_bound = fit.factors_at_bound()
    rows = []
    for place, (name, value) in enumerate(zip(fit.factors.names, fit.factors, strict=True)):
        prior = fit.priors[name]
        rows.append(
            {
                **describe_factor(name, value, fit.standard_errors[place], prior.value, prior.spread),
                "moved": f"{np.log(value / prior.value) / prior.spread:+.1f} sd",
                "note": "at its bound" if name in at_bound else "",
            }
        )
    return rows


def describe_factor(name: str, value: float, error: float, prior: float, prior_error: float) -> dict[str, Any]:
    """What every list of factors says of one: value and prior, each with its relative standard error."""
    return {
        "factor": name,
        "value": value,
        "unit": list_factors()[name].unit,
        "standard_error": f"{100 * error:.0f}%",
        "prior": prior,
        "prior_error": f"{100 * prior_error:.0f}%",
    }


def describe_correlations(pairs: list[tuple[str, str, float]]) -> str:
    """The pairs of factors that the rows can hardly tell apart, in a line."""
    named = "; ".join(f"{a} and {b} ({r:+.2f})" for a, b, r in pairs) or "none"
    return f"correlations past {HIGH_CORRELATION}: {named}"


def list_residuals(fit: Fit) -> list[dict[str, Any]]:
    """Errors of the fitted rows by model and phase."""
    groups = sorted({(row.model, row.phase) for row in fit.rows})
    rows = []
    for model, phase in groups:
        chosen = np.array([(row.model, row.phase) == (model, phase) for row in fit.rows])
        errors = fit.relative_errors[chosen]
        rows.append(
            {
                "model": model or "(operator)",
                "phase": phase,
                "rows": len(errors),
                "mape": np.mean(np.abs(errors)),
                "bias": np.mean(errors),
            }
        )
    return rows


def format_fit(fit: Fit, held_out: list[Validation], notes: list[str], verdict: Verdict | None) -> str:
    """The report of a fit, with the errors on rows that were not fitted."""
    spread = fit.discrepancy
    lines = [
        format_table(list_fitted(fit), f"Factors fitted to {len(fit.rows)} rows (errors are relative)"),
        "",
        format_table(list_residuals(fit), "Residuals of the fitted rows"),
        "",
        f"scatter about the law: prefill {100 * spread.prefill:.1f}%, decode {100 * spread.decode:.1f}%",
    ]
    lines.append(describe_correlations(fit.high_correlations()))
    lines += [f"factors at a bound: {', '.join(fit.factors_at_bound()) or 'none'}", *notes]
    for validation in held_out:
        document = validation.to_dict()
        what = "Operators" if validation.rows[0].operator else "Requests"
        for title, key in (
            (f"{what} not fitted, by kind", "by_phase"),
            ("by metric", "by_metric"),
            ("by model", "by_model"),
            ("by size class", "by_size_class"),
        ):
            if document[key]:
                lines += ["", format_table(document[key], title)]
    return fold_prose("\n".join([*lines, *format_verdict(verdict)]))


def format_verdict(verdict: Verdict | None) -> list[str]:
    """What a calibration says against its profile, a line each."""
    if verdict is None:
        return []
    lines = [f"refused: {reason}" for reason in verdict.refused] + [f"doubtful: {doubt}" for doubt in verdict.doubts]
    return ["", *lines]


def report_validation(validation: Validation, form: OutputForm, everything: bool = False) -> str:
    """A validation in one of the forms; as CSV or Markdown, the summary and the models."""
    if form == "table":
        return format_validation(validation) if everything else format_verdict_of(validation)
    document = validation.to_dict()
    rows = [{"model": "all", **validation.summarise()}, *document["by_model"]]
    return format_rows(rows, form, document)


def report_fit(
    fit: Fit,
    held_out: list[Validation],
    notes: list[str],
    verdict: Verdict | None,
    form: OutputForm,
    everything: bool = False,
) -> str:
    """A fit in one of the forms, with the errors on rows that were not fitted; as CSV or Markdown, the factors."""
    if form == "table":
        return (format_fit if everything else format_fit_in_short)(fit, held_out, notes, verdict)
    factors = list_fitted(fit)
    correlations = [{"factors": [a, b], "correlation": r} for a, b, r in fit.high_correlations()]
    document = {
        "schema": "roofcast/fit/1",
        "rows": len(fit.rows),
        "factors": factors,
        "at_bound": fit.factors_at_bound(),
        "high_correlations": correlations,
        "residuals": list_residuals(fit),
        "discrepancy": asdict(fit.discrepancy),
        "notes": notes,
        "not_fitted": [validation.to_dict() for validation in held_out],
        "verdict": None if verdict is None else asdict(verdict),
    }
    return format_rows(factors, form, document)


def format_fit_in_short(fit: Fit, held_out: list[Validation], notes: list[str], verdict: Verdict | None) -> str:
    """A fit on one screen: the factors that it moved most, its scatter, and the errors on rows that were not fitted."""
    moved = sorted(list_fitted(fit), key=lambda row: -abs(float(row["moved"].split()[0])))
    shown = [
        {
            "factor": row["factor"],
            "value": f"{row['value']:.4g} ±{row['standard_error']}",
            "prior": f"{row['prior']:.4g} ±{row['prior_error']}",
            "moved": f"{row['moved']}{' (at its bound)' if row['note'] else ''}",
        }
        for row in moved[:MOST_FACTORS]
    ]
    spread = fit.discrepancy
    lines = [
        format_table(shown, f"Factors fitted to {len(fit.rows)} rows, those first that moved most"),
        f"and {len(moved) - len(shown)} more factors, residuals by model and correlations: --all",
        "",
        f"residuals of the fitted rows: mean {100 * np.mean(np.abs(fit.relative_errors)):.1f}%; "
        f"scatter about the law: prefill {100 * spread.prefill:.1f}%, decode {100 * spread.decode:.1f}%",
        *notes,
        *(f"not fitted: {describe_errors(validation.summarise())}" for validation in held_out),
    ]
    return fold_prose("\n".join([*lines, *format_verdict(verdict)]))


def describe_errors(summary: Mapping[str, Any]) -> str:
    """Errors of some rows in a line."""
    parts = [
        *(f"{words} {100 * summary[key]:.1f}%" for key, words in SHARES.items()),
        f"{100 * summary['coverage_90']:.0f}% in the 90% interval",
    ]
    return f"{summary['rows']:,} row{'s' * (summary['rows'] != 1)}: {', '.join(parts)}"


def format_verdict_of(validation: Validation) -> str:
    """A validation on one screen: all rows in a line, then groups of them, the worst first, and the worst rows."""
    document = validation.to_dict()
    groups: list[dict[str, Any]] = []
    left = 0
    for key, name in (("by_phase", "phase"), ("by_size_class", "size_class"), ("by_model", "model")):
        found = sorted(document[key], key=lambda row: -row["mape"])
        most = min(len(found), MOST_GROUPS if name == "model" else MOST_KINDS)
        left += len(found) - most
        groups += [
            {
                "of": row[name],
                "rows": row["rows"],
                "mean error": row["mape"],
                "median": row["median_ape"],
                "bias": row["bias"],
                "in 90%": row["coverage_90"],
            }
            for row in found[:most]
        ]
    more = [f"and {left} more groups" if left else "", "the ten worst rows"]
    lines = [
        describe_errors(document),
        "",
        format_table([{key: write_share(key, value) for key, value in row.items()} for row in groups]),
        "",
        "Largest errors:",
        *map(describe_row, document["worst"][:MOST_ROWS]),
        f"{', '.join(filter(None, more))}: --all",
        *validation.notes,
    ]
    return fold_prose("\n".join(lines))


def write_share(key: str, value: Any) -> Any:
    """A share as a percentage, with its sign where it has one."""
    if not isinstance(value, float):
        return value
    return f"{100 * value:+.1f}%" if key == "bias" else f"{100 * value:.{0 if key == 'in 90%' else 1}f}%"


def describe_row(row: Mapping[str, Any]) -> str:
    """One measured row and its prediction in a line."""
    size = f"tp {row['tp']}, batch {row['batch_size']}, {row['prompt_tokens']} + {row['output_tokens']} tokens"
    sizes = f" ({size})" if row["prompt_tokens"] else ""
    measured, predicted = (format_cell(row["metric"], row[key]) for key in ("measured", "predicted"))
    return f"  {row['subject']}{sizes}: {row['metric']} {measured}, predicted {predicted}, {100 * row['error']:+.1f}%"


def format_validation(validation: Validation) -> str:
    """The report of a validation."""
    document = validation.to_dict()
    summary = {key: value for key, value in document.items() if not isinstance(value, list | str)}
    title = "Prediction against measurement (errors as shares of the measured value)"
    tables = [
        (title, [{"of": "all rows", **summary}]),
        ("By model", document["by_model"]),
        ("By phase or kind of operator", document["by_phase"]),
        ("By size class", document["by_size_class"]),
        ("Largest errors", document["worst"]),
    ]
    shown = [format_table(rows, title) for title, rows in tables if rows]
    return fold_prose("\n\n".join([*shown, *validation.notes]))
