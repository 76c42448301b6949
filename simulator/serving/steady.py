"""The steady state in closed form: how many requests a second an engine serves with so many sequences running.

In steady state each of ``C`` sequences makes a token a pass, and each request's prompt takes its own time once. A
request of ``O`` outputs thus takes ``O step(C) / C + prefill`` of the engine, and ``TPOT = step(C) + (C - 1) prefill /
O``: the other sequences' prompts fall into its passes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simulator.serving.pass_table import Prompt
from simulator.serving.setup import Setup

SAMPLE = 64  # prompts whose times are averaged
BESIDE = ("vllm", "tensorrt-llm")  # policies that read prompts beside decoding sequences


class Steady(NamedTuple):
    """One replica with so many sequences: seconds of a decode pass and of a prompt, and the times that follow."""

    sequences: float
    step_s: float
    prefill_s: float
    tpot_s: float
    requests_per_s: float


class Saturation(NamedTuple):
    """Whether more comes than the engine can serve, and the requests a second that it serves at most."""

    saturated: bool
    requests_per_s: float


def find_most(setup: Setup) -> int:
    """Sequences that run at most in one replica: by their number, and by the blocks of those in the middle."""
    inputs, outputs = setup.requests.input_tokens, setup.requests.output_tokens
    held = float(np.mean(setup.room.blocks_of[inputs + outputs // 2]))
    return max(min(setup.limits.max_num_seqs, int(setup.room.blocks / held)), 1)


def find_steady(setup: Setup, sequences: int) -> Steady:
    """The steady state of one replica with so many sequences."""
    inputs, outputs, table = setup.requests.input_tokens, setup.requests.output_tokens, setup.table
    made = float(np.mean(outputs))
    # A decode pass is one of a long request with more likelihood than of a short one.
    context = round(float(np.average(inputs + outputs / 2, weights=outputs)))
    decoding = np.full(sequences, context, dtype=np.int64)
    step_s = table.time(decoding)
    beside = setup.scheduler.policy in BESIDE
    room = setup.limits.max_num_batched_tokens - (sequences if beside else 0)
    budget = room if setup.scheduler.chunked_prefill and room > 0 else int(inputs.max())
    sample = inputs[:: max(len(inputs) // SAMPLE, 1)]
    prefill_s = 0.0
    for length in sample.tolist():
        for done in range(0, length, budget):
            prompt = Prompt(min(budget, length - done), done, done + budget >= length)
            if beside and prompt.new_tokens + sequences <= table.max_rows:
                prefill_s += table.time(decoding, (prompt,)) - step_s
            else:
                prefill_s += table.time(decoding[:0], (prompt,))
    prefill_s /= len(sample)
    each_s = made * step_s / sequences + prefill_s
    return Steady(sequences, step_s, prefill_s, step_s + (sequences - 1) * prefill_s / made, 1 / each_s)


def find_saturation(setup: Setup) -> Saturation:
    """Whether more comes than the engine can serve, by the steady state with as many sequences as it holds.

    Of a closed loop: whether more are in flight than that. What comes all at once is not a rate.
    """
    replicas, most = setup.question.work.deployment.dp, find_most(setup)
    served = replicas * find_steady(setup, most).requests_per_s
    load = setup.load
    if load.concurrency is not None:
        return Saturation(load.concurrency > replicas * most, served)
    span_s = float(setup.arrival_s.max() - setup.arrival_s.min())
    offered = load.request_rate or ((len(setup.arrival_s) - 1) / span_s if span_s else math.inf)
    return Saturation(served < offered < math.inf, served)
