"""Attention: fused over a prompt, fused for one new token over a cache, and the batched products of an unfused one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F

from calibration.measure.benchmarks.bench import Bench, Case, Suite, kernel_case
from simulator.inputs.formats import element_bytes


class Shape(NamedTuple):
    """``sequences`` requests of ``queries`` new tokens over ``context`` tokens."""

    sequences: int
    queries: int
    context: int
    heads: int
    kv_heads: int
    head_size: int


SHAPES: dict[tuple[str, str], list[Shape]] = {
    ("cpu", "quick"): [
        *(Shape(1, count, count, 12, 12, 64) for count in (64, 512)),
        Shape(4, 128, 128, 9, 3, 64),
        Shape(1, 1, 64, 12, 12, 64),
        Shape(1, 1, 512, 12, 12, 64),
        Shape(8, 1, 256, 12, 12, 64),
        Shape(4, 1, 512, 9, 3, 64),
    ],
    ("cpu", "full"): [
        *(Shape(s, c, c, h, kv, 64) for s in (1, 4) for c in (16, 64, 256, 512, 1024) for h, kv in ((12, 12), (9, 3))),
        *(Shape(s, 1, c, h, kv, 64) for s in (1, 8) for c in (64, 256, 1024) for h, kv in ((12, 12), (9, 3))),
    ],
    ("cuda", "quick"): [
        *(Shape(1, count, count, 32, kv, 128) for count in (512, 2048) for kv in (32, 8)),
        *(Shape(s, 1, c, 32, kv, 128) for s, c in ((1, 1024), (16, 1024), (8, 4096)) for kv in (32, 8)),
    ],
    ("cuda", "full"): [
        *(
            Shape(s, count, count, 32, kv, 128)
            for s in (1, 4)
            for count in (128, 512, 1024, 2048, 4096)
            for kv in (32, 8)
        ),
        *(
            Shape(s, 1, count, 32, kv, 128)
            for s in (1, 4, 16, 64)
            for count in (128, 512, 1024, 2048, 4096)
            for kv in (32, 8)
        ),
        *(Shape(s, 1, 1024, 16, 16, 64) for s in (1, 16, 64)),
    ],
}
BATCHED = {"quick": [(32, 64, 512, 64)], "full": [(32, 1, 512, 64), (32, 64, 512, 64), (96, 512, 512, 128)]}


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Fused attention of both phases, and batched products."""
    cases = [attention_case(shape, dtype) for shape in SHAPES[device_kind, suite] for dtype in dtypes]
    return cases + [batched_case(*shape, dtype) for shape in BATCHED[suite] for dtype in dtypes]


def attention_case(shape: Shape, dtype: str) -> Case:
    """Fused attention; one query is decoding, several are a prompt under the causal mask."""
    s, q, c, heads, kv_heads, size = shape

    def prepare(bench: Bench) -> Callable[[], object]:
        # Laid out as a model has them: queries by token, keys and values by head.
        operands = bench.rotate(dtype, (s, q, heads, size), (s, kv_heads, c, size), (s, kv_heads, c, size))

        def call() -> object:
            queries, keys, values = next(operands)
            return F.scaled_dot_product_attention(
                queries.transpose(1, 2), keys, values, is_causal=q > 1, enable_gqa=heads != kv_heads
            )

        return call

    needed = 2 * element_bytes(dtype) * 2 * s * size * (q * heads + c * kv_heads)
    text = " ".join(f"{name}={value}" for name, value in shape._asdict().items())
    return kernel_case("attention", f"attention {text}", dtype, needed, prepare)


def batched_case(batch: int, m: int, n: int, k: int, dtype: str) -> Case:
    """``batch`` products ``x[m, k] y[n, k]^T`` at once, as scores are without fusion."""

    def prepare(bench: Bench) -> Callable[[], object]:
        operands = bench.rotate(dtype, (batch, m, k), (batch, n, k))

        def call() -> object:
            x, y = next(operands)
            return torch.bmm(x, y.transpose(1, 2))

        return call

    needed = 2 * element_bytes(dtype) * batch * (m * k + n * k + m * n)
    return kernel_case("attention", f"batched batch={batch} m={m} n={n} k={k}", dtype, needed, prepare)
