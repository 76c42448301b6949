"""Fitted runtimes for HELM from predictions, HELM's beside ours, and the paper's own fit checked against its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import InputError, unknown_name
from simulator.inputs.measurements import Measurement, read_table
from simulator.prediction import Prediction
from simulator.studies.helm_runtimes import API_PROMPTS, PROFILED_OUTPUTS, RuntimeFit, read_helm
from simulator.studies.ideal import Setting
from simulator.studies.names import (
    PAPER_LAYOUT,
    Devices,
    find_helm_model,
    find_layout,
    find_profiled,
    list_published,
    resolve_model,
    resolve_named,
)
from simulator.studies.paper_fit import MILLISECONDS, fit_table
from simulator.studies.reproduction import fit_prediction

HELM_STACK = "megatron-lm-2022"  # that HELM's idealized runtimes were measured with
SAME = 0.5e-3  # seconds: half a printed millisecond


def export_runtimes(
    models: Sequence[str], setting: Setting, prompt_tokens: Sequence[int], output_tokens: Sequence[int]
) -> tuple[dict[str, RuntimeFit], list[Prediction]]:
    """Fitted runtimes of any models, by the names that HELM's published file has for them, and the predictions.

    A model is named as anywhere, or ``HELM_NAME=MODEL``. One that the file has under several is written under all.

    Raises:
        InputError: from the prediction, or a name of HELM's that is empty or given twice.
        ImpossibleError: a model fits on no layout.
    """
    fits: dict[str, RuntimeFit] = {}
    predictions = []
    for model in models:
        name, separator, ours = model.partition("=")
        if separator and not (name.strip() and ours.strip()):
            raise InputError(f"--model: '{model}' is not of the form HELM_NAME=MODEL")
        spec = resolve_model((ours if separator else model).strip())
        times = find_helm_model(spec.id).times
        fit, prediction = fit_prediction(spec, prompt_tokens, output_tokens, setting, times)
        predictions.append(prediction)
        for one in [name.strip()] if separator else list_published(spec.id) or [spec.id]:
            if one in fits:
                raise InputError(f"{one} is given twice")
            fits[one] = fit
    return fits, predictions


def compare_runtimes(
    path: Path, setting: Setting, models: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], list[Prediction]]:
    """HELM's runtimes beside predictions for the model each name stands for, one row a parameter, times in seconds;
    and the predictions.

    Names of the published file are predicted as what the paper profiled, on its devices where the setting names none.

    Raises:
        InputError: a name that the file does not have, or that no model matches.
        ImpossibleError: a model fits on no layout.
    """
    fits = read_helm(path)
    for name in models:
        if name not in fits:
            raise unknown_name("model of the file", name, fits)
    rows, predictions = [], []
    for name in models or fits:
        fit, profiled = fits[name], find_profiled(name)
        spec = resolve_named(path, name) if profiled is None else resolve_model(profiled)
        own = setting if setting.layouts or setting.tp or setting.pp else replace(setting, layouts=choose_sizes(name))
        times = find_helm_model(spec.id).times
        ours, prediction = fit_prediction(spec, list(fit.prompt_s), PROFILED_OUTPUTS, own, times)
        predictions.append(prediction)
        pairs = [(f"prompt {size}", fit.prompt_s[size], ours.prompt_s[size]) for size in fit.prompt_s]
        pairs.append(("output token", fit.per_output_token_s, ours.per_output_token_s))
        deployment = prediction.question.work.deployment
        facts = {"helm_name": name, "model": spec.id, "tp": deployment.tp, "pp": deployment.pp}
        rows += [
            {**facts, "parameter": label, "helm_s": theirs, "predicted_s": own_s, "error": own_s / theirs - 1}
            for label, theirs, own_s in pairs
        ]
    return rows, predictions


def choose_sizes(name: str) -> dict[str, Devices]:
    """The paper's layout, for HELM's names; none, and so the fewest devices that fit, for others."""
    return {} if find_profiled(name) is None else find_layout(PAPER_LAYOUT)


def show_main(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the prompt sizes that the paper's APIs were timed at, and of the output token; all where it has none."""
    kept = {f"prompt {size}" for size in API_PROMPTS} | {"output token"}
    return [row for row in rows if row["parameter"] in kept] or rows


def summarise_errors(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean absolute error over each distinct model, and over prompt times and output tokens apart."""
    distinct = {(row["model"], row["parameter"]): abs(row["error"]) for row in rows}
    parts = {
        "all": list(distinct.values()),
        "prompt": [error for (_, parameter), error in distinct.items() if parameter != "output token"],
        "output token": [error for (_, parameter), error in distinct.items() if parameter == "output token"],
    }
    return {name: float(np.mean(errors)) for name, errors in parts.items() if errors}


def list_prefills(source: Path, rows: list[dict[str, Any]], hardware: str) -> list[Measurement]:
    """HELM's prompt times as a tidy table that ``roofcast validate`` reads, one row a model and prompt size.

    The time per output token is over all prompt sizes, and no row of a tidy table is. It is left out.
    """
    measurements = {}
    for row in rows:
        kind, _, size = row["parameter"].partition(" ")
        if kind != "prompt":
            continue
        times = find_helm_model(row["model"]).times
        note = "" if times == 1 else f"divided by {times}: the file holds the time of {times} times the layers"
        layout = (hardware, HELM_STACK, row["tp"], row["pp"], "fp16", "fp16", "fp16", 1, int(size), 1)
        measurements[row["model"], size] = Measurement(
            f"fitted runtimes of {source.name}", row["model"], *layout, "prefill_s", row["helm_s"] / times, notes=note
        )
    return list(measurements.values())


def check_paper_fit(table: Path, against: Path | None) -> tuple[dict[str, RuntimeFit], list[dict[str, Any]]]:
    """Fit each model of a table as the paper does, and count the parameters that a file has to the printed ms.

    Raises:
        InputError: a table or file that is wrong.
    """
    fits = fit_table(read_table(table), MILLISECONDS)
    published = {} if against is None else read_helm(against)
    shown = [size for size in API_PROMPTS if any(size in fit.prompt_s for fit in fits.values())]
    rows = []
    for model, fit in fits.items():
        names = [name for name in find_helm_model(model).published if name in published]
        differing = [describe for name in names for describe in list_differences(fit, published[name])]
        rows.append(
            {
                "model": model,
                "helm_names": ", ".join(names) or None,
                "parameters": len(names) * (len(fit.prompt_s) + 1),
                "same": len(names) * (len(fit.prompt_s) + 1) - len(differing),
                "output_token_s": fit.per_output_token_s,
                **{f"prompt_{size}_s": fit.prompt_s.get(size) for size in shown},
                "differing": "; ".join(differing) or None,
            }
        )
    return fits, rows


def list_differences(fit: RuntimeFit, published: RuntimeFit) -> list[str]:
    """The parameters that differ by half a printed millisecond, or that one of the two lacks."""
    ours = {str(size): time for size, time in fit.prompt_s.items()} | {"output token": fit.per_output_token_s}
    theirs = {str(size): time for size, time in published.prompt_s.items()}
    theirs |= {"output token": published.per_output_token_s}
    return [
        f"{name}: {ours.get(name)} against {theirs.get(name)}"
        for name in {**ours, **theirs}
        if abs(ours.get(name, np.inf) - theirs.get(name, np.inf)) >= SAME or name not in ours or name not in theirs
    ]
