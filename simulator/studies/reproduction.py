"""Published idealized runtimes beside predictions: the parameters of each model, and a request built from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simulator.errors import CheckFailed, InputError
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.queries import Queries, combine_queries
from simulator.prediction import Prediction
from simulator.studies.helm_runtimes import (
    PROFILED_OUTPUTS,
    Runtime,
    RuntimeFit,
    estimate_by_interpolation,
    fit_runtimes,
    read_helm,
)
from simulator.studies.ideal import Setting, predict_queries
from simulator.studies.names import PAPER_LAYOUT, find_helm_model, find_layout, resolve_model, resolve_named

PER_TOKEN = "per output token"


class Entry(NamedTuple):
    """One published runtime, the names that share it, and the architecture it is of."""

    spec: ModelSpec
    names: tuple[str, ...]
    fit: RuntimeFit


class Reproduction(NamedTuple):
    """Published beside predicted, with one of the predictions and what all share."""

    rows: list[dict[str, Any]]
    prediction: Prediction
    setting: Setting


def read_entries(path: Path, models: Sequence[str]) -> list[Entry]:
    """Read a file of runtimes in HELM's format; names that share all numbers are one entry.

    ``models``: only these, under any of their names; all where there are none.

    Raises:
        InputError: a model that no architecture matches, or one that is asked for and not in the file.
    """
    wanted = {name: resolve_model(name).id for name in models}
    fits = read_helm(path)
    by_architecture = {model for name, model in wanted.items() if name not in fits}
    entries = []
    for names, fit in group_names(fits):
        known = next((spec for spec in map(find_known, names) if spec is not None), None)
        if not models:
            entries.append(Entry(known or resolve_named(path, names[0]), names, fit))
        elif known is not None and (known.id in by_architecture or wanted.keys() & set(names)):
            entries.append(Entry(known, names, fit))
    missing = [name for name, model in wanted.items() if model not in {entry.spec.id for entry in entries}]
    if missing:
        raise InputError(f"{path}: has no runtime of {missing[0]}")
    return entries


def group_names(fits: Mapping[str, RuntimeFit]) -> list[tuple[tuple[str, ...], RuntimeFit]]:
    """Each distinct set of numbers with the names that have it."""
    distinct: list[RuntimeFit] = []
    for fit in fits.values():
        if fit not in distinct:
            distinct.append(fit)
    return [(tuple(name for name, other in fits.items() if other == fit), fit) for fit in distinct]


def find_known(name: str) -> ModelSpec | None:
    """The architecture of a name; None where none matches."""
    try:
        return resolve_model(name)
    except InputError:
        return None


def fit_prediction(
    spec: ModelSpec, prompt_tokens: Sequence[int], output_tokens: Sequence[int], setting: Setting, times: int = 1
) -> tuple[RuntimeFit, Prediction]:
    """Fit predicted requests of all sizes as the paper fits measured ones, so that the two mean the same.

    Raises:
        InputError: fewer than two output sizes, or from the prediction.
        ImpossibleError: the model fits on no layout.
    """
    queries = combine_queries(list(prompt_tokens), list(output_tokens))
    prediction = predict_queries(spec, queries, setting)
    seconds = np.asarray(prediction.e2e_s) * times
    requests = zip(*queries, seconds, strict=True)
    fit = fit_runtimes(Runtime(int(prompt), int(output), float(time)) for prompt, output, time in requests)
    return fit, prediction


def list_parameters(entries: Sequence[Entry], setting: Setting, prompts: Sequence[int]) -> Reproduction:
    """One row a parameter of a model: published and predicted seconds, and the error of the prediction.

    Predicted parameters are fitted to requests of all prompt sizes of the file, ``prompts`` are those that are listed.
    """
    rows = []
    for spec, names, published in entries:
        predicted, prediction = fit_prediction(spec, list(published.prompt_s), PROFILED_OUTPUTS, setting)
        sizes = [size for size in prompts if size in published.prompt_s] or list(published.prompt_s)
        found = [(f"prompt {size}", published.prompt_s[size], predicted.prompt_s[size]) for size in sizes]
        for name, theirs, ours in [*found, (PER_TOKEN, published.per_output_token_s, predicted.per_output_token_s)]:
            rows.append(
                {
                    "model": spec.id,
                    "names": list(names),
                    "devices": prediction.devices,
                    "parameter": name,
                    "published_s": theirs,
                    "predicted_s": ours,
                    "error": ours / theirs - 1,
                }
            )
    return Reproduction(rows, prediction, setting)


def list_requests(entries: Sequence[Entry], setting: Setting, queries: Queries) -> Reproduction:
    """One row a model and request: time and cost by the published parameters and by prediction.

    What a published time cost is that of the devices it was measured on, which only the paper's layout tells; it is
    None for other models.
    """
    rows, layout = [], find_layout(PAPER_LAYOUT)
    for spec, _, fit in entries:
        prediction = predict_queries(spec, queries, setting)
        measured_on = layout[spec.id].tp * layout[spec.id].pp if spec.id in layout else None
        price = setting.rates.price
        for place, (prompt, output) in enumerate(zip(*queries, strict=True)):
            published = float(estimate_by_interpolation(fit, prompt, output))
            predicted = float(np.asarray(prediction.e2e_s)[place])
            row = {
                "model": spec.id,
                "published_devices": measured_on,
                "devices": prediction.devices,
                "prompt_tokens": int(prompt),
                "output_tokens": int(output),
                "published_s": published,
                "predicted_s": predicted,
                "error": predicted / published - 1,
            }
            if price is not None:
                row["published_usd"] = None if measured_on is None else published * measured_on * price.price
                row["predicted_usd"] = float(prediction.cost_usd[place])
            rows.append(row)
    return Reproduction(rows, prediction, setting)


def list_fitted(prediction: Prediction) -> set[str]:
    """The models that the profile was fitted to, those of which a part was profiled by the whole."""
    profile = prediction.question.profile
    if profile is None or profile.provenance is None:
        return set()
    return {find_helm_model(model).part_of or model for model in profile.provenance.models}


def summarise_errors(rows: Sequence[dict[str, Any]], fitted_to: set[str]) -> list[dict[str, Any]]:
    """Mean and largest error of all rows, and apart of the models that the profile was fitted to or not."""
    parts = {"all": rows}
    if fitted_to:
        parts["fitted to other models"] = [row for row in rows if row["model"] not in fitted_to]
        parts["fitted to some rows of the model"] = [row for row in rows if row["model"] in fitted_to]
    summaries = []
    for name, part in parts.items():
        errors = np.abs([row["error"] for row in part])
        if len(errors):
            models, worst = len({row["model"] for row in part}), part[int(np.argmax(errors))]
            where = f"{worst['model']}, {worst.get('parameter', 'request')}"
            summaries.append(
                {"rows": name, "models": models, "count": len(errors), "mape": float(np.mean(errors)), "largest": where}
                | {"error": worst["error"]}
            )
    return summaries


def check_error(rows: Sequence[dict[str, Any]], max_mape_percent: float | None) -> None:
    """Compare the mean absolute error with a threshold.

    Raises:
        CheckFailed: the error is larger.
    """
    mape_percent = 100 * float(np.mean(np.abs([row["error"] for row in rows])))
    if max_mape_percent is not None and not mape_percent <= max_mape_percent:
        raise CheckFailed(f"mean absolute error {mape_percent:.2f}% is past the threshold of {max_mape_percent:g}%")
