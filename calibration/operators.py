"""Measured operators: one row of the table is one kernel or collective, described in words.

``linear m=16 n=4096 k=4096`` is a weight matrix applied to 16 tokens; ``KINDS`` lists the others with their sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from simulator.costs.elementary import Number
from simulator.costs.operators import Operator, attention, linear
from simulator.errors import InputError, suggest
from simulator.inputs.stack import Stack

KINDS: dict[str, tuple[str, ...]] = {
    "linear": ("m", "n", "k"),
    "batched": ("batch", "m", "n", "k"),
    "attention": ("sequences", "queries", "context", "heads", "kv_heads", "head_size"),
    "elementwise": ("bytes", "launches"),  # over activations; bytes read and written
    "stream": ("bytes",),  # from and to memory, past all caches
    "all_reduce": ("bytes", "direct"),  # direct 0: by the collective library; 1: as the stack does
    "host": ("launches",),  # the host's time to issue kernels
}
PREFILL, DECODE = "prefill_attention", "decode_attention"
MB = 1e6
MOST_SIZE = 1e16
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
EDGES: dict[str, tuple[tuple[str, str, tuple[float, ...]], ...]] = {
    "linear": (("m", "", (1, 16, 64, 256, 1024)), ("weights", " MB", (0.1, 1, 8, 32, 128))),
    "batched": (("m", "", (1, 16, 128)),),
    PREFILL: (("queries", "", (32, 128, 512, 2048)),),
    DECODE: (("heads a key", "", (1, 32)), ("context", "", (16, 128, 1024, 8192))),
    "elementwise": (("bytes", " MB", (0.1, 1, 16)),),
    "stream": (("bytes", " MB", (1, 16)),),
    "all_reduce": (("message", " MB", (0.01, 0.1, 1, 16)),),
}


@cache
def parse_operator(text: str) -> tuple[str, tuple[float, ...]]:
    """Kind and sizes of an operator, the sizes in the order of ``KINDS``.

    Raises:
        InputError: an unknown kind, or sizes missing, unknown, given twice, not above zero, or that do not go together.
    """
    kind, *cells = text.split() or [""]
    if kind not in KINDS:
        raise InputError(suggest(f"unknown operator '{kind}'", kind, list(KINDS)))
    pairs = dict(cell.partition("=")[::2] for cell in cells)
    if set(pairs) != set(KINDS[kind]) or len(cells) != len(pairs):
        raise InputError(f"operator '{text}' must say {', '.join(KINDS[kind])}, each once")
    if not all(NUMBER.fullmatch(number) for number in pairs.values()):
        raise InputError(f"operator '{text}': a size is not a plain number")
    sizes = {name: float(pairs[name]) for name in KINDS[kind]}
    for name, size in sizes.items():
        if not (0 < size < MOST_SIZE or (name == "direct" and size == 0)):
            raise InputError(f"operator '{text}': {name} is {pairs[name]}; it must be above 0 and below {MOST_SIZE:g}")
    if kind == "attention" and sizes["queries"] > sizes["context"]:
        raise InputError(f"operator '{text}': more queries than the context holds")
    if kind == "attention" and sizes["heads"] % sizes["kv_heads"]:
        raise InputError(f"operator '{text}': kv_heads does not divide heads")
    return kind, tuple(sizes.values())


def format_operator(kind: str, **sizes: float) -> str:
    """The text of an operator, as ``parse_operator`` reads it."""
    return " ".join([kind, *(f"{name}={sizes[name]:.15g}" for name in KINDS[kind])])


def name_kind(text: str) -> str:
    """Kind of an operator, attention by its phase."""
    kind, sizes = parse_operator(text)
    if kind != "attention":
        return kind
    _, queries, context, *_ = sizes
    return DECODE if queries == 1 and context > 1 else PREFILL


def is_library_reduce(text: str) -> bool:
    """Whether an operator is an all-reduce by the collective library, whatever the stack does."""
    kind, sizes = parse_operator(text)
    return kind == "all_reduce" and not sizes[KINDS[kind].index("direct")]


def build_operator(kind: str, sizes: Mapping[str, Number], element_bytes: float, stack: Stack) -> Operator:
    """The work of an operator; sizes are numbers or arrays. ``kind`` is one of ``name_kind``."""
    s = sizes
    if kind == "linear":
        return linear(kind, s["m"], s["n"], s["k"], weight_bytes=element_bytes, activation_bytes=element_bytes)
    if kind == "batched":
        moved = s["batch"] * (s["m"] * s["k"] + s["k"] * s["n"] + s["m"] * s["n"]) * element_bytes
        flops = 2 * s["batch"] * s["m"] * s["n"] * s["k"]
        places = {name: s[name] for name in ("batch", "m", "n", "k")}
        return Operator("product", "batched", flops, activation_bytes=moved, **places)
    if kind in (PREFILL, DECODE):
        decoding = kind == DECODE
        sizes_in_order = [s[name] for name in KINDS["attention"]]
        launches = stack.count_attention_launches(decoding)
        bytes_of = {"activation_bytes": element_bytes, "kv_bytes": element_bytes}
        return attention(*sizes_in_order, decoding=decoding, launches=launches, **bytes_of)
    if kind == "elementwise":
        return Operator(kind, "elementwise", activation_bytes=s["bytes"], launches=s["launches"])
    if kind == "stream":
        return Operator(kind, "stream", activation_bytes=s["bytes"])
    if kind == "all_reduce":
        return Operator(kind, "all_reduce", message_bytes=s["bytes"])
    return Operator(kind, "elementwise", launches=s["launches"])


def classify_size(text: str, element_bytes: float) -> str:
    """Size class of an operator, for tables of errors."""
    kind = name_kind(text)
    name, values = parse_operator(text)
    sizes = dict(zip(KINDS[name], values, strict=True))
    if kind == "linear":
        sizes["weights"] = sizes["n"] * sizes["k"] * element_bytes / MB
    elif kind == DECODE:
        sizes["heads a key"] = sizes["heads"] / sizes["kv_heads"]
    elif kind in ("elementwise", "stream"):
        sizes["bytes"] /= MB
    elif kind == "all_reduce":
        sizes["message"] = sizes["bytes"] / MB
    parts = [f"{what} {find_class(sizes[what], edges)}{unit}" for what, unit, edges in EDGES.get(kind, ())]
    return ", ".join([kind, *parts])


def find_class(value: float, edges: tuple[float, ...]) -> str:
    """Interval of a value, in words."""
    below = [edge for edge in edges if edge < value]
    above = [edge for edge in edges if edge >= value]
    if not below:
        return f"to {above[0]:g}"
    return f"past {below[-1]:g}" + (f" to {above[0]:g}" if above else "")
