"""SGLang: a batch of prompts stops decoding; admission reserves what running requests may still generate.

A newcomer needs room for its prompt and its outputs (at most 4096), beside a share of what the running ones have left,
the new-token ratio. It starts at 0.7, falls over 600 decode passes to 0.098, and rises where decoding runs out of room:
then the requests that have generated least go back to the queue (SGLang 0.4 and 0.5, ``srt/managers/scheduler.py``,
``schedule_policy.py`` and ``schedule_batch.py``). The first refusal closes the queue until a request is done.
"""

from __future__ import annotations

import numpy as np

from simulator.inputs.stack import Scheduler
from simulator.serving.schedulers.base import Policy
from simulator.serving.state import Chunk, State, Step

MAX_PREFILL_TOKENS = 16384
MOST_RESERVED_TOKENS = 4096  # of the outputs of a newcomer
FIRST_RATIO, LEAST_RATIO, DECAY_PASSES = 0.7, 0.7 * 0.14, 600
RETRACT_PASSES = 20  # that are to fit after a retraction


class Sglang(Policy):
    """The policy of the module docstring; the budget of a pass is that of a chunk."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Start with the first ratio."""
        super().__init__(scheduler)
        self.ratio = FIRST_RATIO
        self.full = False

    def note_passes(self, passes: int) -> None:
        """The ratio falls with every decode pass."""
        self.ratio = max(self.ratio - passes * (FIRST_RATIO - LEAST_RATIO) / DECAY_PASSES, LEAST_RATIO)

    def note_finish(self) -> None:
        """The queue is open again."""
        self.full = False

    def plan(self, state: State) -> Step:
        """Choose the next pass."""
        prompts = [] if self.full and state.partial is None else self.gather(state)
        state.blocked = self.full
        if prompts:
            return Step(tuple(prompts), False)
        self.retract(state)
        return Step((), len(state.ids) > 0)

    def gather(self, state: State) -> list[Chunk]:
        """A batch of prompts: first the one that is read in part, then those that wait."""
        chunk_tokens = state.limits.max_num_batched_tokens
        budget = max(MAX_PREFILL_TOKENS, chunk_tokens)
        prompts: list[Chunk] = []
        if state.partial is not None:
            chunk = state.extend(chunk_tokens)
            if chunk is None:
                state.preempt_partial()
                return []
            read = self.add(state, chunk, prompts)
            chunk_tokens -= read
            budget -= read
        reserved = self.count_reserved(state)
        while state.waiting and state.partial is None and min(budget, chunk_tokens) > 0:
            request = state.waiting[0]
            if request in state.handed:
                break
            wanted = min(state.output[request] - state.generated.get(request, 0), MOST_RESERVED_TOKENS)
            needed = int(state.blocks_of[min(state.count_goal(request) + wanted, len(state.blocks_of) - 1)])
            alone = not prompts and state.running == 0
            full = state.running + len(prompts) >= state.limits.max_num_seqs
            chunk = None
            if not full and (alone or needed + reserved <= state.pool.available):
                chunk = state.enter(request, min(budget, chunk_tokens), whole=True)
            if chunk is None:
                self.full = True
                break
            state.waiting.popleft()
            read = self.add(state, chunk, prompts)
            chunk_tokens -= read
            budget -= read
            reserved += wanted / state.block_tokens
        return prompts

    def count_reserved(self, state: State) -> float:
        """Blocks that running requests may still need: the ratio of those of all that they have left."""
        if not len(state.ids):
            return 0.0
        left = np.minimum(state.end - state.steps, MOST_RESERVED_TOKENS)
        return self.ratio * float(np.add.reduce(left)) / state.block_tokens

    def retract(self, state: State) -> None:
        """Make room for the next token of all: those that generated least go, then those of the longest prompts."""
        retracted = False
        while (needed := state.count_growth(1)) > state.pool.available:
            if state.partial is not None:
                state.preempt_partial()
                continue
            made = state.contexts - state.requests.input_tokens[state.ids]
            order = np.lexsort((-state.requests.input_tokens[state.ids], made))
            state.preempt(int(order[0]))
            retracted = True
        state.pool.take(needed)
        if retracted and len(state.ids):
            made = state.contexts - state.requests.input_tokens[state.ids] + 1
            wanted = float(np.add.reduce(state.requests.output_tokens[state.ids]))
            generated = float(np.add.reduce(made)) + RETRACT_PASSES * len(state.ids)
            self.ratio = min(generated / (wanted + 1), 1.0)
