"""When requests come: at times of their own, or one for each that is done (a closed loop)."""

from __future__ import annotations

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

    def take(self, until_s: float, inclusive: bool) -> range:
        """Those that have come by a time: a request that follows from a result is not there when the result is."""
        first = self.taken
        while self.next_s < until_s or (inclusive and self.next_s == until_s):
            self.taken += 1
        return range(first, self.taken)

    def note_done(self, now_s: float) -> None:
        """A request is done, which brings another in a closed loop."""
        if self.closed and len(self.arrival_s) < self.total:
            self.arrival_s.append(now_s)

    def times(self) -> Seconds:
        """When each came, seconds."""
        return np.array(self.arrival_s)
