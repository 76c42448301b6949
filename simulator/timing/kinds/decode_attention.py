"""Fused attention of one new token of each sequence, or of one and its draft, over its cache."""

from __future__ import annotations

from simulator.costs.operators import Operator
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
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import prefill_attention, shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.memory import find_byte_time, find_cache_time
from simulator.timing.kinds.ragged import share_launch

# Choice of kernel and of the number of parts as in TensorRT-LLM: computeMultiBlockCount and
# mayHavePerfGain, cpp/tensorrt_llm/kernels/decoderMaskedMultiheadAttention/decoderXQAImplCommon.h and
# decoderXQAConstants.h. The grouped kernel serves all query heads of a key head from one block, the other kernel one.
LEAST_TOKENS_PER_PART = 128
MOST_WAVES = 8
LEAST_FILL = 4  # the grouped kernel needs blocks for a quarter of the units
MOST_GROUP = 32  # query heads that one block packs, where it does not multiply more at once
FULL_WIDTH = 2  # bytes of a number in the cache for which the cycles of a token are stated
TOKEN_STEP = 128  # tokens that a block of the grouped kernel takes at once
HEAD_TOKEN_STEP, HEAD_LEAST_TOKENS = 16, 64  # tokens at once, and fewest tokens a part, of the per-head kernel
STATED_HEAD_SIZE = 128  # the factors are for heads of this size

GROUPED_TOKEN = Factor(
    "grouped_token_cycles",
    *("cycles", 0.5, 1e3),
    "one cached token in a block of decode attention that shares keys among query heads",
    Prior(28.0, 0.6, "512 bytes of a head of 128: 12 to 25 on four devices, 7 on B200, 60 with paged caches"),
)
HEAD_TOKEN = Factor(
    "head_token_cycles",
    *("cycles", 0.5, 1e3),
    "one cached token in a block of decode attention that serves a single query head",
    Prior(30.0, 0.5, "as of blocks that share keys, without matrix units; 45 in AIConfigurator's A100 table"),
)
CHAINED_BLOCK = Factor(
    "chained_block_cycles",
    *("cycles", 10.0, 1e5),
    "start and end of a block of decode attention that loads while the block before it multiplies",
    Prior(1700.0, 0.3, "fits of three devices: 1500 and 1400 over caches of 8 bits on 9.0, 1900 on 10.0"),
)
CACHE_EFFICIENCY = Factor(
    "cache_efficiency",
    *("1", 0.05, 1.0),
    "share of the memory bandwidth at which attention of one new token reads the cache",
    Prior(0.87, 0.1, "fits of decode attention alone: 0.80 on L40S, 0.86 and 0.89 on H100 and H200, 0.95 on B200"),
)
RESIDENT_BLOCKS = Factor(
    "resident_blocks",
    *("1", 1.0, 32.0),
    "blocks of decode attention for a single query head that a unit runs at once",
    Prior(3.0, 0.3, "registers and shared memory of a block leave room for two to four"),
)


def time_decode_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """One new token of each sequence over a cache of ``n`` tokens, or ``m`` of them: a draft beside it."""
    latency = (operator.launches + device.decode_kernel.more_launches) * f.kernel_latency_s
    return latency + share_launch(time_equal, operator, device, f)


def time_equal(operator: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a kernel over sequences of equal lengths, without its latency."""
    kernel, pairs = device.decode_kernel, operator.batch / operator.group
    most_parts = 1 if kernel.parts == "one" else maximum(whole_part(operator.n / LEAST_TOKENS_PER_PART), 1)
    packed = both(kernel.packs == "always" or operator.group > 1, operator.group <= max(MOST_GROUP, kernel.group_rows))
    if kernel.packs == "where it fills":
        packed = both(packed, pairs * most_parts * LEAST_FILL >= device.units)
    return choose(
        packed,
        lambda: time_grouped_blocks(operator, pairs, most_parts, device, f),
        lambda: time_head_blocks(operator, device, f),
    )


def time_grouped_blocks(op: Operator, pairs: Number, most_parts: Number, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a key head and a part of the tokens.

    The queries of a draft are packed beside those of the heads that share the key.
    """
    kernel = device.decode_kernel
    waves = 1 if kernel.parts == "one wave" else MOST_WAVES
    parts = most_parts if waves == 1 else whole_part(minimum(most_parts, square_root(waves * most_parts)) + 0.5)
    parts = maximum(minimum(parts, whole_part(waves * device.units / pairs)), 1)
    tokens = round_up(op.n / parts, TOKEN_STEP)
    waves = ceil(pairs * ceil(op.n / tokens) / device.units)  # whole steps may leave nothing to the last part
    row_steps = ceil(op.group * op.m / kernel.group_rows)
    width = device.cache_number_bytes / FULL_WIDTH if kernel.by_width else 1
    start = f.chained_block_cycles if kernel.loads_ahead else f.attention_block_cycles
    cycles = start + tokens * row_steps * op.k / STATED_HEAD_SIZE * width * f.grouped_token_cycles
    return finish_decode(op, waves * cycles, parts, 0.0, device, f)


def time_head_blocks(op: Operator, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a query head and a part of the tokens.

    Query heads that share keys, and the queries of a draft, read them once each, from the cache but for the first.
    """
    least_parts = maximum(whole_part(op.n / HEAD_LEAST_TOKENS), 1)
    splits = device.decode_kernel.parts != "one"
    parts = maximum(minimum(whole_part(device.units / op.batch), least_parts), 1) if splits else 1
    tokens = round_up(op.n / parts, HEAD_TOKEN_STEP)
    waves = ceil(op.batch * op.m * parts / (device.units * f.resident_blocks))
    cycles = f.attention_block_cycles + tokens * op.k / STATED_HEAD_SIZE * f.head_token_cycles
    readers = op.group * op.m
    cached = op.kv_bytes * readers * find_cache_time(device, f)
    return finish_decode(op, waves * cycles, parts, where(readers > 1, cached, 0.0), device, f)


def finish_decode(op: Operator, cycles: Number, parts: Number, cached: Number, device: Device, f: Factors) -> Number:
    """Blocks against the streaming of the cache, and the merging of parts."""
    streaming = op.bytes_moved * find_byte_time(op, device, f, f.cache_efficiency)
    blocks = round_corner(cycles / device.clock_hz, maximum(streaming, cached))
    return blocks + where(parts > 1, f.attention_block_cycles / device.clock_hz, 0.0)


FACTORS = (
    *(GROUPED_TOKEN, HEAD_TOKEN, CHAINED_BLOCK, CACHE_EFFICIENCY, RESIDENT_BLOCKS),
    *(shared.ATTENTION_BLOCK, shared.CACHE_BYTES, shared.KERNEL_LATENCY),
)
DECODE_ATTENTION = Kind(
    "decode_attention", time_decode_attention, prefill_attention.time_on_cpu, FACTORS, prefill_attention.CPU_FACTORS
)
