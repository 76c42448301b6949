"""Elasticities are derivatives: they agree with central differences where nothing steps, and with dimensions."""

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import paper
import pytest
import sympy
from click.testing import CliRunner
from factor_samples import NAMES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict

from cli import app
from simulator import InputError
from simulator.explore.datasheet import CLOCK, UNITS, find_unit, list_numbers, replace_numbers
from simulator.explore.dual import Dual, seed_duals
from simulator.explore.sensitivity import GRID, PRICE, PUE, change_question, find_sensitivity, list_inputs
from simulator.inputs.library import PROFILE_FOLDER, load_hardware
from simulator.metrics.prices import find_price
from simulator.metrics.rate_file import Price
from simulator.prediction import Question, answer, describe_machine
from simulator.report.sensitivity import SCHEMA
from simulator.timing.priors import list_factors

STEP = 1e-6  # of a logarithm
PROFILES = ["none", "none", *sorted(path.stem for path in PROFILE_FOLDER.glob("*.yaml"))]
DEVICES = ["a100-sxm-80gb", "h100-sxm-80gb", "rtx-4090", "mi300x-192gb", "amd-ryzen-9-7950x", "xeon-platinum-8480-plus"]
MODELS = [
    *("openai-davinci", "gptj-6b", "llama-3-8b", "mistral-7b-v0.1", "mixtral-8x7b-v0.1", "deepseek-v2-lite"),
    *("gemma-2-9b", "falcon-7b", "qwen1.5-moe-a2.7b", "pythia-70m"),
]
LAYOUTS: list[dict[str, Any]] = [{}, {"tp": 2}, {"tp": 8}, {"pp": 2, "micro_batches": 2}, {"tp": 2, "dp": 2, "ep": 4}]
GIVEN = Price("given", [], 1e-3, "today", "as given", "you", "as given")
METRICS = ("ttft_s", "tpot_s", "e2e_s", "cost_usd", "output_tokens_per_s", "mfu", "energy_j", "carbon_kg")
DIMENSIONS = dict(zip(METRICS, (1, 1, 1, 0, -1, 0, 0, 0), strict=True))  # of time; prices and watts are per second


@st.composite
def questions(draw: st.DrawFn, profiles: list[str] = PROFILES) -> Question:
    """A request of a shipped model on a shipped device, measured there, elsewhere or not at all."""
    try:
        question = predict(
            draw(st.sampled_from(MODELS)),
            draw(st.sampled_from(DEVICES)),
            draw(st.sampled_from(profiles)),
            dtype=draw(st.sampled_from(["fp16", "fp32", "bf16", "fp8"])),
            weight_dtype=draw(st.sampled_from([None, "int8", "int4-g128"])),
            prompt_tokens=draw(st.integers(1, 1500)),
            output_tokens=draw(st.integers(1, 300)),
            batch_size=draw(st.sampled_from([1, 2, 3, 8, 40, 256])),
            **draw(st.sampled_from(LAYOUTS)),
        ).question
        return replace(question, rates=question.rates._replace(price=GIVEN))
    except InputError:
        assume(False)
        raise


def time_with(question: Question, numbers: dict[str, float]) -> dict[str, float]:
    """The metrics that ``predict`` gives with other numbers of the data sheet, other factors or other rates."""
    moved = answer(change_question(question, numbers))
    return {name: float(moved.find(name)) for name in METRICS}


def find_differences(question: Question, factors: dict[str, float], step: float = STEP) -> dict[str, float]:
    """Central differences of the logarithms of all metrics, with all inputs that are named moved together."""
    low, high = (
        time_with(question, {name: value * math.exp(side * step) for name, value in factors.items()})
        for side in (-1, 1)
    )
    return {metric: math.log(high[metric] / low[metric]) / (2 * step) for metric in METRICS}


@settings(max_examples=15)
@given(questions())
def test_elasticities_agree_with_central_differences(question: Question) -> None:
    # With a number of units that no number of tiles is a multiple of, nothing stands at a step.
    units = question.hardware.compute.units + 0.3719
    question = replace(question, hardware=replace_numbers(question.hardware, {UNITS: units}))
    work = question.work
    machine = describe_machine(question.hardware, work.stack, work.deployment, question.profile)
    question = replace(question, machine=machine)
    for one in find_sensitivity(question).influences:
        assert not one.stepped or one.name in (UNITS, "resident_blocks")
        differences = find_differences(question, {one.name: one.value})
        for metric in METRICS:
            slope = one.elasticities[metric]
            expected = (
                None if math.isnan(differences[metric]) else pytest.approx(differences[metric], rel=1e-6, abs=1e-6)
            )
            assert slope == expected, (one.name, metric)


@pytest.mark.long
@settings(max_examples=40)
@given(questions())
def test_what_counts_whole_things_alone_stands_at_steps_and_is_marked(question: Question) -> None:
    for one in find_sensitivity(question).influences:
        differences = find_differences(question, {one.name: one.value})
        agreeing = all(
            one.elasticities[metric] is None or abs(one.elasticities[metric] - differences[metric]) < 1e-4
            for metric in METRICS
        )
        assert one.stepped or agreeing
        assert not one.stepped or one.name in (UNITS, "resident_blocks")


@settings(max_examples=15)
@given(questions())
def test_clock_and_units_are_also_given_with_their_peaks(question: Question) -> None:
    found = find_sensitivity(question)
    peaks = {one.name: one.value for one in found.influences if "_peak." in one.name}
    clock, units = found.combined
    assert (clock.name, units.name) == ("compute.clock with peaks", "compute.units with peaks")
    defined = [metric for metric in METRICS if found.metrics[metric] is not None]
    exact = find_differences(question, peaks | {CLOCK: clock.value})
    mean = find_differences(question, peaks | {UNITS: units.value}, math.log(2))
    for metric in defined:
        assert clock.elasticities[metric] == pytest.approx(exact[metric], rel=1e-6, abs=1e-6)
        assert units.elasticities[metric] == pytest.approx(mean[metric], rel=1e-9, abs=1e-9)
        assert metric not in ("ttft_s", "tpot_s", "e2e_s", "cost_usd") or clock.elasticities[metric] <= 1e-9


def test_more_units_of_one_peak_are_slower_ones_and_with_their_peaks_faster() -> None:
    found = find_sensitivity(
        predict("llama-3-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", prompt_tokens=4096).question, "ttft_s"
    )
    (alone,) = (one for one in found.influences if one.name == UNITS)
    assert alone.stepped
    assert alone.elasticities["ttft_s"] > 0.5
    assert found.combined[1].elasticities["ttft_s"] < -0.7


def test_a_metric_that_is_not_there_cannot_rank() -> None:
    single = predict("llama-3-8b", "rtx-4090", "none", output_tokens=1).question
    with pytest.raises(InputError, match="no tpot_s here: a request of one output token has none"):
        find_sensitivity(single, "tpot_s")
    with pytest.raises(InputError, match="no price ships for rtx-4090; give one with --price"):
        find_sensitivity(single, "cost_usd")


@settings(max_examples=15)
@given(questions())
def test_the_dual_laws_give_the_times_that_predict_gives(question: Question) -> None:
    found = find_sensitivity(question)
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        value = getattr(found.prediction, name)
        assert found.metrics[name] == (None if math.isnan(value) else pytest.approx(value, rel=1e-13))


@settings(max_examples=15)
@given(questions())
def test_all_rates_and_times_together_scale_a_time_as_its_dimension_demands(question: Question) -> None:
    found = find_sensitivity(question)
    rates = [one for one in found.influences if one.unit.endswith("/s") or one.unit in ("Hz", "W")]
    energy = next((one for one in found.influences if one.name == "flop_energy_j"), None)
    seconds = [one for one in found.influences if one.unit == "s"]
    for metric, dimension in DIMENSIONS.items():
        if found.metrics[metric] is not None:
            parts: list[Any] = [[one.elasticities[metric] for one in inputs] for inputs in (seconds, rates)]
            sums = [sum(part) for part in parts]
            # The energy of a FLOP grows with the square of the clock over a fixed one, which is no input.
            fixed = 0.0 if energy is None else 2 * (energy.elasticities[metric] or 0.0)
            assert sums[0] - sums[1] + fixed == pytest.approx(dimension, abs=1e-9)


@given(st.sampled_from(["llama-3-8b", "gptj-6b", "mixtral-8x7b-v0.1"]), st.integers(2, 50), st.integers(1, 400))
def test_what_waits_for_memory_alone_takes_half_the_time_with_twice_the_bandwidth(model: str, o: int, p: int) -> None:
    question = predict(model, "h100-sxm-80gb", "none", prompt_tokens=p, output_tokens=o).question
    found = find_sensitivity(question, "tpot_s")
    slopes = {one.name: one.elasticities["tpot_s"] for one in found.influences}
    assert found.influences[0].name == "memory.bandwidth"
    assert slopes.pop("memory.bandwidth") == pytest.approx(-1, abs=1e-12)
    assert set(slopes.values()) == {0.0}


@settings(max_examples=15)
@given(questions([name for name in PROFILES if name != "none"]), st.sampled_from(["ttft_s", "e2e_s", "cost_usd"]))
def test_the_shares_of_an_interval_add_up_to_it(question: Question, by: str) -> None:
    found = find_sensitivity(question, by)
    spread = found.spread
    assert spread is not None
    assert spread.factors + spread.correlations + spread.scatter + spread.transfer == pytest.approx(1)
    factors = [one for one in found.influences if one.kind == "factor"]
    assert {one.name for one in factors} == set(NAMES)
    assert sum(one.variance_share or 0 for one in factors) == pytest.approx(spread.factors)
    assert all(-1e-12 <= (one.known_share or 0) <= 1 - spread.scatter - spread.transfer + 0.02 for one in factors)
    for one in factors:
        slope = one.elasticities[by]
        assert one.variance_share == pytest.approx((slope * one.standard_error) ** 2 / spread.variance, abs=1e-12)
    assert (spread.transfer > 0) == bool(question.moves)


@settings(max_examples=15)
@given(questions(), st.sampled_from(METRICS))
def test_the_rows_are_ranked_by_the_metric_that_is_asked_for(question: Question, by: str) -> None:
    assume(by != "tpot_s" or question.work.workload.output_tokens > 1)
    found = find_sensitivity(question, by)
    sizes = [abs(one.elasticities[by] or 0) for one in found.influences]
    assert sizes == sorted(sizes, reverse=True)
    rows = found.to_dicts()
    assert [row["input"] for row in rows] == [one.name for one in found.influences]
    assert next(row for row in rows if row["input"] == PRICE)["cost_usd_elasticity"] == 1


def test_what_the_data_sheet_says_and_no_time_needs_is_left_out() -> None:
    names = set(list_inputs(predict("llama-3-8b", "h100", "none").question))
    clock = {"compute.units", "compute.clock", "memory.l2_capacity", "power.tdp", PRICE, GRID, PUE}
    assert names == {"memory.bandwidth", "compute.matrix_peak.bf16"} | clock
    shared = set(list_inputs(predict("llama-3-8b", "h100", "none", tp=2, dtype="fp8").question))
    peaks = {"compute.matrix_peak.fp8", "compute.matrix_peak.bf16"}
    assert shared == {"memory.bandwidth", "links.node.bandwidth"} | peaks | clock


def test_every_number_of_a_data_sheet_can_be_replaced() -> None:
    hardware = load_hardware("h100")
    numbers = list_numbers(hardware)
    assert numbers["links.node.bandwidth"] == 900e9
    assert numbers["compute.matrix_peak.fp16"] == 989.4e12
    doubled = {key: 2 * value for key, value in numbers.items()}
    assert list_numbers(replace_numbers(hardware, doubled)) == doubled
    assert replace_numbers(hardware, numbers) == hardware
    assert [find_unit(key) for key in ("compute.matrix_peak.fp16", "memory.bandwidth", "memory.capacity")] == [
        *("FLOP/s", "B/s", "B")
    ]
    with pytest.raises(KeyError):
        replace_numbers(hardware, {"memory.speed": 1.0})


SMOOTH: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: 3 + a + b + 0.5,
    "difference": lambda a, b: 3 - a - b,
    "product": lambda a, b: 2 * a * b,
    "quotient": lambda a, b: a / b + 5 / b,
    "power": lambda a, b: a**b + 2**b + a**3,
    "negative": lambda a, b: -a + +b,
}


@pytest.mark.parametrize("name", SMOOTH)
@given(a=st.floats(0.1, 9), b=st.floats(0.1, 9))
def test_a_dual_carries_the_derivatives_of_arithmetic(name: str, a: float, b: float) -> None:
    x, y = sympy.symbols("x y", positive=True)
    law = SMOOTH[name]
    seeds = seed_duals({"x": a, "y": b}, logarithmic=False)
    result = law(seeds["x"], seeds["y"])
    exact = [law(x, y), *(sympy.diff(law(x, y), symbol) for symbol in (x, y))]
    expected = [float(one.subs({x: a, y: b})) for one in exact]
    assert [result.value, *result.slopes] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_dual_compares_by_value_and_refuses_what_would_lose_its_derivatives() -> None:
    one: Any = Dual(1.0, np.ones(1))
    two: Any = Dual(2.0, np.ones(1))
    assert (one < two, one > 1.5, one <= 1, two >= 3, one == 1.0, one != two) == (True, False, True, False, True, True)
    assert type(one < np.float64(2)) is bool
    near: Any = Dual(1.5, np.ones(1))
    assert (np.ceil(near), np.floor(near)) == (2, 1)
    assert (np.float64(3) * one).slopes == [3.0]
    root: Any = np.sqrt(Dual(0.0, np.ones(1)))
    assert root.slopes == [0.0]
    assert (Dual(7.5, np.ones(1)) % 2).value == 1.5
    assert repr(one) == "Dual(1.0)"
    for lossy in (lambda: np.asarray(one), lambda: np.log(one), lambda: one * np.ones(2), lambda: np.add.reduce(one)):
        with pytest.raises(TypeError):
            lossy()


ASKED = ("sensitivity", *paper.DAVINCI)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None
    return result.stdout


def test_the_command_answers_in_every_form() -> None:
    document = json.loads(run(*ASKED, "-o", "json"))
    assert (document["schema"], document["by"]) == (SCHEMA, "e2e_s")
    rows = document["sensitivities"]
    assert rows[0]["input"] == "layer_host_s"
    assert rows[0]["meaning"] == list_factors()["layer_host_s"].meaning
    price = find_price("a100-sxm-80gb", None)
    assert price is not None
    assert document["prediction"]["cost_usd"] == pytest.approx(8 * price.price * document["prediction"]["e2e_s"])
    assert document["interval"]["factors_share"] > 0
    assert [row["input"] for row in csv.DictReader(io.StringIO(run(*ASKED, "-o", "csv")))] == [
        row["input"] for row in rows
    ]
    text = run(*ASKED, "--by", "ttft_s")
    assert len(text.splitlines()) <= 40
    assert (" e2e_s" in text, "more that move this or other metrics" in text, " cost_usd" in text) == (
        True,
        True,
        False,
    )
    text = run(*ASKED, "--by", "ttft_s", "--all")
    assert text.index("compute.units") < text.index("layer_host_s")
    assert "score_cycles" not in text
    assert run(*ASKED, "-o", "md").startswith("| input |")


def test_a_bound_and_a_single_token_leave_out_what_is_not_there() -> None:
    bound = ("sensitivity", "-m", "gptj-6b", "-H", "v100-sxm-32gb", "-c", "none", "-n", "1")
    document = json.loads(run(*bound, "-o", "json"))
    assert document["interval"] is None
    assert {row["tpot_s_elasticity"] for row in document["sensitivities"]} == {None}
    text = run(*bound)
    assert "  tpot_s  " not in text
    assert "no tpot_s: a request of one output token has none" in text
    assert "interval" not in text


def test_neither_command_loads_what_only_others_need() -> None:
    code = (
        "import sys, cli; from click.testing import CliRunner\n"
        f"assert CliRunner().invoke(cli.app, {list(ASKED)!r}).exit_code == 0\n"
        "print([name for name in ('scipy', 'sympy', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
