"""Rows of load are measurements: a fit takes them, and a planted engine is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.fit.cases import build_cases, predict_rows, settle_load
from calibration.fit.design import group_runs, spare_requests
from calibration.fit.least_squares import fit_profile
from calibration.fit.load_case import LoadCase, make_load
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.serving.simulation import simulate
from simulator.timing.device import find_traits
from simulator.timing.factors import Factors, perturb_factors
from simulator.timing.priors import as_factors, choose_priors

DEVICE, STACK = load_hardware("h100-sxm-80gb"), load_stack("vllm-0.14")
PLACE = ("planted", "llama-3.1-8b", DEVICE.id, STACK.id, 1, 1, "bf16", "bf16", "bf16", 1)


def plant() -> Factors:
    """An engine that is off its priors: less bandwidth, a slower host, larger prompts' products."""
    typical = as_factors(choose_priors(find_traits(DEVICE), STACK))
    moved = {"matrix_bandwidth_efficiency": 0.85, "step_host_s": 2.0, "matrix_efficiency": 0.8}
    return typical.replace(**{name: getattr(typical, name) * factor for name, factor in moved.items()})


def list_points() -> list[Measurement]:
    return [
        Measurement(*PLACE, prompt, output, metric, 1.0, concurrency=load, num_requests=3 * load, statistic="mean")
        for prompt, output in ((512, 64), (2048, 32))
        for load in (2, 8, 32)
        for metric in ("ttft_s", "tpot_s")
    ]


def measure(points: list[Measurement], factors: Factors) -> list[Measurement]:
    cases = build_cases(points, "none", DEVICE, STACK)
    settle_load(cases, factors)
    return [replace(row, value=float(v)) for row, v in zip(points, predict_rows(cases, factors), strict=True)]


def test_a_planted_engine_is_found_from_four_runs_of_load() -> None:
    """Of the others TPOT within 4%, TTFT, of which a fit believes single rows less, within 12%."""
    factors = plant()
    rows = measure(list_points(), factors)
    fitted, spared = spare_requests(rows, 4, DEVICE, STACK)
    found = fit_profile(fitted, DEVICE, STACK).factors
    said = measure(spared, found)
    for row, one in zip(spared, said, strict=True):
        assert one.value == pytest.approx(row.value, rel=0.12 if row.metric == "ttft_s" else 0.04), row


def test_a_run_of_load_is_fitted_whole_or_not_at_all() -> None:
    """Four requests are four runs, each with its time to first token and its time per output token."""
    fitted, spared = spare_requests(list_points(), 4, DEVICE, STACK)
    assert len(group_runs(fitted)) == 4
    assert {len(run) for run in group_runs(fitted)} == {2}
    loads = [{make_load(row) for row in rows} for rows in (fitted, spared)]
    assert not loads[0] & loads[1]
    alone = [replace(row, concurrency=None, num_requests=None) for row in fitted]
    assert len(group_runs(alone)) == len(alone)


def test_where_it_was_simulated_a_case_says_what_the_simulation_says() -> None:
    points = list_points()[:4]
    case = build_cases(points, "none", DEVICE, STACK)[0]
    assert isinstance(case, LoadCase)
    factors = plant()
    case.settle(factors)
    run = simulate(case.question.model, DEVICE, "none", stack=STACK, concurrency=2, num_requests=6, output_tokens=64)
    assert run.setup.load == make_load(points[0])
    again = build_cases(points, "none", DEVICE, STACK)[0]
    assert isinstance(again, LoadCase)
    again.settle(factors)
    assert again.predict(factors) == pytest.approx(case.predict(factors))
    assert np.all(case.predict(factors) > 0)


def test_a_case_follows_the_factors_along_their_axis() -> None:
    points = list_points()
    case = build_cases(points, "none", DEVICE, STACK)[0]
    factors = plant()
    moved = case.predict(perturb_factors(factors, list(factors.names), 1))
    assert moved.shape == (len(factors.names) + 1, len(points))
    assert moved[0] == pytest.approx(case.predict(factors))
    slower = case.predict(factors.replace(step_host_s=2 * factors.step_host_s))
    assert np.all(slower > case.predict(factors))
