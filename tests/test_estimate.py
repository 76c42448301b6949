"""Loads in closed form: as the simulation has them, as queues that can be worked out by hand, and within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_stack
from simulator.inputs.stack import Scheduler
from simulator.inputs.workload import Workload
from simulator.metrics.rate_file import Price
from simulator.metrics.rates import Rates, find_grid, find_site
from simulator.prediction import Question, resolve
from simulator.serving.capacity import estimate_setup
from simulator.serving.cost import Watts, measure_spending
from simulator.serving.curves import Curves, Mix, measure_curves, measure_mix
from simulator.serving.estimate import estimate_closed, estimate_open, find_poisson
from simulator.serving.setup import USUAL, prepare
from simulator.serving.simulation import run
from simulator.serving.state import Requests
from simulator.serving.workload import Load, draw_requests

STACKS = ("vllm-0.14", "vllm-0.6", "sglang-0.4", "tensorrt-llm-1.0")
PROMPT, OUTPUT, LENGTHS = 1000, 100, (0.8, 1.2)
MIX = measure_mix(draw_requests(Load(PROMPT, OUTPUT, LENGTHS, 1, num_requests=500))[0])


def ask(stack: str, model: str = "llama-3.1-8b") -> Question:
    return resolve(model, "a100-sxm-80gb", None, stack, Deployment(dtype="bf16"), Workload(PROMPT, OUTPUT))


def measure(question: Question, most: int = 128) -> Curves:
    scheduler = question.work.stack.scheduler
    assert scheduler is not None
    return measure_curves(question.work, question.machine, scheduler, MIX, 8192.0, most)


def one(value: float) -> Any:
    return np.array([value])


@pytest.mark.parametrize("stack", STACKS)
def test_a_closed_loop_is_as_the_simulation_has_it(stack: str) -> None:
    """Below 80% of capacity: throughput, time per output token and whole request within 10%, first token within 20%."""
    question = ask(stack)
    estimate = estimate_closed(measure(question), MIX, one(12.0), one(128.0))
    assert estimate.requests_per_s < 0.8 * estimate.capacity_requests_per_s
    outcome = run(question, Load(PROMPT, OUTPUT, LENGTHS, 12, num_requests=192)).outcome
    steady = np.argsort(outcome.arrival_s, kind="stable")[12:]
    arrivals = outcome.arrival_s[steady]
    assert estimate.requests_per_s == pytest.approx((len(arrivals) - 1) / np.ptp(arrivals), rel=0.1)
    assert estimate.find("tpot_s_mean") == pytest.approx(outcome.tpot_s[steady].mean(), rel=0.1)
    assert estimate.find("e2e_s_mean") == pytest.approx(outcome.e2e_s[steady].mean(), rel=0.1)
    assert estimate.find("ttft_s_mean") == pytest.approx(outcome.ttft_s[steady].mean(), rel=0.2)
    assert estimate.find("ttft_s_p90") == pytest.approx(np.quantile(outcome.ttft_s[steady], 0.9), rel=0.35)


@pytest.mark.parametrize("stack", STACKS)
def test_an_open_loop_is_as_the_simulation_has_it(stack: str) -> None:
    """At half of capacity: whole request and time per output token within 10%, first token within 20%."""
    question = ask(stack)
    curves = measure(question)
    rate = 0.5 * float(estimate_closed(curves, MIX, one(128.0), one(128.0)).requests_per_s[0])
    estimate = estimate_open(curves, MIX, one(rate), one(128.0))
    load = Load(PROMPT, OUTPUT, LENGTHS, request_rate=rate, num_requests=800)
    outcome = run(question, load).outcome
    steady = np.argsort(outcome.arrival_s, kind="stable")[160:]
    assert estimate.find("tpot_s_mean") == pytest.approx(outcome.tpot_s[steady].mean(), rel=0.1)
    assert estimate.find("e2e_s_mean") == pytest.approx(outcome.e2e_s[steady].mean(), rel=0.1)
    assert estimate.find("ttft_s_mean") == pytest.approx(outcome.ttft_s[steady].mean(), rel=0.2)


def test_many_loads_at_once_are_each_by_itself() -> None:
    curves = measure(ask("vllm-0.14"))
    loads, most = np.array([1.0, 7.0, 40.0, 200.0]), np.array([64.0, 4.0, 128.0, 128.0])
    together = estimate_closed(curves, MIX, loads, most)
    rates = np.array([0.1, 1.0, 3.0, 500.0])
    open_together = estimate_open(curves, MIX, rates, most)
    for place in range(4):
        alone = estimate_closed(curves, MIX, loads[place : place + 1], most[place : place + 1])
        assert together.find("ttft_s_p99")[place] == pytest.approx(alone.find("ttft_s_p99")[0])
        assert together.requests_per_s[place] == pytest.approx(alone.requests_per_s[0])
        open_alone = estimate_open(curves, MIX, rates[place : place + 1], most[place : place + 1])
        # The numbers of requests that are weighed are others.
        assert open_together.find("tpot_s_mean")[place] == pytest.approx(open_alone.find("tpot_s_mean")[0], rel=0.02)
        assert open_together.saturated[place] == open_alone.saturated[0]


def test_littles_law_holds_in_a_closed_loop() -> None:
    """What is in flight is what leaves in a second times how long it stays, those that wait for a place among them."""
    concurrency = np.array([1.0, 5.0, 30.0, 90.0])
    estimate = estimate_closed(measure(ask("vllm-0.14")), MIX, concurrency, np.full(4, 64.0))
    assert estimate.requests_per_s * estimate.find("e2e_s_mean") == pytest.approx(concurrency, rel=0.02)
    assert list(estimate.saturated) == [False, False, False, True]


def test_a_lone_request_takes_what_predict_says() -> None:
    question = ask("vllm-0.14")
    mix = measure_mix(Requests(np.array([PROMPT]), np.array([OUTPUT])))
    scheduler = question.work.stack.scheduler
    assert scheduler is not None
    curves = measure_curves(question.work, question.machine, scheduler, mix, 8192.0, 8)
    alone = estimate_closed(curves, mix, one(1.0), one(8.0))
    rare = estimate_open(curves, mix, one(1e-6), one(8.0))
    said = question.times(question.machine.factors)
    for estimate in (alone, rare):
        assert estimate.find("ttft_s_mean") == pytest.approx(said.prefill_s, rel=0.01)
        assert estimate.find("tpot_s_mean") == pytest.approx(said.decode_s / (OUTPUT - 1), rel=0.01)


def test_more_load_is_slower_and_past_capacity_it_is_saturated() -> None:
    curves, most = measure(ask("vllm-0.14")), np.full(6, 128.0)
    capacity = float(estimate_closed(curves, MIX, one(128.0), one(128.0)).requests_per_s[0])
    estimate = estimate_open(curves, MIX, capacity * np.array([0.1, 0.3, 0.5, 0.7, 0.9, 1.1]), most)
    for name in ("ttft_s_mean", "tpot_s_mean", "e2e_s_p90"):
        assert np.all(np.diff(estimate.find(name)[:5]) > 0), name
    assert list(estimate.saturated) == [False] * 5 + [True]
    assert np.isinf(estimate.find("ttft_s_mean")[5])


def fake_curves(step_s: Any, numbers: Any) -> Curves:
    """A replica whose prompts take nothing."""
    none = np.zeros_like(step_s)
    scheduler = load_stack("vllm-0.10").scheduler
    assert isinstance(scheduler, Scheduler)
    return Curves(numbers, step_s, none, none, none, none + 1, none, scheduler, none + 1)


def test_a_server_that_is_shared_holds_as_many_as_the_textbook_says() -> None:
    """Steps in proportion to the sequences: one server, shared, with load / (1 - load) in it (Kleinrock 1975)."""
    numbers = np.arange(1.0, 401)
    mix = Mix(np.array([1.0]), 10_001.0, 0.0, 1.0, 1.0, 1.0, 2)
    estimate = estimate_open(fake_curves(1e-5 * numbers, numbers), mix, np.array([2.0, 5.0, 8.0]), np.full(3, 400.0))
    load = np.array([0.2, 0.5, 0.8])
    assert estimate.running == pytest.approx(load / (1 - load), rel=0.02)
    assert estimate.find("e2e_s_mean") == pytest.approx(0.1 / (1 - load), rel=0.02)


def test_servers_without_end_hold_as_many_as_come_while_one_stays() -> None:
    """Steps that no other makes longer: an infinite server, Poisson of rate times the stay."""
    numbers = np.arange(1.0, 401)
    mix = Mix(np.array([1.0]), 10_001.0, 0.0, 1.0, 1.0, 1.0, 2)
    estimate = estimate_open(fake_curves(1e-4 + 0 * numbers, numbers), mix, np.array([1.0, 50.0]), np.full(2, 400.0))
    assert estimate.running == pytest.approx([1.0, 50.0], rel=0.02)
    assert estimate.find("tpot_s_mean") == pytest.approx(1e-4, rel=0.02)


def test_quantiles_of_poisson_variables_are_the_tables() -> None:
    assert list(find_poisson(np.array([0.005, 0.02, 1.0, 5.0]), 0.99)) == [0, 1, 4, 11]
    assert list(find_poisson(np.array([0.5, 3.0]), 0.5)) == [0, 3]


@pytest.mark.parametrize(("lengths", "error"), [(None, 0.01), ((0.5, 1.5), 0.06)])
def test_static_batches_are_as_the_simulation_has_them(lengths: Any, error: float) -> None:
    """Equal requests within what prompts of one product are not a sum; others as chance lets the longest be."""
    question = ask("fastertransformer-5")
    outcome = run(question, Load(128, OUTPUT, lengths, 8, num_requests=320))
    estimate = estimate_setup(outcome.setup)
    assert estimate.requests_per_s == pytest.approx(outcome.requests_per_s, rel=error)
    assert estimate.find("ttft_s_mean") == pytest.approx(outcome.ttft_s.mean, rel=0.1)
    with pytest.raises(InputError, match="no steady state of an open loop"):
        estimate_setup(prepare(question, Load(PROMPT, OUTPUT, request_rate=1.0), USUAL))


def test_money_adds_up_and_idle_time_is_paid_for() -> None:
    price = Price("given", [], 3.6 / 3600, "today", "as given", "you", "as given")
    rates = Rates(price, find_grid("360 gCO2e/kWh"), find_site("1"))
    mix = MIX._replace(prompts=np.array([1000.0]), output_tokens=100.0)
    watts = Watts(700.0, 500.0, 100.0)
    busy, half = (measure_spending(rates, 4, mix, rate, 0.3 * rate, 0.5 * rate, watts) for rate in (1.0, 0.5))
    assert busy.usd_per_hour == pytest.approx(14.4)
    assert busy.usd_per_request == pytest.approx(14.4 / 3600)
    assert half.usd_per_request == pytest.approx(2 * 14.4 / 3600)
    assert busy.prefill_usd_per_million_input_tokens is not None
    assert busy.decode_usd_per_million_output_tokens is not None
    assert busy.energy_j_per_request is not None
    parts = (1000 * busy.prefill_usd_per_million_input_tokens + 100 * busy.decode_usd_per_million_output_tokens) / 1e6
    assert parts == pytest.approx(busy.usd_per_request)
    assert busy.energy_j_per_request == pytest.approx(0.3 * 700 + 0.5 * 500 + 0.2 * 100)
    assert half.energy_j_per_request == pytest.approx(2 * (0.15 * 700 + 0.25 * 500 + 0.6 * 100))
    assert busy.carbon_kg_per_request == pytest.approx(busy.energy_j_per_request * 1e-7)
    assert measure_spending(rates._replace(price=None), 4, mix, 1.0, 0.3, 0.5).usd_per_hour is None
