"""llama.cpp's ``llama-bench``: ``-o json | jsonl | csv | md | sql``.

A test of ``n_prompt`` tokens alone times one prefill of an empty cache, one of ``n_gen`` alone so many decode passes
after ``n_depth`` tokens, and one of both (``-pg``) a whole request; ``avg_ns`` is the mean of the repetitions. The
default, Markdown, rounds rates to 0.01 tokens/s and names neither device nor format beside the model.
Source: https://github.com/ggml-org/llama.cpp, tools/llama-bench/llama-bench.cpp (``test::get_fields``, the printers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import (
    Content,
    has_keys,
    need_count,
    need_number,
    parse_finite,
    read_header,
    split_rows,
    take_count,
    take_number,
    take_text,
)
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError
from simulator.inputs.formats import match_format
from simulator.inputs.gguf_types import find_file_type

TOOL = "llama-bench"
COLUMNS = ("model_type", "n_prompt", "n_gen", "avg_ns")
INSERT = re.compile(r"^\s*INSERT INTO (?:llama_bench|test) \(([^()\n]*)\) VALUES \((.*)\);?\s*$", re.MULTILINE)
QUOTED = re.compile(r"'((?:[^']|'')*)'")
TEST = re.compile(r"(?:pp ?(\d+))?\+?(?:tg ?(\d+))?(?: @ d(\d+))?")
RATE = re.compile(r"([\d.]+)\s*(?:±\s*([\d.]+))?")
BUILD = re.compile(r"^build: \w+ \((\d+)\)", re.MULTILINE)
MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
NS = 1e-9
CPU_BACKENDS = {"CPU", "BLAS"}


def recognise(content: Content) -> bool:
    """Any of the five forms."""
    return (
        has_keys(content, *COLUMNS)
        or (not content.objects and set(COLUMNS) <= set(read_header(content)))
        or INSERT.search(content.text) is not None
        or find_table(content.text) is not None
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file of any form."""
    if content.objects:
        rows: Iterator[tuple[str, Mapping[str, Any]]] = iter(content.objects)
    elif INSERT.search(content.text):
        rows = split_inserts(content)
    elif find_table(content.text) is None:
        rows = split_lines(content)
    else:
        yield from read_markdown(content)
        return
    for where, row in rows:
        yield parse_test(where, row)


def split_lines(content: Content) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of the CSV form."""
    lines = split_rows(content)
    _, header = next(lines)
    for number, cells in lines:
        if len(cells) != len(header):
            raise InputError(
                f"{content.path}:{number}: {len(cells)} cells where the header has {len(header)}; cut off?"
            )
        yield f"{content.path}:{number}", dict(zip(header, cells, strict=True))


def split_inserts(content: Content) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of the SQL form."""
    for number, line in enumerate(content.text.splitlines(), start=1):
        matched = INSERT.search(line)
        if matched:
            names = [name.strip() for name in matched[1].split(",")]
            values = [value.replace("''", "'") for value in QUOTED.findall(matched[2])]
            if len(names) != len(values):
                raise InputError(f"{content.path}:{number}: {len(values)} values for {len(names)} columns; cut off?")
            yield f"{content.path}:{number}", dict(zip(names, values, strict=True))


def parse_test(where: str, row: Mapping[str, Any]) -> Run:
    """One test with all its fields."""
    prompt, output = (need_count(where, row, name) for name in ("n_prompt", "n_gen"))
    depth = take_count(where, row, "n_depth") or 0
    seconds, spread = need_number(where, row, "avg_ns") * NS, take_number(where, row, "stddev_ns")
    build = take_count(where, row, "build_number")
    on_cpu = set((take_text(row, "backends") or "").split(",")) <= CPU_BACKENDS or row.get("n_gpu_layers") in (0, "0")
    devices = [] if on_cpu else (take_text(row, "gpu_info") or "").split(", ")
    names = take_text(row, "cpu_info") if on_cpu else (devices[0] if len(set(devices)) == 1 else None)
    by_layer = len(devices) > 1 and take_text(row, "split_mode") != "row"
    kind, file_type = split_model_type(take_text(row, "model_type") or "")
    return Run(
        where,
        TOOL,
        **split_time(prompt, output, depth, seconds, spread and spread * NS),
        model=take_text(row, "model_filename") or kind,
        parameters=take_number(where, row, "model_n_params"),
        hardware=names or None,
        stack=f"llama.cpp-b{build}" if build else None,
        tp=1 if by_layer or len(devices) < 2 else len(devices),
        pp=len(devices) if by_layer else 1,
        native_dtype="fp16",
        weight_dtype=file_type,
        kv_dtype=take_text(row, "type_k"),
        batch_size=1,
    )


def split_time(prompt: int, output: int, depth: int, seconds: float, spread: float | None) -> dict[str, Any]:
    """Lengths and metric of a test."""
    if not prompt and not output:
        return {"left_out": "a test of no tokens"}
    if prompt and depth:
        return {"left_out": "a prefill over a cache that is not empty (n_depth), which the tidy table has no row for"}
    if prompt and output:
        metric, counts = Metric("e2e_s", seconds, "mean", spread), (prompt, output)
    elif prompt:
        metric, counts = Metric("prefill_s", seconds, "mean", spread), (prompt, 0)
    else:
        metric = Metric("tpot_s", seconds / output, "mean", spread and spread / output)
        counts = (depth, output)
    return {"metrics": [metric], "prompt_tokens": counts[0], "output_tokens": counts[1]}


def split_model_type(text: str) -> tuple[str | None, str | None]:
    """``llama 8B Q4_K - Medium`` -> the kind of model and the type of file; None for what cannot be told."""
    words = text.replace(" mostly ", " ").split(" ")
    for count in range(1, len(words)):
        tail = " ".join(words[count:])
        found = find_file_type(tail) or match_format(tail.lower())
        if found is not None:
            return " ".join(words[:count]), found
    return text or None, None


def find_table(text: str) -> list[str] | None:
    """Names of the columns of the Markdown form."""
    for line in text.splitlines():
        names = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.lstrip().startswith("|") and {"model", "test", "t/s"} <= set(names):
            return names
    return None


def read_markdown(content: Content) -> Iterator[Run]:
    """Rows of the Markdown form; a pasted one may stand among other text."""
    header, build = find_table(content.text), BUILD.search(content.text)
    assert header is not None
    for number, line in enumerate(content.text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|") or cells == header or set("".join(cells)) <= set("-: "):
            continue
        where = f"{content.path}:{number}"
        row = dict(zip(header, cells, strict=False))
        test, rate = TEST.fullmatch(row.get("test", "")), RATE.match(row.get("t/s", ""))
        if len(cells) != len(header) or test is None or rate is None or not (test[1] or test[2]):
            raise InputError(f"{where}: not a row of a llama-bench table: '{line.strip()[:60]}'")
        yield parse_cells(where, row, [int(part or 0) for part in test.groups()], rate, build and build[1])


def parse_cells(where: str, row: Mapping[str, str], test: list[int], rate: re.Match[str], build: str | None) -> Run:
    """One row of the Markdown form."""
    prompt, output, depth = test
    per_s = parse_finite(where, "t/s", rate[1])
    if per_s <= 0:
        raise InputError(f"{where}: a rate of {per_s:g} t/s")
    seconds = (prompt + output) / per_s
    spread = seconds * float(rate[2]) / per_s if rate[2] else None
    kind, file_type = split_model_type(row["model"])
    return Run(
        where,
        TOOL,
        **split_time(prompt, output, depth, seconds, spread),
        model=kind,
        parameters=parse_multiple(row.get("params", "")),
        stack=f"llama.cpp-b{build}" if build else None,
        native_dtype="fp16",
        weight_dtype=file_type,
        kv_dtype=row.get("type_k", "f16"),
        batch_size=1,
    )


def parse_multiple(text: str) -> float | None:
    """``8.03 B`` as a number."""
    number, _, unit = text.partition(" ")
    return float(number) * MULTIPLES[unit] if unit in MULTIPLES and re.fullmatch(r"[\d.]+", number) else None
