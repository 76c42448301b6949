"""The time of one request: T(p, o) = prefill of p tokens + the decode passes of o - 1 further tokens.

Narayanan et al. 2023 (arXiv 2305.02440), section 3.2, model the same sum as ``prompt time(p) + (o - 1) x time per
output token``; here each decode pass has its own context.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simulator.costs.elementary import Number, maximum
from simulator.costs.layers import list_attention_operators
from simulator.costs.model import Step, build_step, decode_tokens, prefill_tokens
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
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
    a, d, stack, request = work
    p, o, b = request.prompt_tokens, request.output_tokens, request.batch_size
    step = build_step(a, d, stack, prefill_tokens(p, b))
    prefill = add_attention(time_fixed(step, machine, p * b), step.attention, machine)
    passes = o - 1
    center = p + 0.5 + maximum(passes, 1) / 2
    middle = build_step(a, d, stack, decode_tokens(center, b))
    fixed = time_fixed(middle, machine, None)
    decode = add_attention(fixed, middle.attention, machine)
    outer = [time_decode_pass(work, machine, fixed, center + side * OUTER_NODE * passes) for side in (-1, 1)]
    mean = MIDDLE_WEIGHT * decode.seconds + OUTER_WEIGHT * sum(outer)
    return RequestTime(prefill.seconds, passes * mean, prefill, decode, middle)


def time_decode_pass(work: Work, machine: Machine, fixed: FixedTime, context: Number) -> Number:
    """Seconds of the decode pass over one context."""
    tokens = decode_tokens(context, work.workload.batch_size)
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
