"""What a run leaves behind: when each request was admitted, began to answer and was done, and the engine over time."""

from __future__ import annotations

import math
from copy import copy

import numpy as np
from numpy.typing import NDArray

from simulator.serving.state import Counts, Seconds, State


class Record:
    """Times of requests, gaps between output tokens, and where the engine stood before each turn of its loop."""

    def __init__(self, requests: int) -> None:
        """Nothing has happened."""
        self.admitted_s = np.full(requests, np.nan)
        self.first_s = np.full(requests, np.nan)
        self.last_s = np.full(requests, np.nan)
        self.gap_s: list[float] = []  # between tokens of one request
        self.gap_counts: list[int] = []  # how many tokens came after each gap
        self.other_gaps: list[Seconds] = []  # of passes before which sequences had waited for different times
        self.timeline: list[tuple[float, int, int, int]] = []  # seconds, running, waiting, blocks used
        self.passes = 0
        self.busy_s = 0.0
        self.reading_s = 0.0  # of it what prompts added to the decoding beside them
        self.token_s = 0.0  # when the decoding sequences made their last tokens
        self.own_s: list[float] | None = None  # the same of each, where some sat out the last pass
        self.paused: dict[int, float] = {}  # the same of preempted requests

    @property
    def gaps(self) -> tuple[Seconds, Counts]:
        """All gaps between output tokens, and how often each was."""
        others = np.concatenate(self.other_gaps) if self.other_gaps else np.zeros(0)
        counts = np.concatenate([np.array(self.gap_counts, dtype=np.int64), np.ones(len(others), dtype=np.int64)])
        return np.concatenate([np.array(self.gap_s, dtype=np.float64), others]), counts

    @property
    def over_time(self) -> NDArray[np.float64]:
        """The timeline; shape (moments, 4)."""
        return np.array(self.timeline, dtype=np.float64).reshape(-1, 4)

    def note_state(self, now_s: float, state: State) -> None:
        """Where the engine stands before its next turn."""
        running = len(state.ids) + (state.partial is not None)
        self.timeline.append((now_s, running, len(state.waiting), state.pool.used))

    def note_admitted(self, request: int, now_s: float) -> None:
        """A part of a prompt is about to be read for the first time."""
        if math.isnan(self.admitted_s[request]):
            self.admitted_s[request] = now_s

    def note_preempted(self, before: Counts, after: Counts) -> None:
        """Of the sequences that decoded before, some were put back to the queue."""
        kept = set(after.tolist())
        times = self.own_s or [self.token_s] * len(before)
        self.paused |= {one: at for one, at in zip(before.tolist(), times, strict=True) if one not in kept}
        if self.own_s is not None:
            self.own_s = [at for one, at in zip(before.tolist(), times, strict=True) if one in kept]

    def note_handed(self, before: int, requests: list[int]) -> None:
        """Requests whose prompts another engine read, and whose first tokens it made, decode from now on."""
        if requests:
            times = [self.token_s] * before if self.own_s is None else self.own_s
            self.own_s = [*times, *(float(self.first_s[request]) for request in requests)]

    def pick(self, places: Counts) -> Record:
        """The same run, with some of the requests alone."""
        picked = copy(self)
        picked.admitted_s, picked.first_s = self.admitted_s[places], self.first_s[places]
        picked.last_s = self.last_s[places]
        return picked

    def note_stalled(self, sequences: int) -> None:
        """Sequences that decode sat out a pass of prompts alone."""
        if self.own_s is None and sequences:
            self.own_s = [self.token_s] * sequences

    def note_tokens(self, sequences: int, passes: int, start_s: float, seconds: float, first_s: float) -> None:
        """Sequences made a token in each of so many passes, the first of which took ``first_s``."""
        alike, alike_s = passes, seconds
        if self.own_s is not None:
            self.other_gaps.append(start_s + first_s - np.array(self.own_s))
            self.own_s = None
            alike, alike_s = passes - 1, seconds - first_s
        if alike:
            self.gap_s.append(alike_s / alike)
            self.gap_counts.append(alike * sequences)
        self.token_s = start_s + seconds

    def note_drafted(self, tokens: int) -> None:
        """So many tokens of drafts came with the last token of their sequences."""
        if tokens:
            self.gap_s.append(0.0)
            self.gap_counts.append(tokens)

    def note_first(self, request: int, now_s: float, goes_on: bool) -> None:
        """A prompt was read to its end, which makes a token: the first, or after a preemption the next."""
        paused_s = self.paused.pop(request, None)
        if paused_s is None:
            self.first_s[request] = now_s
        else:
            self.other_gaps.append(np.array([now_s - paused_s]))
        if not goes_on:
            return
        if self.own_s is not None:
            self.own_s.append(now_s)
        self.token_s = now_s
