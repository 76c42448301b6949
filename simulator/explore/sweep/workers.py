"""Chunks of a sweep on this process, on several, or on a Dask cluster: in order, with few of them under way."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from typing import Any

from simulator.errors import InputError
from simulator.explore.sweep.evaluate import ChunkAnswer, evaluate_chunk
from simulator.explore.sweep.load import LoadPlan, simulate_chunk
from simulator.explore.sweep.plan import Plan

UNDER_WAY = 2  # chunks for each worker, so that memory stays flat
DASK_TIMEOUT_S = 10
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[\w.\-\[\]:]+?(:(?P<port>\d{1,9}))?|inproc://.+")


def run_chunks(plan: Plan, chunks: Iterable[int], jobs: int = 1, dask: str | None = None) -> Iterator[ChunkAnswer]:
    """Answer chunks in their order.

    Raises:
        InputError: jobs below 1, jobs and Dask together, no Dask, or no scheduler there; or what a chunk raises.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    if dask is not None:
        if jobs > 1:
            raise InputError("--jobs and --dask are two ways to share the work; name one")
        return run_on_dask(plan, chunks, dask)
    if jobs > 1:
        return run_on_processes(plan, chunks, jobs)
    return (answer_chunk(plan, chunk) for chunk in chunks)


def answer_chunk(plan: Plan, chunk: int) -> ChunkAnswer:
    """Predict the points of a chunk, or simulate its one."""
    return simulate_chunk(plan, chunk) if isinstance(plan, LoadPlan) else evaluate_chunk(plan, chunk)


def run_on_processes(plan: Plan, chunks: Iterable[int], jobs: int) -> Iterator[ChunkAnswer]:
    """Answer chunks on processes of their own, which get the plan once."""
    context = get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(jobs, context, start_worker, (plan,)) as pool:

        def submit(chunk: int) -> Any:
            with block_interrupts():  # it may start a worker
                return pool.submit(evaluate_own_chunk, chunk)

        yield from keep_under_way(submit, chunks, jobs * UNDER_WAY)


@contextmanager
def block_interrupts() -> Iterator[None]:
    """Keep an interrupt waiting; processes that are started meanwhile never get one: their parent tells them to end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which would let interrupts through, once it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_on_dask(plan: Plan, chunks: Iterable[int], address: str) -> Iterator[ChunkAnswer]:
    """Answer chunks on an existing Dask cluster, whose workers need Roofcast and no files.

    Raises:
        InputError: Dask is not installed, or there is no scheduler at the address.
    """
    try:
        import distributed
    except ImportError:
        raise InputError("--dask needs Dask: pip install 'roofcast[dask]'") from None
    check_address(address)
    try:
        client: Any = distributed.Client(address, timeout=DASK_TIMEOUT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {address}: no scheduler answers ({type(error).__name__})") from None
    if isinstance(plan, LoadPlan) and plan.digests:
        raise InputError("--dask: workers need no files, and this load is in one; --jobs takes it")
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"--dask {address}: the cluster has no workers")
        sent = client.scatter(plan, hash=False)
        yield from keep_under_way(
            lambda chunk: client.submit(answer_chunk, sent, chunk, pure=False), chunks, threads * UNDER_WAY
        )


def check_address(address: str) -> None:
    """Refuse what is no address, before a client of Dask waits for it.

    Raises:
        InputError: it is none.
    """
    matched = ADDRESS.fullmatch(address)
    if matched is None or (matched["port"] is not None and not 0 < int(matched["port"]) < 2**16):
        raise InputError(f"--dask: '{address}' is no address of a scheduler, such as tcp://10.0.0.1:8786")


def keep_under_way(submit: Callable[[int], Any], chunks: Iterable[int], most: int) -> Iterator[ChunkAnswer]:
    """Results of futures in the order of the chunks, at most so many of them at once."""
    waiting: deque[Any] = deque()
    try:
        for chunk in chunks:
            waiting.append(submit(chunk))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def start_worker(plan: Plan) -> None:
    """Keep the plan in a worker process, and end with the process that started it, however that ends."""
    _plan[:] = [plan]
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def evaluate_own_chunk(chunk: int) -> ChunkAnswer:
    """Answer a chunk of the plan that the process keeps."""
    return answer_chunk(_plan[0], chunk)


_plan: list[Plan] = []
