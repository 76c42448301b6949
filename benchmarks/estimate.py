"""How far loads in closed form are from their simulation, and how long a recommendation takes.

    python -m benchmarks.estimate [--quick]

Loads: closed loops of 1 to 48 requests in flight and Poisson streams of 20% to 75% of capacity, of four models, four
devices, five engines, and three lengths, in steady state: the first of a closed loop, which come together, are left
out, as is the first fifth of an open one. Only what is below 80% of capacity counts. ``--quick``: one length of each.

Recommendation: Llama-3.1-70B for 50 users on five kinds of devices, up to 160 of them: over 100,000 configurations. Its
seconds are of the processor, since others may be at work on the machine. Fails past 10 of them, or where the mean
error of TPOT or of the whole request is over a tenth.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from simulator.explore.recommend.judge import measure_steady
from simulator.explore.recommend.recommend import recommend
from simulator.inputs.deployment import Deployment
from simulator.inputs.workload import Workload
from simulator.prediction import Question, resolve
from simulator.report.output import format_table
from simulator.serving.capacity import estimate_setup, find_saturation
from simulator.serving.estimate import Estimate
from simulator.serving.setup import USUAL, prepare
from simulator.serving.simulation import run
from simulator.serving.workload import Load

A100_STACKS = ("vllm-0.10", "vllm-0.14", "vllm-0.6", "sglang-0.4", "tensorrt-llm-1.0")
SETTINGS = (
    *(("llama-3.1-8b", "a100-sxm-80gb", stack, 1, "bf16") for stack in A100_STACKS),
    ("llama-3.1-70b", "h100-sxm-80gb", "vllm-0.14", 4, "fp8"),
    ("gpt-oss-120b", "h100-sxm-80gb", "vllm-0.14", 1, None),
    ("qwen3-30b-a3b", "h100-sxm-80gb", "sglang-0.4", 1, "bf16"),
    ("llama-3.1-8b", "mi300x-192gb", "vllm-0.10", 1, "bf16"),
    ("llama-3.1-8b", "l40s-48gb", "vllm-0.14", 1, "fp8"),
)
LENGTHS = ((1000, 300), (512, 64), (4000, 500))
CONCURRENCIES, SHARES = (1, 4, 16, 48), (0.2, 0.5, 0.75)
NAMES = (
    "requests_per_s",
    "tpot_s_mean",
    "e2e_s_mean",
    "ttft_s_mean",
    "ttft_s_p90",
    "ttft_s_p99",
    "tpot_s_p99",
    "itl_s_p99",
)
COUNTED = 0.8  # share of the capacity below which errors count
MOST_ERROR, MOST_S = 0.1, 10.0
ASKED = {"prompt_tokens": 1000, "output_tokens": 300, "slo": {"ttft_s_p99": 2.0, "tpot_s_mean": 0.04}}
DEVICES = "h100,h200,l40s,a100-sxm-80gb,mi300x"


def compare(question: Question, load: Load) -> tuple[dict[str, float], Estimate]:
    """Errors of the closed form on one load, and the closed form."""
    simulation = run(question, load)
    values, found = measure_steady(simulation), estimate_setup(simulation.setup)
    said = {name: float(found.find(name)[0]) for name in NAMES[1:]} | {NAMES[0]: float(found.requests_per_s[0])}
    return {name: said[name] / values[name] - 1 for name in NAMES}, found


def judge_loads(lengths: tuple[tuple[int, int], ...]) -> dict[str, list[dict[str, float]]]:
    """Errors by kind of load."""
    errors: dict[str, list[dict[str, float]]] = {"closed loop": [], "open loop": []}
    for model, hardware, stack, tp, dtype in SETTINGS:
        for prompt, output in lengths:
            deployment = Deployment(tp=tp, dtype=dtype)
            question = resolve(model, hardware, None, stack, deployment, Workload(prompt, output))
            for count in CONCURRENCIES:
                load = Load(prompt, output, (0.8, 1.2), count, num_requests=max(12 * count, 60))
                error, found = compare(question, load)
                if found.requests_per_s[0] < COUNTED * found.capacity_requests_per_s[0]:
                    errors["closed loop"].append(error)
            rare = Load(prompt, output, (0.8, 1.2), request_rate=1.0, num_requests=60)
            capacity = find_saturation(prepare(question, rare, USUAL)).requests_per_s
            for share in SHARES:
                load = Load(prompt, output, (0.8, 1.2), request_rate=share * capacity, num_requests=1500)
                errors["open loop"].append(compare(question, load)[0])
            print(f"{model} {stack} {prompt}/{output}", file=sys.stderr)
    return errors


def main(quick: bool) -> int:
    """Print both tables; 1 where one is past its limit."""
    errors = judge_loads(LENGTHS[:1] if quick else LENGTHS)
    rows, failed = [], False
    for kind, found in errors.items():
        sizes = {name: np.abs([one[name] for one in found]) for name in NAMES}
        rows.append({"loads": f"{kind}, {len(found)}"} | {name: f"{100 * sizes[name].mean():.1f}%" for name in NAMES})
        print(f"{kind}: worst " + ", ".join(f"{name} {100 * sizes[name].max():.0f}%" for name in NAMES))
        failed |= max(sizes["tpot_s_mean"].mean(), sizes["e2e_s_mean"].mean()) > MOST_ERROR
    print(format_table(rows, "Mean size of errors against the simulation, below 80% of capacity"), end="\n\n")
    start_s = time.process_time()
    answer = recommend("llama-3.1-70b", DEVICES, concurrency=50, max_devices=160, **ASKED)  # type: ignore[arg-type]
    taken_s = time.process_time() - start_s
    print(f"{answer.configurations:,} configurations in {taken_s:.1f} s of one core, the simulations among them")
    return int(failed or taken_s > MOST_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    sys.exit(main(parser.parse_args().quick))
