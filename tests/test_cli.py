"""The command: every answer in every form, every mistake one line with its exit code, every example as printed."""

import csv
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import paper
import pytest
from click.testing import CliRunner

from cli import AIMS, VERBS, app, main

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "a100-sxm-80gb--megatron-lm-2022"
CHECKS = str(ROOT / "calibration" / "tables" / "narayanan-2023-a100-checks.csv")
ROWS = str(ROOT / "calibration" / "tables" / "narayanan-2023-a100-30-rows.csv")
SMALL = ("predict", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "-s", "megatron-lm-2022")
FIT = ("calibrate", "fit", ROWS, "-H", "a100-sxm-80gb", "-s", "megatron-lm-2022")
CROSS_VALIDATE = ("calibrate", "cross-validate", *FIT[2:])
VALIDATE = ("validate", CHECKS, "-c", PROFILE)
COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": (*SMALL, "-p", "512", "-n", "32"),
    "predict many": (*SMALL, "-p", "128-512*2", "-n", "1,64"),
    "formulas": ("formulas",),
    "formulas in latex": ("formulas", "--notation", "latex", "--at", "model=openai-davinci", "--at", "t=8"),
    "calibrate fit": (*FIT, "--models", "ai21-j1-large", "--out", "profile.yaml"),
    "calibrate cross-validate": (*CROSS_VALIDATE, "--models", "ai21-j1-large,mt-nlg", "--output-tokens", "1"),
    "validate": VALIDATE,
    "models list": ("models", "list"),
    "models show": ("models", "show", "bloom"),
    "models check": ("models", "check"),
    "models compare": ("models", "compare", "llama-3-8b", "mixtral-8x7b", "deepseek-v3"),
    "hardware compare": ("hardware", "compare", "a100-sxm-80gb", "h100", "mi300x"),
    "footprint": ("footprint", "-m", "llama-3-8b", "-H", "a100", "-s", "vllm-0.6"),
    "hardware list": ("hardware", "list"),
    "hardware show": ("hardware", "show", "a100-sxm-80gb"),
    "hardware check": ("hardware", "check"),
}
SCREENS = (
    "predict -m llama-3.1-70b -H h100 --tp 4 -p 128-4096*2 -b 1-64*2",
    "compare -m llama-3.1-70b -H h100,h200 --tp 4",
    "compare -m llama-3.1-8b,qwen3-8b -H h100,h200,b200,mi300x,a100-sxm-80gb -b 1,16",
    f"validate {CHECKS} -c {PROFILE}",
    "models list",
    "hardware list",
    "sweep -m llama-3.1-8b -H h100,h200 -b 1-64*2 -p 128-512*2",
    "models show bloom",
    "models compare llama-3-8b,mixtral-8x7b",
    "hardware show h100",
    "hardware compare h100 h200 mi300x",
    "calibrate show h100-sxm-80gb--vllm-0.14",
)
PREDICTION_KEYS = {
    *("model", "hardware", "stack", "profile", "carried", "built_parameters", "tp", "pp", "dp", "ep", "micro_batches"),
    *("dtype", "weight_dtype", "kv_dtype", "formats_from"),
    *("prompt_tokens", "output_tokens", "batch_size"),
    *(f"{time}{end}" for time in ("ttft_s", "tpot_s", "e2e_s") for end in ("", "_low", "_high")),
    *(f"output_tokens_per_s{what}{end}" for what in ("", "_per_device") for end in ("", "_low", "_high")),
    *(f"{cost}{end}" for cost in ("cost_usd", "usd_per_million_output_tokens") for end in ("", "_low", "_high")),
    *("devices", "fits", "weights_bytes", "kv_cache_bytes", "energy_j", "carbon_kg"),
    *("prefill_bound", "decode_bound", "mfu", "mbu", "basis"),
}
SUMMARY_KEYS = {"rows", "mape", "median_ape", "p90_ape", "bias", "coverage_90"}
REQUEST_KEYS = {"tp", "batch_size", "prompt_tokens", "output_tokens"}
WORST_KEYS = REQUEST_KEYS | {"subject", "metric", "measured", "predicted", "error"}


def invoke(*arguments: str) -> str:
    """Run a command that must succeed inside this process; return what it prints."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.stdout


@cache
def answer(name: str, form: str) -> str:
    """What a command prints in a form."""
    return invoke(*COMMANDS[name], "-o", form)


def invoke_json(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(invoke(*arguments, "-o", "json"))
    return document


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as people do, in a process of its own."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=variables, check=False)


class TestForms:
    """Every command answers in every form."""

    @pytest.fixture(autouse=True)
    def stand_in_an_empty_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_table_is_plain_text_without_colours(self, name: str) -> None:
        text = answer(name, "table")
        assert len(text.splitlines()) > 2 or text.endswith(" pass\n")
        assert "\x1b" not in text

    @pytest.mark.parametrize("command", SCREENS)
    def test_an_answer_is_one_screen_and_says_what_it_leaves_out(self, command: str) -> None:
        lines = invoke(*command.split()).splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 80
        assert any("--all" in line for line in lines)
        assert len(invoke(*command.split(), "--all").splitlines()) > len(lines)

    @pytest.mark.parametrize("model", ["deepseek-v3", "gemma-2-9b"])
    def test_formulas_are_one_screen_and_all_operators_more(self, model: str) -> None:
        lines = invoke("formulas", "-m", model).splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines)) <= 80
        assert len(invoke("formulas", "-m", model, "--operators").splitlines()) > len(lines)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_json_is_one_document_with_its_schema(self, name: str) -> None:
        document = json.loads(
            answer(name, "json"), parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON")
        )
        assert re.fullmatch(r"roofcast/[a-z-]+/[12]", document["schema"])

    @pytest.mark.parametrize("name", COMMANDS)
    def test_csv_has_as_many_cells_in_every_row_as_columns(self, name: str) -> None:
        header, *rows = csv.reader(io.StringIO(answer(name, "csv")))
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        assert len(set(header)) == len(header)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_markdown_is_tables_of_even_rows(self, name: str) -> None:
        tables = [part.splitlines() for part in answer(name, "md").strip().split("\n\n") if part.startswith("|")]
        assert tables
        for header, rule, *rows in tables:
            assert rows
            assert re.fullmatch(r"\|( --- \|)+", rule)
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in (header, rule, *rows)}) == 1

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name != "calibrate fit"])
    def test_out_writes_what_would_be_printed_and_prints_nothing(self, name: str) -> None:
        form = "json" if name.startswith("predict") else "table"  # the file is written alike, whatever the form
        assert invoke(*COMMANDS[name], "-o", form, "--out", "answer") == ""
        assert Path("answer").read_text() == answer(name, form)
        assert os.listdir() == ["answer"]


class TestPredictionDocument:
    def test_has_exactly_the_documented_keys(self) -> None:
        document = invoke_json(*SMALL, "-p", "128,512", "-n", "1,64")
        assert set(document) == {"schema", "sources", "predictions"}
        assert document["schema"] == "roofcast/prediction/2"
        assert [set(row) for row in document["predictions"]] == [PREDICTION_KEYS] * 4

    def test_holds_every_combination_in_order(self) -> None:
        rows = invoke_json(*SMALL, "-p", "128,512", "-n", "1,64", "-b", "1,2")["predictions"]
        asked = [(row["prompt_tokens"], row["output_tokens"], row["batch_size"]) for row in rows]
        assert asked == [(p, n, b) for p in (128, 512) for n in (1, 64) for b in (1, 2)]

    def test_leaves_out_what_does_not_exist(self) -> None:
        (one_token,) = invoke_json(*SMALL, "-n", "1")["predictions"]
        assert one_token["tpot_s"] is None
        (bound,) = invoke_json(*SMALL, "-c", "none")["predictions"]
        assert bound["basis"] == "bound"
        assert {bound[name] for name in PREDICTION_KEYS if name.endswith(("_low", "_high"))} == {None}

    def test_says_whose_measurement_it_rests_on(self) -> None:
        h100 = ("predict", "-m", "gptj-6b", "-H", "h100-sxm-80gb")
        basis = {
            SMALL: "calibrated",
            (*SMALL, "--set-hw", "memory.bandwidth=4.8 TB/s"): "transfer",
            (*h100, "-c", PROFILE): "transfer",
            h100: "calibrated",
            ("predict", "-m", "gptj-6b", "-H", "b300-288gb"): "transfer",
            (*h100, "-c", "none"): "bound",
        }
        for arguments, expected in basis.items():
            assert invoke_json(*arguments)["predictions"][0]["basis"] == expected


def test_a_measurement_is_shown_beside_its_prediction() -> None:
    text = invoke("predict", *paper.DAVINCI, "--dtype", "fp16", "--measured", CHECKS)
    assert re.search(r"measured +2\.7 s +prediction [-+]\d\.\d%   \[Narayanan et al\. 2023", text)


def test_the_validation_document_has_exactly_the_documented_keys() -> None:
    document = invoke_json(*VALIDATE)
    tables = {"by_model", "by_phase", "by_metric", "by_size_class", "worst"}
    assert set(document) == SUMMARY_KEYS | tables | {"schema", "notes"}
    assert document["schema"] == "roofcast/validation/1"
    assert [set(row) for row in document["by_model"]] == [SUMMARY_KEYS | {"model"}] * 9
    assert [set(row) for row in document["by_phase"]] == [SUMMARY_KEYS | {"phase"}] * 2
    assert [set(row) for row in document["worst"]] == [WORST_KEYS] * 10


def test_validation_takes_the_rows_that_are_chosen() -> None:
    assert invoke_json(*VALIDATE, "--models", "gptj-6b,bloom")["rows"] == 4
    assert invoke_json(*VALIDATE, "--models", "gptj-6b", "--models", "bloom", "--output-tokens", "1")["rows"] == 2
    assert invoke_json(*VALIDATE, "--exclude-models", "gptj-6b,bloom")["rows"] == 8
    assert invoke_json(*VALIDATE, "--prompt-tokens", "1024-1536+512")["rows"] == 3


def test_a_what_if_that_changes_nothing_changes_no_time() -> None:
    (changed,) = invoke_json(*SMALL, "--set", "num_hidden_layers=28")["predictions"]
    (plain,) = invoke_json(*SMALL)["predictions"]
    assert changed == plain | {"model": "gptj-6b (num_hidden_layers=28)"}


BAD: list[tuple[tuple[str, ...], str]] = [
    (("predct",), "No such command 'predct'"),
    (("predict", "-H", "a100-sxm-80gb"), "Missing option '-m' / '--model'"),
    (("predict", "-m", "gptj-7b", "-H", "a100-sxm-80gb"), "unknown model 'gptj-7b': did you mean 'gptj-6b'?"),
    (("predict", "-m", "gptj-6b", "-H", "a100-sxm-80"), "unknown hardware 'a100-sxm-80': did you mean"),
    ((*SMALL, "--promt-tokens", "1"), "No such option"),
    ((*SMALL, "-p", "many"), "--prompt-tokens: 'many' is not a whole number of at least 1"),
    ((*SMALL, "-n", "0"), "--output-tokens: '0' is not a whole number of at least 1"),
    ((*SMALL, "-b", "8-1+1"), "--batch-size: range '8-1+1' must start at 1 or more, go up"),
    ((*SMALL, "-p", "4096"), "the request reaches 4223 tokens, past the 2048 positions of the model"),
    ((*SMALL, "--tp", "3"), "tp 3 does not divide num_attention_heads 16"),
    ((*SMALL, "--dtype", "fp17"), "unknown dtype 'fp17'; did you mean 'fp16'? (allowed: fp32, tf32, fp16, bf16, fp8"),
    ((*SMALL, "-c", "a100"), "unknown profile 'a100'"),
    ((*SMALL, "-o", "xml"), "Invalid value for '-o' / '--output': 'xml' is not one of"),
    ((*SMALL, "--out", "none/answer.txt"), "none/answer.txt: cannot be written: there is no folder none"),
    ((*SMALL, "--set", "hidden_sise=4096"), "--set:1: hidden_sise: unknown key; did you mean 'hidden_size'?"),
    ((*SMALL, "--set-hw", "memory.bandwidth=4"), "--set-hw:1: memory.bandwidth: 4 needs a unit"),
    ((*SMALL, "--measured", "none.csv"), "none.csv: cannot read the table"),
    ((*SMALL, "--measured", CHECKS, "-p", "7"), f"{CHECKS}: no e2e_s row of this request"),
    (("formulas", "--at", "h=wide"), "--at: h is 'wide'; it must be a number"),
    (("formulas", "--at", "h=inf"), "h is inf; it must be a whole number"),
    (("validate", "none.csv", "-c", PROFILE), "none.csv: cannot be read: No such file"),
    ((*VALIDATE, "--models", "gtp2"), "the table has no model 'gtp2'; did you mean 'gpt2'?"),
    ((*VALIDATE, "--hardware", "h100-sxm-80gb"), "no row of the table is left after selection"),
    ((*VALIDATE, "--max-mape", "nan"), "Invalid value for '--max-mape'"),
    ((*FIT, "--out", "none/profile.yaml"), "none/profile.yaml: cannot be written: there is no folder none"),
    ((*FIT, "--out", "p.yaml", "-H", "h100-sxm-80gb"), "no row of the table is left after selection"),
]
TOO_LARGE = (
    "predict",
    "-m",
    "openai-davinci",
    "-H",
    "a100-sxm-80gb",
    "-s",
    "megatron-lm-2022",
    "-p",
    "512",
    "-n",
    "32",
)


class TestExitCodes:
    @pytest.mark.parametrize(("arguments", "message"), BAD)
    def test_2_is_bad_input_named_in_one_line(
        self, arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: Any, capsys: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["roofcast", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed, told = capsys.readouterr()
        assert told.startswith(f"roofcast: {message}")
        assert told.count("\n") == 1
        assert (printed, stopped.value.code) == ("", 2)
        assert list(tmp_path.iterdir()) == []

    def test_2_reaches_the_shell(self) -> None:
        done = run("predict", "-m", "gptj-7b", "-H", "a100-sxm-80gb")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)

    def test_3_is_a_model_that_does_not_fit_unless_one_asks_all_the_same(self) -> None:
        refused, answered = run(*TOO_LARGE), run(*TOO_LARGE, "--assume-fits", "-o", "json")
        assert (refused.returncode, refused.stdout) == (3, "")
        needed = r"35\d GB needed, 85.1 GB usable; try --tp 6, or --assume-fits"
        told = rf"roofcast: openai-davinci does not fit on 1 x a100-sxm-80gb: {needed}\n"
        assert re.fullmatch(told, refused.stderr)
        assert answered.returncode == 0
        assert answered.stderr == ""
        assert json.loads(answered.stdout)["predictions"][0]["fits"] is False

    def test_1_is_an_error_past_the_threshold_and_the_answer_is_still_printed(self) -> None:
        passed, failed = run(*VALIDATE, "--max-mape", "5"), run(*VALIDATE, "--max-mape", "0.5")
        assert (passed.returncode, passed.stderr) == (0, "")
        assert failed.returncode == 1
        assert failed.stdout == passed.stdout
        assert re.fullmatch(r"roofcast: mean absolute error \d\.\d\d% is past the threshold of 0\.5%\n", failed.stderr)

    def test_1_is_a_model_with_a_number_that_has_no_source(self, tmp_path: Path) -> None:
        shipped = (ROOT / "simulator" / "inputs" / "architectures" / "gptj-6b.yaml").read_text()
        (tmp_path / "mine.yaml").write_text(re.sub(r"^sources:.*\Z", "", shipped, flags=re.DOTALL | re.MULTILINE))
        done = run("models", "check", "mine.yaml", "gptj-6b", "-o", "csv", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, "roofcast: 1 of the models failed the check\n")
        assert "mine.yaml: architecture.hidden_size has no source" in done.stdout


def test_the_answer_is_on_stdout_and_notes_are_on_stderr() -> None:
    done = run(*SMALL, "-o", "json")
    assert json.loads(done.stdout)["predictions"][0]["basis"] == "calibrated"
    assert re.fullmatch(r"roofcast: note: stack megatron-lm-2022 builds gptj-6b as a model of .*\n", done.stderr)


def test_a_file_is_written_without_the_codes_and_the_folds_of_the_terminal(tmp_path: Path) -> None:
    run_in_terminal("hardware", "list", "--out", str(tmp_path / "devices.txt"))
    assert (tmp_path / "devices.txt").read_text() == run("hardware", "list").stdout


def run_in_terminal(*arguments: str, **environment: str) -> str:
    """Run the command where stdout is a terminal of 80 columns that shows colours."""
    reader, writer = pty.openpty()
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    with open(reader, "rb", buffering=0) as screen:
        process = subprocess.Popen([sys.executable, "-m", "cli", *arguments], stdout=writer, cwd=ROOT, env=variables)
        os.close(writer)
        shown = b""
        try:
            while part := screen.read(65536):
                shown += part
        except OSError:  # Linux says so when the last writer is gone
            pass
        assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_no_colour_where_no_color_is_set() -> None:
    plain = run_in_terminal("hardware", "show", "a100-sxm-80gb", NO_COLOR="1")
    assert "a100-sxm-80gb" in plain
    assert re.findall(r"\x1b\[(?:[\d;]*;)?[349]\d[\d;]*m", plain) == []


def test_a_prediction_loads_none_of_the_heavy_libraries() -> None:
    heavy = {"torch", "sympy", "scipy", "matplotlib", "pandas"}
    code = "import sys, simulator; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert heavy.isdisjoint(imported.stdout.split())
    command = [sys.executable, "-X", "importtime", "-m", "cli", *SMALL]
    predicted = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in predicted.stderr.splitlines()}
    assert {"simulator", "numpy"} <= loaded
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["predict", "-m"], "qwen3.5-2", ["qwen3.5-27b"]),
        (["predict", "-H"], "h100-s", ["h100-sxm-80gb"]),
        (["predict", "-s"], "vllm-0.6", ["vllm-0.6"]),
        (["predict", "-c"], "v100-sxm-32gb", ["v100-sxm-32gb--megatron-lm-2022"]),
        (["predict", "--kv-dtype"], "fp8-", ["fp8-block"]),
        (["sweep", "-m"], "gpt2,gpt-oss-1", ["gpt2,gpt-oss-120b"]),
        (["models", "show"], "kimi-k2.", ["kimi-k2.5"]),
        (["hardware", "show"], "mi300a", ["mi300a-128gb"]),
        (["calibrate", "show"], "v100", ["v100-sxm-32gb--megatron-lm-2022"]),
        (["calibrate", "fit", "x.csv", "-H"], "l40s", ["l40s-48gb"]),
    ],
)
def test_a_shell_completes_names(words: list[str], incomplete: str, expected: list[str]) -> None:
    from click.shell_completion import ShellComplete

    found = ShellComplete(app, {}, "roofcast", "_ROOFCAST_COMPLETE").get_completions(words, incomplete)
    assert [item.value for item in found] == expected


def test_a_shell_completes_paths() -> None:
    from click.shell_completion import ShellComplete

    (item,) = ShellComplete(app, {}, "roofcast", "_ROOFCAST_COMPLETE").get_completions(["predict", "-m"], "./mine")
    assert item.type == "file"


@pytest.mark.parametrize("aim", AIMS)
def test_the_help_has_an_example_of_each_aim_that_works(aim: str) -> None:
    _, verb, *options = shlex.split(AIMS[aim].example)
    assert verb in AIMS[aim].verbs
    if verb == "calibrate":
        options = [*options, "--dry-run"]
    assert CliRunner().invoke(app, [verb, *options]).exit_code == 0


def test_the_help_lists_every_verb_at_80_columns() -> None:
    help_text = CliRunner().invoke(app, ["--help"], terminal_width=80).stdout
    assert all(re.search(rf"^  {verb} +\w", help_text, re.M) for verb in VERBS)
    assert max(map(len, help_text.splitlines())) <= 80
