"""Which stack file covers a version that has none of its own: ``vllm-0.18`` is run as the nearest one before it.

The rule: of the shipped versions of an engine the highest that is not above the asked one, else the lowest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Engines as people, packages and images write them; the first that matches.
ENGINES = {
    "vllm": r"vllm",
    "sglang": r"sglang|sgl",
    "tensorrt-llm": r"tensorrt[-_ ]?llm|trt[-_ ]?llm",
    "llama.cpp": r"(?<!ik[_-])llama[._ -]?cpp(?!-python)|llama[-_]b(?=\d)|^b(?=\d{4,5}$)|ollama",
    "lmdeploy": r"lmdeploy",
    "fastertransformer": r"fastertransformer|\bft\b",
    "megatron-lm": r"megatron[-_ ]?lm",
}
# Stacks of no versions, and how their packages are called.
UNVERSIONED = {"transformers-eager": r"hf|(?:hugging ?face[ -])?transformers", "pytorch-eager": r"(?:py)?torch"}
BUILDS = r"[-_ :+.](?:rocm|cuda|cu\d*|xpu|cpu|hpu|metal)\d*"  # of an engine for one maker's devices
NEWEST = r"[-_ :+.](?:nightly|latest|main|dev)"
OTHERS_IMAGES = "ai-dynamo"  # whose tags are not of the engine within
NEWEST_BUILD = 10**6  # of llama.cpp within Ollama, whose own version does not tell it
VERSION = re.compile(r"(?:^|[\s:=v_b-])(\d+(?:\.\d+)*)")
# llama.cpp numbers its builds. The first of a year, by which a stack file that is named after a year is placed.
FIRST_BUILDS = {2024: 1742, 2025: 4394, 2026: 7588}

Version = tuple[int, ...]


def parse_stack(name: str) -> tuple[str, Version] | None:
    """Engine and version of a name such as ``vLLM 0.4.3+rocm614``, ``trtllm-1.1.0rc2`` or ``vllm/vllm-openai:v0.10.2``.

    None where it names no known engine, or no version.
    """
    text = name.lower()
    for engine, pattern in () if OTHERS_IMAGES in text else ENGINES.items():
        found = list(re.finditer(pattern, text))
        if not found:
            continue
        if "ollama" in text and re.search(r"\d", text):
            return engine, (NEWEST_BUILD,)
        version = VERSION.search(text, found[-1].end() - (text[found[-1].end() - 1] == "b"))
        if version is None:
            return None
        parts = tuple(int(part) for part in version[1].split("."))
        return engine, as_build(parts) if engine == "llama.cpp" else parts
    return None


def as_build(version: Version) -> Version:
    """A build of llama.cpp, where a year is given that year's first."""
    return (FIRST_BUILDS.get(version[0], version[0]),)


def name_engine(name: str) -> str:
    """The engine that a stack is a version of; a stack of no versions is its own."""
    parsed = parse_stack(name)
    return name if parsed is None else parsed[0]


def list_versions(engine: str, shipped: Iterable[str]) -> list[str]:
    """Shipped stacks of an engine that is named without a version, the newest first; none where it is no such name."""
    known = {parsed[1]: one for one in shipped if (parsed := parse_stack(one)) is not None and parsed[0] == engine}
    return [known[version] for version in sorted(known, reverse=True)]


def find_engine(name: str) -> str | None:
    """The engine that a name without a version means: ``trtllm`` is ``tensorrt-llm``, and ``vllm-rocm`` ``vllm``."""
    text = name.lower()
    return next((one for one, pattern in ENGINES.items() if re.fullmatch(f"(?:{pattern})(?:{BUILDS})*", text)), None)


def find_covering(name: str, shipped: Iterable[str]) -> str | None:
    """The shipped stack that stands for a version of an engine; None where no version of that engine ships."""
    asked = parse_stack(name)
    if asked is None:
        text = name.lower()
        newest = find_engine(re.sub(NEWEST, "", text)) if re.search(NEWEST, text) else None
        if newest is not None:
            return next(iter(list_versions(newest, shipped)), None)
        return next(
            (
                stack
                for stack, package in UNVERSIONED.items()
                if stack in shipped and re.fullmatch(rf"{package}(?:[ =v-]*\d[\w.+]*)?", text)
            ),
            None,
        )
    versions = {parsed[1]: one for one in shipped if (parsed := parse_stack(one)) is not None and parsed[0] == asked[0]}
    below = [version for version in versions if version <= asked[1]]
    if not versions:
        return None
    return versions[max(below) if below else min(versions)]


def describe_covering(name: str, covering: str) -> str:
    """What to say where one version stands for another."""
    return f"no stack ships for {name}: {covering} stands for it"
