"""Where the time goes: steps and shares add up to what ``predict`` says, whatever the model, layout and stack."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import paper
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import predict

from cli import app, main
from simulator.errors import ImpossibleError
from simulator.explore.explain import DEVICE_STEPS, HOST_STEPS, LayerKinds, count_passes, explain
from simulator.explore.explanation import Explanation
from simulator.inputs.library import STACK_FOLDER, list_ids, load_stack
from simulator.prediction import Prediction
from simulator.report.explanation import MOST_OPERATORS
from simulator.timing.passes import sum_times

ROOT = Path(__file__).resolve().parents[1]
DAVINCI = ("explain", *paper.DAVINCI)
VLLM = "a100-sxm-80gb--vllm-0.6"
# Host-bound and not; unfused, fused, windowed and latent attention; prompts in chunks; a first token by a decode pass;
# pipelines, copies and experts; a transfer; a CPU; one output token.
CASES: dict[str, dict[str, Any]] = {
    "megatron": {
        "model": "openai-davinci",
        "hardware": "a100-sxm-80gb",
        "stack": "megatron-lm-2022",
        "tp": 8,
        "output_tokens": 32,
    },
    "graphs": {"model": "llama-3-8b", "hardware": "a100-sxm-80gb", "stack": "vllm-0.6", "batch_size": 16},
    "chunks": {"model": "gemma-3-12b", "hardware": "a100-sxm-80gb", "stack": "vllm-0.10", "calibration": VLLM}
    | {"prompt_tokens": 50_000},
    "llama.cpp": {"model": "llama-2-7b", "hardware": "rtx-4090", "weight_dtype": "q4_k_m"},
    "lmdeploy": {"model": "llama-2-7b", "hardware": "a100-sxm-80gb", "stack": "lmdeploy-0.1", "batch_size": 3},
    "one token each way": {"model": "llama-2-7b", "hardware": "a100-sxm-80gb", "stack": "lmdeploy-0.1"}
    | {"prompt_tokens": 1, "output_tokens": 1},
    "experts": {"model": "mixtral-8x7b-v0.1", "hardware": "a100-sxm-80gb", "stack": "vllm-0.6"}
    | {"tp": 4, "dp": 2, "ep": 8, "batch_size": 16},
    "latent": {"model": "deepseek-v2-lite", "hardware": "h100-sxm-80gb", "stack": "sglang-0.4"},
    "pipeline": {"model": "bloom", "hardware": "a100-sxm-80gb", "tp": 8, "pp": 2, "micro_batches": 4, "batch_size": 7},
    "one output token": {"model": "bloom-7b1", "hardware": "a100-sxm-80gb", "output_tokens": 1},
    "cpu": {"model": "gpt2", "hardware": "xeon-platinum-8380", "calibration": VLLM, "dtype": "fp32"},
    "bound": {"model": "bloom", "hardware": "a100-sxm-80gb", "tp": 8, "calibration": "none"},
}


def explain_case(**asked: Any) -> tuple[Prediction, Explanation]:
    prediction = predict(**asked)
    return prediction, explain(prediction.question)


def invoke_json(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "-o", "json"])
    if result.exception is not None:
        raise result.exception
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def check_sums(prediction: Prediction, explanation: Explanation) -> None:
    """Steps and parts add up to the prediction."""
    steps = explanation.waterfall
    assert all(math.isfinite(step.prefill_s) and math.isfinite(step.decode_s) for step in steps)
    assert sum(step.prefill_s for step in steps) == pytest.approx(prediction.ttft_s, rel=1e-12)
    rest = prediction.e2e_s - prediction.ttft_s
    assert sum(step.decode_s for step in steps) == pytest.approx(rest, rel=1e-12, abs=1e-12 * prediction.e2e_s)
    assert sum(explanation.phases.values()) == pytest.approx(prediction.e2e_s, rel=1e-12)
    for phase, seconds in explanation.phases.items():
        for key in ("resource", "layer_kind", "operator"):
            assert sum(explanation.sum_by(key, phase).values()) == pytest.approx(seconds, rel=1e-9)
    assert all(part.seconds >= 0 for part in explanation.parts)


@pytest.mark.parametrize("name", CASES)
class TestEverything:
    def test_adds_up(self, name: str) -> None:
        check_sums(*explain_case(**CASES[name]))

    def test_starts_at_the_bound_of_the_same_stack_and_layout(self, name: str) -> None:
        prediction, explanation = explain_case(**CASES[name])
        asked = CASES[name] | {"calibration": "none", "stack": prediction.question.work.stack}
        bound = predict(**asked)
        assert explanation.waterfall[0].prefill_s == bound.ttft_s
        assert explanation.waterfall[0].decode_s == bound.request.decode_s

    def test_names_the_resource_that_predict_names(self, name: str) -> None:
        prediction, explanation = explain_case(**CASES[name])
        for phase in explanation.phases:
            if CASES[name].get("prompt_tokens") == 1 and phase == "prefill":
                continue  # the first token is of a decode pass, which the prediction does not say the bound of
            spent = explanation.sum_by("resource", phase)
            assert max(spent, key=lambda resource: spent[resource]) == getattr(prediction, f"{phase}_bound")


MODELS = ("gptj-6b", "llama-3-8b", "gemma-2-9b", "mixtral-8x7b-v0.1", "deepseek-v2-lite", "opt-13b")


@settings(max_examples=60)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(list_ids(STACK_FOLDER)),
    st.sampled_from(["a100-sxm-80gb", "h100-sxm-80gb", "rtx-4090", "amd-ryzen-9-7950x"]),
    st.sampled_from([VLLM, "a100-sxm-80gb--megatron-lm-2022", "none"]),
    st.integers(1, 1500),
    st.integers(1, 500),
    st.integers(1, 64),
)
def test_any_question_adds_up(model: str, stack: str, hardware: str, profile: str, p: int, n: int, b: int) -> None:
    asked = {"stack": stack, "prompt_tokens": p, "output_tokens": n, "batch_size": b}
    dtype = "fp32" if hardware.startswith("amd") else "bf16"
    check_sums(*explain_case(model=model, hardware=hardware, calibration=profile, dtype=dtype, **asked))


class TestWaterfall:
    def test_of_a_bound_is_trivial_and_says_so(self) -> None:
        _, explanation = explain_case(**CASES["bound"])
        assert all((step.prefill_s, step.decode_s) == (0, 0) for step in explanation.waterfall[1:])
        text = CliRunner().invoke(app, [*DAVINCI, "-c", "none"]).stdout
        assert "The answer is the bound, so nothing is lost" in text

    @pytest.mark.parametrize("name", [name for name in CASES if name != "cpu"])
    def test_never_gains_but_from_caches(self, name: str) -> None:
        _, explanation = explain_case(**CASES[name])
        assert all(step.prefill_s > -1e-15 and step.decode_s > -1e-15 for step in explanation.waterfall)

    def test_of_attention_is_what_its_operators_take_beyond_their_roofline(self) -> None:
        for name in ("megatron", "graphs", "chunks", "experts", "latent", "pipeline"):
            prediction, explanation = explain_case(**CASES[name])
            question = prediction.question
            kinds, passes = LayerKinds(question), count_passes(question)
            real, bound = (
                sum_times([one for one in request.prefill.operators if one.operator.name in kinds.names["attention"]])
                for request in (prediction.request, question.times(None))
            )
            (step,) = [step for step in explanation.waterfall if step.name == "attention"]
            assert step.prefill_s == pytest.approx(passes.prefill * (real - bound), rel=1e-9)

    def test_without_devices_in_parallel_nothing_is_lost_to_messages(self) -> None:
        _, explanation = explain_case(**CASES["graphs"])
        lost = {step.name: (step.prefill_s, step.decode_s) for step in explanation.waterfall}
        assert lost["collective protocol"] == lost["collective latency"] == (0, 0)

    def test_of_decode_behind_a_slow_host_is_mostly_the_host(self) -> None:
        _, explanation = explain_case(**CASES["megatron"])
        added = {step.name: step.decode_s for step in explanation.waterfall}
        assert max(added, key=lambda name: added[name]) == "host issuing"

    def test_has_a_row_for_each_step_and_ends_at_the_prediction(self) -> None:
        document = invoke_json(*DAVINCI)
        rows, prediction = document["waterfall"], document["prediction"]
        assert [row["step"] for row in rows] == ["bound", *DEVICE_STEPS, *HOST_STEPS, "prediction"]
        for name in ("ttft_s", "tpot_s", "e2e_s"):
            assert rows[-1][name] == prediction[name]
            assert sum(row[name] for row in rows[:-1]) == pytest.approx(prediction[name], rel=1e-12)
        assert sum(row["share"] for row in rows[:-1]) == pytest.approx(1, rel=1e-12)


class TestPasses:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("megatron", (1, 0, 31)),
            ("llama.cpp", (1, 0, 127)),
            ("lmdeploy", (1, 1, 127)),
            ("one token each way", (0, 1, 0)),
            ("chunks", (25, 0, 127)),
            ("pipeline", (2.5, 0, 254)),
        ],
    )
    def test_count_as_the_request_counts_them(self, name: str, expected: tuple[float, float, float]) -> None:
        prediction = predict(**CASES[name])
        stack = prediction.question.work.stack
        if name == "chunks":
            assert stack.prefill_chunk is not None
            expected = (math.ceil(50_000 / stack.prefill_chunk), *expected[1:])
        assert count_passes(prediction.question) == pytest.approx(expected, rel=1e-9, abs=1e-9)


class TestLayers:
    def test_are_told_apart(self) -> None:
        _, dense = explain_case(**CASES["megatron"])
        _, sparse = explain_case(**CASES["experts"])
        kinds = {(part.operator, part.layer_kind) for part in dense.parts + sparse.parts}
        assert {
            ("qkv projection", "projections"),
            ("output projection", "projections"),
            ("scores", "attention"),
            ("softmax", "attention"),
            ("attention", "attention"),
            ("ffn in", "ffn"),
            ("router", "experts"),
            ("experts out", "experts"),
            ("bias gelu", "elementwise kernels"),
            ("attention all-reduce", "collectives"),
            ("combine", "collectives"),
            ("lm head", "head"),
            ("final norm", "head"),
            ("embedding", "embedding"),
            ("issuing kernels", "host"),
            ("before and after", "host"),
        } <= kinds

    @pytest.mark.parametrize("stack", list_ids(STACK_FOLDER))
    def test_no_stack_has_a_kernel_of_one_name_in_two_parts(self, stack: str) -> None:
        found = load_stack(stack)
        layers = [*found.layer_kernels, *(found.expert_kernels or [])]
        parts = [{kernel.name for kernel in part} for part in (layers, found.head_kernels, found.embedding_kernels)]
        assert sum(map(len, parts)) == len(set.union(*parts))

    def test_shares_of_every_view_are_of_one(self) -> None:
        document = invoke_json(*DAVINCI)
        for view in ("resource", "layer"):
            for share in ("prefill_share", "decode_share", "share"):
                assert sum(row[share] for row in document[view]) == pytest.approx(1, rel=1e-9)
        for phase in ("prefill", "decode"):
            shares = [row["share"] for row in document["operator"] if row["phase"] == phase]
            assert sum(shares) == pytest.approx(1, rel=1e-9)
            assert shares == sorted(shares, reverse=True)


class TestForms:
    def test_json_names_its_schema_and_holds_every_view(self) -> None:
        document = invoke_json(*DAVINCI)
        assert set(document) == {"schema", "prediction", "waterfall", "resource", "layer", "operator"}
        assert document["schema"] == "roofcast/explanation/1"
        assert set(invoke_json(*DAVINCI, "--by", "layer")) == {"schema", "prediction", "layer"}

    @pytest.mark.parametrize("by", ["all", "waterfall", "resource", "layer", "operator"])
    def test_csv_holds_one_view(self, by: str) -> None:
        text = CliRunner().invoke(app, [*DAVINCI, "--by", by, "-o", "csv"]).stdout
        header, *rows = csv.reader(io.StringIO(text))
        assert rows
        assert {len(row) for row in rows} == {len(header)}

    @pytest.mark.parametrize("form", ["table", "md"])
    def test_people_see_every_view_or_one(self, form: str) -> None:
        text = CliRunner().invoke(app, [*DAVINCI, "-o", form, "--by", "all"]).stdout
        titles = ("From the bound to the prediction", "By what is waited for", "By layer kind", "By operator")
        assert all(title in text for title in titles)
        one = CliRunner().invoke(app, [*DAVINCI, "-o", form, "--by", "resource"]).stdout
        assert [title in one for title in titles] == [False, True, False, False]

    def test_people_who_ask_for_no_view_see_one_screen_and_what_it_leaves_out(self) -> None:
        text = CliRunner().invoke(app, DAVINCI).stdout
        whole = invoke_json(*DAVINCI)
        further = len(whole["operator"]) - MOST_OPERATORS
        assert len(text.splitlines()) <= 40
        assert f"and {further} more operators: --by operator" in text
        first = max(whole["operator"], key=lambda row: row["time_s"])["operator"]
        assert re.search(rf"share\n .*\n {first} ", text.partition("Waited for")[2])

    def test_one_output_token_has_no_decode(self) -> None:
        document = invoke_json(*DAVINCI, "-n", "1")
        assert {row["phase"] for row in document["operator"]} == {"prefill"}
        assert all(row["tpot_s"] is None for row in document["waterfall"])
        assert all(row["decode_s"] is None for row in document["resource"])

    def test_what_does_not_fit_is_refused_unless_asked_for(self) -> None:
        asked = ["explain", "-m", "openai-davinci", "-H", "a100-sxm-80gb"]
        refused = CliRunner().invoke(app, asked)
        assert isinstance(refused.exception, ImpossibleError)
        assert refused.stdout == ""
        result = CliRunner().invoke(app, [*asked, "--assume-fits"])
        assert result.exit_code == 0
        assert "does not fit" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-m", "gptj-7b", "-H", "a100-sxm-80gb"), "unknown model 'gptj-7b'"),
        (("-m", "gptj-6b", "-H", "a100-sxm-80gb", "--tp", "3"), "tp 3 does not divide num_attention_heads 16"),
        (("-m", "gptj-6b", "-H", "a100-sxm-80gb", "-p", "1,2"), "'1,2' is not a valid integer"),
        (("-m", "gptj-6b", "-H", "a100-sxm-80gb", "--by", "day"), "'day' is not one of"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["roofcast", "explain", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed, told = capsys.readouterr()
    assert (stopped.value.code, printed, told.count("\n")) == (2, "", 1)
    assert said in told


@pytest.mark.parametrize("command", [("--help",), DAVINCI, ("compare", "-m", "gptj-6b", "-H", "a100-sxm-80gb")])
def test_heavy_libraries_are_not_loaded(command: tuple[str, ...]) -> None:
    code = (
        f"import sys; from click.testing import CliRunner; from cli import app; "
        f"assert CliRunner().invoke(app, {list(command)!r}).exit_code == 0; "
        "print(sorted({'scipy', 'sympy', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
