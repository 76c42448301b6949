"""TensorRT-LLM: in-flight batching with a guarantee that nothing is evicted.

A request enters where its prompt and all of its outputs have room, and then keeps its blocks to its end; prompts pass
whole (unless chunked) beside the decoding sequences (TensorRT-LLM 0.12 to 1.3, ``GUARANTEED_NO_EVICT``).
"""

from __future__ import annotations

from typing import ClassVar

from simulator.serving.schedulers.vllm import Vllm


class TensorrtLlm(Vllm):
    """The policy of the module docstring: as vLLM's second engine, with all blocks from the start."""

    reserves: ClassVar[bool] = True
