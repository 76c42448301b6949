"""What every policy does: it looks at the state of an engine and chooses the next pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from simulator.inputs.stack import Scheduler
from simulator.serving.state import Chunk, State, Step


class Policy(ABC):
    """A policy. ``plan`` moves requests from the queue and takes blocks; the engine runs the pass and ends requests.

    ``reserves``: a request owns from its start the blocks that it will need at its end.
    ``runs_padding``: sequences that are done run on until all are.
    """

    reserves: ClassVar[bool] = False
    runs_padding: ClassVar[bool] = False

    def __init__(self, scheduler: Scheduler) -> None:
        """Keep what the stack says."""
        self.scheduler = scheduler

    @abstractmethod
    def plan(self, state: State) -> Step:
        """Choose the next pass.

        ``state.blocked`` says afterwards whether the queue must wait for a running request to be done, whatever comes.
        """

    def note_passes(self, passes: int) -> None:  # noqa: B027  # most policies need not know
        """So many decode passes were run."""

    def note_finish(self) -> None:  # noqa: B027
        """Requests are done, and their places and blocks are free."""

    def count_steps(self, state: State) -> int:
        """How many decode passes the blocks that are left allow, at most until the first request is done."""
        wanted = state.next_end - state.steps
        room = state.pool.available
        if len(state.ids) * (wanted // state.block_tokens + 1) <= room:
            return wanted
        room += state.count_growth(1)  # ``plan`` took those of one
        if state.count_growth(wanted) <= room:
            return wanted
        fitting, too_many = 1, wanted
        while too_many - fitting > 1:
            middle = (fitting + too_many) // 2
            if state.count_growth(middle) <= room:
                fitting = middle
            else:
                too_many = middle
        return fitting

    def admit(self, state: State, budget: int) -> list[Chunk]:
        """Prompts for so many tokens of a pass: the one that is read in part, then those of the queue.

        One that finds no blocks for its next part goes back to the queue, and the first of the queue that finds none,
        or no place, or too few tokens where prompts pass whole, keeps all others out.
        """
        prompts: list[Chunk] = []
        state.blocked = False
        if not state.waiting and state.partial is None:
            return prompts
        if state.partial is not None and budget > 0:
            chunk = state.extend(budget)
            if chunk is None:
                state.preempt_partial()
                return prompts
            budget -= self.add(state, chunk, prompts)
        while state.waiting and budget > 0 and state.partial is None:
            request = state.waiting[0]
            if request in state.handed:
                break
            goal = state.count_goal(request)
            if not self.scheduler.chunked_prefill and goal > budget:
                # Read again after a preemption, a prompt may have outgrown the budget of any pass.
                if prompts or goal <= state.limits.max_num_batched_tokens:
                    state.blocked = not prompts
                    break
                budget = goal
            full = state.running + len(prompts) >= state.limits.max_num_seqs
            chunk = None if full else state.enter(request, budget, self.scheduler.reserves_prompt)
            if chunk is None:
                state.blocked = True
                break
            state.waiting.popleft()
            budget -= self.add(state, chunk, prompts)
        return prompts

    def add(self, state: State, chunk: Chunk, prompts: list[Chunk]) -> int:
        """Put a part of a prompt into a pass; its tokens."""
        prompts.append(chunk)
        state.partial = None if chunk.last else (chunk.request, chunk.context_tokens + chunk.new_tokens)
        return chunk.new_tokens

    def make_room(self, state: State) -> bool:
        """Give every decoding sequence a place for its next token; whether others were preempted for it.

        The latest requests are, which go back to the head of the queue.
        """
        preempted = False
        while (needed := state.count_growth(1)) > state.pool.available:
            if state.partial is not None:
                state.preempt_partial()
            else:
                state.preempt()
            preempted = True
        state.pool.take(needed)
        return preempted
