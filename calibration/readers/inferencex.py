"""SemiAnalysis InferenceX (before: InferenceMAX): aggregated results ``agg_*.json``, and raw ones.

A closed loop: ``conc`` requests in flight, ten times as many in all, lengths uniform in 0.8 to 1.0 times ``isl`` and
``osl`` (its scripts' ``--random-range-ratio 0.8``). Throughputs are of one device, and are multiplied by their number
here; latencies are seconds; ``intvty`` is 1/TPOT. A raw result is one of ``vllm bench serve``.
Source: https://github.com/SemiAnalysisAI/InferenceX, utils/process_result.py and benchmarks/benchmark_lib.sh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers import vllm_serve
from calibration.readers.content import Content, has_keys, need_count, need_number, take_count, take_number, take_text
from calibration.readers.runs import Metric, Run, Told, list_latencies
from simulator.inputs.stack_versions import parse_stack

TOOL = "InferenceX"
RATIO = 0.8
REQUESTS = 10  # for each in flight
NAMES = {"ttft_s": "ttft", "tpot_s": "tpot", "e2e_s": "e2el"}


def recognise(content: Content) -> bool:
    """An aggregated result, or a raw one."""
    return has_keys(content, "hw", "conc", "output_tput_per_gpu") or vllm_serve.recognise(content)


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    if not has_keys(content, "hw", "conc"):
        yield from vllm_serve.read(content, told)
        return
    for where, found in content.objects:
        yield parse_result(where, found)


def parse_result(where: str, found: Mapping[str, Any]) -> Run:
    """One aggregated result."""
    reason = find_reason(where, found)
    devices = take_count(where, found, "tp")
    if devices is None or reason is not None:
        return Run(where, TOOL, left_out=reason or "a layout without tp")
    latencies = {
        (metric, which): take_number(where, found, f"{prefix}_{name}")
        for metric, name in NAMES.items()
        for prefix, which in vllm_serve.PREFIXES.items()
    }
    concurrency = need_count(where, found, "conc")
    throughput = Metric("throughput_tok_s", need_number(where, found, "output_tput_per_gpu") * devices)
    precision, experts = take_text(found, "precision"), take_number(where, found, "ep") or 1
    sizes = [take_number(where, found, name) for name in ("isl", "osl")]
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(latencies, 1.0), throughput],
        model=take_text(found, "model", "infmax_model_prefix"),
        hardware=(take_text(found, "hw") or "").partition("-")[0].partition("_")[0] or None,
        stack=find_stack(found),
        tp=devices,
        pp=1,
        weight_dtype=precision,
        batch_size=1,
        prompt_tokens=sizes[0],
        output_tokens=sizes[1],
        concurrency=concurrency,
        num_requests=REQUESTS * concurrency,
        length_low=RATIO,
        length_high=1.0,
        notes=f"experts over {experts:g} devices" if experts > 1 else "",
    )


def find_stack(found: Mapping[str, Any]) -> str | None:
    """Engine and version: of the image, else as the framework is named."""
    image = take_text(found, "image")
    parsed = None if image is None else parse_stack(image)
    if parsed is not None:
        return f"{parsed[0]}-{'.'.join(map(str, parsed[1]))}"
    framework = take_text(found, "framework")
    return framework if framework and parse_stack(framework) else None


def find_reason(where: str, found: Mapping[str, Any]) -> str | None:
    """Why a result has no row in the tidy table; None where it has."""
    if str(found.get("disagg", "false")).lower() == "true":
        return "prefill and decode on different devices"
    if str(found.get("dp_attention", "false")).lower() == "true":
        return "data-parallel attention, which the tidy table has no column for"
    drafts = found.get("spec_decoding") or found.get("mtp")
    if drafts and str(drafts).lower() not in ("none", "off", "false"):
        return f"speculative decoding ({drafts})"
    return None
