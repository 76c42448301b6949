"""ModelScope's ``evalscope perf``: ``benchmark_summary.json``, and the tables that it prints.

A client that keeps ``Number of concurrency`` requests in flight, or sends ``Request rate`` a second where there is one.
Times are seconds; that per output token is (latency - time to first token) / (output tokens - 1), ours. Neither form
names the model; the printed percentiles have the medians.
Source: https://github.com/modelscope/evalscope, evalscope/perf/utils/benchmark_util.py (``Metrics``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_count, need_positive, take_count, take_number
from calibration.readers.printed_tables import list_tables
from calibration.readers.runs import Metric, Run, Told, list_latencies

TOOL = "evalscope perf"
CONCURRENCY, RATE = "Number of concurrency", "Request rate (req/s)"
SENT = "Average input tokens per request"
AVERAGES = {
    "e2e_s": "Average latency (s)",
    "ttft_s": "Average time to first token (s)",
    "tpot_s": "Average time per output token (s)",
}
PERCENTILES = {"e2e_s": "Latency (s)", "ttft_s": "TTFT (s)", "tpot_s": "TPOT (s)"}
THROUGHPUTS = ("Output token throughput (tok/s)", "Throughput(average output tokens/s)")


def recognise(content: Content) -> bool:
    """Either form."""
    return has_keys(content, CONCURRENCY, SENT) or (
        not content.objects and f"| {CONCURRENCY}" in content.text and f"| {SENT}" in content.text
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects:
        yield parse_summary(where, found, {})
    if not content.objects:
        yield from read_printed(content)


def read_printed(content: Content) -> Iterator[Run]:
    """The summaries of a text, each with the percentiles behind it."""
    waiting: tuple[str, dict[str, Any]] | None = None
    for table in list_tables(content.text):
        pairs = {cells[0]: cells[1] for _, cells in table if len(cells) == 2}
        head = table[0][1]
        if CONCURRENCY in pairs:
            if waiting is not None:
                yield parse_summary(*waiting, {})
            waiting = f"{content.path}:{table[0][0]}", pairs
        elif head[0] == "Percentiles" and waiting is not None:
            rows = {cells[0]: dict(zip(head, cells, strict=False)) for _, cells in table[1:]}
            yield parse_summary(*waiting, rows)
            waiting = None
    if waiting is not None:
        yield parse_summary(*waiting, {})


def parse_summary(where: str, found: Mapping[str, Any], percentiles: Mapping[str, Mapping[str, Any]]) -> Run:
    """One run."""
    rate = take_number(where, found, RATE)
    times: dict[tuple[str, str], float | None] = {}
    for metric, name in AVERAGES.items():
        times[metric, "mean"] = take_number(where, found, name)
        for row, which in (("50%", "p50"), ("99%", "p99")):
            times[metric, which] = take_number(where, percentiles.get(row, {}), PERCENTILES[metric])
    rate_out = take_number(where, found, *THROUGHPUTS)
    is_open = rate is not None and rate > 0
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(times, 1.0), *([Metric("throughput_tok_s", rate_out)] if rate_out else [])],
        batch_size=1,
        prompt_tokens=need_positive(where, found, SENT),
        output_tokens=need_positive(where, found, SENT.replace("input", "output")),
        concurrency=None if is_open else need_count(where, found, CONCURRENCY),
        request_rate=rate if is_open else None,
        num_requests=take_count(where, found, "Succeed requests"),
    )
