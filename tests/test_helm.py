"""Files for HELM say to HELM what Roofcast means, and HELM's are read back as HELM reads them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from samples import ROW, predict

from calibration.commands.estimate_cost import estimate_cost
from calibration.commands.helm import helm
from calibration.traces.api_overhead import read_scenarios
from simulator.errors import CheckFailed, ImpossibleError, InputError
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import read_table, write_table
from simulator.studies.helm import compare_runtimes, export_runtimes, list_prefills, summarise_errors
from simulator.studies.helm_runtimes import RuntimeFit, estimate_as_helm, format_helm, read_helm
from simulator.studies.ideal import Setting
from simulator.studies.names import (
    PAPER_LAYOUT,
    find_layout,
    find_profiled,
    list_published,
    read_helm_models,
    resolve_model,
)

ROOT = Path(__file__).resolve().parents[1]
A100 = Setting(load_hardware("a100-sxm-80gb"), None, "megatron-lm-2022")
EXAMPLES = ROOT / "calibration" / "examples"
REQUESTS = [(1, 1), (1, 0), (100, 1), (256, 64), (300, 5), (512, 2), (1920, 64), (2500, 10)]
PACKAGES = (
    *("crfm-helm==0.5.16", "pyyaml", "colorlog", "filelock", "zstandard", "tqdm", "pyhocon", "pyparsing"),
    *("cattrs==22.2.0", "attrs", "dacite", "sqlitedict", "retrying", "mako", "markupsafe"),
)
ASK_HELM = """
import json, sys
from importlib import resources
from types import SimpleNamespace
from helm.benchmark.metrics import efficiency_metrics
folder = resources.files(efficiency_metrics.EFFICIENCY_DATA_PACKAGE)
folder.joinpath(efficiency_metrics.INFERENCE_IDEALIZED_RUNTIMES_JSON_FILENAME).write_text(sys.stdin.read())
runtimes = efficiency_metrics.EfficiencyMetric().inference_idealized_runtimes_dict
estimate = efficiency_metrics._compute_estimated_time_from_prompt_size_and_num_output_tokens
print(json.dumps({
    name: [
        estimate(SimpleNamespace(request=SimpleNamespace(model_deployment=name)), runtimes, *sizes)
        for sizes in json.loads(sys.argv[1])
    ]
    for name in runtimes
}))
"""


@pytest.fixture(scope="session")
def helm_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HELM's own code in a folder of its own; it pins what clashes with ours, and most of it is not needed."""
    folder = tmp_path_factory.mktemp("helm")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]
    environment = {name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PYTHONPATH")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("crfm-helm took more than a minute to install; HELM's own code was not run")
    if done.returncode != 0:
        pytest.skip(f"crfm-helm cannot be installed here, HELM's own code was not run: {done.stderr.strip()[-200:]}")
    return folder


@pytest.mark.network
def test_helms_own_metric_reads_the_export_as_we_do(helm_packages: Path) -> None:
    fits, _ = export_runtimes(["gptj-6b", "my/model=ai21-j1-large"], A100, (1, 256, 512, 1920), (1, 8, 64))
    fits["an/api"] = RuntimeFit({1: 0.02, 512: 0.1}, 0.02, overhead_s=0.25)
    done = subprocess.run(
        [sys.executable, "-S", "-c", ASK_HELM, json.dumps(REQUESTS)],  # -S: none of our packages
        input=format_helm(fits),
        env={"PYTHONPATH": str(helm_packages), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == {"huggingface/gptj_6b", "gooseai/gpt-j-6b", "together/gpt-j-6b", "my/model", "an/api"}
    for name, times in answers.items():
        assert times == pytest.approx([estimate_as_helm(fits[name], *sizes) for sizes in REQUESTS])


@pytest.mark.network
def test_helms_own_metric_reads_the_published_file_as_we_do(helm_packages: Path, data_folder: Path) -> None:
    path = data_folder / "helm" / "inference_idealized_runtimes.json"
    done = subprocess.run(
        [sys.executable, "-S", "-c", ASK_HELM, json.dumps(REQUESTS)],
        input=path.read_text(),
        env={"PYTHONPATH": str(helm_packages), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    for name, times in json.loads(done.stdout).items():
        assert times == pytest.approx([estimate_as_helm(read_helm(path)[name], *sizes) for sizes in REQUESTS])


def test_the_idealized_times_of_the_scenarios_are_helms_estimates(data_folder: Path) -> None:
    """The table was made when HELM took the next larger size's prompt time whole; today it scales that down."""
    scenarios, left_out = read_scenarios(data_folder / "helm" / "scenarios.csv")
    assert (len(scenarios), left_out) == (1152, 29)
    fit = read_helm(data_folder / "helm" / "inference_idealized_runtimes.json")["openai/davinci"]
    kept = [one for one in scenarios if one.model == "openai/davinci" and one.idealized_s]
    assert len(kept) == 140
    published = np.array([one.idealized_s for one in kept])
    today = np.array([estimate_as_helm(fit, one.prompt_tokens, one.output_tokens) for one in kept])
    assert today.sum() == pytest.approx(published.sum(), rel=0.02)
    whole = np.array(
        [
            next(time for size, time in fit.prompt_s.items() if size >= one.prompt_tokens or size == 1920)
            + fit.per_output_token_s * max(one.output_tokens - 1, 0)
            for one in kept
        ]
    )
    assert np.median(np.abs(whole / published - 1)) < 0.5 * np.median(np.abs(today / published - 1))


def test_an_export_is_the_prediction_fitted_as_the_paper_fits() -> None:
    fit = export_runtimes(["gptj-6b"], A100, (1, 1024), (1, 2, 32, 64))[0]["huggingface/gptj_6b"]
    answer = predict(
        "gptj-6b", "a100-sxm-80gb", stack="megatron-lm-2022", prompt_tokens=1024, output_tokens=np.array([1, 64])
    )
    assert fit.prompt_s[1024] == pytest.approx(answer.e2e_s[0], rel=0.03)
    assert fit.per_output_token_s == pytest.approx(answer.tpot_s[1], rel=0.03)
    assert fit.overhead_s is None


def test_a_model_is_exported_on_the_fewest_devices_that_fit_or_on_a_layout_that_is_named() -> None:
    _, predictions = export_runtimes(["openai-davinci", "mt-nlg-530b"], A100, (1,), (1, 64))
    devices = [predictions[0].devices, predictions[1].devices]
    assert devices == [6, 24]  # GPT-3's 350 GB on 80 GB each; MT-NLG's 1,060 GB on whole nodes, in equal stages
    paper = replace(A100, layouts=find_layout(PAPER_LAYOUT))
    fits, predictions = export_runtimes(["openai-davinci", "mt-nlg-530b"], paper, (1,), (1, 64))
    assert [one.devices for one in predictions] == [8, 24]
    assert set(fits) == {"openai/davinci", "together/opt-175b", "microsoft/TNLGv2_530B"}


def test_a_layout_that_does_not_hold_the_model_is_impossible() -> None:
    arguments = ["export", "-m", "openai-davinci", "--tp", "1", "--pp", "1", "-p", "1"]
    assert isinstance(CliRunner().invoke(helm, arguments).exception, ImpossibleError)
    path = str(EXAMPLES / "idealized.json")
    done = CliRunner().invoke(helm, ["import", path, "-m", "ai21/j1-jumbo", "--tp", "3", "--pp", "1"])
    assert isinstance(done.exception, InputError | ImpossibleError)


@pytest.mark.parametrize("model", ["=gptj-6b", "a/b=", "gptj-6b,x=y"])
def test_a_name_for_helm_needs_both_sides(model: str) -> None:
    done = CliRunner().invoke(helm, ["export", "-m", model, "-p", "1"])
    assert isinstance(done.exception, InputError)
    assert done.stdout == ""


def test_models_are_named_in_an_export_as_everywhere() -> None:
    done = CliRunner().invoke(helm, ["export", "-m", "openai/curie,gptj-6b", "-m", "gptj-6b", "-p", "1"])
    assert set(json.loads(done.stdout)) == set(list_published("ai21-j1-large") + list_published("gptj-6b"))
    assert "basis: calibrated (a100-sxm-80gb--megatron-lm-2022" in done.stderr


@pytest.mark.parametrize(("given", "basis"), [((), "transfer"), (("-c", "none"), "bound")])
def test_the_basis_is_named_where_the_file_has_no_place_for_it(given: tuple[str, ...], basis: str) -> None:
    place = ["-H", "h100-sxm-80gb", *given]
    done = CliRunner().invoke(helm, ["export", "-m", "gptj-6b", *place, "-p", "1"])
    assert f"basis: {basis}" in done.stderr
    shown = CliRunner().invoke(helm, ["import", str(EXAMPLES / "idealized.json"), *place, "-o", "json"])
    assert json.loads(shown.stdout)["setting"]["basis"] == basis


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    fits = {"a/b": RuntimeFit({1: 0.02, 512: 0.1}, 0.02, 0.3), "c": RuntimeFit({1: 0.5}, 0.25)}
    (tmp_path / "file.json").write_text(format_helm(fits))
    assert read_helm(tmp_path / "file.json") == fits


def test_every_name_of_helms_stands_for_a_model_that_ships_with_its_layout() -> None:
    for profiled, entry in read_helm_models().items():
        assert resolve_model(profiled).id == profiled
        assert profiled in find_layout(PAPER_LAYOUT)
        for name in (*entry.published, *entry.others):
            assert find_profiled(name) == find_profiled(name.replace("/", "_", 1)) == profiled
            assert resolve_model(name).id == (entry.part_of or profiled)


def test_a_part_of_a_model_is_multiplied_up_to_its_layers() -> None:
    parts = {profiled: entry for profiled, entry in read_helm_models().items() if entry.part_of}
    assert list(parts) == ["mt-nlg"]
    for profiled, entry in parts.items():
        part, whole = (resolve_model(name).architecture for name in (profiled, str(entry.part_of)))
        assert entry.times * part.num_hidden_layers == whole.num_hidden_layers


def test_a_name_of_helms_is_imported_on_the_papers_devices_and_another_on_the_fewest(tmp_path: Path) -> None:
    entry = {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"1": 1}}
    names = ("openai/text-davinci-002", "microsoft/TNLGv2_530B", "cohere/xlarge-20220609", "anthropic")
    (tmp_path / "file.json").write_text(json.dumps(dict.fromkeys(names, entry)))
    rows, _ = compare_runtimes(tmp_path / "file.json", A100)
    found = {row["helm_name"]: (row["model"], row["tp"]) for row in rows}
    assert list(found.values()) == [("openai-davinci", 8), ("mt-nlg", 8), ("anthropic", 4), ("anthropic", 2)]


def test_idealized_runtimes_are_predicted_within_six_percent(data_folder: Path, tmp_path: Path) -> None:
    path = data_folder / "helm" / "inference_idealized_runtimes.json"
    rows, _ = compare_runtimes(path, A100)
    assert len(rows) == 15 * 28
    assert summarise_errors(rows)["all"] < 0.06
    write_table(tmp_path / "tidy.csv", list_prefills(path, rows, "a100-sxm-80gb"))
    tidy = read_table(tmp_path / "tidy.csv")
    assert len(tidy) == 9 * 27
    assert {row.metric for row in tidy} == {"prefill_s"}
    third = next(row for row in tidy if row.model == "mt-nlg" and row.prompt_tokens == 1)
    assert third.value == pytest.approx(0.125 / 3)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("[]", "is a list"),
        ("{}", "has no models"),
        ('{"a": 1}', ":1: a: 1 is a number; needs a mapping"),
        ('{"a": {"runtime_per_output_token": 0.1}}', "a: missing key 'runtime_for_prompt_tokens'"),
        (
            '{"a": {"runtime_per_output_tokens": 1, "runtime_for_prompt_tokens": {"1": 1}}}',
            "did you mean 'runtime_per_output_token'",
        ),
        ('{"a": {"runtime_per_output_token": 0, "runtime_for_prompt_tokens": {"1": 1}}}', "a time is not above zero"),
        (
            '{"a": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"1": -1}}}',
            "is -1; it must be at least 0",
        ),
        ('{"a": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"x": 1}}}', "prompt size 'x'"),
        ('{"a": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {}}}', "at least one prompt size"),
        (
            '{"a": {"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"1": 1}, "overhead": -1}}',
            "overhead is -1; it must be at least 0",
        ),
    ],
)
def test_a_file_that_helm_could_not_read_is_refused(tmp_path: Path, document: str, problem: str) -> None:
    (tmp_path / "file.json").write_text(document)
    with pytest.raises(InputError, match=r"file\.json") as error:
        read_helm(tmp_path / "file.json")
    assert problem in str(error.value)


def test_a_name_that_no_architecture_matches_is_named_with_the_nearest(tmp_path: Path) -> None:
    entry = '{"runtime_per_output_token": 1, "runtime_for_prompt_tokens": {"1": 1}}'
    (tmp_path / "file.json").write_text(f'{{"openai/davinc": {entry}}}')
    with pytest.raises(InputError, match=r"file\.json: no architecture matches model 'openai/davinc'.*openai/davinci"):
        compare_runtimes(tmp_path / "file.json", A100)


def test_the_commands_print_what_they_found(tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "ours.json"
    assert runner.invoke(helm, ["export", "-m", "ai21-j1-large", "-p", "1,512", "--out", str(out)]).exit_code == 0
    shown = runner.invoke(helm, ["import", str(out), "-o", "json", "--table", str(tmp_path / "t.csv")])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["mape"]["all"] < 1e-9  # ours against ours
    assert runner.invoke(estimate_cost, []).exit_code == 2


def test_a_fit_that_differs_prints_its_table_and_fails(tmp_path: Path) -> None:
    rows = [replace(ROW, prompt_tokens=p, output_tokens=o, value=p * 1e-3 + o * 0.02) for p in (1, 9) for o in (1, 2)]
    write_table(tmp_path / "table.csv", rows)
    entry = {"runtime_per_output_token": 0.021, "runtime_for_prompt_tokens": {"1": 0.021}}
    (tmp_path / "published.json").write_text(json.dumps({"together/gpt-j-6b": entry, "other": entry}))
    own = tmp_path / "own.json"
    arguments = ["fit", str(tmp_path / "table.csv"), "--against", str(tmp_path / "published.json"), "--helm", str(own)]
    done = CliRunner().invoke(helm, arguments)
    assert isinstance(done.exception, CheckFailed)
    assert "9: 0.029 against None" in done.stdout.replace("\n", " ")
    assert not own.exists()


def test_a_fit_that_was_compared_with_nothing_fails(tmp_path: Path) -> None:
    rows = [replace(ROW, output_tokens=o, value=o * 0.02) for o in (1, 2)]
    write_table(tmp_path / "table.csv", rows)
    entry = {"runtime_per_output_token": 0.021, "runtime_for_prompt_tokens": {"1": 0.021}}
    (tmp_path / "published.json").write_text(json.dumps({"other": entry}))
    arguments = ["fit", str(tmp_path / "table.csv"), "--against", str(tmp_path / "published.json")]
    done = CliRunner().invoke(helm, arguments)
    assert isinstance(done.exception, CheckFailed)
    assert "nothing was compared" in str(done.exception)


def test_nothing_is_written_where_one_of_two_files_cannot_be(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    arguments = ["import", str(EXAMPLES / "idealized.json"), "--table", str(table)]
    for out in (tmp_path / "none" / "x", table):
        assert isinstance(CliRunner().invoke(helm, [*arguments, "--out", str(out)]).exception, InputError)
        assert not table.exists()
