"""Recommendations are the best by brute force, cost no more for laxer limits, and say what they leave out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import simulator as rc
from cli import app
from simulator.errors import ImpossibleError, InputError
from simulator.explore.recommend.cells import list_cells
from simulator.explore.recommend.certainty import compare_best
from simulator.explore.recommend.judge import judge
from simulator.explore.recommend.launch import ENGINES, describe_checkpoint, write_launch
from simulator.explore.recommend.reasons import list_losers
from simulator.explore.recommend.recommend import Recommendation, list_devices, recommend
from simulator.explore.recommend.screen import screen
from simulator.explore.recommend.wish import Wish
from simulator.inputs.library import load_hardware, load_model
from simulator.metrics.rates import AskedRates
from simulator.report.recommendation import report_recommendation
from simulator.serving.workload import Load

MODEL = "llama-3.1-8b"
TOY: dict[str, Any] = {
    "prompt_tokens": 800,
    "output_tokens": 60,
    "concurrency": 6,
    "slo": {"tpot_s_mean": 0.0125, "ttft_s_p90": 0.4},
    "max_devices": 2,
    "nodes": 1,
    "formats": ["own"],
    "num_requests": 60,
    "price": "a100-sxm-80gb=2,h100=3.1",
}
DEVICES = ["a100-sxm-80gb", "h100-sxm-80gb"]


@pytest.fixture(scope="module")
def toy() -> Recommendation:
    return recommend(MODEL, DEVICES, **TOY)


def simulate_everything(wish: Wish) -> dict[tuple[str, str, int], float]:
    """The objective of every layout and number of replicas that holds, with the engine's own limits."""
    rates = wish.rates.find_all([one.id for one in wish.devices])
    found = {}
    for cell in list_cells(wish)[0]:
        one = screen(cell, wish, rates[cell.device])
        for attempt in one.attempts:
            judged = judge(one, attempt, wish)
            if judged.holds(wish):
                found[cell.device, cell.layout, attempt.replicas] = judged.objective
    return found


def test_the_best_is_that_of_brute_force_by_simulation(toy: Recommendation) -> None:
    everything = simulate_everything(toy.wish)
    best = toy.best[0]
    assert len(everything) > 3
    assert min(everything, key=lambda key: everything[key]) == (
        best.cell.device,
        best.cell.layout,
        best.attempt.replicas,
    )
    assert [one.objective for one in toy.best] == sorted(one.objective for one in toy.best)
    assert all(one.holds(toy.wish) for one in toy.best)


def test_twice_the_price_is_twice_the_cost(toy: Recommendation) -> None:
    twice = recommend(MODEL, DEVICES, **{**TOY, "price": "a100-sxm-80gb=4,h100=6.2"})
    for one, other in zip(toy.best, twice.best, strict=True):
        assert other.cell.key == one.cell.key
        assert other.objective == pytest.approx(2 * one.objective)
        assert other.spending.usd_per_hour == pytest.approx(2 * float(one.spending.usd_per_hour or 0))


def make_wish(**given: Any) -> Wish:
    load = Load(1000, 100, (0.8, 1.2), request_rate=given.pop("rate", 6.0))
    return Wish(
        load_model(MODEL), list_devices("h100"), [None], None, load, given.pop("limits", {}),
        rates=AskedRates("3 USD/h"), formats=["own"], most_nodes=1, most_devices=4, **given,
    )  # fmt: skip


def find_least(wish: Wish) -> float:
    """The least objective that is estimated to hold."""
    rates = wish.rates.find("h100-sxm-80gb")
    best = [one.best for one in (screen(cell, wish, rates) for cell in list_cells(wish)[0])]
    return min((one.objective for one in best if one is not None), default=np.inf)


def test_laxer_limits_never_cost_more_and_more_load_never_takes_fewer_devices() -> None:
    costs = [find_least(make_wish(limits={"tpot_s_p90": limit})) for limit in (0.003, 0.006, 0.01, 0.1)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1]
    devices = [find_least(make_wish(rate=rate, objective="devices")) for rate in (1.0, 30.0, 60.0)]
    assert devices == sorted(devices)
    assert devices[0] < devices[-1]


def test_idle_time_is_paid_for() -> None:
    """A rate that one device serves with ease costs a token as much more as there are fewer of them."""
    costs = [find_least(make_wish(rate=rate)) for rate in (0.5, 1.0)]
    assert costs[0] == pytest.approx(2 * costs[1])


def test_what_two_share_cancels_and_one_never_beats_itself(toy: Recommendation) -> None:
    best = toy.best[0]
    itself = compare_best(toy.wish, [best, best])
    assert itself is not None
    assert itself.first_beats_second == 0.5
    dear = best.screened._replace(rates=AskedRates("30 USD/h").find(best.cell.device))
    other = compare_best(toy.wish, [best, best._replace(screened=dear)])
    assert other is not None
    # Where neither holds its limits, neither wins.
    assert other.first_beats_second > 0.9
    assert other.holds[0] == other.holds[1]
    assert toy.certainty is not None
    assert 0 <= toy.certainty.first_beats_second <= 1


def test_a_bound_has_no_certainty() -> None:
    found = recommend(MODEL, "h100", **{**TOY, "calibration": "none", "stack": "vllm-0.14", "price": "3 USD/h"})
    assert found.certainty is None
    assert found.best[0].simulation.question.basis == "bound"


def test_a_device_without_a_price_or_a_scheduler_is_named() -> None:
    asked = {**TOY, "price": None, "max_devices": 1, "slo": {}}
    found = recommend(MODEL, ["h100", "mi300x", "rtx-4090", "gaudi2"], **asked)
    said = {one.device: one.reason for one in list_losers(found)}
    assert "no price" in said["mi300x-192gb"]
    assert "has no scheduler" in said["rtx-4090"]
    assert "gaudi2-96gb" in said
    assert found.best[0].cell.device == "h100-sxm-80gb"


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_an_engine_is_started_by_options_that_its_documentation_names(engine: str) -> None:
    """docs.vllm.ai engine_args, docs.sglang.io server_arguments, nvidia.github.io/TensorRT-LLM trtllm-serve."""
    known = {
        "vllm": "--tensor-parallel-size --pipeline-parallel-size --enable-expert-parallel --quantization "
        "--kv-cache-dtype --max-num-batched-tokens --max-num-seqs",
        "sglang": "--model-path --tp-size --pp-size --ep-size --quantization --kv-cache-dtype --chunked-prefill-size "
        "--max-running-requests",
        "tensorrt-llm": "--tp_size --pp_size --ep_size --max_num_tokens --max_batch_size",
    }
    wish = replace(make_wish(kv_dtype="fp8"), model=load_model("gpt-oss-120b"), stacks=[engine])
    cells = [cell for cell in list_cells(wish)[0] if cell.devices > 1]
    rates = wish.rates.find("h100-sxm-80gb")
    attempts = [(cell, screen(cell, wish, rates).attempts[0]) for cell in cells[:4]]
    commands = [write_launch(*one) for one in attempts]
    assert commands
    assert set(ENGINES) == set(known)
    for command in commands:
        assert command is not None
        assert set(re.findall(r"--[\w-]+", command)) <= set(known[engine].split())
        assert "openai/gpt-oss-120b" in command


def invoke(*arguments: str) -> Result:
    fixed = ("-p", "800", "-n", "60", "--max-devices", "2", "--nodes", "1", "--num-requests", "40")
    return CliRunner().invoke(app, ["recommend", "-m", MODEL, *fixed, *arguments])


def test_the_answer_fits_a_screen_and_is_json(toy: Recommendation) -> None:
    asked = ("--devices", "h100,a100-sxm-80gb,l40s", "--concurrency", "6", "--slo", "tpot_s_mean:30ms")
    shown = invoke(*asked)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert "vllm serve meta-llama/Llama-3.1-8B-Instruct" in shown.stdout
    document = json.loads(report_recommendation(toy, "json"))
    assert document["schema"] == "roofcast/recommendation/1"
    first = document["best"][0]
    tokens = (first["prefill_usd_per_million_input_tokens"], first["decode_usd_per_million_output_tokens"])
    assert (800 * tokens[0] + 60 * tokens[1]) / 1e6 == pytest.approx(first["usd_per_request"], rel=0.02)
    points = document["frontier"]["h100-sxm-80gb"]
    for name, falls in (("output_tokens_per_s_per_user", False), ("output_tokens_per_s_per_device", True)):
        assert [one[name] for one in points] == sorted((one[name] for one in points), reverse=falls)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a load is one of"),
        (("--concurrency", "4", "--request-rate", "2"), "a load is one of"),
        (("--request-rate", "inf"), "no steady state"),
        (("--request-rate", "-1"), "above 0"),
        (("--concurrency", "20000"), "up to 16,384"),
        (("--concurrency", "4", "-p", "131000"), "--lengths 1-1"),
        (("--concurrency", "4", "--slo", "ttft:2"), "is not NAME:SECONDS"),
        (("--concurrency", "4", "--devices", "h1000"), "unknown hardware"),
        (("--concurrency", "4", "--devices", "h100", "--any"), "give one of them"),
        (("--concurrency", "4", "--devices", "h100", "--formats", "fp7"), "fp7"),
        (("--concurrency", "4", "--price", "h1000=2"), "no device 'h1000'"),
    ],
)
def test_a_wrong_wish_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = invoke(*arguments)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)


def test_what_nothing_holds_says_what_comes_closest() -> None:
    done = invoke("--concurrency", "6", "--devices", "h100", "--slo", "tpot_s_mean:10us")
    assert isinstance(done.exception, ImpossibleError)
    assert "the closest is 2 x h100-sxm-80gb" in str(done.exception)
    with pytest.raises(ImpossibleError, match="nothing serves"):
        rc.recommend("llama-3.1-405b", "l40s", concurrency=1, max_devices=1)


def test_a_command_names_no_checkpoint_that_may_not_exist() -> None:
    """vLLM makes fp8 on loading; weights of another format, and all of TensorRT-LLM, are the user's own."""
    for engine, name in (("vllm", "int8"), ("tensorrt-llm", "fp8"), ("vllm", "fp8"), ("vllm", "own")):
        wish = replace(make_wish(), stacks=[engine], formats=[name])
        rates = wish.rates.find("h100-sxm-80gb")
        cell = list_cells(wish)[0][0]
        command = write_launch(cell, screen(cell, wish, rates).attempts[0])
        hub = cell.question.model.hub_name
        made = name == "own" or (engine, name) == ("vllm", "fp8")
        assert (f" {hub} " in f"{command} ") == made
        assert (describe_checkpoint(cell) is None) == made


def test_a_device_whose_engine_cannot_run_the_model_is_left_out_with_the_reason() -> None:
    mixed = replace(make_wish(), devices=[load_hardware("h100-sxm-80gb"), load_hardware("mi300x-192gb")])
    cells, left = list_cells(replace(mixed, stacks=["tensorrt-llm"]))
    assert {cell.device for cell in cells} == {"h100-sxm-80gb"}
    assert [(one.device, "NVIDIA alone" in one.reason) for one in left] == [("mi300x-192gb", True)]
    sinks = replace(mixed, model=load_model("gpt-oss-120b"))
    assert all(cell.question.obstacle is None for cell in list_cells(sinks)[0])
