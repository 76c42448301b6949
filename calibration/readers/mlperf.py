"""MLPerf Inference: ``mlperf_log_summary.txt`` of the load generator.

Offline gives all samples at once, Server sends them as a Poisson process at ``target_qps``, SingleStream one after the
other. Latencies are nanoseconds; the time to an output token is over those after the first. Mean output tokens are
tokens over samples, where both rates are printed; the prompt's are the data set's and not in the file. Nor are model,
device, layout and formats: the folders of a submission name them.
Source: https://github.com/mlcommons/inference, loadgen/results.cc (``PerformanceSummary::LogSummary``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from calibration.readers.content import Content, parse_finite, read_labels
from calibration.readers.runs import Metric, Run, Told, list_latencies
from simulator.errors import InputError

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


def recognise(content: Content) -> bool:
    """A summary."""
    return TITLE in content.text


def read(content: Content, told: Told) -> Iterator[Run]:
    """The run of a file."""
    where, found = str(content.path), read_numbers(content.text)
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
    latencies = {key: parse_finite(where, name, found[name]) for key, name in names.items() if name in found}
    yield Run(
        where,
        TOOL,
        metrics=[*list_latencies(dict(latencies), 1e-9), *([Metric("throughput_tok_s", tokens)] if tokens else [])],
        batch_size=1,
        output_tokens=output,
        concurrency=1 if scenario == "SingleStream" else None,
        request_rate=math.inf if scenario == "Offline" else rate,
        notes=f"MLPerf {scenario}; {found.get('Result is', 'validity not stated').lower()}",
    )


def read_numbers(text: str) -> dict[str, str]:
    """The values of a summary by label."""
    labels = read_labels(text)
    # "99.00 percentile latency (ns)   : 123" begins with a digit.
    for line in text.splitlines():
        label, separator, value = line.partition(" : ")
        if separator and label[:1].isdigit():
            labels[" ".join(label.split())] = value.strip()
    return labels
