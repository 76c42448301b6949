"""The fit finds the factors that made the measurements, says how sure it is, and is written and read without loss.

The measurements here are made by the predictor itself with factors planted around their priors.
"""

import hashlib
import zlib
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from factor_samples import HIGH, LOW, NAMES, from_values

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.least_squares import Fit, fit_profile
from calibration.fit.profile_file import make_profile, write_profile
from calibration.fit.validate import validate_profile
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement, read_table
from simulator.timing.factors import Factors, as_log_array
from simulator.timing.learned import Traits
from simulator.timing.priors import choose_priors
from simulator.timing.profile import Profile, complete, load_profile

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "calibration" / "tables" / "narayanan-2023-a100-30-rows.csv"
SHIPPED = ROOT / "calibration" / "profiles" / "a100-sxm-80gb--megatron-lm-2022.yaml"
DEVICE = load_hardware("a100-sxm-80gb")
STACK = load_stack("megatron-lm-2022")
DESIGN = read_table(TABLE)
HELD_OUT = read_table(TABLE.with_name("narayanan-2023-a100-checks.csv"))
PRIORS = choose_priors(Traits("gpu"), STACK)
PRIOR = np.log([prior.value for prior in PRIORS.values()])
SPREAD = np.array([prior.spread for prior in PRIORS.values()])
SEEDS = range(24)
UNTOUCHED = ("attention_efficiency", "misaligned_slowdown")  # no fused attention, no odd sizes in the design


def time_rows(rows: list[Measurement], factors: Factors) -> Any:
    """What the predictor gives for each row."""
    return predict_rows(build_cases(rows, "none", stack=STACK), factors)


def measure(rows: list[Measurement], factors: Factors, noise: float, seed: int) -> list[Measurement]:
    """The rows as a device with these factors would give them, with lognormal noise."""
    scatter = np.exp(noise * np.random.default_rng(seed).normal(size=len(rows)))
    values = time_rows(rows, factors) * scatter
    return [replace(row, value=float(value)) for row, value in zip(rows, values, strict=True)]


def plant(seed: int) -> Factors:
    """Factors within two prior spreads of the prior, and within what is physical; each drawn by its name alone."""
    drawn = [np.random.default_rng((seed, zlib.crc32(name.encode()))).normal() for name in PRIORS]
    steps = np.clip(drawn, -2, 2)
    return from_values(np.clip(np.exp(PRIOR + SPREAD * steps), LOW, HIGH).tolist())


@cache
def recover(seed: int, noise: float = 0.01) -> Fit:
    return fit_profile(measure(DESIGN, plant(seed), noise, seed), DEVICE, STACK)


@cache
def refit() -> Fit:
    return fit_profile(DESIGN, DEVICE, STACK)


def read_shipped() -> Profile:
    return load_profile(SHIPPED)


@pytest.mark.long
def test_well_measured_factors_are_recovered_within_two_standard_errors() -> None:
    distances = []
    for seed in SEEDS:
        fit, planted = recover(seed), as_log_array(plant(seed))
        well_measured = fit.standard_errors < 0.5 * SPREAD
        assert well_measured.any()
        moved = (as_log_array(fit.factors) - planted) / fit.standard_errors
        distances += list(moved[well_measured])
    assert len(distances) > 2 * len(SEEDS)
    assert np.mean(np.abs(distances) < 2) > 0.9
    assert np.mean(np.abs(distances) < 3) > 0.95


@pytest.mark.long
def test_well_measured_combinations_of_factors_are_recovered_within_two_standard_errors() -> None:
    # The combination known best, to a hundredth of its prior spread, is a sum of host times. It is straight in seconds
    # and bent in logarithms, so that a covariance cannot hold it over the length of the others: the next two tests do.
    distances = []
    for seed in SEEDS:
        fit = recover(seed)
        errors = (as_log_array(fit.factors) - as_log_array(plant(seed))) / SPREAD
        variances, combinations = np.linalg.eigh(fit.log_covariance / np.outer(SPREAD, SPREAD))
        well_measured = (variances > 0.05**2) & (variances < 0.5**2)
        distances += list((combinations.T @ errors / np.sqrt(variances))[well_measured])
    # The least over tiles has kinks, where a covariance sees one side only: some distances are far past two.
    assert len(distances) > 3 * len(SEEDS)
    # Of normal errors 95% would: the corners of attention's laws take more than their share (tests/test_planted.py).
    assert np.mean(np.abs(distances) < 2) > 0.88


def test_models_that_were_not_measured_are_predicted_within_a_few_percent() -> None:
    measured = {row.model for row in DESIGN}
    unseen = [row for row in HELD_OUT if row.model not in measured]
    assert len({row.model for row in unseen}) == 8
    found = [
        np.abs(time_rows(unseen, recover(seed).factors) / time_rows(unseen, plant(seed)) - 1) for seed in SEEDS[:4]
    ]
    assert np.mean(found) < 0.015
    assert max(np.mean(errors) for errors in found) < 0.025
    assert np.max(found) < 0.08


@pytest.mark.long
def test_intervals_hold_measurements_of_models_that_were_not_fitted() -> None:
    covered = []
    for seed in SEEDS:
        profile = make_profile(recover(seed), "planted", "a100-sxm-80gb", STACK.id, [TABLE], "")
        measured = measure(HELD_OUT, plant(seed), noise=0.01, seed=50 + seed)
        covered.append(validate_profile(measured, profile).summarise()["coverage_90"])
    assert np.mean(covered) > 0.85


def test_without_noise_the_fitted_rows_are_met_within_half_a_percent_on_average() -> None:
    assert np.mean([np.abs(recover(seed, noise=0.0).relative_errors) for seed in SEEDS[:3]]) < 0.005


def test_the_covariance_is_symmetric_and_positive_definite() -> None:
    for fit in (refit(), recover(0), recover(1)):
        np.testing.assert_allclose(fit.log_covariance, fit.log_covariance.T, rtol=1e-6, atol=1e-12)
        assert np.linalg.eigvalsh(fit.log_covariance).min() > 0
        np.testing.assert_allclose(np.diag(fit.correlation), 1)
        assert np.abs(fit.correlation).max() < 1 + 1e-9


def test_measuring_makes_no_factor_less_certain_than_it_was() -> None:
    for fit in (refit(), recover(0), recover(1)):
        assert np.max(fit.standard_errors / SPREAD) < 1 + 1e-6


@pytest.mark.parametrize("name", UNTOUCHED)
def test_a_factor_that_no_row_touches_stays_at_its_prior_with_its_spread(name: str) -> None:
    place = NAMES.index(name)
    for fit in (refit(), recover(0)):
        assert getattr(fit.factors, name) == pytest.approx(PRIORS[name].value, rel=1e-6)
        assert fit.standard_errors[place] == pytest.approx(PRIORS[name].spread, rel=1e-6)
        assert np.abs(np.delete(fit.correlation[place], place)).max() < 1e-6


def test_the_discrepancy_grows_with_the_noise() -> None:
    quiet, loud = recover(3, noise=0.004).discrepancy, recover(3, noise=0.08).discrepancy
    assert loud.prefill > 3 * quiet.prefill
    assert loud.decode > 3 * quiet.decode


@pytest.mark.parametrize(("scale", "at_bound"), [(0.05, "matrix_efficiency"), (50.0, "layer_host_s")])
def test_factors_stay_physical_whatever_was_measured(scale: float, at_bound: str) -> None:
    fit = fit_profile([replace(row, value=scale * row.value) for row in DESIGN], DEVICE, STACK)
    assert np.linalg.eigvalsh(fit.log_covariance).min() > 0
    assert np.all((np.array(list(fit.factors)) >= LOW) & (np.array(list(fit.factors)) <= HIGH))
    assert at_bound in fit.factors_at_bound()


def test_a_fit_needs_rows() -> None:
    with pytest.raises(InputError, match="no rows to fit"):
        fit_profile([], DEVICE, STACK)


def test_the_shipped_profile_is_what_its_table_gives() -> None:
    fit, shipped = refit(), read_shipped()
    stored, places = shipped.factors.values(), [NAMES.index(name) for name in shipped.factors]
    assert list(shipped.factors) == sorted(fit.informed)
    fitted = np.array(list(fit.factors))[places]
    np.testing.assert_allclose(fitted, [factor.value for factor in stored], rtol=0.01)
    errors = fit.standard_errors[places]
    np.testing.assert_allclose(errors, [factor.standard_error for factor in stored], rtol=0.02)
    np.testing.assert_allclose(fit.correlation[np.ix_(places, places)], shipped.correlation_matrix, atol=0.02)
    assert fit.discrepancy.prefill == pytest.approx(shipped.discrepancy.prefill, rel=0.05)
    assert fit.discrepancy.decode == pytest.approx(shipped.discrepancy.decode, rel=0.05)


def test_the_shipped_profile_says_which_table_it_comes_from() -> None:
    provenance = asdict(read_shipped())["provenance"]
    assert provenance["table"] == TABLE.name
    assert provenance["table_sha256"] == hashlib.sha256(TABLE.read_bytes()).hexdigest()
    assert provenance["rows"] == len(DESIGN) == 30
    assert provenance["models"] == sorted({row.model for row in DESIGN})
    assert provenance["mape"] == pytest.approx(np.mean(np.abs(refit().relative_errors)), rel=0.01)


def test_a_profile_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    profile = make_profile(refit(), "mine", "a100-sxm-80gb", STACK.id, [TABLE], "roofcast calibrate fit ...")
    write_profile(path, profile)
    assert load_profile(path) == profile
    for name, factor in profile.factors.items():
        assert factor.value == pytest.approx(getattr(refit().factors, name), rel=1e-3)


def test_what_a_profile_does_not_hold_is_the_prior_of_the_device_that_it_is_used_on() -> None:
    profile, other = read_shipped(), load_stack("llama.cpp-b2795")
    for device_class, stack in (("gpu", STACK), ("cpu", STACK), ("gpu", other)):
        known, priors = (
            complete(profile, Traits(device_class), stack, at_home=True),
            choose_priors(Traits(device_class), stack),
        )
        missing = [name for name in NAMES if name not in profile.factors]
        assert missing
        for name in missing:
            assert getattr(known.factors, name) == priors[name].value
            assert known.errors[name] == priors[name].spread
        covariance = known.log_covariance(list(NAMES))
        places = [NAMES.index(name) for name in missing]
        apart = covariance[np.ix_(places, range(len(NAMES)))]
        np.testing.assert_array_equal(np.flatnonzero(apart.any(axis=0)), places)  # independent of all others


def test_a_profile_is_not_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        write_profile(tmp_path / "none" / "profile.yaml", read_shipped())
    assert list(tmp_path.iterdir()) == []


def find_error(folder: Path, data: dict[str, Any]) -> str:
    """The one line that reading a profile with this content fails with."""
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(InputError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path}:", "", 1).strip()


@pytest.fixture
def content() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    return data


@pytest.mark.parametrize("schema", ["roofcast/profile/1", None])
def test_a_profile_of_another_schema_is_refused(tmp_path: Path, content: dict[str, Any], schema: str | None) -> None:
    expected = f"schema is {schema!r}; this version reads 'roofcast/profile/2', so fit the profile again"
    assert find_error(tmp_path, content | {"schema": schema}) == expected


def test_a_profile_with_a_factor_nobody_knows_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    content["factors"]["lunch_s"] = content["factors"]["launch_s"]
    assert find_error(tmp_path, content).startswith("factors: unknown factor 'lunch_s'; did you mean 'launch_s'?")


@pytest.mark.parametrize("name", ["matrix_efficiency", "launch_s", "parallel_overlap"])
@pytest.mark.parametrize("end", ["low", "high"])
def test_a_factor_out_of_its_range_is_refused(tmp_path: Path, content: dict[str, Any], name: str, end: str) -> None:
    low, high = LOW[NAMES.index(name)], HIGH[NAMES.index(name)]
    content["factors"][name]["value"] = value = float(0.9 * low if end == "low" else 1.1 * high)
    expected = f"factors.{name} is {value:g}; allowed are {low:g} to {high:g}"
    assert find_error(tmp_path, content) == expected


def spoil(correlation: dict[str, list[float]], name: str, column: int, value: float) -> dict[str, list[float]]:
    return correlation | {name: [value if i == column else cell for i, cell in enumerate(correlation[name])]}


def test_what_is_not_a_correlation_matrix_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    good = content["correlation"]
    first, second = list(good)[:2]
    shape = f"correlation must have a row of {len(good)} numbers for each factor"
    symmetric = "correlation must be symmetric with a diagonal of 1"
    of_launch = {name: row for name, row in good.items() if name != "launch_s"}
    both_ways = spoil(spoil(good, first, 1, 1.7), second, 0, 1.7)
    for data, problem in (
        (of_launch, shape),
        ({name: row[:-1] for name, row in good.items()}, shape),
        (spoil(good, first, 1, 0.5), symmetric),
        (spoil(good, first, 0, 0.9), symmetric),
        (
            both_ways,
            f"111: correlation.{first}[1]: {first} is 1.7; it must be at most 1 (and 1 more: correlation.{second}[0])",
        ),
    ):
        assert find_error(tmp_path, content | {"correlation": data}) == problem


def test_the_order_of_the_keys_of_a_profile_does_not_matter(tmp_path: Path, content: dict[str, Any]) -> None:
    path = tmp_path / "sorted.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=True))
    mine, known = (
        complete(load_profile(one), Traits("gpu"), STACK, at_home=True).log_covariance(list(NAMES))
        for one in (path, SHIPPED)
    )
    np.testing.assert_array_equal(mine, known)


def test_a_few_rows_of_two_models_are_fitted_too() -> None:
    chosen = [row for row in DESIGN if row.model != "ai21-j1-large" and row.prompt_tokens in (128, 1024)]
    fit = fit_profile(chosen, DEVICE, STACK)
    assert np.mean(np.abs(fit.relative_errors)) < 0.05
