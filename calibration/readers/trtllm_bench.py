"""``trtllm-bench throughput | latency``: ``--report_json`` and the printed report.

All requests of a data set, a number of them in flight, of which the report has the average; where it does not print it,
it is throughput times latency (Little's law). Lengths are averages, and where those are not printed, rates of tokens
over the rate of requests. TPOT is over the tokens after the first. Throughput is of all devices.
Source: https://github.com/NVIDIA/TensorRT-LLM, tensorrt_llm/bench/dataclasses/reporting.py (``ReportUtility``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from calibration.readers.content import (
    Content,
    need_number,
    need_positive,
    read_labels,
    take_count,
    take_number,
    take_text,
)
from calibration.readers.runs import Metric, Run, Told, list_latencies

TOOL = "trtllm-bench"
TITLE = re.compile(r"^(?:= )?PERFORMANCE OVERVIEW", re.MULTILINE)  # a page that has it may have eaten the sign
FIRST_SECTION = re.compile(r"^(?:= )?(?:[A-Z]+ BACKEND|ENGINE DETAILS)", re.MULTILINE)
OLD_TITLE = "= STATISTICS"  # of versions before 0.15, which send all requests at once and time none of them
MACHINE = re.compile(r"MACHINE DETAILS\s*\n=+\s*\n(.+?), memory ")
PERCENTILES = {"average": "mean", "p50": "p50", "p99": "p99"}
# Sections of the JSON and labels of the print -> our names.
REPORT = {
    "engine": ("model", "version", "dtype", "kv_cache_dtype", "quantization"),
    "world_info": ("tp_size", "pp_size", "ep_size", "world_size"),
    "request_info": ("num_requests", "avg_num_concurrent_requests", "avg_input_length", "avg_output_length"),
    "performance": (
        *("request_throughput_req_s", "system_output_throughput_tok_s", "system_total_throughput_tok_s"),
        *("output_throughput_per_gpu_tok_s", "avg_request_latency_ms", "total_latency_ms"),
    ),
    "streaming_metrics": ("avg_ttft_ms", "avg_tpot_ms"),
}
LABELS = {
    "Model": "model",
    "TensorRT LLM Version": "version",
    "TensorRT-LLM Version": "version",
    "Dtype": "dtype",
    "KV Cache Dtype": "kv_cache_dtype",
    "Quantization": "quantization",
    "TP Size": "tp_size",
    "PP Size": "pp_size",
    "EP Size": "ep_size",
    "Number of requests": "num_requests",
    "Number of concurrent requests": "avg_num_concurrent_requests",
    "Average Input Length (tokens)": "avg_input_length",
    "Average Output Length (tokens)": "avg_output_length",
    "Request Throughput (req/sec)": "request_throughput_req_s",
    "Total Output Throughput (tokens/sec)": "system_output_throughput_tok_s",
    "Token Throughput (tokens/sec)": "system_output_throughput_tok_s",
    "Total Token Throughput (tokens/sec)": "system_total_throughput_tok_s",
    "Per GPU Output Throughput (tps/gpu)": "output_throughput_per_gpu_tok_s",
    "Average request latency (ms)": "avg_request_latency_ms",
    "Total Latency (ms)": "total_latency_ms",
    "Average time-to-first-token [TTFT] (ms)": "avg_ttft_ms",
    "Average time-per-output-token [TPOT] (ms)": "avg_tpot_ms",
}
BREAKDOWN = re.compile(r"^\[(TPOT|TTFT|Latency)\]\s+(P50|P99)\s*:\s*([\d.]+)", re.MULTILINE)
KEYS = {"TPOT": "tpot_s", "TTFT": "ttft_s", "Latency": "e2e_s"}


def recognise(content: Content) -> bool:
    """Either form."""
    if content.objects:
        parts = [found.get("performance") for _, found in content.objects]
        return all(isinstance(part, dict) and "request_throughput_req_s" in part for part in parts)
    titled = TITLE.search(content.text) is not None or OLD_TITLE in content.text
    return "= PERFORMANCE OVERVIEW" in content.text or (titled and "Request Throughput (req/sec)" in content.text)


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, report in content.objects:
        yield parse_report(where, flatten(report), list_percentiles(where, report))
    for where, text in () if content.objects else split_reports(content):
        labels = read_labels(text)
        found: dict[str, Any] = {LABELS[name]: value for name, value in labels.items() if name in LABELS}
        machine = MACHINE.search(text)
        found |= {"machine": machine[1].strip() if machine else None, "drafts": "DECODING STATISTICS" in text}
        found["all_at_once"] = OLD_TITLE in text
        spread = {(KEYS[one[1]], one[2].lower()): float(one[3]) for one in BREAKDOWN.finditer(text)}
        yield parse_report(where, found, spread)


def split_reports(content: Content) -> Iterator[tuple[str, str]]:
    """The reports of a text, each from its first section; the whole text, where it is one report or parts of one."""
    starts = [found.start() for found in FIRST_SECTION.finditer(content.text)]
    if len(starts) < 2 or len(starts) != len(TITLE.findall(content.text)):
        yield str(content.path), content.text
        return
    for start, end in pairwise([*starts, len(content.text)]):
        yield f"{content.path}:{content.text.count(chr(10), 0, start) + 1}", content.text[start:end]


def flatten(report: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a JSON report by one name each."""
    found: dict[str, Any] = {}
    for section, names in REPORT.items():
        part = report.get(section)
        found |= {name: part[name] for name in names if isinstance(part, dict) and part.get(name) is not None}
    machine = report.get("machine")
    found["machine"] = take_text(machine, "name") if isinstance(machine, dict) else None
    return found | {"drafts": "decoding_stats" in report}


def list_percentiles(where: str, report: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Percentiles of a JSON report, milliseconds."""
    found = {}
    places = (
        *(("streaming_metrics", "ttft_percentiles", "ttft_s"), ("streaming_metrics", "tpot_percentiles", "tpot_s")),
        ("performance", "request_latency_percentiles_ms", "e2e_s"),
    )
    for section, name, metric in places:
        part = report.get(section)
        part = part.get(name) if isinstance(part, dict) else None
        for which in ("p50", "p99"):
            value = take_number(where, part, which) if isinstance(part, dict) else None
            if value is not None:
                found[metric, which] = value
    return found


def parse_report(where: str, found: Mapping[str, Any], spread: Mapping[tuple[str, str], float]) -> Run:
    """One run."""
    per_s = need_positive(where, found, "request_throughput_req_s")
    output_per_s = need_positive(where, found, "system_output_throughput_tok_s")
    total_per_s = take_number(where, found, "system_total_throughput_tok_s")
    per_device = take_number(where, found, "output_throughput_per_gpu_tok_s")
    output = take_number(where, found, "avg_output_length") or output_per_s / per_s
    prompt = take_number(where, found, "avg_input_length")
    if prompt is None and total_per_s is not None:
        prompt = (total_per_s - output_per_s) / per_s
    at_once = "avg_request_latency_ms" not in found and found.get("all_at_once", False)
    latency_s = None if at_once else need_number(where, found, "avg_request_latency_ms") * 1e-3
    in_flight = take_number(where, found, "avg_num_concurrent_requests") or per_s * (latency_s or 0.0)
    lasted = take_number(where, found, "total_latency_ms")
    count = take_number(where, found, "num_requests") or (lasted and per_s * lasted * 1e-3)
    layout = [take_count(where, found, name) for name in ("tp_size", "pp_size")]
    if layout[0] is None and per_device and round(output_per_s / per_device) == 1:
        layout = [1, 1]
    version, spread_over = take_text(found, "version"), str(found.get("ep_size"))
    experts = int(spread_over) if spread_over.isascii() and spread_over.isdigit() else 1
    latencies: dict[tuple[str, str], float | None] = {
        ("e2e_s", "mean"): latency_s and latency_s * 1e3,
        ("ttft_s", "mean"): take_number(where, found, "avg_ttft_ms"),
        ("tpot_s", "mean"): take_number(where, found, "avg_tpot_ms"),
        **spread,
    }
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(latencies), Metric("throughput_tok_s", output_per_s)],
        model=take_text(found, "model"),
        hardware=take_text(found, "machine"),
        stack=f"tensorrt-llm-{version}" if version else None,
        tp=layout[0],
        pp=layout[1],
        native_dtype=None,
        dtype=take_text(found, "dtype"),
        weight_dtype=take_text(found, "quantization"),
        kv_dtype=take_text(found, "kv_cache_dtype"),
        batch_size=1,
        prompt_tokens=prompt,
        output_tokens=output,
        concurrency=None if at_once else max(round(in_flight), 1),
        request_rate=math.inf if at_once else None,
        num_requests=round(count) if count else None,
        left_out="a draft was verified (speculative decoding)" if found.get("drafts") else None,
        notes=f"experts over {experts} devices" if experts > 1 else "",
    )
