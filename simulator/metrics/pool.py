"""The KV cache that an engine has on each device: blocks of so many tokens, by its memory ledger.

The bytes are what is left of the engine's share of the memory after weights, activations of the largest pass, graphs
where these are taken from the share, and the runtime (vLLM, ``v1/worker/gpu_worker.py``). Layers that keep different
numbers of tokens, all or those of a window, are put in groups of equally many, and a block is one group's (vLLM,
``v1/core/kv_cache_utils.py``): a request takes blocks for each group, fewer for one with a window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from simulator.costs.footprint import (
    count_activations,
    count_graph_bytes,
    count_reserved_bytes,
    count_runtime_bytes,
    count_state_numbers,
    count_weight_bytes,
    find_budget,
)
from simulator.costs.layers import list_layers
from simulator.costs.passes import find_stage_share
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.memory_ledger import suit_stack
from simulator.inputs.stack import Stack
from simulator.metrics.capacity import find_usable_bytes

FAR = 2**20  # tokens over which a cache that grows is measured
ALIKE = 1.25  # kinds of layers whose numbers differ by less are put in groups of the larger


class Pool(NamedTuple):
    """KV blocks of one replica, on each device of its fullest stage.

    ``groups``: of layers, each with the tokens of its window, or None where it keeps all. ``state_blocks``: those that
    a request takes however long it is, for the states of recurrent layers.
    """

    blocks: int
    block_tokens: int
    bytes: float
    groups: tuple[int | None, ...]
    state_blocks: int

    @property
    def tokens(self) -> int:
        """Tokens of whole contexts that there is room for: what vLLM prints as the size of its cache."""
        return self.blocks // max(len(self.groups), 1) * self.block_tokens

    def count_blocks(self, tokens: int) -> int:
        """Blocks that one request of so many tokens holds."""
        held = (tokens if window is None else min(tokens, window) for window in self.groups)
        return self.state_blocks + sum(-(-kept // self.block_tokens) for kept in held)


class Kind(NamedTuple):
    """Layers of one stage that keep equally much of a token, of all tokens or of a window."""

    layers: float
    bytes_per_token: float
    window: int | None


def measure_pool(
    architecture: Architecture,
    deployment: Deployment,
    stack: Stack,
    hardware: Hardware,
    *,
    budget_tokens: int | None = None,
    sequences: int | None = None,
    longest_prompt: int | None = None,
) -> Pool:
    """The blocks of KV cache that an engine starts with.

    Args:
        architecture: as the stack builds it.
        deployment: with its formats settled, as of a resolved question.
        stack: with its memory ledger.
        hardware: one device.
        budget_tokens: the most tokens of a pass; None: the stack's chunk, else the longest context of the model.
        sequences: the most sequences of a pass; None: the stack's default on this device, 1 where it has none.
        longest_prompt: tokens, for engines that write the scores of a prompt to memory; None: one takes a whole pass.
    """
    a, d, suited = architecture, deployment, suit_stack(stack, hardware)
    left = find_pool_bytes(a, d, suited, hardware, budget_tokens, sequences, longest_prompt)
    kinds = list_kinds(a, d)
    block_tokens = stack.ledger.block_tokens
    state = count_state_numbers(a, d) * d.activation_bytes * find_stage_share(a, d)
    if not kinds:  # states alone: a block is one request's
        blocks = math.floor(left / state) if state and left > 0 else 0
        return Pool(blocks, block_tokens, max(left, 0.0), (), 1)
    size, groups = group_layers(kinds)
    block_bytes = size * block_tokens
    blocks = max(math.floor(left / block_bytes), 0)
    return Pool(blocks, block_tokens, max(left, 0.0), groups, math.ceil(state / block_bytes))


def find_pool_bytes(
    a: Architecture,
    d: Deployment,
    stack: Stack,
    hardware: Hardware,
    budget_tokens: int | None,
    sequences: int | None,
    longest_prompt: int | None,
) -> float:
    """Bytes that are left for the KV cache on a device of the fullest stage; below 0 where there is less than none."""
    tokens = find_budget(a, stack) if budget_tokens is None else budget_tokens
    if stack.ledger.sequences is None:
        prompt = tokens if longest_prompt is None else min(tokens, longest_prompt)
        batch = max(sequences or 1, tokens // prompt)
        activations = count_activations(a, d, stack, prompt, batch) * d.activation_bytes
    else:
        activations = count_reserved_bytes(a, d, stack, tokens, sequences or stack.ledger.sequences)
    taken = count_weight_bytes(a, d, stack) + activations + count_runtime_bytes(d, stack)
    graphs = count_graph_bytes(a, d, stack) if stack.ledger.graphs_in_share else 0.0
    return float(find_usable_bytes(hardware, stack) - taken - graphs) * stack.ledger.free_share


def list_kinds(a: Architecture, d: Deployment) -> list[Kind]:
    """Layers of one stage with a cache of tokens, by what they keep."""
    share = find_stage_share(a, d)
    found: dict[tuple[float, int | None], float] = {}
    for layer in list_layers(a):
        window = layer.mixer.find_window(layer)
        reached = FAR if window is None else 1
        kept = float(layer.mixer.count_cache(layer, d, reached) / reached * d.kv_bytes)
        if kept:
            key = (kept, None if window is None else int(window))
            found[key] = found.get(key, 0.0) + float(layer.count * share)
    return [Kind(layers, kept, window) for (kept, window), layers in found.items()]


def group_layers(kinds: list[Kind]) -> tuple[float, tuple[int | None, ...]]:
    """Bytes of one token in a group of layers, and the window of each group.

    All groups have as many layers as the rarest kind, or as the most frequent where that is not much more; what is
    left of a kind fills a group of its own. A block has room for the kind that keeps the most.
    """
    fewest, most = min(kind.layers for kind in kinds), max(kind.layers for kind in kinds)
    layers = most if most < ALIKE * fewest else fewest
    groups = [kind.window for kind in kinds for _ in range(math.ceil(round(kind.layers / layers, 6)))]
    return layers * max(kind.bytes_per_token for kind in kinds), tuple(groups)
