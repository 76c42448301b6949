"""What the commands on traces and on HELM's files print, and what they put together for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from calibration.fit.selection import Selection, select_rows
from calibration.readers.traces import read_traces
from calibration.traces.api_overhead import compare_api_overhead, read_scenarios
from calibration.traces.delay_model import CONVERGED
from calibration.traces.denoise import PER_TOKEN, Denoised, denoise, name_prompt
from calibration.traces.estimate_cost import Prices, estimate_costs, read_queries
from simulator.errors import InputError, unknown_name
from simulator.inputs.measurements import print_table, read_table
from simulator.metrics.rate_file import PER_SECOND, TOKENS, parse_rate
from simulator.report.ideal import describe_setting, frame
from simulator.report.output import OutputForm, format_json, format_markdown, format_rows, format_table
from simulator.studies.helm import (
    check_paper_fit,
    compare_runtimes,
    export_runtimes,
    list_prefills,
    show_main,
    summarise_errors,
)
from simulator.studies.helm_runtimes import RuntimeFit, format_helm, read_helm
from simulator.studies.ideal import Setting, name_basis
from simulator.studies.names import (
    PAPER_LAYOUT,
    find_layout,
    find_profiled,
    list_published,
    read_helm_models,
    resolve_named,
)
from simulator.studies.paper_fit import MILLISECONDS

Files = dict[Path, str | bytes]


def report_denoised(
    path: Path,
    reader: str | None,
    model: str | None,
    requested_tokens: int | None,
    prompt_law: Any,
    seed: int,
    helm_file: Path | None,
    form: OutputForm,
) -> tuple[str, Files, list[str], list[str]]:
    """Read, fit, and return the report, the file in HELM's format, notes, and which models could not be fitted.

    Raises:
        InputError: from reading.
    """
    found, problems = denoise(read_traces(path, reader, model, requested_tokens), prompt_law, seed)
    if not found:
        return "", {}, [], problems
    files: Files = {} if helm_file is None else {helm_file: format_helm(to_helm(found), MILLISECONDS) + "\n"}
    fits, times = list_fits(found), list_times(found)
    if form == "json":
        text = format_json({"schema": "roofcast/denoised/1", "fits": fits, "times": times})
    elif form == "csv":
        by_model = {(fit["api"], fit["model"]): fit for fit in fits}
        text = format_rows([row | by_model[row["api"], row["model"]] for row in times], form, {})
    elif form == "md":
        text = format_markdown(fits) + "\n\n" + format_markdown(times)
    else:
        text = format_table(fits, "Requests and models") + "\n\n" + format_table(times, "Times (90% intervals)")
    return text, files, [note for one in found for note in list_notes(one)], problems


def list_notes(one: Denoised) -> list[str]:
    """What is to be known about a fit beside its numbers."""
    notes = []
    if one.repeated:
        notes.append(f"{one.label}: {one.repeated} rows stand in the file again, trial and time included: left out")
    if one.paper is None:
        notes.append(f"{one.label}: the paper's fit cannot be done: {one.paper_problem}")
    if one.autocorrelation_times < CONVERGED:
        notes.append(
            f"{one.label}: the draws have not converged (they span {one.autocorrelation_times:.0f} autocorrelation "
            f"times of at least {CONVERGED}): the ends of the intervals are rough"
        )
    return notes


def list_fits(found: Sequence[Denoised]) -> list[dict[str, Any]]:
    """One row a model and API."""
    return [
        {
            "api": one.api,
            "model": one.model,
            "requests": one.requests,
            "cut_short": one.cut_short,
            "repeated": one.repeated,
            "prompt_law": one.prompt_law,
            "noise": one.noise_law,
            "held_out_paper": one.held_out["paper"],
            "held_out_one_sided": one.held_out["one-sided"],
            "gain": one.gain,
            "gain_error": one.gain_error,
            "winner": one.winner,
            "raw_over_denoised": one.raw_over_denoised,
            "autocorrelation_times": one.autocorrelation_times,
        }
        for one in found
    ]


def list_times(found: Sequence[Denoised]) -> list[dict[str, Any]]:
    """One row a parameter."""
    return [
        {
            "api": one.api,
            "model": one.model,
            "parameter": name,
            "paper_s": None if one.paper is None else one.paper[name],
            "one_sided_s": estimate.value_s,
            "one_sided_s_low": estimate.low_s,
            "one_sided_s_high": estimate.high_s,
        }
        for one in found
        for name, estimate in one.one_sided.items()
    ]


def to_helm(found: Sequence[Denoised]) -> dict[str, RuntimeFit]:
    """The one-sided times as HELM has them. Times that came out below a millisecond are one, which HELM can divide by.

    Raises:
        InputError: one model behind one API twice.
    """
    least = 10.0**-MILLISECONDS
    fits: dict[str, RuntimeFit] = {}
    for one in found:
        times = {name: max(estimate.value_s, least) for name, estimate in one.one_sided.items()}
        if one.label in fits:
            raise InputError(f"{one.label} is there twice")
        prompts = {size: times[name_prompt(size)] for size in one.sizes}
        fits[one.label] = RuntimeFit(prompts, times[PER_TOKEN], times["overhead"])
    return fits


def report_export(
    models: Sequence[str], setting: Setting, prompt_tokens: Sequence[int], output_tokens: Sequence[int]
) -> tuple[str, str]:
    """The text of ``inference_idealized_runtimes.json`` for predicted runtimes, and what it rests on.

    Raises:
        InputError, ImpossibleError: from the prediction.
    """
    fits, predictions = export_runtimes(models, setting, prompt_tokens, output_tokens)
    devices = ", ".join(f"{one.question.model.id} on {one.devices}" for one in predictions)
    where, basis = describe_setting(predictions[0]).splitlines()
    return format_helm(fits), f"{devices} {where.removeprefix('on ')}; {basis}"


def report_import(
    path: Path, models: Sequence[str], setting: Setting, all_sizes: bool, table: Path | None, form: OutputForm
) -> tuple[str, Files]:
    """HELM's runtimes beside predictions; with ``table``, also as a tidy table for ``roofcast validate``.

    Raises:
        InputError, ImpossibleError: from reading or prediction.
    """
    rows, predictions = compare_runtimes(path, setting, models)
    basis, errors = name_basis(predictions[0]), summarise_errors(rows)
    files: Files = {} if table is None else {table: print_table(list_prefills(path, rows, setting.hardware.id))}
    shown = rows if all_sizes else show_main(rows)
    if form == "json":
        text = format_json({"schema": "roofcast/helm-runtimes/1", "setting": basis, "mape": errors, "rows": shown})
    elif form == "csv":
        text = format_rows([row | basis for row in shown], form, {})
    else:
        parts = ", ".join(f"{100 * error:.1f}% ({name})" for name, error in errors.items())
        note = f"mean absolute error, each model once, all prompt sizes: {parts}"
        text = frame(f"HELM's against predicted {describe_setting(predictions[0])}", shown, [note], form)
    return text, files


def report_paper_fit(
    table: Path, against: Path | None, helm_file: Path | None, form: OutputForm
) -> tuple[str, Files, str | None]:
    """The paper's fit of each model of a table; with ``against``, how many parameters are those of a published file,
    and what is wrong where not all are.

    Raises:
        InputError: from reading or fitting.
    """
    fits, rows = check_paper_fit(table, against)
    models = [model for model in dict.fromkeys([*read_helm_models(), *fits]) if model in fits]  # HELM's order
    named = {name: fits[model] for model in models for name in list_published(model) or [model]}
    files: Files = {} if helm_file is None else {helm_file: format_helm(named, MILLISECONDS) + "\n"}
    text = format_rows(rows, form, {"schema": "roofcast/paper-fit/1", "rows": rows})
    if against is None:
        return text, files, None
    compared, same = (sum(row[name] for row in rows) for name in ("parameters", "same"))
    if not compared:
        return text, files, f"{against} has no model of {table}: nothing was compared"
    if compared != same:
        return text, files, f"{compared - same} of {compared} parameters differ from {against}"
    distinct = sum(row["parameters"] > 0 for row in rows)
    if form == "table":
        text += f"\n{same} of {compared} parameters of {distinct} models are the published ones, to the millisecond"
    return text, files, None


def report_api_overhead(scenarios: Path, denoised: Path, idealized: Path | None, form: OutputForm) -> tuple[str, int]:
    """Raw, denoised and idealized runtime of each model and API, and how many rows say nothing.

    Raises:
        InputError: from reading.
    """
    kept, left_out = read_scenarios(scenarios)
    rows = compare_api_overhead(kept, read_helm(denoised), None if idealized is None else read_helm(idealized))
    return format_rows(
        rows, form, {"schema": "roofcast/api-overhead/1", "left_out": left_out, "rows": rows}, 2
    ), left_out


def report_costs(
    queries: Path,
    query_model: str | None,
    per_row: float,
    runtimes: Path,
    name: str,
    profiled: Path,
    calibrated: Path | None,
    devices: int | None,
    prices: Mapping[str, str],
    trials: int,
    api_trials: int,
    form: OutputForm,
) -> str:
    """Price of estimating the runtimes of a query set, against measuring every query.

    Raises:
        InputError: from any of the files, a price without a currency or unit, or a model whose devices are not known.
    """
    fits = read_helm(runtimes)
    if name not in fits:
        raise unknown_name("model of the file", name, fits)
    whole = resolve_named(runtimes, name).id
    rows = estimate_costs(
        read_queries(queries, query_model, per_row),
        fits[name],
        devices or count_devices(whole),
        select_rows(read_table(profiled), Selection(models=[find_profiled(name) or whole])),
        None if calibrated is None else read_table(calibrated),
        Prices(
            parse_rate(prices["device"], PER_SECOND, "5.12 USD/h"),
            *(parse_rate(prices[key], TOKENS, "1.50 USD/1M tokens") for key in ("input", "output")),
        ),
        trials,
        api_trials,
    )
    return format_rows(rows, form, {"schema": "roofcast/estimate-cost/1", "rows": rows})


def count_devices(model: str) -> int:
    """Devices on which the paper ran a model.

    Raises:
        InputError: it did not.
    """
    layout = find_layout(PAPER_LAYOUT)
    if model not in layout:
        raise InputError(f"the paper did not run {model}: say on how many devices it runs with --devices")
    return layout[model].tp * layout[model].pp
