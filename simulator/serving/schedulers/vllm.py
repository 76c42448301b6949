"""vLLM's second engine (V1): one budget of tokens a pass, running requests first, prompts in chunks beside decodes.

Every running request gets what it wants: a decoding one its next token, one whose prompt is read in part the rest of
it, as far as the budget goes. Where blocks are short, the request admitted last goes back to the head of the queue and
is read again. Then waiting requests enter in order, the first that does not fit stops the queue, and the last may
enter in part. Nothing enters in a pass that preempted (vLLM 0.10 to 0.33, ``vllm/v1/core/sched/scheduler.py``).
"""

from __future__ import annotations

from simulator.serving.schedulers.base import Policy
from simulator.serving.state import State, Step


class Vllm(Policy):
    """The policy of the module docstring."""

    def plan(self, state: State) -> Step:
        """Choose the next pass."""
        preempted = self.make_room(state)
        decoding = len(state.ids)
        state.blocked = False
        left = state.limits.max_num_batched_tokens - decoding * (1 + state.draft_tokens)
        prompts = [] if preempted else self.admit(state, left)
        return Step(tuple(prompts), decoding > 0)
