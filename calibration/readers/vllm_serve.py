"""``vllm bench serve`` (before: ``benchmark_serving.py``): ``--save-result`` and the printed summary.

A client that keeps ``max_concurrency`` requests in flight or sends ``request_rate`` a second. TPOT is (latency - TTFT)
/ (output tokens - 1) of each request, ours; ITL is over all gaps and left out. Lengths are totals over completed
requests; the file says neither the spread of lengths, nor device, layout, formats or the version of the server.

What was asked for is in the JSON, and before a printed summary (``Namespace(...)``, ``Traffic request rate: 4.0``).
Since August 2025 the summary itself has a limit of requests in flight and a rate where there are any, and peaks: with
peaks and neither, all requests were sent at once. The first versions, and JetStream's benchmark, print units behind the
numbers and no banner. Without a stream there is no first token: its time is zero or the whole, and so it is left out,
and the time per token that is counted from it.
Source: https://github.com/vllm-project/vllm, vllm/benchmarks/serve.py (``calculate_metrics``, ``benchmark``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from calibration.readers.content import (
    Content,
    has_keys,
    need_count,
    need_number,
    read_arguments,
    read_labels,
    take_count,
    take_number,
    take_rate,
    take_text,
)
from calibration.readers.runs import Metric, Run, Told, list_latencies
from calibration.readers.vllm_asked import take_asked
from simulator.errors import InputError

TOOL = "vllm bench serve"
BANNER = "Serving Benchmark Result"
NAMES = {"e2e_s": ("e2el", "e2e_latency"), "ttft_s": ("ttft",), "tpot_s": ("tpot",)}
PREFIXES = {"mean": "mean", "median": "p50", "p99": "p99"}
SPECULATIVE = ("spec_decode_acceptance_rate", "spec_decode_acceptance_length", "accept_length")
# Lines of the first versions: no banner, and units behind the numbers.
FIRST = "Successful requests:"
OLDEST = re.compile(rf"^{FIRST}(?=[ \d]+\nBenchmark duration: [\d.]+ s$)", re.MULTILINE)
MARGIN = re.compile(r"^[ \t]*(?:[#>][ \t]+)*", re.MULTILINE)  # of a summary in a script's comment, or quoted
UNIT = re.compile(r" (?:ms|tokens/s)$")
RANDOM = ("dataset_name", "random_input_len", "random_output_len", "random_range_ratio")  # SGLang's, of lengths
ASKED = ("model", "max_concurrency", "request_rate", *RANDOM)
DRAFTS = "a draft was verified (speculative decoding)"


def recognise(content: Content) -> bool:
    """A saved result, or a summary that is not SGLang's."""
    if content.objects:
        ours = has_keys(content, "total_input_tokens", "total_output_tokens", "output_throughput", "duration")
        return ours and not any(is_sglang(found) for _, found in content.objects)
    return (BANNER in content.text and "Backend:" not in content.text) or OLDEST.search(content.text) is not None


def is_sglang(found: Mapping[str, Any]) -> bool:
    """Whether a result is of SGLang's client, which keeps more of what it was asked."""
    return any(name in found for name in ("total_output_tokens_retokenized", "random_range_ratio", "server_info"))


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file; a printed one may hold several summaries."""
    for where, found in content.objects or split_summaries(content, LABELS):
        yield parse_result(where, found, TOOL, told)


def parse_result(where: str, found: Mapping[str, Any], tool: str, told: Told) -> Run:
    """One run of either kind of client, vLLM's or SGLang's.

    Raises:
        InputError: no request was completed, or it is not said how many were in flight.
    """
    completed = need_count(where, found, "completed")
    if completed < 1:
        raise InputError(f"{where}: no request was completed")
    totals = [need_number(where, found, name) for name in ("total_input_tokens", "total_output_tokens")]
    concurrency, rate = take_count(where, found, "max_concurrency"), take_rate(where, found, "request_rate")
    if concurrency is None and rate is None:
        if "request_rate" in found or "max_concurrent_requests" in found:
            rate = math.inf  # all requests at once
        elif told.concurrency is None:
            raise InputError(
                f"{where}: {tool} does not say how many requests were in flight; name it with --concurrency"
            )
        else:
            concurrency = told.concurrency
    latencies = drop_unstreamed(
        {
            (metric, which): take_number(where, found, *(f"{prefix}_{name}_ms" for name in names))
            for metric, names in NAMES.items()
            for prefix, which in PREFIXES.items()
        }
    )
    rate_out = take_number(where, found, "output_throughput")
    drafted = any(found.get(name) is not None for name in SPECULATIVE)
    asked = found.get("asked")
    layout = take_asked(where, asked if isinstance(asked, dict) else {})
    return Run(
        where,
        tool,
        metrics=[*list_latencies(latencies), *([Metric("throughput_tok_s", rate_out)] if rate_out else [])],
        model=take_text(found, "model_id", "model"),
        tp=layout.get("tp"),
        pp=layout.get("pp"),
        batch_size=1,
        prompt_tokens=totals[0] / completed,
        output_tokens=totals[1] / completed,
        concurrency=concurrency,
        request_rate=rate,
        num_requests=completed,
        left_out=DRAFTS if drafted else None,
    )


def drop_unstreamed(latencies: dict[tuple[str, str], float | None]) -> dict[tuple[str, str], float | None]:
    """Latencies without those that are none, where the answers did not come as streams of several tokens."""
    first, whole = latencies.get(("ttft_s", "mean")), latencies.get(("e2e_s", "mean"))
    streamed = first != 0 and (first is None or whole is None or first < whole * (1 - 1e-6))
    return latencies if streamed else {key: value for key, value in latencies.items() if key[0] == "e2e_s"}


LABELS = {
    "Successful requests": "completed",
    "Maximum request concurrency": "max_concurrency",
    "Max request concurrency": "max_concurrency",
    "Max reqeuest concurrency": "max_concurrency",  # as SGLang had it
    "Request rate configured (RPS)": "request_rate",
    "Traffic request rate": "request_rate",
    "Total input tokens": "total_input_tokens",
    "Total generated tokens": "total_output_tokens",
    "Output token throughput (tok/s)": "output_throughput",
    "Output token throughput": "output_throughput",
    "Peak concurrent requests": "max_concurrent_requests",
    "Accept length": "accept_length",
    "Acceptance rate (%)": "spec_decode_acceptance_rate",
    **{
        f"{printed} {name}{unit}": f"{key}_{short}_ms"
        for unit in (" (ms)", "")
        for printed, key in {"Mean": "mean", "Median": "median", "P99": "p99"}.items()
        for name, short in {"E2EL": "e2el", "E2E Latency": "e2e_latency", "TTFT": "ttft", "TPOT": "tpot"}.items()
    },
}


def split_summaries(content: Content, labels: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The values of each printed summary. The lines before a summary say how its requests were sent.

    Raises:
        InputError: a summary is cut off.
    """
    text = MARGIN.sub("", content.text)
    parts = text.split(BANNER) if BANNER in text else OLDEST.split(text)
    place = 1
    for before, after in pairwise(parts):
        place += before.count("\n")
        asked = read_arguments(before)
        known = {name: asked[name] for name in ASKED if name in asked}
        known |= {"model": asked["served_model_name"]} if "model" not in known and "served_model_name" in asked else {}
        summary = after.partition("\n=====")[0] if BANNER in text else f"{FIRST} {after}"
        printed = {**read_labels(before.rpartition("=====\n")[2]), **read_labels(summary)}
        where = f"{content.path}:{place}"
        found = {labels[name]: value for name, value in printed.items() if name in labels}
        found = {name: UNIT.sub("", value) for name, value in found.items() if value not in ("not set", "None")}
        missing = [name for name in ("completed", "total_input_tokens", "total_output_tokens") if name not in found]
        if missing:
            raise InputError(f"{where}: the summary has no {', '.join(missing)}; is it cut off?")
        yield where, known | found
