"""The paper's fit, run through our code, gives the paper's numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ROW

from calibration.traces.trace_report import report_paper_fit
from simulator.errors import InputError
from simulator.inputs.measurements import read_table, write_table
from simulator.studies.helm import check_paper_fit
from simulator.studies.helm_runtimes import (
    Runtime,
    estimate_as_helm,
    estimate_by_interpolation,
    fit_runtimes,
    read_helm,
)
from simulator.studies.names import find_profiled, read_helm_models
from simulator.studies.paper_fit import fit_table

PROMPTS, OUTPUTS = (1, 512, 1024), (1, 2, 8, 64)


def test_all_published_parameters_come_out_of_the_profiling_logs_to_the_millisecond(data_folder: Path) -> None:
    published = data_folder / "helm" / "inference_idealized_runtimes.json"
    fits, rows = check_paper_fit(data_folder / "megatron_a100.csv", published)
    document = json.loads(published.read_text())
    compared = 0
    for name, entry in document.items():  # the file as it is, not through our reader
        fit = fits[str(find_profiled(name))]
        assert f"{fit.per_output_token_s:.3f}" == f"{entry['runtime_per_output_token']:.3f}"
        assert {str(size): f"{time:.3f}" for size, time in fit.prompt_s.items()} == {
            size: f"{time:.3f}" for size, time in entry["runtime_for_prompt_tokens"].items()
        }
        compared += 1 + len(fit.prompt_s)
    assert compared == 15 * 28
    assert sum(row["parameters"] for row in rows) == sum(row["same"] for row in rows) == compared
    assert len({find_profiled(name) for name in document}) == 9


def test_names_stand_for_one_model_exactly_where_the_file_gives_them_one_set_of_numbers(data_folder: Path) -> None:
    published = read_helm(data_folder / "helm" / "inference_idealized_runtimes.json")
    assert published.keys() == {name for entry in read_helm_models().values() for name in entry.published}
    for one in published:
        for other in published:
            assert (published[one] == published[other]) == (find_profiled(one) == find_profiled(other))


def test_only_mt_nlg_needs_its_times_multiplied(data_folder: Path) -> None:
    rows = [row for row in read_table(data_folder / "megatron_a100.csv") if row.model == "mt-nlg"]
    fit = fit_table([replace(row, model="another name") for row in rows])["another name"]
    assert fit.per_output_token_s == pytest.approx(0.123 / 3, abs=1e-3)


@given(st.floats(0.001, 1), st.lists(st.floats(0, 2), min_size=len(PROMPTS), max_size=len(PROMPTS)))
def test_times_on_the_model_are_found_again(per_token: float, growth: list[float]) -> None:
    prompts = dict(zip(PROMPTS, np.cumsum([per_token + 0.2, *growth[1:]]), strict=True))
    runtimes = [Runtime(p, o, time + per_token * (o - 1)) for p, time in prompts.items() for o in OUTPUTS]
    fit = fit_runtimes(runtimes)
    assert fit.per_output_token_s == pytest.approx(per_token)
    for runtime in runtimes:
        assert estimate_by_interpolation(fit, *runtime[:2]) == pytest.approx(runtime.seconds)
        assert estimate_as_helm(fit, *runtime[:2]) == pytest.approx(runtime.seconds)


def test_no_prompt_takes_less_than_the_smallest() -> None:
    runtimes = [Runtime(p, o, time + 0.01 * o) for p, time in ((1, 0.5), (16, 0.3)) for o in (1, 2)]
    assert fit_runtimes(runtimes).prompt_s == pytest.approx({1: 0.51, 16: 0.51})


def test_each_step_rounds_before_the_next() -> None:
    # Slope 0.0004 and intercept 0.0014 round to 0 and 0.001: the prompt time is 0.001 where unrounded it is 0.0018.
    runtimes = [Runtime(1, o, 0.0014 + 0.0004 * o) for o in (1, 2, 3)]
    assert fit_runtimes(runtimes, decimals=3).prompt_s == {1: 0.001}
    assert fit_runtimes(runtimes).prompt_s[1] == pytest.approx(0.0018)


def test_one_output_size_makes_no_line() -> None:
    with pytest.raises(InputError, match="512 prompt tokens were run with one output size"):
        fit_runtimes([Runtime(1, 1, 0.1), Runtime(1, 2, 0.2), Runtime(512, 1, 0.3)])


def test_two_layouts_of_a_model_are_refused() -> None:
    with pytest.raises(InputError, match="measured in more than one way"):
        fit_table([ROW, replace(ROW, tp=2, output_tokens=64)])


def test_a_parameter_that_differs_is_named_and_fails_the_check(tmp_path: Path) -> None:
    rows = [replace(ROW, prompt_tokens=p, output_tokens=o, value=p * 1e-3 + o * 0.02) for p in (1, 9) for o in (1, 2)]
    write_table(tmp_path / "table.csv", rows)
    entry = {"runtime_per_output_token": 0.021, "runtime_for_prompt_tokens": {"1": 0.021, "9": 0.029}}
    (tmp_path / "published.json").write_text(json.dumps({"together/gpt-j-6b": entry}))
    _, compared = check_paper_fit(tmp_path / "table.csv", tmp_path / "published.json")
    assert [row["differing"] for row in compared] == ["output token: 0.02 against 0.021"]
    text, _, problem = report_paper_fit(tmp_path / "table.csv", tmp_path / "published.json", None, "table")
    assert "output token: 0.02 against 0.021" in text
    assert problem is not None
    assert "1 of 3 parameters differ" in problem
