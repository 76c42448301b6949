"""What a serving engine sets aside on each device before the rest becomes its KV cache: measured data of the engine.

Before an engine takes requests it runs one pass of as many tokens as it will ever let through at once, looks how much
memory that took, and gives what is left of its share to blocks of KV cache (vLLM, ``v1/worker/gpu_worker.py``,
``determine_available_memory``). The sizes of its own tensors follow from the model; what its libraries take does not
and is measured, per version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from simulator.inputs.hardware import Hardware
from simulator.numbers import where
from simulator.specfile import Launches, Positive, Range, spec_dataclass
from simulator.units import Bytes

if TYPE_CHECKING:
    from simulator.inputs.stack import Stack


@spec_dataclass
class MemoryLedger:
    """The parts of an engine's memory that are neither weights nor KV cache, on one device.

    ``sequences``: the most that one pass holds, for whose logits there must be room; ``sequences_small`` where the name
    of the device has one of ``small_names`` or its memory is below ``small_below``. None: the engine tries nothing in
    advance, and activations are those of the request. ``logit_copies``: tensors of the size of the logits, in fp32,
    that sampling makes beside them.

    Measured: ``runtime_bytes`` of libraries outside the tensors' allocator, and ``parallel_bytes`` more where devices
    share layers; ``workspace_bytes`` of libraries' work space in a pass; ``graph_layer_bytes`` of the captured graphs
    of all sizes, by layer, and ``graph_base_bytes`` of them beside. ``graphs_in_share``: whether the graphs are taken
    from the share of the memory that the engine lets itself use, or from what it leaves. ``free_share``: of what is
    left of that share at the end, what becomes the cache.
    """

    block_tokens: Positive = 1
    sequences: Positive | None = None
    sequences_small: Positive | None = None
    small_below: Bytes = 0.0
    small_names: list[str] | None = None
    logit_copies: Launches = 0
    runtime_bytes: Bytes = 0.0
    parallel_bytes: Bytes = 0.0
    workspace_bytes: Bytes = 0.0
    graph_layer_bytes: Bytes = 0.0
    graph_base_bytes: Bytes = 0.0
    graphs_in_share: bool = False
    free_share: Annotated[float, Range(0, 1, above=True)] = 1.0

    def __hash__(self) -> int:
        """Of the numbers alone, since lists have no hash."""
        return hash((self.block_tokens, self.sequences, self.runtime_bytes, self.parallel_bytes))


NOTHING = MemoryLedger()  # of a stack that says nothing of its memory


def suit_stack(stack: Stack, hardware: Hardware) -> Stack:
    """The stack with the number of sequences that it takes on a device, by the device's memory or its name."""
    ledger = stack.ledger
    if ledger.sequences_small is None:
        return stack
    named = any(name in hardware.id for name in ledger.small_names or ())
    small = named or hardware.memory.capacity < ledger.small_below
    sequences = where(small, ledger.sequences_small, ledger.sequences)
    return replace(stack, memory=replace(ledger, sequences=sequences, sequences_small=None))
