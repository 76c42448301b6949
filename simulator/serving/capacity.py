"""What one setup comes to in closed form: how much its engines serve at most, and whether more comes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simulator.serving.curves import Curves, Mix, measure_curves, measure_mix
from simulator.serving.estimate import Estimate, estimate_closed, estimate_open, settle
from simulator.serving.schedulers import POLICIES
from simulator.serving.setup import Setup


class Saturation(NamedTuple):
    """Whether more comes than the engine can serve, and the requests a second that it serves at most."""

    saturated: bool
    requests_per_s: float


def find_most(setup: Setup) -> int:
    """Sequences that run at most in one replica: by their number, and by the blocks of those in the middle.

    Where blocks are reserved, by those that a request has from its start.
    """
    inputs, outputs = setup.requests.input_tokens, setup.requests.output_tokens
    reserves = POLICIES[setup.scheduler.policy](setup.scheduler).reserves
    held = float(np.mean(setup.room.blocks_of[inputs + (outputs - 1 if reserves else outputs // 2)]))
    return max(min(setup.limits.max_num_seqs, int(setup.room.blocks / held)), 1)


def measure_setup(setup: Setup, most: int) -> tuple[Curves, Mix]:
    """The curves of one replica, and the moments of its requests."""
    work, machine, draft = setup.question.work, setup.question.machine, setup.draft
    mix = measure_mix(setup.requests, 1.0 if draft is None else draft.made)
    budget = float(setup.limits.max_num_batched_tokens)
    return measure_curves(work, machine, setup.scheduler, mix, budget, most, draft), mix


def estimate_setup(setup: Setup) -> Estimate:
    """The load of one replica in closed form; prompts are read where they decode."""
    most, load, replicas = find_most(setup), setup.load, setup.question.work.deployment.dp
    curves, mix = measure_setup(setup, most)
    limit = np.array([float(most)])
    if load.concurrency is not None:
        return estimate_closed(curves, mix, np.array([math.ceil(load.concurrency / replicas)]), limit)
    return estimate_open(curves, mix, np.array([find_offered(setup) / replicas]), limit)


def find_offered(setup: Setup) -> float:
    """Requests a second that come to all replicas in an open loop; infinite where all come at once."""
    span_s = float(setup.arrival_s.max() - setup.arrival_s.min())
    return setup.load.request_rate or ((len(setup.arrival_s) - 1) / span_s if span_s else math.inf)


def find_saturation(setup: Setup) -> Saturation:
    """Whether more comes than the engine can serve, by the closed form with as many sequences as it holds.

    Of a closed loop: whether more are in flight than that. What comes all at once is not a rate.
    """
    replicas, most = setup.question.work.deployment.dp, find_most(setup)
    curves, mix = measure_setup(setup, most)
    full = np.array([float(most)])
    served = replicas * float(settle(curves, mix, full, streams=setup.load.concurrency is None).requests_per_s[0])
    if setup.reading:  # the slower of those that read and those that decode
        lone = np.ones(1)
        prompt_s = curves.read("opening_s", lone) / np.minimum(curves.room, most) + curves.read("reading_s", lone)
        decoding_s = mix.passes * float(curves.read("step_s", full)[0]) / most
        served = min(setup.reading / float(prompt_s[0]), replicas / decoding_s if decoding_s else math.inf)
    if setup.load.concurrency is not None:
        return Saturation(setup.load.concurrency > replicas * most, served)
    return Saturation(served < find_offered(setup) < math.inf, served)
