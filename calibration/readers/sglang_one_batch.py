"""SGLang's ``bench_one_batch`` and ``bench_one_batch_server``: ``--result-filename`` (JSON lines) and what they print.

One batch without a server: the prefill, then decode steps one by one, of which the median is given. What is printed has
no sizes, but rates: throughput times latency is the tokens of that phase.

Through a server, the time to the last first token is the prompt tokens over the input throughput, where that is not a
rate over the whole time (as it was for some weeks of 2026, and the output throughput of 2024), else ``last_ttft``.
Source: https://github.com/sgl-project/sglang, python/sglang/bench_one_batch.py (``latency_test_run_once``), test/
bench_one_batch_server_internal.py (``run_one_case``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_count, need_number, read_labels, take_count, take_number
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError

TOOL = "sglang bench_one_batch"
LINE = re.compile(
    r"(Prefill|Decode|Total)\.\s+(median )?latency:\s*([\d.]+) s,\s*(?:median )?throughput:\s*([\d.]+) token/s"
)
SERVER = ("batch_size", "input_len", "output_len", "latency", "output_throughput")
SERVED = re.compile(r"^batch size: \d+\s*$.*?^latency: [\d.]+ s\s*$", re.MULTILINE | re.DOTALL)
WARMED = "Warmup End"
SAME = 0.01  # by which a rate over the whole time may differ from tokens over the printed one
BATCH = re.compile(r"Decode \d+\. Batch size: (\d+)")
HALF_STEP_S = {
    "Prefill": 5e-6,
    "Decode": 5e-6,
    "Total": 5e-4,
}  # latencies are printed to five digits, the total to three
SURE = 0.4  # rounding up to which a count is certain


def recognise(content: Content) -> bool:
    """Either form of either program."""
    if content.objects:
        return has_keys(content, "prefill_latency", "median_decode_latency") or has_keys(content, *SERVER)
    return SERVED.search(content.text) is not None or any(
        match[1] == "Prefill" for match in LINE.finditer(content.text)
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects or list_served(content):
        names = ("batch_size", "input_len", "output_len")
        if "latency" in found:
            yield make_served(where, found, {name: take_count(where, found, name) for name in names})
        else:
            yield make_run(where, found, {name: need_count(where, found, name) for name in names})
    if not content.objects and not SERVED.search(content.text):
        yield from read_printed(content, told)


def list_served(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    """The batches that ``bench_one_batch_server`` prints, in the words of its JSON; those that warm up are none."""
    if not SERVED.search(content.text):
        return
    begin = content.text.rfind(WARMED) if WARMED in content.text else 0
    for part in re.split(r"(?=^batch size: )", content.text[begin:], flags=re.MULTILINE):
        labels = {name: value.split()[0] for name, value in read_labels(part).items()}
        if "batch size" in labels and "latency" in labels:
            yield str(content.path), {name.replace(" ", "_"): value for name, value in labels.items()}


def make_served(where: str, found: Mapping[str, Any], sizes: Mapping[str, int | None]) -> Run:
    """One batch through a server."""
    tool, left_out = f"{TOOL}_server", None
    if (take_number(where, found, "acc_length") or 0) > 1:
        left_out = "a draft was verified (speculative decoding)"
    elif (take_number(where, found, "cache_hit_rate") or 0) > 0:
        left_out = "a prompt of which a part was in the cache"
    if left_out is not None:
        return Run(where, tool, left_out=left_out)
    whole, per_s = need_number(where, found, "latency"), take_number(where, found, "input_throughput")
    batch, prompt, output = sizes["batch_size"], sizes["input_len"], sizes["output_len"]
    first = take_number(where, found, "last_ttft", "ttft")
    if per_s and batch and prompt and abs(batch * prompt / per_s - whole) > SAME * whole:
        first = batch * prompt / per_s
    metrics = [Metric("e2e_s", whole)]
    if first and output and output > 1 and first < whole:
        metrics += [Metric("ttft_s", first), Metric("tpot_s", (whole - first) / (output - 1))]
    return Run(where, tool, metrics=metrics, batch_size=batch, prompt_tokens=prompt, output_tokens=output)


def make_run(where: str, found: Mapping[str, Any], sizes: Mapping[str, float | None]) -> Run:
    """One batch."""
    decode = found.get("median_decode_latency")
    metrics = [Metric("prefill_s", need_number(where, found, "prefill_latency"))]
    if decode is not None:
        metrics.append(Metric("tpot_s", need_number(where, found, "median_decode_latency"), "p50"))
    batch = sizes["batch_size"]
    return Run(
        where,
        TOOL,
        metrics=metrics,
        batch_size=None if batch is None else int(batch),
        prompt_tokens=sizes["input_len"],
        output_tokens=sizes["output_len"],
    )


def read_printed(content: Content, told: Told) -> Iterator[Run]:
    """The batches of a print; the one that warms up is none."""
    text = content.text
    begin = text.rfind("Benchmark ...")
    parts = re.split(r"(?=^.*Prefill\. latency)", text[max(begin, 0) :], flags=re.MULTILINE)[1:]
    for number, part in enumerate(parts, start=1):
        where = f"{content.path}: batch {number}" if len(parts) > 1 else str(content.path)
        yield parse_print(where, part, told)


def parse_print(where: str, text: str, told: Told) -> Run:
    """One printed batch. Sizes are those that the rates give, where rounding leaves no doubt.

    Raises:
        InputError: a line of it is missing.
    """
    lines = {(found[1], bool(found[2])): (float(found[3]), float(found[4])) for found in LINE.finditer(text)}
    if ("Prefill", False) not in lines or ("Total", False) not in lines:
        raise InputError(f"{where}: {TOOL} prints Prefill, Decode and Total; is it cut off?")
    prefill, decode = lines["Prefill", False], lines.get(("Decode", True))
    stated = BATCH.search(text)
    batch = int(stated[1]) if stated else None
    if batch is None and decode is not None:
        batch = count_tokens("Decode", *decode)
    batch = batch or told.batch_size
    sizes: dict[str, float | None] = {"batch_size": batch, "input_len": None, "output_len": None}
    prompts, total = count_tokens("Prefill", *prefill), count_tokens("Total", *lines["Total", False])
    if batch and prompts and prompts % batch == 0:
        sizes["input_len"] = prompts / batch
    whole = round(lines["Total", False][0] * lines["Total", False][1])
    if batch and prompts and total and total % batch == 0:
        sizes["output_len"] = (total - prompts) / batch
    elif batch and prompts and decode is not None:
        # The steps: the total less the prefill, by the median step, is a whole number less one.
        steps = (lines["Total", False][0] - prefill[0]) / decode[0]
        near = round((whole - prompts) / batch)
        sizes["output_len"] = near if abs(steps + 1 - near) < max(0.02 * near, 1) else None
    found = {"prefill_latency": prefill[0], "median_decode_latency": decode and decode[0]}
    return make_run(where, found, sizes)


def count_tokens(phase: str, seconds: float, per_s: float) -> int | None:
    """Tokens of a phase from its time and rate; None where the printed digits leave two counts open."""
    tokens = seconds * per_s
    doubt = tokens * HALF_STEP_S[phase] / seconds + 0.005 * seconds if seconds else 1.0
    return round(tokens) if doubt < SURE else None
