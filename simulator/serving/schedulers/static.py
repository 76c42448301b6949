"""Static batches: as many requests as wait, run together until the longest is done.

A sequence that is done is run on as padding, since the batch has one shape. What is behind a batch waits for its end.
"""

from __future__ import annotations

from typing import ClassVar

from simulator.serving.schedulers.base import Policy
from simulator.serving.state import State, Step


class Static(Policy):
    """The policy of the module docstring."""

    reserves: ClassVar[bool] = True
    runs_padding: ClassVar[bool] = True

    def plan(self, state: State) -> Step:
        """Choose the next pass."""
        if not len(state.ids) or state.partial is not None:
            state.padding = state.padding[:0]
            prompts = self.admit(state, state.limits.max_num_batched_tokens)
            if prompts:
                return Step(tuple(prompts), False)
        state.blocked = len(state.ids) > 0
        return Step((), len(state.ids) > 0)
