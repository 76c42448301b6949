"""LLMPerf (``token_benchmark_ray.py``): the summary ``*_summary.json``.

``num_concurrent_requests`` are kept in flight. Its inter-token latency *includes* the first token: all gaps and the
time to the first token over all output tokens. Ours is of the means, (latency - TTFT) / (tokens - 1).
Source: https://github.com/ray-project/llmperf, token_benchmark_ray.py, src/llmperf/ray_clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_count, need_number, take_count, take_number, take_text
from calibration.readers.runs import Metric, Run, Told, list_latencies

TOOL = "llmperf"
STATISTICS = {"mean": "mean", "quantiles_p50": "p50", "quantiles_p99": "p99"}


def recognise(content: Content) -> bool:
    """A summary."""
    return has_keys(content, "num_concurrent_requests", "results_ttft_s_mean")


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects:
        yield parse_summary(where, found)


def parse_summary(where: str, found: Mapping[str, Any]) -> Run:
    """One run."""
    times = {
        (metric, which): take_number(where, found, f"results_{name}_{key}")
        for metric, name in (("e2e_s", "end_to_end_latency_s"), ("ttft_s", "ttft_s"))
        for key, which in STATISTICS.items()
    }
    prompt, output = (
        need_number(where, found, f"results_number_{what}_tokens_mean", f"mean_{what}_tokens")
        for what in ("input", "output")
    )
    whole, first = times["e2e_s", "mean"], times["ttft_s", "mean"]
    if whole is not None and first is not None and output > 1:
        times["tpot_s", "mean"] = (whole - first) / (output - 1)
    rate_out = take_number(where, found, "results_mean_output_throughput_token_per_s")
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(times, 1.0), *([Metric("throughput_tok_s", rate_out)] if rate_out else [])],
        model=take_text(found, "model"),
        batch_size=1,
        prompt_tokens=prompt,
        output_tokens=output,
        concurrency=need_count(where, found, "num_concurrent_requests"),
        num_requests=take_count(where, found, "results_num_completed_requests"),
    )
