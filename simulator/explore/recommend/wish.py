"""What is wanted: a model, a load, limits on its latencies, and what should be least."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from simulator.errors import InputError, unknown_name
from simulator.explore.load_solve import LIMITED, MOST_IN_FLIGHT
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.formats import find_format
from simulator.inputs.hardware import Hardware
from simulator.metrics.rates import SHIPPED_RATES, AskedRates
from simulator.serving.curves import Mix, measure_mix
from simulator.serving.workload import Load, check_load, draw_requests

OWN = "own"  # the checkpoint's formats
OBJECTIVES = ("usd_per_million_tokens", "devices", "energy")
USUAL_LENGTHS = (0.8, 1.2)  # of the nominal: requests of one length would move in step for ever
# Devices that are most often rented by the hour, where none are named.
USUAL_DEVICES = ("a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb", "b200-180gb", "l40s-48gb", "mi300x-192gb")
MOST_DEVICES = 64
MOST_NODES = 2
DRAWN = 1000  # requests whose lengths say how long requests are


@frozen_dataclass(eq=False)
class Wish:
    """The question, with every name resolved but stacks and profiles, which follow from the device.

    ``formats``: None, those that each device has. ``most_devices`` of a deployment, and ``most_nodes`` of a replica.
    """

    model: ModelSpec
    devices: Sequence[Hardware]
    stacks: Sequence[str | None]
    calibration: str | None
    load: Load
    limits: Mapping[str, float]
    objective: str = OBJECTIVES[0]
    rates: AskedRates = SHIPPED_RATES
    formats: Sequence[str] | None = None
    kv_dtype: str | None = None
    most_devices: int = MOST_DEVICES
    most_nodes: int = MOST_NODES

    @cached_property
    def mix(self) -> Mix:
        """How long requests are."""
        load = self.load
        return measure_mix(
            draw_requests(
                Load(load.prompt_tokens, load.output_tokens, load.lengths, 1, num_requests=DRAWN, seed=load.seed)
            )[0]
        )

    @property
    def offered(self) -> float:
        """Requests in flight, or a second."""
        load = self.load
        return float(load.request_rate if load.concurrency is None else load.concurrency)  # type: ignore[arg-type]

    @property
    def is_closed(self) -> bool:
        """Whether so many are in flight; else so many come in a second."""
        return self.load.concurrency is not None


def check_wish(wish: Wish) -> None:
    """Refuse what no search can answer.

    Raises:
        InputError: with the first reason found.
    """
    check_load(wish.load)
    load = wish.load
    if load.trace is not None:
        raise InputError("recommend takes --concurrency or --request-rate; simulate replays a trace")
    if load.request_rate is not None and math.isinf(load.request_rate):
        raise InputError("a request_rate of inf has no steady state; give requests a second, or a concurrency")
    if load.burstiness != 1:
        raise InputError("recommend takes requests of a Poisson process; simulate has --burstiness")
    if load.concurrency is not None and load.concurrency > MOST_IN_FLIGHT:
        raise InputError(f"concurrency is {load.concurrency}; recommend takes up to {MOST_IN_FLIGHT:,}")
    positions = wish.model.architecture.max_position_embeddings
    if wish.mix.longest > positions:
        raise InputError(
            f"the longest requests reach {wish.mix.longest:,} tokens, past the {positions:,.0f} of {wish.model.id}: "
            "they spread about the nominal lengths (--lengths 1-1 does not let them)"
        )
    for name, limit in wish.limits.items():
        if name not in LIMITED:
            raise unknown_name("limit of a load", name, LIMITED)
        if not 0 < limit < math.inf:
            raise InputError(f"limit {name} is {limit}; it must be above 0 and finite")
    if load.output_tokens == 1 and any(name.startswith(("tpot", "itl")) for name in wish.limits):
        raise InputError("requests of one output token have no time per output token to limit")
    if wish.objective not in OBJECTIVES:
        raise unknown_name("objective", wish.objective, OBJECTIVES)
    if not wish.devices:
        raise InputError("name devices to choose among: --devices h100,h200, or --any")
    for one in wish.formats or ():
        if one != OWN:
            find_format(one, "format")
    for name, count in (("max_devices", wish.most_devices), ("nodes", wish.most_nodes)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= 100_000:
            raise InputError(f"{name} is {count}; it must be a whole number from 1 to 100,000")
