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
# Blocks of TensorRT-LLM's kernel for a single query head (decoderMaskedMultiheadAttentionLaunch.h): the fewest threads,
# numbers that a thread loads at once (16 bytes, as wide as the queries are), and how often before it multiplies.
SMALLEST_BLOCK, LOADED_NUMBERS, UNROLLED = 256, 8, 8

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
CHAINED_TOKEN = Factor(
    "chained_token_cycles",
    *("cycles", 0.5, 1e3),
    "one cached token in a block of decode attention that loads while the block before it multiplies",
    Prior(14.0, 0.35, "a unit takes in some 40 of the 512 bytes of a head of 128 a cycle; 10 to 19 on three devices"),
)
UNIT_TOKEN = Factor(
    "unit_token_cycles",
    *("cycles", 0.5, 1e3),
    "one cached token of decode attention where all threads of a unit serve a single query head",
    Prior(17.0, 0.3, "1024 threads with eight loads of 16 bytes each under way; 13 to 21 on five devices"),
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
HEAD_BLOCK = Factor(
    "head_block_cycles",
    *("cycles", 50.0, 1e5),
    "start and end of a block of decode attention for a single query head where four share a unit",
    Prior(9000.0, 0.25, "three memory latencies, four blocks at once: 8400 to 12000 on five devices"),
)
CONVERSION = Factor(
    "software_conversion",
    *("1", 1.0, 50.0),
    "slowdown of decode attention for a single query head that converts numbers of 8 bits by software",
    Prior(4.0, 0.4, "a dozen instructions a number beside the three of its load, its conversion and its product"),
)
RESIDENT_BLOCKS = Factor(
    "resident_blocks",
    *("1", 1.0, 32.0),
    "blocks of decode attention for a single query head that a unit runs at once",
    Prior(3.0, 0.3, "registers and shared memory of a block leave room for two to four"),
)


def time_decode_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """One new token of each sequence over a cache of ``n`` tokens, or ``m`` of them: a draft beside it."""
    kernel = device.decode_kernel
    launches = operator.launches + kernel.more_launches
    if kernel.rotates_heads_of is not None:
        rotated_before = both(is_packed(operator, device), operator.k < kernel.rotates_heads_of)
        launches = launches + where(rotated_before, 1, 0)
    return launches * f.kernel_latency_s + share_launch(time_equal, operator, device, f)


def time_equal(operator: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a kernel over sequences of equal lengths, without its latency."""
    one = time_unit_blocks if device.decode_kernel.unit_threads else time_head_blocks
    return choose(
        is_packed(operator, device),
        lambda: time_grouped_blocks(operator, device, f),
        lambda: one(operator, device, f),
    )


def is_packed(op: Operator, device: Device) -> Number:
    """Whether one block serves all query heads of a key head."""
    kernel = device.decode_kernel
    packed = both(kernel.packs == "always" or op.group > 1, op.group <= max(MOST_GROUP, kernel.group_rows))
    if kernel.packs == "where it fills":
        packed = both(packed, op.batch / op.group * count_most_parts(op, device) * LEAST_FILL >= device.units)
    return packed


def count_most_parts(op: Operator, device: Device) -> Number:
    """Parts that a context has at most; a window may hide all but the last of them."""
    if device.decode_kernel.parts == "one":
        return 1
    return maximum(whole_part(count_context(op, device) / LEAST_TOKENS_PER_PART), 1)


def count_context(op: Operator, device: Device) -> Number:
    """Tokens by which a context is cut into parts."""
    return op.n + op.unseen if device.decode_kernel.splits_unseen else op.n


def time_grouped_blocks(op: Operator, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a key head and a part of the tokens.

    The queries of a draft are packed beside those of the heads that share the key. Blocks of which a window hides all
    tokens start and end as the others do.
    """
    kernel, pairs, most_parts = device.decode_kernel, op.batch / op.group, count_most_parts(op, device)
    most_waves = 1 if kernel.parts == "one wave" else MOST_WAVES
    parts = most_parts
    if most_waves > 1:
        parts = whole_part(minimum(most_parts, square_root(most_waves * most_parts)) + 0.5)
    parts = maximum(minimum(parts, whole_part(most_waves * device.units / pairs)), 1)
    tokens = round_up(op.n / parts, TOKEN_STEP)
    waves = ceil(pairs * ceil(op.n / tokens) / device.units)  # whole steps may leave nothing to the last part
    starts = waves
    if kernel.splits_unseen:
        starts = where(op.unseen > 0, ceil(pairs * parts / device.units), waves)
    row_steps = ceil(op.group * op.m / kernel.group_rows)
    width = device.cache_number_bytes / FULL_WIDTH if kernel.by_width else 1
    start, token = f.attention_block_cycles, f.grouped_token_cycles
    if kernel.loads_ahead:
        start, token = f.chained_block_cycles, f.chained_token_cycles
    cycles = starts * start + waves * tokens * row_steps * op.k / STATED_HEAD_SIZE * width * token
    merging = where(parts > 1, start, 0.0)
    return finish_decode(op, cycles, merging, 0.0, device, f)


def time_head_blocks(op: Operator, device: Device, f: Factors) -> Number:
    """The kernel of which one block serves a sequence, a query head and a part of the tokens."""
    least_parts = maximum(whole_part(op.n / HEAD_LEAST_TOKENS), 1)
    splits = device.decode_kernel.parts != "one"
    parts = maximum(minimum(whole_part(device.units / op.batch), least_parts), 1) if splits else 1
    tokens = round_up(op.n / parts, HEAD_TOKEN_STEP)
    waves = ceil(op.batch * op.m * parts / (device.units * f.resident_blocks))
    cycles = f.attention_block_cycles + tokens * op.k / STATED_HEAD_SIZE * f.head_token_cycles
    merging = where(parts > 1, f.attention_block_cycles, 0.0)
    return finish_decode(op, waves * cycles, merging, read_again(op, device, f), device, f)


def time_unit_blocks(op: Operator, device: Device, f: Factors) -> Number:
    """The same, with blocks that grow: one of all threads of a unit, of half or of a quarter of them.

    They are the larger the fewer sequences and heads there are, and a context has so many parts that the units are
    full once, but none shorter than what the threads of a block load at once.
    """
    kernel = device.decode_kernel
    most = (kernel.unit_threads or SMALLEST_BLOCK) // SMALLEST_BLOCK
    room = ceil(most * device.units / op.batch)  # smallest blocks for each sequence and head
    size = where(room >= most, most, where(room >= most / 2, most / 2, 1))  # of a block, in smallest ones
    beside = most / size  # blocks that a unit holds
    loaded = size * SMALLEST_BLOCK * LOADED_NUMBERS / op.k
    parts = minimum(ceil(beside * device.units / op.batch), ceil((count_context(op, device) + 1) / (UNROLLED * loaded)))
    waves = ceil(op.batch * op.m * parts / (beside * device.units))
    tokens = round_up(op.n / parts, loaded)
    cycles = f.head_block_cycles + tokens * op.k / STATED_HEAD_SIZE * beside * f.unit_token_cycles
    if kernel.converts_by_software:
        cycles = cycles * f.software_conversion
    merging = where(parts > 1, f.head_block_cycles, 0.0)
    return finish_decode(op, waves * cycles, merging, read_again(op, device, f), device, f)


def read_again(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds in which query heads that share keys, and the queries of a draft, read them once each, from the cache."""
    readers = op.group * op.m
    return where(readers > 1, op.kv_bytes * readers * find_cache_time(device, f), 0.0)


def finish_decode(op: Operator, cycles: Number, merging: Number, cached: Number, device: Device, f: Factors) -> Number:
    """Blocks against the streaming of the cache, then cycles of the merging of parts."""
    streaming = op.bytes_moved * find_byte_time(op, device, f, f.cache_efficiency)
    return round_corner(cycles / device.clock_hz, maximum(streaming, cached)) + merging / device.clock_hz


FACTORS = (
    *(GROUPED_TOKEN, HEAD_TOKEN, CHAINED_BLOCK, CHAINED_TOKEN, HEAD_BLOCK, UNIT_TOKEN, CONVERSION),
    *(CACHE_EFFICIENCY, RESIDENT_BLOCKS),
    *(shared.ATTENTION_BLOCK, shared.CACHE_BYTES, shared.KERNEL_LATENCY),
)
DECODE_ATTENTION = Kind(
    "decode_attention", time_decode_attention, prefill_attention.time_on_cpu, FACTORS, prefill_attention.CPU_FACTORS
)
