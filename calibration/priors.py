"""What is known of each factor before measuring: a typical value, its spread, and why.

Spreads are standard deviations of the logarithm. They are wide where only an order of magnitude is known, and narrow
where another measurement of the same quantity exists.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.timing.efficiency import Factors


class Prior(NamedTuple):
    """Typical value and log standard deviation, with the reason."""

    value: float
    spread: float
    reason: str


PRIORS: dict[str, Prior] = {
    "matrix_efficiency": Prior(
        0.9,
        0.07,
        "cuBLAS tiles on A100 reach 0.93 of the peak where they fill whole waves (AIConfigurator's A100 table)",
    ),
    "matrix_bandwidth_efficiency": Prior(
        0.8, 0.12, "0.82 of 2039 GB/s for weights past 250 MB, same table; what smaller ones miss is latency"
    ),
    "balanced_tile_side": Prior(20.0, 0.2, "64x64 tiles reach about three quarters of the rate of large ones"),
    "wave_latency_s": Prior(2e-6, 0.5, "a few memory latencies of about 0.5 us"),
    "weight_reuse": Prior(1.0, 0.4, "the cache holds about what it can hold"),
    "misaligned_slowdown": Prior(3.0, 0.2, "two-byte instead of sixteen-byte loads; about 3 in half precision"),
    "attention_efficiency": Prior(
        0.6, 0.3, "FlashAttention-2 reports 50-73% of the A100 peak (Dao 2023, arXiv 2307.08691)"
    ),
    "stream_efficiency": Prior(0.75, 0.15, "streaming kernels reach 70-90% of the bandwidth"),
    "kernel_latency_s": Prior(2e-6, 0.4, "smallest kernels of AIConfigurator's A100 table: 2.5 us in CUDA graphs"),
    "link_efficiency": Prior(0.6, 0.3, "NCCL on NVLink: 0.67 of each way at 128 MB over 8 A100, less below"),
    "link_latency_s": Prior(7e-6, 0.3, "NCCL: 10, 14 and 22 us over 2, 4 and 8 A100 for 256 B"),
    "launch_s": Prior(10e-6, 0.5, "eager PyTorch issues a kernel in 5 to 20 us"),
    "layer_host_s": Prior(400e-6, 0.7, "a few hundred Python calls of about 1 us"),
    "collective_host_s": Prior(40e-6, 0.7, "torch.distributed call plus stream events"),
    "step_host_s": Prior(1.5e-3, 0.7, "sampling is 20 to 30 small kernels and a few synchronisations"),
    "layer_setup_s": Prior(60e-6, 1.0, "two allocations of about 30 us"),
    "prompt_token_host_s": Prior(10e-6, 0.5, "Python byte-pair encoding: order of 100,000 tokens a second"),
    "parallel_overlap": Prior(4.0, 0.4, "hosts of several devices jitter by some 20% against each other"),
}


def prior_factors() -> Factors:
    """The typical values."""
    return Factors(**{name: prior.value for name, prior in PRIORS.items()})
