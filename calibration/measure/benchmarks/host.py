"""The host: how long it takes to issue a kernel that has next to nothing to do."""

from __future__ import annotations

from collections.abc import Callable

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite
from calibration.measure.benchmarks.torch_model import DTYPES

SMALL = 64  # numbers that the kernel adds


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """One kernel, issued again and again. On a CPU the issuing includes the running."""
    dtype = dtypes[0]

    def prepare(bench: Bench) -> Callable[[], object]:
        """Adding a number to a few."""
        x = torch.zeros(SMALL, dtype=DTYPES[dtype], device=bench.device)
        return lambda: x.add_(1.0)

    return [Case("host", "host launches=1", dtype, "operator_s", prepare, 4 * SMALL, timed="host")]
