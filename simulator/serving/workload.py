"""The load: when requests come, and how long their prompts and outputs are.

A closed loop keeps ``concurrency`` requests in flight. An open loop sends ``request_rate`` a second: the time between
two is a gamma variable of shape ``burstiness``, so 1 is a Poisson process, less comes in bursts and infinity is a clock
(as ``vllm bench serve`` has it). A trace says all of it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from simulator.csvfile import MOST_COUNT
from simulator.errors import InputError
from simulator.frozen import frozen_dataclass
from simulator.serving.arrivals import Arrivals
from simulator.serving.lengths import Lengths, draw_lengths, parse_lengths
from simulator.serving.state import Requests, Seconds
from simulator.serving.trace import Trace, read_trace

LOADS = ("concurrency", "request_rate")  # a number that says a load; else a trace does
MOST_REQUESTS = 1_000_000
LEAST_RATE = 1e-9  # requests a second, and the least shape of the gamma variable between two
LONGEST_S = 1e9  # over which requests come: a clock that counts so far still tells passes apart
REQUESTS_IN_FLIGHT = 10  # requests of a closed loop for each in flight, where not told
USUAL_REQUESTS = 1000  # of an open loop, where not told


@frozen_dataclass
class Load:
    """What comes, as it was asked: exactly one of ``concurrency``, ``request_rate`` and ``trace`` is there."""

    prompt_tokens: int = 512
    output_tokens: int = 128
    lengths: Lengths = None
    concurrency: int | None = None
    request_rate: float | None = None  # infinite: all at once
    burstiness: float = 1.0
    trace: Path | None = None
    num_requests: int | None = None
    seed: int = 0

    @property
    def count(self) -> int:
        """Requests of a loop."""
        if self.num_requests is not None:
            return self.num_requests
        return USUAL_REQUESTS if self.concurrency is None else REQUESTS_IN_FLIGHT * self.concurrency

    def describe(self) -> str:
        """The load in words."""
        if self.trace is not None:
            return f"trace {self.trace.name}"
        if self.concurrency is not None:
            return f"{self.concurrency} in flight"
        if math.isinf(self.request_rate or 0.0):
            return "all at once"
        kinds = {1.0: "Poisson", math.inf: "evenly"}
        return f"{self.request_rate:g} requests/s, {kinds.get(self.burstiness, f'burstiness {self.burstiness:g}')}"


def make_load(
    prompt_tokens: int, output_tokens: int, lengths: Lengths | str, trace: str | Path | None = None, **asked: Any
) -> Load:
    """A load as people write it: its lengths may be text, and its trace a name.

    Raises:
        InputError: lengths that are none.
    """
    drawn = parse_lengths(lengths) if isinstance(lengths, str) else lengths
    return Load(prompt_tokens, output_tokens, drawn, trace=None if trace is None else Path(trace), **asked)


def check_load(load: Load) -> None:
    """Refuse a load that says nothing, two things, or what cannot be.

    Raises:
        InputError: naming what is wrong.
    """
    given = [name for name in (*LOADS, "trace") if getattr(load, name) is not None]
    if len(given) != 1:
        named = " and ".join(given) or "nothing"
        raise InputError(f"a load is one of concurrency, request_rate and trace; given: {named}")
    check_count("concurrency", load.concurrency)
    check_count("num_requests", load.num_requests)
    check_count("prompt_tokens", load.prompt_tokens)
    check_count("output_tokens", load.output_tokens)
    for name in ("request_rate", "burstiness"):
        value = getattr(load, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InputError(f"{name} is {value}; it must be a number above 0, or inf")
        if value < LEAST_RATE:
            raise InputError(f"{name} is {value}; it must be at least {LEAST_RATE:g}, or inf")
    if isinstance(load.seed, bool) or not isinstance(load.seed, int) or load.seed < 0:
        raise InputError(f"seed is {load.seed}; it must be a whole number of at least 0")
    if load.trace is not None and load.lengths is not None:
        raise InputError("a trace says how long requests are; leave out lengths")
    if load.count > MOST_REQUESTS:
        raise InputError(f"{load.count} requests are more than {MOST_REQUESTS:,}")


def check_count(name: str, value: Any) -> None:
    """Refuse what is not a whole number of at least 1, or past what anything is counted to.

    Raises:
        InputError: with the name.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} is {value}; it must be a whole number of at least 1")
    if value > MOST_COUNT:
        raise InputError(f"{name} is above {MOST_COUNT}")


def draw_requests(load: Load) -> tuple[Requests, Seconds]:
    """Requests with the times at which they come, the same ones for the same seed.

    Raises:
        InputError: a load, a file of lengths or a trace that is wrong.
    """
    requests, arrival_s = draw_arrivals(load)
    if arrival_s[-1] > LONGEST_S:
        raise InputError(f"the requests come over {arrival_s[-1]:.3g} s, more than {LONGEST_S:g}")
    return requests, arrival_s


def draw_arrivals(load: Load) -> tuple[Requests, Seconds]:
    """The same, however long they take to come."""
    check_load(load)
    if load.trace is not None:
        return start_at_zero(read_trace(load.trace, load.num_requests))
    lengths, times = (np.random.default_rng((load.seed, part)) for part in (0, 1))
    requests = draw_lengths(load.prompt_tokens, load.output_tokens, load.lengths, load.count, lengths)
    if load.request_rate is None or math.isinf(load.request_rate):
        return requests, np.zeros(load.count)
    mean_s = 1 / load.request_rate
    if math.isinf(load.burstiness):
        gaps = np.full(load.count, mean_s)
    else:
        gaps = times.gamma(load.burstiness, mean_s / load.burstiness, load.count)
    gaps[0] = 0.0
    return requests, np.cumsum(gaps)


def start_at_zero(trace: Trace) -> tuple[Requests, Seconds]:
    """The requests of a trace, which begins at 0."""
    return trace.requests, trace.arrival_s - trace.arrival_s[0]


def start_arrivals(load: Load, arrival_s: Seconds, in_flight: int | None) -> Arrivals:
    """The requests as they come to one engine, which keeps ``in_flight`` of a closed loop."""
    return Arrivals(arrival_s, None if load.concurrency is None else in_flight)
