"""The loop of an engine: what has come, what the next pass runs, how long it takes, what it ends.

Decode passes of the same sequences follow one another unchanged until a request is done, one comes that might enter, or
blocks run out: such a run is one turn of the loop, timed by the same law as its passes one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from simulator.serving.arrivals import Arrivals
from simulator.serving.clock import Clock
from simulator.serving.drafts import Acceptance
from simulator.serving.pass_table import Prompt
from simulator.serving.record import Record
from simulator.serving.runs import choose_run
from simulator.serving.schedulers.base import Policy
from simulator.serving.state import Counts, State, Step

Progress = Callable[[int], None]
NOTHING = np.zeros(0, dtype=np.int64)
REPORT_EVERY = 1000  # turns of the loop


class Engine:
    """One engine with its requests.

    ``asynchronous``: a pass is chosen when the one before it begins, without knowing what has come or ended since.
    ``drafts`` says how many tokens of each draft are right, where there are drafts.
    """

    def __init__(
        self,
        state: State,
        policy: Policy,
        clock: Clock,
        arrivals: Arrivals,
        asynchronous: bool,
        drafts: Acceptance | None = None,
    ) -> None:
        """The clock stands at 0, and no request has come."""
        self.drafts = drafts
        self.state, self.policy, self.clock, self.arrivals = state, policy, clock, arrivals
        self.asynchronous = asynchronous
        self.record = Record(len(state.requests))
        self.now_s = self.known_s = 0.0  # the next pass is chosen by what had come before ``known_s``
        self.idle = True
        self.pass_s = 1.0  # about how long a decode pass takes
        self.done = 0

    @property
    def load(self) -> int:
        """Requests that it has, running or waiting."""
        return self.state.running + len(self.state.waiting) + self.arrivals.queued

    def run(self, progress: Progress | None = None) -> Record:
        """Run until every request is done."""
        turns = 0
        while self.turn():
            turns += 1
            if progress is not None and turns % REPORT_EVERY == 0:
                progress(self.done)
        assert not self.state.waiting, "requests wait for an engine that runs nothing"
        return self.record

    def turn(self) -> bool:
        """Run a pass, or a run of decode passes, or wait for what comes next; whether there was any of it."""
        state = self.state
        state.waiting.extend(self.arrivals.take(self.known_s, self.idle))
        if state.handed:
            self.record.note_handed(len(state.ids), state.take_handed())
        before, left = state.ids, len(state.leaving)
        step = self.policy.plan(state)
        if state.ids is not before:
            self.record.note_preempted(before, state.ids)
        if left:
            self.release()
        self.record.note_state(self.now_s, state)
        if step.prompts or step.decodes:
            self.run_step(step, may_change=left > 0)
        elif left:
            self.known_s, self.idle = self.now_s, True
        elif self.arrivals.next_s < math.inf:
            self.now_s = self.known_s = max(self.now_s, self.arrivals.next_s)
            self.idle = True
        else:
            return False
        return True

    def run_step(self, step: Step, may_change: bool) -> None:
        """Run one pass, or a run of decode passes, and end what is done."""
        state, record, start_s = self.state, self.record, self.now_s
        timed = state.contexts if step.decodes else NOTHING
        if len(state.padding) and step.decodes:
            timed = np.concatenate([timed, state.padding])
        passes, before_s = 1, 0.0
        if step.prompts:
            prompts = tuple(Prompt(one.new_tokens, one.context_tokens, one.last) for one in step.prompts)
            seconds = self.clock.time(timed, prompts)
            record.reading_s += seconds - self.clock.time(timed) if len(timed) else seconds
        else:
            passes, seconds, before_s = self.choose_run(timed, may_change)
        self.now_s = start_s + seconds
        self.known_s, self.idle = self.now_s, False
        if self.asynchronous:  # the next pass is chosen when the last of these begins
            self.known_s = start_s + before_s
        record.passes += passes
        record.busy_s += seconds
        ended: list[int] = []
        if step.decodes:
            first_s = seconds if passes == 1 or record.own_s is None else self.clock.time_run(timed, 1)
            record.note_tokens(len(state.ids), passes, start_s, seconds, first_s)
            if self.drafts is None:
                state.note_passes(passes)
            else:
                record.note_drafted(int(state.note_drafts(self.drafts.draw(len(state.ids))).sum()))
            self.policy.note_passes(passes)
            if state.steps == state.next_end:
                ended = state.take_ended(self.policy.runs_padding)
        else:
            record.note_stalled(len(state.ids))
        if step.prompts:
            self.end_prompts(step, start_s, ended)
        for request in ended:
            self.end(request)

    def choose_run(self, timed: Counts, may_change: bool) -> tuple[int, float, float]:
        """How many decode passes to run: ``runs.choose_run``."""
        return choose_run(self, timed, may_change)

    def end_prompts(self, step: Step, start_s: float, ended: list[int]) -> None:
        """Prompts that were read to their end make a token, and decode from now on."""
        state = self.state
        started: list[int] = []
        for chunk in step.prompts:
            request = chunk.request
            self.record.note_admitted(request, start_s)
            if chunk.last:
                state.keep_prefix(request)
                goes_on = state.output[request] - state.generated.get(request, 0) > 1
                self.record.note_first(request, self.now_s, goes_on)
                (started if goes_on else ended).append(request)
        if started:
            state.start_decoding(started)

    def end(self, request: int) -> None:
        """A request is done: its blocks and its place are free once the scheduler knows."""
        self.record.last_s[request] = self.now_s
        self.state.leaving.append(request)
        if not self.asynchronous:
            self.release()
        self.arrivals.note_done(self.now_s, request)
        self.done += 1

    def release(self) -> None:
        """The scheduler hears of the requests that are done."""
        self.state.release()
        self.policy.note_finish()
