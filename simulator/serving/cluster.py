"""Several engines at once: replicas behind a router, and prefill and decode on devices of their own.

Engines are taken turn by turn, always the one whose clock is behind; a request that comes is given to one of them when
no clock is before its time any more. So a router sees every engine as it stands, a pass ahead at most, as a real one
does. Where prompts are read on devices of their own, the first token is made there, and the cache goes over the link
between the two groups (as between two stages of a pipeline), one request after the other, before the second is made.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from simulator.costs.footprint import count_kv_bytes
from simulator.costs.operators import Operator
from simulator.prediction import Question
from simulator.serving.arrivals import Inbox
from simulator.serving.engine import Engine, Progress
from simulator.serving.record import Record
from simulator.serving.state import Counts, Requests, Seconds
from simulator.timing.device import describe_device
from simulator.timing.passes import time_operator

# A router that looks for prefixes takes the least loaded replica all the same where the most loaded has so many
# requests more, and so many times as many (sglang-router 0.1: --balance-abs-threshold, --balance-rel-threshold).
FAR_MORE, FAR_TIMES = 32, 1.0001
MOST_BELOW = 0.5  # of a prompt in a cache, up to which it is not followed (--cache-threshold)


class Cluster:
    """Engines with one stream of requests; of those that only read prompts, ``reading`` are the first.

    ``choose`` is the router: it gives the place of an engine among those that may take a request.
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        inboxes: Sequence[Inbox],
        choose: Router,
        arrival_s: Seconds,
        outputs: Counts,
        in_flight: int | None,
        reading: int = 0,
        moving_s: Seconds | None = None,
    ) -> None:
        """Requests of a closed loop come as others are done; the first ``in_flight`` at once.

        ``moving_s``: how long the cache of each prompt is on its way from the engine that read it.
        """
        for inbox in inboxes:
            inbox.tell = self.note_done
        self.engines, self.inboxes, self.choose, self.outputs = engines, inboxes, choose, outputs
        self.reading, self.moving_s, self.in_flight = reading, moving_s, in_flight
        self.came_s = np.zeros(len(arrival_s)) if in_flight is not None else arrival_s.copy()
        self.placed = np.full((2, len(arrival_s)), -1)  # the engine of each request: that reads, and that decodes
        self.coming = [(float(time), request) for request, time in enumerate(self.came_s[: in_flight or None])]
        self.sent = len(self.coming)
        self.moving: list[tuple[float, int]] = []  # caches on their way, by the time at which they are there
        self.free_s = [0.0] * len(engines)  # when the link of each is free again
        self.done = 0

    def run(self, progress: Progress | None = None) -> None:
        """Run until every request is done."""
        while True:
            next_s = min(self.coming[0][0] if self.coming else math.inf, self.moving[0][0] if self.moving else math.inf)
            busy = [place for place, engine in enumerate(self.engines) if engine.load]
            behind = min(busy, key=lambda place: self.engines[place].now_s, default=None)
            if behind is None and next_s == math.inf:
                return
            if behind is None or next_s <= self.engines[behind].now_s:
                self.give(next_s)
                continue
            engine, inbox = self.engines[behind], self.inboxes[behind]
            # Another engine may end a request at any time, which brings the next or moves a cache: pass by pass then.
            alone = self.in_flight is None and not self.reading
            inbox.horizon_s = next_s if alone else engine.now_s - 1.0
            engine.turn()
            if progress is not None and self.done and self.done % 100 == 0:
                progress(self.done)

    def list_records(self) -> list[tuple[Counts, Seconds, Record, Counts]]:
        """Of each engine: the requests that it ended, when these came, its record of them and their preemptions."""
        last = np.where(self.placed[1] >= 0, self.placed[1], self.placed[0])
        found = []
        for place, engine in enumerate(self.engines):
            places = np.flatnonzero(last == place)
            lost = np.array([engine.state.preemptions.get(int(one), 0) for one in places], dtype=np.int64)
            found.append((places, self.came_s[places], engine.record.pick(places), lost))
        return found

    def give(self, now_s: float) -> None:
        """Give what comes now to an engine."""
        if self.moving and self.moving[0][0] == now_s:
            _, request = heapq.heappop(self.moving)
            self.put(request, now_s, range(self.reading, len(self.engines)), 1)
            return
        _, request = heapq.heappop(self.coming)
        several = range(self.reading) if self.reading else range(len(self.engines))
        self.put(request, now_s, several, 0)

    def put(self, request: int, now_s: float, several: range, stage: int) -> None:
        """Give a request to the engine that the router chooses among several."""
        place = several[self.choose(request, [self.engines[one] for one in several])]
        self.placed[stage, request] = place
        if stage == 1:
            engine, read_by = self.engines[place], self.engines[self.placed[0, request]].record
            engine.state.handed.add(request)
            engine.record.first_s[request] = read_by.first_s[request]
            engine.record.admitted_s[request] = read_by.admitted_s[request]
        self.inboxes[place].queue.append((now_s, request))

    def note_done(self, place: int, now_s: float, request: int) -> None:
        """A request is done on an engine: its cache moves on, or the next one of a closed loop comes."""
        if place < self.reading and self.outputs[request] > 1 and self.moving_s is not None:
            self.free_s[place] = max(self.free_s[place], now_s) + float(self.moving_s[request])
            heapq.heappush(self.moving, (self.free_s[place], request))
            return
        self.done += 1
        if self.in_flight is not None and self.sent < len(self.came_s):
            self.came_s[self.sent] = now_s
            heapq.heappush(self.coming, (now_s, self.sent))
            self.sent += 1


Router = Callable[[int, Sequence[Engine]], int]


def make_in_turn() -> Router:
    """Engines in turn, whatever they do."""
    turns: dict[int, int] = {}

    def choose(request: int, engines: Sequence[Engine]) -> int:
        key = id(engines[0])
        turns[key] = turns.get(key, -1) + 1
        return turns[key] % len(engines)

    return choose


def choose_least_loaded(request: int, engines: Sequence[Engine]) -> int:
    """The engine with the fewest requests, running or waiting; of equals the first."""
    loads = [engine.load for engine in engines]
    return loads.index(min(loads))


def choose_by_prefix(request: int, engines: Sequence[Engine]) -> int:
    """The engine whose cache has most of the prompt, where that is much of it and its load is not far above others'."""
    loads = [engine.load for engine in engines]
    far = max(loads) - min(loads) > FAR_MORE and max(loads) > FAR_TIMES * min(loads)
    if not far:
        found = [engine.state.pool.find(engine.state.find_chunks(request)) for engine in engines]
        best = max(range(len(engines)), key=lambda place: (found[place], -loads[place]))
        state = engines[best].state
        if found[best] * state.requests.chunk_tokens > MOST_BELOW * state.input[request]:
            return best
    return loads.index(min(loads))


IN_TURN = "round-robin"
ROUTERS: dict[str, Callable[[], Router]] = {
    IN_TURN: make_in_turn,
    "least-loaded": lambda: choose_least_loaded,
    "prefix-aware": lambda: choose_by_prefix,
}


def cut_outputs(requests: Requests) -> Requests:
    """The requests as the engine sees them that only reads their prompts: one token each."""
    ones = np.ones_like(requests.output_tokens)
    return Requests(requests.input_tokens, ones, requests.chunks, requests.chunk_tokens)


def time_transfers(question: Question, input_tokens: Counts) -> Seconds:
    """Seconds in which each device sends its share of the cache of a prompt to its like in another replica.

    A message as between two stages of a pipeline, on the link that two such groups of devices have.

    Raises:
        InputError: the data sheet has no such link.
    """
    a, d, stack, _ = question.work
    device = describe_device(question.hardware, replace(d, pp=2, dp=1), stack)
    sent = Operator("cache transfer", "send", message_bytes=count_kv_bytes(a, d, input_tokens.astype(np.float64)))
    return np.asarray(time_operator(sent, question.machine._replace(device=device)), dtype=np.float64)
