"""Elasticities are derivatives: they agree with central differences where nothing steps, and with dimensions."""

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import sympy
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cli import app
from simulator import InputError, predict
from simulator.explore import dual
from simulator.explore.datasheet import find_unit, list_numbers, replace_numbers
from simulator.explore.dual import Dual, seed_duals, value_of
from simulator.explore.sensitivity import METRICS, PRICE, derive_metrics, find_sensitivity, list_inputs
from simulator.inputs.library import load_hardware
from simulator.metrics.rates import Price, find_price
from simulator.prediction import Question
from simulator.report.sensitivity import SCHEMA, list_influences
from simulator.timing.efficiency import FACTORS

STEP = 1e-5  # of a logarithm
PROFILES = [
    *("a100-sxm-80gb--megatron-lm-2022", "a100-sxm-80gb--vllm-0.6", "a100-sxm-40gb--tensorrt-llm-0.12", "none"),
    *("a100-sxm-80gb--llama.cpp-b2795", "a100-sxm-80gb--gpt-fast", "a100-sxm-80gb--fastertransformer-5"),
]
DEVICES = ["a100-sxm-80gb", "h100-sxm-80gb", "rtx-4090", "mi300x-192gb", "amd-ryzen-9-7950x", "xeon-platinum-8480-plus"]
MODELS = [
    *("openai-davinci", "gptj-6b", "llama-3-8b", "mistral-7b-v0.1", "mixtral-8x7b-v0.1", "deepseek-v2-lite"),
    *("gemma-2-9b", "falcon-7b", "qwen1.5-moe-a2.7b", "pythia-70m"),
]
LAYOUTS = [{}, {"tp": 2}, {"tp": 8}, {"pp": 2, "micro_batches": 2}, {"tp": 2, "dp": 2, "ep": 4}]
GIVEN = Price("given", [], 1e-3, "today", "as given")
DECISIONS = (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.ceil, np.floor)


@st.composite
def questions(draw: st.DrawFn, profiles: list[str] = PROFILES) -> Question:
    """A request of a shipped model on a shipped device, measured there, elsewhere or not at all."""
    try:
        return predict(
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
    except InputError:
        assume(False)
        raise


def evaluate(question: Question, inputs: dict[str, float]) -> tuple[dict[str, float | None], list[float]]:
    """The metrics, and every decision on the way: comparisons, the smaller of two, and steps."""
    decisions: list[float] = []

    def record(law: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*values: Any) -> Any:
            result = law(*values)
            decisions.append(float(result))
            return result

        return recorded

    def pick(law: Callable[..., Any]) -> Callable[..., Any]:
        def picked(a: Any, b: Any) -> Any:
            decisions.append(float(value_of(a) < value_of(b)))
            return law(a, b)

        return picked

    laws = {one: record(dual.LAWS[one]) for one in DECISIONS}
    laws |= {one: pick(dual.LAWS[one]) for one in (np.minimum, np.maximum)}
    numbers = {name: Dual(value, np.zeros(0)) for name, value in inputs.items()}
    with mock.patch.dict(dual.LAWS, laws):
        metrics = derive_metrics(question, inputs, numbers)
    return {name: None if metric is None else value_of(metric) for name, metric in metrics.items()}, decisions


def compare_with_differences(question: Question, names: list[str]) -> int:
    """Hold elasticities against central differences; return how many inputs take a step within the difference."""
    inputs = list_inputs(question, GIVEN)
    found = {one.name: one.elasticities for one in find_sensitivity(question, price=GIVEN).influences}
    assert set(found) == set(inputs)
    _, usual = evaluate(question, inputs)
    stepped = 0
    for name in names:
        (low, before), (high, after) = (
            evaluate(question, inputs | {name: inputs[name] * math.exp(side * STEP)}) for side in (-1, 1)
        )
        if not before == usual == after:
            stepped += 1
            continue
        for metric in METRICS:
            if low[metric] is None:
                assert found[name][metric] is None
                continue
            difference = math.log(high[metric] / low[metric]) / (2 * STEP)
            assert found[name][metric] == pytest.approx(difference, rel=1e-6, abs=1e-8), (name, metric)
    return stepped


@settings(max_examples=40)
@given(questions(), st.data())
def test_elasticities_agree_with_central_differences(question: Question, data: st.DataObject) -> None:
    inputs = st.sampled_from(list(list_inputs(question, GIVEN)))
    names = data.draw(st.lists(inputs, min_size=4, max_size=9, unique=True))
    compare_with_differences(question, names)


@pytest.mark.parametrize(
    ("model", "hardware", "profile", "layout"),
    [
        ("openai-davinci", "a100-sxm-80gb", "a100-sxm-80gb--megatron-lm-2022", {"tp": 8}),
        ("llama-3-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", {"tp": 2}),
        ("mixtral-8x7b-v0.1", "h100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", {"tp": 4}),
        ("llama-3-8b", "rtx-4090", "rtx-4090--llama.cpp-b2795", {"weight_dtype": "q4_k_m"}),
        ("pythia-70m", "amd-ryzen-9-7950x", "a100-sxm-80gb--llama.cpp-b2795", {"dtype": "fp32"}),
        ("llama-3-8b", "h100-sxm-80gb", "none", {"tp": 2}),
    ],
)
def test_every_input_of_a_request_is_compared_and_few_step(
    model: str, hardware: str, profile: str, layout: dict[str, Any]
) -> None:
    question = predict(model, hardware, profile, prompt_tokens=512, output_tokens=32, **layout).question
    names = list(list_inputs(question, GIVEN))
    assert compare_with_differences(question, names) <= 2


@given(questions())
def test_the_dual_laws_give_the_times_that_predict_gives(question: Question) -> None:
    found = find_sensitivity(question)
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        value = getattr(found.prediction, name)
        assert found.metrics[name] == (None if math.isnan(value) else pytest.approx(value, rel=1e-13))


@given(questions())
def test_all_rates_and_times_together_scale_a_time_as_its_dimension_demands(question: Question) -> None:
    found = find_sensitivity(question, price=GIVEN)
    rates = [one for one in found.influences if one.unit.endswith("/s") or one.unit == "Hz"]
    seconds = [one for one in found.influences if one.unit == "s"]
    for metric, dimension in zip(METRICS, (1, 1, 1, 0), strict=True):
        if found.metrics[metric] is not None:
            sums = [sum(one.elasticities[metric] for one in inputs) for inputs in (seconds, rates)]
            assert sums[0] - sums[1] == pytest.approx(dimension, abs=1e-9)


@given(st.sampled_from(["llama-3-8b", "gptj-6b", "mixtral-8x7b-v0.1"]), st.integers(2, 50), st.integers(1, 400))
def test_what_waits_for_memory_alone_takes_half_the_time_with_twice_the_bandwidth(model: str, o: int, p: int) -> None:
    question = predict(model, "h100-sxm-80gb", "none", prompt_tokens=p, output_tokens=o).question
    found = find_sensitivity(question, "tpot_s")
    slopes = {one.name: one.elasticities["tpot_s"] for one in found.influences}
    assert found.influences[0].name == "memory.bandwidth"
    assert slopes.pop("memory.bandwidth") == pytest.approx(-1, abs=1e-12)
    assert set(slopes.values()) == {0.0}


@given(questions([name for name in PROFILES if name != "none"]), st.sampled_from(["ttft_s", "e2e_s", "cost_usd"]))
def test_the_shares_of_an_interval_add_up_to_it(question: Question, by: str) -> None:
    found = find_sensitivity(question, by, GIVEN)
    spread = found.spread
    assert spread is not None
    assert spread.factors + spread.correlations + spread.scatter + spread.transfer == pytest.approx(1)
    factors = [one for one in found.influences if one.kind == "factor"]
    assert {one.name for one in factors} == set(FACTORS)
    assert sum(one.variance_share or 0 for one in factors) == pytest.approx(spread.factors)
    assert all(-1e-12 <= (one.known_share or 0) <= 1 - spread.scatter - spread.transfer + 0.02 for one in factors)
    for one in factors:
        slope = one.elasticities[by]
        assert one.variance_share == pytest.approx((slope * one.standard_error) ** 2 / spread.variance, abs=1e-12)
    assert (spread.transfer > 0) == (found.prediction.basis == "transfer")


@given(questions(), st.sampled_from(METRICS))
def test_the_rows_are_ranked_by_the_metric_that_is_asked_for(question: Question, by: str) -> None:
    found = find_sensitivity(question, by, GIVEN)
    sizes = [abs(one.elasticities[by] or 0) for one in found.influences]
    assert sizes == sorted(sizes, reverse=True)
    rows = list_influences(found)
    assert [row["input"] for row in rows] == [one.name for one in found.influences]
    assert next(row for row in rows if row["input"] == PRICE)["cost_elasticity"] == 1


def test_what_the_data_sheet_says_and_no_time_needs_is_left_out() -> None:
    names = set(list_inputs(predict("llama-3-8b", "h100", "none").question, None))
    clock = {"compute.units", "compute.clock"}
    assert names == {"memory.bandwidth", "compute.matrix_peak.fp16"} | clock
    shared = set(list_inputs(predict("llama-3-8b", "h100", "none", tp=2, dtype="fp8").question, None))
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
    one, two = Dual(1.0, np.ones(1)), Dual(2.0, np.ones(1))
    assert (one < two, one > 1.5, one <= 1, two >= 3, one == 1.0, one != two) == (True, False, True, False, True, True)
    assert type(one < np.float64(2)) is bool
    assert (np.ceil(Dual(1.5, np.ones(1))), np.floor(Dual(1.5, np.ones(1)))) == (2, 1)
    assert (np.float64(3) * one).slopes == [3.0]
    assert np.sqrt(Dual(0.0, np.ones(1))).slopes == [0.0]
    assert (Dual(7.5, np.ones(1)) % 2).value == 1.5
    assert repr(one) == "Dual(1.0)"
    for lossy in (lambda: np.asarray(one), lambda: np.log(one), lambda: one * np.ones(2), lambda: np.add.reduce(one)):
        with pytest.raises(TypeError):
            lossy()


ASKED = ("sensitivity", "-m", "openai-davinci", "-H", "a100-sxm-80gb", "--tp", "8", "-p", "512", "-n", "32")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None
    return result.stdout


def test_the_command_answers_in_every_form() -> None:
    document = json.loads(run(*ASKED, "-o", "json"))
    assert (document["schema"], document["by"]) == (SCHEMA, "e2e_s")
    rows = document["sensitivities"]
    assert rows[0]["input"] == "layer_host_s"
    assert rows[0]["meaning"] == FACTORS["layer_host_s"].meaning
    price = find_price("a100-sxm-80gb", None)
    assert price is not None
    assert document["prediction"]["cost_usd"] == pytest.approx(8 * price.price * document["prediction"]["e2e_s"])
    assert document["interval"]["factors_share"] > 0
    assert [row["input"] for row in csv.DictReader(io.StringIO(run(*ASKED, "-o", "csv")))] == [
        row["input"] for row in rows
    ]
    text = run(*ASKED, "--by", "ttft_s")
    assert text.index("compute.units") < text.index("layer_host_s")
    assert "score_cycles" not in text
    assert run(*ASKED, "-o", "md").startswith("| input |")


def test_a_bound_and_a_single_token_leave_out_what_is_not_there() -> None:
    bound = ("sensitivity", "-m", "gptj-6b", "-H", "v100-sxm-32gb", "-c", "none", "-n", "1")
    document = json.loads(run(*bound, "-o", "json"))
    assert document["interval"] is None
    assert {row["tpot_elasticity"] for row in document["sensitivities"]} == {None}
    text = run(*bound)
    assert "tpot_s" not in text
    assert "interval" not in text


def test_neither_command_loads_what_only_others_need() -> None:
    code = (
        "import sys, cli; from click.testing import CliRunner\n"
        f"assert CliRunner().invoke(cli.app, {list(ASKED)!r}).exit_code == 0\n"
        "print([name for name in ('scipy', 'sympy', 'matplotlib', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
