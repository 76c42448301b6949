"""The paper's fit of a table of measured requests, rounded as it rounds.

Every step rounds to a millisecond, and the next starts from the rounded number. The law and the source are in
``simulator/studies/helm_runtimes.py``.
"""

from __future__ import annotations

from simulator.errors import InputError
from simulator.inputs.measurements import Measurement
from simulator.studies.helm_runtimes import Runtime, RuntimeFit, fit_runtimes
from simulator.studies.names import find_helm_model

MILLISECONDS = 3  # decimals of what the paper prints


def fit_table(rows: list[Measurement], decimals: int | None = MILLISECONDS) -> dict[str, RuntimeFit]:
    """Fit each model of a tidy table of whole requests, at batch size 1.

    A model of which only some layers were profiled has its times multiplied, as the paper does.

    Raises:
        InputError: a model timed twice at the same sizes, on two devices or layouts; or too few sizes.
    """
    groups: dict[str, dict[tuple[int, int], float]] = {}
    layouts: dict[str, tuple[object, ...]] = {}
    for row in rows:
        if row.metric != "e2e_s" or row.batch_size != 1:
            continue
        layout = (row.hardware, row.stack, row.tp, row.pp, row.activation_dtype, row.weight_dtype)
        if layouts.setdefault(row.model, layout) != layout:
            raise InputError(f"{row.model} was measured in more than one way: {layouts[row.model]} and {layout}")
        sizes = (row.prompt_tokens, row.output_tokens)
        if sizes in groups.setdefault(row.model, {}):
            raise InputError(f"{row.model} has two times for {sizes[0]} prompt and {sizes[1]} output tokens")
        groups[row.model][sizes] = row.value * find_helm_model(row.model).times
    if not groups:
        raise InputError("the table has no e2e_s row at batch size 1")
    return {
        model: fit_runtimes((Runtime(*sizes, seconds) for sizes, seconds in times.items()), decimals)
        for model, times in groups.items()
    }
