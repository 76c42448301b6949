"""Answers side by side: each is what ``predict`` says, and ratios know which errors two answers share."""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from factor_samples import NAMES, from_values
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from cli import app, main
from simulator.errors import ImpossibleError, InputError
from simulator.explore.compare import Answer, compare, find_ratios
from simulator.metrics.prices import find_price, find_prices
from simulator.metrics.registry import TIMES, list_columns
from simulator.timing.intervals import NORMAL_90
from simulator.timing.profile import load_profile
from simulator.timing.transfer import ERRORS, widen_spread

A100 = ("-H", "a100-sxm-80gb", "-s", "megatron-lm-2022")
SMALL = ("compare", "-m", "gptj-6b", *A100, "-n", "16")


def invoke(*arguments: str) -> tuple[str, str]:
    """What a command that must succeed prints on both streams."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def invoke_json(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(invoke(*arguments, "-o", "json")[0])
    return document


def answer(**asked: Any) -> Answer:
    return Answer(predict(**({"model": "gptj-6b", "hardware": "a100-sxm-80gb", "stack": "megatron-lm-2022"} | asked)))


def find_width(low: float, high: float) -> float:
    """Half the width of an interval, of the logarithm."""
    return math.log(high / low) / 2


class TestRows:
    def test_each_row_is_what_predict_says(self) -> None:
        rows = invoke_json(
            *("compare", "-m", "gptj-6b,bloom-7b1", "-m", "opt-13b", "-H", "a100,h100", "--tp", "1,4"),
            *("-c", "none", "-c", "a100-sxm-80gb--vllm-0.6", "-p", "128", "-n", "1,16", "-b", "1", "-b", "8"),
        )["rows"]
        assert len(rows) == 3 * 2 * 2 * 2 * 2 * 2
        prices = find_prices(["a100-sxm-80gb", "h100-sxm-80gb"], None)
        assert [row["row"] for row in rows] == list(range(1, len(rows) + 1))
        for row in rows:
            prediction = predict(
                row["model"],
                row["hardware"],
                row["profile"] or "none",
                stack=row["stack"],
                tp=row["tp"],
                prompt_tokens=row["prompt_tokens"],
                output_tokens=row["output_tokens"],
                batch_size=row["batch_size"],
                price=prices[row["hardware"]].id,  # type: ignore[union-attr]  # both have one
            )
            for name in list_columns():
                expected = getattr(prediction, name)
                missing = expected is None or (isinstance(expected, float) and math.isnan(expected))
                assert row[name] == (None if missing else expected), name

    def test_combinations_come_in_the_order_of_the_lists(self) -> None:
        rows = invoke_json(*SMALL, "--tp", "4,1", "-b", "8,1", "-p", "64-128*2")["rows"]
        asked = [(row["tp"], row["prompt_tokens"], row["batch_size"]) for row in rows]
        assert asked == [(t, p, b) for t in (4, 1) for p in (64, 128) for b in (8, 1)]

    def test_formats_and_stacks_take_lists(self) -> None:
        rows = invoke_json(
            *("compare", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "-c", "none"),
            *("-s", "ideal,vllm-0.6", "--dtype", "fp16", "--weight-dtype", "fp16,int8"),
        )
        asked = [(row["stack"], row["weight_dtype"]) for row in rows["rows"]]
        assert asked == [(s, w) for s in ("ideal", "vllm-0.6") for w in ("fp16", "int8")]

    def test_what_does_not_fit_is_shown_so(self) -> None:
        rows = invoke_json("compare", "-m", "openai-davinci", *A100, "--tp", "1,8")["rows"]
        assert [row["fits"] for row in rows] == [False, True]
        notes = invoke("compare", "-m", "openai-davinci", *A100, "--tp", "1,8")[1]
        assert "1 of 2 rows do not fit in memory" in notes

    def test_what_is_impossible_is_left_out_counted_and_named(self) -> None:
        output, notes = invoke(*SMALL, "--tp", "1,3,2", "-o", "json")
        document = json.loads(output)
        assert [row["tp"] for row in document["rows"]] == [1, 2]
        assert [row["row"] for row in document["rows"]] == [1, 2]
        (one,) = document["impossible"]
        assert "tp 3 does not divide num_attention_heads 16" in one["reason"]
        assert "1 of 3 combinations are impossible and left out" in notes
        assert re.search(r"gptj-6b on a100-sxm-80gb, tp 3: tp 3 does not divide", notes)

    def test_a_long_list_of_impossible_ones_is_cut(self) -> None:
        notes = invoke(*SMALL, "--tp", "1,3,5,7", "-b", "1-4+1")[1]
        assert "12 of 16 combinations" in notes
        assert len([line for line in notes.splitlines() if " builds " not in line]) == 12
        assert "and 2 more" in notes

    def test_changes_hold_for_every_row(self) -> None:
        rows = invoke_json(*SMALL, "--set", "num_hidden_layers=14", "--set-hw", "memory.bandwidth=4 TB/s", "-b", "1,2")
        for row in rows["rows"]:
            assert row["basis"] == "transfer"
            assert "num_hidden_layers=14" in row["model"]
            assert "memory.bandwidth=4 TB/s" in row["hardware"]


class TestCost:
    def test_is_the_price_of_the_devices_for_the_time_over_the_requests(self) -> None:
        price = find_price("a100-sxm-80gb", None)
        assert price is not None
        for row in invoke_json(*SMALL, "--tp", "1,4", "-b", "1,8")["rows"]:
            expected = row["e2e_s"] * row["devices"] * price.price / row["batch_size"]
            assert row["cost_usd"] == pytest.approx(expected, rel=1e-12)

    def test_is_empty_where_no_price_ships_and_given_where_one_is(self) -> None:
        asked = ("compare", "-m", "gptj-6b", *A100, "-H", "v100-sxm-32gb")
        first, second = invoke_json(*asked)["rows"]
        assert first["cost_usd"] > 0
        assert second["cost_usd"] is None
        assert second["cost_usd_ratio"] is None
        for row in invoke_json(*asked, "--price", "3.6 USD/h")["rows"]:
            assert row["cost_usd"] == pytest.approx(row["e2e_s"] * 1e-3, rel=1e-12)


class TestRatios:
    def test_of_a_row_to_itself_are_exactly_one_without_width(self) -> None:
        document = invoke_json(*SMALL, "--tp", "1,2", "--baseline", "2")
        assert document["baseline"] == 2
        row = document["rows"][1]
        for name in (*TIMES, "output_tokens_per_s", "cost_usd"):
            assert [row[f"{name}_ratio{end}"] for end in ("", "_low", "_high")] == [1, 1, 1]

    def test_of_the_same_question_asked_twice_are_exactly_one(self) -> None:
        assert set(find_ratios(answer(), answer())["e2e_s"]) == {1.0}

    def test_are_a_row_over_the_baseline(self) -> None:
        first, second = invoke_json(*SMALL, "-b", "1,8", "--tp", "1")["rows"]
        for name in (*TIMES, "output_tokens_per_s", "cost_usd"):
            assert second[f"{name}_ratio"] == pytest.approx(second[name] / first[name], rel=1e-12)
            assert second[f"{name}_ratio_low"] < second[f"{name}_ratio"] < second[f"{name}_ratio_high"]

    def test_between_batch_sizes_of_one_profile_are_narrower_than_of_independent_answers(self) -> None:
        one, base = answer(batch_size=64, output_tokens=64), answer(batch_size=8, output_tokens=64)
        ratios = find_ratios(one, base)
        for name in TIMES:
            value, low, high = ratios[name]
            assert low is not None
            assert high is not None
            widths = [
                find_width(getattr(a.prediction, f"{name}_low"), getattr(a.prediction, f"{name}_high"))
                for a in (one, base)
            ]
            assert find_width(low, high) < math.hypot(*widths)
            assert value == getattr(one.prediction, name) / getattr(base.prediction, name)

    def test_have_the_width_of_the_difference_of_slopes_and_both_scatters(self) -> None:
        one, base = answer(prompt_tokens=1024, output_tokens=1), answer(prompt_tokens=128, output_tokens=1)
        profile = one.profile
        assert profile is not None
        difference = (one.log_slopes - base.log_slopes)[:, 0]
        names = list(one.knowledge.factors.names)
        law = widen_spread(profile, ())
        variance = difference @ one.knowledge.log_covariance(names) @ difference + 2 * law.prefill**2
        _, low, high = find_ratios(one, base)["ttft_s"]
        assert low is not None
        assert high is not None
        # Intervals step along independent directions and slopes along factors: they differ by the bend within a step.
        assert find_width(low, high) == pytest.approx(NORMAL_90 * math.sqrt(variance), rel=1e-4)

    def test_of_different_profiles_are_independent(self) -> None:
        one, base = answer(calibration="a100-sxm-80gb--vllm-0.6", stack=None), answer()
        _, low, high = find_ratios(one, base)["e2e_s"]
        assert low is not None
        assert high is not None
        ends: list[Any] = [(a.prediction.e2e_s_low, a.prediction.e2e_s_high) for a in (one, base)]
        widths = [find_width(low, high) for low, high in ends]
        assert find_width(low, high) == pytest.approx(math.hypot(*widths), rel=1e-9)

    def test_share_the_error_of_a_transfer_to_the_same_device_alone(self) -> None:
        profile = "a100-sxm-80gb--vllm-0.6"
        h100, more = (answer(hardware="h100-sxm-80gb", calibration=profile, batch_size=size) for size in (1, 2))
        h200 = answer(hardware="h200-sxm-141gb", calibration=profile)
        law = widen_spread(load_profile(profile), ())
        least = NORMAL_90 * math.sqrt(2) * math.hypot(ERRORS["generation"].decode, law.decode)
        for other, shares in ((more, True), (h200, False)):
            _, low, high = find_ratios(other, h100)["e2e_s"]
            assert low is not None
            assert high is not None
            assert (find_width(low, high) < least) == shares

    def test_have_no_interval_where_one_is_a_bound(self) -> None:
        value, low, high = find_ratios(answer(calibration="none"), answer())["e2e_s"]
        assert value < 1
        assert (low, high) == (None, None)

    def test_of_times_that_do_not_exist_are_empty(self) -> None:
        one, many = invoke_json("compare", "-m", "gptj-6b", *A100, "-n", "1,16")["rows"]
        assert one["tpot_s_ratio"] is None
        assert many["tpot_s_ratio"] is None
        assert many["ttft_s_ratio"] == 1

    @given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.integers(1, 2000), st.integers(1, 2000))
    def test_the_other_way_round_are_the_inverse(self, tp: int, other: int, p: int, q: int) -> None:
        one, base = answer(tp=tp, prompt_tokens=p % 1000 + 1), answer(tp=other, prompt_tokens=q % 1000 + 1)
        there, back = find_ratios(one, base)["e2e_s"], find_ratios(base, one)["e2e_s"].invert()
        assert there == pytest.approx(back, rel=1e-9)

    def test_agree_with_factors_drawn_from_the_profile(self) -> None:
        one, base = answer(batch_size=16), answer(batch_size=1)
        profile = one.profile
        assert profile is not None
        drawn = np.random.default_rng(0).multivariate_normal(
            np.zeros(len(NAMES)), one.knowledge.log_covariance(list(NAMES)), 4000, method="eigh"
        )
        moved = from_values((np.array(list(one.knowledge.factors)) * np.exp(drawn)).T)
        logs = np.log(one.question.times(moved).prefill_s / base.question.times(moved).prefill_s)
        _, low, high = find_ratios(one, base)["ttft_s"]
        assert low is not None
        assert high is not None
        own = sum(move.error.prefill**2 for move in one.question.moves)  # a batch that was not fitted
        law = widen_spread(profile, ())
        variance = (find_width(low, high) / NORMAL_90) ** 2 - 2 * law.prefill**2 - own
        assert not base.question.moves
        assert variance**0.5 == pytest.approx(np.std(logs), rel=0.25, abs=0.003)


class TestForms:
    def test_tables_write_ratios_with_intervals(self) -> None:
        for form in ("table", "md"):
            text = invoke(*SMALL, "-b", "1,8", "-o", form)[0]
            assert re.search(r"\d(\.\d+)?x, \d(\.\d+)?-\d(\.\d+)?", text)
            words = " ".join(text.split())
            assert (
                "All rows: model gptj-6b; device a100-sxm-80gb; devices 1; layout tp 1; stack megatron-lm-2022" in words
            )
            assert "4.096 USD per device-hour" in words

    def test_a_single_row_has_no_table_of_ratios(self) -> None:
        assert "Ratios" not in invoke(*SMALL)[0]

    def test_csv_has_the_keys_of_the_rows(self) -> None:
        header, *rows = csv.reader(io.StringIO(invoke(*SMALL, "-b", "1,8", "-o", "csv")[0]))
        assert header == list(invoke_json(*SMALL)["rows"][0])
        assert [len(row) for row in rows] == [len(header)] * 2

    def test_profiles_are_shown_where_device_and_stack_do_not_say_which(self) -> None:
        asked = ("compare", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "-s", "vllm-0.6,llama.cpp-b2795", "-o", "md")
        assert "profile" not in invoke(*asked)[0]
        text = invoke(*asked, "-H", "h100-sxm-80gb")[0]
        assert all(profile in text for profile in ("a100-sxm-80gb--vllm-0.6", "a100-sxm-80gb--llama.cpp-b2795"))

    def test_json_names_its_schema(self) -> None:
        document = invoke_json(*SMALL)
        assert set(document) == {"schema", "baseline", "rows", "impossible"}
        assert document["schema"] == "roofcast/comparison/1"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Runs the command, and gives its exit code and its only line."""

    def run(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["roofcast", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return stopped.value.code, line

    return run  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", *A100), "-m NAME"),
        (("compare", "-m", "gptj-6b"), "-H NAME"),
        (("compare", "-m", "gptj-6", *A100), "did you mean 'gptj-6b'?"),
        (("compare", "-m", "gptj-6b", "-H", "a100-sxm-81g"), "unknown hardware"),
        ((*SMALL, "--tp", "1,x"), "--tp: 'x' is not a whole number"),
        ((*SMALL, "-b", "0"), "--batch-size: '0'"),
        ((*SMALL, "--dtype", "fp17"), "fp17"),
        ((*SMALL, "-c", "none", "-c", "nothing"), "unknown profile 'nothing'"),
        ((*SMALL, "-s", "nothing"), "unknown stack 'nothing'"),
        ((*SMALL, "--price", "4"), "4.096 USD/h"),
        ((*SMALL, "--set", "hidden_sise=4096"), "did you mean 'hidden_size'?"),
        ((*SMALL, "--set-hw", "memory.bandwidth=4"), "4 needs a unit"),
        ((*SMALL, "--baseline", "2"), "--baseline is 2; the rows that are possible are 1 to 1"),
        ((*SMALL, "-p", "1-1001+1"), "1,001 combinations are more than the 1,000"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(failing: Any, arguments: tuple[str, ...], said: str) -> None:
    code, line = failing(*arguments)
    assert code == 2
    assert said in line


def test_nothing_but_impossible_combinations_is_exit_3(failing: Any) -> None:
    code, line = failing(*SMALL, "--tp", "3,5")
    assert code == 3
    assert "tp 3 does not divide num_attention_heads 16" in line
    assert "1 others" in line


@pytest.mark.parametrize(("devices", "said"), [("h100,mi300x", True), ("h100,h200", False)])
def test_a_table_whose_rows_rest_on_different_software_says_so(devices: str, said: bool) -> None:
    """vLLM of one version was measured on H100 and H200, and of another on MI300X."""
    shown, _ = invoke("compare", "-m", "llama-3.1-70b", "-H", devices, "--tp", "4", "-p", "64", "-n", "8")
    mixed = "rows mix what they rest on (vllm-0.14 calibrated, vllm-0.6 calibrated)"
    assert (mixed in " ".join(shown.split())) == said


def test_the_python_way_takes_what_the_command_takes() -> None:
    found = compare("gptj-6b", "a100-sxm-80gb", tp=[1, 2], prompt_tokens=512, output_tokens=32, baseline=2)
    assert found.ratios[1]["e2e_s"].value == 1
    assert [row["tp"] for row in found.to_dicts()] == [1, 2]
    with pytest.raises(ImpossibleError):
        compare("gptj-6b", "a100-sxm-80gb", tp=3)
    with pytest.raises(InputError):
        compare("gptj-6b", "a100-sxm-80gb", baseline=0)


def test_what_does_not_fit_is_a_row_only_where_it_is_asked_for() -> None:
    both = ("gptj-6b", "llama-3.1-70b")
    found = compare(both, "a100-sxm-80gb")
    assert [one.question.model.id for one in found.predictions] == ["gptj-6b"]
    assert "llama-3.1-70b does not fit on 1 x a100-sxm-80gb" in found.impossible[0].reason
    assert [one.fits for one in compare(both, "a100-sxm-80gb", assume_fits=True).predictions] == [True, False]
