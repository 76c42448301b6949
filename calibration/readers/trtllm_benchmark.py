"""TensorRT-LLM's first benchmarks: the ``[BENCHMARK]`` lines of ``gptSessionBenchmark`` and ``benchmarks/python``.

One batch of static shape: ``latency(ms)`` is the whole, ``generation_time(ms)`` the tokens after the first, where it is
printed. ``gptManagerBenchmark``, which sends requests and prints a line a metric, is not read.
Source: https://github.com/NVIDIA/TensorRT-LLM (to 0.16), benchmarks/cpp/gptSessionBenchmark.cpp, benchmarks/python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from calibration.readers.content import Content, need_count, need_number, take_count, take_number, take_text
from calibration.readers.runs import Metric, Run, Told

TOOL = "TensorRT-LLM's benchmark"
LINE = re.compile(r"^.*\[BENCHMARK\] (.*\bbatch_size \d+ input_length \d+ output_length \d+ .*)$", re.MULTILINE)
PAIR = re.compile(r"(\S+) (\S+)")
MS = 1e-3


def recognise(content: Content) -> bool:
    """Lines of static batches."""
    return not content.objects and LINE.search(content.text) is not None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The batches of a text. ``world_size`` is of tensor parallelism, unless -pp says otherwise."""
    for line in LINE.finditer(content.text):
        where = f"{content.path}:{content.text.count(chr(10), 0, line.start()) + 1}"
        found = dict(PAIR.findall(line[1]))
        whole, later = need_number(where, found, "latency(ms)") * MS, take_number(where, found, "generation_time(ms)")
        output = need_count(where, found, "output_length")
        metrics = [Metric("e2e_s", whole)]
        if later and output > 1 and later * MS < whole:
            metrics += [Metric("ttft_s", whole - later * MS), Metric("tpot_s", later * MS / (output - 1))]
        devices, stages = take_count(where, found, "world_size"), told.pp or 1
        yield Run(
            where,
            TOOL,
            metrics=metrics,
            model=take_text(found, "model_name"),
            tp=devices // stages if devices and devices % stages == 0 else None,
            pp=told.pp,
            dtype=take_text(found, "precision"),
            batch_size=need_count(where, found, "batch_size"),
            prompt_tokens=need_count(where, found, "input_length"),
            output_tokens=output,
        )
