"""``calibrate plan``: what it names narrows an answer more than as much of anything else, and can be pasted."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from calibration.fit.benchmark_commands import write_commands
from calibration.fit.cases import build_cases, predict_intervals, predict_rows
from calibration.fit.least_squares import fit_profile
from calibration.fit.load_design import Place, Setting, choose_blocks
from calibration.fit.plan import make_target, plan_measurements
from calibration.fit.profile_file import make_bare_profile
from cli import app
from simulator import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.workload import Workload
from simulator.prediction import Question, resolve
from simulator.serving.workload import Load
from simulator.timing.priors import as_factors, choose_priors

MODEL, DEVICE, STACK = "llama-3.1-8b", "h100-sxm-80gb", "llama.cpp-2025"
ASKED = Load(6000, 64, concurrency=1)


def ask(stack: str = STACK) -> Question:
    return resolve(MODEL, DEVICE, "none", stack, Deployment(dtype="bf16"), Workload(1, 1, 1), {})


def measure_and_ask(question: Question, settings: list[Setting]) -> float:
    """The width of the interval of TPOT as asked, after planted factors were measured at some settings."""
    device, stack = question.hardware, question.work.stack
    place = Place.of(question, "planted", MODEL)
    priors = choose_priors(question.machine.device.traits, stack)
    planted = as_factors(priors).replace(matrix_bandwidth_efficiency=0.7)
    rows = [row for setting in settings for row in setting.make_rows(place)]
    values = predict_rows(build_cases(rows, "none", device, stack), planted)
    fit = fit_profile([replace(row, value=float(v)) for row, v in zip(rows, values, strict=True)], device, stack)
    profile = make_bare_profile(fit, "planted", device.id, stack.id)
    low, high = predict_intervals(build_cases([make_target(ASKED, place, "tpot_s")], profile, device, stack))
    return float(np.log(high / low)[0])


def test_what_is_planned_narrows_the_answer_more_than_as_much_by_chance() -> None:
    question = ask()
    plan = plan_measurements(question, ASKED, MODEL, 1, ["tpot_s"], 60.0)
    planned = measure_and_ask(question, plan.settings)
    random = np.random.default_rng(1)
    by_chance = [measure_and_ask(question, [plan.candidates[at]]) for at in random.choice(len(plan.candidates), 2)]
    assert planned < min(by_chance)


def test_each_measurement_narrows_and_none_is_named_twice() -> None:
    for stack in (STACK, "vllm-0.14"):
        plan = plan_measurements(ask(stack), replace(ASKED, concurrency=1), MODEL, 5, ["ttft_s", "tpot_s"], 60.0)
        assert len(set(plan.settings)) == 5
        assert np.all(np.diff(plan.widths, axis=0) <= 1e-12)
        assert np.all(plan.widths[-1] < plan.widths[0])


def test_a_block_of_two_rows_is_worth_what_its_rows_are_one_after_the_other() -> None:
    """By hand: conditioning on both rows at once is conditioning on the first and then on the second."""
    random = np.random.default_rng(0)
    slopes, noise = random.normal(size=(4, 2)), np.array([0.1, 0.3])
    target = random.normal(size=(4, 1))
    _, at_once = choose_blocks(slopes, np.eye(4), noise, np.array([[0, 1]]), target, 1)
    _, in_turn = choose_blocks(slopes, np.eye(4), noise, np.array([[0], [1]]), target, 2)
    assert at_once == pytest.approx(in_turn)
    precision = np.eye(4) + slopes @ np.diag(1 / noise) @ slopes.T
    assert at_once == pytest.approx(np.linalg.inv(precision))


# Of the pages that ``benchmark_commands`` names.
DOCUMENTED = {
    "vllm-0.14": "--backend --base-url --model --dataset-name --random-input-len --random-output-len --num-prompts "
    "--max-concurrency --ignore-eos --seed --save-result --result-filename",
    "sglang-0.4": "--backend --model --dataset-name --random-input-len --random-output-len --random-range-ratio "
    "--num-prompts --max-concurrency --flush-cache --output-file",
    "tensorrt-llm-1.3": "--stdout --tokenizer --num-requests --input-mean --input-stdev --output-mean --output-stdev "
    "--model --dataset --tp --pp --concurrency --streaming --report_json",
    "llama.cpp-2025": "-m -p -n -d -o",
}


@pytest.mark.parametrize("stack", sorted(DOCUMENTED))
def test_commands_have_documented_flags_and_the_numbers_of_the_load(stack: str) -> None:
    lines = write_commands([Setting(512, 32, 16)], stack, "org/model", Deployment(tp=2), "measured")[0]
    words = [word for line in lines for word in shlex.split(line)]
    assert {word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word) and word != "-m"} <= set(
        DOCUMENTED[stack].split()
    )
    assert {"512", "32"} <= set(words)
    assert stack.startswith("llama") or {"16", "48"} <= set(words)


def test_no_run_finds_the_prompts_of_another_in_the_cache() -> None:
    settings = [Setting(2048, 32, 1), Setting(512, 32, 1)]
    runs = write_commands(settings, "vllm-0.14", "org/model", Deployment(), "measured")
    seeds = [re.findall(r"--seed (\d+)", line) for (line,) in runs]
    assert len(set(map(tuple, seeds))) == len(settings)
    assert all("--flush-cache" in line for (line,) in write_commands(settings, "sglang-0.4", "m", Deployment(), "x"))


def test_the_command_prints_what_to_paste_and_json_holds_it() -> None:
    options = ["calibrate", "plan", "-m", MODEL, "-H", DEVICE, "-s", "vllm-0.14", "-p", "1024", "-n", "64"]
    load = ["--concurrency", "8", "--measurements", "2"]
    text = CliRunner().invoke(app, [*options, *load]).stdout
    assert text.count("vllm bench serve") == 2
    assert "roofcast calibrate fit measured" in text
    found = json.loads(CliRunner().invoke(app, [*options, *load, "-o", "json"]).stdout)
    assert found["schema"] == "roofcast/plan/1"
    assert [len(one["commands"]) for one in found["measurements"]] == [1, 1]
    for given, message in (
        (["--trace", "x.csv"], "not --trace"),
        (["--concurrency", "8", "--time-budget", "1ms"], "no load can be measured"),
        ([], "a load is one of"),
    ):
        error = CliRunner().invoke(app, [*options, *given]).exception
        assert isinstance(error, InputError)
        assert message in str(error)
