"""Kernels that only move numbers, from a stack's lists."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.costs.operators import Operator
from simulator.costs.structure import Layer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import FORMATS, WIDE_BITS
from simulator.inputs.stack import MemoryKernel, SoftmaxPasses, Stack, Tensor
from simulator.numbers import Number, round_up

FP32_BYTES = 4


def list_memory_kernels(
    kernels: Sequence[MemoryKernel], layer: Layer, d: Deployment, stack: Stack, rows: Number, kind: str = "elementwise"
) -> list[Operator]:
    """The kernels of a list that run for a layer, over so many rows."""
    size = d.activation_bytes
    return [
        Operator(
            kernel.name,
            kind,
            activation_bytes=rows * find_width(kernel.over, layer, d, stack) * count_bytes(kernel, size),
            launches=kernel.launches,
        )
        for kernel in kernels
        if kernel.runs_for(layer.a, d.tp)
    ]


def list_quantized(products: Sequence[Operator], d: Deployment, stack: Stack, *, alone: bool = False) -> list[Operator]:
    """Products, after the kernels that those in a narrow format launch beside their own: to quantize the inputs, or to
    unpack. A product finds what was quantized for it in the last cache, as far as that holds it.

    ``alone``: each product is a call by itself, as benchmarks of kernels time it, and not one of a model.
    """
    kind = (stack.quantizing or {}).get(d.layer_format)
    if kind is None:
        return list(products)
    passes = (kind.reads + kind.writes) * d.activation_bytes
    launches = kind.alone if alone else kind.launches
    narrow = FORMATS[d.input_dtype].bits < WIDE_BITS
    if launches == 0:
        return list(products)
    before, after = [], []
    for op in products:
        if op.kind not in ("linear", "grouped") or (op.weight_share == 1 and (op.wide or not narrow)):
            after.append(op)
            continue
        inputs = op.batch * op.m * op.k
        again = (max(kind.reads - 1, 0) + kind.writes) * d.activation_bytes * inputs
        moved = inputs * passes
        before.append(
            Operator("quantizing", "elementwise", activation_bytes=moved, launches=launches, written_bytes=again)
        )
        after.append(leave_written(op, kind.writes * d.activation_bytes))
    return before + after


def leave_written(op: Operator, number_bytes: Number) -> Operator:
    """A product, or one of several parts, whose inputs of so many bytes each the kernel just before has written."""
    parts = tuple(leave_written(part, number_bytes) for part in op.parts)
    return op._replace(written_bytes=op.batch * op.m * op.k * number_bytes, parts=parts)


def count_bytes(passes: MemoryKernel | SoftmaxPasses, activation_bytes: Number) -> Number:
    """Bytes that a kernel moves for each element of its tensor."""
    four_byte_passes = passes.reads_fp32 + passes.writes_fp32
    return (passes.reads + passes.writes) * activation_bytes + four_byte_passes * FP32_BYTES


def find_width(tensor: Tensor, layer: Layer, d: Deployment, stack: Stack) -> Number:
    """Numbers of one token in a tensor that kernels move, on one device."""
    a = layer.a
    if tensor == "hidden":
        return a.hidden_size
    if tensor == "ffn":
        return (a.intermediate_size if a.num_experts is None else count_expert_width(a)) / d.tp
    if tensor == "activated":
        return a.hidden_size * (a.activated_experts or 1)
    if tensor == "logits":
        return padded_vocabulary(a, d, stack)
    return layer.mixer.find_width(tensor, layer, d)


def count_expert_width(a: Architecture) -> Number:
    """Width of all the experts together that one token meets."""
    return a.activated_experts * a.expert_width + (a.shared_expert_intermediate_size or 0)


def padded_vocabulary(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Rows of the head after the stack's padding."""
    return round_up(a.vocab_size, stack.vocab_multiple * d.tp)
