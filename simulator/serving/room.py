"""The KV cache of one replica in blocks, and how many of them a sequence takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.costs.footprint import count_weight_bytes
from simulator.costs.request import Work
from simulator.errors import ImpossibleError
from simulator.inputs.hardware import Hardware
from simulator.metrics.pool import Pool, measure_pool
from simulator.serving.drafts import Draft
from simulator.serving.state import Counts, Limits
from simulator.units import format_quantity


class Room(NamedTuple):
    """Blocks in all, tokens of one, and the blocks of a sequence by the tokens in its cache."""

    blocks: int
    block_tokens: int
    blocks_of: Counts

    @property
    def grows_evenly(self) -> bool:
        """Whether every block holds as many tokens: no window ends, and no state stays as it is."""
        tokens = np.arange(len(self.blocks_of))
        return bool(np.array_equal(self.blocks_of, -(-tokens // self.block_tokens)))


def measure_room(work: Work, hardware: Hardware, limits: Limits, longest: int, draft: Draft | None = None) -> Room:
    """The blocks that an engine starts with, beside a drafting model, and those of sequences of up to so many tokens.

    Raises:
        ImpossibleError: weights and activations leave nothing.
    """
    a, d, stack, _ = work
    budget = limits.max_num_batched_tokens
    sequences = None if stack.ledger.sequences is None else limits.max_num_seqs
    pool = measure_pool(a, d, stack, hardware, budget_tokens=budget, sequences=sequences, longest_prompt=longest)
    blocks = pool.blocks if draft is None else draft.shrink(pool)
    if blocks < 1:
        drafting = 0.0 if draft is None else draft.count_weight_bytes()
        beside = f", and {format_quantity(drafting, 'B')} of what drafts," if drafting else ""
        weights = format_quantity(float(count_weight_bytes(a, d, stack)), "B")
        raise ImpossibleError(
            f"the weights of {weights}{beside} leave no room for a KV cache on each {hardware.id}; "
            "take more devices (--tp) or narrower weights (--weight-dtype)"
        )
    return Room(blocks, pool.block_tokens, count_blocks(pool, longest))


def count_blocks(pool: Pool, longest: int) -> Counts:
    """``Pool.count_blocks`` of every number of tokens up to the longest; none of an empty cache."""
    tokens = np.arange(longest + 1)
    blocks = np.full(len(tokens), pool.state_blocks)
    for window in pool.groups:
        kept = tokens if window is None else np.minimum(tokens, window)
        blocks += -(-kept // pool.block_tokens)
    blocks[0] = 0
    return blocks
