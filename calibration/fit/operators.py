"""Measured operators: the work of one row, and its size class in tables of errors."""

from __future__ import annotations

from collections.abc import Mapping

from simulator.costs.feed_forwards.experts import list_expert_block
from simulator.costs.kernels import list_quantized
from simulator.costs.operators import Operator, attention, element_sizes, linear
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import FORMATS, WIDE_BITS
from simulator.inputs.operator_text import DECODE, KINDS, OPTIONAL, PREFILL, name_kind, parse_operator
from simulator.inputs.stack import Stack
from simulator.numbers import Number, where

MB = 1e6
EDGES: dict[str, tuple[tuple[str, str, tuple[float, ...]], ...]] = {
    "linear": (("m", "", (1, 16, 64, 256, 1024)), ("weights", " MB", (0.1, 1, 8, 32, 128))),
    "batched": (("m", "", (1, 16, 128)),),
    PREFILL: (("queries", "", (32, 128, 512, 2048)),),
    DECODE: (("heads a key", "", (1, 32)), ("context", "", (16, 128, 1024, 8192))),
    "experts": (("tokens", "", (1, 16, 128, 1024, 8192)),),
    "elementwise": (("bytes", " MB", (0.1, 1, 16)),),
    "stream": (("bytes", " MB", (1, 16)),),
    "all_reduce": (("message", " MB", (0.01, 0.1, 1, 16)),),
}


def build_operators(kind: str, sizes: Mapping[str, Number], d: Deployment, stack: Stack) -> list[Operator]:
    """The work of an operator, or of the operators of a block; sizes are numbers or arrays.

    ``kind`` is one of ``name_kind``. A product is measured as a call by itself, which quantizes its inputs first.
    """
    s = sizes
    element_bytes = d.activation_bytes
    if kind == "linear":
        product = linear(kind, s["m"], s["n"], s["k"], **element_sizes(d, "feed_forward"))
        product = product._replace(copies=s["copies"])
        return list_quantized([product], d, stack, alone=True)
    if kind == "experts":
        return list_expert_block(s, d, stack)
    return [build_operator(kind, s, d, stack, element_bytes)]


def build_operator(kind: str, s: Mapping[str, Number], d: Deployment, stack: Stack, element_bytes: Number) -> Operator:
    """The work of an operator that is one kernel or message."""
    if kind == "batched":
        moved = s["batch"] * (s["m"] * s["k"] + s["k"] * s["n"] + s["m"] * s["n"]) * element_bytes
        flops = 2 * s["batch"] * s["m"] * s["n"] * s["k"]
        places = {name: s[name] for name in ("batch", "m", "n", "k")}
        return Operator("product", "batched", flops, activation_bytes=moved, **places)
    if kind in (PREFILL, DECODE):
        decoding = kind == DECODE
        sizes_in_order = [s[name] for name in KINDS["attention"] if name not in OPTIONAL]
        window = where(s["window"] > 0, s["window"], s["context"])
        return attention(
            *sizes_in_order,
            decoding=decoding,
            launches=stack.count_attention_launches(decoding),
            activation_bytes=element_bytes,
            kv_bytes=d.kv_bytes,
            window=window,
            narrow=FORMATS[d.input_dtype].bits < WIDE_BITS,
        )._replace(name="attention", copies=s["copies"])
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
