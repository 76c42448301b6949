"""optimum-benchmark: ``benchmark.json``, or ``benchmark_report.json`` beside its configuration.

One batch, in process: ``prefill`` is the pass over the prompt, ``decode`` the passes for ``max_new_tokens`` - 1 further
tokens together, so a token takes its latency over so many. ``generate`` is the whole. Latencies are means, with their
deviation, in seconds.
Source: https://github.com/huggingface/optimum-benchmark, optimum_benchmark/scenarios/inference/scenario.py
(``atomic_decode_volume``), trackers/latency.py, benchmark/report.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calibration.readers.content import Content, find_nested, need_number, take_count, take_number, take_text
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError
from simulator.textfile import parse_json, read_text

TOOL = "optimum-benchmark"
PARTS = ("prefill", "decode", "generate")
STACKS = {"pytorch": "transformers-eager", "transformers": "transformers-eager"}


def recognise(content: Content) -> bool:
    """A report, alone or under its configuration."""
    return bool(content.objects) and all(has_report(found) for _, found in content.objects)


def has_report(found: Mapping[str, Any]) -> bool:
    """Whether a document has the latency of a part."""
    report = found.get("report", found)
    return isinstance(report, dict) and any(
        isinstance(report.get(part), dict) and isinstance(report[part].get("latency"), dict) for part in PARTS
    )


def find_twin(path: Path) -> Path | None:
    """The file with configuration and report, which says more than the report."""
    return path.with_name("benchmark.json") if path.name == "benchmark_report.json" else None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects:
        config = found.get("config") if "report" in found else read_config(content.path)
        yield from parse_report(where, found.get("report", found), config if isinstance(config, dict) else {}, told)


def read_config(path: Path) -> Any:
    """The configuration beside a report; None where there is none.

    Raises:
        InputError: it is not JSON.
    """
    beside = path.with_name("benchmark_config.json")
    if beside == path or not beside.is_file():
        return None
    try:
        return parse_json(read_text(beside))
    except ValueError as error:
        raise InputError(f"{beside}: not valid JSON: {error}") from None


def parse_report(where: str, report: Mapping[str, Any], config: Mapping[str, Any], told: Told) -> Iterator[Run]:
    """One run."""
    backend = config.get("backend")
    backend = backend if isinstance(backend, dict) else {}
    shapes = find_nested(config, lambda key, value: key == "input_shapes" and isinstance(value, dict)) or {}
    stated = find_nested(config, lambda key, value: key in ("max_new_tokens", "new_tokens") and isinstance(value, int))
    output = stated or told.output_tokens
    times = {part: take_latency(where, report, part) for part in PARTS}
    metrics = []
    if times["prefill"] is not None:
        metrics.append(Metric("prefill_s", *times["prefill"]))
    if times["decode"] is not None:
        if output is None:
            raise InputError(f"{where}: {TOOL} does not say output tokens; name it with -n")
        passes = max(output - 1, 1)
        mean, _, spread = times["decode"]
        metrics.append(Metric("tpot_s", mean / passes, "mean", spread and spread / passes))
    if times["generate"] is not None:
        metrics.append(Metric("e2e_s", *times["generate"]))
    quantized = find_nested(backend, lambda key, value: key == "quantization_scheme" and isinstance(value, str))
    bits = find_nested(backend, lambda key, value: key == "bits" and isinstance(value, int))
    device = find_nested(config.get("environment") or {}, lambda key, value: key == "gpu" and bool(value))
    yield Run(
        where,
        TOOL,
        metrics=metrics,
        model=take_text(backend, "model"),
        hardware=device[0] if isinstance(device, list) and len(set(map(str, device))) == 1 else None,
        stack=STACKS.get(take_text(backend, "name") or ""),
        dtype=take_text(backend, "torch_dtype", "dtype"),
        weight_dtype=None if quantized is None else f"{quantized}-int{bits or 4}" if quantized == "gptq" else quantized,
        batch_size=take_count(where, shapes, "batch_size"),
        prompt_tokens=take_number(where, shapes, "sequence_length"),
        output_tokens=output,
    )


def take_latency(where: str, report: Mapping[str, Any], part: str) -> tuple[float, str, float | None] | None:
    """Mean and deviation of a part's latency, seconds; None where it was not measured.

    Raises:
        InputError: in an unknown unit.
    """
    found = report.get(part)
    latency = found.get("latency") if isinstance(found, dict) else None
    if not isinstance(latency, dict):
        return None
    if latency.get("unit", "s") != "s":
        raise InputError(f"{where}: {part} latency is in {latency['unit']!r}, not in seconds")
    return need_number(where, latency, "mean"), "mean", take_number(where, latency, "stdev")
