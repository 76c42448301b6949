"""How well the memory ledger of vLLM gives the KV cache that measured start-ups printed.

    python -m benchmarks.memory [FOLDER]

reads ``serving/vllm_memory.csv`` in the folder (default: the one that ``ROOFCAST_DATA`` names): start-ups of vLLM 0.19
on H100. It works out the measured constants of the ledger anew, compares them with those of the stack that ships, and
predicts the tokens of KV cache of each model with constants from all other models. It fails where the mean error is
past the limit, or where what ships is not what the start-ups say.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.folder import find_folder
from simulator.costs.footprint import count_reserved_bytes, find_budget
from simulator.inputs.architecture import Architecture
from simulator.inputs.checkpoint import CheckpointFormats, formats_of_name
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.inputs.memory_ledger import suit_stack
from simulator.inputs.settle import settle_formats
from simulator.inputs.stack import Stack
from simulator.metrics.pool import measure_pool
from simulator.report.output import format_table

GIB = 2**30
HARDWARE, STACK = "h100-sxm-80gb", "vllm-0.14"
LIMIT = 0.03  # mean error of KV tokens
SHIPPED_WITHIN = 0.05  # of a constant that ships
DTYPES = {"torch.bfloat16": "bf16", "torch.float16": "fp16", "torch.float32": "fp32"}
GRANITE: dict[str, Any] = {"num_hidden_layers": 40, "vocab_size": 49155, "tie_word_embeddings": True}
GRANITE_2B = GRANITE | {"hidden_size": 2048, "intermediate_size": 8192, "head_dim": 64}
KIMI = {"intermediate_size": 11264, "vocab_size": 163840}
# Models that do not ship: a shipped one with the dimensions of their configurations in which they differ.
BUILT: dict[str, tuple[str, dict[str, Any]]] = {
    "ibm-granite/granite-3.1-2b-instruct": ("llama-3.1-8b", GRANITE_2B),
    "ibm-granite/granite-vision-3.3-2b": ("llama-3.1-8b", GRANITE_2B),
    "ibm-granite/granite-3.1-8b-instruct": ("llama-3.1-8b", GRANITE | {"intermediate_size": 12800}),
    "ibm-granite/granite-3.3-8b-instruct": ("llama-3.1-8b", GRANITE | {"intermediate_size": 12800}),
    "moonshotai/Kimi-VL-A3B-Instruct": ("deepseek-v2-lite", KIMI),
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": ("mistral-small-24b", {}),
    "RedHatAI/Mistral-Small-3.1-24B-Instruct-2503-quantized.w8a8": ("mistral-small-24b", {}),
}
# Those whose checkpoints hold an encoder of images too, which no architecture here has.
SEES = ("gemma-3", "Llama-4", "Kimi-VL", "Mistral-Small-3.1", "granite-vision")


class StartUp(NamedTuple):
    """One start-up: what was asked for, and what it printed, bytes."""

    model: str
    architecture: Architecture
    deployment: Deployment
    share: float
    weights_bytes: float
    activations_bytes: float
    non_torch_bytes: float
    graphs_bytes: float
    total_bytes: float
    tokens: int

    @property
    def sees(self) -> bool:
        """Whether the checkpoint has an encoder of images."""
        return any(name in self.model for name in SEES)

    @property
    def family(self) -> str:
        """The model whatever its checkpoint, which is left out as one."""
        d = self.architecture
        return f"{d.hidden_size}-{d.num_hidden_layers}-{d.vocab_size}"


class Error(NamedTuple):
    """A start-up with the relative error of its KV tokens."""

    start: StartUp
    error: float


def read_start_ups(path: Path) -> list[StartUp]:
    """The start-ups that went through."""
    with path.open(newline="") as file:
        return [read_start_up(row) for row in csv.DictReader(file) if row["status"] == "ok"]


def read_start_up(row: dict[str, str]) -> StartUp:
    """One row of the table."""
    base, changes = BUILT.get(row["model"], (row["model"], {}))
    spec = load_model(base)
    layout = Deployment(int(row["tp"]), int(row["pp"]), kv_dtype="fp8" if row["kv_cache_dtype"] == "fp8" else None)
    stack, device = load_stack(STACK), load_hardware(HARDWARE)
    deployment = settle_formats(layout, find_formats(row, spec.formats), device, stack)
    memory = {
        "weights_bytes": "weight_memory_gib",
        "activations_bytes": "activation_memory_gib",
        "non_torch_bytes": "non_torch_forward_gib",
        "graphs_bytes": "cuda_graph_actual_gib",
        "total_bytes": "init_total_memory_gib",
    }
    return StartUp(
        row["model"],
        replace(spec.architecture, **changes),
        deployment,
        float(row["gpu_memory_utilization"]),
        tokens=int(row["kv_cache_tokens"]),
        **{name: float(row[column]) * GIB for name, column in memory.items()},
    )


def find_formats(row: dict[str, str], own: CheckpointFormats | None) -> CheckpointFormats:
    """Formats of a checkpoint: as it is published, as its name says, or as the option of the engine made them."""
    if row["quantization"] == "fp8":
        return formats_of_name("fp8", row["model"])
    named = formats_of_name("int8", row["model"]) if row["model"].endswith("w8a8") else own
    dtype = DTYPES[row["dtype"]]
    return CheckpointFormats(dtype) if named is None else replace(named, dtype=dtype)


def fit_ledger(starts: list[StartUp], stack: Stack) -> Stack:
    """The stack with the measured constants of its ledger that start-ups say: medians, and a line for graphs."""
    bare = replace(stack, memory=replace(stack.ledger, workspace_bytes=0.0))
    alone = [one for one in starts if one.deployment.devices == 1]
    runtime = np.median([one.non_torch_bytes for one in alone])
    parallel = np.median([one.non_torch_bytes for one in starts if one.deployment.tp > 1]) - runtime
    # Encoders of images have activations of their own.
    beside = [
        one.activations_bytes - count_tried(one, bare) for one in starts if not one.sees and one.deployment.pp == 1
    ]
    drawn = np.array([[1.0, one.architecture.num_hidden_layers / one.deployment.pp] for one in starts])
    graphs, layer = np.linalg.lstsq(drawn, np.array([one.graphs_bytes for one in starts]), rcond=None)[0]
    ledger = replace(
        stack.ledger,
        runtime_bytes=float(runtime),
        parallel_bytes=float(parallel),
        workspace_bytes=float(np.median(beside)),
        graph_layer_bytes=float(layer),
        graph_base_bytes=float(graphs),
    )
    return replace(stack, memory=ledger)


def count_tried(start: StartUp, stack: Stack) -> float:
    """Bytes of activations of the pass that the engine tries in advance."""
    ledger, a = stack.ledger, start.architecture
    return float(count_reserved_bytes(a, start.deployment, stack, find_budget(a, stack), ledger.sequences))


def judge(start: StartUp, stack: Stack) -> Error:
    """Predict the tokens of one start-up."""
    stack = replace(stack, memory_share=start.share)
    pool = measure_pool(start.architecture, start.deployment, stack, load_hardware(HARDWARE))
    return Error(start, pool.tokens / start.tokens - 1)


def leave_each_out(starts: list[StartUp], stack: Stack) -> list[Error]:
    """Predict each model by constants from all others."""
    families = dict.fromkeys(one.family for one in starts)
    fitted = {name: fit_ledger([one for one in starts if one.family != name], stack) for name in families}
    return [judge(one, fitted[one.family]) for one in starts]


def summarise(errors: list[Error]) -> str:
    """Errors by layout, by kind of checkpoint and of all."""
    groups: dict[str, Callable[[StartUp], bool]] = {
        "all": lambda one: True,
        "tp 1": lambda one: one.deployment.tp == 1,
        "tp 2 and 4": lambda one: one.deployment.tp > 1,
        "text alone": lambda one: not one.sees,
        "with an encoder of images": lambda one: one.sees,
        "less than 10 GB for the cache": lambda one: is_full(one),
    }
    rows = []
    for name, holds in groups.items():
        found = np.array([one.error for one in errors if holds(one.start)])
        rows.append(
            {
                "start-ups": name,
                "rows": len(found),
                "mape": float(np.mean(np.abs(found))),
                "p90_ape": float(np.quantile(np.abs(found), 0.9)),
                "bias": float(np.mean(found)),
            }
        )
    return format_table(rows)


def is_full(start: StartUp) -> bool:
    """Whether weights, activations and runtime leave less than 10 GB."""
    taken = start.weights_bytes + start.activations_bytes + start.non_torch_bytes
    return start.share * start.total_bytes - taken < 10e9


def compare_shipped(fitted: Stack, shipped: Stack) -> tuple[str, bool]:
    """The constants beside those that ship, and whether these are the same."""
    names = (
        *("runtime_bytes", "parallel_bytes", "workspace_bytes"),
        *("graph_layer_bytes", "graph_base_bytes"),
    )
    rows = [
        {"constant": n, "fitted_bytes": getattr(fitted.ledger, n), "shipped_bytes": getattr(shipped.ledger, n)}
        for n in names
    ]
    same = all(abs(row["shipped_bytes"] / row["fitted_bytes"] - 1) <= SHIPPED_WITHIN for row in rows)
    return format_table(rows), same


def main(folder: Path) -> int:
    """Print the tables; 1 where a limit is passed."""
    starts = read_start_ups(folder / "serving" / "vllm_memory.csv")
    shipped = suit_stack(load_stack(STACK), load_hardware(HARDWARE))
    table, same = compare_shipped(fit_ledger(starts, shipped), shipped)
    print(table, end="\n\n")
    errors = leave_each_out(starts, shipped)
    print("KV tokens, each model by constants of all others")
    print(summarise(errors), end="\n\n")
    worst = sorted(errors, key=lambda one: -abs(one.error))[:5]
    print("largest: " + ", ".join(f"{e.start.model} tp {e.start.deployment.tp} {100 * e.error:+.1f}%" for e in worst))
    mean = float(np.mean([abs(one.error) for one in errors]))
    print(f"{len(errors)} start-ups: mean {100 * mean:.1f}% (limit {100 * LIMIT:g}%)")
    return int(mean > LIMIT or not same)


if __name__ == "__main__":
    sys.exit(main(find_folder(__doc__)))
