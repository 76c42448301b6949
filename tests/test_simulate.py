"""The command ``roofcast simulate``, its traces and lengths, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import app
from simulator import ImpossibleError, InputError, RoofcastError
from simulator.report.plots.load import Series, find_run
from simulator.serving.simulation import simulate
from simulator.serving.trace import read_trace

PLACE = ["simulate", "-m", "llama-3.1-8b", "-H", "a100-sxm-80gb", "-c", "a100-sxm-80gb--vllm-0.6", "-s", "vllm-0.10"]
SHORT = ["-p", "64", "-n", "8", "--num-requests", "20"]
TRACE = "arrival_s,input_tokens,output_tokens\n0.5,100,8\n0.75,200,1\n0.75,50,16\n"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*PLACE, *arguments])


def fail(*arguments: str) -> RoofcastError:
    error = call(*arguments).exception
    assert isinstance(error, RoofcastError)
    assert "\n" not in str(error)
    return error


def test_the_answer_fits_eighty_columns() -> None:
    for load in (["--concurrency", "4"], ["--request-rate", "3"], ["--request-rate", "inf"]):
        text = call(*load, *SHORT, "--slo", "ttft_s:1").stdout
        lines = text.splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 16
        assert "basis: transfer (a100-sxm-80gb--vllm-0.6" in text
        assert "keeps up" in text
        assert "90%" in text


def test_json_has_the_names_of_python() -> None:
    shown = json.loads(call("--concurrency", "4", *SHORT, "-o", "json").stdout)
    said = simulate(
        "llama-3.1-8b",
        "a100-sxm-80gb",
        "a100-sxm-80gb--vllm-0.6",
        stack="vllm-0.10",
        concurrency=4,
        prompt_tokens=64,
        output_tokens=8,
        num_requests=20,
    )
    assert shown["schema"] == "roofcast/simulation/1"
    assert shown["ttft_s_p99_high"] == said.ttft_s.p99_high == said.find("ttft_s_p99_high")
    assert shown["kv_blocks"] == said.kv_blocks
    assert shown["goodput_requests_per_s"] == said.requests_per_s
    assert shown["over_time"]["running"][0] == 0
    assert said.over_time["running"].max() == 4


def test_every_request_is_written(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    assert call("--request-rate", "5", *SHORT, "--requests", str(path)).exit_code == 0
    rows = list(csv.DictReader(path.open()))
    assert len(rows) == 20
    for row in rows:
        assert float(row["ttft_s"]) + 7 * float(row["tpot_s"]) == pytest.approx(float(row["e2e_s"]))


def test_a_trace_comes_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    shown = json.loads(call("--trace", str(path), "-o", "json").stdout)
    assert shown["num_requests"] == 3
    trace = read_trace(path)
    assert trace.arrival_s.tolist() == [0.5, 0.75, 0.75]
    assert trace.requests.output_tokens.tolist() == [8, 1, 16]


def test_a_prefix_that_is_shared_makes_the_prompt_shorter(tmp_path: Path) -> None:
    header = "arrival_s,input_tokens,output_tokens,prefix_block_hashes_512\n"
    means = {}
    for name, second in (("shared", "1 2 3 4 5 6 7 8"), ("own", "11 12 13 14 15 16 17 18")):
        path = tmp_path / f"{name}.csv"
        path.write_text(header + "0,4000,4,1 2 3 4 5 6 7 8\n" + f"9,4000,4,{second}\n")
        run = simulate("llama-3.1-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", stack="vllm-0.10", trace=path)
        means[name] = run.requests["ttft_s"]
    assert means["shared"][0] == means["own"][0]
    assert means["shared"][1] < 0.4 * means["own"][1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arrival_s,input_tokens\n0,1\n", "output_tokens is missing"),
        ("arrival_s,input_tokens,output_tokens\n", "no rows"),
        ("arrival_s,input_tokens,output_tokens\n1,5,5\n0,5,5\n", ":3: arrival_s is 0, before the request above it"),
        ("arrival_s,input_tokens,output_tokens\n0,0,5\n", ":2: input_tokens is '0'"),
        ("arrival_s,input_tokens,output_tokens\n0,5,-5\n", ":2: output_tokens is '-5'"),
        ("arrival_s,input_tokens,output_tokens\n0,5.5,5\n", ":2: input_tokens is '5.5'"),
        ("arrival_s,input_tokens,output_tokens\n-1,5,5\n", ":2: arrival_s is -1"),
        ("arrival_s,input_tokens,output_tokens\nnan,5,5\n", ":2: arrival_s is 'nan'; it must be finite"),
        ("arrival_s,input_tokens,output_tokens\n0,5\n", ":2: 2 cells where the header has 3"),
        ("arrival_s,input_tokens,output_tokens\n0,500000,5\n", "reaches 500004 tokens, past the 131072"),
        ("arrival_s,input_tokens,output_tokens,prefix_block_hashes_512\n0,5,5,1 2\n", "2 blocks of 512 for 5"),
        ("arrival_s,input_tokens,output_tokens,prefix_block_hashes_24\n0,5,5,1\n", "no whole blocks of 16"),
    ],
)
def test_a_trace_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    error = fail("--trace", str(path))
    assert isinstance(error, InputError)
    assert message in str(error)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ([], InputError, "a load is one of"),
        (["--concurrency", "2", "--request-rate", "1"], InputError, "given: concurrency and request_rate"),
        (["--concurrency", "two"], InputError, "--concurrency: 'two' is not a whole number"),
        (["--request-rate", "0"], InputError, "request_rate is 0"),
        (["--concurrency", "2", "--lengths", "0.8"], InputError, "'0.8' is none of"),
        (["--concurrency", "2", "--lengths", "lognormal:x"], InputError, "'x' is not a number"),
        (["--concurrency", "2", "--lengths", "lognormal:9"], InputError, "deviation of the logarithm"),
        (["--concurrency", "2", "--slo", "ttft:1"], InputError, "did you mean 'ttft_s'"),
        (["--concurrency", "2", "--slo", "ttft_s:-1"], InputError, "above 0"),
        (["--concurrency", "2", "--num-requests", "5000000"], InputError, "more than 1,000,000"),
        (
            ["--concurrency", "2", "--max-num-seqs", "9", "--max-num-batched-tokens", "8"],
            InputError,
            "less than a token",
        ),
        (["--concurrency", "2", "--kv-blocks", "3"], ImpossibleError, "an empty engine has 3"),
        (["--trace", "nowhere.csv"], InputError, "cannot read the table"),
        (["--concurrency", "2", "--lengths", "nowhere.csv"], InputError, "cannot read the table"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: list[str], kind: type[RoofcastError], message: str) -> None:
    error = fail(*arguments)
    assert isinstance(error, kind)
    assert message in str(error)


def test_lengths_of_a_table_are_drawn_from_it(tmp_path: Path) -> None:
    path = tmp_path / "lengths.csv"
    path.write_text("input_length,output_length\n10,3\n20,5\n")
    shown = json.loads(call("--concurrency", "2", "--lengths", str(path), *SHORT, "-o", "json").stdout)
    assert 10 < shown["prompt_tokens"] < 20
    assert 3 < shown["output_tokens"] < 5


def test_log_normal_lengths_have_the_nominal_mean() -> None:
    run = simulate(
        "llama-3.1-8b",
        "a100-sxm-80gb",
        "a100-sxm-80gb--vllm-0.6",
        stack="vllm-0.10",
        request_rate=50.0,
        prompt_tokens=200,
        output_tokens=8,
        lengths=0.6,
        num_requests=2000,
    )
    inputs = run.requests["input_tokens"]
    assert inputs.mean() == pytest.approx(200, rel=0.05)
    assert np.log(inputs).std() == pytest.approx(0.6, rel=0.1)


def test_a_run_and_a_ladder_are_drawn(tmp_path: Path) -> None:
    draw = ["plot", "load", *PLACE[1:], *SHORT]
    over_time = CliRunner().invoke(app, [*draw, "--request-rate", "20", "--terminal"]).stdout
    assert "R running, W waiting" in over_time
    assert max(map(len, over_time.splitlines())) <= 80
    assert CliRunner().invoke(app, [*draw, "--concurrency", "4", "-O", str(tmp_path / "run.svg")]).exit_code == 0
    assert all(f'id="{name}"' in (tmp_path / "run.svg").read_text() for name in ("running", "waiting"))
    path = tmp_path / "ladder.svg"
    assert CliRunner().invoke(app, [*draw, "--concurrency", "1,4,16", "-O", str(path)]).exit_code == 0
    assert "requests in flight" in path.read_text()
    assert 'id="ttft_s"' in path.read_text()


def test_an_axis_holds_the_ends_of_intervals() -> None:
    line = Series("ttft_s", np.array([1.0, 2.0]), np.array([0.5, np.nan]), np.array([3.0, np.nan]))
    assert (min(line.reach), max(line.reach)) == (0.5, 3.0)


def test_what_runs_holds_until_it_changes() -> None:
    run = simulate("llama-3.1-8b", "h100", prompt_tokens=64, output_tokens=8, concurrency=4, num_requests=8)
    drawn = find_run(run)
    (_, _, lines), _ = drawn.panels
    moved = np.flatnonzero(np.diff(drawn.x) > 0)
    for line in lines:
        assert np.array_equal(line.y[moved], line.y[moved + 1])
    assert lines[0].y.max() == 4


@pytest.mark.parametrize(("unknown", "limit"), [("concurrency", 0.3), ("request_rate", 0.1)])
def test_the_largest_load_holds_its_limits_and_the_next_does_not(unknown: str, limit: float) -> None:
    place = [*PLACE[1:], "-p", "256", "-n", "16", "--num-requests", "150"]
    answer = CliRunner().invoke(app, ["solve", *place, "--for", unknown, "--slo", f"ttft_s_p90:{limit}", "-o", "json"])
    found = json.loads(answer.stdout)
    assert found["ttft_s_p90"] <= limit
    option = f"--{unknown.replace('_', '-')}"
    for load, holds in ((found["value"], True), (found["beyond"], False)):
        shown = json.loads(call(*place[8:], option, str(load), "-o", "json").stdout)
        assert (shown["ttft_s_p90"] <= limit) is holds


def test_a_limit_that_no_load_holds_is_impossible() -> None:
    place = [*PLACE[1:], *SHORT, "--for", "concurrency"]
    error = CliRunner().invoke(app, ["solve", *place, "--slo", "tpot_s_mean:1ms"]).exception
    assert isinstance(error, ImpossibleError)
    error = CliRunner().invoke(app, ["solve", *place, "--slo", "tpot_s:1"]).exception
    assert isinstance(error, InputError)


def test_an_hour_of_the_devices_is_shared_out_over_what_they_serve() -> None:
    shown = json.loads(call("--concurrency", "4", *SHORT, "--price", "3.6 USD/h", "-o", "json").stdout)
    served = 3600 * shown["requests_per_s"]
    assert shown["usd_per_hour"] == pytest.approx(3.6)
    assert shown["usd_per_request"] == pytest.approx(3.6 / served)
    assert shown["usd_per_million_tokens"] == pytest.approx(1e6 * 3.6 / served / (64 + 8))
    prompts, outputs = (
        shown[name] for name in ("prefill_usd_per_million_input_tokens", "decode_usd_per_million_output_tokens")
    )
    assert 64 * prompts + 8 * outputs == pytest.approx(1e6 * shown["usd_per_request"])
    assert shown["prefill_share"] + shown["decode_share"] == pytest.approx(1.0)  # a closed loop never stands idle
    tdp_w, pue = 400.0, 1.6
    assert 0.2 * tdp_w < shown["energy_j_per_request"] * shown["requests_per_s"] < pue * tdp_w
    idle = json.loads(call("--request-rate", "1", *SHORT, "--price", "3.6 USD/h", "-o", "json").stdout)
    assert idle["prefill_share"] + idle["decode_share"] < 0.2
    assert idle["usd_per_million_tokens"] > 5 * shown["usd_per_million_tokens"]


def test_prompts_take_what_they_add_to_decoding() -> None:
    run = simulate(
        "llama-3.1-8b",
        "a100-sxm-80gb",
        "a100-sxm-80gb--vllm-0.6",
        stack="vllm-0.10",
        concurrency=1,
        prompt_tokens=500,
        output_tokens=2,
        num_requests=5,
    )
    assert 5 * float(run.ttft_s.mean) == pytest.approx(run.outcome.reading_s, rel=1e-6)
    assert run.spending.usd_per_hour is not None
