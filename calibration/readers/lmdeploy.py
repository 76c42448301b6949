"""LMDeploy's ``profile_throughput.py``, ``profile_pipeline_api.py`` and ``profile_restful_api.py``: what they print.

A number of prompts in flight, all of a data set. Until 2024 a block of lines, whose times to the first token are least,
most and mean, in this order; then a table with means and percentiles, in seconds. Prompts are totals over requests; the
lines do not count these, but have their rate and the time. Neither names the model, the device or the version.
Source: https://github.com/InternLM/lmdeploy, benchmark/profile_throughput.py, lmdeploy/profiler.py (``summarize``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from calibration.readers.content import Content, need_count, need_positive, take_count, take_number
from calibration.readers.runs import Metric, Run, Told, list_latencies
from simulator.errors import InputError

TOOL = "lmdeploy profile"
BLOCK = re.compile(r"^concurrency: (\d+)\s*\nelapsed_time: ([\d.]+)s", re.MULTILINE)
LINES = {
    "prompt": re.compile(r"^number of prompt tokens: (\d+)", re.MULTILINE),
    "output": re.compile(r"^number of completion tokens: (\d+)", re.MULTILINE),
    "rate_out": re.compile(r"^token throughput \(completion token\): ([\d.]+) token/s", re.MULTILINE),
    "requests": re.compile(r"^RPS \(request per second\): ([\d.]+) req/s", re.MULTILINE),
    "ttft": re.compile(
        r"^first[ _]token latency(?:\(s\))?\(min, max, ave\): [\d.]+s?, [\d.]+s?, ([\d.]+)", re.MULTILINE
    ),
}
TABLE = re.compile(r"^=+ .+ =+\s*\nBenchmark duration +[\d.]+\s*\n", re.MULTILINE)
ROW = re.compile(r"^(\S.*?) {2,}(.+)$")
TIMES = {
    "End-to-end Latency": "e2e_s",
    "Time to First Token (TTFT)": "ttft_s",
    "Time per Output Token (TPOT)": "tpot_s",
}
STATISTICS = {"mean": "mean", "P50": "p50", "P99": "p99"}


def recognise(content: Content) -> bool:
    """Either form."""
    if content.objects:
        return False
    block = BLOCK.search(content.text) and LINES["rate_out"].search(content.text)
    return block is not None or TABLE.search(content.text) is not None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a text."""
    starts = [found.start() for found in BLOCK.finditer(content.text)]
    for start, end in pairwise([*starts, len(content.text)]):
        yield parse_block(f"{content.path}:{count_lines(content, start)}", content.text[start:end])
    starts = [found.start() for found in TABLE.finditer(content.text)]
    for start, end in pairwise([*starts, len(content.text)]):
        yield parse_table(f"{content.path}:{count_lines(content, start)}", content.text[start:end], told)


def count_lines(content: Content, place: int) -> int:
    """The number of the line at a place of the text."""
    return content.text.count("\n", 0, place) + 1


def parse_block(where: str, text: str) -> Run:
    """A block of lines.

    Raises:
        InputError: a line is missing.
    """
    head = BLOCK.search(text)
    assert head is not None
    found: dict[str, Any] = {name: match[1] for name, line in LINES.items() if (match := line.search(text))}
    missing = [name for name in ("prompt", "output", "rate_out", "requests") if name not in found]
    if missing:
        raise InputError(f"{where}: {TOOL} has no line of {', '.join(missing)}; is it cut off?")
    requests = need_positive(where, found, "requests") * need_positive(where, {"elapsed_time": head[2]}, "elapsed_time")
    return make_run(
        where, round(requests), int(head[1]), found, {("ttft_s", "mean"): take_number(where, found, "ttft")}
    )


def parse_table(where: str, text: str, told: Told) -> Run:
    """A table.

    Raises:
        InputError: it does not say how many requests were in flight, and no option does; or a row is missing.
    """
    rows = {found[1]: found[2].split() for line in text.splitlines() if (found := ROW.match(line))}
    head = next((line.split() for line in text.splitlines() if line.split()[:1] == ["mean"]), [])
    facts = {name.lower(): cells[-1] for name, cells in rows.items() if cells}
    times: dict[tuple[str, str], float | None] = {}
    for name, metric in TIMES.items():
        cells = dict(zip(head, rows.get(name, []), strict=False))
        for column, which in STATISTICS.items():
            times[metric, which] = take_number(where, cells, column)
    if times["ttft_s", "mean"] is None:  # no stream: the time per token is of the whole
        times = {key: value for key, value in times.items() if key[0] == "e2e_s"}
    concurrency = take_count(where, facts, "concurrency", "batch") or told.concurrency
    if concurrency is None:
        raise InputError(f"{where}: {TOOL} does not say how many requests were in flight; name it with --concurrency")
    values: dict[str, Any] = {
        "prompt": facts.get("total input tokens"),
        "output": facts.get("total generated tokens"),
        "rate_out": facts.get("output throughput (tok/s)"),
    }
    return make_run(where, need_count(where, facts, "successful requests"), concurrency, values, times)


def make_run(
    where: str, requests: int, concurrency: int, found: dict[str, Any], times: dict[tuple[str, str], float | None]
) -> Run:
    """One run."""
    if requests < 1:
        raise InputError(f"{where}: no request was completed")
    rate_out = Metric("throughput_tok_s", need_positive(where, found, "rate_out"))
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(times, 1.0), rate_out],
        batch_size=1,
        prompt_tokens=need_positive(where, found, "prompt") / requests,
        output_tokens=need_positive(where, found, "output") / requests,
        concurrency=concurrency,
        num_requests=requests,
    )
