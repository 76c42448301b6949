"""When requests come: at times of their own, one for each that is done (a closed loop), or as a router gives them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from simulator.serving.state import Seconds


class Arrivals:
    """Requests in the order in which they come; ``arrival_s`` is filled in as they do."""

    def __init__(self, arrival_s: Seconds, in_flight: int | None = None) -> None:
        """``in_flight``: so many come at once at 0, and each that is done brings the next; the times play no part."""
        self.closed = in_flight is not None
        self.arrival_s = arrival_s.tolist() if in_flight is None else [0.0] * min(in_flight, len(arrival_s))
        self.total = len(arrival_s)
        self.taken = 0

    @property
    def next_s(self) -> float:
        """When the next one comes; infinite where none is known to come."""
        return float(self.arrival_s[self.taken]) if self.taken < len(self.arrival_s) else float("inf")

    @property
    def queued(self) -> int:
        """Requests that were given to the engine and have not come; none where they come at times of their own."""
        return 0

    def take(self, until_s: float, inclusive: bool) -> Sequence[int]:
        """Those that have come by a time: a request that follows from a result is not there when the result is."""
        find = bisect_right if inclusive else bisect_left
        first, self.taken = self.taken, find(self.arrival_s, until_s, self.taken)
        return range(first, self.taken)

    def note_done(self, now_s: float, request: int) -> None:
        """A request is done, which brings another in a closed loop."""
        if self.closed and len(self.arrival_s) < self.total:
            self.arrival_s.append(now_s)

    def times(self) -> Seconds:
        """When each came, seconds."""
        return np.array(self.arrival_s)


class Inbox(Arrivals):
    """What an engine of several sees of arrivals: those that were given to it, and when the next may come."""

    def __init__(self, place: int) -> None:
        """Nothing has come to the engine at this place among several."""
        super().__init__(np.zeros(0))
        self.place = place
        self.queue: deque[tuple[float, int]] = deque()
        self.horizon_s = math.inf  # nothing is given to any engine before
        self.tell: Callable[[int, float, int], None] = lambda place, now_s, request: None

    @property
    def next_s(self) -> float:
        """When the next one comes, or the first moment at which one may."""
        return self.queue[0][0] if self.queue else self.horizon_s

    @property
    def queued(self) -> int:
        """Requests that were given to the engine and that it has not seen."""
        return len(self.queue)

    def take(self, until_s: float, inclusive: bool) -> Sequence[int]:
        """Those that have come by a time."""
        taken = []
        while self.queue and (self.queue[0][0] < until_s or (inclusive and self.queue[0][0] == until_s)):
            taken.append(self.queue.popleft()[1])
        return taken

    def note_done(self, now_s: float, request: int) -> None:
        """A request is done."""
        self.tell(self.place, now_s, request)
