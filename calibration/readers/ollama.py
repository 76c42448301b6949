"""``ollama run --verbose``: the counts and durations that it prints after an answer, one request at a time.

Prompt evaluation is the prefill of the tokens that were not in the cache; evaluation is the generation of ``eval
count`` tokens, and its rate, count over duration, is taken for 1/TPOT as Ollama gives it. The model, its file type, the
device and the build of llama.cpp inside are not printed. Messages of its API have the same counts, and the model.
Source: https://github.com/ollama/ollama, api/types.go (``Metrics.Summary``); durations are Go's (``1m2.5s``, ``74ms``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, need_count, need_number, take_number, take_text
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError

TOOL = "ollama --verbose"
API = {"eval_count", "eval_duration", "prompt_eval_count"}
NS = 1e-9
LINE = re.compile(
    r"^[\s>*-]*(total duration|prompt eval (?:count|duration)|eval (?:count|duration)):\s+(\S+)", re.MULTILINE
)
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|μs|ns))+")
PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|μs|ns)")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


def recognise(content: Content) -> bool:
    """Prints of one or more answers, or the last messages of its API, which have the same in nanoseconds."""
    if content.objects:
        return any(found.keys() >= API for _, found in content.objects)
    return {"eval count", "eval duration"} <= {found[1] for found in LINE.finditer(content.text)}


def read(content: Content, told: Told) -> Iterator[Run]:
    """A prefill and a generation of each answer."""
    for where, message in content.objects:
        if message.keys() >= API:  # of a stream, the last message alone
            yield parse_message(where, message)
    answers: list[dict[str, tuple[int, str]]] = []
    for found in () if content.objects else LINE.finditer(content.text):
        number = content.text.count("\n", 0, found.start()) + 1
        if not answers or found[1] == "total duration" or found[1] in answers[-1]:
            answers.append({})
        answers[-1][found[1]] = (number, found[2])
    for answer in answers:
        yield from parse_answer(content, answer)


def parse_answer(content: Content, answer: dict[str, tuple[int, str]]) -> Iterator[Run]:
    """One answer. A prompt that was in the cache has no prefill to time.

    Raises:
        InputError: no generation, or a value that is none.
    """
    where = f"{content.path}:{min(number for number, _ in answer.values())}"
    if not {"eval count", "eval duration", "prompt eval count"} <= answer.keys():
        raise InputError(f"{where}: {TOOL} prints prompt eval count, eval count and eval duration; is it cut off?")
    prompt, output = (parse_count(where, name, answer[name][1]) for name in ("prompt eval count", "eval count"))
    metrics = []
    if "prompt eval duration" in answer:
        metrics.append(Metric("prefill_s", parse_duration(where, answer["prompt eval duration"][1])))
    if output > 1:
        metrics.append(Metric("tpot_s", parse_duration(where, answer["eval duration"][1]) / output))
    yield Run(
        where,
        TOOL,
        metrics=metrics,
        native_dtype="fp16",
        batch_size=1,
        prompt_tokens=prompt,
        output_tokens=output,
    )


def parse_message(where: str, found: Mapping[str, Any]) -> Run:
    """The last message of an answer."""
    output = need_count(where, found, "eval_count")
    prefill = take_number(where, found, "prompt_eval_duration")
    metrics = [Metric("prefill_s", prefill * NS)] if prefill else []
    if output > 1:
        metrics.append(Metric("tpot_s", need_number(where, found, "eval_duration") * NS / output))
    return Run(
        where,
        TOOL,
        metrics=metrics,
        model=take_text(found, "model"),
        native_dtype="fp16",
        batch_size=1,
        prompt_tokens=need_count(where, found, "prompt_eval_count"),
        output_tokens=output,
    )


def parse_count(where: str, name: str, text: str) -> int:
    """A number of tokens."""
    if not text.isdecimal():
        raise InputError(f"{where}: {name} is '{text}'; it must be a whole number")
    return int(text)


def parse_duration(where: str, text: str) -> float:
    """A duration as Go prints it, seconds.

    Raises:
        InputError: it is none.
    """
    if not DURATION.fullmatch(text):
        raise InputError(f"{where}: '{text}' is no duration such as 74ms or 1m2.5s")
    return sum(float(number) * SECONDS[unit] for number, unit in PART.findall(text))
