"""Seconds of one call, repeated until the median is stable or the time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer

from calibration.measure.benchmarks.bench import Bench, Case, Timing

PRECISION = 0.02  # relative standard error of the median at which a case is done
FEWEST = 5  # samples before the scatter means something
MOST = 1000
NORMAL_QUARTILES = 1.349  # interquartile range of a normal distribution, in standard deviations
MEDIAN_ERROR = 1.2533  # standard error of a median of n normal samples, in standard deviations over sqrt(n)
SHORTEST_S = 1e-3  # that torch's timer takes as a limit
FLUSHED_CACHES = 16  # last-level caches overwritten between two calls: long enough to issue the call meanwhile
CUDA_BATCH = 10  # calls between two looks at the events
GRAPH_WARM_UP = 3
HOST_CALLS = 20  # calls that a host's time is the mean of: far fewer than a device queues


def measure_case(case: Case, bench: Bench, limit_s: float) -> Timing:
    """Prepare and time one case, within about ``limit_s`` seconds after its first call."""
    call = case.prepare(bench)
    with torch.inference_mode():
        if bench.device.type == "cpu" and case.timed != "itself":
            seconds = time_on_cpu(call, limit_s)
        else:
            if bench.captures_graphs and case.timed in ("kernel", "pass"):
                call = capture_graph(call)
            seconds = collect(draw_samples(case, call, bench), limit_s)
    return scale_timing(summarise(seconds), case.calls)


def draw_samples(case: Case, call: Callable[[], object], bench: Bench) -> Iterator[list[float]]:
    """Endless lists of samples, seconds, in the way that the case is timed."""
    if case.timed == "itself":
        return iter(lambda: call_itself(call), None)
    if case.timed == "kernel":
        return time_on_cuda(call, bench)
    return time_by_clock(call, bench, 1 if case.timed == "pass" else HOST_CALLS)


def call_itself(call: Callable[[], object]) -> list[float]:
    """Seconds from a call that times itself."""
    seconds = call()
    assert isinstance(seconds, list)
    return seconds


def collect(samples: Iterator[list[float]], limit_s: float, clock: Callable[[], float] = time.monotonic) -> list[float]:
    """Take samples until the median is stable, the time is up or there are enough; the first list always."""
    start = clock()
    taken: list[float] = []
    for more in samples:
        taken += more
        if is_stable(taken) or len(taken) >= MOST or clock() - start >= limit_s:
            break
    return taken


def is_stable(seconds: list[float]) -> bool:
    """Whether the median is known to ``PRECISION``, by the quartiles."""
    if len(seconds) < FEWEST:
        return False
    timing = summarise(seconds)
    return MEDIAN_ERROR * timing.deviation_s <= PRECISION * timing.median_s * math.sqrt(timing.samples)


def summarise(seconds: list[float]) -> Timing:
    """Median, scatter by the quartiles, and count."""
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    return Timing(float(median), float((high - low) / NORMAL_QUARTILES), len(seconds))


def scale_timing(timing: Timing, calls: int) -> Timing:
    """The timing of one of ``calls`` equal parts."""
    return timing._replace(median_s=timing.median_s / calls, deviation_s=timing.deviation_s / calls)


class Stable(Exception):
    """Raised to end torch's timer early."""


def time_on_cpu(call: Callable[[], object], limit_s: float) -> list[float]:
    """Samples of torch's own timer, which runs a short call often enough for its clock, with all threads."""
    taken: list[float] = []

    def look(calls: int, seconds: float) -> None:
        taken.append(seconds / calls)
        if is_stable(taken) or len(taken) >= MOST:
            raise Stable

    timer: Any = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
    with suppress(Stable):
        timer.blocked_autorange(look, max(limit_s, SHORTEST_S))
    return taken


def time_on_cuda(call: Callable[[], object], bench: Bench) -> Iterator[list[float]]:
    """Samples between events on the device, the caches overwritten before each call."""
    flush = torch.empty(int(FLUSHED_CACHES * bench.l2_bytes), dtype=torch.uint8, device=bench.device)
    call()
    torch.cuda.synchronize(bench.device)
    while True:
        pairs = []
        for _ in range(CUDA_BATCH):
            start, end = make_event(), make_event()
            flush.zero_()  # long enough for the host to run ahead, so that no launch is waited for
            start.record()
            call()
            end.record()
            pairs.append((start, end))
        torch.cuda.synchronize(bench.device)
        yield [start.elapsed_time(end) / 1e3 for start, end in pairs]


def make_event() -> torch.cuda.Event:
    """An event that keeps its time."""
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event


def time_by_clock(call: Callable[[], object], bench: Bench, calls: int) -> Iterator[list[float]]:
    """Samples of the host's clock: of one call until the device is done, of several until the last is issued."""
    call()
    while True:
        torch.cuda.synchronize(bench.device)
        start = time.perf_counter()
        for _ in range(calls):
            call()
        if calls == 1:
            torch.cuda.synchronize(bench.device)
        yield [(time.perf_counter() - start) / calls]


def capture_graph(call: Callable[[], object]) -> Callable[[], object]:
    """The call as a CUDA graph, whose replay costs the host one launch."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        for _ in range(GRAPH_WARM_UP):
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay
