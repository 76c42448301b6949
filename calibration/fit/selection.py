"""Which rows of a table to use."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from simulator.errors import InputError, suggest
from simulator.inputs.measurements import Measurement


class Selection(NamedTuple):
    """Keep rows whose values are listed; an empty collection keeps all."""

    models: Collection[str] = ()
    exclude_models: Collection[str] = ()
    hardware: Collection[str] = ()
    stack: Collection[str] = ()
    prompt_tokens: Collection[int] = ()
    output_tokens: Collection[int] = ()
    batch_size: Collection[int] = ()


def select_rows(rows: list[Measurement], selection: Selection) -> list[Measurement]:
    """Return the rows that match.

    Raises:
        InputError: a model that the table does not have, or nothing left.
    """
    known = {row.model for row in rows}
    for model in (*selection.models, *selection.exclude_models):
        if model not in known:
            raise InputError(suggest(f"the table has no model '{model}'", model, sorted(known)))
    kept = [row for row in rows if row.model not in selection.exclude_models and matches(row, selection)]
    if not kept:
        devices = ", ".join(sorted({f"{row.hardware} / {row.stack}" for row in rows}))
        raise InputError(f"no row of the table is left after selection; it has rows of {devices}")
    return kept


def matches(row: Measurement, selection: Selection) -> bool:
    """Whether a row has one of the listed values in each place."""
    wanted = (
        (row.model, selection.models),
        (row.hardware, selection.hardware),
        (row.stack, selection.stack),
        (row.prompt_tokens, selection.prompt_tokens),
        (row.output_tokens, selection.output_tokens),
        (row.batch_size, selection.batch_size),
    )
    return all(not allowed or value in allowed for value, allowed in wanted)
