"""Kernels between the matrix products: normalisation, activation, residual."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from calibration.measure.benchmarks.bench import Bench, Case, Suite, kernel_case
from simulator.inputs.formats import element_bytes


class Kernel(NamedTuple):
    """What runs on ``operands`` tensors (tokens, width), and the passes over one tensor that it makes."""

    operands: int
    passes: int
    launches: int
    run: Callable[..., Tensor]


KERNELS = {
    "layer norm": Kernel(1, 2, 1, lambda x: F.layer_norm(x, x.shape[-1:])),
    "rms norm": Kernel(2, 5, 4, lambda x, y: F.normalize(x, dim=-1) * y[0]),
    "gelu": Kernel(1, 2, 1, lambda x: F.gelu(x)),
    "gated": Kernel(2, 5, 2, lambda x, y: F.silu(x) * y),
    "residual": Kernel(2, 3, 1, lambda x, y: x + y),
}
CPU_SHAPES = {"quick": [(1, 768), (512, 1536)], "full": [(1, 768), (8, 3072), (64, 768), (256, 768), (512, 3072)]}
CUDA_SHAPES = {"quick": [(1, 4096), (2048, 4096)], "full": [(1, 4096), (64, 4096), (512, 4096), (2048, 11008)]}


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Every kernel at every shape (tokens, width) and type."""
    shapes = (CPU_SHAPES if device_kind == "cpu" else CUDA_SHAPES)[suite]
    return [
        elementwise_case(name, tokens, width, dtype) for name in KERNELS for tokens, width in shapes for dtype in dtypes
    ]


def elementwise_case(name: str, tokens: int, width: int, dtype: str) -> Case:
    """One kernel over one shape."""
    kernel = KERNELS[name]

    def prepare(bench: Bench) -> Callable[[], object]:
        operands = bench.rotate(dtype, *[(tokens, width)] * kernel.operands)
        return lambda: kernel.run(*next(operands))

    moved = kernel.passes * tokens * width * element_bytes(dtype)
    text = f"elementwise bytes={moved} launches={kernel.launches}"
    return kernel_case("elementwise", text, dtype, 2 * moved, prepare, name)
