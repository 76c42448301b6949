"""Messages between devices: torch.distributed over gloo between processes, or over NCCL between GPUs."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite
from calibration.measure.benchmarks.torch_model import DTYPES
from simulator.inputs.operator_text import format_operator

SIZES = {"quick": (1 << 14, 1 << 22), "full": (1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26)}
DEVICES = {"quick": (2,), "full": (2, 4, 8)}
REPEATS, WARM_UP = 30, 5
BUFFERS = 2


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """All-reduces of several sizes over several devices. Between processes of one CPU only in the full suite."""
    if device_kind == "cpu" and suite == "quick":
        return []
    counts = (2,) if device_kind == "cpu" else DEVICES[suite]
    return [all_reduce_case(size, tp, dtypes[-1]) for tp in counts for size in SIZES[suite]]


def all_reduce_case(size: int, tp: int, dtype: str) -> Case:
    """One all-reduce of ``size`` bytes over ``tp`` devices."""

    def prepare(bench: Bench) -> Callable[[], object]:
        return lambda: time_all_reduces(bench.device.type, size, tp, dtype)

    operator = format_operator("all_reduce", bytes=size, direct=0)
    return Case("collectives", operator, dtype, "operator_s", prepare, BUFFERS * size * tp, timed="itself", tp=tp)


def time_all_reduces(device_kind: str, size: int, tp: int, dtype: str) -> list[float]:
    """Seconds of each all-reduce on the first of ``tp`` new processes."""
    workers: Any = torch.multiprocessing
    queue = workers.get_context("spawn").SimpleQueue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers.spawn(run_rank, (device_kind, size, tp, port, dtype, queue), nprocs=tp, join=True)
    seconds: list[float] = queue.get()
    return seconds


def run_rank(rank: int, device_kind: str, size: int, tp: int, port: int, dtype: str, queue: Any) -> None:
    """One process of a group."""
    from torch import distributed

    backend = "nccl" if device_kind == "cuda" else "gloo"
    device = torch.device(device_kind, rank) if device_kind == "cuda" else torch.device("cpu")
    if device_kind == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    distributed.init_process_group(backend, f"tcp://127.0.0.1:{port}", rank=rank, world_size=tp)
    message = torch.zeros(size // DTYPES[dtype].itemsize, dtype=DTYPES[dtype], device=device)
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        distributed.barrier()
        if device_kind == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        distributed.all_reduce(message)
        if device_kind == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        queue.put(seconds[WARM_UP:])
    distributed.destroy_process_group()
