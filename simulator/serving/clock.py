"""What an engine asks of time: how long passes take, and which pass of a run ends after a moment."""

from __future__ import annotations

import math
from typing import Protocol

from simulator.serving.pass_table import Prompt
from simulator.serving.state import Counts


class Clock(Protocol):
    """What says how long passes take; ``PassTable`` is one."""

    def time(self, contexts: Counts, prompts: tuple[Prompt, ...] = ()) -> float:
        """Seconds of one pass."""
        ...

    def time_run(self, contexts: Counts, steps: int) -> float:
        """Seconds of decode passes one after the other."""
        ...


class ScaledClock:
    """Another clock whose decode passes take ``decode`` times as long, and what prompts add ``prefill`` times."""

    def __init__(self, clock: Clock, prefill: float, decode: float) -> None:
        self.clock, self.prefill, self.decode = clock, prefill, decode

    def time(self, contexts: Counts, prompts: tuple[Prompt, ...] = ()) -> float:
        """Seconds of one pass."""
        if not len(contexts):
            return self.prefill * self.clock.time(contexts, prompts)
        alone = self.clock.time(contexts)
        if not prompts:
            return self.decode * alone
        return self.decode * alone + self.prefill * (self.clock.time(contexts, prompts) - alone)

    def time_run(self, contexts: Counts, steps: int) -> float:
        """Seconds of decode passes one after the other."""
        return self.decode * self.clock.time_run(contexts, steps)


def find_pass(clock: Clock, contexts: Counts, until_s: float, most: int, pass_s: float) -> tuple[int, float]:
    """The first of up to ``most`` decode passes that ends after a time, and the seconds until then; else the last.

    ``pass_s``: about how long one takes, which is where the search begins; it goes on by interpolation.
    """
    low, low_s = 0, 0.0
    high, high_s = most + 1, math.inf
    tried = min(max(math.ceil(until_s / pass_s), 1), most)
    while True:
        tried_s = clock.time_run(contexts, tried)
        if tried_s > until_s:
            high, high_s = tried, tried_s
        else:
            low, low_s = tried, tried_s
        if high - low <= 1 or low == most:
            return (most, low_s) if low == most else (high, high_s)
        mean_s = (tried_s / tried) if high > most or not low else (high_s - low_s) / (high - low)
        # What lies next to the last try is most often the end of the search.
        tried = min(max(low + math.ceil((until_s - low_s) / mean_s), low + 1), high - 1, most)
