"""Timed requests as CSV: our own columns, and those of HELM's synthetic efficiency runs (``helm/api_traces.csv``).

Own: ``model, api, prompt_tokens, output_tokens, seconds`` and, where known, ``trial, requested_output_tokens``.
HELM: ``date, model, prompt_tokens, requested_output_tokens, output_tokens, runtime_s``, the model as ``API_MODEL``.
"""

from __future__ import annotations

from pathlib import Path

from simulator.csvfile import read_text, split_csv
from simulator.errors import InputError, suggest
from simulator.inputs.measurements import parse_number, parse_positive
from simulator.inputs.traces import Trace, make_trace

OWN = ("model", "api", "prompt_tokens", "output_tokens", "seconds")
OWN_OPTIONAL = ("trial", "requested_output_tokens")
HELM = ("date", "model", "prompt_tokens", "requested_output_tokens", "output_tokens", "runtime_s")


def read_traces_csv(path: Path) -> list[Trace]:
    """Read either kind; the header tells which.

    Raises:
        InputError: no such file, a column missing or unknown, a row cut off, or a value that cannot be; with its line.
    """
    header, rows = split_csv(path, read_text(path))
    of_helm = "runtime_s" in header
    check_columns(path, header, HELM if of_helm else OWN, () if of_helm else OWN_OPTIONAL)
    parse = parse_helm_row if of_helm else parse_own_row
    traces = [parse(where, row) for where, row in rows]
    if not traces:
        raise InputError(f"{path}: no rows below the header")
    return traces


def check_columns(path: Path, header: list[str], needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    """Refuse missing and unknown columns."""
    missing = [name for name in needed if name not in header]
    if missing:
        raise InputError(f"{path}:1: missing column {', '.join(missing)}")
    allowed = (*needed, *optional)
    for name in header:
        if name not in allowed:
            raise InputError(suggest(f"{path}:1: unknown column '{name}'", name, allowed))


def parse_own_row(where: str, row: dict[str, str]) -> Trace:
    """One line of our own columns."""
    requested = row.get("requested_output_tokens", "")
    return make_trace(
        where,
        row["model"].strip(),
        row["api"].strip(),
        parse_number(where, "prompt_tokens", row["prompt_tokens"]),
        parse_number(where, "output_tokens", row["output_tokens"]),
        parse_positive(where, "seconds", row["seconds"]),
        row.get("trial", "").strip(),
        parse_number(where, "requested_output_tokens", requested) if requested else None,
    )


def parse_helm_row(where: str, row: dict[str, str]) -> Trace:
    """One line of HELM's: ``ai21_j1-large`` is the model ``j1-large`` of ``ai21``, and each date is a trial."""
    api, separator, model = row["model"].strip().partition("_")
    if not separator:
        raise InputError(f"{where}: the model '{row['model']}' is not of the form API_MODEL")
    return make_trace(
        where,
        model,
        api,
        parse_number(where, "prompt_tokens", row["prompt_tokens"]),
        parse_number(where, "output_tokens", row["output_tokens"]),
        parse_positive(where, "runtime_s", row["runtime_s"]),
        row["date"].strip(),
        parse_number(where, "requested_output_tokens", row["requested_output_tokens"]),
    )
