"""The result of ``vllm bench serve --save-result --save-detailed`` -> timed requests.

One JSON object a run (``--append-result`` writes one a line) with lists of equal length, an item a request:
``input_lens``, ``output_lens``, ``ttfts``, ``itls``, ``errors`` and, in newer versions, ``latencies``, all times in
seconds. An older version has no latency; it is TTFT plus all inter-token latencies, which is how vLLM itself makes its
timeline. Without ``--save-detailed`` the lists are deleted before writing.
Source: https://github.com/vllm-project/vllm/blob/009e6d4a1cd6ba3fb2a9fc00f4ec06f5297232a1/vllm/benchmarks/serve.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calibration.readers.traces_json import read_json_lines, require_number
from simulator.errors import InputError
from simulator.inputs.traces import Trace, make_trace

LISTS = ("input_lens", "output_lens", "ttfts", "itls", "errors")


def read_traces_vllm(path: Path) -> list[Trace]:
    """Read all runs of a file. A request that failed has no output tokens, and so counts as cut short.

    How many tokens were asked for is not in the file: only failed requests show as cut short.

    Raises:
        InputError: not a detailed result, lists of different lengths, or a time that cannot be.
    """
    return [trace for where, result in read_json_lines(path) for trace in parse_run(where, result)]


def parse_run(where: str, result: dict[str, Any]) -> list[Trace]:
    """The requests of one run."""
    missing = [name for name in LISTS if not isinstance(result.get(name), list)]
    if missing:
        raise InputError(f"{where}: no {', '.join(missing)}; is this of 'vllm bench serve --save-detailed'?")
    lists = {name: result[name] for name in (*LISTS, "latencies") if isinstance(result.get(name), list)}
    sizes = {name: len(values) for name, values in lists.items()}
    if len(set(sizes.values())) != 1:
        raise InputError(f"{where}: lists of different lengths: {', '.join(f'{k} {n}' for k, n in sizes.items())}")
    model, api = str(result.get("model_id") or ""), str(result.get("label") or result.get("backend") or "vllm")
    rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    return [
        parse_request(f"{where}: request {number}", row, model, api, str(result.get("date") or ""))
        for number, row in enumerate(rows)
    ]


def parse_request(where: str, row: dict[str, Any], model: str, api: str, trial: str) -> Trace:
    """One request of a run. One that failed has no numbers that mean anything."""
    if row["errors"]:
        return Trace(model, api, 0, 0, 0.0, trial)
    seconds = row.get("latencies")
    if seconds is None:
        if not isinstance(row["itls"], list):
            raise InputError(f"{where}: itls is {row['itls']!r}; it must be a list of numbers")
        gaps = [require_number(where, "itls", gap) for gap in row["itls"]]
        seconds = require_number(where, "ttfts", row["ttfts"]) + sum(gaps)
    prompt = require_number(where, "input_lens", row["input_lens"])
    output = require_number(where, "output_lens", row["output_lens"])
    return make_trace(where, model, api, prompt, output, require_number(where, "latencies", seconds), trial)
