"""What GuideLLM prints, and its CSV: a row a benchmark, in the words of the JSON report's metrics.

Versions before 0.4 print *Benchmarks Info* and *Benchmarks Stats*, whose request latency is in seconds though its head
may say milliseconds; later ones a table each of tokens, latencies and throughput, in medians. The CSV has the means.
Source: https://github.com/vllm-project/guidellm, src/guidellm/benchmark/output.py and outputs (console, csv).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from calibration.readers.content import Content, split_rows
from calibration.readers.printed_tables import list_tables
from simulator.errors import InputError

# Heads of groups of columns -> the metric in the JSON report.
METRICS = {
    "Req Latency": "request_latency",
    "Request Latency": "request_latency",
    "TTFT": "time_to_first_token_ms",
    "ITL": "inter_token_latency_ms",
    "TPOT": "time_per_output_token_ms",
    "Out Tok/sec": "output_tokens_per_second",
    "Output Tokens": "output_tokens_per_second",
    "Prompt Tok/Req": "prompt_token_count",
    "Output Tok/Req": "output_token_count",
    "Input Tok": "prompt_token_count",
    "Output Tok": "output_token_count",
    "Request Stats": "request",
    "Requests": "request",
    "Requests Made": "requests_made",
}
STATISTICS = {"mean": "mean", "median": "p50", "mdn": "p50", "p99": "p99", "comp": "mean"}
RATED = re.compile(r"(\w+)@([\d.]+)")
MARK = re.compile(r"Benchmarks Stats:|Request Latency Statistics \(Completed Requests\)")


def is_printed(text: str) -> bool:
    """Whether a text holds GuideLLM's tables."""
    return MARK.search(text) is not None


def is_csv(header: list[str]) -> bool:
    """Whether the first row of a CSV is that of its report."""
    flat = any("Time to first token ms mean" in name for name in header)
    return flat or {"Run Info", "Request Latency", "Time to First Token"} <= set(header)


def list_printed(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    """The benchmarks of printed tables.

    Raises:
        InputError: tables of different numbers of rows.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    for table in list_tables(content.text):
        heads = [cells for _, cells in table if not is_values(cells)]
        rows = [(number, cells) for number, cells in table if is_values(cells)]
        columns = name_columns(heads, len(rows[0][1])) if rows and heads else {}
        if not columns or any(len(cells) != len(rows[0][1]) for _, cells in rows):
            continue
        if found and len(found) != len(rows):
            raise InputError(
                f"{content.path}:{rows[0][0]}: {len(rows)} benchmarks, before it {len(found)}; is it cut off?"
            )
        found = found or [(f"{content.path}:{number}", make_benchmark(cells[0])) for number, cells in rows]
        for (_, benchmark), (_, cells) in zip(found, rows, strict=True):
            for place, (metric, statistic) in columns.items():
                add_value(benchmark, metric, statistic, cells[place])
    yield from found


def is_values(cells: list[str]) -> bool:
    """Whether a row has values and no heads."""
    return len(cells) > 3 and any(re.fullmatch(r"-?[\d.,]+|--", cell) for cell in cells[1:])


def name_columns(heads: list[list[str]], width: int) -> dict[int, tuple[str, str]]:
    """The metric and the statistic of each column that has one; a head stands over the columns that it spans."""
    spans = [spread_head(cells, width) for cells in heads]
    named: dict[int, tuple[str, str]] = {}
    for place in range(1, width):
        words = [span[place] for span in spans if len(span) > place]
        metric = METRICS.get(re.sub(r" \(.*\)$", "", words[0])) if words else None
        last = words[-1].lower() if words else ""
        if metric == "request":
            rate = next((word for word in words if word in ("Per Second", "Per Sec")), None)
            metric = "requests_per_second" if rate else "request_concurrency"
            last = "mean" if last not in STATISTICS else last
        if last == "comp" and metric not in ("requests_made", "prompt_token_count", "output_token_count"):
            continue  # totals of a whole run
        if metric is not None and last in STATISTICS and not any("Stream Iter" in word for word in words):
            named.setdefault(place, (metric, STATISTICS[last]))
    return named


def spread_head(cells: list[str], width: int) -> list[str]:
    """The head over each column: an empty cell belongs to the one before it."""
    spread: list[str] = []
    for cell in cells:
        spread.append(cell or (spread[-1] if spread else ""))
    return [*spread, *[spread[-1]] * (width - len(spread))]


def make_benchmark(name: str) -> dict[str, Any]:
    """A benchmark of a strategy as tables name it: ``synchronous``, ``constant@0.69``, ``concurrent@8``."""
    rated = RATED.fullmatch(name)
    kind = rated[1] if rated else name
    strategy: dict[str, Any] = {"type_": kind}
    if rated:
        strategy["streams" if kind == "concurrent" else "rate"] = rated[2]
    return {"strategy": strategy, "metrics": {}}


def add_value(benchmark: dict[str, Any], metric: str, statistic: str, text: str) -> None:
    """Add a value where it is a number; the first of its kind counts."""
    value = text.replace(",", "")
    if re.fullmatch(r"[\d.]+", value) is None:
        return
    if metric == "requests_made":
        benchmark.setdefault(metric, {"successful": value})
        return
    benchmark["metrics"].setdefault(metric, {}).setdefault(statistic, value)


def list_csv(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    """The benchmarks of the CSV, of one row of heads (before 0.4) or of three."""
    rows = list(split_rows(content))
    first = rows[0][1]
    deep = "Run Info" in first
    heads = [" ".join(filter(None, parts)) for parts in zip(*(cells for _, cells in rows[:3]), strict=False)]
    names = [plain(head) for head in (heads if deep else first)]
    for number, cells in rows[3 if deep else 1 :]:
        row = dict(zip(names, cells, strict=False))
        benchmark = make_benchmark((row.get("benchmark strategy") or row.get("name") or "").strip())
        for metric, title in CSV.items():
            for statistic, word in (("mean", "mean"), ("p50", "median")):
                value = next((row[name] for name in (one.format(word) for one in title) if name in row), "")
                add_value(benchmark, metric, statistic, value)
        yield f"{content.path}:{number}", benchmark


CSV = {
    "request_latency": ("successful request latency {}", "request latency successful sec {}"),
    "time_to_first_token_ms": ("successful time to first token ms {}", "time to first token successful ms {}"),
    "inter_token_latency_ms": ("successful inter token latency ms {}", "inter token latency successful ms {}"),
    "output_tokens_per_second": (
        "successful output tokens per second {}",
        "token throughput successful output tokens/sec {}",
    ),
    "prompt_token_count": ("successful prompt token count {}", "token metrics successful input tokens {}"),
    "output_token_count": ("successful output token count {}", "token metrics successful output tokens {}"),
    "request_concurrency": (
        "successful request concurrency {}",
        "server throughput successful concurrency {}",
    ),
}


def plain(head: str) -> str:
    """A head in lower case with single spaces."""
    return " ".join(head.lower().split())
