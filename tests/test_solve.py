"""Every answer is confirmed on both sides: it meets the limits, the next value fails, and no other is better."""

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import app, main
from simulator import InputError, predict
from simulator.explore import solve as solving
from simulator.explore.datasheet import list_numbers, replace_numbers
from simulator.explore.limits import AT_LEAST, Limit, parse_limit
from simulator.explore.solve import COUNTS, Problem, Solution, list_counts, solve
from simulator.inputs.library import load_hardware
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.layout import list_layouts
from simulator.metrics.rates import Price
from simulator.prediction import Prediction
from simulator.report.solution import SCHEMA

A100, VLLM, MEGATRON = load_hardware("a100-sxm-80gb"), "a100-sxm-80gb--vllm-0.6", "a100-sxm-80gb--megatron-lm-2022"
PRICE = Price("given", [], 1e-3, "today", "as given")
NAMES = ("ttft_s", "tpot_s", "e2e_s", "cost_usd", "output_tokens_per_s")
# Small enough for every count that fits to be tried: learned positions, or little memory.
MODELS = ["opt-1.3b", "gpt2-124m", "pythia-70m", "llama-3-8b", "mixtral-8x7b-v0.1"]
NUMBERS = ["memory.bandwidth", "compute.matrix_peak.fp16", "compute.clock", "memory.capacity", "links.node.bandwidth"]


def measure(prediction: Prediction, name: str) -> Any:
    """The value that a limit is about, worked out apart from the code under test."""
    if name == "cost_usd":
        return prediction.e2e_s * prediction.devices * 1e-3
    return getattr(prediction, name)


def meets(prediction: Prediction, limits: tuple[Limit, ...]) -> Any:
    """Whether a prediction fits and meets every limit."""
    holding = np.asarray(prediction.fits)
    for name, bound in limits:
        value = measure(prediction, name)
        holding = holding & (value >= bound if name in AT_LEAST else value <= bound)
    return holding


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that may be asked of one A100 or two, with a profile or none."""
    return {
        "model": draw(st.sampled_from(MODELS)),
        "hardware": A100,
        "calibration": draw(st.sampled_from([VLLM, MEGATRON, "none"])),
        "prompt_tokens": draw(st.integers(1, 700)),
        "output_tokens": draw(st.integers(2, 200)),
        "batch_size": draw(st.integers(1, 100)),
        "tp": draw(st.sampled_from([1, 2])),
    }


def draw_limits(draw: st.DrawFn, prediction: Prediction) -> tuple[Limit, ...]:
    """Limits near to what a prediction has."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    return tuple(Limit(name, float(measure(prediction, name)) * draw(st.floats(0.5, 2))) for name in names)


@st.composite
def count_problems(draw: st.DrawFn) -> tuple[dict[str, Any], Problem]:
    """The largest of a count, limited near to some value of it."""
    asked, unknown = draw(requests()), draw(st.sampled_from(COUNTS))
    limits = draw_limits(draw, predict(**asked))
    question = predict(**asked | {unknown: 1}).question
    return asked, Problem(question, unknown, limits, PRICE)


@settings(max_examples=60)
@given(count_problems())
def test_the_largest_count_holds_the_next_fails_and_no_larger_one_holds(drawn: tuple[dict[str, Any], Problem]) -> None:
    asked, problem = drawn
    solution = solve(problem)
    if solution.possible:
        assert meets(predict(**asked | {problem.unknown: solution.at.value}), problem.limits)
        assert solution.beyond is not None
        assert solution.beyond.value == solution.at.value + 1
        assert solution.binding
        try:
            assert not meets(predict(**asked | {problem.unknown: solution.beyond.value}), problem.limits)
        except InputError:
            assert solution.binding == ["positions"]
    value = solution.at.value if solution.possible else 0
    counts = np.arange(value + 1, value + 20_000, dtype=float)
    a = problem.question.work.architecture
    if problem.unknown != "batch_size" and a.position_embedding == "learned":
        other = asked["output_tokens" if problem.unknown == "prompt_tokens" else "prompt_tokens"]
        counts = counts[counts + other - 1 <= a.max_position_embeddings]
    if counts.size:
        assert not np.any(meets(predict(**asked | {problem.unknown: counts}), problem.limits))


@settings(max_examples=60)
@given(st.data(), requests(), st.sampled_from(NUMBERS))
def test_the_smallest_number_of_a_data_sheet_holds_and_a_billionth_less_fails(
    data: st.DataObject, asked: dict[str, Any], unknown: str
) -> None:
    asked = asked | {"tp": 2}
    limits = data.draw(st.composite(draw_limits)(predict(**asked)))
    problem = Problem(predict(**asked).question, unknown, limits, PRICE)
    solution = solve(problem)

    def ask(value: float) -> Prediction:
        return predict(**asked | {"hardware": replace_numbers(A100, {unknown: value})})

    assert meets(ask(solution.at.value), limits) == solution.possible
    if solution.possible and solution.beyond is not None:
        assert not meets(ask(solution.beyond.value), limits)
        assert 0 < solution.at.value / solution.beyond.value - 1 <= 1e-9
        assert solution.binding
    elif solution.possible:
        assert solution.at.value == list_numbers(A100)[unknown] * 2.0**-20
    else:
        assert not any(meets(ask(list_numbers(A100)[unknown] * 2.0**power), limits) for power in range(-20, 21))


@settings(max_examples=30)
@given(st.data(), requests(), st.sampled_from(["devices", "tp", "pp", "dp"]))
def test_the_fewest_devices_hold_and_all_fewer_fail(data: st.DataObject, asked: dict[str, Any], unknown: str) -> None:
    limits = data.draw(st.composite(draw_limits)(predict(**asked)))
    question = predict(**asked).question
    solution = solve(Problem(question, unknown, limits, PRICE))
    work = question.work

    def ask(layout: Any) -> Prediction:
        return predict(**asked | {name: getattr(layout, name) for name in ("tp", "pp", "dp")})

    assert bool(meets(ask(solution.at.value), limits)) == solution.possible
    if unknown == "devices":
        for layout in list_layouts(work.architecture, A100, work.deployment):
            if not solution.possible or layout.devices < solution.at.value.devices:
                assert not meets(ask(layout), limits)
    elif solution.possible and solution.beyond is not None:
        assert getattr(solution.beyond.value, unknown) < getattr(solution.at.value, unknown)
        assert not meets(ask(solution.beyond.value), limits)


def ask(unknown: str, *limits: str, **changes: Any) -> Solution:
    asked = {"model": "llama-3-8b", "hardware": A100, "calibration": VLLM} | changes
    return solve(Problem(predict(**asked).question, unknown, tuple(map(parse_limit, limits)), PRICE))


def test_times_that_fall_do_not_hide_a_larger_count_that_holds() -> None:
    # Megatron's fused softmax takes prompts of a multiple of four tokens alone: every fourth is a quarter faster.
    prompts = np.arange(1.0, 2049)  # as many as there are positions
    request = {"calibration": MEGATRON, "output_tokens": 1}
    times = np.asarray(predict("llama-3-8b", A100, **request, prompt_tokens=prompts).ttft_s)
    falling = np.flatnonzero(np.diff(times) < 0)
    assert falling.size > 100
    for place in falling[::60]:
        between = float(times[place] + times[place + 1]) / 2
        solution = ask("prompt_tokens", f"ttft_s:{between!r}", **request)
        assert solution.at.value == prompts[np.flatnonzero(times <= between)[-1]] > prompts[place]
        assert np.any(times[: int(solution.at.value)] > between)


def test_memory_alone_is_a_limit_and_without_any_the_end_is_said() -> None:
    full = ask("batch_size")
    assert (full.binding, full.possible) == (["memory"], True)
    usable = find_usable_bytes(A100, full.at.prediction.question.work.stack)
    assert full.at.prediction.footprint.device_bytes <= usable < full.beyond.prediction.footprint.device_bytes
    least = ask("memory.capacity")
    assert least.binding == ["memory"]
    assert least.at.value * least.at.prediction.question.work.stack.memory_share == pytest.approx(
        predict("llama-3-8b", A100, VLLM).footprint.device_bytes, rel=2e-9
    )
    slow = ask("memory.bandwidth", "e2e_s:1e9")
    assert (slow.possible, slow.beyond, slow.binding) == (True, None, [])


def test_past_the_counts_that_are_all_tried_the_answer_is_bisected(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = ask("prompt_tokens", "e2e_s:60")
    monkeypatch.setattr(solving, "MOST_SCANNED", 256)
    rough = ask("prompt_tokens", "e2e_s:60")
    assert rough.at.holds
    assert not rough.beyond.holds
    assert exact.at.value * 0.98 < rough.at.value <= exact.at.value


def test_what_cannot_be_comes_with_the_closest() -> None:
    solution = ask("batch_size", "tpot_s:1ms")
    assert not solution.possible
    assert solution.binding == ["tpot_s"]
    batches = np.arange(1.0, 200)
    times = np.asarray(predict("llama-3-8b", A100, VLLM, batch_size=batches).tpot_s)
    assert solution.at.prediction.tpot_s == pytest.approx(times.min())
    crowded = ask("batch_size", model="openai-davinci", calibration="none")
    assert (crowded.possible, crowded.binding, crowded.at.value) == (False, ["memory"], 1)
    assert crowded.at.excess == pytest.approx(math.log(crowded.at.prediction.footprint.device_bytes / 80e9))


def test_an_interval_may_be_limited_and_units_are_whole() -> None:
    middle, sure = ask("batch_size", "tpot_s:20ms"), ask("batch_size", "tpot_s_high:20ms")
    assert sure.at.value < middle.at.value
    assert sure.at.prediction.tpot_s_high <= 0.02 < sure.beyond.prediction.tpot_s_high
    units = ask("compute.units", "tpot_s:14ms", batch_size=64)
    assert isinstance(units.at.value, int)
    assert not units.possible or units.at.prediction.tpot_s <= 0.014


@given(st.integers(1, 1000), st.integers(1, 10**9))
def test_the_grid_of_counts_is_fine_and_whole(first: int, more: int) -> None:
    grid = list_counts(first, first + more)
    assert (grid[0], grid[-1]) == (first, first + more)
    assert np.all(grid == np.floor(grid))
    assert np.all(np.diff(grid) <= np.maximum(1, grid[:-1] / 32))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("tpot_s:0.03", Limit("tpot_s", 0.03)),
        ("ttft_s:<200ms", Limit("ttft_s", 0.2)),
        ("e2e_s:<= 2 min", Limit("e2e_s", 120.0)),
        ("output_tokens_per_s:>1000", Limit("output_tokens_per_s", 1000.0)),
        ("output_tokens_per_s:1e3", Limit("output_tokens_per_s", 1000.0)),
        ("cost_usd:0.01", Limit("cost_usd", 0.01)),
        ("cost_usd:<2 USD", Limit("cost_usd", 2.0)),
        ("tpot_s_high:30ms", Limit("tpot_s_high", 0.03)),
    ],
)
def test_limits_are_read(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tpot_s", "not of the form"),
        ("tpot_s:", "not of the form"),
        ("tpt_s:1", "did you mean 'tpot_s'"),
        ("tpot_s:>1", "wrong way round"),
        ("output_tokens_per_s:<5", "wrong way round"),
        ("tpot_s:5 GB", "is bytes"),
        ("tpot_s:-1", "above zero"),
        ("tpot_s:nan", "above zero"),
        ("output_tokens_per_s:>5 s", "not a number"),
    ],
)
def test_limits_that_are_none_are_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_limit(text)


@pytest.mark.parametrize(
    ("unknown", "limits", "changes", "says"),
    [
        ("memory.bandwith", ["tpot_s:1"], {}, "did you mean 'memory.bandwidth'"),
        ("links.node.bandwidth", ["tpot_s:1"], {}, "no time of this request depends on"),
        ("power.tdp", ["tpot_s:1"], {}, "no time of this request depends on"),
        ("memory.bandwidth", [], {}, "needs a limit"),
        ("batch_size", ["tpot_s:1"], {"output_tokens": 1}, "one output token"),
        ("batch_size", ["tpot_s_high:1"], {"calibration": "none"}, "a bound has no interval"),
        ("tp", [], {"ep": 1, "hardware": replace(A100, links=None), "model": "gptj-6b"}, None),
    ],
)
def test_problems_without_an_answer_are_refused(
    unknown: str, limits: list[str], changes: dict[str, Any], says: str | None
) -> None:
    if says is None:
        assert ask(unknown, *limits, **changes).at.value.tp == 1
        return
    with pytest.raises(InputError, match=says):
        ask(unknown, *limits, **changes)


def test_a_cost_needs_a_price() -> None:
    with pytest.raises(InputError, match="--price"):
        solve(Problem(predict("gptj-6b", A100, "none").question, "batch_size", (Limit("cost_usd", 1.0),)))


SOLVE = ("solve", "-m", "llama-3-8b", "-H", "a100-sxm-80gb", "-s", "vllm-0.6", "--for")


def test_the_command_answers_in_every_form() -> None:
    arguments = (*SOLVE, "batch_size", "--slo", "tpot_s:0.03", "--slo", "ttft_s:2")
    invoke = CliRunner().invoke
    (found,) = json.loads(invoke(app, [*arguments, "-o", "json"]).stdout)["solutions"]
    assert (found["binding"], found["beyond"]) == (["ttft_s"], found["value"] + 1)
    rows = list(csv.DictReader(io.StringIO(invoke(app, [*arguments, "-o", "csv"]).stdout)))
    assert [row["limit"] for row in rows] == ["tpot_s", "ttft_s", "memory"]
    assert {row["value"] for row in rows} == {str(found["value"])}
    text = invoke(app, list(arguments)).stdout
    assert f"largest batch_size: {found['value']}; what binds: ttft_s" in text
    assert invoke(app, [*arguments, "-o", "md"]).stdout.startswith("| limit |")
    exact = invoke(app, [*SOLVE, "memory.bandwidth", "--slo", "tpot_s:20ms"]).stdout
    assert "; fails at " in exact


def test_the_command_says_what_is_impossible_and_how_close_one_gets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*SOLVE, "memory.bandwidth", "--slo", "ttft_s:1us", "-o", "json"]
    monkeypatch.setattr("sys.argv", ["roofcast", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["schema"] == SCHEMA
    (found,) = json.loads(printed.out)["solutions"]
    assert (found["possible"], found["value"], found["binding"]) == (False, None, ["ttft_s"])
    assert "impossible: no memory.bandwidth meets every limit" in printed.err
    assert "the closest you get is ttft_s" in printed.err
