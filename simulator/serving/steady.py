"""The steady state in closed form: what a load comes to without running it, for numbers and for arrays.

Each of ``C`` sequences makes a token a pass, and each request's prompt takes its own time once, in which the others
wait or make fewer tokens. A request of ``O`` outputs so takes ``O step(C) / C + prefill`` of the engine, and

    TPOT = step(C) + (C - 1) prefill / O.

A request of a closed loop comes as the one before it ends, waits for the pass that runs then (and for one more where
passes are chosen ahead) and is read. The first ``C`` come together and wait for each other's prompts.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from simulator.costs.batch import Batch, Segment
from simulator.costs.passes import build_pass
from simulator.costs.request import Work
from simulator.inputs.stack import Scheduler
from simulator.numbers import Number, ceil, maximum, minimum
from simulator.serving.drafts import Draft
from simulator.serving.pass_table import Prompt
from simulator.serving.setup import Setup
from simulator.timing.passes import Machine, time_pass

SAMPLE = 64  # prompts whose times are averaged
BESIDE = ("vllm", "tensorrt-llm")  # policies that read prompts beside decoding sequences


class Steady(NamedTuple):
    """One replica with so many sequences: seconds of a decode pass and of a prompt, and what follows.

    ``alone_s``: a prompt among as many as fit into a pass, with nothing beside them.
    """

    step_s: Number
    prefill_s: Number
    alone_s: Number
    tpot_s: Number
    requests_per_s: Number

    def find_ttft(self, scheduler: Scheduler, concurrency: Number, first_share: Number) -> Number:
        """Mean time to first token of a closed loop, of which such a share are the first that come together."""
        ahead = 1 + scheduler.asynchronous
        waits = where_alone(concurrency, ahead * self.tpot_s)
        beside = self.step_s if scheduler.policy in BESIDE else 0.0
        steady = waits + where_alone(concurrency, beside) + self.prefill_s
        together = self.alone_s * (concurrency + 1) / 2
        return (1 - first_share) * steady + first_share * together


def where_alone(concurrency: Number, seconds: Number) -> Number:
    """What a request waits for others: nothing where it is the only one."""
    return np.where(np.asarray(concurrency) > 1, seconds, 0.0)


def time_steady(
    work: Work,
    machine: Machine,
    scheduler: Scheduler,
    budget: Number,
    prompt_tokens: Number,
    output_tokens: Number,
    context_tokens: Number,
    sequences: Number,
) -> Steady:
    """The steady state of one replica; the tokens are means, those of the context over the decode passes."""

    def time(*segments: Segment) -> Any:
        return time_pass(build_pass(*work[:3], Batch(segments)), machine).seconds

    decoding = Segment(sequences, 1.0, context_tokens, decodes=True)
    step_s = time(decoding)
    beside = scheduler.policy in BESIDE
    room = maximum(budget - (sequences if beside else 0), 1.0) if scheduler.chunked_prefill else prompt_tokens
    chunks = ceil(prompt_tokens / room)
    tokens = prompt_tokens / chunks
    before = (prompt_tokens - tokens) / 2
    together = maximum(minimum(budget // prompt_tokens, sequences), 1.0)
    alone_s = chunks * time(Segment(together, tokens, before)) / together
    prefill_s = alone_s
    if beside:
        prefill_s = chunks * (time(Segment(1.0, tokens, before), decoding) - step_s)
    each_s = output_tokens * step_s / sequences + prefill_s
    return Steady(step_s, prefill_s, alone_s, step_s + (sequences - 1) * prefill_s / output_tokens, 1 / each_s)


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
    """The steady state of one replica with so many sequences, by the mean over a sample of the prompts."""
    inputs, outputs = setup.requests.input_tokens, setup.requests.output_tokens
    # A decode pass is one of a long request with more likelihood than of a short one.
    context = float(np.average(inputs + outputs / 2, weights=outputs))
    sample = inputs[:: max(len(inputs) // SAMPLE, 1)].astype(np.float64)
    question = setup.question
    found = time_steady(
        question.work,
        question.machine,
        setup.scheduler,
        float(setup.limits.max_num_batched_tokens),
        sample,
        float(np.mean(outputs)),
        context,
        float(sequences),
    )
    step_s, prefill_s, alone_s, tpot_s = (float(np.mean(value)) for value in found[:4])
    each_s = float(np.mean(1 / np.asarray(found.requests_per_s)))
    if setup.draft is None:
        return Steady(step_s, prefill_s, alone_s, tpot_s, 1 / each_s)
    return add_drafts(setup, setup.draft, sequences, context, Steady(step_s, prefill_s, alone_s, tpot_s, 1 / each_s))


def add_drafts(setup: Setup, draft: Draft, sequences: int, context: float, plain: Steady) -> Steady:
    """The steady state where passes verify drafts, which make several tokens, and prompts are read by both models."""
    mean = round(float(np.mean(setup.requests.input_tokens)))
    alone, prompt = np.zeros(0, dtype=np.int64), (Prompt(min(mean, setup.limits.max_num_batched_tokens)),)
    reading_s = setup.clock.time(alone, prompt) - setup.table.time(alone, prompt)
    step_s = setup.clock.time(np.full(sequences, round(context)))
    prefill_s, outputs = plain.prefill_s + reading_s, float(np.mean(setup.requests.output_tokens))
    token_s = step_s / draft.made
    each_s = outputs * token_s / sequences + prefill_s
    tpot_s = token_s + (sequences - 1) * prefill_s / outputs
    return Steady(step_s, prefill_s, plain.alone_s + reading_s, tpot_s, 1 / each_s)


def find_saturation(setup: Setup) -> Saturation:
    """Whether more comes than the engine can serve, by the steady state with as many sequences as it holds.

    Of a closed loop: whether more are in flight than that. What comes all at once is not a rate.
    """
    replicas, most = setup.question.work.deployment.dp, find_most(setup)
    steady = find_steady(setup, most)
    served = replicas * float(steady.requests_per_s)
    if setup.reading:  # the slower of those that read and those that decode
        decoding_s = 1 / float(steady.requests_per_s) - float(steady.prefill_s)
        served = min(setup.reading / float(steady.alone_s), replicas / decoding_s)
    load = setup.load
    if load.concurrency is not None:
        return Saturation(load.concurrency > replicas * most, served)
    span_s = float(setup.arrival_s.max() - setup.arrival_s.min())
    offered = load.request_rate or ((len(setup.arrival_s) - 1) / span_s if span_s else math.inf)
    return Saturation(served < offered < math.inf, served)
