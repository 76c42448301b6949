"""What vLLM's benchmarks were asked for: their arguments, printed or saved, and their results in PyTorch's format.

With ``SAVE_TO_PYTORCH_BENCHMARK_FORMAT`` they write ``NAME.pytorch.json``: a record a metric, each with the arguments
and with the rest of the result, which are one result here again, its arguments under ``asked``.
Source: https://github.com/vllm-project/vllm, vllm/benchmarks/lib/utils.py (``convert_to_pytorch_benchmark_format``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calibration.readers.content import Content, take_count, take_number, take_text
from simulator.inputs.formats import UNSTATED

PARTS = {"benchmark", "model", "metric"}
TIMES = "latencies"  # of ``vllm bench latency``, whose metric ``latency`` has one value an iteration


def join_records(content: Content) -> Content:
    """A file whose objects are such records, as the one result that they are of; any other as it is."""
    records = [found for _, found in content.objects]
    if not records or not all(is_record(found) for found in records):
        return content
    joined: dict[str, Any] = {"asked": records[0]["benchmark"]["extra_info"]["args"]}
    for found in records:
        metric = found["metric"]
        others, values, name = metric.get("extra_info"), metric["benchmark_values"], str(metric.get("name"))
        joined |= others if isinstance(others, dict) else {}
        joined |= {TIMES: values} if name == "latency" else {name: values[0]}
    return Content(content.path, content.text, ((content.objects[0][0], joined),))


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether an object is a record of one metric."""
    benchmark, metric = found.get("benchmark"), found.get("metric")
    if not found.keys() >= PARTS or not isinstance(benchmark, dict) or not isinstance(metric, dict):
        return False
    told, values = benchmark.get("extra_info"), metric.get("benchmark_values")
    return isinstance(told, dict) and isinstance(told.get("args"), dict) and isinstance(values, list) and bool(values)


def take_asked(where: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a run from the arguments of an engine that the benchmark started, as far as they are named."""
    quantization = take_text(asked, "quantization")
    facts = {
        "model": take_text(asked, "model"),
        "tp": take_count(where, asked, "tensor_parallel_size"),
        "pp": take_count(where, asked, "pipeline_parallel_size"),
        "dtype": take_text(asked, "dtype"),
        "weight_dtype": quantization,
        "kv_dtype": take_text(asked, "kv_cache_dtype"),
        "batch_size": take_count(where, asked, "batch_size"),
        "prompt_tokens": take_number(where, asked, "input_len"),
        "output_tokens": take_number(where, asked, "output_len"),
    }
    return {
        name: value
        for name, value in facts.items()
        if value is not None and not (isinstance(value, str) and value.lower() in UNSTATED)
    }
