"""Prompts first, in passes of their own, while decoding waits (vLLM's first engine, to 0.7).

Whole prompts enter while their blocks, and a hundredth of all, are free; else all running requests decode. Where blocks
are short, the request admitted last is preempted (vLLM 0.6.3, ``vllm/core/scheduler.py``, ``_schedule_default``).
"""

from __future__ import annotations

from simulator.serving.schedulers.base import Policy
from simulator.serving.state import State, Step


class PrefillFirst(Policy):
    """The policy of the module docstring."""

    def plan(self, state: State) -> Step:
        """Choose the next pass."""
        prompts = self.admit(state, state.limits.max_num_batched_tokens)
        if prompts:
            return Step(tuple(prompts), False)
        if self.make_room(state):
            state.blocked = False
        return Step((), len(state.ids) > 0)
