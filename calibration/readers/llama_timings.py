"""The timings that llama.cpp's own programs print or send after an answer: ``llama-cli``, ``llama-server`` and others.

One request at a time: the prompt's tokens in ``prompt eval time``, and ``eval time`` for as many passes or tokens as
stand beside it, of which the rate is taken as llama.cpp gives it. A server's answers have the same as ``timings``. What
the program logged before (model, type of file, devices, layers on them, build) is read where it is there.
Source: https://github.com/ggml-org/llama.cpp, src/llama-context.cpp (``llama_perf_context_print``),
tools/server/server-task.h (``result_timings``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, need_count, need_number, take_count, take_number, take_text
from calibration.readers.llama_bench import parse_multiple
from calibration.readers.llama_bench_printed import list_device
from calibration.readers.runs import Metric, Run, Told
from simulator.inputs.gguf_types import find_file_type

TOOL = "llama.cpp"
MS = 1e-3
PROMPT = re.compile(r"^.*?\bprompt eval time =\s*([\d.]+) ms /\s*(\d+) tokens", re.MULTILINE)
OUTPUT = re.compile(r"^(?!.*prompt).*?\beval time =\s*([\d.]+) ms /\s*(\d+) (?:runs|tokens)", re.MULTILINE)
LOGGED = re.compile(r"(?:print_info|llm_load_print_meta): (general\.name|file type|model params)\s*= (.+)")
OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
BUILD = re.compile(r"^(?:main: )?build(?:: |\s+=\s+)(\d+) \(", re.MULTILINE)
CACHED = "a prompt of which a part was in the cache"


def recognise(content: Content) -> bool:
    """Prints, or answers of a server."""
    if content.objects:
        return any(is_answer(found) for _, found in content.objects)
    return PROMPT.search(content.text) is not None and OUTPUT.search(content.text) is not None


def is_answer(found: Mapping[str, Any]) -> bool:
    """Whether an object is an answer of ``llama-server``."""
    timings = found.get("timings")
    return isinstance(timings, dict) and {"prompt_n", "prompt_ms", "predicted_n", "predicted_ms"} <= timings.keys()


def read(content: Content, told: Told) -> Iterator[Run]:
    """The answers of a file."""
    for where, found in content.objects:
        if is_answer(found):
            yield parse_answer(where, found["timings"], {"model": take_text(found, "model")})
    if content.objects:
        return
    start = 0
    facts: dict[str, Any] = {}
    for output in OUTPUT.finditer(content.text):
        before = content.text[start : output.start()]
        facts |= read_log(before)
        prompts = list(PROMPT.finditer(before))
        start = output.end()
        if not prompts:
            continue
        number = content.text.count("\n", 0, output.start()) + 1
        timings = {"prompt_ms": prompts[-1][1], "prompt_n": prompts[-1][2]}
        timings |= {"predicted_ms": output[1], "predicted_n": output[2]}
        yield parse_answer(f"{content.path}:{number}", timings, facts)


def read_log(text: str) -> dict[str, Any]:
    """Facts of a run from what was logged."""
    logged = {found[1]: found[2].strip() for found in LOGGED.finditer(text)}
    devices: dict[str, list[str]] = {}
    listing = "CUDA"
    for line in text.splitlines():
        listing = list_device(line.strip(), devices, listing)
    names = next(iter(devices.values())) if len(devices) == 1 else []
    build, layers = BUILD.search(text), OFFLOADED.search(text)
    facts = {
        "model": logged.get("general.name"),
        "parameters": parse_multiple(logged.get("model params", "")),
        "weight_dtype": find_file_type(logged.get("file type", "")),
        "hardware": names[0] if len(set(names)) == 1 else None,
        "pp": len(names) if len(set(names)) == 1 else None,
        "stack": f"llama.cpp-b{build[1]}" if build and int(build[1]) else None,
        "left_out": "not all layers on the device (-ngl)" if layers and int(layers[1]) < int(layers[2]) else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def parse_answer(where: str, timings: Mapping[str, Any], facts: Mapping[str, Any]) -> Run:
    """One answer. A prompt that was evaluated in no time has no prefill to time."""
    prompt, output = (need_count(where, timings, name) for name in ("prompt_n", "predicted_n"))
    if take_count(where, timings, "cache_n"):
        return Run(where, TOOL, left_out=CACHED)
    seconds = take_number(where, timings, "prompt_ms")
    metrics = [Metric("prefill_s", seconds * MS)] if seconds and prompt else []
    if output > 1:
        metrics.append(Metric("tpot_s", need_number(where, timings, "predicted_ms") * MS / output))
    sizes = {"batch_size": 1, "prompt_tokens": prompt, "output_tokens": output, "native_dtype": "fp16"}
    return Run(where, TOOL, metrics=metrics, **{**facts, **sizes})
