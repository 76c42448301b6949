"""A calibration refuses its profile where it must, and doubts it by what no held-out decoder can show."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from factor_samples import typical
from samples import ROW, make_operator_row

from calibration.fit.design import Screened
from calibration.fit.validate import Validation
from calibration.fit.verdict import (
    RunFacts,
    judge_clocks,
    judge_requests,
    judge_rows,
    judge_share,
    judge_sheet,
    key_row,
)
from calibration.measure import quiet
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import Measurement

A100 = load_hardware("a100-sxm-80gb")
PRODUCT = "linear m=4096 n=4096 k=4096"  # 0.137 TFLOP: 0.44 ms at 312 TFLOP/s


def make_check(error: Callable[[int], float], models: int = 5, width: float = 1.5) -> Validation:
    """Both metrics of some models, measured in a second each and predicted with an error."""
    rows = [
        replace(ROW, model=f"model-{place}", metric=metric, output_tokens=9 if metric == "tpot_s" else 1, value=1.0)
        for place in range(models)
        for metric in ("ttft_s", "tpot_s")
    ]
    predicted = np.array([1 + error(place // 2) for place in range(len(rows))])
    return Validation(rows, predicted, predicted / width, predicted * width)


def test_a_good_check_is_not_refused() -> None:
    assert judge_requests(make_check(lambda place: 0.02 * (-1) ** place)) == []


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (make_check(lambda place: 0.16 * (-1) ** place), "held-out TTFT is off by a median of 16%"),
        (make_check(lambda place: 0.7 if place == 0 else -0.08), "held-out TPOT is off by a 90% quantile of 45%"),
        (make_check(lambda place: 0.11), "held-out TPOT is off by a bias of 11%"),
        (make_check(lambda place: 0.05 * (-1) ** place, width=1.01), "0% of held-out TPOT lie in their 90% intervals"),
        (make_check(lambda place: 0.0, models=2), "checked on 2 models and 4 rows that were not fitted"),
        (None, "checked on 0 models and 0 rows that were not fitted"),
    ],
    ids=["median", "tail", "bias", "coverage", "few", "none"],
)
def test_a_bad_check_is_refused_with_the_reason(check: Validation | None, said: str) -> None:
    refused = judge_requests(check)
    assert said in refused


def test_less_than_three_fifths_of_the_cases_or_a_kind_that_is_missing_is_refused() -> None:
    rows = [make_operator_row(f"linear m={m} n=64 k=64", A100.id, "pytorch-eager") for m in range(1, 11)]
    kinds = {key_row(row): "gemm" for row in rows}
    assert judge_share(rows[:6], RunFacts(kinds, ())) == ([], [])
    assert judge_share(rows[:5], RunFacts(kinds, ())) == ([], ["5 of 10 cases are there to use"])
    other = make_operator_row("host launches=1", A100.id, "pytorch-eager")
    message = make_operator_row("all_reduce bytes=64 direct=0", A100.id, "pytorch-eager")
    more = kinds | {key_row(other): "host", key_row(message): "collectives"}
    assert judge_share(rows, RunFacts(more, ())) == (["no case of collectives is there"], ["no case of host is there"])


@pytest.mark.parametrize(("share", "doubtful"), [(0.5, True), (0.7, False), (0.95, False), (1.2, True)])
def test_the_best_product_is_held_to_the_data_sheet(share: float, doubtful: bool) -> None:
    rows = [make_operator_row(PRODUCT, A100.id, "pytorch-eager", value=2 * 4096**3 / 312e12 / share)]
    rows.append(make_operator_row("linear m=1 n=4096 k=4096", A100.id, "pytorch-eager", value=1e-3))
    assert bool(judge_sheet(rows, A100)) == doubtful


def with_clocks(*shares: float) -> list[Measurement]:
    row = make_operator_row(PRODUCT, A100.id, "pytorch-eager")
    return [replace(row, clock_hz=share * A100.compute.clock) for share in shares]


def test_a_low_or_a_restless_clock_and_many_rows_left_out_are_doubted() -> None:
    assert judge_clocks(with_clocks(1.0, 0.99, 1.0, 0.98), A100) == []
    assert judge_clocks(with_clocks(0.8, 0.8, 0.8), A100) == ["the clock was 80% of the data sheet's"]
    assert judge_clocks(with_clocks(1.0, 0.9, 1.0, 0.9), A100) == ["the clock moved by 11%"]
    rows = with_clocks(*[1.0] * 9)
    assert judge_rows(rows, Screened(rows[1:], [])) == ["1 of 9 rows were left out of the fit"]
    assert judge_rows([*rows, *rows], Screened([*rows, *rows][1:], [])) == []


def test_a_busy_machine_is_waited_for_and_no_longer_than_a_part_of_the_time() -> None:
    said: list[str] = []
    shares = iter([0.9, 0.5, 0.02])
    assert quiet.wait_for_quiet(60.0, said.append, lambda: next(shares), lambda: 0.0) == 0.02
    assert said == ["other processes take 90% of the processors; waiting for up to 9 s"]
    now = iter(range(100))
    assert quiet.wait_for_quiet(60.0, said.append, lambda: 0.5, lambda: float(next(now))) == 0.5
    assert next(now) == 10  # after 9 s of looks of a second


def test_plain_torch_takes_a_tenth_of_a_frameworks_host_time() -> None:
    module, framework = typical("pytorch-eager"), typical("megatron-lm-2022")
    for name in ("layer_host_s", "step_host_s"):
        assert 5 < getattr(framework, name) / getattr(module, name) < 20
    # 1,000 tokens of a prompt that comes as numbers: nothing that would show in a first token
    assert 1000 * float(module.prompt_token_host_s) < 1e-4
