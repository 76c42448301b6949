"""Prediction against measurement: the acceptance numbers of the shipped profile, and a comparison that is honest."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples
from samples import predict

from calibration.fit.profile_file import add_check, check_unfitted, write_profile
from calibration.fit.selection import Selection, select_rows
from calibration.fit.validate import Validation, validate_profile
from simulator.errors import InputError
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import METRICS, Measurement, read_table, write_table
from simulator.report.prediction import describe_basis
from simulator.timing.profile import load_profile

ROOT = Path(__file__).resolve().parents[1]
CHECKS = ROOT / "calibration" / "tables" / "narayanan-2023-a100-checks.csv"
SHIPPED = "a100-sxm-80gb--megatron-lm-2022"
FITTED = ("ai21-j1-large", "mt-nlg", "openai-davinci")
ROW = replace(samples.ROW, batch_size=2)


def validate(rows: list[Measurement], transfer: bool = False) -> Validation:
    return validate_profile(rows, load_profile(SHIPPED), transfer=transfer)


def predict_metric(metric: str, **changes: Any) -> float:
    """What the validation predicts for one row with this metric."""
    return float(validate([replace(ROW, metric=metric, **changes)]).predicted[0])


def test_the_quoted_measurements_are_predicted_within_five_percent() -> None:
    rows = read_table(CHECKS)
    validation = validate(rows)
    assert len(rows) == 12
    assert len([row for row in rows if row.model not in FITTED]) == 11
    assert validation.summarise()["mape"] < 0.05
    unseen = [row.model not in FITTED for row in rows]
    assert np.mean(np.abs(validation.errors[unseen])) < 0.05


@pytest.fixture(scope="module")
def held_out(data_folder: Path) -> Validation:
    rows = read_table(data_folder / "megatron_a100.csv")
    return validate(select_rows(rows, Selection(exclude_models=FITTED)))


class TestEightModelsThatWereNotFitted:
    """The 2,160 rows of the eight models of ``megatron_a100.csv`` that the shipped profile has never seen."""

    def test_are_all_rows_but_those_of_the_fitted_models(self, held_out: Validation) -> None:
        assert len(held_out.rows) == 2160
        assert len({row.model for row in held_out.rows}) == 8
        profile = load_profile(SHIPPED)
        assert profile.provenance is not None
        assert tuple(profile.provenance.models) == FITTED

    def test_are_predicted_with_a_mean_error_of_at_most_two_and_a_half_percent(self, held_out: Validation) -> None:
        assert held_out.summarise()["mape"] <= 0.025

    def test_have_nine_errors_in_ten_of_at_most_five_percent(self, held_out: Validation) -> None:
        assert held_out.summarise()["p90_ape"] <= 0.05

    def test_have_their_prefill_predicted_within_five_percent(self, held_out: Validation) -> None:
        prefill = np.array([row.output_tokens == 1 for row in held_out.rows])
        assert prefill.sum() == 216
        assert np.mean(np.abs(held_out.errors[prefill])) <= 0.05

    def test_lie_inside_their_intervals_as_often_as_a_90_percent_interval_says(self, held_out: Validation) -> None:
        """Rows of a model err together: of eight models a share of 0.9 is known to sqrt(0.9 x 0.1 / 8) = 0.11."""
        assert 0.80 <= held_out.summarise()["coverage_90"] <= 0.97

    def test_give_the_summary_that_plain_numpy_gives(self, held_out: Validation, data_folder: Path) -> None:
        with (data_folder / "megatron_a100.csv").open(newline="") as file:
            measured = [float(row["value"]) for row in csv.DictReader(file) if row["model"] not in FITTED]
        np.testing.assert_array_equal(held_out.measured, measured)
        errors = (held_out.predicted - measured) / np.array(measured)
        summary = held_out.summarise()
        assert summary["rows"] == len(measured)
        assert summary["mape"] == pytest.approx(np.abs(errors).mean())
        assert summary["median_ape"] == pytest.approx(np.median(np.abs(errors)))
        assert summary["p90_ape"] == pytest.approx(np.percentile(np.abs(errors), 90))
        assert summary["bias"] == pytest.approx(errors.mean())
        inside = [low <= m <= high for low, m, high in zip(held_out.low, measured, held_out.high, strict=True)]
        assert summary["coverage_90"] == pytest.approx(sum(inside) / len(inside))

    def test_split_by_model_and_by_phase_without_losing_a_row(self, held_out: Validation) -> None:
        document = held_out.to_dict()
        for part in ("by_model", "by_phase"):
            groups = document[part]
            assert sum(group["rows"] for group in groups) == 2160
            mean = sum(group["rows"] * group["mape"] for group in groups) / 2160
            assert mean == pytest.approx(document["mape"])
        assert [group["phase"] for group in document["by_phase"]] == ["prefill", "request"]

    def test_show_their_largest_errors_first(self, held_out: Validation) -> None:
        worst = [abs(row["error"]) for row in held_out.to_dict()["worst"]]
        assert len(worst) == 10
        assert worst == sorted(worst, reverse=True)
        assert worst[0] == np.abs(held_out.errors).max()


def test_a_table_is_answered_row_by_row_as_single_questions_are() -> None:
    rows = read_table(CHECKS)
    validation = validate(rows)
    for row, predicted, low, high in zip(rows, validation.predicted, validation.low, validation.high, strict=True):
        one = predict(
            row.model,
            row.hardware,
            SHIPPED,
            tp=row.tp,
            prompt_tokens=row.prompt_tokens,
            output_tokens=row.output_tokens,
        )
        assert (predicted, low, high) == pytest.approx((one.e2e_s, one.e2e_s_low, one.e2e_s_high))


def test_errors_are_shares_of_the_measured_value() -> None:
    (predicted,) = validate([ROW]).predicted
    validation = validate([replace(ROW, value=2 * float(predicted)), replace(ROW, value=float(predicted) / 2)])
    assert list(validation.errors) == pytest.approx([-0.5, 1.0])
    assert validation.summarise()["mape"] == pytest.approx(0.75)
    assert validation.summarise()["bias"] == pytest.approx(0.25)


class TestMetrics:
    """Every metric of the tidy table says the same request in its own way."""

    def test_are_all_understood(self) -> None:
        validation = validate([replace(ROW, metric=metric) for metric in METRICS])
        assert np.all(validation.predicted > 0)
        assert np.all((validation.low < validation.predicted) & (validation.predicted < validation.high))

    def test_time_to_first_token_is_a_request_of_one_token(self) -> None:
        one_token = predict_metric("e2e_s", output_tokens=1)
        assert predict_metric("ttft_s") == pytest.approx(one_token, rel=1e-12)
        assert predict_metric("prefill_s") == pytest.approx(one_token, rel=1e-12)

    def test_time_per_output_token_is_the_rest_of_the_request_over_the_tokens_after_the_first(self) -> None:
        rest = predict_metric("e2e_s") - predict_metric("ttft_s")
        assert predict_metric("tpot_s") == pytest.approx(rest / 31, rel=1e-9)

    def test_throughput_is_of_the_whole_batch(self) -> None:
        assert predict_metric("throughput_tok_s") == pytest.approx(2 * 32 / predict_metric("e2e_s"), rel=1e-12)

    def test_of_one_table_are_not_mixed_up(self) -> None:
        rows = [replace(ROW, metric=metric, tp=tp) for metric in METRICS for tp in (1, 2)]
        together = validate(rows).predicted
        assert together == pytest.approx([predict_metric(row.metric, tp=row.tp) for row in rows], rel=1e-12)


def test_rows_of_another_device_need_to_be_meant() -> None:
    rows = [ROW, replace(ROW, hardware="h100-sxm-80gb")]
    with pytest.raises(InputError) as caught:
        validate(rows)
    assert str(caught.value) == (
        "the table has rows of h100-sxm-80gb; profile a100-sxm-80gb--megatron-lm-2022 is of a100-sxm-80gb "
        "(--transfer judges it there all the same)"
    )


def test_a_transfer_is_less_certain_than_the_device_that_was_measured() -> None:
    validation = validate([ROW, replace(ROW, hardware="h100-sxm-80gb")], transfer=True)
    widths = np.log(validation.high / validation.low)
    assert widths[1] > 2 * widths[0]
    assert validation.predicted[1] <= validation.predicted[0]


@pytest.mark.parametrize(
    ("profile", "hardware"),
    [("rtx-4090--llama.cpp-b2795", "a100-sxm-80gb"), ("a100-sxm-40gb--vllm-0.6", "a100-sxm-80gb")],
)
def test_a_profile_predicts_another_device_within_eight_percent(profile: str, hardware: str, data_folder: Path) -> None:
    known = load_profile(profile)
    rows = select_rows(read_table(data_folder / "published.csv"), Selection(hardware=(hardware,), stack=(known.stack,)))
    assert np.mean(np.abs(validate_profile(rows, known, transfer=True).errors)) < 0.08


@pytest.mark.parametrize("transfer", [False, True])
def test_rows_of_another_stack_are_refused(transfer: bool) -> None:
    with pytest.raises(InputError) as caught:
        validate([ROW, replace(ROW, stack="ideal")], transfer)
    expected = "the table has rows of stack ideal; profile a100-sxm-80gb--megatron-lm-2022 is of megatron-lm-2022"
    assert str(caught.value) == expected


def test_a_row_that_the_predictor_cannot_answer_is_named() -> None:
    with pytest.raises(InputError, match=r"^rows of gptj-7b on a100-sxm-80gb: unknown model 'gptj-7b'"):
        validate([ROW, replace(ROW, model="gptj-7b")])


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="no rows to validate against"):
        validate([])


def test_a_time_that_does_not_exist_does_not_pass_for_a_good_prediction(tmp_path: Path) -> None:
    # A request of one output token has no time per token after the first.
    write_table(tmp_path / "table.csv", [ROW, replace(ROW, metric="tpot_s", output_tokens=1)])
    with pytest.raises(InputError):
        validate(read_table(tmp_path / "table.csv"))


def test_a_profile_used_with_another_stack_is_a_transfer() -> None:
    own, other = (predict("gptj-6b", "a100-sxm-80gb", SHIPPED, stack=stack) for stack in (None, "ideal"))
    assert (own.basis, other.basis) == ("calibrated", "transfer")


def test_a_device_of_the_user_stands_for_the_name_in_the_table() -> None:
    fast = replace(load_hardware("a100-sxm-80gb"), id="mine")
    fast = replace(fast, memory=replace(fast.memory, bandwidth=2 * fast.memory.bandwidth))
    rows = [replace(ROW, hardware="mine")]
    mine = validate_profile(rows, load_profile(SHIPPED), hardware=fast, transfer=True)
    assert mine.predicted[0] < validate([ROW]).predicted[0]


def test_the_error_on_rows_not_fitted_is_recorded_and_quoted(tmp_path: Path) -> None:
    path, table = tmp_path / "mine.yaml", tmp_path / "table.csv"
    write_profile(path, replace(load_profile(SHIPPED), check=None))
    assert "is not known" in describe_basis(predict("gptj-6b", "a100-sxm-80gb", path))
    write_table(table, [ROW])
    validation = validate([ROW])
    write_profile(path, add_check(load_profile(path), [table], validation))
    recorded = load_profile(path)
    assert recorded.check is not None
    assert (recorded.check.rows, recorded.check.models) == (1, [ROW.model])
    assert recorded.check.mape == pytest.approx(validation.summarise()["mape"], rel=1e-3)
    assert "on 1 rows there" in describe_basis(predict("gptj-6b", "a100-sxm-80gb", path))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "openai-davinci", "tp": 8}, "openai-davinci was fitted; leave it out with --exclude-models"),
        ({"hardware": "h100-sxm-80gb"}, "the rows must all be of a100-sxm-80gb, the device of the profile"),
    ],
)
def test_an_error_that_is_not_the_profiles_is_not_recorded(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    path, table = tmp_path / "mine.yaml", tmp_path / "table.csv"
    write_profile(path, load_profile(SHIPPED))
    write_table(table, [ROW])
    before = path.read_bytes()
    profile, validation = load_profile(path), validate([replace(ROW, **changes)], transfer=True)

    def record() -> None:
        check_unfitted(profile, validation)
        add_check(profile, [table], validation)

    with pytest.raises(InputError, match=problem):
        record()
    assert path.read_bytes() == before
