"""The per-request records of AIPerf (``profile_export.jsonl``) -> timed requests.

One JSON object a line: ``metadata``, ``metrics`` (each ``{"value", "unit"}``) and ``error``. ``request_latency`` is
from sending to the last response; ``output_sequence_length`` counts all tokens, reasoning included, which
``output_token_count`` leaves out. Records of the warm-up phase are no measurements. A record does not name its model,
nor say how many tokens were asked for.
Source: https://github.com/ai-dynamo/aiperf, docs/tutorials/working-with-profile-exports.md and
src/aiperf/common/models/record_models.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration.readers.traces_json import read_json_lines, require_number
from simulator.errors import InputError
from simulator.inputs.traces import Trace, make_trace

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}
MODEL = "aiperf"  # of records that do not say which


def read_traces_aiperf(path: Path) -> list[Trace]:
    """Read all records of the profiling phase; one that failed or was cancelled counts as cut short.

    Raises:
        InputError: a line that is no record, a metric that is missing, or a time that cannot be; with its line.
    """
    traces = []
    for where, record in read_json_lines(path):
        metadata, metrics = record.get("metadata"), record.get("metrics")
        if not isinstance(metadata, dict) or not isinstance(metrics, dict):
            raise InputError(f"{where}: no metadata and metrics; is this AIPerf's profile_export.jsonl?")
        if metadata.get("benchmark_phase") == "warmup":
            continue
        trial = str(metadata.get("session_num", ""))
        if record.get("error") or metadata.get("was_cancelled"):
            traces.append(Trace(MODEL, "", 0, 0, 0.0, trial))
            continue
        seconds = read_metric(where, metrics, "request_latency")
        prompt = read_metric(where, metrics, "input_sequence_length")
        output = read_metric(where, metrics, "output_sequence_length")
        traces.append(make_trace(where, MODEL, "", prompt, output, seconds, trial))
    if not traces:
        raise InputError(f"{path}: no record of the profiling phase")
    return traces


def read_metric(where: str, metrics: dict[str, Any], name: str) -> float:
    """A metric, seconds where it is a time.

    Raises:
        InputError: missing, not a number, or in an unknown unit.
    """
    metric = metrics.get(name)
    if not isinstance(metric, dict):
        raise InputError(f"{where}: the metric {name} is missing")
    value, unit = require_number(where, name, metric.get("value")), metric.get("unit")
    if name != "request_latency":
        return value
    if not isinstance(unit, str) or unit not in SECONDS:
        raise InputError(f"{where}: {name} in {unit!r}; known units are {', '.join(SECONDS)}")
    return value * SECONDS[unit]
