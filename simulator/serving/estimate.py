"""Serving under load without simulating it: statistics of a load in closed form, for many loads and limits at once.

A replica makes pass after pass: all decoding sequences add a token, and prompts that have come are read, beside them or
in a pass of their own (``curves``). Prompts come to a pass as Poisson variables do, of mean ``a``. Of ``n`` requests,

    T = step(n) + opening (1 - e^-a) + reading a,    a = X T,    X = n / (TTFT + (O - 1) T)

is a fixed point: the mean time of a pass and the requests a second that leave. What others add to the wait for one's
own pass, to that pass and to those that follow has a mean and a variance of the same kind.

Where prompts are read alone and come at any time, more passes than one may read them before decoding goes on
(``openings``), which takes the place of ``opening (1 - e^-a)``.

A closed loop has ``n = C``; those past the sequences that run at most wait their turn. Static batches are read together
and decode until the longest is done, where those that come wait.

An open loop comes and goes: as a queue whose server is shared and works at rate ``X(n)``, it holds ``n`` requests with
a probability in proportion to ``rate^n / (X(1) ... X(n))`` whatever the lengths (Cohen 1979, doi 10.1007/BF00264119),
and its mean time follows by Little's law. It is saturated where the rate is past ``X`` of as many as run at most.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError, unknown_name
from simulator.numbers import sort_distinct
from simulator.serving.curves import Array, Curves, Mix, interpolate
from simulator.serving.openings import count_openings
from simulator.serving.outcome import LATENCIES, STATISTICS

ROUNDS = 12  # of the fixed point, which halves its error in each
NORMAL = {"p50": 0.0, "p90": 1.2815515655446004, "p99": 2.3263478740408408}  # quantiles of the normal distribution
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
MOST_TOGETHER = 64  # prompts in a pass that a quantile is looked for among
KEPT = 2 / math.e  # share of the variance of n that its mean over a request keeps: its memory is a request long
NEVER = 1e-300
SINGLE = 32.0  # requests up to which each number is weighed


class Flow(NamedTuple):
    """A replica with so many requests, none of which waits for a place: seconds, and what a pass has of prompts.

    ``others``: 0 of a lone request, towards 1 of many. ``openings``: passes with prompts to one in which sequences
    decode. ``met``: mean prompts that add to the time to first token. ``dispersion``: their variance over it.
    """

    step_s: Array
    opening_s: Array
    reading_s: Array
    chunks: Array
    spread: Array
    pass_s: Array
    prompts: Array
    ttft_s: Array
    requests_per_s: Array
    others: Array
    openings: Array
    met: Array
    dispersion: Array


class Estimate(NamedTuple):
    """What loads come to, an array each; ``find`` takes the flat names of a simulation, as ``ttft_s_p99``.

    All of one replica: ``running`` and ``waiting`` are mean requests, ``prefill_share`` and ``decode_share`` shares of
    its time, ``requests_per_s`` what it serves and ``capacity_requests_per_s`` what it can.
    """

    flow: Flow
    mix: Mix
    ttft_s: Array
    tpot_s: Array
    queue_s: Array
    queue_chance: Array
    queue_drain: Array  # requests a second by which a queue shrinks
    wander: Array  # variance of the time of a pass as requests come and go
    requests_per_s: Array
    capacity_requests_per_s: Array
    running: Array
    waiting: Array
    saturated: NDArray[np.bool_]

    @property
    def e2e_s(self) -> Array:
        """Mean seconds of a request."""
        return self.ttft_s + self.later_s

    @property
    def later_s(self) -> Array:
        """Mean seconds of a request after its first token; 0 where it has no other."""
        return np.asarray(np.maximum(self.mix.output_tokens - 1, 0.0) * np.nan_to_num(self.tpot_s))

    @property
    def prefill_share(self) -> Array:
        """Share of the time in which prompts are read."""
        flow = self.flow
        opened = flow.opening_s * flow.openings / flow.pass_s
        return np.minimum(opened + flow.reading_s * self.requests_per_s, 1.0)

    @property
    def decode_share(self) -> Array:
        """Share of the time in which sequences decode and no prompt is read: in an open loop while there is any."""
        busy = np.where(self.queue_drain == 0, 1.0, -np.expm1(-self.running))
        return np.maximum(busy - self.prefill_share, 0.0)

    def find(self, name: str) -> Array:
        """A statistic by its flat name.

        Raises:
            InputError: there is none of that name.
        """
        latency, _, statistic = name.rpartition("_")
        if latency not in LATENCIES or statistic not in STATISTICS:
            raise unknown_name("statistic", name, [f"{one}_{other}" for one in LATENCIES for other in STATISTICS])
        if statistic == "mean":
            mean: Array = self.tpot_s if latency == "itl_s" else getattr(self, latency)
            return mean
        flow, z, share = self.flow, NORMAL[statistic], SHARES[statistic]
        within = flow.others * count_variance(flow)
        if latency == "itl_s":
            # Of a prompt in several passes each has a part, and no other prompt.
            together = find_poisson(flow.others * flow.prompts * flow.chunks, share)
            parts = np.where(flow.chunks > 1, np.minimum(together, 1.0), together)
            read_s = np.where(parts > 0, flow.opening_s, 0.0) + flow.reading_s * parts
            return flow.step_s + z * np.sqrt(self.wander) + read_s / flow.chunks
        if latency == "tpot_s":
            return self.tpot_s + z * np.sqrt(within / max(self.mix.passes, 1.0) + self.wander) / self.mix.made
        ttft_s = self.find_ttft(z, share)
        if latency == "ttft_s":
            return ttft_s
        passes, lengths = self.mix.passes, self.mix.output_spread
        variance = (self.later_s * lengths) ** 2 + passes * within + passes**2 * self.wander
        with np.errstate(invalid="ignore"):  # of what is saturated nothing is known
            moved = np.sqrt(z**2 * variance + (ttft_s - self.ttft_s) ** 2) * np.sign(z)
        whole_s: Array = np.where(self.saturated & np.isinf(self.ttft_s), np.inf, self.e2e_s + moved)
        return whole_s

    def find_ttft(self, z: float, share: float) -> Array:
        """A quantile of the time to first token: others' prompts, one's own length and a queue vary apart."""
        flow = self.flow
        met = find_poisson(flow.met, share)
        beyond = flow.reading_s * (met - flow.met) * np.sqrt(flow.dispersion)
        own = z * flow.spread * (flow.reading_s + flow.opening_s)
        moved = np.where(share > 0.5, np.hypot(np.maximum(beyond, 0.0), own), beyond)
        with np.errstate(divide="ignore", invalid="ignore"):
            queue_s = np.log(self.queue_chance / (1 - share)) / self.queue_drain
        late = np.where(self.queue_chance > 1 - share, queue_s, 0.0)
        closed = self.queue_drain == 0
        queue_s = np.where(closed, self.queue_s, np.where(self.saturated, np.inf, late))
        found: Array = self.ttft_s - self.queue_s_mean + moved + queue_s
        return found

    @property
    def queue_s_mean(self) -> Array:
        """Mean wait for a place, 0 where it has no end."""
        return np.where(np.isfinite(self.queue_s), self.queue_s, 0.0)


def find_poisson(mean: Array, share: float) -> Array:
    """A quantile of Poisson variables: the least number that is not passed with that probability."""
    mean = np.minimum(mean, MOST_TOGETHER / 2)
    term = np.exp(-mean)
    total, found = term.copy(), np.zeros_like(mean)
    for number in range(1, MOST_TOGETHER):
        found = np.where(total < share, number, found)
        term = term * mean / number
        total = total + term
    return found


def count_variance(flow: Flow) -> Array:
    """Variance of the seconds that prompts add to a pass."""
    a, opened = flow.prompts, np.exp(-flow.prompts)
    variance: Array = np.maximum(
        flow.reading_s**2 * a * (1 + flow.spread**2)
        + flow.opening_s**2 * opened * (1 - opened)
        + 2 * flow.opening_s * flow.reading_s * a * opened,
        0.0,
    )
    return variance


def settle(curves: Curves, mix: Mix, requests: Array, streams: bool = False) -> Flow:
    """The fixed point of the module docstring, of so many requests that follow from each other.

    ``streams``: they come at any time, and not as others are done.
    """
    n = np.asarray(requests, dtype=np.float64)
    if curves.scheduler.policy == "static":
        return settle_batch(curves, mix, n)
    others = np.maximum(n - 1, 0.0) / n
    opening_s, reading_s, alone_s, chunks, spread = (
        curves.read(one, n) for one in ("opening_s", "reading_s", "alone_s", "chunks", "spread")
    )
    step_s = curves.read("step_s", n)
    beside = chunks if curves.beside else 0.0
    pass_s = step_s + others * n * (opening_s + reading_s) / max(mix.output_tokens, 1.0)
    rate = n / ((mix.passes + 1) * pass_s + alone_s)
    ttft_s = alone_s
    for _ in range(ROUNDS):
        coming = rate * pass_s
        own_s = beside * step_s + opening_s + reading_s * (1 + others * coming)
        # A lone request finds the engine empty.
        ttft_s = (1 - others) * alone_s + others * (curves.ahead * pass_s + own_s)
        rate = n / (ttft_s + mix.passes * pass_s)
        decoding = np.clip(n - rate * ttft_s, 1.0, n)
        step_s = curves.read("step_s", decoding)
        openings, extra_s = add_prompts(curves, rate, step_s, opening_s, reading_s, pass_s, streams)
        pass_s = (pass_s + step_s + others * extra_s) / 2
    coming = rate * pass_s
    met = others * (curves.ahead + 1) * coming
    return Flow(
        step_s, opening_s, reading_s, chunks, spread, pass_s, coming, ttft_s, rate, others, openings, met,
        np.ones_like(coming),
    )  # fmt: skip


def add_prompts(
    curves: Curves, rate: Array, step_s: Array, opening_s: Array, reading_s: Array, pass_s: Array, streams: bool
) -> tuple[Array, Array]:
    """How many passes of prompts there are to one of decoding sequences, and the seconds that they add to it."""
    if streams and not curves.beside:
        alone = count_openings(rate, step_s, opening_s, reading_s)
        return alone.passes, alone.passes * alone.each_s
    coming = rate * pass_s
    openings: Array = -np.expm1(-coming)
    return openings, openings * opening_s + reading_s * coming


def settle_batch(curves: Curves, mix: Mix, requests: Array) -> Flow:
    """Static batches of so many in flight, a first token by Little's law.

    Where lengths differ, the last of a batch brings a request that finds the next one begun: a batch has all but one.
    The longest of ``n`` outputs is as of uniform lengths, ``(n - 1)/(n + 1)`` from their mean to the end of the range.
    """
    n = np.maximum(requests - (mix.output_spread > 0), 1.0)
    opening_s, reading_s, step_s, chunks, spread = (
        curves.read(one, n) for one in ("opening_s", "reading_s", "step_s", "chunks", "spread")
    )
    longest = mix.passes * (1 + math.sqrt(3) * mix.output_spread * (n - 1) / (n + 1))
    rate = n / (opening_s + n * reading_s + longest * step_s)
    ttft_s = requests / rate - mix.passes * step_s
    none = np.zeros_like(rate)
    return Flow(
        step_s, opening_s, reading_s, chunks, spread, step_s, none, ttft_s, rate, none + 1, none, none, none + 1
    )


def find_first_ttft(curves: Curves, requests: Array) -> Array:
    """Mean time to first token of so many that come at once to an empty replica, which reads as many as have room."""
    n = np.asarray(requests, dtype=np.float64)
    together = np.minimum(curves.room, n)
    lone = np.ones_like(n)
    pass_s = curves.read("opening_s", lone) + together * curves.read("reading_s", lone)
    return np.asarray(pass_s * (n / together + 1) / 2)


def settle_open(curves: Curves, met: Array, rate: Array) -> Flow:
    """A replica in which a request meets so many others, at a rate that does not follow from them."""
    n = met + 1
    others = met / n
    opening_s, reading_s, alone_s, chunks, spread = (
        curves.read(one, n) for one in ("opening_s", "reading_s", "alone_s", "chunks", "spread")
    )
    step_s = curves.read("step_s", n)
    pass_s = step_s + 0.0 * rate
    for _ in range(2 * ROUNDS):
        openings, extra_s = add_prompts(curves, rate, step_s, opening_s, reading_s, pass_s, streams=True)
        pass_s = np.minimum((pass_s + step_s + extra_s) / 2, 1e6 * step_s)
    busy = np.minimum(rate * reading_s, 0.99)
    coming = rate * pass_s
    if curves.beside:
        # A moment falls into a long pass rather than a short one: E[T^2] / E[T].
        longer_s = pass_s + rate * reading_s**2 * (1 + spread**2) / (1 - busy**2)
        next_s = step_s + opening_s * -np.expm1(-rate * longer_s) + reading_s * rate * longer_s
        own_s, beside = chunks * step_s + opening_s + reading_s * (1 + coming), coming
    else:
        each_s = extra_s / np.maximum(openings, NEVER)
        squared_s = each_s**2 + reading_s**2 * (1 + spread**2) * coming / np.maximum(openings, NEVER)
        longer_s = (step_s**2 + openings * squared_s) / pass_s
        next_s = pass_s / (1 + openings)
        beside = rate * longer_s
        own_s = opening_s + reading_s * (1 + beside)
    ttft_s = (1 - others) * alone_s + others * (longer_s / 2 + (curves.ahead - 1) * next_s + own_s)
    joined = others * (rate * longer_s / 2 + (curves.ahead - 1) * rate * longer_s + beside)
    return Flow(
        step_s, opening_s, reading_s, chunks, spread, pass_s, coming, ttft_s, rate + 0.0 * pass_s, others, openings,
        joined, 1 / (1 - busy**2),
    )  # fmt: skip


def estimate_closed(curves: Curves, mix: Mix, concurrency: Array, most: Array) -> Estimate:
    """Closed loops of so many requests in flight in a replica that runs at most so many."""
    running = np.minimum(concurrency, most)
    flow = settle(curves, mix, running)
    none = np.zeros_like(flow.requests_per_s)
    queue_s = (concurrency - running) / flow.requests_per_s
    tpot_s = flow.pass_s / mix.made if mix.passes else none + math.nan
    capacity = settle(curves, mix, np.asarray(most, dtype=np.float64)).requests_per_s
    return Estimate(
        flow, mix, flow.ttft_s + queue_s, tpot_s, queue_s, none, none, none, flow.requests_per_s, capacity + none,
        running + none, concurrency - running + none, np.broadcast_to(concurrency > most, none.shape),
    )  # fmt: skip


def estimate_open(curves: Curves, mix: Mix, rate: Array, most: Array) -> Estimate:
    """Open loops of so many requests a second, a Poisson process, to a replica that runs at most so many.

    Raises:
        InputError: static batches, of whose open loops nothing is known in closed form.
    """
    if curves.scheduler.policy == "static":
        raise InputError("static batches have no steady state of an open loop; simulate them")
    limit = np.asarray(most, dtype=np.float64)
    numbers, weight = choose_numbers(limit)
    flow = settle(curves, mix, numbers, streams=True)
    served = flow.requests_per_s[..., np.newaxis, :]
    shape = np.broadcast_shapes((*flow.requests_per_s.shape[:-1], 1), rate.shape, limit.shape)
    limit, rates = (np.broadcast_to(one, shape)[..., np.newaxis] for one in (limit, rate))
    logs = np.cumsum(weight * np.log(rates / served), axis=-1)
    inside = np.where(numbers <= limit, logs, -np.inf)
    place = np.searchsorted(numbers, limit)
    last = read_at(served, place, shape)
    saturated = rate >= last
    load = np.minimum(rate / last, 1 - 1e-9)
    largest = np.maximum(inside.max(axis=-1), 0.0)[..., np.newaxis]
    weights = np.exp(inside - largest)
    full = read_at(weights, place, shape)
    beyond = full * load / (1 - load)
    weights = weight * weights
    total = np.exp(-largest[..., 0]) + weights.sum(axis=-1) + beyond
    shares, late, limit = weights / total[..., np.newaxis], beyond / total, limit[..., 0]
    running = np.where(saturated, limit, (shares * numbers).sum(axis=-1) + late * limit)
    away = np.sqrt(np.maximum((shares * numbers**2).sum(axis=-1) + late * limit**2 - running**2, 0.0))
    waiting = np.where(saturated, np.inf, late / (1 - load))
    offered = np.minimum(rate, last)
    seen = settle_open(curves, np.minimum(running, limit - 1.0), offered)
    ends = (interpolate(numbers, flow.pass_s, np.clip(running + one, 1.0, numbers[-1])) for one in (away, -away))
    wander = KEPT * ((next(ends) - next(ends)) / 2) ** 2
    queue_s = np.where(saturated, np.inf, waiting / rate)
    tpot_s = np.full(shape, math.nan)
    if mix.passes:
        tpot_s = np.maximum((running / offered - seen.ttft_s) / mix.passes, 0.9 * seen.step_s) / mix.made
    chance = np.where(saturated, 1.0, full / total + late)
    drain = np.maximum(last - rate, NEVER)
    return Estimate(
        seen, mix, seen.ttft_s + queue_s, tpot_s, queue_s, chance, drain, wander, offered, last, running, waiting,
        saturated,
    )  # fmt: skip


def choose_numbers(most: Array) -> tuple[Array, Array]:
    """Numbers of requests to weigh, all of the first, then ever fewer, each for as many as there are since the last."""
    top = float(np.max(most))
    many = np.geomspace(SINGLE, max(top, SINGLE), 2 + int(12 * max(math.log2(max(top, SINGLE) / SINGLE), 0.0)))
    numbers = sort_distinct(np.concatenate([np.arange(1.0, SINGLE + 1), np.round(many), np.ravel(most)]))
    numbers = numbers[numbers <= top]
    return numbers, np.diff(numbers, prepend=0.0)


def read_at(values: Array, place: NDArray[np.intp], shape: tuple[int, ...]) -> Array:
    """Values along the last axis at places of it."""
    known = np.broadcast_to(values, (*shape, values.shape[-1]))
    return np.asarray(np.take_along_axis(known, place, -1)[..., 0])
