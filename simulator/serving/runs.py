"""How many decode passes follow one another unchanged, and how long they take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simulator.serving.clock import find_pass
from simulator.serving.state import Counts

if TYPE_CHECKING:
    from simulator.serving.engine import Engine


def choose_run(engine: Engine, timed: Counts, may_change: bool) -> tuple[int, float, float]:
    """Decode passes until something may change, their seconds, and where passes are chosen ahead those before the last.

    ``timed``: the tokens in the cache of each sequence that runs.
    """
    state, clock, passes = engine.state, engine.clock, 1
    # What waits may enter with the next pass: unless it is blocked, by nothing that just changes.
    stays = not state.waiting or (state.blocked and not may_change)
    if engine.drafts is None and state.partial is None and stays:
        passes = engine.policy.count_steps(state)
    if passes == 1:
        return 1, clock.time(timed), 0.0
    next_s = engine.arrivals.next_s
    if not state.blocked and next_s < math.inf:
        # Up to the pass in which the next request comes; where a pass is chosen ahead, one more runs without it.
        found, seconds = find_pass(clock, timed, next_s - engine.now_s, passes, engine.pass_s)
        engine.pass_s = seconds / found
        if engine.asynchronous and found < passes and next_s >= engine.now_s:
            return found + 1, clock.time_run(timed, found + 1), seconds
        passes = found
    else:
        seconds = clock.time_run(timed, passes)
    return passes, seconds, clock.time_run(timed, passes - 1) if engine.asynchronous else 0.0
