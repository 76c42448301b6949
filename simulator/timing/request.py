"""The time of one request: T(p, o) = prefill of p tokens + the decode passes of o - 1 further tokens.

Narayanan et al. 2023 (arXiv 2305.02440), section 3.2, model the same sum as ``prompt time(p) + (o - 1) x time per
output token``; here each decode pass has its own context.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.costs.request import MIDDLE_WEIGHT, OUTER_WEIGHT, RequestPasses
from simulator.inputs.workload import Workload
from simulator.numbers import Number, maximum
from simulator.timing.passes import Machine, PassTime, add_mixing, time_pass


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


def time_request(passes: RequestPasses, machine: Machine) -> RequestTime:
    """Time the prefill and the sum of the decode passes."""
    prefill, decode = time_pass(passes.prefill, machine), time_pass(passes.decode, machine)
    outer = [add_mixing(passes.decode.linear, mixing, machine).seconds for mixing in passes.outer_mixing]
    mean = MIDDLE_WEIGHT * decode.seconds + OUTER_WEIGHT * sum(outer)
    prefill_s = passes.prefill_passes * prefill.seconds
    if passes.first_mixing is not None:
        prefill_s = prefill_s + add_mixing(passes.decode.linear, passes.first_mixing, machine).seconds
    return RequestTime(passes.filling * prefill_s, passes.turns * passes.decode_passes * mean, prefill, decode)


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
