"""Timed requests are read as their writers mean them, and refused with their line where they cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest

from calibration.readers.traces import read_traces
from simulator.errors import InputError
from simulator.inputs.traces import Trace, group_traces

HEADER = "model,api,prompt_tokens,output_tokens,seconds,trial,requested_output_tokens\n"
# One run as vllm/benchmarks/serve.py writes it with --save-detailed: its third request failed.
VLLM: dict[str, Any] = {
    "date": "20260101-120000",
    "backend": "openai",
    "label": None,
    "model_id": "some/model",
    "num_prompts": 3,
    "completed": 2,
    "input_lens": [512, 100, 7],
    "output_lens": [3, 1, 0],
    "ttfts": [0.5, 0.25, 0.0],
    "itls": [[0.03, 0.04], [], []],
    "generated_texts": ["a b c", "d", ""],
    "errors": ["", "", "Traceback: connection refused"],
}
# The record on https://github.com/ai-dynamo/aiperf, docs/tutorials/working-with-profile-exports.md, shortened.
AIPERF: dict[str, Any] = {
    "metadata": {"session_num": 45, "benchmark_phase": "profiling", "was_cancelled": False},
    "metrics": {
        "input_sequence_length": {"value": 550, "unit": "tokens"},
        "request_latency": {"value": 297.52522799999997, "unit": "ms"},
        "output_token_count": {"value": 7, "unit": "tokens"},
        "output_sequence_length": {"value": 9, "unit": "tokens"},
    },
    "error": None,
}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_plain_columns_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", HEADER + "m,a,512,8,1.5,2,16\nm,,1,1,0.25,,\n")
    assert read_traces(path) == [Trace("m", "a", 512, 8, 1.5, "2", 16), Trace("m", "", 1, 1, 0.25)]
    assert [trace.cut_short for trace in read_traces(path)] == [True, False]
    assert [trace.label for trace in read_traces(path)] == ["a/m", "m"]


def test_helm_traces_are_read_as_they_are(data_folder: Path) -> None:
    traces = read_traces(data_folder / "helm" / "api_traces.csv")
    assert len(traces) == 215
    assert traces[0] == Trace("j1-large", "ai21", 512, 2, 0.536136198, "2022-07-10", 2)
    assert {group: len(rows) for group, rows in group_traces(traces).items()} == {
        ("ai21", "j1-large"): 71,
        ("ai21", "j1-jumbo"): 72,
        ("ai21", "j1-grande"): 72,
    }
    assert not any(trace.cut_short for trace in traces)


def test_vllm_latency_is_first_token_and_gaps_where_it_is_not_written(tmp_path: Path) -> None:
    first, second, failed = read_traces(write(tmp_path / "run.json", json.dumps(VLLM)))
    assert (first.model, first.api, first.prompt_tokens, first.output_tokens) == ("some/model", "openai", 512, 3)
    assert first.seconds == pytest.approx(0.57)
    assert second.seconds == 0.25
    assert [first.cut_short, second.cut_short, failed.cut_short] == [False, False, True]


def test_vllm_latency_is_taken_where_it_is_written(tmp_path: Path) -> None:
    newer = VLLM | {"latencies": [0.6, 0.26, 0.0]}
    assert [trace.seconds for trace in read_traces(write(tmp_path / "r.json", json.dumps(newer)))][:2] == [0.6, 0.26]


def test_vllm_runs_that_were_appended_are_all_read(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", json.dumps(VLLM) + "\n" + json.dumps(VLLM | {"date": "later"}))
    assert [trace.trial for trace in read_traces(path)] == ["20260101-120000"] * 3 + ["later"] * 3


def test_vllm_without_details_is_refused(tmp_path: Path) -> None:
    summary = {key: value for key, value in VLLM.items() if not isinstance(value, list)}
    with pytest.raises(InputError, match="--save-detailed"):
        read_traces(write(tmp_path / "r.json", json.dumps(summary)))
    with pytest.raises(InputError, match="lists of different lengths"):
        read_traces(write(tmp_path / "r.json", json.dumps(VLLM | {"ttfts": [0.5]})))


def test_aiperf_counts_all_tokens_and_converts_the_unit(tmp_path: Path) -> None:
    failed = {"metadata": {"session_num": 80, "was_cancelled": True}, "metrics": {}, "error": {"code": 499}}
    warming = AIPERF | {"metadata": {"benchmark_phase": "warmup"}}
    lines = "\n".join(json.dumps(record) for record in (warming, AIPERF, failed)) + "\n"
    done, cut = read_traces(write(tmp_path / "p.jsonl", lines), model="served")
    assert (done.model, done.prompt_tokens, done.output_tokens) == ("served", 550, 9)
    assert done.seconds == pytest.approx(0.297525228)
    assert cut.cut_short


def test_fewer_tokens_than_asked_for_is_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", json.dumps(AIPERF))
    assert [read_traces(path, requested_tokens=asked)[0].cut_short for asked in (9, 10)] == [False, True]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("m,a,512,8,0,1,", "t.csv:2: seconds is 0; it must be above zero"),
        ("m,a,512,8,-0.5,1,", "t.csv:2: seconds is -0.5; it must be above zero"),
        ("m,a,512,8,nan,1,", "t.csv:2: seconds is 'nan'; it must be finite"),
        ("m,a,512,8,1.5s,1,", "t.csv:2: seconds is '1.5s'; it must be a plain number"),
        ("m,a,0,8,1.5,1,", "t.csv:2: prompt_tokens is 0; it must be a whole number of at least 1"),
        ("m,a,512,8.5,1.5,1,", "t.csv:2: output_tokens is 8.5; it must be a whole number of at least 0"),
        ("m,a,512,8", "t.csv:2: 4 cells where the header has 7"),
        (",a,512,8,1.5,1,", "t.csv:2: the request names no model"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(InputError) as error:
        read_traces(write(tmp_path / "t.csv", HEADER + line + "\n"))
    assert problem in str(error.value)


def test_columns_that_are_missing_or_unknown_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t.csv:1: missing column seconds"):
        read_traces(write(tmp_path / "t.csv", "model,api,prompt_tokens,output_tokens\nm,a,1,1\n"))
    with pytest.raises(InputError, match=r"unknown column 'trail'; did you mean 'trial'"):
        read_traces(write(tmp_path / "t.csv", "model,api,prompt_tokens,output_tokens,seconds,trail\nm,a,1,1,1,1\n"))
    with pytest.raises(InputError, match=r"no rows below the header"):
        read_traces(write(tmp_path / "t.csv", HEADER))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{]", "p.jsonl:1: not JSON"),
        (json.dumps(AIPERF) + '\n{"a": 1}', "p.jsonl:2: no metadata and metrics"),
        (json.dumps(AIPERF).replace("297.5", "-297.5"), "it must be above zero"),
        (json.dumps(AIPERF).replace('"ms"', '"parsec"'), "request_latency in 'parsec'"),
        (json.dumps(AIPERF).replace("request_latency", "x"), "the metric request_latency is missing"),
        ("", "the file is empty"),
    ],
)
def test_a_record_that_cannot_be_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as error:
        read_traces(write(tmp_path / "p.jsonl", text))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"itls": [None, [], []]}, "request 0: itls is None; it must be a list of numbers"),
        ({"itls": [0.5, [], []]}, "request 0: itls is 0.5; it must be a list of numbers"),
        ({"itls": [["x"], [], []]}, "request 0: itls is 'x'; it must be a number"),
        ({"input_lens": [float("nan"), 100, 7]}, "request 0: input_lens is nan; it must be a number"),
    ],
)
def test_a_vllm_request_that_cannot_be_is_refused_with_its_number(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as error:
        read_traces(write(tmp_path / "r.json", json.dumps(VLLM | change)))
    assert problem in str(error.value)


def test_a_vllm_request_that_failed_has_no_numbers_to_read(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json", json.dumps(VLLM | {"input_lens": [512, 100, float("nan")]}))
    assert [trace.cut_short for trace in read_traces(path)] == [False, False, True]


def test_a_unit_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", json.dumps(AIPERF).replace('"ms"', '["ms"]'))
    with pytest.raises(InputError, match=r"p.jsonl: request_latency in \['ms'\]"):
        read_traces(path)


def test_an_unknown_reader_or_ending_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "x")
    with pytest.raises(InputError, match="name one with --reader: csv, vllm, aiperf"):
        read_traces(path)
    with pytest.raises(InputError, match="unknown reader 'cvs'"):
        read_traces(path, "cvs")
