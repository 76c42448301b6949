"""Measured operators: the work of one row, and its size class in tables of errors."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.costs.operators import Operator, attention, linear
from simulator.inputs.operator_text import DECODE, KINDS, PREFILL, name_kind, parse_operator
from simulator.inputs.stack import Stack
from simulator.numbers import Number

MB = 1e6
EDGES: dict[str, tuple[tuple[str, str, tuple[float, ...]], ...]] = {
    "linear": (("m", "", (1, 16, 64, 256, 1024)), ("weights", " MB", (0.1, 1, 8, 32, 128))),
    "batched": (("m", "", (1, 16, 128)),),
    PREFILL: (("queries", "", (32, 128, 512, 2048)),),
    DECODE: (("heads a key", "", (1, 32)), ("context", "", (16, 128, 1024, 8192))),
    "elementwise": (("bytes", " MB", (0.1, 1, 16)),),
    "stream": (("bytes", " MB", (1, 16)),),
    "all_reduce": (("message", " MB", (0.01, 0.1, 1, 16)),),
}


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
