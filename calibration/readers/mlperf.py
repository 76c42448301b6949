"""MLPerf Inference: ``mlperf_log_summary.txt`` of the load generator, or its ``mlperf_log_detail.txt``.

Offline gives all samples at once, Server sends them as a Poisson process at ``target_qps``, SingleStream one after the
other. Latencies are nanoseconds; the time to an output token is over those after the first. Mean output tokens are
tokens over samples, where both rates are printed; the prompt's are the data set's and not in the file. Nor are model,
device, layout and formats: the folders of a submission name them. The detailed log has a JSON object a line, of which
the results are the summary's under other names; versions that do not log completed tokens have them as tokens over
the time in which queries were issued, and so as tokens a sample by the rate of samples over that time.
Source: https://github.com/mlcommons/inference, loadgen/results.cc (``PerformanceSummary::LogSummary``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibration.readers.content import Content, parse_finite, read_labels, take_number
from calibration.readers.runs import Metric, Run, Told, list_latencies
from calibration.readers.vllm_serve import drop_unstreamed
from simulator.errors import InputError
from simulator.textfile import parse_json

TOOL = "MLPerf loadgen"
TITLE = "MLPerf Results Summary"
LATENCIES = {
    ("e2e_s", "mean"): "Mean latency (ns)",
    ("e2e_s", "p50"): "50.00 percentile latency (ns)",
    ("e2e_s", "p99"): "99.00 percentile latency (ns)",
    ("ttft_s", "mean"): "Mean First Token latency (ns)",
    ("ttft_s", "p50"): "50.00 percentile first token latency (ns)",
    ("ttft_s", "p99"): "99.00 percentile first token latency (ns)",
    ("tpot_s", "mean"): "Mean Time to Output Token (ns)",
    ("tpot_s", "p50"): "50.00 percentile time to output token (ns)",
    ("tpot_s", "p99"): "99.00 percentile time to output token (ns)",
}
RATES = {
    "Offline": ("Tokens per second", "Samples per second"),
    "Server": ("Completed tokens per second", "Completed samples per second"),
    "SingleStream": ("TPS w/o loadgen overhead", "QPS w/o loadgen overhead"),
}


MARK = ":::MLLOG "
DETAILS = {
    "Scenario": ("effective_scenario",),
    "Mode": ("effective_test_mode",),
    "Result is": ("result_validity",),
    "target_qps": ("effective_target_qps",),
    "Samples per second": ("result_samples_per_second",),
    "Tokens per second": ("result_tokens_per_second",),
    "Completed samples per second": ("result_completed_samples_per_sec",),
    "Completed tokens per second": ("result_completed_tokens_per_second", "result_completed_tokens_per_sec"),
    "QPS w/o loadgen overhead": ("result_qps_without_loadgen_overhead",),
    "Mean latency (ns)": ("result_mean_latency_ns",),
    "Mean First Token latency (ns)": ("result_first_token_mean_latency_ns",),
    "Mean Time to Output Token (ns)": ("result_time_to_output_token_mean",),
    **{
        f"{which}.00 percentile {name} (ns)": (f"result_{key.format(f'{which}.00')}_ns",)
        for which in (50, 99)
        for name, key in (
            ("latency", "{}_percentile_latency"),
            ("first token latency", "first_token_{}_percentile_latency"),
            ("time to output token", "time_per_output_token_{}_percentile"),
        )
    },
}


def recognise(content: Content) -> bool:
    """A summary, or a detailed log with its results."""
    return TITLE in content.text or (MARK in content.text and '"result_validity"' in content.text)


def find_twin(path: Path) -> Path | None:
    """The summary of the run that a detailed log is of."""
    return path.with_name("mlperf_log_summary.txt") if path.name == "mlperf_log_detail.txt" else None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The run of a file."""
    where = str(content.path)
    found = read_numbers(content.text) if TITLE in content.text else read_detail(where, content.text)
    scenario = found.get("Scenario", "")
    if scenario not in RATES:
        raise InputError(f"{where}: scenario {scenario or 'not named'}; known are {', '.join(RATES)}")
    if found.get("Mode", "").startswith("Accuracy"):
        yield Run(where, TOOL, left_out="an accuracy run")
        return
    tokens, samples = (
        None if found.get(name) is None else parse_finite(where, name, found[name]) for name in RATES[scenario]
    )
    if tokens is None and told.output_tokens is None:
        raise InputError(f"{where}: {TOOL} does not say output tokens; name it with -n")
    output = tokens / samples if tokens and samples else None
    rate = None
    if scenario == "Server":
        if "target_qps" not in found:
            raise InputError(f"{where}: no target_qps among the test parameters; is it cut off?")
        rate = parse_finite(where, "target_qps", found["target_qps"])
    if tokens is None and samples is not None:
        tokens = samples * (told.output_tokens or 0)
    # Offline, latencies are of samples that all waited from the start.
    names = {} if scenario == "Offline" else LATENCIES
    times = {key: parse_finite(where, name, found[name]) for key, name in names.items() if name in found}
    latencies = drop_unstreamed(dict(times))
    yield Run(
        where,
        TOOL,
        metrics=[*list_latencies(latencies, 1e-9), *([Metric("throughput_tok_s", tokens)] if tokens else [])],
        batch_size=1,
        output_tokens=output,
        concurrency=1 if scenario == "SingleStream" else None,
        request_rate=math.inf if scenario == "Offline" else rate,
        notes=f"MLPerf {scenario}; {found.get('Result is', 'validity not stated').lower()}",
    )


def read_detail(where: str, text: str) -> dict[str, str]:
    """The values of a detailed log by the summary's labels.

    Raises:
        InputError: a line that is not JSON.
    """
    logged: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith(MARK):
            continue
        try:
            entry = parse_json(line.removeprefix(MARK))
        except ValueError as error:
            raise InputError(f"{where}:{number}: not valid JSON ({error}); is it cut off?") from None
        if isinstance(entry, dict) and isinstance(entry.get("key"), str):
            logged[entry["key"]] = entry.get("value")
    found = {
        label: str(logged[name]) for label, names in DETAILS.items() for name in names if logged.get(name) is not None
    }
    issued, scheduled = (
        take_number(where, logged, name)
        for name in ("result_token_throughput_with_loadgen_overhead", "result_scheduled_samples_per_sec")
    )
    completed = take_number(where, logged, "result_completed_samples_per_sec")
    if issued and scheduled and completed:
        found.setdefault("Completed tokens per second", str(issued / scheduled * completed))
    return found


def read_numbers(text: str) -> dict[str, str]:
    """The values of a summary by label."""
    labels = read_labels(text)
    # "99.00 percentile latency (ns)   : 123" begins with a digit.
    for line in text.splitlines():
        label, separator, value = line.partition(" : ")
        if separator and label[:1].isdigit():
            labels[" ".join(label.split())] = value.strip()
    return labels
