"""Board power stays between idle and the limit, and the shipped shares are what the fit gives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator
from calibration.fit.power import PowerRows, fit_power, list_errors, read_power
from simulator.errors import InputError
from simulator.inputs.library import load_hardware
from simulator.metrics.power import SHARES, PowerShares, find_energy, find_pass_power, find_power

SAMPLE = Path(__file__).resolve().parents[1] / "calibration" / "tables" / "h200-power-sample"
utilisation = st.floats(0, 1)


@given(utilisation, utilisation)
def test_power_lies_between_idle_and_the_limit(compute: float, memory: float) -> None:
    assert 0.19 * 400 <= find_power(compute, memory, 400.0) <= 400


@given(utilisation, utilisation, st.floats(0, 0.5))
def test_more_work_never_takes_less_power(compute: float, memory: float, more: float) -> None:
    assert find_power(compute + more, memory, 400.0) >= find_power(compute, memory, 400.0)
    assert find_power(compute, memory + more, 400.0) >= find_power(compute, memory, 400.0)


@pytest.mark.parametrize(("model", "tp", "pp"), [("gptj-6b", 1, 1), ("openai-davinci", 8, 1), ("mt-nlg-530b", 8, 3)])
def test_the_energy_of_a_request_lies_between_idle_and_the_limit_of_all_devices(model: str, tp: int, pp: int) -> None:
    answer = simulator.predict(model, "a100-sxm-80gb", tp=tp, pp=pp, prompt_tokens=[1, 512, 1536], output_tokens=32)
    energy_j = answer.energy_j / answer.question.rates.site.pue
    assert np.all(energy_j >= 0.19 * 400 * tp * pp * answer.e2e_s)
    assert np.all(energy_j <= 400 * tp * pp * answer.e2e_s)


def test_a_prefill_takes_more_power_than_decode_that_waits_for_the_host() -> None:
    setting = ("openai-davinci", "a100-sxm-80gb", "a100-sxm-80gb--megatron-lm-2022")
    answer = simulator.predict(*setting, tp=8, prompt_tokens=1024, output_tokens=32)
    device = answer.question.machine.device
    prefill, decode = (find_pass_power(passed, device, 400.0) for passed in answer.request[2:4])
    assert answer.decode_bound == "host"
    assert prefill > 1.5 * decode


def test_idle_stages_of_a_pipeline_draw_idle_power() -> None:
    answer = simulator.predict("mt-nlg", "a100-sxm-80gb", tp=8, prompt_tokens=512, output_tokens=8)
    question, device = answer.question, answer.question.machine.device
    layouts = [replace(question.work.deployment, pp=stages) for stages in (1, 5)]
    one, five = (find_energy(answer.request, question.passes, device, layout, 400.0) for layout in layouts)
    assert five - one == pytest.approx(8 * 4 * find_power(0.0, 0.0, 400.0) * answer.e2e_s)


def test_micro_batches_keep_more_stages_of_a_pipeline_busy() -> None:
    asked: dict[str, Any] = {"model": "mt-nlg", "hardware": "a100-sxm-80gb", "calibration": "none", "tp": 8, "pp": 5}
    alone, parted = (simulator.predict(**asked, batch_size=5, micro_batches=parts) for parts in (1, 5))
    idle_w = find_power(0.0, 0.0, 400.0)
    device, seconds = parted.question.machine.device, parted.request
    prefill_w, decode_w = (find_pass_power(passed, device, 400.0) for passed in (seconds.prefill, seconds.decode))
    # Five parts need 5 + 4 turns of a stage for the prefill, in five of which each stage works; decode has no gaps.
    prefill_j = 8 * 5 * seconds.prefill_s * (5 / 9 * prefill_w + 4 / 9 * idle_w)
    boards_j = prefill_j + 8 * 5 * seconds.decode_s * decode_w
    assert parted.energy_j == pytest.approx(parted.question.rates.site.pue * boards_j / 5)
    assert parted.e2e_s > alone.e2e_s / 5


def test_replicas_with_as_many_requests_each_use_as_much_energy_a_request() -> None:
    one, four = (simulator.predict("gptj-6b", "a100-sxm-80gb", dp=dp, batch_size=2 * dp) for dp in (1, 4))
    assert four.energy_j == pytest.approx(one.energy_j)


def make_rows(shares: PowerShares, noise: float) -> PowerRows:
    """Rows of planted shares: a fifth hardly use the device, the others are long and past the cache."""
    random = np.random.default_rng(5)
    compute, memory = random.uniform(0, 0.9, 500), random.uniform(0, 0.9, 500)
    compute[:100], memory[:100] = 0.005, 0.005
    load = shares.idle + shares.compute * compute + shares.memory * memory
    share = (load**-8 + 1) ** (-1 / 8) * np.exp(noise * random.standard_normal(500))
    return PowerRows(compute, memory, np.full(500, 1e-3), np.full(500, 9.0), share)


def test_planted_shares_are_found_again() -> None:
    planted = PowerShares(0.15, 0.9, 0.6)
    found = fit_power(make_rows(planted, 0.02), seed=3).shares
    assert (found.compute, found.memory) == pytest.approx((planted.compute, planted.memory), rel=0.1)
    assert found.idle == pytest.approx(planted.idle + 0.005 * (0.9 + 0.6), rel=0.02)


def test_a_seed_chooses_the_rows() -> None:
    rows = make_rows(SHARES, 0.05)
    assert np.array_equal(fit_power(rows, 1).fitted, fit_power(rows, 1).fitted)
    assert not np.array_equal(fit_power(rows, 1).fitted, fit_power(rows, 2).fitted)
    assert np.sum(fit_power(rows, 1).fitted) == 200


def test_the_shipped_shares_are_the_fit_of_seed_0_to_the_whole_table(data_folder: Path) -> None:
    rows = read_power(data_folder / "silicon" / "h200-sxm-141gb-power", load_hardware("h200-sxm-141gb"))
    fit = fit_power(rows)
    assert vars(fit.shares) == pytest.approx(vars(SHARES), abs=0.006)
    errors = {row["kernel"]: row for row in list_errors(rows.take(~fit.fitted), fit.shares)}
    assert errors["all of the fitted kind"]["median_ape"] < 0.03
    assert errors["all of the fitted kind"]["mape"] < 0.12
    assert sum(row["rows"] for name, row in errors.items() if not name.startswith("all")) == errors["all"]["rows"]


def test_a_folder_without_a_power_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table"):
        read_power(tmp_path, load_hardware("h200-sxm-141gb"))


def test_a_power_of_zero_is_named_with_its_line(tmp_path: Path) -> None:
    lines = (SAMPLE / "gemm_power.csv").read_text().splitlines()[:3]
    lines[2] = ",".join([*lines[2].split(",")[:-2], "0", "700.0"])
    (tmp_path / "gemm_power.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"gemm_power.csv:3: .*above zero"):
        read_power(tmp_path, load_hardware("h200-sxm-141gb"))
