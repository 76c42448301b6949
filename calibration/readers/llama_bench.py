"""llama.cpp's ``llama-bench``: ``-o json | jsonl | csv | md | sql``.

A test of ``n_prompt`` tokens alone times one prefill of an empty cache, one of ``n_gen`` alone so many decode passes
after ``n_depth`` tokens, and one of both (``-pg``) a whole request; ``avg_ns`` is the mean of the repetitions. A test
of which layers, experts or cache lie in the host's memory is no measurement of the device, and left out. The default,
Markdown: ``llama_bench_printed.py``.
Source: https://github.com/ggml-org/llama.cpp, tools/llama-bench/llama-bench.cpp (``test::get_fields``, the printers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

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
from calibration.readers.llama_bench_printed import Row, choose_devices, is_printed, list_rows
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
MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
NS = 1e-9
CPU_BACKENDS = {"CPU", "BLAS"}
# Columns of the Markdown form -> fields of the others, as far as they say where tensors lie.
MARKDOWN_NAMES = {
    "ncmoe": "n_cpu_moe",
    "n_cpu_moe": "n_cpu_moe",
    "nkvo": "no_kv_offload",
    "ot": "tensor_buft_overrides",
}


def recognise(content: Content) -> bool:
    """Any of the five forms."""
    return (
        has_keys(content, *COLUMNS)
        or (not content.objects and set(COLUMNS) <= set(read_header(content)))
        or INSERT.search(content.text) is not None
        or is_printed(content.text)
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file of any form."""
    if content.objects:
        rows: Iterator[tuple[str, Mapping[str, Any]]] = iter(content.objects)
    elif INSERT.search(content.text):
        rows = split_inserts(content)
    elif is_printed(content.text):
        yield from read_markdown(content)
        return
    else:
        rows = split_lines(content)
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


class Place(NamedTuple):
    """Where a test ran: layers on GPUs (None: not on any), how they were split, and the GPUs there were, by name."""

    gpu_layers: int | None
    split_mode: str
    devices: list[str]

    def describe(self) -> dict[str, Any]:
        """Facts of a run: the device, where all are of one name, and its layout."""
        used = self.devices[:1] if self.split_mode == "none" else self.devices
        by_layer = len(used) > 1 and self.split_mode not in ("row", "tensor", "graph")
        return {
            "hardware": used[0] if len(set(used)) == 1 else None,
            "tp": None if not used else 1 if by_layer else len(used),
            "pp": None if not used else len(used) if by_layer else 1,
            "gpu_layers": self.gpu_layers,
        }


def find_mixed(where: str, row: Mapping[str, Any], place: Place) -> dict[str, str]:
    """Why a test has no row, where part of it ran in the host's memory; empty where it has one."""
    if place.gpu_layers is None:
        return {}
    if place.gpu_layers == 0:
        return {"left_out": "no layer on the GPU, which takes the products of prompts all the same (-ngl 0)"}
    overridden = take_text(row, "tensor_buft_overrides") or "none"
    held = "the KV cache" if str(row.get("no_kv_offload", 0)).lower() in ("1", "true") else None
    held = "experts" if take_count(where, row, "n_cpu_moe") else held
    held = "tensors" if overridden not in ("none", "0") else held
    return {"left_out": f"{held} in the host's memory (-ncmoe, -ot, -nkvo)"} if held else {}


def parse_test(where: str, row: Mapping[str, Any]) -> Run:
    """One test with all its fields."""
    prompt, output = (need_count(where, row, name) for name in ("n_prompt", "n_gen"))
    depth = take_count(where, row, "n_depth") or 0
    seconds, spread = need_number(where, row, "avg_ns") * NS, take_number(where, row, "stddev_ns")
    build = take_count(where, row, "build_number")
    place = read_place(where, row)
    kind, file_type = split_model_type(take_text(row, "model_type") or "")
    return Run(
        where,
        TOOL,
        **{
            **split_time(prompt, output, depth, seconds, spread and spread * NS),
            **find_mixed(where, row, place),
        },
        **place.describe(),
        model=take_text(row, "model_filename") or kind,
        kind=kind,
        parameters=take_number(where, row, "model_n_params"),
        stack=f"llama.cpp-b{build}" if build else None,
        native_dtype="fp16",
        weight_dtype=file_type,
        kv_dtype=take_text(row, "type_k"),
        batch_size=1,
    )


def read_place(where: str, row: Mapping[str, Any]) -> Place:
    """Where a test ran. ``gpu_info`` names all GPUs of the machine, ``devices`` those that were chosen."""
    layers = take_number(where, row, "n_gpu_layers")  # negative: all
    if set((take_text(row, "backends") or "").split(",")) <= CPU_BACKENDS:
        cpu = take_text(row, "cpu_info")
        return Place(None, "none", [cpu] if cpu else [])
    names = [one.strip() for one in (take_text(row, "gpu_info") or "").split(",") if one.strip()]
    mode, chosen = take_text(row, "split_mode") or "layer", take_text(row, "devices") or "auto"
    if chosen != "auto":
        names = pick_names(names, [one for one in chosen.split("/") if one != "none"])
    elif mode == "none":
        names = names[(take_count(where, row, "main_gpu") or 0) :][:1]
    return Place(None if layers is None else int(layers), mode, names)


def pick_names(names: list[str], chosen: list[str]) -> list[str]:
    """The names of chosen devices, ``CUDA1``; where all of the machine are of one name, no matter which."""
    if len(set(names)) == 1:
        return names[:1] * len(chosen)
    places = [re.fullmatch(r"[A-Za-z]+(\d+)", one) for one in chosen]
    return [names[int(one[1])] for one in places if one is not None and int(one[1]) < len(names)]


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
    words = text.replace(" mostly ", " ").replace(" all ", " ").split(" ")
    for count in range(1, len(words)):
        tail = " ".join(words[count:])
        found = find_file_type(tail) or match_format(tail.lower().replace(" moe", "_moe"))
        if found is not None:
            # Types that are llama.cpp's forks' own are taken by their bits: ``IQ4_KS - 4.25 bpw``.
            kind = words[:count] if words[count - 1] != "-" else words[: count - 2]
            return " ".join(kind) or None, found
    return text or None, None


def read_markdown(content: Content) -> Iterator[Run]:
    """Rows of the Markdown form.

    Raises:
        InputError: a row without a test or a rate.
    """
    for row in list_rows(content):
        test, rate = TEST.fullmatch(row.cells["test"]), RATE.match(row.cells["t/s"])
        if test is None or rate is None or not (test[1] or test[2]):
            raise InputError(f"{row.where}: not a test of llama-bench: '{row.cells['test']}', '{row.cells['t/s']}'")
        yield parse_cells(row, [int(part or 0) for part in test.groups()], rate)


def parse_cells(row: Row, test: list[int], rate: re.Match[str]) -> Run:
    """One row of the Markdown form."""
    prompt, output, depth = test
    per_s = parse_finite(row.where, "t/s", rate[1])
    if per_s <= 0:
        raise InputError(f"{row.where}: a rate of {per_s:g} t/s")
    seconds = (prompt + output) / per_s
    spread = seconds * float(rate[2]) / per_s if rate[2] else None
    kind, file_type = split_model_type(row.cells["model"])
    backends = {one.strip() for one in row.cells.get("backend", "").split(",")}
    place = Place(
        None if backends <= CPU_BACKENDS else take_count(row.where, row.cells, "ngl"),
        row.cells.get("sm", "layer"),
        choose_devices(row),
    )
    facts = {MARKDOWN_NAMES[name]: value for name, value in row.cells.items() if name in MARKDOWN_NAMES}
    return Run(
        row.where,
        TOOL,
        **{**split_time(prompt, output, depth, seconds, spread), **find_mixed(row.where, facts, place)},
        **place.describe(),
        model=kind,
        kind=kind,
        parameters=parse_multiple(row.cells.get("params", "")),
        stack=f"llama.cpp-b{row.build}" if row.build else None,
        native_dtype="fp16",
        weight_dtype=file_type,
        kv_dtype=row.cells.get("type_k", "f16"),
        batch_size=1,
    )


def parse_multiple(text: str) -> float | None:
    """``8.03 B`` as a number."""
    number, _, unit = text.partition(" ")
    return float(number) * MULTIPLES[unit] if unit in MULTIPLES and re.fullmatch(r"[\d.]+", number) else None
