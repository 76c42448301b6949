"""Factors that several kinds of operators share."""

from __future__ import annotations

from simulator.timing.factors import Factor, Prior

KERNEL_LATENCY = Factor(
    "kernel_latency_s",
    *("s", 1e-8, 1e-4),
    "time of a kernel on the device with no work in it",
    Prior(2.5e-6, 0.25, "smallest kernels of tables in CUDA graphs, whatever the clock: 2.5 us on A100 and H200"),
)
PRODUCT_LATENCY = Factor(
    "product_latency_s",
    *("s", 1e-8, 1e-4),
    "time of a matrix product on the device with no work in it, between others",
    Prior(2.2e-6, 0.25, "smallest products of tables in CUDA graphs: 2.5 us on A100 and H200, 1.7 us on B200 and L40S"),
)
STREAM_EFFICIENCY = Factor(
    "stream_efficiency",
    *("1", 0.05, 1.0),
    "share of the memory bandwidth that a kernel reaches which only moves numbers",
    Prior(0.8, 0.15, "streaming kernels reach 70-90% of the bandwidth"),
)
NARROW_LOAD = Factor(
    "narrow_load_cycles",
    *("cycles", 0.1, 1e3),
    "time in which a unit moves 128 bytes in kernels whose threads load four bytes at a time",
    Prior(20.0, 0.4, "30 warps a multiprocessor, each with one load of 600 cycles in flight"),
)
FLOP_ENERGY = Factor(
    "flop_energy_j",
    *("J", 1e-14, 1e-10),
    "energy of a FLOP of a matrix product at a clock of 2 GHz, whatever its format, board and memory counted",
    Prior(0.7e-12, 0.3, "large products in 16, 8 and 4 bits: 0.5 to 0.8 pJ on H100, H200 and B200, 1.2 on L40S"),
)
CACHE_BYTES = Factor(
    "cache_bytes_per_cycle",
    *("bytes", 1.0, 1e3),
    "bytes a cycle that a unit takes from the last cache, for operands that are found there again",
    Prior(22.0, 0.4, "15 to 32 of the 64 that a multiprocessor's port takes, keys read again on five devices"),
)
MATRIX_EFFICIENCY = Factor(
    "matrix_efficiency",
    *("1", 0.05, 1.0),
    "share of the dense matrix peak that a tile of a matrix product reaches while it multiplies",
    Prior(0.93, 0.05, "main loops of cuBLAS reach 0.9 to 0.96 of the peak on A100 and H200"),
)
MATRIX_BANDWIDTH = Factor(
    "matrix_bandwidth_efficiency",
    *("1", 0.05, 1.0),
    "share of the memory bandwidth that a matrix product reaches when it waits for operands",
    Prior(0.8, 0.12, "0.82 of 2039 GB/s for weights past 250 MB in AIConfigurator's A100 table"),
)
ATTENTION_EFFICIENCY = Factor(
    "attention_efficiency",
    *("1", 0.05, 1.0),
    "share of the dense matrix peak that fused attention over a prompt reaches, softmax counted",
    Prior(0.65, 0.3, "FlashAttention-2 reports 50-73% of the A100 peak (Dao 2023, arXiv 2307.08691)"),
)
ATTENTION_BLOCK = Factor(
    "attention_block_cycles",
    *("cycles", 50.0, 1e5),
    "start and end of one block of decode attention, and of merging its parts",
    Prior(6000.0, 0.4, "a few memory latencies of about 700 cycles, and barriers"),
)
# On a CPU alone.
ACTIVATION_BANDWIDTH = Factor(
    "activation_bandwidth_ratio",
    *("1", 0.2, 20.0),
    "bandwidth at which a CPU streams activations through its caches, over that of its memory",
    Prior(1.2, 0.4, "activations come from caches that all cores share"),
)
BLOCK_START = Factor(
    "attention_start_cycles",
    *("cycles", 50.0, 1e5),
    "start of one block of queries of attention on a core of a CPU",
    Prior(9000.0, 0.7, "two calls of the matrix library and their buffers"),
)
