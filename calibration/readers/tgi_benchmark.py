"""Hugging Face's ``text-generation-benchmark``: the Markdown that it prints, parameters and latencies of each batch.

One batch, beside the server: ``Prefill`` is the pass over the prompts, ``Decode (token)`` a step of the batch, over the
``Decode Length`` - 1 tokens after the first. Its prefill throughput counts one token a prompt, and is not read.
Source: https://github.com/huggingface/text-generation-inference, benchmark/src/generation.rs and table.rs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from calibration.readers.content import Content, need_count, take_count, take_text
from calibration.readers.printed_tables import list_tables
from calibration.readers.runs import Metric, Run, Told

TOOL = "text-generation-benchmark"
STEPS = {"Prefill": "prefill_s", "Decode (token)": "tpot_s"}
COLUMNS = {"Average": "mean", "p50": "p50", "p99": "p99"}
LATENCY = re.compile(r"([\d.]+) (ms|s|µs|us)")
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
HEAD = ["Step", "Batch Size", "Average"]


def recognise(content: Content) -> bool:
    """Its table of latencies."""
    if content.objects or "Decode (token)" not in content.text:
        return False
    return any(cells[:3] == HEAD for table in list_tables(content.text) for _, cells in table)


def read(content: Content, told: Told) -> Iterator[Run]:
    """The batches of all tables; those of parameters hold for the tables that follow."""
    parameters: dict[str, Any] = {}
    for table in list_tables(content.text):
        head = table[0][1]
        if head[:2] == ["Parameter", "Value"]:
            parameters = {cells[0]: cells[1] for _, cells in table[1:] if len(cells) == 2}
        elif head[:3] == HEAD and any(cells[0] == "Decode (token)" for _, cells in table):
            yield from read_table(str(content.path), head, table[1:], parameters)


def read_table(
    path: str, head: list[str], rows: list[tuple[int, list[str]]], parameters: dict[str, Any]
) -> Iterator[Run]:
    """The batches of one table, in the order of its rows. A cell that is empty or no number was not measured."""
    step = ""
    for number, cells in rows:
        if len(cells) != len(head):
            continue
        step, where = cells[0] or step, f"{path}:{number}"
        values = {
            COLUMNS[name]: LATENCY.fullmatch(cell) for name, cell in zip(head, cells, strict=True) if name in COLUMNS
        }
        metrics = [
            Metric(STEPS[step], float(found[1]) * SECONDS[found[2]], which)
            for which, found in values.items()
            if found is not None and step in STEPS and math.isfinite(float(found[1]))
        ]
        if metrics:
            yield Run(
                where,
                TOOL,
                metrics=metrics,
                model=take_text(parameters, "Model"),
                batch_size=need_count(where, {"Batch Size": cells[1]}, "Batch Size"),
                prompt_tokens=take_count(where, parameters, "Sequence Length"),
                output_tokens=take_count(where, parameters, "Decode Length"),
            )
