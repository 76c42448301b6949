"""The time of one request: T(p, o) = prefill of p tokens + the decode passes of o - 1 further tokens.

Narayanan et al. 2023 (arXiv 2305.02440), section 3.2, model the same sum as ``prompt time(p) + (o - 1) x time per
output token``; here each decode pass has its own context.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simulator.costs.attention import Tokens, list_attention_operators
from simulator.costs.layers import Group
from simulator.costs.model import Step, decode_tokens, prefill_tokens
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.numbers import Number, ceil, maximum, minimum, where
from simulator.timing.step import FixedTime, Machine, PassTime, add_attention, time_fixed

# Three-point Gauss-Legendre quadrature, exact for a pass time up to the fifth power of the context: the distance of the
# outer nodes from the middle, in lengths of the interval, and the weights.
OUTER_NODE = math.sqrt(0.6) / 2
MIDDLE_WEIGHT, OUTER_WEIGHT = 8 / 18, 5 / 18


class Work(NamedTuple):
    """What is to be run: the model as the stack builds it, the layout, the stack and the request."""

    architecture: Architecture
    deployment: Deployment
    stack: Stack
    workload: Workload


class Times(NamedTuple):
    """The three times that people ask for, seconds."""

    ttft_s: Number
    tpot_s: Number
    e2e_s: Number


class RequestTime(NamedTuple):
    """Seconds of the first token and of all others, and the passes behind them.

    ``decode`` is the pass at the middle of the generation; its seconds are close to the mean, not equal to it.
    """

    prefill_s: Number
    decode_s: Number
    prefill: PassTime
    decode: PassTime
    decode_step: Step


def time_request(work: Work, machine: Machine) -> RequestTime:
    """Time the prefill and the sum of the decode passes.

    The pass that makes output token ``i + 1`` sees a context of ``p + i``, ``i = 1 .. o - 1``. Their sum is taken as
    the integral of the pass time from ``p + 1/2`` to ``p + o - 1/2``.
    """
    d, request = work.deployment, work.workload
    p, o, b = request.prompt_tokens, request.output_tokens, find_pass_batch(d, request.batch_size)
    read = maximum(p - 1, 1.0) if work.stack.first_token_by_decode else p
    prefill, prefill_passes = time_prefill(work, machine, read, b)
    passes = o - 1
    center = p + 0.5 + maximum(passes, 1) / 2
    # One context stands for all, so that the answer is remembered for them.
    fixed = time_fixed(work.architecture, d, work.stack, decode_tokens(1.0, b), machine)
    attention = list_attention_operators(work.architecture, d, work.stack, decode_tokens(center, b))
    decode = add_attention(fixed, attention, machine)
    step = fixed.step._replace(attention=attention)
    outer = [time_decode_pass(work, machine, fixed, center + side * OUTER_NODE * passes, b) for side in (-1, 1)]
    mean = MIDDLE_WEIGHT * decode.seconds + OUTER_WEIGHT * sum(outer)
    prefill_s = prefill_passes * prefill.seconds
    if work.stack.first_token_by_decode:
        prefill_s = where(p > 1, prefill_s, 0.0) + time_decode_pass(work, machine, fixed, p, b)
    # A pipeline of pp stages takes in the next part of the batch after a stage's time, 1 / pp of a pass.
    parts = count_parts(d, request.batch_size)
    filling = 1 + (parts - 1) / d.pp
    turns = maximum(1.0, parts / d.pp)
    return RequestTime(filling * prefill_s, turns * passes * mean, prefill, decode, step)


def find_pass_batch(d: Deployment, batch_size: Number) -> Number:
    """Requests that pass through the layers together: of the fullest copy of the model and the largest micro-batch."""
    return ceil(ceil(batch_size / d.dp) / d.micro_batches)


def count_parts(d: Deployment, batch_size: Number) -> Number:
    """Micro-batches that the fullest copy of the model really has: of whole requests, and no more than those."""
    return ceil(ceil(batch_size / d.dp) / find_pass_batch(d, batch_size))


def time_prefill(work: Work, machine: Machine, p: Number, b: Number) -> tuple[PassTime, Number]:
    """Time the pass that reads the prompt, and in how many such passes it is read.

    Stacks that read a prompt in chunks see more of it with each: half of it and half a chunk, on average.
    """
    a, d, stack, _ = work
    chunks = 1 if stack.prefill_chunk is None else ceil(p / stack.prefill_chunk)
    tokens = prefill_tokens(p, b)
    if stack.prefill_chunk is not None:
        tokens = Tokens(b, p / chunks, (p + p / chunks) / 2)
    if stack.prefill_chunk is not None and a.sliding_window is not None and not a.is_latent:
        attention = list_windowed_chunks(work, tokens, p, chunks)
    else:
        attention = list_attention_operators(a, d, stack, tokens)
    return add_attention(time_fixed(a, d, stack, tokens, machine), attention, machine), chunks


def list_windowed_chunks(work: Work, tokens: Tokens, p: Number, chunks: Number) -> list[Group]:
    """Attention of the mean chunk: in windowed layers of those before the window is full and of those after it."""
    a, d, stack, _ = work
    full = a.num_hidden_layers - a.full_layers
    filling = minimum(p, a.sliding_window)
    share = minimum(filling / tokens.queries, chunks) / chunks
    groups = list_attention_operators(a, d, stack, tokens)[:-1]
    context = maximum((filling + tokens.queries) / 2, tokens.queries)
    early = list_attention_operators(a, d, stack, tokens._replace(context=context))[-1][1]
    late = list_attention_operators(a, d, stack, tokens._replace(context=p))[-1][1]
    return [*groups, (full * share, early), (full * (1 - share), late)]


def time_decode_pass(work: Work, machine: Machine, fixed: FixedTime, context: Number, batch: Number) -> Number:
    """Seconds of the decode pass over one context."""
    tokens = decode_tokens(context, batch)
    attention = list_attention_operators(work.architecture, work.deployment, work.stack, tokens)
    return add_attention(fixed, attention, machine).seconds


def combine_times(request: RequestTime, workload: Workload) -> Times:
    """TTFT, TPOT and E2E, broadcast to one shape."""
    passes = workload.output_tokens - 1
    e2e = request.prefill_s + request.decode_s
    if isinstance(e2e, np.ndarray):
        with np.errstate(invalid="ignore"):
            tpot = np.where(passes > 0, request.decode_s / maximum(passes, 1.0), np.nan)
        ttft, tpot, e2e = np.broadcast_arrays(request.prefill_s, tpot, e2e)
        return Times(ttft, tpot, e2e)
    return Times(request.prefill_s, request.decode_s / passes if passes else float("nan"), e2e)


def find_throughput(workload: Workload, e2e_s: Number) -> Number:
    """Output tokens per second over the batch, the prefill's time included."""
    return workload.batch_size * workload.output_tokens / e2e_s
