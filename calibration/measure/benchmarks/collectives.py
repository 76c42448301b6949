"""Messages between devices: torch.distributed over gloo between processes, or over NCCL between GPUs.

The processes of a group are started once and time messages of all sizes. What fails, or takes too long, costs the sizes
that were not timed yet and nothing else.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite
from calibration.measure.benchmarks.torch_model import DTYPES
from simulator.inputs.operator_text import format_operator

SIZES = {"quick": (1 << 14, 1 << 22), "full": (1 << 10, 1 << 14, 1 << 18, 1 << 22, 1 << 26)}
DEVICES = {"quick": (2,), "full": (2, 4, 8)}
REPEATS, WARM_UP = 30, 5
TOGETHER = 20  # messages between two events of a GPU
BUFFERS = 2
TIME_LIMIT_S = 60.0  # of a group: Python, torch and NCCL start in some ten seconds; NCCL itself waits for ten minutes


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """All-reduces of several sizes over several devices. Between processes of one CPU only in the full suite."""
    if device_kind == "cpu" and suite == "quick":
        return []
    counts = (2,) if device_kind == "cpu" else DEVICES[suite]
    groups = [Group(device_kind, tp, dtypes[-1], SIZES[suite]) for tp in counts]
    return [all_reduce_case(group, size) for group in groups for size in group.sizes]


@dataclass
class Group:
    """So many devices that pass messages of some sizes; ``seconds`` by size once their processes have run."""

    device_kind: str
    tp: int
    dtype: str
    sizes: Sequence[int]
    seconds: dict[int, list[float]] = field(default_factory=dict)
    failure: str = ""
    has_run: bool = False

    def time(self, size: int) -> list[float]:
        """Seconds of each message of a size.

        Raises:
            RuntimeError: a process failed or hung before it was timed.
        """
        if not self.has_run:
            self.has_run = True
            self.seconds, self.failure = time_all_reduces(self.device_kind, self.sizes, self.tp, self.dtype)
        if size not in self.seconds:
            raise RuntimeError(self.failure or "no process of the group has timed it")
        return self.seconds[size]


def all_reduce_case(group: Group, size: int) -> Case:
    """One all-reduce of ``size`` bytes over the devices of a group."""

    def prepare(bench: Bench) -> Callable[[], object]:
        return lambda: group.time(size)

    operator = format_operator("all_reduce", bytes=size, direct=0)
    needed = BUFFERS * size * group.tp
    return Case("collectives", operator, group.dtype, "operator_s", prepare, needed, timed="itself", tp=group.tp)


def time_all_reduces(
    device_kind: str, sizes: Sequence[int], tp: int, dtype: str, limit_s: float = TIME_LIMIT_S
) -> tuple[dict[int, list[float]], str]:
    """Seconds of all-reduces by size, on the first of ``tp`` new processes; and what ended them early, if anything."""
    workers: Any = torch.multiprocessing
    reader, writer = workers.get_context("spawn").Pipe(duplex=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    failure = ""
    context = workers.spawn(run_rank, (device_kind, sizes, tp, port, dtype, writer), nprocs=tp, join=False)
    try:
        if not join_group(context, limit_s):
            failure = f"the {tp} processes of the group took more than {limit_s:g} s"
    except Exception as error:  # of a rank: torch hands its traceback on
        failure = f"a process of the group failed: {str(error).strip().splitlines()[-1]}"
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
                process.join()
        writer.close()  # the last end that is open, so that what was sent has an end too
    return read_seconds(reader), failure


def read_seconds(reader: Any) -> dict[int, list[float]]:
    """What a process sent before it ended, by size; nothing is waited for once all have."""
    seconds: dict[int, list[float]] = {}
    with reader, suppress(EOFError, OSError):  # its end, or in the midst of a message
        while True:
            size, taken = reader.recv()
            seconds[size] = taken
    return seconds


def join_group(context: Any, limit_s: float) -> bool:
    """Wait for all processes; whether they have ended within the time."""
    end = time.monotonic() + limit_s
    while (left := end - time.monotonic()) > 0:
        if context.join(left):
            return True
    return False


def run_rank(rank: int, device_kind: str, sizes: Sequence[int], tp: int, port: int, dtype: str, writer: Any) -> None:
    """One process of a group."""
    from torch import distributed

    backend = "nccl" if device_kind == "cuda" else "gloo"
    device = torch.device(device_kind, rank) if device_kind == "cuda" else torch.device("cpu")
    if device_kind == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    distributed.init_process_group(backend, f"tcp://127.0.0.1:{port}", rank=rank, world_size=tp)
    for size in sizes:
        message = torch.zeros(size // DTYPES[dtype].itemsize, dtype=DTYPES[dtype], device=device)
        seconds = time_by_events(message) if device_kind == "cuda" else time_by_clock(message)
        if rank == 0:
            writer.send((size, seconds))
    distributed.destroy_process_group()


def time_by_clock(message: torch.Tensor) -> list[float]:
    """Seconds of each all-reduce by the host's clock, which is that of a CPU."""
    from torch import distributed

    seconds = []
    for _ in range(WARM_UP + REPEATS):
        distributed.barrier()
        start = time.perf_counter()
        distributed.all_reduce(message)
        seconds.append(time.perf_counter() - start)
    return seconds[WARM_UP:]


def time_by_events(message: torch.Tensor) -> list[float]:
    """Seconds of an all-reduce, each the mean of several in a row between two events of the device."""
    from torch import distributed

    for _ in range(WARM_UP):
        distributed.all_reduce(message)
    seconds = []
    for _ in range(WARM_UP):
        torch.cuda.synchronize(message.device)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        distributed.all_reduce(message)  # the host runs ahead while the devices meet
        start.record()
        for _ in range(TOGETHER):
            distributed.all_reduce(message)
        end.record()
        torch.cuda.synchronize(message.device)
        seconds.append(start.elapsed_time(end) / 1e3 / TOGETHER)
    return seconds
