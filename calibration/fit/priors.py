"""What is known of each factor before measuring: a typical value, its spread, and why.

Spreads are standard deviations of the logarithm. They are wide where only an order of magnitude is known, and narrow
where another measurement of the same quantity exists.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.timing.efficiency import Factors


class Prior(NamedTuple):
    """Typical value and log standard deviation, with the reason."""

    value: float
    spread: float
    reason: str


PRIORS: dict[str, Prior] = {
    "matrix_efficiency": Prior(0.93, 0.05, "main loops of cuBLAS reach 0.9 to 0.96 of the peak on A100 and H200"),
    "matrix_bandwidth_efficiency": Prior(
        0.8, 0.12, "0.82 of 2039 GB/s for weights past 250 MB in AIConfigurator's A100 table"
    ),
    "balanced_tile_side": Prior(100.0, 0.2, "64x64 tiles are slower than 128x128 ones; 112 on A100, 56 on H200"),
    "split_latency_cycles": Prior(3500.0, 0.4, "about a kernel's latency"),
    "split_traffic": Prior(0.5, 0.5, "some of the partial sums stay in the cache"),
    "misaligned_slowdown": Prior(3.0, 0.2, "two-byte instead of sixteen-byte loads; about 3 in half precision"),
    "widening_cycles": Prior(3.0, 0.6, "a conversion and a scale or two a weight, on 64 lanes of a multiprocessor"),
    "grouped_slowdown": Prior(1.6, 0.25, "prompts of AIConfigurator's table of mixtures of experts on A100"),
    "narrow_load_cycles": Prior(20.0, 0.4, "30 warps a multiprocessor, each with one load of 600 cycles in flight"),
    "packing_passes": Prior(2.0, 0.3, "packed weights are written and read once more, in part from the caches"),
    "unpacked_efficiency": Prior(0.25, 0.4, "weights that are not packed feed the multipliers more slowly"),
    "kernel_latency_cycles": Prior(
        4000.0, 0.25, "smallest kernels of AIConfigurator's tables in CUDA graphs: 2.7 us on A100, 2.5 us on H200"
    ),
    "stream_efficiency": Prior(0.8, 0.15, "streaming kernels reach 70-90% of the bandwidth"),
    "attention_efficiency": Prior(
        0.65, 0.3, "FlashAttention-2 reports 50-73% of the A100 peak (Dao 2023, arXiv 2307.08691)"
    ),
    "attention_operand_passes": Prior(2.5, 0.3, "rotation, cache write and the kernel itself"),
    "attention_tail_share": Prior(0.6, 0.3, "blocks end at random within the longest"),
    "attention_block_cycles": Prior(6000.0, 0.4, "a few memory latencies of about 700 cycles, and barriers"),
    "grouped_token_cycles": Prior(
        35.0, 0.6, "512 bytes of a head of 128: 20 in kernels that stream at full speed, 60 with paged caches"
    ),
    "head_token_cycles": Prior(30.0, 0.5, "as above, without matrix units; 45 in AIConfigurator's A100 table"),
    "score_cycles": Prior(3.0, 0.6, "some tens of vector instructions for sixteen scores"),
    "cache_bandwidth_ratio": Prior(2.0, 0.3, "the L2 of A100 reads at some 5 TB/s, the memory at 2"),
    "link_efficiency": Prior(0.7, 0.2, "NCCL rings of large messages on NVLink"),
    "low_latency_link_efficiency": Prior(0.22, 0.4, "half the bytes are flags, and a tree has an up and a down"),
    "link_latency_cycles": Prior(14000.0, 0.4, "NCCL on NVLink: 10 us over two A100 for 256 B"),
    "link_hop_cycles": Prior(3000.0, 0.4, "NCCL on NVLink: 22 us over eight A100 for 256 B"),
    "direct_link_efficiency": Prior(0.62, 0.3, "loads over NVLink by kernels"),
    "direct_latency_cycles": Prior(5500.0, 0.25, "a kernel's latency and one flag over the link"),
    "direct_barrier_cycles": Prior(400.0, 0.6, "a flag over the link is about 1000 cycles, several in flight"),
    "launch_s": Prior(10e-6, 0.5, "eager PyTorch issues a kernel in 5 to 20 us"),
    "layer_host_s": Prior(400e-6, 0.7, "a few hundred Python calls of about 1 us"),
    "collective_host_s": Prior(40e-6, 0.7, "torch.distributed call plus stream events"),
    "step_host_s": Prior(1.5e-3, 0.7, "sampling is 20 to 30 small kernels and a few synchronisations"),
    "sequence_host_s": Prior(5e-6, 1.5, "between nothing, where all runs on the device, and some 100 lines of Python"),
    "layer_setup_s": Prior(60e-6, 1.0, "two allocations of about 30 us"),
    "prompt_token_host_s": Prior(10e-6, 0.3, "Python byte-pair encoding: order of 100,000 tokens a second"),
    "parallel_overlap": Prior(4.0, 0.4, "hosts of several devices jitter by some 20% against each other"),
}


# What is known otherwise of a CPU, whose peak and bandwidth are measured and whose kernels are calls of a library.
CPU_PRIORS: dict[str, Prior] = PRIORS | {
    "matrix_efficiency": Prior(0.9, 0.15, "the peak is that of a large product, as measured"),
    "matrix_bandwidth_efficiency": Prior(0.95, 0.15, "the bandwidth is that of a large stream, as measured"),
    "kernel_latency_cycles": Prior(6000.0, 0.7, "dispatch, and cores that wake and wait for each other: some 2 us"),
    "attention_efficiency": Prior(0.4, 0.4, "blocks of attention are small for the matrix library"),
    "attention_block_cycles": Prior(9000.0, 0.7, "two calls of the matrix library and their buffers"),
    "cache_bandwidth_ratio": Prior(1.2, 0.4, "activations come from caches that all cores share"),
    "launch_s": Prior(2e-7, 0.3, "a kernel's dispatch is in its latency already"),
    "layer_host_s": Prior(80e-6, 0.7, "some dozen Python calls"),
    "step_host_s": Prior(50e-6, 1.0, "tokens in, a token out"),
    "sequence_host_s": Prior(1e-8, 0.3, "a batch is one array"),
    "layer_setup_s": Prior(1e-6, 1.0, "the cache is allocated once"),
    "prompt_token_host_s": Prior(1e-8, 0.3, "the prompt comes as numbers"),
}


# What is known otherwise of stacks whose host code is compiled, of those that serve many requests from Python, and of
# those with matrix kernels of their own.
NATIVE_PRIORS: dict[str, Prior] = {
    "launch_s": Prior(3e-6, 0.4, "a launch from C++ is 2 to 5 us"),
    "layer_host_s": Prior(5e-6, 1.0, "compiled code between launches"),
    "collective_host_s": Prior(10e-6, 0.7, "a launch and its events"),
    "step_host_s": Prior(1e-3, 0.7, "some ten sampling kernels, a copy to the host and a synchronisation"),
    "sequence_host_s": Prior(2e-6, 1.5, "compiled code"),
}
SERVER_PRIORS: dict[str, Prior] = {
    # A judgement: of Llama 3 8B on an H100, before version 0.6 halved it, 38% of the time was the device's, 29% went
    # into scheduling and 33% into the server (vLLM team, 5 September 2024, blog.vllm.ai/2024/09/05/perf-update.html).
    "sequence_host_s": Prior(50e-6, 0.8, "a sequence is scheduled, sampled and turned into text in Python"),
}
COMPILED_PRIORS: dict[str, Prior] = {
    "step_host_s": Prior(200e-6, 0.7, "the launch of one graph and the Python loop around it"),
    "sequence_host_s": Prior(2e-6, 1.5, "the graph holds the sampling"),
}
OWN_PRODUCT_PRIORS: dict[str, Prior] = {
    "cache_bandwidth_ratio": Prior(1.2, 0.5, "hand-written kernels over the cache are far from what it can do"),
}


HOST_PRIORS = {"python server": SERVER_PRIORS, "native": NATIVE_PRIORS, "compiled": COMPILED_PRIORS}


def choose_priors(hardware: Hardware, stack: Stack) -> dict[str, Prior]:
    """The priors of a kind of device and stack, in the order of ``Factors``."""
    if hardware.kind == "cpu":
        return {name: CPU_PRIORS[name] for name in Factors._fields}
    known = PRIORS | HOST_PRIORS.get(stack.host, {})
    if stack.own_products:
        known = known | OWN_PRODUCT_PRIORS
    return {name: known[name] for name in Factors._fields}
