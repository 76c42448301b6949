"""What a reader hands on: one run of a benchmark, as its file states it, before names and gaps are settled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

PERCENTILES = ("p50", "p99")


class Metric(NamedTuple):
    """One measured value: seconds, or output tokens per second."""

    name: str
    value: float
    statistic: str = "mean"
    std: float | None = None


@dataclass(frozen=True)
class Run:
    """Facts of one run; None where the file does not say.

    A run of load has a ``concurrency`` (requests kept in flight) or a ``request_rate`` (a second; ``inf``: all at once)
    and a ``batch_size`` of 1. Token counts may be means over requests of different lengths.
    """

    where: str
    tool: str
    metrics: list[Metric] = field(default_factory=list)
    model: str | None = None
    kind: str | None = None  # of model, in llama.cpp's words, where the file has them beside its name: ``llama 8B``
    parameters: float | None = None  # of the model, where the file counts them
    gpu_layers: int | None = None  # that llama.cpp gave to the device; negative: all
    hardware: str | None = None
    stack: str | None = None
    tp: int | None = None
    pp: int | None = None
    dtype: str | None = None  # of matrix products
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    native_dtype: str | None = None  # what the engine computes in where nothing else is said
    batch_size: int | None = None
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    concurrency: int | None = None
    request_rate: float | None = None
    num_requests: int | None = None
    length_low: float | None = None
    length_high: float | None = None
    max_num_batched_tokens: int | None = None  # what the engine was told; None: its default
    max_num_seqs: int | None = None
    batch_wait_passes: int | None = None
    notes: str = ""
    left_out: str | None = None  # why nothing can be made of the run

    @property
    def is_load(self) -> bool:
        """Whether requests came and went."""
        return self.request_rate is not None or (self.concurrency or 1) > 1


class Told(NamedTuple):
    """What the options say, for what a file does not.

    ``hardware`` and ``stack`` hold for all rows, whatever the file names; those that are ``assumed`` only where it
    names none.
    """

    model: str | None = None
    hardware: str | None = None
    stack: str | None = None
    assumed_hardware: str | None = None
    assumed_stack: str | None = None
    tp: int | None = None
    pp: int | None = None
    dtype: str | None = None
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    batch_size: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    concurrency: int | None = None
    identical_prompts: bool = False


def list_latencies(found: dict[tuple[str, str], float | None], scale: float = 1e-3) -> list[Metric]:
    """Metrics of those latencies that were measured, by name and statistic; a zero is none. ``scale``: to seconds."""
    return [Metric(name, value * scale, which) for (name, which), value in found.items() if value]
