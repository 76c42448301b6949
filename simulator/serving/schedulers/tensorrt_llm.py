"""TensorRT-LLM: in-flight batching with a guarantee that nothing is evicted.

A request enters where its prompt and all of its outputs have room, and then keeps its blocks to its end; prompts pass
whole (unless chunked) beside the decoding sequences (TensorRT-LLM 0.12 to 1.3, ``GUARANTEED_NO_EVICT``). Where the
engine is told to, prompts wait for more of them: for so many decode passes, or until they fill a share of a pass's
tokens (``batch_wait_timeout_iters`` and ``batch_wait_max_tokens_ratio``; ``_torch/pyexecutor/py_executor.py``,
``_waiting_requests``).
"""

from __future__ import annotations

from typing import ClassVar

from simulator.inputs.stack import Scheduler
from simulator.serving.schedulers.vllm import Vllm
from simulator.serving.state import State, Step


class TensorrtLlm(Vllm):
    """The policy of the module docstring: as vLLM's second engine, with all blocks from the start."""

    reserves: ClassVar[bool] = True

    def __init__(self, scheduler: Scheduler) -> None:
        """No prompt has waited."""
        super().__init__(scheduler)
        self.waited = 0  # decode passes

    def plan(self, state: State) -> Step:
        """Choose the next pass."""
        if len(state.ids) and state.waiting and self.holds_back(state):
            self.waited += 1
            state.blocked = False
            return Step((), True)
        step = super().plan(state)
        if step.prompts:
            self.waited = 0
        return step

    def holds_back(self, state: State) -> bool:
        """Whether prompts wait for others a pass longer."""
        enough = self.scheduler.batch_wait_share * state.limits.max_num_batched_tokens
        return self.waited < self.scheduler.batch_wait_passes and self.count_tokens(state) < enough

    def count_tokens(self, state: State) -> int:
        """Tokens of a pass that read all prompts it has the budget for."""
        tokens = len(state.ids)
        for request in state.waiting:
            more = tokens + state.count_goal(request)
            if more > state.limits.max_num_batched_tokens:
                break
            tokens = more
        return tokens
