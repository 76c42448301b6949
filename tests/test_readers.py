"""Each tool's files are read to their numbers, what they leave out is asked for, and what is broken is one line."""

import copy
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from calibration.readers import READERS
from calibration.readers.by_size import find_by_size
from calibration.readers.content import read_content
from calibration.readers.rows import read_rows, recognise
from calibration.readers.runs import Told
from simulator.errors import InputError
from simulator.inputs.measurements import Measurement, read_table, write_table
from simulator.timing.profile import load_profile

SAMPLES = Path(__file__).parent / "samples"
CASES = Path(__file__).parents[2] / "shared" / "cases" / "files"
PLACE = Told(model="llama-3.1-8b", hardware="h100-sxm-80gb", stack="vllm-0.10")
LLAMA_CPP = Told(model="llama-3-8b", hardware="rtx-4090", stack="llama.cpp-2025")
MILLI = 1e-3


def read(name: str, told: Told = PLACE, reader: str | None = None) -> list[Measurement]:
    """Rows of a sample."""
    return read_rows(SAMPLES / name, reader, told)


def pick(rows: list[Measurement], metric: str, statistic: str = "mean") -> Measurement:
    """The one row of a metric."""
    (row,) = (row for row in rows if (row.metric, row.statistic or "mean") == (metric, statistic))
    return row


# File, reader, options, and per metric its value with what else its row says.
LOAD = {"concurrency": 16, "batch_size": 1, "num_requests": 64}
EXPECTED: list[tuple[str, str, Told, dict[str, tuple[float, dict[str, Any]]]]] = [
    (
        "llama-bench.csv",
        "llama-bench",
        Told(),
        {"prefill_s": (0.08, {"kv_dtype": "q8_0", "weight_dtype": "q4_k_m", "std": 0.0008, "hardware": "rtx-4090"})},
    ),
    (
        "llama-bench.jsonl",
        "llama-bench",
        Told(),
        {"e2e_s": (4.0, {"pp": 2, "tp": 1, "model": "llama-3-70b", "prompt_tokens": 256, "output_tokens": 64})},
    ),
    ("llama-bench.sql", "llama-bench", Told(), {"tpot_s": (0.01, {"prompt_tokens": 0, "output_tokens": 50})}),
    (
        "llama-bench.md",
        "llama-bench",
        Told(hardware="rtx-4090"),
        {
            "prefill_s": (0.1, {"model": "qwen2-7b", "stack": "llama.cpp-2025", "std": pytest.approx(0.001)}),
            "tpot_s": (0.01, {"prompt_tokens": 1024, "output_tokens": 64, "weight_dtype": "q4_k_m"}),
        },
    ),
    (
        "llama-batched-bench.jsonl",
        "llama-batched-bench",
        LLAMA_CPP,
        {
            "prefill_s": (0.1, {"batch_size": 1, "prompt_tokens": 512}),  # the prompt is shared
            "tpot_s": (0.015, {"batch_size": 4, "output_tokens": 128}),
        },
    ),
    (
        "vllm-serve.json",
        "vllm-serve",
        PLACE._replace(model=None),
        {
            "ttft_s": (0.05, {"weight_dtype": "fp8", "activation_dtype": "fp8", "kv_dtype": "bf16", "concurrency": 1}),
            "tpot_s": (0.005, {"prompt_tokens": 1024, "output_tokens": 128, "model": "llama-3.1-8b"}),
        },
    ),
    (
        "vllm-serve.txt",
        "vllm-serve",
        PLACE,
        {
            "ttft_s": (0.06, {"request_rate": 4.0, "concurrency": None, "prompt_tokens": 512}),
            "tpot_s": (0.009, {"num_requests": 200}),
            "throughput_tok_s": (465.45, {}),
        },
    ),
    (
        "vllm-latency.txt",
        "vllm-latency",
        PLACE._replace(prompt_tokens=32, output_tokens=128, batch_size=8),
        {"e2e_s": (2.5, {"batch_size": 8, "prompt_tokens": 32, "output_tokens": 128})},
    ),
    (
        "vllm-throughput.json",
        "vllm-throughput",
        PLACE._replace(output_tokens=128),
        {"throughput_tok_s": (2560.0, {"prompt_tokens": 512, "request_rate": math.inf, "num_requests": 1000})},
    ),
    (
        "vllm-throughput.txt",
        "vllm-throughput",
        PLACE,
        {"throughput_tok_s": (2560.0, {"prompt_tokens": 512, "output_tokens": 128, "num_requests": 1000})},
    ),
    (
        "sglang-serving.txt",
        "sglang-serving",
        PLACE,
        {
            "ttft_s": (0.09, {"concurrency": 8, "prompt_tokens": 512, "output_tokens": 128}),
            "tpot_s": (0.03, {}),
            "e2e_s": (3.9, {}),
            "throughput_tok_s": (256.0, {}),
        },
    ),
    (
        "trtllm-bench.json",
        "trtllm-bench",
        Told(),
        {
            "ttft_s": (0.125, {"hardware": "h100-sxm-80gb", "tp": 2, "weight_dtype": "fp8", "kv_dtype": "fp8"}),
            "tpot_s": (0.012, {"concurrency": 64, "stack": "tensorrt-llm-1.0"}),
            "e2e_s": (3.185, {"num_requests": 512}),
            "throughput_tok_s": (5120.0, {"prompt_tokens": 1024, "output_tokens": 256}),
        },
    ),
    (
        "genai-perf.json",
        "genai-perf",
        PLACE._replace(model=None),
        {
            "ttft_s": (0.06, {"concurrency": 8, "prompt_tokens": 512, "output_tokens": 128, "num_requests": 100}),
            "tpot_s": (0.012126, {}),
            "e2e_s": (1.6, {}),
            "throughput_tok_s": (640.0, {}),
        },
    ),
    (
        "genai-perf.csv",
        "genai-perf",
        PLACE._replace(concurrency=8),
        {
            "ttft_s": (0.06, {"concurrency": 8, "prompt_tokens": 512}),
            "tpot_s": (0.01213, {}),
            "e2e_s": (1.6, {}),
            "throughput_tok_s": (640.0, {}),
        },
    ),
    (
        "aiperf.json",
        "genai-perf",
        PLACE._replace(model=None),
        {
            "ttft_s": (0.04, {"model": "qwen3-8b", "concurrency": 1, "prompt_tokens": 550, "output_tokens": 64}),
            "tpot_s": (0.007302, {"num_requests": 50}),
        },
    ),
    ("aiperf.csv", "genai-perf", PLACE._replace(concurrency=1), {"ttft_s": (0.04, {}), "tpot_s": (0.0073, {})}),
    (
        "optimum-benchmark",
        "optimum-benchmark",
        Told(),
        {
            "prefill_s": (0.01, {"hardware": "a100-sxm-80gb", "stack": "transformers-eager", "batch_size": 2}),
            "tpot_s": (0.01, {"model": "gpt2", "prompt_tokens": 64, "output_tokens": 33, "std": 0.0001}),
        },
    ),
    (
        "inferencex-raw.json",
        "vllm-serve",
        PLACE._replace(model=None, tp=4, weight_dtype="mxfp4"),
        {
            "ttft_s": (0.08, {"concurrency": 4, "model": "gpt-oss-120b", "tp": 4, "activation_dtype": "bf16"}),
            "tpot_s": (0.0064, {"weight_dtype": "mxfp4"}),
            "throughput_tok_s": (614.4, {}),
        },
    ),
    (
        "mlperf-server.txt",
        "mlperf",
        PLACE._replace(prompt_tokens=294),
        {
            "ttft_s": (0.4, {"request_rate": 41.0, "concurrency": None, "prompt_tokens": 294, "output_tokens": 300}),
            "tpot_s": (0.065, {}),
            "e2e_s": (20.0, {}),
            "throughput_tok_s": (12000.0, {}),
        },
    ),
    (
        "mlperf-offline.txt",
        "mlperf",
        PLACE._replace(prompt_tokens=294),
        {"throughput_tok_s": (15000.0, {"request_rate": math.inf, "output_tokens": 300})},
    ),
]


@pytest.mark.parametrize(("name", "reader", "told", "expected"), EXPECTED, ids=[one[0] for one in EXPECTED])
def test_a_file_is_read_to_its_numbers(name: str, reader: str, told: Told, expected: Any) -> None:
    rows = read(name, told)
    assert {row.metric for row in rows} == set(expected)
    for metric, (value, facts) in expected.items():
        row = pick(rows, metric)
        assert row.value == pytest.approx(value, rel=1e-4)
        assert {key: getattr(row, key) for key in facts} == facts
    assert [row.value for row in read(name, told, reader)] == [row.value for row in rows]


def test_percentiles_are_rows_of_load_and_not_of_single_requests() -> None:
    assert pick(read("vllm-serve.txt"), "tpot_s", "p99").value == 0.012
    assert pick(read("guidellm.json"), "ttft_s", "p99").value == 0.09
    assert {row.statistic for row in read("vllm-serve.json")} == {""}


def test_guidellm_counts_the_first_token_in_and_is_converted() -> None:
    """(12.5 ms x 64 - 40 ms) / 63, where the report has no inter-token latency."""
    rows = read("guidellm.json", PLACE._replace(model=None))
    alone, load = ([row for row in rows if row.is_load is is_load] for is_load in (False, True))
    assert pick(alone, "tpot_s").value == pytest.approx(8 * MILLI)
    assert pick(load, "tpot_s").value == pytest.approx((12.5 * 64 - 40) / 63 * MILLI)
    assert pick(load, "ttft_s").request_rate == 5.0
    assert alone[0].model == "qwen2.5-7b"


def test_llama_bench_reads_depths_as_contexts_and_leaves_out_what_it_cannot_say() -> None:
    notes: list[str] = []
    prefill, decode = read_rows(SAMPLES / "llama-bench.json", None, Told(), notes.append)
    assert (prefill.value, prefill.prompt_tokens, prefill.output_tokens) == (0.125, 1024, 0)
    assert (decode.value, decode.prompt_tokens, decode.output_tokens) == (0.0125, 4096, 100)
    assert (decode.model, decode.weight_dtype, decode.activation_dtype) == ("llama-3.1-8b", "q8_0", "fp16")
    assert any("1 run is left out: a prefill over a cache that is not empty" in note for note in notes)
    assert "no stack ships for llama.cpp-b5300: llama.cpp-2025 stands for it" in notes


def test_batches_of_a_table_are_read_one_by_one() -> None:
    rows = read("llama-batched-bench.txt", LLAMA_CPP)
    assert [(row.metric, row.batch_size, row.value) for row in rows] == [
        *(("prefill_s", 1, 0.1), ("tpot_s", 1, 0.01)),
        *(("prefill_s", 8, 0.8), ("tpot_s", 8, pytest.approx(0.02))),
    ]


def test_one_batch_has_a_median() -> None:
    rows = read("sglang-one-batch.jsonl")
    assert (pick(rows, "prefill_s").value, pick(rows, "tpot_s", "p50").value) == (0.04, 0.008)
    assert {(row.batch_size, row.prompt_tokens, row.output_tokens) for row in rows} == {(4, 256, 32)}


def test_durations_of_ollama_are_those_of_go() -> None:
    rows = read("ollama.txt", LLAMA_CPP)
    values = [row.value for row in rows]
    assert values == pytest.approx([0.1305, 62.1 / 300, 200e-6, 0.02])
    assert [row.prompt_tokens for row in rows] == [26, 26, 40, 40]


def test_a_table_of_points_has_their_load_and_the_checkpoints_own_format() -> None:
    notes: list[str] = []
    rows = read_rows(SAMPLES / "points.csv", None, Told(), notes.append)
    first = rows[0]
    assert (first.concurrency, first.length_low, first.length_high, first.num_requests) == (64, 0.8, 1.0, 640)
    assert (first.weight_dtype, first.stack, first.tp) == ("mxfp4", "vllm-0.14", 4)
    assert rows[2].length_low is None
    assert len(rows) == 4
    assert "1 run is left out: prefill and decode on different devices" in notes


@pytest.mark.parametrize(
    ("cells", "facts"),
    [
        ("Llama-3.1-70B,h100-sxm-80gb,vllm,,fp8,2,8192,1024,{u},32", ("bf16", 8192, 32, None, "vllm-0.14")),
        ("Llama-3.1-70B,h200-sxm-141gb,vllm,,fp8,2,8192,1024,{u},32", ("fp8", 8192, 32, None, "vllm-0.14")),
        (
            "Llama-3.1-70B,h200-sxm-141gb,tensorrt-llm,,fp8,4,1024,1024,{u},32",
            ("fp8", 16384, None, 20, "tensorrt-llm-1.0"),
        ),
        (
            "Llama-3.1-70B,h200-sxm-141gb,tensorrt-llm,,fp8,8,1024,1024,{u},32",
            ("fp8", 16384, None, None, "tensorrt-llm-1.0"),
        ),
        (
            "gpt-oss-120b,h200-sxm-141gb,tensorrt-llm,,nvfp4,4,1024,1024,{u},32",
            ("bf16", 20000, None, None, "tensorrt-llm-1.0"),
        ),
        (
            "Qwen3-32B,h100-sxm-80gb,tensorrt-llm,1.0.0,fp8,2,2048,128,no,8",
            ("fp8", 2176, None, None, "tensorrt-llm-1.0"),
        ),
        ("Qwen3-32B,h100-sxm-80gb,sglang,0.5.1,,2,2048,128,no,8", ("bf16", None, None, None, "sglang-0.4")),
    ],
)
def test_points_have_what_their_scripts_told_the_engine(cells: str, facts: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    line = cells.format(u='"random, each uniform in [0.8,1.0] x nominal"')
    header = "model,hardware,stack,stack_version,weight_dtype,tp,isl,osl,lengths,concurrency,ttft_s,tpot_s"
    path.write_text(f"{header}\n{line},0.25,0.02\n")
    row = read_rows(path, None, Told())[0]
    assert (row.kv_dtype, row.max_num_batched_tokens, row.max_num_seqs, row.batch_wait_passes, row.stack) == facts


@pytest.mark.parametrize(
    ("name", "told", "metric", "statistic", "value", "facts"),
    [
        ("llama_bench-json", Told(), "prefill_s", "mean", 0.0740, {"hardware": "rtx-4090", "weight_dtype": "q4_k_m"}),
        ("llama_bench-json", Told(), "tpot_s", "mean", 1 / 127.6, {"model": "llama-3-8b"}),
        ("llama_bench-md", Told(hardware="rtx-4090"), "prefill_s", "mean", 0.0740, {"weight_dtype": "q4_k_m"}),
        ("llama_bench-md", Told(hardware="rtx-4090"), "tpot_s", "mean", 1 / 127.6, {"stack": "llama.cpp-2025"}),
        ("ollama_verbose-txt", LLAMA_CPP, "prefill_s", "mean", 0.074, {"prompt_tokens": 512}),
        ("ollama_verbose-txt", LLAMA_CPP, "tpot_s", "mean", 1.003 / 128, {"output_tokens": 128}),
        ("sglang_one_batch-txt", PLACE, "prefill_s", "mean", 0.05012, {"prompt_tokens": 1024, "batch_size": 1}),
        ("sglang_one_batch-txt", PLACE, "tpot_s", "p50", 7.7e-3, {"output_tokens": 256}),
        ("sglang_serving-jsonl", PLACE, "ttft_s", "mean", 0.410, {"concurrency": 16, "prompt_tokens": 1024}),
        ("sglang_serving-jsonl", PLACE, "tpot_s", "mean", 0.0118, {"output_tokens": 256}),
        ("trtllm_bench-txt", PLACE, "throughput_tok_s", "mean", 12800, {"tp": 1, "prompt_tokens": 128}),
        (
            *("vllm_latency-json", PLACE._replace(prompt_tokens=32, output_tokens=128, batch_size=8)),
            *("e2e_s", "mean", 1.71, {"batch_size": 8}),
        ),
        ("vllm_serve_summary-json", PLACE, "ttft_s", "mean", 0.420, LOAD | {"prompt_tokens": 1024}),
        ("vllm_serve_summary-json", PLACE, "tpot_s", "mean", 0.012, {"output_tokens": 256}),
        ("vllm_serve_summary-json", PLACE, "throughput_tok_s", "mean", 399.6, {}),
        ("inferencex_agg-json", Told(), "ttft_s", "mean", 0.21, {"hardware": "h200-sxm-141gb", "tp": 4}),
        ("inferencex_agg-json", Told(), "tpot_s", "mean", 0.0185, {"model": "llama-3.3-70b", "weight_dtype": "fp8"}),
        ("inferencex_agg-json", Told(), "throughput_tok_s", "mean", 4 * 201, {"concurrency": 16}),
    ],
)
def test_the_cases_handed_over_are_read_to_their_numbers(
    name: str, told: Told, metric: str, statistic: str, value: float, facts: dict[str, Any]
) -> None:
    folder = CASES / f"bench-{name}"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    row = pick(read_rows(folder, None, told), metric, statistic)
    assert row.value == pytest.approx(value, rel=2e-4)
    assert {key: getattr(row, key) for key in facts} == facts


# What a file leaves out, and what options say


def find_error(path: Path, told: Told = PLACE, reader: str | None = None) -> str:
    """The one line that reading fails with, its folder cut off."""
    with pytest.raises(InputError) as caught:
        read_rows(path, reader, told)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("name", "told", "text"),
    [
        ("vllm-serve.json", Told(), "vllm bench serve does not say hardware, stack; name them with -H -s"),
        ("vllm-serve.txt", Told(hardware="h100", stack="vllm"), "does not say model; name it with -m"),
        ("vllm-latency.txt", PLACE, "does not say prompt tokens, output tokens, batch size; name them with -p -n -b"),
        ("vllm-throughput.json", PLACE, "says 640 tokens a request, prompt and output together; name one of them"),
        (
            *("vllm-throughput.json", PLACE._replace(prompt_tokens=100, output_tokens=100)),
            "100 + 100 tokens a request are told, and it has 640",
        ),
        ("genai-perf.csv", PLACE, "does not say how many requests were in flight; name it with --concurrency"),
        ("mlperf-offline.txt", PLACE, "does not say prompt tokens; name it with -p"),
        ("trtllm-bench.json", Told(tp=4), "says tp 2; --tp says 4"),
    ],
)
def test_what_a_file_leaves_out_is_asked_for_in_one_line(name: str, told: Told, text: str) -> None:
    assert text in find_error(SAMPLES / name, told)


def test_where_an_option_says_otherwise_than_the_file_it_holds_and_a_note_says_so() -> None:
    told = Told("llama-3-8b", "a100-sxm-80gb", "llama.cpp-b2795")
    notes: list[str] = []
    rows = read_rows(SAMPLES / "llama-bench.csv", None, told, notes.append)
    assert {(row.model, row.hardware, row.stack) for row in rows} == {tuple(told[:3])}
    assert "llama-bench names the device NVIDIA GeForce RTX 4090; taken as a100-sxm-80gb (-H)" in notes


def test_a_model_that_does_not_ship_is_named_with_the_nearest(tmp_path: Path) -> None:
    result = json.loads((SAMPLES / "vllm-serve.json").read_text()) | {"model_id": "someone/llama-3.1-9b"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(result))
    error = find_error(path, PLACE._replace(model=None))
    assert "model (it has 'someone/llama-3.1-9b', which does not ship" in error
    assert read_rows(path, None, PLACE)[0].model == "llama-3.1-8b"


def test_several_models_of_one_size_are_told_apart_by_what_they_cost() -> None:
    """Llama 3 and 3.1 8B differ in the longest context alone; 7.24 billion of the kind llama are Mistral's."""
    assert len(find_by_size("llama 8B", 8_030_261_312)) == 1
    assert {one.startswith("mistral-7b") for one in find_by_size("mistral 7B", 7.24e9)} == {True}
    assert find_by_size("llama 8B", 3.3e9) == []


def test_formats_in_a_checkpoints_name_are_computed_in_where_the_device_can(tmp_path: Path) -> None:
    result = json.loads((SAMPLES / "vllm-serve.json").read_text())
    for name, hardware, formats in (
        ("a/Llama-3.1-8B-Instruct-FP8", "h100-sxm-80gb", ("fp8", "fp8")),
        ("a/Llama-3.1-8B-Instruct-FP8", "a100-sxm-80gb", ("fp8", "bf16")),
        ("a/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "h100-sxm-80gb", ("int4-g128", "bf16")),
        ("a/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "a100-sxm-80gb", ("int8", "int8")),
        ("meta-llama/Llama-3.1-8B-Instruct", "v100-sxm-32gb", ("fp16", "fp16")),
    ):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(result | {"model_id": name}))
        row = read_rows(path, None, Told(hardware=hardware, stack="vllm-0.10"))[0]
        assert (row.weight_dtype, row.activation_dtype) == formats, name


def test_a_draft_that_is_verified_is_left_out(tmp_path: Path) -> None:
    result = json.loads((SAMPLES / "vllm-serve.json").read_text()) | {"spec_decode_acceptance_rate": 70.0}
    (tmp_path / "a.json").write_text(json.dumps(result))
    assert "nothing to read: 1 run is left out: a draft was verified" in find_error(tmp_path / "a.json")


# Files that are broken, and folders


@pytest.mark.parametrize(
    ("content", "reader", "text"),
    [
        ("", None, "the file is empty"),
        ("\n \n", None, "the file is empty"),
        ("hello, world", None, "no reader recognises it; --reader takes tidy, "),
        ('{"mean_ttft_ms": 1.0, "total_inp', None, "not valid JSON (line 1: "),
        ('{"a": 1}\n{"b": ', None, "not valid JSON (line 2: "),
        ("[" * 200_000, None, "no reader recognises it"),
        ('[{"a": ' + "[" * 100_000, None, "nested more than 64 deep"),
        ('{"avg_latency": NaN, "latencies": [1]}', None, "avg_latency is nan; it must be finite"),
        ('{"avg_latency": "x", "latencies": [1]}', None, "avg_latency is 'x'; it must be a number"),
        ('{"avg_latency": -1, "latencies": [1]}', None, "e2e_s is -1; no measurement is so"),
        ('{"avg_latency": 1, "latencies": 1}', None, "latencies is no list"),
        ("Prefill. latency: 0.05 s, throughput: 20480.00 token/s\n", None, "prints Prefill, Decode and Total"),
        ("= PERFORMANCE OVERVIEW\n", None, "request_throughput_req_s is missing"),
        ("MLPerf Results Summary\nScenario : Offline\nMode     : AccuracyOnly\n", None, "an accuracy run"),
        ("MLPerf Results Summary\n", None, "scenario not named; known are Offline"),
        ("eval count: x\neval duration: 3s\nprompt eval count: 3 token(s)", None, "eval count is 'x'"),
        ("eval count: 3\neval duration: soon\nprompt eval count: 3 token(s)", None, "'soon' is no duration"),
        (
            "============ Serving Benchmark Result ============\nMean TTFT (ms): 3\n",
            None,
            "the summary has no completed",
        ),
        (
            '{"avg_latency": 1, "latencies": [1]}',
            "llama-bench",
            "not a file of llama-bench; it looks like one of vllm-l",
        ),
        (
            '{"avg_latency": 1, "latencies": [1]}',
            "llama-bnch",
            "unknown reader 'llama-bnch'; did you mean 'llama-bench'?",
        ),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: str, reader: str | None, text: str) -> None:
    path = tmp_path / "result"
    path.write_text(content)
    told = PLACE._replace(prompt_tokens=8, output_tokens=8, batch_size=1)
    assert text in find_error(path, told, reader)


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir() if path.is_file()))
def test_a_file_cut_off_anywhere_is_one_line_or_fewer_rows(tmp_path: Path, name: str) -> None:
    """Half of a file is never read as something else: it is refused, or it is so many of its rows."""
    told = Told("llama-3.1-8b", "h100", "vllm-0.10", batch_size=8, prompt_tokens=512, concurrency=4)
    text, whole = (
        (SAMPLES / name).read_text(),
        {
            row.value
            for row in read_rows(SAMPLES / name, None, told._replace(output_tokens=128 if "latency" in name else None))
        },
    )
    for share in (0.3, 0.6, 0.9):
        path = tmp_path / name
        path.write_text(text[: int(len(text) * share)].rpartition("\n")[0] or text[: int(len(text) * share)])
        try:
            rows = read_rows(path, None, told)
        except InputError:
            continue
        assert {row.value for row in rows} <= whole


def list_places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a JSON document is."""
    parts = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in parts:
        yield (*place, key)
        yield from list_places(value, (*place, key))


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.json*")), ids=lambda path: path.name)
def test_a_value_of_another_kind_anywhere_is_one_line_or_not_needed(tmp_path: Path, path: Path) -> None:
    told = Told("llama-3.1-8b", "h100", "vllm-0.10", batch_size=8, prompt_tokens=512, concurrency=4)
    text = path.read_text()
    whole = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    broken = tmp_path / path.name
    for *parents, last in list_places(whole):
        for junk in (None, "x", [1], -1):
            document = copy.deepcopy(whole)
            part = document
            for key in parents:
                part = part[key]
            part[last] = junk
            broken.write_text(json.dumps(document))
            try:
                rows = read_rows(broken, None, told)
            except InputError as error:
                message = str(error)
            else:
                message = ""
                assert rows
            assert "\n" not in message


@pytest.mark.parametrize(
    ("document", "told", "metric", "value", "facts"),
    [
        (  # GuideLLM without a strategy: what was in flight on average
            {
                "benchmarks": [
                    {
                        "metrics": {
                            "request_concurrency": {"successful": {"mean": 7.9}},
                            "prompt_token_count": {"successful": {"mean": 128.0}},
                            "output_token_count": {"successful": {"mean": 11.0}},
                            "time_to_first_token_ms": {"successful": {"mean": 100.0}},
                            "time_per_output_token_ms": {"successful": {"mean": 20.0}},
                        }
                    }
                ]
            },
            *(PLACE, "tpot_s", 0.012, {"concurrency": 8, "output_tokens": 11}),
        ),
        (  # optimum-benchmark of an older version
            {
                "config": {"benchmark": {"input_shapes": {"batch_size": 1, "sequence_length": 16}, "new_tokens": 11}},
                "report": {"prefill": {"latency": {"mean": 0.02}}, "decode": {"latency": {"mean": 0.1}}},
            },
            *(PLACE, "tpot_s", 0.01, {"batch_size": 1, "prompt_tokens": 16, "output_tokens": 11}),
        ),
        (  # trtllm-bench's performance alone
            {
                "performance": {
                    "request_throughput_req_s": 2.0,
                    "system_output_throughput_tok_s": 256.0,
                    "system_total_throughput_tok_s": 1280.0,
                    "avg_request_latency_ms": 4000.0,
                }
            },
            *(PLACE, "throughput_tok_s", 256.0, {"prompt_tokens": 512, "output_tokens": 128, "concurrency": 8}),
        ),
        (  # InferenceMAX, the first version of the file, on four devices
            {
                **{
                    "hw": "mi300x",
                    "tp": 4,
                    "ep": 1,
                    "dp_attention": "false",
                    "conc": 8,
                    "model": "openai/gpt-oss-120b",
                },
                **{"framework": "vllm", "precision": "fp4", "tput_per_gpu": 400.0, "output_tput_per_gpu": 200.0},
                **{"mean_ttft": 0.1, "mean_tpot": 0.01},
            },
            PLACE._replace(model=None, hardware=None, prompt_tokens=1024, output_tokens=1024),
            *("throughput_tok_s", 800.0, {"weight_dtype": "mxfp4", "hardware": "mi300x-192gb", "tp": 4}),
        ),
        (  # SGLang with lengths that vary
            {
                **{"backend": "sglang", "dataset_name": "random", "request_rate": "inf", "max_concurrency": 4},
                **{"random_input_len": 1000, "random_output_len": 100, "random_range_ratio": 0.5, "duration": 10.0},
                **{"completed": 10, "total_input_tokens": 7500, "total_output_tokens": 750, "mean_tpot_ms": 9.0},
                **{"output_throughput": 75.0, "mean_ttft_ms": 90.0},
            },
            *(PLACE, "ttft_s", 0.09, {"prompt_tokens": 1000, "length_low": 0.5, "length_high": 1.0}),
        ),
    ],
)
def test_what_other_versions_write_is_read(
    tmp_path: Path, document: Any, told: Told, metric: str, value: float, facts: dict[str, Any]
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document))
    row = pick(read_rows(path, None, told), metric)
    assert row.value == pytest.approx(value)
    assert {key: getattr(row, key) for key in facts} == facts


def test_a_format_that_could_be_two_is_asked_for(tmp_path: Path) -> None:
    """fp4 is nvfp4 or mxfp4, by the checkpoint."""
    result = {
        "hw": "b200",
        "tp": 8,
        "conc": 8,
        "model": "deepseek-ai/DeepSeek-R1",
        "precision": "fp4",
        "isl": 8,
        "osl": 8,
    }
    path = tmp_path / "agg.json"
    path.write_text(json.dumps(result | {"output_tput_per_gpu": 200.0, "mean_ttft": 0.1}))
    assert "unknown weight dtype 'fp4'" in find_error(path)
    assert pick(read_rows(path, None, PLACE._replace(weight_dtype="nvfp4")), "ttft_s").weight_dtype == "nvfp4"


def test_a_folder_of_one_tool_is_read_whole(tmp_path: Path) -> None:
    for number in range(12):
        result = json.loads((SAMPLES / "vllm-serve.json").read_text()) | {"mean_ttft_ms": 50.0 + number}
        (tmp_path / f"run-{number:02}.json").write_text(json.dumps(result))
    (tmp_path / "server.log").write_text("nothing to see here\n")
    (tmp_path / "plot.png").write_bytes(b"\x89PNG\0\0")
    notes: list[str] = []
    rows = read_rows(tmp_path, None, PLACE, notes.append)
    assert [row.value for row in rows if row.metric == "ttft_s"] == pytest.approx(
        [(50 + number) * MILLI for number in range(12)]
    )
    assert any("2 files of" in note and "plot.png, server.log" in note for note in notes)


def test_a_folder_of_two_tools_needs_one_named(tmp_path: Path) -> None:
    for name in ("vllm-serve.json", "llama-bench.csv"):
        shutil.copy(SAMPLES / name, tmp_path)
    error = find_error(tmp_path)
    assert "files of several tools (llama-bench: llama-bench.csv; vllm-serve: vllm-serve.json)" in error
    assert {row.hardware for row in read_rows(tmp_path, "llama-bench", Told())} == {"rtx-4090"}
    (tmp_path / "half.json").write_text('{"mean_ttft_ms": ')
    assert "not valid JSON" in find_error(tmp_path)


def test_a_run_that_stands_in_two_files_of_a_folder_is_read_once(tmp_path: Path) -> None:
    for name in ("genai-perf.csv", "genai-perf.json"):
        shutil.copy(SAMPLES / name, tmp_path)
    rows = read_rows(tmp_path, None, PLACE)
    assert pick(rows, "tpot_s").value == pytest.approx(12.126 * MILLI)


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    assert "none of its 0 files is of a known tool" in find_error(tmp_path)
    (tmp_path / "notes.txt").write_text("a note\n")
    assert "none of its 1 files is of guidellm" in find_error(tmp_path, reader="guidellm")


@pytest.mark.parametrize(
    "path", sorted(path for path in SAMPLES.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_one_reader_alone_takes_a_file(path: Path) -> None:
    content = read_content(path)
    taking = [name for name, reader in READERS.items() if reader.recognise(content)]
    if path.name != "benchmark_config.json":
        assert taking[0] == recognise(content)
    assert set(taking[1:]) <= {"inferencex"}  # whose raw results are vLLM's


def test_what_is_read_is_a_tidy_table_again(tmp_path: Path) -> None:
    rows = read("vllm-serve.txt")
    write_table(tmp_path / "t.csv", rows)
    assert read_table(tmp_path / "t.csv") == rows
    assert read_rows(tmp_path / "t.csv", None, Told()) == rows
    assert {field.name for field in fields(Measurement)} >= {"concurrency", "request_rate", "statistic"}


# Commands


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, what is printed and what is said of a command."""
    runner = CliRunner()
    try:
        result = runner.invoke(cli.app, arguments, standalone_mode=False)
    except InputError as refused:  # pragma: no cover
        return refused.exit_code, "", str(refused)
    error = result.exception
    code = getattr(error, "exit_code", 0 if error is None else 1)
    return code, result.stdout, result.stderr if error is None else str(error)


def test_two_lines_calibrate_an_engine(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    code, report, said = run("calibrate", "fit", str(SAMPLES / "llama-bench.json"), "--out", str(profile))
    assert code == 0, said
    assert "fitted to 2 rows" in report
    assert "rtx-4090" in profile.read_text()
    code, _, said = run("validate", str(SAMPLES / "llama-bench.csv"), "-c", str(profile))
    assert code == 0, said


def test_rows_under_load_are_read_with_their_load_and_fitted(tmp_path: Path) -> None:
    place = ("-H", "h100-sxm-80gb", "-s", "vllm-0.10")
    code, table, said = run("calibrate", "read", str(SAMPLES / "guidellm.json"), *place)
    assert code == 0, said
    assert "concurrency,request_rate,num_requests,statistic" in table
    code, _, said = run("calibrate", "fit", str(SAMPLES / "guidellm.json"), *place, "--out", str(tmp_path / "p.yaml"))
    assert code == 0, said
    assert load_profile(tmp_path / "p.yaml").provenance is not None


def test_a_length_that_is_told_fills_in_and_else_selects() -> None:
    serve = ("calibrate", "read", str(SAMPLES / "vllm-serve.json"), "-H", "h100", "-s", "vllm-0.10")
    code, _, said = run(*serve, "-p", "512")
    assert code == 2
    assert "no row of the table is left after selection" in said
    latency = ("calibrate", "read", str(SAMPLES / "vllm-latency.txt"), "-m", "llama-3-8b", *serve[3:])
    code, table, said = run(*latency, "-p", "512", "-n", "128", "-b", "4", "--tp", "2", "--dtype", "fp16")
    assert code == 0, said
    assert ",2,1,fp16,fp16,fp16,4,512,128,e2e_s,2.5," in table


def test_every_reader_is_on_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "readers.md").read_text()
    assert not [name for name in READERS if f"`{name}`" not in page]
