"""How far offline throughput is off against MLPerf's results: all requests at once, the best layout that fits.

    python -m benchmarks.offline [FOLDER]

reads ``serving/mlperf.csv`` in the folder (default: the one that ``ROOFCAST_DATA`` names): Llama-2-70B and Mixtral of
the closed division, whose engine and format are known, each layout and limit as stated or, where it is not, the fastest
of one replica on one, two, four and eight devices. Lengths are MLPerf's own (``serving/lengths``). Nothing is fitted to
these runs. What TensorRT computes is taken as fp8, since 16 bits would pass the peak of Hopper. Throughput is the
closed form's, of as many sequences as run at most.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.folder import find_folder
from simulator.errors import ImpossibleError, InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.workload import Workload
from simulator.prediction import resolve
from simulator.report.output import format_table
from simulator.serving.capacity import find_saturation
from simulator.serving.setup import Options, prepare
from simulator.serving.workload import Load

LENGTHS = {"llama2-70b": "llama2-70b-99", "mixtral": "mixtral-8x7b"}
LAYOUTS = (1, 2, 4, 8)
REQUESTS = 2000  # of a table of lengths


class Run(NamedTuple):
    """One result: its row, the stack and format that it is taken as, and the table of its requests' lengths."""

    row: dict[str, str]
    stack: str
    dtype: str
    lengths: Path


def list_runs(folder: Path) -> Iterator[Run]:
    """The runs that the module's docstring names."""
    with (folder / "mlperf.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            task = next((name for name in LENGTHS if row["task"].startswith(name)), None)
            known = row["division"] == "closed" and row["scenario"] == "Offline" and row["throughput_tok_s"]
            stack, dtype = find_software(row)
            if task and known and stack:
                yield Run(row, stack, dtype, folder / "lengths" / f"{LENGTHS[task]}.csv.gz")


def find_software(row: dict[str, str]) -> tuple[str | None, str]:
    """The stack of a framework's name, None where it is not said, and the format."""
    framework = row["framework"]
    if framework.startswith("TensorRT"):
        return "tensorrt-llm", "fp8"
    if framework.startswith("vLLM"):  # a platform that has it inside is another engine
        return "vllm", row["weight_dtype"]
    return None, row["weight_dtype"]


def predict(run: Run) -> float:
    """Output tokens a second of all its devices, with the fastest layout.

    Raises:
        InputError: no layout fits.
    """
    row, found = run.row, []
    devices = int(row["devices"])
    layouts = (int(row["tp"]),) if row["tp"] else tuple(tp for tp in LAYOUTS if devices % tp == 0)
    budget, most = (int(row[name]) if row[name] else None for name in ("max_num_batched_tokens", "max_num_seqs"))
    if budget and most:  # no pass has more sequences than tokens
        most = min(budget, most)
    load = Load(lengths=run.lengths, request_rate=1.0, num_requests=REQUESTS)
    for tp in layouts:
        deployment = Deployment(tp=tp, dtype=run.dtype, kv_dtype="fp8")
        try:
            question = resolve(row["model"], row["hardware"], None, run.stack, deployment, Workload(512, 128))
            setup = prepare(question, load, Options(budget, most))
        except ImpossibleError:
            continue
        outputs = float(setup.requests.output_tokens.mean())
        found.append(find_saturation(setup).requests_per_s * outputs * devices / tp)
    if not found:
        raise InputError(f"no layout fits {row['source_id']}")
    return max(found)


def main(folder: Path) -> None:
    """Print errors by device and engine, and over all."""
    errors: dict[tuple[str, str, str], list[float]] = {}
    for run in list_runs(folder):
        name = (run.row["task"].removesuffix(".9").removesuffix("-99"), run.row["hardware"], run.stack)
        errors.setdefault(name, []).append(predict(run) / float(run.row["throughput_tok_s"]) - 1)
    rows = [
        dict(zip(("task", "device", "engine"), name, strict=True))
        | {"runs": len(found), "median": float(np.median(np.abs(found))), "bias": float(np.median(found))}
        for name, found in sorted(errors.items())
    ]
    print(format_table(rows))
    whole = np.abs(np.concatenate(list(errors.values())))
    print(f"{len(whole)} runs: median {100 * np.median(whole):.1f}%, mean {100 * whole.mean():.1f}%")


if __name__ == "__main__":
    main(find_folder(__doc__) / "serving")
