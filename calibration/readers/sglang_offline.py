"""SGLang's ``bench_offline_throughput``: ``--result-filename`` (JSON lines) and what it prints.

All prompts are given to the engine at once. Lengths are totals over the requests that succeeded.
Source: https://github.com/sgl-project/sglang, python/sglang/bench_offline_throughput.py (``throughput_test``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_number, need_positive, read_labels
from calibration.readers.runs import Metric, Run, Told

TOOL = "sglang bench_offline_throughput"
BANNER = "Offline Throughput Benchmark Result"
LABELS = {
    "Successful requests": "successful_requests",
    "Total input tokens": "total_input_tokens",
    "Total generated tokens": "total_output_tokens",
    "Output token throughput (tok/s)": "output_throughput",
}


def recognise(content: Content) -> bool:
    """Either form."""
    return has_keys(content, "successful_requests", "total_output_tokens", "output_throughput") or (
        not content.objects and BANNER in content.text
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects:
        yield parse_result(where, found)
    for part in [] if content.objects else content.text.split(BANNER)[1:]:
        labels = read_labels(part)
        yield parse_result(str(content.path), {LABELS[name]: labels[name] for name in LABELS if name in labels})


def parse_result(where: str, found: Mapping[str, Any]) -> Run:
    """One run."""
    count = need_positive(where, found, "successful_requests")
    totals = [need_number(where, found, f"total_{what}_tokens") for what in ("input", "output")]
    return Run(
        where,
        TOOL,
        metrics=[Metric("throughput_tok_s", need_positive(where, found, "output_throughput"))],
        batch_size=1,
        prompt_tokens=totals[0] / count,
        output_tokens=totals[1] / count,
        request_rate=math.inf,
        num_requests=round(count),
    )
