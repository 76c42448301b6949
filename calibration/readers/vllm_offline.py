"""``vllm bench latency --output-json`` and ``vllm bench throughput --output-json``, and what both print.

``latency`` times whole batches of ``--batch-size`` prompts; its file has the times and nothing else. ``throughput``
gives all prompts to the engine at once; its file has the sum of prompt and output tokens, its print both. Where the
arguments were printed too, or saved (``vllm_asked.py``), they say the model, the layout and the lengths.
Source: https://github.com/vllm-project/vllm, vllm/benchmarks/latency.py and throughput.py (``main``).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from calibration.readers.content import (
    Content,
    has_keys,
    need_number,
    need_positive,
    parse_finite,
    read_arguments,
    read_labels,
    take_number,
)
from calibration.readers.runs import Metric, Run, Told
from calibration.readers.vllm_asked import take_asked
from simulator.errors import InputError

LATENCY, THROUGHPUT = "vllm bench latency", "vllm bench throughput"
PRINTED_LATENCY = re.compile(r"^Avg latency:\s*([\d.eE+-]+) seconds", re.MULTILINE)
PRINTED_RATES = re.compile(
    r"Throughput:\s*([\d.]+) requests/s,\s*([\d.]+)\s*(?:total )?tokens/s(?:,\s*([\d.]+) output tokens/s)?"
)


def split_prints(content: Content, pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str], str, str]]:
    """Each result that a text holds: where, what matched, the text before it since the last one, and after it."""
    matches = list(pattern.finditer(content.text))
    ends = [0, *(match.end() for match in matches), len(content.text)]
    for place, match in enumerate(matches):
        before, after = content.text[ends[place] : match.start()], content.text[match.end() : ends[place + 2]]
        number = content.text.count("\n", 0, match.start()) + 1
        yield (f"{content.path}:{number}" if len(matches) > 1 else str(content.path)), match, before, after


def recognise_latency(content: Content) -> bool:
    """A result of ``latency``."""
    return has_keys(content, "avg_latency", "latencies") or PRINTED_LATENCY.search(content.text) is not None


def read_latency(content: Content, told: Told) -> Iterator[Run]:
    """Whole batches."""
    if not content.objects:
        for where, printed, before, _ in split_prints(content, PRINTED_LATENCY):
            value = parse_finite(where, "Avg latency", printed[1])
            yield make_latency(where, Metric("e2e_s", value), read_arguments(before))
    for where, found in content.objects:
        times = found["latencies"]
        if not isinstance(times, list):
            raise InputError(f"{where}: latencies is no list")
        seconds = [parse_finite(where, "latencies", one) for one in times]
        spread = statistics.stdev(seconds) if len(seconds) > 1 else None
        value = need_number(where, found, "avg_latency")
        asked = found.get("asked")
        yield make_latency(where, Metric("e2e_s", value, "mean", spread), asked if isinstance(asked, dict) else {})


def make_latency(where: str, metric: Metric, asked: Mapping[str, Any]) -> Run:
    """One batch."""
    return Run(where, LATENCY, metrics=[metric], **take_asked(where, asked))


def recognise_throughput(content: Content) -> bool:
    """A result of ``throughput``."""
    return has_keys(content, "elapsed_time", "num_requests", "tokens_per_second") or bool(
        PRINTED_RATES.search(content.text)
    )


def read_throughput(content: Content, told: Told) -> Iterator[Run]:
    """All prompts at once."""
    for where, found in content.objects:
        names = ("num_requests", "total_num_tokens", "requests_per_second")
        count, total, per_s = (need_positive(where, found, name) for name in names)
        asked = found.get("asked")
        facts = take_asked(where, asked if isinstance(asked, dict) else {})
        yield make_throughput(where, count, total / count, per_s, told, facts)
    for where, printed, before, after in () if content.objects else split_prints(content, PRINTED_RATES):
        facts = take_asked(where, read_arguments(before))
        rates = {f"rate {place}": printed[place] for place in (1, 2)}
        per_s, tokens_per_s = (need_positive(where, rates, name) for name in rates)
        outputs = take_number(where, read_labels(after), "Total num output tokens")
        requests: float | None = None
        if printed[3] is not None:
            output = parse_finite(where, "Throughput", printed[3]) / per_s
            facts |= {"output_tokens": round(output), "prompt_tokens": None}
            requests = outputs / output if outputs and output else None
        yield make_throughput(where, requests, tokens_per_s / per_s, per_s, told, facts)


def make_throughput(
    where: str, count: float | None, tokens: float, per_s: float, told: Told, facts: Mapping[str, Any]
) -> Run:
    """One run. ``tokens``: of prompt and output together, a request; one of the two has to be told.

    Raises:
        InputError: neither is told, or what is told does not add up to the file's sum.
    """
    known = {name: facts[name] for name in ("prompt_tokens", "output_tokens") if name in facts}
    prompt, output = known.get("prompt_tokens", told.prompt_tokens), known.get("output_tokens", told.output_tokens)
    if prompt is None and output is None:
        raise InputError(
            f"{where}: {THROUGHPUT} says {tokens:g} tokens a request, prompt and output together; "
            "name one of them with -p or -n"
        )
    if prompt is not None and output is not None and abs(prompt + output - tokens) > 0.02 * tokens:
        raise InputError(f"{where}: {prompt} + {output} tokens a request are told, and it has {tokens:g}")
    shared = [tokens - output, output] if output is not None else [prompt or 0, tokens - (prompt or 0)]
    if min(shared) < 0:
        raise InputError(f"{where}: it has {tokens:g} tokens a request, fewer than are told")
    run = Run(where, THROUGHPUT, **{name: value for name, value in facts.items() if name not in known})
    return replace(
        run,
        metrics=[Metric("throughput_tok_s", per_s * shared[1])],
        batch_size=1,
        prompt_tokens=shared[0],
        output_tokens=shared[1],
        request_rate=math.inf,
        num_requests=None if count is None else round(count),
    )
