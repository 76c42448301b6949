"""How engines choose what a pass runs: one file a policy, found by the name that a stack gives it."""

from __future__ import annotations

from collections.abc import Callable

from simulator.inputs.stack import Scheduler
from simulator.serving.schedulers.base import Policy
from simulator.serving.schedulers.prefill_first import PrefillFirst
from simulator.serving.schedulers.sglang import Sglang
from simulator.serving.schedulers.static import Static
from simulator.serving.schedulers.tensorrt_llm import TensorrtLlm
from simulator.serving.schedulers.vllm import Vllm

POLICIES: dict[str, Callable[[Scheduler], Policy]] = {
    "vllm": Vllm,
    "prefill-first": PrefillFirst,
    "sglang": Sglang,
    "tensorrt-llm": TensorrtLlm,
    "static": Static,
}
