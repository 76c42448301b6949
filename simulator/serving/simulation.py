"""Requests that come and go on a deployment: ``simulate`` resolves the question as ``predict`` does, runs the load on
engines by their scheduler, every pass timed by the same law, and returns a ``Simulation``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError, unknown_name
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_model
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.metrics.layout import describe_deployment
from simulator.metrics.rates import SHIPPED_RATES, AskedRates, Rates
from simulator.prediction import Question, resolve, warn_of_build
from simulator.serving.capacity import Saturation, find_saturation
from simulator.serving.cost import Spending, measure_run
from simulator.serving.engine import Progress
from simulator.serving.lengths import Lengths
from simulator.serving.limits import LIMITED, Slo, read_slo
from simulator.serving.outcome import LATENCIES, STATISTICS, Outcome, Statistics
from simulator.serving.setup import USUAL, Options, Setup, prepare
from simulator.serving.spread import Spread, find_spread
from simulator.serving.workload import Load, check_load, make_load
from simulator.shown import Shown
from simulator.timing.profile import Profile
from simulator.timing.software import find_place
from simulator.units import format_seconds

RATES = ("output_tokens_per_s", "requests_per_s")
ENDS = ("_low", "_high")


@frozen_dataclass(eq=False)
class Simulation(Shown):
    """The answer. Latencies are ``Statistics``; ``find`` takes the flat names, as ``ttft_s_p99_high``."""

    setup: Setup
    outcome: Outcome
    limits: Mapping[str, float]

    @property
    def question(self) -> Question:
        """What was asked of what."""
        return self.setup.question

    @property
    def basis(self) -> str:
        """What the times rest on."""
        return self.question.basis

    @cached_property
    def values(self) -> dict[str, float]:
        """Statistics and rates by their flat names."""
        return self.outcome.summarise()

    @cached_property
    def spread(self) -> Spread | None:
        """90% intervals by flat names, and where they come from; None for a bound."""
        return find_spread(self.setup, self.outcome)

    @property
    def ttft_s(self) -> Statistics:
        """Time to first token, of each request from its arrival."""
        return self.describe("ttft_s")

    @property
    def tpot_s(self) -> Statistics:
        """Mean time between the output tokens of each request of more than one."""
        return self.describe("tpot_s")

    @property
    def itl_s(self) -> Statistics:
        """Time between two tokens, over all tokens."""
        return self.describe("itl_s")

    @property
    def e2e_s(self) -> Statistics:
        """The whole request, from its arrival."""
        return self.describe("e2e_s")

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens of all requests, from the first arrival to the last token."""
        return self.values["output_tokens_per_s"]

    @property
    def requests_per_s(self) -> float:
        """Requests, from the first arrival to the last token."""
        return self.values["requests_per_s"]

    @property
    def goodput(self) -> float:
        """Requests a second that held every limit; all of them without any."""
        return self.outcome.count_good(dict(self.limits)) / self.outcome.duration_s

    @cached_property
    def saturation(self) -> Saturation:
        """Whether more comes than the engine can serve, and how much that is."""
        return find_saturation(self.setup)

    @property
    def saturated(self) -> bool:
        """Whether more comes than the engine can serve, or more is in flight than it can hold."""
        return self.saturation.saturated

    @cached_property
    def spending(self) -> Spending:
        """Money, energy and carbon of all devices for as long as the run takes; what is not known is None."""
        return measure_run(self.setup, self.outcome)

    @property
    def devices(self) -> int:
        """All that are in use, those that read prompts alone among them."""
        deployment = self.question.work.deployment
        return deployment.devices + self.setup.reading * deployment.tp * deployment.pp

    @property
    def kv_blocks(self) -> int:
        """Blocks of KV cache of one replica."""
        return self.setup.room.blocks

    @property
    def preemptions(self) -> int:
        """How often a request lost its blocks and was read again."""
        return int(self.outcome.preemptions.sum())

    @property
    def over_time(self) -> dict[str, NDArray[np.float64]]:
        """Running and waiting requests and blocks in use, at the moments ``time_s`` since the first arrival."""
        names = ("time_s", "running", "waiting", "kv_blocks_used")
        return dict(zip(names, self.outcome.over_time.T, strict=True))

    @cached_property
    def requests(self) -> dict[str, NDArray[Any]]:
        """A column for each property of a request, in the order in which they came."""
        o = self.outcome
        return {
            "arrival_s": o.arrival_s,
            "admitted_s": o.admitted_s,
            "first_token_s": o.first_s,
            "last_token_s": o.last_s,
            "input_tokens": o.input_tokens,
            "output_tokens": o.output_tokens,
            "ttft_s": o.ttft_s,
            "tpot_s": o.tpot_s,
            "e2e_s": o.e2e_s,
            "preemptions": o.preemptions,
        }

    def describe(self, name: str) -> Statistics:
        """One latency with its intervals."""
        values: dict[str, Any] = {one: self.values[f"{name}_{one}"] for one in STATISTICS}
        values |= {f"{one}{end}": self.find(f"{name}_{one}{end}") for one in STATISTICS for end in ENDS}
        return Statistics(**values)

    def find(self, name: str) -> float | None:
        """A statistic, a rate or an end of its interval by its flat name; None of an interval that is not known.

        Raises:
            InputError: there is none of that name.
        """
        for place, end in enumerate(ENDS):
            bare = name.removesuffix(end)
            if bare != name and bare in self.values:
                return None if self.spread is None else self.spread.ends[bare][place]
        if name not in self.values:
            raise unknown_name("statistic", name, self.values)
        return self.values[name]

    def describe_asked(self) -> dict[str, Any]:
        """What was asked, by name; counts are means of the requests that were drawn."""
        question, load, draft = self.question, self.setup.load, self.setup.draft
        return {
            "model": question.model_label,
            "hardware": question.hardware.id,
            "stack": question.work.stack.id,
            "profile": None if question.profile is None else question.profile.id,
            "carried": "; ".join(question.carried),
            **describe_deployment(question.work.deployment),
            "prompt_tokens": float(np.mean(self.outcome.input_tokens)),
            "output_tokens": float(np.mean(self.outcome.output_tokens)),
            "lengths": None if load.lengths is None else str(load.lengths),
            "concurrency": load.concurrency,
            "request_rate": None if load.request_rate is None else str(load.request_rate),
            "burstiness": str(load.burstiness),
            "trace": None if load.trace is None else load.trace.name,
            "seed": load.seed,
            "draft": None if draft is None else draft.name,
            "draft_tokens": None if draft is None else draft.tokens,
            "acceptance": None if draft is None else draft.acceptance,
            "router": self.setup.router,
            "prefill_replicas": self.setup.reading,
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row: what was asked and what came of it."""
        return [self.describe_asked() | self.to_dict()]

    def to_dict(self) -> dict[str, Any]:
        """Everything by flat names: statistics, rates, their intervals, and what was found of the engine."""
        names = [f"{name}_{statistic}" for name in LATENCIES for statistic in STATISTICS]
        flat = {f"{name}{end}": self.find(f"{name}{end}") for name in (*names, *RATES) for end in ("", *ENDS)}
        led_by = None if self.spread is None else self.spread.led_by
        return {**flat, "interval_from": led_by, **self.describe_run()}

    def describe_run(self) -> dict[str, Any]:
        """What was found of the engine and of the costs, by name: all that has no interval."""
        return {
            "goodput_requests_per_s": self.goodput,
            "saturated": self.saturated,
            "capacity_requests_per_s": self.saturation.requests_per_s,
            "duration_s": self.outcome.duration_s,
            "devices": self.devices,
            "num_requests": len(self.outcome.last_s),
            "running_mean": self.outcome.mean_running,
            "waiting_mean": self.outcome.mean_waiting,
            "kv_blocks": self.kv_blocks,
            "kv_block_tokens": self.setup.room.block_tokens,
            "kv_blocks_used_most": int(self.outcome.over_time[:, 3].max()),
            "preemptions": self.preemptions,
            "passes": self.outcome.passes,
            "max_num_batched_tokens": self.setup.limits.max_num_batched_tokens,
            "max_num_seqs": self.setup.limits.max_num_seqs,
            "prefill_share": self.outcome.prefill_share,
            "decode_share": self.outcome.decode_share,
            **self.spending._asdict(),
            "basis": self.basis,
        }

    def __repr__(self) -> str:
        """What was asked of what, and what came of it, in one line."""
        q = self.question
        place = f"{q.model_label} on {q.work.deployment.devices} x {q.hardware.id}, {q.work.stack.id}"
        times = ", ".join(f"{name} mean {format_seconds(self.values[f'{name}_mean'])}" for name in LIMITED)
        rate = f"{self.output_tokens_per_s:.4g} output tokens/s{', saturated' if self.saturated else ''}"
        return f"Simulation({place}, {self.setup.load.describe()}: {times}, {rate}; {self.basis})"


def simulate(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None = None,
    *,
    stack: str | Path | Stack | None = None,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: int = 1,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
    prompt_tokens: int = 512,
    output_tokens: int = 128,
    lengths: Lengths | str = None,
    concurrency: int | None = None,
    request_rate: float | None = None,
    burstiness: float = 1.0,
    trace: str | Path | None = None,
    num_requests: int | None = None,
    seed: int = 0,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    kv_blocks: int | None = None,
    draft: str | None = None,
    draft_tokens: int | None = None,
    acceptance: float | None = None,
    router: str | None = None,
    prefill_replicas: int | None = None,
    slo: Slo = None,
    changes: Mapping[str, Any] | None = None,
    hardware_changes: Mapping[str, str] | None = None,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate a deployment under load.

    Args:
        model: as for ``predict``, with ``hardware``, ``calibration``, the layout, the formats and ``changes``.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound.
        stack: name, YAML or object; it must have a scheduler.
        tp: tensor-parallel size.
        pp: pipeline stages; they do not overlap passes.
        dp: replicas, to which requests go as ``router`` says.
        ep: devices that experts are spread over.
        dtype: format of matrix products.
        weight_dtype: format of weights.
        kv_dtype: format of the KV cache.
        prompt_tokens: nominal tokens of a prompt.
        output_tokens: nominal tokens to generate, the first included.
        lengths: of requests: None, all nominal; two shares of the nominal, between which they are uniform; the
            deviation of the logarithm of log-normal ones; a table; or these as the command takes them.
        concurrency: requests in flight, of a closed loop.
        request_rate: requests a second, of an open loop; ``math.inf``: all at once.
        burstiness: shape of the gamma variable between two requests; 1: Poisson, ``math.inf``: evenly.
        trace: a CSV table of requests (``serving.trace``).
        num_requests: how many; None: ten for each in flight, 1000 of an open loop, all of a trace.
        seed: of lengths and arrivals; the same seed, the same answer.
        max_num_batched_tokens: most tokens of one pass; None: the stack's default on this device.
        max_num_seqs: most sequences that run; None: the stack's default on this device.
        kv_blocks: blocks of KV cache of one replica; None: by the memory.
        draft: what drafts tokens, which passes verify: a model by name or file, ``mtp`` (one more layer) or ``ngram``.
        draft_tokens: tokens that are drafted for each sequence in a pass.
        acceptance: the share of drafted tokens that are right, of those before which all are.
        router: how requests go to replicas: ``round-robin``, ``least-loaded`` or ``prefix-aware``.
        prefill_replicas: replicas beside ``dp`` that only read prompts; those of ``dp`` then only decode.
        slo: limits on ``ttft_s``, ``tpot_s`` and ``e2e_s`` that a request must hold to count for ``goodput``: seconds
            by name, or ``"ttft_s:1 tpot_s:40ms"``.
        changes: architecture fields to change.
        hardware_changes: numbers of the data sheet to change, as of ``predict``.
        price: of one device, as of ``predict``, with ``grid`` and ``pue``.
        grid: carbon intensity of electricity.
        pue: power usage effectiveness of the site.
        progress: called now and then with the number of requests that are done; what it raises ends the simulation.

    Returns:
        Latencies in seconds with percentiles and 90% intervals, rates in tokens and requests a second, and what it
        costs (``spending``).

    Raises:
        InputError: a name, file, layout, length or load that is wrong.
        ImpossibleError: weights or a request for which there is no room.
    """
    load = make_load(
        prompt_tokens,
        output_tokens,
        lengths,
        trace,
        concurrency=concurrency,
        request_rate=request_rate,
        burstiness=burstiness,
        num_requests=num_requests,
        seed=seed,
    )
    deployment = Deployment(tp, pp, dp, ep, 1, dtype, weight_dtype, kv_dtype)
    place = find_place(load_model(model), hardware, hardware_changes or {}, calibration, stack, deployment)
    question = ask(model, *place, deployment, load, changes, AskedRates(price, grid, pue))
    warn_of_build(question)
    drafted = (draft, draft_tokens, acceptance)
    options = Options(max_num_batched_tokens, max_num_seqs, kv_blocks, *drafted, router, prefill_replicas)
    return run(question, load, options, read_slo(slo, LIMITED), progress)


def ask(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None,
    stack: str | Path | Stack | None,
    deployment: Deployment,
    load: Load,
    changes: Mapping[str, Any] | None = None,
    rates: AskedRates | Rates = SHIPPED_RATES,
) -> Question:
    """The question that ``predict`` would be asked of one of the requests."""
    check_load(load)
    workload = Workload(load.prompt_tokens, load.output_tokens, 1)
    return resolve(model, hardware, calibration, stack, deployment, workload, changes or {}, rates)


def run(
    question: Question,
    load: Load,
    options: Options = USUAL,
    limits: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Run a load on a resolved question.

    Raises:
        InputError: as ``simulate``.
        ImpossibleError: as ``simulate``.
    """
    for name, limit in (limits or {}).items():
        if name not in LIMITED:
            raise unknown_name("limit of a request", name, LIMITED)
        if not limit > 0:
            raise InputError(f"limit {name} is {limit}; it must be above 0")
    setup = prepare(question, load, options)
    return Simulation(setup, setup.run(progress=progress), dict(limits or {}))
