"""GuideLLM: the JSON report (``--output-path *.json``) of versions 0.2 and later, a benchmark for each rate.

Its time per output token *includes* the first: latency / output tokens. Its inter-token latency is (last token - first
token) / (output tokens - 1), our time per output token, and is read; where a report has only the former, it is turned
into ours with the mean time to the first token and the mean number of output tokens. Latencies are of requests that
succeeded; request latency is in seconds, the others in milliseconds. Its YAML report has the same keys; version 0.1
has means alone. A printed table that does not name how many requests were in flight has their mean.
Source: https://github.com/vllm-project/guidellm, src/guidellm/schemas/request_stats.py, benchmark/schemas/generative/
metrics.py and scheduler/strategies.py (before 0.4: benchmark/benchmark.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, find_nested, read_header, take_number, take_text
from calibration.readers.guidellm_printed import is_csv, is_printed, list_csv, list_printed
from calibration.readers.runs import Metric, Run, Told, list_latencies
from simulator.errors import InputError
from simulator.specfile import read_spec

TOOL = "guidellm"
OLD = {"mode", "time_to_first_token", "inter_token_latency"}  # of a benchmark of version 0.1
OLD_NAMES = {
    "request_latency": "request_latency",
    "time_to_first_token_ms": "time_to_first_token",
    "inter_token_latency_ms": "inter_token_latency",
    "output_tokens_per_second": "output_token_throughput",
    "prompt_token_count": "prompt_token",
    "output_token_count": "output_token",
}
LATENCIES = {"e2e_s": ("request_latency", 1.0), "ttft_s": ("time_to_first_token_ms", 1e-3)}


def recognise(content: Content) -> bool:
    """A report with benchmarks, its tables or its CSV."""
    if not content.objects:
        return is_printed(content.text) or is_csv(read_header(content)) or is_yaml(content.text)
    return all(
        isinstance(found.get("benchmarks"), list)
        and any(isinstance(one, dict) and ("metrics" in one or one.keys() >= OLD) for one in found["benchmarks"])
        for _, found in content.objects
    )


def is_yaml(text: str) -> bool:
    """Whether a text is a report in YAML."""
    return re.search(r"^benchmarks:\s*$", text, re.MULTILINE) is not None and "time_to_first_token_ms:" in text


def read(content: Content, told: Told) -> Iterator[Run]:
    """The benchmarks of a report."""
    if content.objects or is_yaml(content.text):
        yield from read_report(content, told)
        return
    for where, benchmark in list_printed(content) if is_printed(content.text) else list_csv(content):
        yield parse_benchmark(where, benchmark, {}, told)


def read_report(content: Content, told: Told) -> Iterator[Run]:
    """The benchmarks of a JSON or YAML report."""
    objects = content.objects or [(str(content.path), read_spec(content.path).data)]
    for where, report in objects:
        listed = report.get("benchmarks")
        for place, benchmark in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(benchmark, dict) and benchmark.keys() >= OLD:
                benchmark = renew(benchmark)
            if isinstance(benchmark, dict) and isinstance(benchmark.get("metrics"), dict):
                yield parse_benchmark(f"{where}: benchmark {place}", benchmark, report, told)


def renew(benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """A benchmark of version 0.1 in the words of the later ones; its statistics are means alone."""
    metrics = {name: {"mean": benchmark.get(old)} for name, old in OLD_NAMES.items()}
    done = benchmark.get("results")
    totals = {"successful": len(done)} if isinstance(done, list) else {}
    strategy = {"type_": benchmark["mode"], "rate": benchmark.get("rate")}
    return {"metrics": metrics, "strategy": strategy, "request_totals": totals}


def parse_benchmark(where: str, benchmark: Mapping[str, Any], report: Mapping[str, Any], told: Told) -> Run:
    """One rate or concurrency."""
    metrics = benchmark["metrics"]
    prompt, output = (
        take_statistic(where, metrics, name, "mean") or take_statistic(where, metrics, name, "p50")
        for name in ("prompt_token_count", "output_token_count")
    )
    times: dict[tuple[str, str], float | None] = {}
    for which in ("mean", "p50", "p99"):
        for name, (key, scale) in LATENCIES.items():
            value = take_statistic(where, metrics, key, which)
            times[name, which] = None if value is None else value * scale
        times["tpot_s", which] = take_statistic(where, metrics, "inter_token_latency_ms", which, 1e-3)
    if not times["tpot_s", "mean"]:
        times["tpot_s", "mean"] = exclude_first(where, metrics, times["ttft_s", "mean"], output)
    rate_out = take_statistic(where, metrics, "output_tokens_per_second", "mean")
    concurrency, rate = read_strategy(where, benchmark, told)
    model = find_nested(
        [benchmark, report],
        lambda key, value: key in ("backend_model", "model") and isinstance(value, str) and value != "",
    )
    totals = find_nested(
        benchmark, lambda key, value: key in ("request_totals", "requests_made") and isinstance(value, dict)
    )
    count = take_number(where, totals, "successful") if isinstance(totals, dict) else None
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(times, 1.0), *([Metric("throughput_tok_s", rate_out)] if rate_out else [])],
        model=model,
        batch_size=1,
        prompt_tokens=prompt,
        output_tokens=output,
        concurrency=concurrency,
        request_rate=rate,
        num_requests=None if count is None else int(count),
    )


def take_statistic(where: str, metrics: Mapping[str, Any], name: str, which: str, scale: float = 1.0) -> float | None:
    """A statistic over the requests that succeeded; None where there is none."""
    found = metrics.get(name)
    part = found.get("successful", found) if isinstance(found, dict) else None
    if isinstance(part, dict) and which != "mean":
        part = part.get("percentiles", part)
    value = take_number(where, part, which) if isinstance(part, dict) else None
    if value is None and which == "p50" and isinstance(found, dict):
        part = found.get("successful", found)
        value = take_number(where, part, "median") if isinstance(part, dict) else None
    return None if value is None else value * scale


def exclude_first(where: str, metrics: Mapping[str, Any], ttft_s: float | None, output: float | None) -> float | None:
    """The time per output token after the first, from GuideLLM's over all of them."""
    with_first = take_statistic(where, metrics, "time_per_output_token_ms", "mean", 1e-3)
    if with_first is None or not ttft_s or output is None or output <= 1:
        return None  # without a stream the first token has no time, zero
    return (with_first * output - ttft_s) / (output - 1)


def read_strategy(where: str, benchmark: Mapping[str, Any], told: Told) -> tuple[int | None, float | None]:
    """Requests in flight, and requests a second; where no strategy is named, those that were in flight on average.

    Raises:
        InputError: a way to send requests that is unknown.
    """
    strategy = find_nested(benchmark, lambda key, value: key == "strategy" and isinstance(value, dict | str))
    if strategy is None:
        in_flight = told.concurrency or take_statistic(where, benchmark["metrics"], "request_concurrency", "mean")
        if in_flight is None:
            raise InputError(
                f"{where}: {TOOL} does not say how many requests were in flight; name it with --concurrency"
            )
        return max(round(in_flight), 1), None
    facts = strategy if isinstance(strategy, dict) else {"type_": strategy}
    kind = take_text(facts, "type_", "kind") or ""
    streams = take_number(where, facts, "streams", "worker_count")
    limit = take_number(where, facts, "max_concurrency")
    most = None if limit is None else int(limit)
    if kind == "synchronous":
        return 1, None
    metrics = benchmark["metrics"]
    if kind == "concurrent":
        streams = streams or take_statistic(where, metrics, "request_concurrency", "mean") or told.concurrency
        if streams is not None:
            return max(round(streams), 1), None
    if kind == "throughput":
        return most, None if most is not None else math.inf
    rate = take_number(where, facts, "rate", "initial_rate") or take_statistic(
        where, metrics, "requests_per_second", "mean"
    )
    if kind in ("constant", "poisson", "async") and rate is not None:
        return most, rate
    raise InputError(f"{where}: {TOOL} sent requests by an unknown strategy {kind or 'that it does not name'!r}")
