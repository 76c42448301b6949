"""What a load costs: money, energy and carbon of all devices for as long as they stand ready, idle time in it.

An hour of a deployment is an hour of all its devices. It is shared out between prompts and outputs as the engine's time
is between reading and decoding; what is idle goes with them. So an input token at its price and an output token at its
price add up to the request.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.costs.batch import Batch, Segment
from simulator.costs.passes import build_pass
from simulator.costs.request import Work
from simulator.metrics.power import find_pass_power, find_power
from simulator.metrics.rate_file import HOUR_S
from simulator.metrics.rates import Rates
from simulator.numbers import Number
from simulator.serving.curves import Mix, measure_mix
from simulator.serving.outcome import Outcome
from simulator.serving.setup import Setup
from simulator.timing.passes import Machine, time_pass

MILLION = 1e6


class Watts(NamedTuple):
    """Mean board power of all devices of a replica while it reads prompts, while it decodes, and while it is idle."""

    prefill_w: Number
    decode_w: Number
    idle_w: Number


class Spending(NamedTuple):
    """What a load costs; money is None without a price, energy and carbon without a power.

    ``usd_per_million_tokens``: over input and output tokens alike. ``usd_per_million_output_tokens``: over output
    tokens alone, the prompts that they need in it. The prefill's per input token and the decode's per output token add
    up to the request.
    """

    usd_per_hour: Number | None
    usd_per_request: Number | None
    usd_per_million_tokens: Number | None
    usd_per_million_output_tokens: Number | None
    prefill_usd_per_million_input_tokens: Number | None
    decode_usd_per_million_output_tokens: Number | None
    energy_j_per_request: Number | None
    energy_j_per_output_token: Number | None
    carbon_kg_per_request: Number | None


def measure_watts(work: Work, machine: Machine, mix: Mix, tdp_w: float, running: Number) -> Watts:
    """Power of one replica with so many sequences: of a decode pass, and of a prompt by itself.

    Of a pipeline one stage works at a time, and the others stand idle.
    """
    d = work.deployment

    def measure(segment: Segment) -> Number:
        passed = time_pass(build_pass(*work[:3], Batch((segment,))), machine)
        return d.tp * (find_pass_power(passed, machine.device, tdp_w) + (d.pp - 1) * idle_w)

    idle_w = find_power(0.0, 0.0, tdp_w)
    return Watts(
        measure(Segment(1.0, mix.prompt_tokens)),
        measure(Segment(running, 1.0, mix.context_tokens, decodes=True)),
        d.tp * d.pp * idle_w,
    )


def measure_spending(
    rates: Rates,
    devices: Number,
    mix: Mix,
    requests_per_s: Number,
    prefill_share: Number,
    decode_share: Number,
    watts: Watts | None = None,
    replicas: Number = 1,
) -> Spending:
    """Money, energy and carbon of a load.

    Args:
        rates: price of a device, grid and site.
        devices: all of them.
        mix: the requests.
        requests_per_s: that all replicas serve.
        prefill_share: share of the time in which a replica reads prompts.
        decode_share: share of the time in which it decodes.
        watts: of one replica; None where the board's power is not known.
        replicas: of the model.
    """
    hour_usd = None if rates.price is None else rates.price.price * HOUR_S * devices
    served = requests_per_s * HOUR_S
    reading = prefill_share / np.maximum(prefill_share + decode_share, 1e-12)
    total_tokens = mix.prompt_tokens + mix.output_tokens

    def share_out(part: Number, tokens: float) -> Number | None:
        return None if hour_usd is None else MILLION * part * hour_usd / (served * tokens)

    energy_j = carbon_kg = None
    if watts is not None:
        idle = np.maximum(1 - prefill_share - decode_share, 0.0)
        mean_w = prefill_share * watts.prefill_w + decode_share * watts.decode_w + idle * watts.idle_w
        energy_j = replicas * mean_w * rates.site.pue / requests_per_s
        carbon_kg = energy_j * rates.grid.kg_co2e_per_j
    return Spending(
        hour_usd,
        None if hour_usd is None else hour_usd / served,
        share_out(1.0, total_tokens),
        share_out(1.0, mix.output_tokens),
        share_out(reading, mix.prompt_tokens),
        share_out(1 - reading, mix.output_tokens),
        energy_j,
        None if energy_j is None else energy_j / mix.output_tokens,
        carbon_kg,
    )


def measure_run(setup: Setup, outcome: Outcome) -> Spending:
    """What a simulated load costs: its rate, and how long its replicas read, decode and stand idle, are the run's.

    Where a model drafts, its passes count as decoding, at the power of the model's own.
    """
    question = setup.question
    work, hardware, mix = question.work, question.hardware, measure_mix(setup.requests)
    replicas, watts = work.deployment.dp + setup.reading, None
    if hardware.power is not None:
        running = max(outcome.mean_running / work.deployment.dp, 1.0)
        watts = measure_watts(work, question.machine, mix, hardware.power.tdp, running)
    return measure_spending(
        question.rates,
        replicas * work.deployment.tp * work.deployment.pp,
        mix,
        outcome.requests_per_s,
        outcome.prefill_share,
        outcome.decode_share,
        watts,
        replicas,
    )
