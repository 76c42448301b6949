"""How much of an API's speed is the model's and how much its serving: raw, denoised and idealized runtime.

raw / denoised          what waiting behind others adds
denoised / idealized    what the provider's hardware and software do to the model; below 1 they are the faster
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.csvfile import parse_real
from simulator.errors import InputError
from simulator.inputs.queries import read_csv
from simulator.studies.helm_runtimes import RuntimeFit, estimate_as_helm
from simulator.studies.names import find_helm_model, find_profiled

COLUMNS = ("scenario", "model", "raw_runtime_s", "prompt_tokens", "num_output_tokens")


@dataclass(frozen=True, slots=True)
class Scenario:
    """The mean request of one scenario to one model. Times in seconds, None where the table has none."""

    name: str
    model: str  # as HELM has it: ai21/j1-large
    raw_s: float
    prompt_tokens: float
    output_tokens: float
    idealized_s: float | None


def read_scenarios(path: Path) -> tuple[list[Scenario], int]:
    """Read a table of scenarios, and count the rows that name no model or no token counts, which are left out.

    Raises:
        InputError: no such file, a missing column, or a value that cannot be; with its line.
    """
    lines = list(read_csv(path, COLUMNS))
    kept = [(where, row) for where, row in lines if all(row[name] for name in COLUMNS)]
    if not kept:
        raise InputError(f"{path}: no row with a model and token counts")
    return [parse_scenario(where, row) for where, row in kept], len(lines) - len(kept)


def parse_scenario(where: str, row: Mapping[str, str]) -> Scenario:
    """One line."""
    numbers = []
    for name in ("raw_runtime_s", "prompt_tokens", "num_output_tokens", "idealized_runtime_s"):
        text = row.get(name)
        number = parse_real(where, name, text) if text else None
        least = 0.0 if name == "num_output_tokens" else 1e-9
        if number is not None and number < least:
            raise InputError(f"{where}: {name} is {text}; it must be {'above zero' if least else 'at least 0'}")
        numbers.append(number)
    raw, prompt, output, idealized = numbers
    assert raw is not None
    assert prompt is not None
    assert output is not None
    return Scenario(row["scenario"], row["model"].replace("_", "/", 1), raw, prompt, output, idealized)


def compare_api_overhead(
    scenarios: list[Scenario], denoised: Mapping[str, RuntimeFit], idealized: Mapping[str, RuntimeFit] | None
) -> list[dict[str, Any]]:
    """One row a model and API: mean runtimes over its scenarios, seconds, and the ratios of those means.

    Denoised times are HELM's estimate at the mean token counts of a scenario. So are idealized times where a file of
    them is given, under a name of the model or of the one that was profiled for it; else they are the table's own.
    A model with a scenario that lacks a time has no mean of it.
    """
    rows = []
    for model in dict.fromkeys(scenario.model for scenario in scenarios):
        of_model = [scenario for scenario in scenarios if scenario.model == model]
        raw = mean_of([scenario.raw_s for scenario in of_model])
        quiet = mean_of(estimate_all(of_model, denoised.get(model)))
        if idealized is None:
            ideal = mean_of([scenario.idealized_s for scenario in of_model])
        else:
            ideal = mean_of(estimate_all(of_model, find_profile(idealized, model)))
        rows.append(
            {
                "api": model.partition("/")[0],
                "model": model.partition("/")[2],
                "scenarios": len(of_model),
                "raw_s": raw,
                "denoised_s": quiet,
                "idealized_s": ideal,
                "idealized_from": None if ideal is None else "table" if idealized is None else "file",
                "raw_over_denoised": divide(raw, quiet),
                "denoised_over_idealized": divide(quiet, ideal),
                "raw_over_idealized": divide(raw, ideal),
            }
        )
    return rows


def find_profile(fits: Mapping[str, RuntimeFit], model: str) -> RuntimeFit | None:
    """The runtimes of a name, or of another name of the model that was profiled for it; None where there are none."""
    profiled = find_profiled(model)
    names = (model, *(find_helm_model(profiled).published if profiled else ()))
    return next((fits[name] for name in names if name in fits), None)


def estimate_all(scenarios: list[Scenario], fit: RuntimeFit | None) -> list[float | None]:
    """HELM's estimate of the mean request of each scenario, seconds."""
    return [
        None if fit is None else estimate_as_helm(fit, scenario.prompt_tokens, scenario.output_tokens)
        for scenario in scenarios
    ]


def mean_of(times: Sequence[float | None]) -> float | None:
    """The mean; None where one is missing, since a ratio of means over different scenarios says nothing."""
    known = [time for time in times if time is not None]
    return sum(known) / len(known) if known and len(known) == len(times) else None


def divide(above: float | None, below: float | None) -> float | None:
    """A ratio, where both are known."""
    return None if above is None or below is None else above / below
