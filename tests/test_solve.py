"""Every answer is confirmed on both sides: it meets the limits, the next value fails, and no other is better."""

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import predict

from cli import app, main
from simulator import InputError
from simulator.explore import solve as solving
from simulator.explore.datasheet import list_numbers, replace_numbers
from simulator.explore.limits import Limit, parse_limit
from simulator.explore.solution import Solution
from simulator.explore.solve import COUNTS, Problem, list_counts, solve
from simulator.explore.sweep.sweep import sweep
from simulator.inputs.library import load_hardware
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.layout import divides, list_layouts
from simulator.metrics.rate_file import Price
from simulator.prediction import Prediction, Question
from simulator.report.solution import SCHEMA

H100 = load_hardware("h100-sxm-80gb")
A100, VLLM, MEGATRON = load_hardware("a100-sxm-80gb"), "a100-sxm-80gb--vllm-0.6", "a100-sxm-80gb--megatron-lm-2022"
PRICE = Price("given", [], 1e-3, "today", "as given", "you", "as given")
NAMES = ("ttft_s", "tpot_s", "e2e_s", "cost_usd", "output_tokens_per_s", "energy_j")
AT_LEAST = ("output_tokens_per_s",)
# Small enough for every count that fits to be tried: learned positions, or little memory.
MODELS = ["opt-1.3b", "gpt2-124m", "pythia-70m", "llama-3-8b", "mixtral-8x7b-v0.1", "deepseek-v2-lite"]
WITH_PEAKS = ["compute.clock", "compute.units"]
NUMBERS = ["memory.bandwidth", "compute.matrix_peak.bf16", "memory.capacity", "links.node.bandwidth", *WITH_PEAKS]


def at_price(question: Question) -> Question:
    """A question with a price of our own."""
    return replace(question, rates=question.rates._replace(price=PRICE))


def measure(prediction: Prediction, name: str) -> Any:
    """The value that a limit is about, worked out apart from the code under test."""
    if name == "cost_usd":
        return prediction.e2e_s * prediction.devices * 1e-3 / prediction.question.work.workload.batch_size
    return prediction.footprint.device_bytes if name == "memory" else getattr(prediction, name)


def list_room(prediction: Prediction, limits: tuple[Limit, ...]) -> dict[str, float]:
    """Room that a prediction leaves to each limit, as a share of it."""
    usable = find_usable_bytes(prediction.question.hardware, prediction.question.work.stack)
    room = {name: float(1 - measure(prediction, name) / bound) for name, bound in (*limits, Limit("memory", usable))}
    return {name: -share if name in AT_LEAST else share for name, share in room.items()}


def confirm(solution: Solution, limits: tuple[Limit, ...], here: Prediction, beyond: Prediction | None) -> None:
    """Hold what a solution says of its limits against predictions at the answer and just past it."""
    said = {check.limit: check.slack for check in solution.at.checks if check.limit != "positions"}
    assert said == pytest.approx(list_room(here, limits), abs=1e-12)
    failing = beyond if solution.possible else here
    if failing is not None:
        assert set(solution.binding) == {name for name, share in list_room(failing, limits).items() if share < 0}


def meets(prediction: Prediction, limits: tuple[Limit, ...]) -> Any:
    """Whether a prediction fits and meets every limit."""
    holding = np.asarray(prediction.fits)
    for name, bound in limits:
        value = measure(prediction, name)
        holding = holding & (value >= bound if name in AT_LEAST else value <= bound)
    return holding


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request that may be asked of one device or two, with a profile of that or of another, or with none."""
    return {
        "model": draw(st.sampled_from(MODELS)),
        "hardware": draw(st.sampled_from([A100, A100, H100])),
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
    return asked, Problem(at_price(question), unknown, limits)


@settings(max_examples=25)
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
            beyond = predict(**asked | {problem.unknown: solution.beyond.value})
            assert not meets(beyond, problem.limits)
        except InputError:
            assert solution.binding == ["positions"]
            beyond = None
        confirm(solution, problem.limits, predict(**asked | {problem.unknown: solution.at.value}), beyond)
    value = solution.at.value if solution.possible else 0
    counts = np.arange(value + 1, value + 20_000, dtype=float)
    a = problem.question.work.architecture
    if problem.unknown != "batch_size" and a.position_embedding == "learned":
        other = asked["output_tokens" if problem.unknown == "prompt_tokens" else "prompt_tokens"]
        counts = counts[counts + other - 1 <= a.max_position_embeddings]
    if counts.size:
        assert not np.any(meets(predict(**asked | {problem.unknown: counts}), problem.limits))


@pytest.mark.long
@settings(max_examples=25)
@given(st.data(), requests(), st.sampled_from(NUMBERS))
def test_the_smallest_number_of_a_data_sheet_holds_and_a_billionth_less_fails(
    data: st.DataObject, asked: dict[str, Any], unknown: str
) -> None:
    asked = asked | {"tp": 2}
    limits = data.draw(st.composite(draw_limits)(predict(**asked)))
    problem = Problem(at_price(predict(**asked).question), unknown, limits)
    solution = solve(problem)

    device = asked["hardware"]
    there = list_numbers(device)

    def ask(value: float) -> Prediction:
        along = {key: there[key] * value / there[unknown] for key in there if "peak" in key and unknown in WITH_PEAKS}
        return predict(**asked | {"hardware": replace_numbers(device, {unknown: value} | along)})

    here = ask(solution.at.value)
    assert meets(here, limits) == solution.possible
    confirm(solution, limits, here, None if solution.beyond is None else ask(solution.beyond.value))
    least = 1 if unknown == "compute.units" else there[unknown] * 2.0**-20
    if solution.possible and solution.beyond is not None:
        assert not meets(ask(solution.beyond.value), limits)
        assert solution.binding
        if unknown == "compute.units":
            assert solution.at.value == solution.beyond.value + 1
        else:
            assert 0 < solution.at.value / solution.beyond.value - 1 <= 1e-9
    elif solution.possible:
        assert solution.at.value == least
    else:
        most = 1024 if unknown == "compute.units" else there[unknown] * 2.0**20
        assert not any(meets(ask(value), limits) for value in (least, there[unknown], most))


@settings(max_examples=20)
@given(st.data(), requests(), st.sampled_from(["devices", "tp", "pp", "dp"]))
def test_the_fewest_devices_hold_and_all_fewer_fail(data: st.DataObject, asked: dict[str, Any], unknown: str) -> None:
    limits = data.draw(st.composite(draw_limits)(predict(**asked)))
    question = predict(**asked).question
    solution = solve(Problem(at_price(question), unknown, limits))
    work = question.work

    def ask(layout: Any) -> Prediction:
        return predict(**asked | {name: getattr(layout, name) for name in ("tp", "pp", "dp")})

    here = ask(solution.at.value)
    assert bool(meets(here, limits)) == solution.possible
    confirm(solution, limits, here, None if solution.beyond is None else ask(solution.beyond.value))
    if unknown == "devices":
        for layout in list_layouts(work.architecture, asked["hardware"], work.stack, work.deployment):
            if not solution.possible or layout.devices < solution.at.value.devices:
                assert not meets(ask(layout), limits)
        return
    for size in range(1, getattr(solution.at.value, unknown) + (not solution.possible)):
        changed: dict[str, Any] = {unknown: size}
        layout = replace(work.deployment, **changed)
        if divides(layout, work.architecture, asked["hardware"], work.stack):
            assert not meets(ask(layout), limits)


def ask(unknown: str, *limits: str, **changes: Any) -> Solution:
    asked: dict[str, Any] = {"model": "llama-3-8b", "hardware": A100, "calibration": VLLM} | changes
    return solve(Problem(at_price(predict(**asked).question), unknown, tuple(map(parse_limit, limits))))


def test_times_that_fall_do_not_hide_a_larger_count_that_holds() -> None:
    # Megatron's fused softmax takes prompts of a multiple of four tokens alone: every fourth is a quarter faster.
    prompts = np.arange(1.0, 2049)  # as many as there are positions
    request: dict[str, Any] = {"calibration": MEGATRON, "output_tokens": 1}
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
    assert find_usable_bytes(least.at.prediction.question.hardware, full.at.prediction.question.work.stack) == (
        pytest.approx(predict("llama-3-8b", A100, VLLM).footprint.device_bytes, rel=2e-9)
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
    assert crowded.at.prediction.footprint.device_bytes > 80e9


def test_the_closest_misses_nothing_that_could_be_met() -> None:
    # No capacity makes a token faster, so the closest is one that at least holds the model.
    solution = ask("memory.capacity", "tpot_s:1ms")
    assert solution.binding == ["tpot_s"]
    assert solution.at.value < 80e9


def test_of_two_limits_on_one_value_the_tighter_one_is_the_limit() -> None:
    twice = ask("batch_size", "tpot_s:30ms", "tpot_s:20ms", "output_tokens_per_s:>10", "output_tokens_per_s:>100")
    once = ask("batch_size", "tpot_s:20ms", "output_tokens_per_s:>100")
    assert twice.at.value == once.at.value
    assert [(one.limit, one.bound) for one in twice.at.checks[:2]] == [
        ("tpot_s", 0.02),
        ("output_tokens_per_s", 100.0),
    ]
    assert twice.binding == ["tpot_s"]


def test_more_units_and_a_higher_clock_bring_their_peaks_along() -> None:
    asked = {"prompt_tokens": 4096, "output_tokens": 1}
    for unknown in WITH_PEAKS:
        solution = ask(unknown, "ttft_s:0.5", **asked)
        hardware = solution.at.prediction.question.hardware
        share = solution.at.value / list_numbers(A100)[unknown]
        assert hardware.compute.matrix_peak["fp16"] == pytest.approx(312e12 * share)
        assert 0.45 < share < 0.65  # 0.28 s with all of them, nearly all of it products of matrices


def test_an_interval_may_be_limited_and_units_are_whole() -> None:
    middle, sure = ask("batch_size", "tpot_s:20ms"), ask("batch_size", "tpot_s_high:20ms")
    assert sure.at.value < middle.at.value
    assert sure.at.prediction.tpot_s_high <= 0.02 < sure.beyond.prediction.tpot_s_high
    units = ask("compute.units", "tpot_s:20ms", batch_size=64)
    assert isinstance(units.at.value, int)
    assert units.at.prediction.tpot_s <= 0.02 < units.beyond.prediction.tpot_s


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
        ("energy_j:<2 kJ", Limit("energy_j", 2000.0)),
        ("carbon_kg:0.001", Limit("carbon_kg", 0.001)),
        ("output_tokens_per_s_low:>5", Limit("output_tokens_per_s_low", 5.0)),
        ("weights_bytes:40GB", Limit("weights_bytes", 40e9)),
        ("mfu:>0.5", Limit("mfu", 0.5)),
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
        ("tpot_s_low:1", "unknown limit"),
        ("fits:1", "unknown limit"),
        ("energy_j:5 s", "is seconds"),
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


def test_a_sweep_keeps_what_meets_the_limits_that_solve_takes() -> None:
    limits = ("tpot_s:25ms", "output_tokens_per_s:>500", "cost_usd:<0.001 USD")
    asked: dict[str, Any] = {"model": "llama-3-8b", "hardware": "a100-sxm-80gb", "calibration": VLLM}
    kept = sweep(**asked, batch_size="1-200+1", slo=limits, price="3.6 USD/h").columns["batch_size"]
    largest = ask("batch_size", *limits)
    assert kept.max() == largest.at.value
    assert kept.min() > 1
    counts = np.arange(1.0, 201)
    meeting = meets(predict(**asked | {"batch_size": counts}), tuple(map(parse_limit, limits)))
    assert kept.tolist() == counts[meeting].tolist()


@pytest.mark.parametrize(
    ("unknown", "limits", "changes", "says"),
    [
        ("memory.bandwith", ["tpot_s:1"], {}, "did you mean 'memory.bandwidth'"),
        ("layers", [], {}, "unknown --for 'layers'"),
        ("links.node.bandwidth", ["tpot_s:1"], {}, "no time of this request depends on"),
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
        solve(Problem(predict("gptj-6b", "rtx-4090", "none").question, "batch_size", (Limit("cost_usd", 1.0),)))


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
    assert f"largest batch_size: {found['value']}; binding constraints: ttft_s" in text
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


def test_the_command_says_what_a_device_with_changed_facts_lacks_and_what_a_model_is_not_made_for() -> None:
    changed = [*SOLVE, "batch_size", "--set-hw", "memory.bandwidth=3 TB/s", "--slo", "cost_usd:0.01"]
    result = CliRunner().invoke(app, changed)
    assert "no price ships for a100-sxm-80gb (memory.bandwidth=3 TB/s)" in str(result.exception)
    priced = CliRunner().invoke(app, [*changed, "--price", "2 USD/h"])
    assert "2 USD per device-hour [given, today]" in priced.stdout
    long = CliRunner().invoke(app, [*SOLVE, "prompt_tokens"])
    assert "the model is made for 8,192 (max_position_embeddings)" in long.stderr
    number = CliRunner().invoke(app, [*SOLVE, "compute.clock", "--slo", "ttft_s:50ms", "-o", "json"])
    (found,) = json.loads(number.stdout)["solutions"]
    assert found["along"] == {"compute.matrix_peak.bf16": pytest.approx(312e12 * found["value"] / 1.41e9)}
