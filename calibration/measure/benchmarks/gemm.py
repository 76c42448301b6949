"""Matrix products of a weight with tokens, in shapes that each tell another part of the law apart."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn import functional as F

from calibration.measure.benchmarks.bench import Bench, Case, Suite, kernel_case
from simulator.inputs.formats import element_bytes

# (n, k) of weights and the rows m that pass through them. Few rows wait for memory, many for arithmetic, the rows in
# between show the knee; the second weight is wide as an FFN, the third deep, the fourth misaligned.
CPU_SHAPES = {
    "quick": ([(2304, 768), (4096, 1024), (576, 1536)], [1, 2, 4, 8, 16, 64, 256]),
    "full": (
        [(2304, 768), (4096, 1024), (1024, 4096), (576, 1536), (576, 576), (2048, 2048), (1001, 1003), (16384, 512)],
        [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512],
    ),
}
CUDA_SHAPES = {
    "quick": (
        [(4096, 4096), (12288, 4096), (4096, 11008), (1536, 1024), (4099, 4096)],
        [1, 8, 32, 128, 512, 2048],
    ),
    "full": (
        [
            *((4096, 4096), (12288, 4096), (4096, 11008), (22016, 4096), (32000, 4096), (1536, 1024), (3072, 768)),
            *((8192, 1024), (1024, 8192), (16384, 8192), (4099, 4096), (4096, 4100)),
        ],
        [1, 2, 4, 8, 16, 17, 32, 64, 96, 128, 160, 256, 512, 768, 1024, 2048, 4096],
    ),
}
# The vocabulary's product, of few rows: its weight is larger than any cache.
HEADS = {"quick": ([(50257, 768)], [1, 8]), "full": ([(50257, 768), (32000, 1024)], [1, 2, 4, 8, 16])}


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Linear layers of every shape, rows and type."""
    tables = [(CPU_SHAPES if device_kind == "cpu" else CUDA_SHAPES)[suite], HEADS[suite]]
    return [linear_case(m, n, k, dtype) for shapes, rows in tables for n, k in shapes for m in rows for dtype in dtypes]


def linear_case(m: int, n: int, k: int, dtype: str) -> Case:
    """A product ``x[m, k] w[n, k]^T`` whose weight comes from memory."""

    def prepare(bench: Bench) -> Callable[[], object]:
        operands = bench.rotate(dtype, (n, k), (m, k))

        def call() -> object:
            weight, x = next(operands)
            return F.linear(x, weight)

        return call

    needed = 2 * element_bytes(dtype) * (n * k + m * (n + k))
    return kernel_case("gemm", f"linear m={m} n={n} k={k}", dtype, needed, prepare)
