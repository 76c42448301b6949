"""Seconds of one call, repeated until the median is stable or the time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
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
FLUSHED_CACHES = 16  # last-level caches that are read between two samples
LEAST_FLUSH_BYTES = 64 << 20
MOST_FLUSHES = 64  # times, for the device to be busy until the host has issued all calls of a sample
CUDA_BATCH = 10  # samples between two waits for the device
SPAN_S = 0.5e-3  # that the calls between two events should last
MOST_CALLS = 64  # between two events
OVERHEAD_CALLS = 16  # tiny ones, and twice as many: what is the same for both is not the calls'
OVERHEAD_SAMPLES = 15
GRAPH_WARM_UP = 3
HOST_CALLS = 20  # calls that a host's time is the mean of: far fewer than a device queues


def measure_case(case: Case, bench: Bench, limit_s: float) -> Timing:
    """Prepare and time one case, within about ``limit_s`` seconds after its first call."""
    call = case.prepare(bench)
    with torch.inference_mode():
        if bench.device.type == "cpu" and case.timed != "itself":
            seconds = time_on_cpu(call, limit_s)
        else:
            if bench.captures_graphs and case.timed == "pass" and not case.captures:
                call = capture_graphs([call])[0]
            seconds = collect(draw_samples(case, call, bench), limit_s, time.monotonic)
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
    """Samples between events on the device, each the mean of many calls with other operands, past the caches.

    Only the kernels count: what lies between two events besides the calls is taken off, and divided by many calls.
    """
    overhead_s = measure_overhead(bench) if bench.overhead_s is None else bench.overhead_s
    flush = Flush(bench)
    call()
    single_s = max(time_between(call, flush) - overhead_s, 0.0)
    calls = min(max(math.ceil(SPAN_S / max(single_s, SPAN_S / MOST_CALLS)), 1), MOST_CALLS)
    issue = repeat_call(call, calls, bench)
    while True:
        pairs = [record_pair(issue, flush) for _ in range(CUDA_BATCH)]
        torch.cuda.synchronize(bench.device)
        yield [max(start.elapsed_time(end) / 1e3 - overhead_s, 1e-9) / calls for start, end in pairs]


def measure_overhead(bench: Bench) -> float:
    """Seconds between two events besides the calls, from n and 2 n calls of the smallest kernel; kept by the bench."""
    x = torch.zeros(64, device=bench.device)
    flush = Flush(bench)
    medians = []
    for calls in (OVERHEAD_CALLS, 2 * OVERHEAD_CALLS):
        issue = repeat_call(lambda: x.add_(1.0), calls, bench)
        medians.append(float(np.median([time_between(issue, flush) for _ in range(OVERHEAD_SAMPLES)])))
    bench.overhead_s = max(2 * medians[0] - medians[1], 0.0)
    return bench.overhead_s


def measure_empty_pair(bench: Bench) -> float:
    """Seconds between two events with nothing between them."""
    flush = Flush(bench)
    return float(np.median([time_between(lambda: None, flush) for _ in range(OVERHEAD_SAMPLES)]))


def repeat_call(call: Callable[[], object], calls: int, bench: Bench) -> Callable[[], object]:
    """Several calls at once: issued one after the other, or as one graph where the bench captures graphs."""

    def issue() -> None:
        for _ in range(calls):
            call()

    return capture_graphs([issue])[0] if bench.captures_graphs else issue


class Flush:
    """Reading enough memory for nothing to be left of it in the caches, nor anything that has yet to be written back.

    It also keeps the device busy until the host has issued what is to be timed: ``times`` grows until that is so.
    """

    def __init__(self, bench: Bench) -> None:
        size = max(int(FLUSHED_CACHES * bench.l2_bytes), LEAST_FLUSH_BYTES)
        self.numbers = torch.zeros(size // 4, device=bench.device)
        self.times = 1

    def __call__(self) -> None:
        for _ in range(self.times):
            self.numbers.sum()


def record_pair(issue: Callable[[], object], flush: Flush) -> tuple[torch.cuda.Event, torch.cuda.Event]:
    """Two events around calls that the device never waits for: else they are issued again behind a longer flush."""
    while True:
        start, end = make_event(), make_event()
        flush()
        start.record()
        issue()
        end.record()
        has_begun: bool = start.query()  # type: ignore[no-untyped-call]
        if not has_begun or flush.times >= MOST_FLUSHES:
            return start, end
        flush.times *= 2


def time_between(issue: Callable[[], object], flush: Flush) -> float:
    """Seconds between two events around calls."""
    start, end = record_pair(issue, flush)
    torch.cuda.synchronize(flush.numbers.device)
    return float(start.elapsed_time(end)) / 1e3


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


def capture_graphs(calls: Sequence[Callable[[], object]]) -> list[Callable[[], object]]:
    """Each call as a CUDA graph, whose replay costs the host one launch; the graphs share their memory."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(GRAPH_WARM_UP):
            calls[0]()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graphs: list[torch.cuda.CUDAGraph] = []
    for call in calls:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=graphs[0].pool() if graphs else None):
            call()
        graphs.append(graph)
    return [graph.replay for graph in graphs]
