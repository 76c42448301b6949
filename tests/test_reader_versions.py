"""Outputs of other versions and other forms of the tools, each read to its numbers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from calibration.readers.content import read_content
from calibration.readers.rows import read_rows, recognise
from calibration.readers.runs import Told
from simulator.errors import InputError

PLACE = Told(model="llama-3.1-8b", hardware="h100-sxm-80gb", stack="vllm-0.10")
EIGHT = PLACE._replace(concurrency=8)

AIPERF = """
                              NVIDIA AIPerf | LLM Metrics
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━┓
┃                           Metric ┃      avg ┃      min ┃      p99 ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━┩
│         Time to First Token (ms) │   100.00 │    90.00 │   150.00 │
│             Request Latency (ms) │ 2,000.00 │ 1,900.00 │ 3,000.00 │
│         Inter Token Latency (ms) │    15.00 │    15.00 │    22.50 │
│ Output Token Throughput Per User │    66.00 │    60.00 │    70.00 │
│                (tokens/sec/user) │          │          │          │
│  Output Sequence Length (tokens) │   128.00 │   128.00 │   128.00 │
│   Input Sequence Length (tokens) │   512.00 │   512.00 │   512.00 │
│          Output Token Throughput │   512.00 │      N/A │      N/A │
│                     (tokens/sec) │          │          │          │
│         Request Count (requests) │   100.00 │      N/A │      N/A │
└──────────────────────────────────┴──────────┴──────────┴──────────┘
"""
GENAI_PERF = """
+--------------------------+---------------+---------------+
|                Statistic |           avg |           p99 |
+--------------------------+---------------+---------------+
|     Request latency (ns) | 2,000,000,000 | 3,000,000,000 |
| Time to first token (ns) |   100,000,000 |   150,000,000 |
| Inter token latency (ns) |    15,000,000 |    22,500,000 |
|         Num output token |           128 |           131 |
|          Num input token |           512 |           520 |
+--------------------------+---------------+---------------+
Output token throughput (per sec): 512.00
"""
GUIDELLM = """
Benchmarks Info:
======================================================================================
Metadata                                    |||| Requests Made  ||| Prompt Tok/Req    ||| Output Tok/Req    ||
    Benchmark| Start Time| End Time| Duration (s)|  Comp|  Inc|  Err|   Comp|  Inc|  Err|   Comp|  Inc|  Err
-------------|-----------|---------|-------------|------|-----|-----|-------|-----|-----|-------|-----|-----
constant@0.69|   20:12:23| 20:13:09|         46.5|    30|    0|    0|  512.3|  0.0|  0.0|  256.0|  0.0|  0.0
======================================================================================

Benchmarks Stats:
======================================================================================
Metadata     | Request Stats         || Out Tok/sec| Req Latency (ms)||| TTFT (ms)        ||| ITL (ms)        ||
    Benchmark| Per Second| Concurrency|        mean| mean| median|  p99| mean| median|   p99| mean| median|  p99
-------------|-----------|------------|------------|-----|-------|-----|-----|-------|------|-----|-------|-----
constant@0.69|       0.65|        2.93|       165.1| 4.54|   4.57| 4.58| 71.9|   73.5|  80.0| 17.5|   17.6| 17.7
======================================================================================
"""
GUIDELLM_05 = """
ℹ Run Summary Info
|============|==========|======|======|======|======|======|
| Benchmark  | Timings        || Output Tokens           ||||
| Strategy   | Start    | Dur  | Comp | Inc  | Err  | Sum  |
|            |          | Sec  | Tot  | Tot  | Tot  | Tot  |
|------------|----------|------|------|------|------|------|
| concurrent | 17:00:00 | 60.0 | 9999 | 0    | 0    | 9999 |
|============|==========|======|======|======|======|======|

ℹ Request Token Statistics (Completed Requests)
|============|=======|=======|=======|=======|=======|=======|
| Benchmark  | Input Tok    || Output Tok   || Output Tok      ||
| Strategy   | Per Req      || Per Req      || Per Stream Iter ||
|            | Mdn   | p95   | Mdn   | p95   | Mdn     | p95    |
|------------|-------|-------|-------|-------|---------|--------|
| concurrent | 546.0 | 546.0 | 256.0 | 256.0 | 1.0     | 1.1    |
|============|=======|=======|=======|=======|=======|=======|

ℹ Request Latency Statistics (Completed Requests)
|============|=========|========|========|========|=======|=======|
| Benchmark  | Request Latency || TTFT           || ITL          ||
| Strategy   | Sec             || ms             || ms           ||
|            | Mdn     | p95    | Mdn    | p95    | Mdn   | p95   |
|------------|---------|--------|--------|--------|-------|-------|
| concurrent | 20.4    | 21.8   | 1465.9 | 2797.0 | 74.3  | 76.1  |
|============|=========|========|========|========|=======|=======|

ℹ Server Throughput Statistics (All Requests)
|============|=======|======|=========|==============|===============|
| Benchmark  | Requests             ||| Input Tokens | Output Tokens |
| Strategy   | Concurrency || Per Sec | Per Sec      | Per Sec       |
|            | Mdn   | Mean | Mean                                |||
|------------|-------|------|---------|--------------|---------------|
| concurrent | 16.0  | 15.8 | 0.8     | 430.0        | 201.6         |
|============|=======|======|=========|==============|===============|
"""
# Without a stream there is no first token; the time per token is over the whole of an answer.
GUIDELLM_WHOLE = """
ℹ Request Token Statistics (Completed Requests)
|=============|=======|=======|=======|=======|
| Benchmark   | Input Tok    || Output Tok   ||
| Strategy    | Per Req      || Per Req      ||
|             | Mdn   | p95   | Mdn   | p95   |
|-------------|-------|-------|-------|-------|
| synchronous | 128.0 | 128.0 | 100.0 | 100.0 |
|=============|=======|=======|=======|=======|

ℹ Request Latency Statistics (Completed Requests)
|=============|=======|=======|=====|=====|=====|=====|======|======|
| Benchmark   | Req Latency  || TTFT     || ITL      || TPOT       ||
| Strategy    | Sec          || ms       || ms       || ms         ||
|             | Mdn   | p95   | Mdn | p95 | Mdn | p95 | Mean | p95  |
|-------------|-------|-------|-----|-----|-----|-----|------|------|
| synchronous | 2.0   | 2.1   | 0.0 | 0.0 | 0.0 | 0.0 | 20.0 | 21.0 |
|=============|=======|=======|=====|=====|=====|=====|======|======|
"""
GUIDELLM_CSV = """Run Info,Benchmark,Request Latency,Time to First Token,Inter Token Latency,Token Metrics,Token Metrics
Run ID,Strategy,Successful Sec,Successful ms,Successful ms,Successful Input Tokens,Successful Output Tokens
,,Mean,Mean,Mean,Mean,Mean
x,synchronous,2.0,95.0,15.0,512.0,128.0
"""
GUIDELLM_OLD = {
    "benchmarks": [
        {
            **{"mode": "constant", "rate": 4.0, "results": [{}] * 50, "request_latency": 2.0},
            **{"time_to_first_token": 95.0, "inter_token_latency": 15.0, "output_token_throughput": 512.0},
            **{"prompt_token": 512.0, "output_token": 128.0},
        }
    ],
    "args": {"model": "meta-llama/Llama-3.1-8B-Instruct"},
}
LLMPERF = {
    **{"model": "meta-llama/Llama-3.1-8B-Instruct", "num_concurrent_requests": 8, "mean_output_tokens": 100},
    **{"results_ttft_s_mean": 0.1, "results_ttft_s_quantiles_p99": 0.2, "results_end_to_end_latency_s_mean": 2.0},
    **{"results_inter_token_latency_s_mean": 0.02, "results_number_input_tokens_mean": "512.0"},
    **{"results_number_output_tokens_mean": "101.0", "results_mean_output_throughput_token_per_s": 400.0},
}
SGLANG_SERVER = """
batch size: 8
input_len: 1024
output_len: 256
latency: 2.20 s
input throughput: 40960.00 tok/s
output throughput: 1024.00 tok/s
"""
SGLANG_OFFLINE = """
====== Offline Throughput Benchmark Result =======
Backend:                                 engine
Successful requests:                     1000
Benchmark duration (s):                  40.00
Total input tokens:                      512000
Total generated tokens:                  128000
Output token throughput (tok/s):         3200.00
==================================================
"""
TRTLLM_OLD = """
= ENGINE DETAILS
Model:                  meta-llama/Llama-3.1-8B-Instruct
TensorRT-LLM Version:   0.12.0
Dtype:                  float16
Quantization:           NO_QUANT
= WORLD + RUNTIME INFORMATION
TP Size:                1
PP Size:                1
= STATISTICS
Number of requests:             3000
Average Input Length (tokens):  128.0
Average Output Length (tokens): 128.0
Token Throughput (tokens/sec):  12800.0
Request Throughput (req/sec):   100.0
Total Latency (seconds):        30.0
"""
OLLAMA = {
    **{
        "model": "llama3.1:8b-instruct-q4_K_M",
        "done": True,
        "prompt_eval_count": 512,
        "prompt_eval_duration": 74000000,
    },
    **{"eval_count": 128, "eval_duration": 1024000000, "total_duration": 1100000000},
}
LLAMA_BENCH = """
| model                  |       size |     params | backend | ngl | test   |             t/s |
| ---------------------- | ---------: | ---------: | ------- | --: | ------ | --------------: |
| llama 7B mostly Q4_0   |   3.56 GiB |     6.74 B | CUDA    |  99 | pp 512 |  2560.00 ± 1.00 |

build: 1d5fe1a (1500)
"""
SIZES = {"prompt_tokens": 512, "output_tokens": 128}
CLOSED = {"concurrency": 8, **SIZES}
CASES: dict[str, tuple[Any, str, Told, dict[tuple[str, str], float], dict[str, Any]]] = {
    "aiperf, printed": (
        *(AIPERF, "genai-perf", EIGHT),
        {("ttft_s", "mean"): 0.1, ("tpot_s", "p99"): 0.0225, ("e2e_s", "mean"): 2, ("throughput_tok_s", "mean"): 512},
        {**CLOSED, "num_requests": 100},
    ),
    "genai-perf, printed in nanoseconds": (
        *(GENAI_PERF, "genai-perf", EIGHT),
        {("ttft_s", "p99"): 0.15, ("tpot_s", "mean"): 0.015, ("throughput_tok_s", "mean"): 512},
        CLOSED,
    ),
    "guidellm, printed": (
        *(GUIDELLM, "guidellm", PLACE),
        {
            ("e2e_s", "mean"): 4.54,
            ("ttft_s", "p99"): 0.08,
            ("tpot_s", "p50"): 0.0176,
            ("throughput_tok_s", "mean"): 165.1,
        },
        {"request_rate": 0.69, "num_requests": 30, "prompt_tokens": 512, "output_tokens": 256},
    ),
    "guidellm 0.5, printed": (
        *(GUIDELLM_05, "guidellm", PLACE),
        {
            ("e2e_s", "p50"): 20.4,
            ("ttft_s", "p50"): 1.4659,
            ("tpot_s", "p50"): 0.0743,
            ("throughput_tok_s", "mean"): 201.6,
        },
        {"concurrency": 16, "prompt_tokens": 546, "output_tokens": 256},
    ),
    "guidellm, without a stream": (
        *(GUIDELLM_WHOLE, "guidellm", PLACE),
        {("e2e_s", "p50"): 2.0},
        {"concurrency": 1, "prompt_tokens": 128, "output_tokens": 100},
    ),
    "guidellm, CSV": (
        *(GUIDELLM_CSV, "guidellm", PLACE),
        {("ttft_s", ""): 0.095, ("tpot_s", ""): 0.015},
        {"concurrency": 1, **SIZES},
    ),
    "guidellm 0.1": (
        *(GUIDELLM_OLD, "guidellm", PLACE._replace(model=None)),
        {("ttft_s", "mean"): 0.095, ("tpot_s", "mean"): 0.015, ("e2e_s", "mean"): 2, ("throughput_tok_s", "mean"): 512},
        {"request_rate": 4.0, "num_requests": 50, **SIZES},
    ),
    "llmperf, whose time per token includes the first": (
        *(LLMPERF, "llmperf", PLACE._replace(model=None)),
        {("tpot_s", "mean"): 0.019, ("ttft_s", "p99"): 0.2, ("throughput_tok_s", "mean"): 400},
        {"concurrency": 8, "prompt_tokens": 512, "output_tokens": 101},
    ),
    "sglang bench_one_batch_server": (
        *(SGLANG_SERVER, "sglang-one-batch", PLACE),
        {("ttft_s", ""): 0.2, ("tpot_s", ""): 2 / 255},
        {"batch_size": 8, "prompt_tokens": 1024, "output_tokens": 256},
    ),
    "sglang bench_offline_throughput": (
        *(SGLANG_OFFLINE, "sglang-offline", PLACE),
        {("throughput_tok_s", "mean"): 3200},
        {"request_rate": math.inf, "num_requests": 1000, **SIZES},
    ),
    "trtllm-bench 0.12": (
        *(TRTLLM_OLD, "trtllm-bench", Told(hardware="h100-sxm-80gb")),
        {("throughput_tok_s", "mean"): 12800},
        {"request_rate": math.inf, "stack": "tensorrt-llm-0.12", "weight_dtype": "fp16", "prompt_tokens": 128},
    ),
    "ollama's API": (
        *(OLLAMA, "ollama", PLACE._replace(model=None)),
        {("prefill_s", ""): 0.074, ("tpot_s", ""): 0.008},
        {"model": "llama-3.1-8b", "weight_dtype": "q4_k_m", "activation_dtype": "fp16", **SIZES},
    ),
    "llama-bench of 2023": (
        *(LLAMA_BENCH, "llama-bench", Told(hardware="rtx-3090")),
        {("prefill_s", ""): 0.2},
        {"weight_dtype": "q4_0", "prompt_tokens": 512},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_and_read_to_its_numbers(name: str, tmp_path: Path) -> None:
    content, reader, told, metrics, facts = CASES[name]
    path = tmp_path / "a.txt"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert recognise(read_content(path)) == reader
    rows = read_rows(path, None, told)
    found = {(row.metric, row.statistic): row.value for row in rows}
    assert found.items() >= {key: pytest.approx(value) for key, value in metrics.items()}.items()
    for fact, value in facts.items():
        assert {getattr(row, fact) for row in rows} == {value}, fact


def test_a_report_in_yaml_is_the_same_as_in_json(tmp_path: Path) -> None:
    import yaml

    report = json.loads((Path(__file__).parent / "samples" / "guidellm.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(report))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(report))
    read = [read_rows(tmp_path / name, None, PLACE._replace(model="qwen2.5-7b")) for name in ("a.json", "a.yaml")]
    assert [(row.metric, row.value, row.request_rate) for row in read[0]] == [
        (row.metric, row.value, row.request_rate) for row in read[1]
    ]


@pytest.mark.parametrize("margin", ["# ", "    ", "> ", ">   # "])
def test_a_summary_may_stand_in_a_margin(margin: str, tmp_path: Path) -> None:
    plain = (Path(__file__).parent / "samples" / "vllm-serve.txt").read_text()
    path = tmp_path / "a.sh"
    path.write_text("".join(margin + line for line in plain.splitlines(keepends=True)))
    found = read_rows(path, None, PLACE)
    path.write_text(plain)
    assert found == read_rows(path, None, PLACE)
    assert found[0].request_rate == 4


def test_a_way_to_quantize_is_no_format(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    printed = (Path(__file__).parent / "samples" / "vllm-throughput.txt").read_text()
    text = f"Namespace(model='LLM', quantization='modelopt', tensor_parallel_size=1)\n{printed}"
    path.write_text(text.replace("LLM", "nvidia/Llama-3.1-8B-Instruct-FP8"))
    assert {row.weight_dtype for row in read_rows(path, None, PLACE._replace(model=None))} == {"fp8"}
    path.write_text(text.replace("LLM", "meta-llama/Llama-3.1-8B-Instruct"))
    with pytest.raises(InputError, match="says modelopt, a way to quantize, but not the format; name that with --wei"):
        read_rows(path, None, PLACE)
    assert {row.weight_dtype for row in read_rows(path, None, PLACE._replace(weight_dtype="nvfp4"))} == {"nvfp4"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\rc,d\n1,2\n", "no reader recognises it"),
        ("== Profile ==\nBenchmark duration  5.0\nTTFT      \n", "lmdeploy profile does not say how many"),
    ],
)
def test_a_file_with_odd_blanks_is_told_in_a_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    with pytest.raises(InputError, match=problem):
        read_rows(path, None, PLACE)
