"""Wide tables of serving points: a row a point, its metrics in columns (InferenceX and NVIDIA's sweeps, and MLPerf).

Columns of the former: ``model, hardware, stack, stack_version, weight_dtype, mode, tp, pp, dp, isl, osl, lengths,
concurrency, ttft_s, tpot_s``; of the latter: ``scenario, framework, osl, target_qps, throughput_tok_s, ttft_s_mean``
and so on. Whether the former's times are means is not stated: they count as such. A blank format is the checkpoint's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from calibration.readers.content import Content, read_header, take_count, take_number
from calibration.readers.published_settings import add_inferencex, add_sweep
from calibration.readers.runs import Metric, Run, Told
from simulator.csvfile import Row, split_csv
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.stack_versions import parse_stack

TOOL = "serving table"
POINTS = {"model", "hardware", "stack", "isl", "osl", "concurrency", "ttft_s", "tpot_s"}
RUNS = {"scenario", "model", "hardware", "framework", "throughput_tok_s"}
SPREAD = re.compile(r"uniform in \[([\d.]+),\s*([\d.]+)\]")
METRICS = {("ttft_s", "mean"), ("ttft_s", "p99"), ("tpot_s", "mean"), ("tpot_s", "p99")}
REQUESTS = 10  # of InferenceX, for each in flight


def recognise(content: Content) -> bool:
    """Either kind by its header."""
    header = set(read_header(content))
    return header >= POINTS or header >= RUNS


def read(content: Content, told: Told) -> Iterator[Run]:
    """The points of a table."""
    header, lines = split_csv(content.path, content.text)
    parse = parse_point if set(header) >= POINTS else parse_run
    for where, cells in lines:
        row = {name: cell.strip() for name, cell in cells.items()}
        reason = find_other(row, told)
        yield Run(where, TOOL, left_out=reason) if reason else parse(where, row, told)


def find_other(cells: Row, told: Told) -> str | None:
    """Why a row of a table of several devices and engines is not asked for; an engine's versions are one."""
    if told.hardware is not None and cells["hardware"] != load_hardware(told.hardware).id:
        return f"another device than {told.hardware}"
    asked = None if told.stack is None else parse_stack(load_stack(told.stack).id)
    named = cells.get("framework") or f"{cells.get('stack')}-1"
    found = parse_stack(named)
    if asked is not None and found is not None and found[0] != asked[0]:
        return f"another engine than {asked[0]}"
    return None


def parse_point(where: str, cells: Row, told: Told) -> Run:
    """A point of a closed loop."""
    if cells.get("mode", "agg") not in ("agg", ""):
        return Run(where, TOOL, left_out="prefill and decode on different devices")
    if number(where, cells, "dp") not in (None, 1.0):
        return Run(where, TOOL, left_out="data-parallel replicas, which the tidy table has no column for")
    spread = SPREAD.search(cells.get("lengths", ""))
    concurrency = count(where, cells, "concurrency") or 1
    version = cells.get("stack_version")
    run = Run(
        where,
        TOOL,
        metrics=[Metric(name, number(where, cells, name) or 0.0) for name in ("ttft_s", "tpot_s")],
        model=cells["model"],
        hardware=cells["hardware"],
        stack=f"{cells['stack']}-{version}"
        if version and parse_stack(f"{cells['stack']}-{version}")
        else cells["stack"],
        tp=count(where, cells, "tp"),
        pp=count(where, cells, "pp"),
        weight_dtype=cells.get("weight_dtype") or None,
        kv_dtype=cells.get("kv_dtype") or None,
        batch_size=1,
        prompt_tokens=number(where, cells, "isl"),
        output_tokens=number(where, cells, "osl"),
        concurrency=concurrency,
    )
    if spread is None:
        return add_sweep(run)
    low, high = float(spread[1]), float(spread[2])
    return add_inferencex(replace(run, length_low=low, length_high=high, num_requests=REQUESTS * concurrency))


def parse_run(where: str, cells: Row, told: Told) -> Run:
    """A run of MLPerf's."""
    devices, layout = count(where, cells, "devices"), [count(where, cells, name) for name in ("tp", "pp")]
    if layout[0] is None and devices != 1:
        return Run(where, TOOL, left_out="several devices whose layout is not stated")
    rate = math.inf if cells["scenario"] == "Offline" else number(where, cells, "target_qps")
    if cells["scenario"] not in ("Offline", "Server") or rate is None:
        return Run(where, TOOL, left_out=f"scenario {cells['scenario']} without a rate of requests")
    metrics = [
        Metric(name, value, which)
        for name, which in sorted(METRICS)
        if (value := number(where, cells, f"{name}_{which}")) and cells["scenario"] == "Server"
    ]
    throughput = number(where, cells, "throughput_tok_s")
    if throughput is not None:
        metrics.insert(0, Metric("throughput_tok_s", throughput))
    if not metrics:
        return Run(where, TOOL, left_out="no metric")
    if number(where, cells, "osl") is None and told.output_tokens is None:
        return Run(where, TOOL, left_out="output tokens are not stated (-n names them)")
    framework = cells["framework"]
    return Run(
        where,
        TOOL,
        metrics=metrics,
        model=cells["model"],
        hardware=cells["hardware"],
        stack=framework if parse_stack(framework) else None,
        tp=layout[0] or 1,
        pp=layout[1] or 1,
        weight_dtype=cells.get("weight_dtype") or None,
        kv_dtype=cells.get("kv_dtype") or None,
        batch_size=1,
        output_tokens=number(where, cells, "osl"),
        request_rate=rate,
        notes=f"MLPerf {cells.get('round', '')} {cells['scenario']}",
    )


def number(where: str, cells: Row, name: str) -> float | None:
    """A cell as a number; None where it is blank."""
    return take_number(where, {name: cells.get(name) or None}, name)


def count(where: str, cells: Row, name: str) -> int | None:
    """The same, whole."""
    return take_count(where, {name: cells.get(name) or None}, name)
