"""Speed of Roofcast itself, as ratios to yardsticks timed in the same run: best of several, and the limit to keep."""

from __future__ import annotations

import itertools
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import simulator
from simulator.explore.sweep.writers import write_csv
from simulator.serving.pass_table import PassTable

QUESTION: dict[str, Any] = {
    "model": "openai-davinci",
    "hardware": "a100-sxm-80gb",
    "calibration": "a100-sxm-80gb--megatron-lm-2022",
    "tp": 8,
}
COMMAND = ("-m", "cli", "predict", "-m", "openai-davinci", "-H", "a100-sxm-80gb", "--tp", "8")
GRID: dict[str, Any] = {
    "prompt_tokens": "16-1600+16",
    "output_tokens": "4-400+4",
    "batch_size": "1-100+1",
    "assume_fits": True,
}
REQUESTS = 100_000
ROWS = 1_000_000
LONGEST = 1900  # prompt
ROUNDS = 15
CALLS = 200  # of what takes less than a millisecond
PASSES, STEPS = 20_000, 100  # of a simulation, and passes of one run

SINGLE = f"{PASSES:,} passes of 64 sequences one by one"
TOGETHER = f"{PASSES:,} passes in runs of {STEPS}"

Runs = Mapping[str, Callable[[], object]]


class Line(NamedTuple):
    """One benchmark: what is timed, its yardstick, and the ratio to keep."""

    what: str
    yardstick: str
    limit: float


LINES = (
    Line("predict -o json, a process", "import numpy, a process", 1.4),
    Line("predict with its table, a process", "import numpy, a process", 1.7),
    Line("a warm prediction of the same prompt", "4,000 additions in a loop", 1.0),
    Line("a warm prediction of another prompt", "4,000 additions in a loop", 1.5),
    Line(f"{REQUESTS:,} requests in one call", "the logarithms of a million floats", 40.0),
    Line(f"{ROWS:,} rows to CSV", "the texts of a million floats", 5.0),
    Line(SINGLE, "4,000 additions in a loop", 700.0),
    Line(TOGETHER, "4,000 additions in a loop", 140.0),
)


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


def make_requests() -> Callable[[], object]:
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


def write_rows() -> None:
    """A sweep of a million points, and its file."""
    with tempfile.TemporaryDirectory() as folder:
        table = simulator.sweep(**QUESTION, **GRID)
        assert write_csv(Path(folder) / "sweep.csv", [table.columns]) == ROWS


def make_passes() -> tuple[Callable[[], object], Callable[[], object]]:
    """Passes of 64 sequences with contexts of their own: one by one, and in runs in which nothing changes."""
    question = simulator.predict("llama-3-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", dtype="bf16").question
    table = PassTable(question.work, question.machine, max_rows=8192, max_context=16384)
    contexts = np.random.default_rng(0).integers(100, 8000, 64)

    def run_singly() -> None:
        for _ in range(PASSES):
            table.time(contexts)

    def run_together() -> None:
        for _ in range(PASSES // STEPS):
            table.time_run(contexts, STEPS)

    return run_singly, run_together


def add_up() -> float:
    """Plain Python."""
    total = 0.0
    for _ in range(4_000):
        total += 1.5
    return total


def run_process(*arguments: str) -> Callable[[], object]:
    """A process of this interpreter, which keeps the bytecode of what it loads."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=kept)


def repeat(run: Callable[[], object]) -> Callable[[], object]:
    """Many calls as one."""

    def run_all() -> None:
        for _ in range(CALLS):
            run()

    return run_all


def read_clock_s() -> float:
    """Seconds that processors have worked for this process and those that it has waited for.

    Other work on the machine, which would stretch a clock on the wall, hardly changes them.
    """
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure_s(runs: Runs, rounds: int) -> dict[str, float]:
    """Seconds of a processor in the best of several rounds, in each of which all take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds + 1):  # the first warms up
        for name, run in runs.items():
            start = read_clock_s()
            run()
            best[name] = min(best[name], read_clock_s() - start)
    return best


def main() -> None:
    """Print one line a benchmark."""
    floats = np.random.default_rng(0).lognormal(size=ROWS)
    processes: Runs = {
        "import numpy, a process": run_process("-c", "import numpy"),
        "predict -o json, a process": run_process(*COMMAND, "-o", "json"),
        "predict with its table, a process": run_process(*COMMAND),
    }
    calls: Runs = {
        "4,000 additions in a loop": repeat(add_up),
        "a warm prediction of the same prompt": repeat(predict_one),
        "a warm prediction of another prompt": repeat(predict_next),
    }
    arrays: Runs = {
        "the logarithms of a million floats": lambda: np.log(floats),
        "the texts of a million floats": lambda: list(map(repr, floats.tolist())),
        f"{REQUESTS:,} requests in one call": make_requests(),
        f"{ROWS:,} rows to CSV": write_rows,
    }
    singly, together = make_passes()
    passes: Runs = {SINGLE: singly, TOGETHER: together}
    seconds = measure_s(processes, ROUNDS) | measure_s(arrays, 3) | measure_s(passes, 3)
    seconds |= {name: total_s / CALLS for name, total_s in measure_s(calls, ROUNDS).items()}
    print(f"{'benchmark':38} {'measured':>12} {'yardstick':>12} {'ratio':>7} {'limit':>7}")
    for name in passes:
        print(f"{name}: {PASSES / seconds[name]:,.0f} a second")
    for line in LINES:
        measured_s, yardstick_s = seconds[line.what], seconds[line.yardstick]
        ratio = measured_s / yardstick_s
        print(
            f"{line.what:38} {1e3 * measured_s:9.3f} ms {1e3 * yardstick_s:9.3f} ms {ratio:7.2f} {line.limit:7.2f}"
            f"   {'' if ratio <= line.limit else 'TOO SLOW, '}yardstick: {line.yardstick}"
        )


if __name__ == "__main__":
    main()
