"""Time laws of fused attention on a GPU: over a prompt, and for one new token over a cache."""

from __future__ import annotations

from simulator.costs.operators import Operator, count_scores, share_read
from simulator.numbers import (
    Number,
    both,
    ceil,
    choose,
    maximum,
    minimum,
    round_corner,
    round_up,
    square_root,
    where,
    whole_part,
)
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors

# Over a prompt. A block holds this many queries and keys where a unit makes 2048 FLOP a cycle, as on A100.
QUERY_TILE = 64
QUERY_TILE_FLOPS_PER_CYCLE = 2048
SOFTMAX_ELEMENTS = 32  # exponential and rescaling of a score take as long as this many elements of a head

# For one token. Choice of kernel and of the number of parts as in TensorRT-LLM: computeMultiBlockCount and
# mayHavePerfGain, cpp/tensorrt_llm/kernels/decoderMaskedMultiheadAttention/decoderXQAImplCommon.h and
# decoderXQAConstants.h. The grouped kernel serves all query heads of a key head from one block, the other kernel one.
LEAST_TOKENS_PER_PART = 128
MOST_WAVES = 8
LEAST_FILL = 4  # the grouped kernel needs blocks for a quarter of the units
MOST_GROUP = 32  # query heads that one block packs
GROUP_STEP = 16  # a group is padded to the rows of the smallest matrix instruction
TOKEN_STEP = 128  # tokens that a block of the grouped kernel takes at once
RESIDENT_BLOCKS = 3  # blocks of the per-head kernel that share a unit
HEAD_TOKEN_STEP, HEAD_LEAST_TOKENS = 16, 64  # tokens at once, and fewest tokens a part, of the per-head kernel
STATED_HEAD_SIZE = 128  # the factors are for heads of this size


def time_prefill_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """Causal attention of ``m`` new tokens over ``n``: blocks of queries against the blocks of keys they may see.

    The work spreads over the units, but the last block row is the longest: the kernel ends a share of that row after
    the others, and is never shorter than it (list scheduling; Graham 1969, doi 10.1137/0117039).
    """
    op = operator
    # Faster units take larger blocks, such that a block takes them about as many cycles.
    per_cycle = device.unit_flops_per_s / device.clock_hz
    tile = QUERY_TILE * square_root(per_cycle / QUERY_TILE_FLOPS_PER_CYCLE)
    rows, columns = ceil(op.m / tile), ceil(op.n / tile)
    block = 4 * tile * tile * (op.k + SOFTMAX_ELEMENTS) / f.attention_efficiency
    visible = count_scores(rows, columns, whole_part(op.unseen / tile))
    everything = op.batch * visible * block / device.peak_flops_per_s
    longest = columns * block / device.unit_flops_per_s
    compute = maximum(everything + f.attention_tail_share * longest, longest)
    operands = op.activation_bytes + op.kv_bytes * share_read(op)
    streaming = f.attention_operand_passes * operands / device.bandwidth_bytes_per_s
    return op.launches * f.kernel_latency_cycles / device.clock_hz + compute + streaming


def time_decode_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """One new token of each sequence over a cache of ``n`` tokens."""
    pairs = operator.batch / operator.group
    most_parts = maximum(whole_part(operator.n / LEAST_TOKENS_PER_PART), 1) if device.splits_context else 1
    packed = both(operator.group > 1, operator.group <= MOST_GROUP)
    grouped = both(packed, pairs * most_parts * LEAST_FILL >= device.units)
    kernel = choose(
        grouped,
        lambda: time_grouped_blocks(operator, pairs, most_parts, device, f),
        lambda: time_head_blocks(operator, device, f),
    )
    return operator.launches * f.kernel_latency_cycles / device.clock_hz + kernel


def time_latent_decode(op: Operator, device: Device, f: Factors) -> Number:
    """One new token over a compressed cache that all heads share and that is read once: a roofline, and parts to merge.

    As in FlashMLA (github.com/deepseek-ai/FlashMLA), whose blocks take 64 heads with all of a part of the cache.
    """
    streaming = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    computing = op.flops / (f.attention_efficiency * device.peak_flops_per_s)
    cycles = op.launches * f.kernel_latency_cycles + 2 * f.attention_block_cycles
    return cycles / device.clock_hz + round_corner(streaming, computing)


def time_grouped_blocks(op: Operator, pairs: Number, most_parts: Number, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a key head and a part of the tokens."""
    parts = whole_part(minimum(most_parts, square_root(MOST_WAVES * most_parts)) + 0.5)
    parts = maximum(minimum(parts, whole_part(MOST_WAVES * device.units / pairs)), 1)
    tokens = round_up(op.n / parts, TOKEN_STEP) * ceil(op.group / GROUP_STEP)
    waves = ceil(pairs * parts / device.units)
    cycles = f.attention_block_cycles + tokens * op.k / STATED_HEAD_SIZE * f.grouped_token_cycles
    return finish_decode(op, waves * cycles, parts, 0.0, device, f)


def time_head_blocks(op: Operator, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a query head and a part of the tokens.

    Query heads that share keys read them once each, from the cache but for the first.
    """
    least_parts = maximum(whole_part(op.n / HEAD_LEAST_TOKENS), 1)
    parts = maximum(minimum(whole_part(device.units / op.batch), least_parts), 1) if device.splits_context else 1
    tokens = round_up(op.n / parts, HEAD_TOKEN_STEP)
    waves = ceil(op.batch * parts / (device.units * RESIDENT_BLOCKS))
    cycles = f.attention_block_cycles + tokens * op.k / STATED_HEAD_SIZE * f.head_token_cycles
    cached = op.kv_bytes * op.group / (f.cache_bandwidth_ratio * device.bandwidth_bytes_per_s)
    return finish_decode(op, waves * cycles, parts, where(op.group > 1, cached, 0.0), device, f)


def finish_decode(op: Operator, cycles: Number, parts: Number, cached: Number, device: Device, f: Factors) -> Number:
    """Blocks against the streaming of the cache, and the merging of parts."""
    streaming = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    blocks = round_corner(cycles / device.clock_hz, maximum(streaming, cached))
    return blocks + where(parts > 1, f.attention_block_cycles / device.clock_hz, 0.0)
