"""What it costs to estimate runtimes, against what it costs to measure every query.

The accounting is that of the paper's released code (https://github.com/stanford-crfm/helm-efficiency,
``notebooks/idealized_metrics_cost_analysis.ipynb``). Answers are needed either way, and cost one pass of all queries
through the API. Beside them:

    idealized, every query:   each query run on the devices ``trials`` times
    idealized, estimated:     the profile run ``trials`` times
    denoised, every query:    each query sent to the API ``api_trials`` times, which gives the answers too
    denoised, estimated:      HELM's synthetic requests sent to the API ``api_trials`` times
    predicted:                the rows that calibrate a device run ``trials`` times, once for all models
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.csvfile import parse_real
from simulator.errors import InputError
from simulator.inputs.measurements import Measurement
from simulator.inputs.queries import read_csv
from simulator.inputs.scores import find_output_column
from simulator.metrics.rate_file import Money
from simulator.studies.helm_runtimes import API_OUTPUTS, API_PROMPTS, RuntimeFit, estimate_as_helm


@dataclass(frozen=True, slots=True)
class Query:
    """One request of a set, and how often it comes."""

    prompt_tokens: float
    output_tokens: float
    count: float


@dataclass(frozen=True)
class Prices:
    """Prices of a device for a second and of one token, all in one currency."""

    device_second: Money
    input_token: Money
    output_token: Money

    def __post_init__(self) -> None:
        """Refuse sums of different currencies."""
        currencies = {price.currency for price in (self.device_second, self.input_token, self.output_token)}
        if len(currencies) > 1:
            raise InputError(f"prices in {' and '.join(sorted(currencies))}; give all in one currency")


def read_queries(path: Path, model: str | None, per_row: float) -> list[Query]:
    """Read a query set: ``prompt_tokens``, ``output_tokens`` (or HELM's name for it), and ``count`` where rows repeat.

    Args:
        path: the CSV file; other columns are not looked at.
        model: only rows whose column ``model`` says so.
        per_row: queries that a row without a count stands for.

    Raises:
        InputError: no such file or column, no row of the model, or a count that cannot be; with its line.
    """
    output = find_output_column(path)
    queries = []
    for where, row in read_csv(path, ("prompt_tokens", output, *(() if model is None else ("model",)))):
        if model is not None and row["model"] != model:
            continue
        if not row["prompt_tokens"] and not row[output]:
            continue  # HELM's table has scenarios without counts
        prompt, generated = (parse_amount(where, name, row[name]) for name in ("prompt_tokens", output))
        count = parse_amount(where, "count", row.get("count") or str(per_row))
        queries.append(Query(prompt, generated, count))
    if not queries:
        raise InputError(f"{path}: no row {'with token counts' if model is None else f'of the model {model!r}'}")
    return queries


def parse_amount(where: str, name: str, text: str) -> float:
    """A number of at least zero; means of token counts need not be whole."""
    number = parse_real(where, name, text)
    if number < 0:
        raise InputError(f"{where}: {name} is {text}; it must be at least 0")
    return number


def price_tokens(queries: Iterable[Query], prices: Prices) -> float:
    """Price of one pass of the queries through the API."""
    return sum(
        query.count
        * (prices.input_token.amount * query.prompt_tokens + prices.output_token.amount * query.output_tokens)
        for query in queries
    )


def price_runs(device_seconds: float, trials: int, prices: Prices) -> float:
    """Price of running something so many times."""
    return device_seconds * trials * prices.device_second.amount


def count_device_seconds(rows: Iterable[Measurement]) -> float:
    """Devices times seconds of all whole requests of a table, each once.

    Raises:
        InputError: no such row.
    """
    times = [row.value * row.tp * row.pp for row in rows if row.metric == "e2e_s" and not row.is_load]
    if not times:
        raise InputError("the profiling table has no e2e_s row")
    return sum(times)


def estimate_costs(
    queries: list[Query],
    fit: RuntimeFit,
    devices: int,
    profiled: list[Measurement],
    calibrated: list[Measurement] | None,
    prices: Prices,
    trials: int,
    api_trials: int,
) -> list[dict[str, Any]]:
    """Price each way to the runtimes of a query set; one row a metric.

    Args:
        queries: the set.
        fit: runtimes of the model, for what every query would take on its devices.
        devices: how many those are.
        profiled: the model's profile.
        calibrated: the rows that calibrated the device; None: no row for predictions.
        prices: of devices and tokens.
        trials: runs of each measurement on devices.
        api_trials: requests of each measurement through the API.
    """
    answers = price_tokens(queries, prices)
    seconds = sum(
        query.count * estimate_as_helm(fit, query.prompt_tokens, query.output_tokens) * devices for query in queries
    )
    every_run = price_runs(seconds, trials, prices)
    synthetic = [Query(prompt, output, api_trials) for prompt in API_PROMPTS for output in API_OUTPUTS]
    # How the answers' own pass counts: beside the runs on devices, or as one of the trials through the API.
    ways = [
        ("idealized", answers + every_run, price_runs(count_device_seconds(profiled), trials, prices)),
        ("denoised", answers * api_trials, price_tokens(synthetic, prices)),
    ]
    if calibrated is not None:
        predicted = price_runs(count_device_seconds(calibrated), trials, prices)
        ways.append(("idealized, predicted", answers + every_run, predicted))
    return [
        {
            "runtime": name,
            "queries": round(sum(query.count for query in queries)),
            "devices": devices,
            "currency": prices.device_second.currency,
            "every_query": every,
            "estimated": answers + measuring,
            "cheaper": every / (answers + measuring) if answers + measuring > 0 else None,
            "answers": answers,
            "measuring": measuring,
        }
        for name, every, measuring in ways
    ]
