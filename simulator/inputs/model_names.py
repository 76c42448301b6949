"""Models as checkpoints and tools name them: ``nvidia/Llama-3.1-8B-Instruct-FP8`` has the architecture of llama-3.1-8b.

A name is matched by what is left of it without its maker, its number format and what says that it was tuned to chat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from simulator.errors import nearest
from simulator.inputs.formats import match_format
from simulator.names import MOST_NAME

# Number formats at the end of a checkpoint's name -> the format.
FORMAT_ENDINGS: dict[str, str] = {
    r"bnb-nf4(?:-bf16)?": "nf4",
    r"w-mxfp4-a-fp8": "mxfp4",
    r"(?:quantized[.-])?(w4a16|w8a8|w8a16)": "",
    r"(fp8)(?:-dynamic|-kv|-block)?": "",
    r"(nvfp4|mxfp4)(?:-v\d|-moe)?": "",
    r"fp4(?:-v\d)?": "nvfp4",  # as NVIDIA called it at first
    r"(awq|gptq|nf4|bf16|fp16|f16|f32)": "",
    r"awq-int4|gptq-int4|4bit-awq|awq-4bit|gptq-4bit|int4-awq|int4-gptq|int4-autoround|w4a16-g128": "int4-g128",
    r"gptq-4b-128g": "int4-g128",
    r"gptq-int8|int8-gptq": "int8-g128",
    r"(?:unsloth-)?bnb-4bit": "nf4",
    r"(\d(?:\.\d{1,4})?bpw)(?:-h\d)?(?:-exl[23])?": "",
    # Unsloth's, by the tensors that matter most; those of fewer bits are too far from any other type.
    **{rf"ud-{name}-xl": known for name, known in (("q4-k", "q4_k_m"), ("q5-k", "q5_k_m"), ("q6-k", "q6_k"))},
    r"(q[2-8]-[0-9k](?:-[sml])?|iq[1-4]-[a-z]+)": "",
    # MLX's, in groups of 64 with a scale and a bias of 16 bits each.
    **{rf"{bits}bit(?:-dwq|-mlx)?": f"{bits + 0.5}bit" for bits in (3, 4, 5, 6, 8)},
}
# What says that a checkpoint was tuned, or under which rules a benchmark ran it (MLPerf's ``llama2-70b-99.9``).
TUNING = re.compile(
    r"-(?:instruct|chat|it|hf|base|gguf|text|preview|latest|qat|interactive|edge|99(?:\.9)?)$|^(?:meta|nvidia)-"
)
PUNCTUATION = re.compile(r"[\s_]+")
# llama.cpp's descriptions: ``qwen3moe 30B.A3B Q4_K - Medium``.
DESCRIPTIONS = {
    r"---(s|m|l)(?:mall|edium|arge)$": r"-\1",
    r"(\d+b)\.(a[\d.]+b)": r"\1-\2",
    r"^(qwen\d)moe-": r"\1-",
    r"^qwen3next-": "qwen3-next-",
}


def fold(name: str) -> str:
    """A name in lower case with hyphens, without its maker, its path and the ending of a file."""
    text = name.strip().rstrip("/").replace("\\", "/").rpartition("/")[2].lower()
    text = re.sub(r"(?:-\d{5}-of-\d{5})?\.(?:gguf|llamafile)$", "", text)
    text = re.sub(r"(?<=-)v(\d)p(\d)(?=-)", r"\1.\2", text)  # Llama-v3p1 is Llama 3.1
    text = re.sub(r"(?<=[^q]\d)_(?=\d)", ".", text)  # Llama-3_3 is Llama 3.3
    text = PUNCTUATION.sub("-", text.replace(":", "-"))
    for pattern, plain in DESCRIPTIONS.items():
        text = re.sub(pattern, plain, text)
    return text


def split_format(folded: str) -> tuple[str, str | None]:
    """A folded name without the number format at its end, and that format."""
    for pattern, name in FORMAT_ENDINGS.items():
        matched = re.search(rf"[-.](?:{pattern})$", folded)
        if matched:
            spelled = name or next(group for group in matched.groups() if group)
            found = match_format(spelled.replace("-", "_") if spelled[0] in "qi" else spelled)
            return folded[: matched.start()], found
    return folded, None


def list_spellings(name: str) -> Iterator[tuple[str, str | None]]:
    """What a name may be matched by, the most exact first, each with the format that was taken off it."""
    text, number_format = fold(name), None
    yield text, None
    while len(text) <= MOST_NAME:
        shorter, found = split_format(text)
        if found is None:
            shorter = TUNING.sub("", text)
        if shorter == text or not shorter:
            return
        text, number_format = shorter, number_format or found
        yield text, number_format


def match_model(name: str, names: Mapping[str, Path]) -> tuple[str, str | None] | None:
    """The shipped model that a name is of, by id, and the number format in the name; None where there is none.

    Args:
        name: as a person, a tool or a checkpoint has it.
        names: files of shipped models by name and alias, in lower case.
    """
    if name.lower() in names:
        return names[name.lower()].stem, None
    index = index_spellings(tuple(names.items()))
    for spelling, number_format in list_spellings(name):
        if spelling in index:
            return index[spelling], number_format
    return None


def find_likely(name: str, names: Mapping[str, Path]) -> str | None:
    """The shipped name nearest to one that means no model, by what is left of it without format and tuning."""
    return find_likely_of(name, tuple(names))


@lru_cache(maxsize=1024)
def find_likely_of(name: str, names: tuple[str, ...]) -> str | None:
    """The same; files of results have a name in each of their rows."""
    *_, (shortest, _) = list_spellings(name)
    spellings = (name, shortest) if "/" in name else (shortest, name)  # a hub's name is nearest to another of its maker
    return next((near for one in spellings if (near := nearest(one, names)) is not None), None)


@lru_cache(maxsize=8)
def index_spellings(names: tuple[tuple[str, Path], ...]) -> dict[str, str]:
    """The id of the one model that each spelling of a shipped name can mean."""
    meant: dict[str, set[str]] = {}
    for name, path in names:
        for spelling, _ in list_spellings(name):
            meant.setdefault(spelling, set()).add(path.stem)
    return {spelling: next(iter(ids)) for spelling, ids in meant.items() if len(ids) == 1}
