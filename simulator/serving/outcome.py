"""What a load comes to: statistics over the requests, rates, whether the engine keeps up, and the run over time."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.frozen import frozen_dataclass
from simulator.numbers import sort_distinct
from simulator.serving.record import Record
from simulator.serving.state import Counts, Seconds

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
STATISTICS = ("mean", *QUANTILES)
LATENCIES = ("ttft_s", "tpot_s", "itl_s", "e2e_s")
PARTS = 10  # of the requests, whose differences say how far a statistic of all may be off


@frozen_dataclass
class Statistics:
    """One latency over the requests of a run (``itl_s``: over their tokens), seconds; 90% intervals where known."""

    mean: float
    p50: float
    p90: float
    p99: float
    mean_low: float | None = None
    mean_high: float | None = None
    p50_low: float | None = None
    p50_high: float | None = None
    p90_low: float | None = None
    p90_high: float | None = None
    p99_low: float | None = None
    p99_high: float | None = None


class Outcome(NamedTuple):
    """One run: a value a request, gaps between tokens with how often each was, and the engine over time.

    ``over_time`` has the columns seconds, running, waiting and blocks in use. Of the mean replica, ``busy_s`` are the
    seconds of its passes, and ``reading_s`` of them what prompts added to the decoding beside them.
    """

    arrival_s: Seconds
    admitted_s: Seconds
    first_s: Seconds
    last_s: Seconds
    input_tokens: Counts
    output_tokens: Counts
    preemptions: Counts
    gap_s: Seconds
    gap_counts: Counts
    over_time: NDArray[np.float64]
    passes: int
    busy_s: float
    reading_s: float

    @property
    def ttft_s(self) -> Seconds:
        """Seconds from the arrival of each request to its first token."""
        return self.first_s - self.arrival_s

    @property
    def e2e_s(self) -> Seconds:
        """Seconds from the arrival of each request to its last token."""
        return self.last_s - self.arrival_s

    @property
    def tpot_s(self) -> Seconds:
        """Mean seconds between the output tokens of each request; NaN of one token."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.output_tokens > 1, (self.last_s - self.first_s) / (self.output_tokens - 1), np.nan)

    @property
    def duration_s(self) -> float:
        """Seconds from the first arrival to the last token."""
        return float(self.last_s.max() - self.arrival_s.min())

    @property
    def requests_per_s(self) -> float:
        """Requests that were done, by the duration."""
        return len(self.last_s) / self.duration_s

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens, by the duration."""
        return float(self.output_tokens.sum()) / self.duration_s

    def summarise(self) -> dict[str, float]:
        """Every statistic of every latency, and the rates, by name."""
        found: dict[str, float] = {}
        for name in LATENCIES:
            values = self.summarise_gaps() if name == "itl_s" else summarise(getattr(self, name))
            found |= {f"{name}_{statistic}": value for statistic, value in values.items()}
        return found | {"output_tokens_per_s": self.output_tokens_per_s, "requests_per_s": self.requests_per_s}

    def summarise_gaps(self) -> dict[str, float]:
        """Statistics over all tokens after the first of each request."""
        if not len(self.gap_s):
            return dict.fromkeys(STATISTICS, math.nan)
        order = np.argsort(self.gap_s, kind="stable")
        reached = np.cumsum(self.gap_counts[order])
        places = {name: np.searchsorted(reached, share * reached[-1]) for name, share in QUANTILES.items()}
        mean = float(np.dot(self.gap_s, self.gap_counts) / reached[-1])
        return {"mean": mean, **{name: float(self.gap_s[order[place]]) for name, place in places.items()}}

    def count_good(self, limits: dict[str, float]) -> int:
        """Requests that hold every limit; a limit on time per output token holds where there is one token."""
        held = np.ones(len(self.last_s), dtype=bool)
        for name, limit in limits.items():
            values = getattr(self, name)
            held &= np.isnan(values) | (values <= limit)
        return int(held.sum())

    def find_errors(self) -> dict[str, float]:
        """Standard error of the logarithm of each statistic that more requests of the same load would take away."""
        order = np.argsort(self.arrival_s, kind="stable")
        parts = np.array_split(order, PARTS)
        found: dict[str, float] = {}
        for name in ("ttft_s", "tpot_s", "e2e_s"):
            values = getattr(self, name)
            rows = [summarise(values[part]) for part in parts if len(part) > 1]
            for statistic in STATISTICS:
                logs = np.log([row[statistic] for row in rows])
                logs = logs[np.isfinite(logs)]
                enough = len(logs) > 1
                found[f"{name}_{statistic}"] = float(np.std(logs, ddof=1) / math.sqrt(len(logs))) if enough else 0.0
        return found

    @property
    def prefill_share(self) -> float:
        """Share of the time of a replica that prompts take."""
        return self.reading_s / self.duration_s

    @property
    def decode_share(self) -> float:
        """Share of the time of a replica in which sequences decode, without what prompts add."""
        return (self.busy_s - self.reading_s) / self.duration_s

    @property
    def mean_running(self) -> float:
        """Sequences that run, over the time in which any does."""
        spans, running = self.find_spans(1)
        active = running > 0
        return float(np.average(running[active], weights=spans[active])) if active.any() else 0.0

    @property
    def mean_waiting(self) -> float:
        """Requests in the queue, over time."""
        spans, waiting = self.find_spans(2)
        return float(np.average(waiting, weights=spans)) if spans.sum() else 0.0

    def find_spans(self, column: int) -> tuple[Seconds, Seconds]:
        """How long the engine stood as the timeline says, and one of its columns."""
        return np.diff(self.over_time[:, 0]), self.over_time[:-1, column]


def summarise(values: Seconds) -> dict[str, float]:
    """Mean and quantiles of what is defined, as ``np.quantile`` has them, which loads ``numpy.ma`` for it."""
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return dict.fromkeys(STATISTICS, math.nan)
    places = np.array(list(QUANTILES.values())) * (len(known) - 1)
    quantiles = np.interp(places, np.arange(len(known)), known)
    return {"mean": float(known.mean()), **dict(zip(QUANTILES, map(float, quantiles), strict=True))}


def gather(
    records: list[tuple[NDArray[np.int64], Seconds, Record, Counts]], inputs: Counts, outputs: Counts
) -> Outcome:
    """One outcome of the records of all replicas: of each its requests, their arrivals and their preemptions."""
    columns: dict[str, Any] = {name: np.full(len(inputs), np.nan) for name in ("arrival", "admitted", "first", "last")}
    preemptions = np.zeros(len(inputs), dtype=np.int64)
    for places, arrival_s, record, preempted in records:
        columns["arrival"][places] = arrival_s
        columns["admitted"][places], columns["first"][places] = record.admitted_s, record.first_s
        columns["last"][places] = record.last_s
        preemptions[places] = preempted
    gaps = [record.gaps for _, _, record, _ in records]
    return Outcome(
        columns["arrival"],
        columns["admitted"],
        columns["first"],
        columns["last"],
        inputs,
        outputs,
        preemptions,
        np.concatenate([gap for gap, _ in gaps]),
        np.concatenate([count for _, count in gaps]),
        add_timelines([record.over_time for _, _, record, _ in records]),
        sum(record.passes for _, _, record, _ in records),
        *(sum(getattr(record, name) for _, _, record, _ in records) / len(records) for name in ("busy_s", "reading_s")),
    )


def add_timelines(lines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Replicas together, at every moment of any of them."""
    lines = [line for line in lines if len(line)]  # a replica to which no request went has none
    if len(lines) == 1:
        return lines[0]
    moments = sort_distinct(np.concatenate([line[:, 0] for line in lines]))
    total = np.zeros((len(moments), 4))
    total[:, 0] = moments
    for line in lines:
        places = np.searchsorted(line[:, 0], moments, side="right") - 1
        total[:, 1:] += np.where(places[:, np.newaxis] >= 0, line[np.maximum(places, 0), 1:], 0.0)
    return total
