"""Laws that keep their order: more work is never sooner, fewer bits and faster parts never later.

Every shipped profile at home, and bounds, on models of each kind. A pair of questions that differ in one thing is a
check; its answers must be in order, but for what rounding is.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from simulator import predict
from simulator.errors import RebuiltModelWarning, RoofcastError
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_stack
from simulator.timing.profile import list_settings

MODELS = ("llama-3-8b", "qwen3-30b-a3b", "gemma-2-9b", "deepseek-v2-lite", "qwen3-next-80b-a3b")
BOUNDS = ("h100-sxm-80gb", "mi300x-192gb", "apple-m2-ultra", "epyc-9654", "tpu-v5e")
BATCHES = np.unique(np.round(1.25 ** np.arange(26))).astype(int)  # to 264
PROMPTS = np.unique(np.round(16 * 1.3 ** np.arange(24))).astype(int)  # to 6,700
OUTPUTS = np.array([2, 3, 5, 17, 65, 129, 400])
NARROW = ("fp8", "int8", "int4-g128", "q4_k_m")
LATER = ("ttft_s", "tpot_s", "e2e_s")
ROUNDING = 1e-9


# Where real kernels break the order, and how far, as a share. A size is served by the kernel, tile and number of parts
# that suit it, and the next larger one by others that may be faster; and a stack whose own kernel for one row loads
# narrowly (``own_products``, ``load_bytes``) leaves it for the library's with the second row.
BY_KERNEL_CHOICE, BY_NARROW_LOADS = 0.05, 0.5
MEMORY_BOUND = 0.5  # share of the memory's bandwidth that a decode then uses at least


class Broken(NamedTuple):
    """A check that failed: the law, where, by how much, as a share, and whether real kernels do so."""

    law: str
    where: str
    share: float
    known: bool


class Orders(NamedTuple):
    """Checks made by law, and those that failed."""

    checks: dict[str, int]
    broken: list[Broken]


def list_places() -> Iterator[tuple[str, str, str]]:
    """Device, profile and stack of every setting that is checked."""
    for device, stack in list_settings():
        yield device, f"{device}--{stack}", stack
    for device in BOUNDS:
        yield device, "none", "ideal"


def check_orders(models: tuple[str, ...] = MODELS) -> Orders:
    """Check every law on every model and setting that can be."""
    found = Orders({}, [])
    warnings.simplefilter("ignore", RebuiltModelWarning)
    for (device, profile, stack), model in itertools.product(list_places(), models):
        hardware = load_hardware(device)
        for tp in (1, 4):
            question = {"model": model, "calibration": profile, "stack": stack, "tp": tp, "assume_fits": True}
            check_setting(hardware, question, found)
    return found


def check_setting(hardware: Hardware, question: dict[str, Any], found: Orders) -> None:
    """Check every law on one model and setting."""
    where = f"{question['model']} {question['calibration']} {hardware.id} tp{question['tp']}"
    stack = question["stack"]
    base = ask(hardware, question, [512], [65], [1])
    if base is None:
        return
    grid = ask(hardware, question, PROMPTS, [65], BATCHES)
    long = ask(hardware, question, [512], OUTPUTS, [1, 8])
    for name in LATER:
        if grid is not None:
            note(found, f"longer prompt, {name}", where, stack, grid[name], 0)
            note(found, f"larger batch, {name}", where, stack, grid[name], 2)
    if long is not None:
        note(found, "more output, e2e_s", where, stack, long["e2e_s"], 1)
    for dtype in NARROW:
        narrow = ask(hardware, question | {"weight_dtype": dtype}, [512], [65], [1])
        if narrow is not None and narrow["weights_bytes"] < base["weights_bytes"] and base["mbu"].min() > MEMORY_BOUND:
            note(found, f"{dtype} weights, tpot_s", where, stack, np.stack([narrow["tpot_s"], base["tpot_s"]]), 0)
    for part, faster in speed_up(hardware):
        sped = ask(faster, question, [64, 2048], [65], [1, 32])
        slow = ask(hardware, question, [64, 2048], [65], [1, 32])
        if sped is not None and slow is not None:
            for name in LATER:
                note(found, f"faster {part}, {name}", where, stack, np.stack([sped[name], slow[name]]), 0)


def ask(hardware: Hardware, question: dict[str, Any], prompts: Any, outputs: Any, batches: Any) -> Any:
    """The times of a grid; None where it cannot be asked."""
    axes = np.ix_(prompts, outputs, batches)
    tokens = dict(zip(("prompt_tokens", "output_tokens", "batch_size"), axes, strict=True))
    try:
        answer = predict(question["model"], hardware, **{k: v for k, v in question.items() if k != "model"}, **tokens)
    except RoofcastError:
        return None
    return {name: np.asarray(getattr(answer, name), dtype=float) for name in (*LATER, "mbu", "weights_bytes")}


def note(found: Orders, law: str, where: str, stack: str, times: Any, axis: int) -> None:
    """Count the neighbours along an axis, and keep the worst that is not in order."""
    before = np.delete(times, -1, axis)
    after = np.delete(times, 0, axis)
    found.checks[law] = found.checks.get(law, 0) + before.size
    share = float(np.max(before / after)) - 1
    if not share <= ROUNDING:
        by_size = law.startswith(("longer", "larger"))
        loads = law.startswith("larger") and load_stack(stack).own_products
        known = by_size and share <= (BY_NARROW_LOADS if loads else BY_KERNEL_CHOICE)
        found.broken.append(Broken(law, where, share, known))


def speed_up(hardware: Hardware) -> Iterator[tuple[str, Hardware]]:
    """The device with one part half as fast again."""
    h, more = hardware, 1.5
    yield "memory", replace(h, memory=replace(h.memory, bandwidth=more * h.memory.bandwidth))
    peaks = {name: more * peak for name, peak in h.compute.matrix_peak.items()}
    yield "arithmetic", replace(h, compute=replace(h.compute, matrix_peak=peaks))
    yield "cache", replace(h, memory=replace(h.memory, l2_capacity=more * h.memory.l2_capacity))
    if h.links is not None and h.links.node is not None:
        node = replace(h.links.node, bandwidth=more * h.links.node.bandwidth)
        yield "link", replace(h, links=replace(h.links, node=node))
