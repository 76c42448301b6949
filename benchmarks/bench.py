"""Speed of Roofcast itself: measured time, the limit it must keep, and their ratio. Medians of several runs."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import simulator

QUESTION: dict[str, Any] = {
    "model": "openai-davinci",
    "hardware": "a100-sxm-80gb",
    "calibration": "a100-sxm-80gb--megatron-lm-2022",
    "tp": 8,
}
REQUESTS = 100_000
LONGEST = 1900  # prompt


def predict_one(prompt_tokens: int = 512) -> None:
    """One warm request, its three times and the breakdown of both phases."""
    answer = simulator.predict(**QUESTION, prompt_tokens=prompt_tokens, output_tokens=32)
    assert answer.e2e_s > answer.ttft_s > 0
    assert answer.request.prefill.operators
    assert answer.request.decode.operators


def predict_next() -> None:
    """The same of a prompt that was not asked for before, so that its prefill is not remembered; decode is."""
    predict_one(next(_prompts))


_prompts = itertools.cycle(range(1, LONGEST))


def make_requests() -> Callable[[], None]:
    """Many requests of random sizes in one array call."""
    rng = np.random.default_rng(0)
    sizes: dict[str, Any] = {
        "prompt_tokens": rng.integers(1, LONGEST, REQUESTS),
        "output_tokens": rng.integers(1, 128, REQUESTS),
        "batch_size": rng.integers(1, 17, REQUESTS),
    }

    def predict_many() -> None:
        answer = simulator.predict(**QUESTION, **sizes)
        assert answer.e2e_s.shape == (REQUESTS,)

    return predict_many


def run_command() -> None:
    """The command as a process, interpreter and imports included."""
    arguments = ["predict", "-m", "openai-davinci", "-H", "a100-sxm-80gb", "--tp", "8", "-o", "json"]
    subprocess.run([sys.executable, "-m", "cli", *arguments], check=True, capture_output=True)


def measure_s(run: Callable[[], None], repeats: int, calls: int = 1) -> float:
    """Median seconds of one call."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def main() -> None:
    """Print one line a benchmark."""
    lines = (
        ("one warm prediction with its breakdown", measure_s(predict_one, 9, 200), 150e-6),
        ("the same, another prompt every time", measure_s(predict_next, 9, 200), 300e-6),
        (f"{REQUESTS:,} requests in one array call", measure_s(make_requests(), 5), 1.0),
        ("roofcast predict as a process", measure_s(run_command, 5), 0.35),
    )
    print(f"{'benchmark':40} {'measured':>12} {'limit':>12} {'measured/limit':>15}")
    for name, seconds, limit in lines:
        print(f"{name:40} {1e3 * seconds:9.3f} ms {1e3 * limit:9.3f} ms {seconds / limit:15.2f}")


if __name__ == "__main__":
    main()
