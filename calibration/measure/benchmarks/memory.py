"""Streams through memory: how fast numbers are read, written and copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite, kernel_case
from calibration.measure.benchmarks.torch_model import DTYPES

SIZES = {"quick": (1 << 20, 64 << 20), "full": (1 << 18, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20)}


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Reads, writes and copies of several sizes (bytes of one operand), in numbers of the first type."""
    cases = []
    for size in SIZES[suite]:
        cases.append(stream_case("read", size, 1, dtypes[0], lambda x: x.sum))
        cases.append(stream_case("write", size, 1, dtypes[0], lambda x: x.zero_))
        cases.append(stream_case("copy", size, 2, dtypes[0], None))
    return cases


def stream_case(variant: str, size: int, passes: int, dtype: str, method: Callable[[Any], Any] | None) -> Case:
    """One stream over an operand of ``size`` bytes."""
    count = size // DTYPES[dtype].itemsize

    def prepare(bench: Bench) -> Callable[[], object]:
        if method is None:
            pairs = bench.rotate(dtype, (count,), (count,))
            return lambda: copy(*next(pairs))
        operands = bench.rotate(dtype, (count,))
        return lambda: method(next(operands)[0])()

    return kernel_case("memory", f"stream bytes={passes * size}", dtype, 4 * size, prepare, variant)


def copy(source: torch.Tensor, target: torch.Tensor) -> object:
    """Copy one operand over another."""
    return target.copy_(source)
