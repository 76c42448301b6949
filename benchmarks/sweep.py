"""Speed of sweeps on one core, and the memory of one that goes to Parquet: measured, the limit, and their ratio."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from simulator.explore.sweep.sweep import sweep

QUESTION: dict[str, Any] = {
    "model": "llama-3-8b",
    "hardware": "a100-sxm-80gb",
    "calibration": "a100-sxm-80gb--megatron-lm-2022",
    "assume_fits": True,
}
REQUESTS = {"prompt_tokens": "8-1600+8", "output_tokens": "8-400+8", "batch_size": "1-100+1"}
FACTS = {
    "memory.bandwidth": "1TB/s..8TB/s*1.2",
    "compute.matrix_peak.fp16": "100TFLOP/s..1000TFLOP/s*2",
    "compute.clock": "1GHz..2GHz+0.1GHz",
}
DIMENSIONS = {"num_key_value_heads": "1,2,4,8", "intermediate_size": "8192..16384+1024"}
NAMES: dict[str, Any] = {
    "model": ["llama-3-8b", "llama-2-7b", "mixtral-8x7b-v0.1", "gptj-6b", "opt-13b"],
    "hardware": ["a100-sxm-80gb", "a100-sxm-40gb", "h100-sxm-80gb", "h200-sxm-141gb", "rtx-4090"],
    "tp": [1, 2, 4, 8],
}
FEW = {"prompt_tokens": [128, 512], "batch_size": [1, 8]}
MANY = {"prompt_tokens": "128-2048+128", "output_tokens": "16-256+16", "batch_size": "1-32+1"}
MIXED = {"prompt_tokens": "128-1024*2", "output_tokens": "64,128", "batch_size": "1-8*2"}
TO_PARQUET = ("-p", "4-1600+4", "-n", "4-400+4", "-b", "1-250+1")
PARQUET_POINTS = 400 * 100 * 250
LEAST_PER_S, LEAST_MIXED_PER_S, MOST_BYTES = 500_000, 100_000, 500e6
LEAST_NAMES_PER_S = 200  # what a single prediction of 5 ms would do: every combination of names is a pass of its own


def measure_rate(repeats: int, **asked: Any) -> float:
    """Median points per second of a sweep."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        points = sweep(**(QUESTION | asked)).points
        rates.append(points / (time.perf_counter() - start))
    return statistics.median(rates)


def measure_parquet() -> tuple[float, float]:
    """Points per second of the command that writes ten million to Parquet, and the most memory it holds, bytes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sweep.parquet"
        arguments = ["-m", QUESTION["model"], "-H", QUESTION["hardware"], "-c", QUESTION["calibration"]]
        command = [sys.executable, "-m", "cli", "sweep", *arguments, *TO_PARQUET, "--assume-fits", "--out", str(out)]
        start = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - start
    return PARQUET_POINTS / seconds, 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def main() -> None:
    """Print one line a benchmark; of a rate the ratio should be above 1, of memory below."""
    rate, memory_bytes = measure_parquet()
    lines: tuple[tuple[str, float, float, str], ...] = (
        ("requests of one model and device", measure_rate(5, **REQUESTS), LEAST_PER_S, "points/s"),
        (
            "fields of device and architecture too",
            measure_rate(5, **MIXED, hardware_changes=FACTS, changes=DIMENSIONS),
            LEAST_MIXED_PER_S,
            "points/s",
        ),
        (
            "such fields alone, one request each",
            measure_rate(5, hardware_changes=FACTS, changes=DIMENSIONS),
            LEAST_MIXED_PER_S,
            "points/s",
        ),
        (
            "models, devices and layouts, 4 requests each",
            measure_rate(5, **NAMES, **FEW),
            LEAST_NAMES_PER_S,
            "points/s",
        ),
        ("the same, 8,192 requests each", measure_rate(1, **NAMES, **MANY), LEAST_MIXED_PER_S, "points/s"),
        ("10,000,000 points to Parquet", rate, LEAST_MIXED_PER_S, "points/s"),
        ("memory of that", memory_bytes / 1e6, MOST_BYTES / 1e6, "MB"),
    )
    print(f"{'benchmark':46} {'measured':>12} {'limit':>12} {'unit':10} {'measured/limit':>15}")
    for name, measured, limit, unit in lines:
        print(f"{name:46} {measured:12,.0f} {limit:12,.0f} {unit:10} {measured / limit:15.2f}")


if __name__ == "__main__":
    main()
