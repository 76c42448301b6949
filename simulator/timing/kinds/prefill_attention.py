"""Fused attention over a prompt, or a chunk of one.

Blocks of queries meet the blocks of keys that they may see. The work spreads over the units, but the last block row is
the longest: the kernel ends a share of that row after the others, and is never shorter than it (list scheduling; Graham
1969, doi 10.1137/0117039). Segments of one launch add their work up, and share the longest row among them.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.batch import add
from simulator.costs.operators import Operator, count_scores, share_read
from simulator.numbers import Number, ceil, maximum, minimum, square_root, where
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.memory import find_byte_time, time_latency

# A block holds this many queries and keys where a unit makes 2048 FLOP a cycle, as on A100.
QUERY_TILE = 64
QUERY_TILE_FLOPS_PER_CYCLE = 2048
# Queries of one block of torch's fused attention, by the fewest queries it is used for (ATen FlashAttentionKernel.cpp).
QUERY_BLOCKS = ((768, 256), (192, 64), (0, 32))

OPERAND_PASSES = Factor(
    "attention_operand_passes",
    *("1", 1.5, 20.0),
    "times that queries, keys, values and outputs of a prompt cross memory around fused attention",
    Prior(2.4, 0.3, "rotation, cache write and the kernel itself"),
)
TAIL_SHARE = Factor(
    "attention_tail_share",
    *("1", 0.01, 1.0),
    "share of the longest row of attention blocks that runs after all others are done",
    Prior(0.8, 0.3, "blocks end at random within the longest; 0.66 to 0.96 on five devices"),
)
SOFTMAX_ELEMENTS = Factor(
    "softmax_elements",
    *("1", 1.0, 500.0),
    "elements of a head whose products take as long as the softmax of a score, where a unit makes 2048 FLOP a cycle",
    Prior(
        32.0, 0.3, "16 exponentials and 1024 FMAs of fp16 a cycle and unit on A100 make 32 of a score's two products"
    ),
)
PROMPT_BLOCK = Factor(
    "prompt_block_cycles",
    *("cycles", 1.0, 1e5),
    "start and end of one block of queries of attention over a prompt, others on its unit meanwhile",
    Prior(1000.0, 0.8, "a memory latency of about 700 cycles or two, shared by the blocks that a unit holds"),
)
SPILLED_SLOWDOWN = Factor(
    "spilled_slowdown",
    *("1", 1.0, 20.0),
    "slowdown of attention over a prompt in 8 bits where the outputs of a wide head do not stay in the registers",
    Prior(3.0, 0.3, "on L40S heads of 256 make 79 TFLOP/s, those of 128 make 248; in 16 bits both make the same"),
)
SPILLED_PAST = 192  # numbers of a head; 192 and fewer stay in the registers
SCORE_CYCLES = Factor(
    "score_cycles",
    *("cycles", 0.01, 100.0),
    "softmax of one attention score on one core of a CPU",
    Prior(3.0, 0.6, "some tens of vector instructions for sixteen scores"),
)


class Blocks(NamedTuple):
    """Work of one segment, seconds: all blocks over all units, its longest row on one unit, and its operands."""

    everything_s: Number
    longest_s: Number
    streaming_s: Number


def time_prefill_attention(operator: Operator, device: Device, f: Factors) -> Number:
    """Causal attention of ``m`` new tokens over ``n``; see the module docstring."""
    parts = [count_blocks(part, device, f) for part in operator.parts or (operator,)]
    everything = add(part.everything_s for part in parts)
    longest = parts[0].longest_s
    for part in parts[1:]:
        longest = maximum(longest, part.longest_s)
    compute = maximum(everything + f.attention_tail_share * longest, longest)
    streaming = add(part.streaming_s for part in parts)
    return operator.launches * f.kernel_latency_s + compute + streaming


def count_blocks(op: Operator, device: Device, f: Factors) -> Blocks:
    """Blocks of one segment. Faster units take larger blocks, such that a block takes them about as many cycles."""
    per_cycle = device.unit_flops_per_s / device.clock_hz
    tile = QUERY_TILE * square_root(per_cycle / device.held_share / QUERY_TILE_FLOPS_PER_CYCLE)
    rows, whole = ceil(op.m / tile), ceil((op.n + op.unseen) / tile)
    # The queries of a block see a window each, which together reach over one block more than the window is long.
    columns = where(op.unseen > 0, minimum(ceil((op.n - 1) / tile) + 1, whole), whole)
    softmax = f.softmax_elements * per_cycle / QUERY_TILE_FLOPS_PER_CYCLE
    block = 4 * tile * tile * (op.k + softmax) / f.attention_efficiency
    if device.spills_narrow_heads and op.narrow:
        block = block * where(op.k > SPILLED_PAST, f.spilled_slowdown, 1.0)
    visible = count_scores(rows, columns, whole - columns)
    start = f.prompt_block_cycles / device.clock_hz
    everything = op.batch * (visible * block / device.peak_flops_per_s + rows * start / device.units)
    longest = columns * block / device.unit_flops_per_s + start
    return Blocks(everything, longest, time_operands(op, device, f))


def time_operands(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds in which queries, keys, values and outputs cross memory around the kernel."""
    operands = op.activation_bytes + op.kv_bytes * share_read(op)
    return f.attention_operand_passes * operands * find_byte_time(op, device, f, 1.0)


def time_on_cpu(operator: Operator, device: Device, f: Factors) -> Number:
    """Attention of one launch over all its segments."""
    return time_latency(1, device, f) + add(time_part(part, device, f) for part in operator.parts or (operator,))


def time_part(op: Operator, device: Device, f: Factors) -> Number:
    """Products, a softmax of so many cycles a score, and the cache from memory.

    A block of queries works out all scores up to its last query's, so half a block more than the mask lets through.
    """
    block = minimum(op.m, choose_block(op.m))
    scores = op.batch * (count_scores(op.m, op.n, op.unseen) + op.m * (block - 1) / 2)
    blocks = op.batch * ceil(op.m / block)
    products = 4 * scores * op.k / (f.attention_efficiency * device.peak_flops_per_s)
    cycles = scores * f.score_cycles + blocks * f.attention_start_cycles
    cache_bytes = op.kv_bytes * share_read(op)
    reading = cache_bytes / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    return products + cycles / (device.units * device.clock_hz) + reading


def choose_block(queries: Number) -> Number:
    """Queries of one block of attention."""
    (most, large), (some, middle), (_, small) = QUERY_BLOCKS
    return where(queries >= most, large, where(queries >= some, middle, small))


GPU_FACTORS = (
    *(shared.ATTENTION_EFFICIENCY, OPERAND_PASSES, TAIL_SHARE, SOFTMAX_ELEMENTS, PROMPT_BLOCK, SPILLED_SLOWDOWN),
    *(shared.KERNEL_LATENCY, shared.CACHE_BYTES),
)
CPU_FACTORS = (
    *(shared.ATTENTION_EFFICIENCY, SCORE_CYCLES, shared.BLOCK_START),
    *(shared.MATRIX_BANDWIDTH, shared.KERNEL_LATENCY),
)
PREFILL_ATTENTION = Kind("prefill_attention", time_prefill_attention, time_on_cpu, GPU_FACTORS, CPU_FACTORS)
