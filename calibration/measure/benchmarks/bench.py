"""Where benchmarks run: one device, its memory for operands, and what one benchmark is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from calibration.measure.benchmarks.torch_model import DTYPES, WeightPool, fill_randomly

Suite = Literal["quick", "full"]
# How a benchmark is timed. "kernel": one call on a device that does nothing else. "pass": host and device together,
# until the device is done. "host": issuing alone, while the device still runs. "itself": the call returns seconds.
Timed = Literal["kernel", "pass", "host", "itself"]
# Operands rotate over this much memory, so that each comes from as far away as a weight in a model does.
ROTATED_BYTES = 512e6


class Bench:
    """One device with one block of memory, which every benchmark borrows in turn as numbers of its type."""

    def __init__(
        self,
        device: torch.device,
        pool_bytes: float,
        l2_bytes: float = 0.0,
        captures_graphs: bool = False,
        free_bytes: float = math.inf,
    ) -> None:
        self.device = device
        self.free_bytes = free_bytes  # of the device before the block was taken
        self.overhead_s: float | None = None  # between two events besides the calls, once the stopwatch has measured it
        self.captures_graphs = captures_graphs
        self.l2_bytes = l2_bytes
        self.pool_bytes = int(pool_bytes) // 64 * 64
        self._memory: Tensor | None = None
        self._filled_as = ""

    def pool(self, dtype: str) -> WeightPool:
        """The whole memory as random numbers of one type."""
        if self._memory is None:
            self._memory = torch.empty(self.pool_bytes, dtype=torch.uint8, device=self.device)
        # The upper half of a number in fp32 is one in bf16: what is filled with the latter also reads as the former.
        filled_as = "fp16" if dtype == "fp16" else "bf16"
        if self._filled_as != filled_as:
            fill_randomly(self._memory.view(DTYPES[filled_as]))
            self._filled_as = filled_as
        return WeightPool(self._memory.view(DTYPES[dtype]))

    def rotate(self, dtype: str, *shapes: tuple[int, ...]) -> Iterator[list[Tensor]]:
        """Endlessly hand out operands of these shapes, which come from other memory each time."""
        pool = self.pool(dtype)
        copies = []
        one = sum(torch.Size(shape).numel() for shape in shapes) * DTYPES[dtype].itemsize
        for _ in range(max(int(min(ROTATED_BYTES, 0.9 * self.pool_bytes) // max(one, 1)), 1)):
            copies.append([pool.take(*shape) for shape in shapes])
            if len(copies) == MOST_COPIES:
                break
        return itertools.cycle(copies)


MOST_COPIES = 4096  # of an operand so small that taking more would last longer than the benchmark


@dataclass(frozen=True)
class Case:
    """One benchmark. ``operator`` is the text of one kernel, or empty for a whole ``model``.

    ``prepare`` makes the operands and returns the call to be timed, of which one counts for ``calls``.
    ``needed_bytes`` is the least memory of the bench and ``outside_bytes`` that beside it; a device with less leaves
    the case out. ``captures``: on a bench that captures graphs the call replays graphs of its own.
    """

    kind: str
    operator: str
    dtype: str
    metric: Literal["operator_s", "ttft_s", "tpot_s"]
    prepare: Callable[[Bench], Callable[[], object]] = field(compare=False, repr=False)
    needed_bytes: float
    variant: str = ""  # which kernel, where one operator text stands for several
    timed: Timed = "kernel"
    calls: int = 1
    tp: int = 1
    model: str = ""
    batch_size: int = 1
    prompt_tokens: int = 1
    output_tokens: int = 1
    outside_bytes: float = 0.0
    captures: bool = False
    held_out: bool = False  # for checking a fit, not for fitting

    @property
    def key(self) -> tuple[object, ...]:
        """What tells one case from another, in a table too."""
        tokens = (self.batch_size, self.prompt_tokens, self.output_tokens)
        return (self.operator, self.variant, self.dtype, self.metric, self.tp, self.model, *tokens)


class Timing(NamedTuple):
    """Seconds of one call: the median, the scatter of single samples (as a standard deviation), and how many."""

    median_s: float
    deviation_s: float
    samples: int


class Sample(NamedTuple):
    """A case as measured."""

    case: Case
    timing: Timing


def kernel_case(
    kind: str,
    operator: str,
    dtype: str,
    needed_bytes: float,
    prepare: Callable[[Bench], Callable[[], object]],
    variant: str = "",
) -> Case:
    """A case of one kernel alone."""
    return Case(kind, operator, dtype, "operator_s", prepare, needed_bytes, variant)
