"""``vllm bench latency --output-json`` and ``vllm bench throughput --output-json``, and what the latter prints.

``latency`` times whole batches of ``--batch-size`` prompts; its file has the times and nothing else. ``throughput``
gives all prompts to the engine at once; its file has the sum of prompt and output tokens, its print both.
Source: https://github.com/vllm-project/vllm, vllm/benchmarks/latency.py and throughput.py (``main``).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator

from calibration.readers.content import (
    Content,
    has_keys,
    need_number,
    need_positive,
    parse_finite,
    read_labels,
    take_number,
)
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError

LATENCY, THROUGHPUT = "vllm bench latency", "vllm bench throughput"
PRINTED_LATENCY = re.compile(r"^Avg latency:\s*([\d.eE+-]+) seconds", re.MULTILINE)
PRINTED_RATES = re.compile(
    r"Throughput:\s*([\d.]+) requests/s,\s*([\d.]+)\s*(?:total )?tokens/s(?:,\s*([\d.]+) output tokens/s)?"
)


def recognise_latency(content: Content) -> bool:
    """A result of ``latency``."""
    return has_keys(content, "avg_latency", "latencies") or PRINTED_LATENCY.search(content.text) is not None


def read_latency(content: Content, told: Told) -> Iterator[Run]:
    """Whole batches."""
    if not content.objects:
        printed = PRINTED_LATENCY.search(content.text)
        assert printed is not None
        value = parse_finite(str(content.path), "Avg latency", printed[1])
        yield Run(str(content.path), LATENCY, metrics=[Metric("e2e_s", value)])
    for where, found in content.objects:
        times = found["latencies"]
        if not isinstance(times, list):
            raise InputError(f"{where}: latencies is no list")
        seconds = [parse_finite(where, "latencies", one) for one in times]
        spread = statistics.stdev(seconds) if len(seconds) > 1 else None
        value = need_number(where, found, "avg_latency")
        yield Run(where, LATENCY, metrics=[Metric("e2e_s", value, "mean", spread)])


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
        yield make_throughput(where, count, total / count, per_s, told)
    if not content.objects:
        printed = PRINTED_RATES.search(content.text)
        assert printed is not None
        where = str(content.path)
        rates = {f"rate {place}": printed[place] for place in (1, 2)}
        per_s, tokens_per_s = (need_positive(where, rates, name) for name in rates)
        outputs = take_number(where, read_labels(content.text), "Total num output tokens")
        requests: float | None = None
        if printed[3] is not None:
            output = parse_finite(where, "Throughput", printed[3]) / per_s
            told = told._replace(output_tokens=round(output), prompt_tokens=None)
            requests = outputs / output if outputs and output else None
        yield make_throughput(where, requests, tokens_per_s / per_s, per_s, told)


def make_throughput(where: str, count: float | None, tokens: float, per_s: float, told: Told) -> Run:
    """One run. ``tokens``: of prompt and output together, a request; one of the two has to be told.

    Raises:
        InputError: neither is told, or what is told does not add up to the file's sum.
    """
    prompt, output = told.prompt_tokens, told.output_tokens
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
    return Run(
        where,
        THROUGHPUT,
        metrics=[Metric("throughput_tok_s", per_s * shared[1])],
        batch_size=1,
        prompt_tokens=shared[0],
        output_tokens=shared[1],
        request_rate=math.inf,
        num_requests=None if count is None else round(count),
    )
