"""What people have at hand is read to its numbers: pasted logs, prints, and what tools keep beside their results.

The shapes are those of real outputs, the numbers made up.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from calibration.readers.rows import check_reader, read_file, read_rows
from calibration.readers.runs import Told
from simulator.errors import InputError

PLACE = Told(model="llama-3.1-8b", hardware="h100-sxm-80gb", stack="vllm-0.10")
NAMELESS = PLACE._replace(model=None)
GPU = Told(hardware="rtx-4090", stack="llama.cpp-2025")

BENCH_LOG = """
> ggml_cuda_init: found 2 CUDA devices:
>   Device 0: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes
>   Device 1: NVIDIA GeForce RTX 3090, compute capability 8.6, VMM: yes
> | model                  |     size |  params | backend | ngl | sm  |   test |            t/s |
> | ---------------------- | -------: | ------: | ------- | --: | --- | -----: | -------------: |
> | llama 8B Q4_K - Medium | 4.58 GiB |  8.03 B | CUDA    |  99 | row |  pp512 | 2560.00 ± 1.00 |
>
> build: abc1234 (5300)

ggml_vulkan: Found 1 Vulkan devices:
ggml_vulkan: 0 = Radeon 8060S Graphics (RADV STRIX_HALO) (radv) | uma: 1 | fp16: 1
| model                  |      size |   params | backend | ngl | fa |            test |          t/s |
| ---------------------- | --------: | -------: | ------- | --: | -: | --------------: | -----------: |
| gpt-oss 20B MXFP4 MoE  | 11.27 GiB |  20.91 B | Vulkan  |  99 |  1 |           tg100 | 50.00 ± 0.10 |
| gpt-oss 20B MXFP4 MoE  | 11.27 GiB |  20.91 B | Vulkan  |  99 |  1 |  pp512 @ d4096  | 90.00 ± 0.10 |
| gpt-oss 20B MXFP4 MoE  | 11.27 GiB |  20.91 B | Vulkan  |  10 |  1 |           tg100 | 10.00 ± 0.10 |
| unheard 14B Q8_0       | 14.00 GiB |  13.51 B | Vulkan  |  99 |  1 |           tg100 | 10.00 ± 0.10 |

build: def5678 (6800)
"""
SWEEP = """
|    PP |     TG |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |
|-------|--------|--------|----------|----------|----------|----------|
|   512 |    128 |      0 |    0.100 |  5120.00 |    1.280 |   100.00 |
|   512 |    128 |    512 |    0.110 |  4654.55 |    1.536 |    83.33 |
"""
SHARED = """
|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |
|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|
|   512 |    128 |    4 |   1024 |    0.100 |  5120.00 |    1.280 |   400.00 |    1.380 |   742.03 |
"""
ASKED = "Namespace(subparser='bench', dispatch_function=<function run at 0x7f>, model='Qwen/Qwen3-8B', {}, seed=0)"
SERVE = """
============ Serving Benchmark Result ============
Successful requests:                     100
Benchmark duration (s):                  20.00
Total input tokens:                      51200
Total generated tokens:                  12800
Output token throughput (tok/s):         640.00
{}---------------Time to First Token----------------
Mean TTFT (ms):                          100.00
-----Time per Output Token (excl. 1st token)------
Mean TPOT (ms):                          12.50
==================================================
"""
JETSTREAM = """
Successful requests: 100
Benchmark duration: 20.000000 s
Total input tokens: 51200
Total generated tokens: 12800
Output token throughput: 640.00 tokens/s
Mean TTFT: 100.00 ms
Mean TPOT: 12.50 ms
"""
SGLANG = {
    **{"request_rate": math.inf, "max_concurrency": 8, "completed": 100, "duration": 20.0, "random_range_ratio": 1.0},
    **{"total_input_tokens": 51200, "total_output_tokens": 12800, "total_output_tokens_retokenized": 12790},
    **{"output_throughput": 640.0, "mean_e2e_latency_ms": 2000.0, "mean_ttft_ms": 100.0, "mean_tpot_ms": 15.0},
}
SERVED = {"batch_size": 8, "input_len": 1024, "output_len": 257, "latency": 2.2, "last_ttft": 0.15}
WARM = """
======== Warmup Begin ========
batch size: 8
input_len: 1024
output_len: 16
latency: 9.00 s
input throughput: 1000.00 tok/s
output throughput: 100.00 tok/s
======== Warmup End   ========
batch size: 8
input_len: 1024
output_len: 257
latency: 2.20 s
input throughput: 40960.00 tok/s
output throughput: 1028.00 tok/s
last_ttft: 0.20 s
"""
LMDEPLOY = """
--------------------------------------------------
concurrency: 64
elapsed_time: 50.000s

first token latency(s)(min, max, ave): 0.100, 2.000, 0.400
per-token latency(s) percentile(50, 75, 95, 99): [0, 0.01, 0.02, 0.03]

number of prompt tokens: 102400
number of completion tokens: 51200
token throughput (completion token): 1024.000 token/s
token throughput (prompt + completion token): 3072.000 token/s
RPS (request per second): 4.000 req/s
--------------------------------------------------
"""
LMDEPLOY_TABLE = """
====================== Profile Throughput ======================
Benchmark duration                          50.000
Total requests                                 210
Successful requests                            200
Concurrency                                     64
Total input tokens                          102400
Total generated tokens                       51200
Output throughput (tok/s)                 1024.000
----------------------------------------------------------------
                                              mean       P50       P99
End-to-end Latency                           4.000     3.900     5.000
Time to First Token (TTFT)                   0.400     0.300     0.900
Time per Output Token (TPOT)                 0.014     0.013     0.016
================================================================
"""
TGI = """
| Parameter          | Value                                |
|--------------------|--------------------------------------|
| Model              | meta-llama/Meta-Llama-3-70B-Instruct |
| Sequence Length    | 1024                                 |
| Decode Length      | 8                                    |

| Step           | Batch Size | Average   | Lowest    | Highest   | p50       | p90       | p99       |
|----------------|------------|-----------|-----------|-----------|-----------|-----------|-----------|
| Prefill        | 4          | 200.00 ms | 190.00 ms | 210.00 ms | 200.00 ms | 210.00 ms | 210.00 ms |
| Decode (token) | 4          | NaN ms    | 19.00 ms  | 21.00 ms  | 20.00 ms  | 21.00 ms  | 21.00 ms  |
| Decode (total) | 4          | 140.00 ms | 133.00 ms | 147.00 ms | 140.00 ms | 147.00 ms | 147.00 ms |

| Step    | Batch Size | Average           | Lowest            | Highest           |
|---------|------------|-------------------|-------------------|-------------------|
| Prefill | 4          | 20.00 tokens/secs | 19.00 tokens/secs | 21.00 tokens/secs |
"""
MLX = """
Timing with prompt_tokens=512, generation_tokens=128, batch_size=4.
Trial 1:  prompt_tps=2000.000, generation_tps=90.000, peak_memory=1.603, total_time=3.236
Averages: prompt_tps=2048.000, generation_tps=100.000, peak_memory=1.604
"""
MLX_ONE = "Prompt: 512 tokens, 2048.000 tokens-per-sec\nGeneration: 128 tokens, 25.000 tokens-per-sec\n"
LLAMA_CLI = """
ggml_cuda_init: found 1 CUDA devices:
  Device 0: NVIDIA GeForce RTX 4090, compute capability 8.9, VMM: yes
build: 5300 (abc1234) with cc (Ubuntu) for x86_64-linux-gnu
print_info: file type   = Q4_K - Medium
print_info: model params     = 8.03 B
print_info: general.name     = Meta Llama 3.1 8B Instruct
load_tensors: offloaded 33/33 layers to GPU
llama_perf_context_print:        load time =     618.92 ms
llama_perf_context_print: prompt eval time =      80.00 ms /   512 tokens (    0.16 ms per token,  6400.00 tokens/s)
llama_perf_context_print:        eval time =    1000.00 ms /   100 runs   (   10.00 ms per token,   100.00 tokens/s)
llama_perf_context_print:       total time =    1090.00 ms /   612 tokens
"""
ANSWER = {
    "model": "llama-3.1-8b-instruct-q4_k_m.gguf",
    "timings": {"cache_n": 0, "prompt_n": 512, "prompt_ms": 80.0, "predicted_n": 100, "predicted_ms": 1000.0},
}
TRTLLM = (
    "[BENCHMARK] model_name llama_13b world_size 2 precision float16 batch_size 4 input_length 512 output_length 101 "
    "latency(ms) 2100.0 quantization QuantMode.0 generation_time(ms) 2000.0 tokens_per_sec 192.4\n"
)
EVALSCOPE = """
+-----------------------------------+------------+
| Key                               |   Value    |
+===================================+============+
| Number of concurrency             |    8       |
+-----------------------------------+------------+
| Request rate (req/s)              |   -1       |
+-----------------------------------+------------+
| Succeed requests                  |  100       |
+-----------------------------------+------------+
| Output token throughput (tok/s)   |  640.0     |
+-----------------------------------+------------+
| Average latency (s)               |    2.0     |
+-----------------------------------+------------+
| Average time to first token (s)   |    0.1     |
+-----------------------------------+------------+
| Average time per output token (s) |    0.015   |
+-----------------------------------+------------+
| Average input tokens per request  |  512.0     |
+-----------------------------------+------------+
| Average output tokens per request |  128.0     |
+-----------------------------------+------------+
Percentile results:
+-------------+----------+---------+----------+-------------+
| Percentiles | TTFT (s) | ITL (s) | TPOT (s) | Latency (s) |
+-------------+----------+---------+----------+-------------+
|     50%     |   0.08   |  0.014  |  0.014   |     1.9     |
|     99%     |   0.30   |  0.030  |  0.020   |     3.0     |
+-------------+----------+---------+----------+-------------+
"""
MLPERF = [
    *(("effective_scenario", "Server"), ("effective_test_mode", "PerformanceOnly"), ("effective_target_qps", 5.0)),
    *(("result_validity", "VALID"), ("result_scheduled_samples_per_sec", 5.0)),
    *(("result_completed_samples_per_sec", 4.0), ("result_token_throughput_with_loadgen_overhead", 640.0)),
    *(("result_mean_latency_ns", 2_000_000_000), ("result_first_token_mean_latency_ns", 100_000_000)),
    *(
        ("result_time_to_output_token_mean", 15_000_000),
        ("result_first_token_99.00_percentile_latency_ns", 300_000_000),
    ),
]
DETAIL = "".join(f":::MLLOG {json.dumps({'key': key, 'value': value, 'time_ms': 0.1})}\n" for key, value in MLPERF)


def make_record(name: str, values: list[float], rest: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """A metric as vLLM writes it for PyTorch's benchmarks."""
    return {
        "benchmark": {"name": "vLLM benchmark", "extra_info": {"args": asked}},
        "model": {"name": asked["model"]},
        "metric": {"name": name, "benchmark_values": values, "extra_info": rest},
    }


QWEN = {"model": "Qwen/Qwen3-8B", "tensor_parallel_size": 2, "input_len": 32, "output_len": 128, "batch_size": 8}
RECORDS = [make_record("latency", [1.0, 1.2, 0.8], {"avg_latency": 1.0, "percentiles": {"50": 1.0}}, QWEN)]
REST = {
    **{"model_id": "Qwen/Qwen3-8B", "request_rate": "inf", "max_concurrency": 8, "completed": 100, "duration": 20.0},
    **{"total_input_tokens": 51200, "total_output_tokens": 12800, "output_throughput": 640.0},
}
SERVE_RECORDS = [
    make_record(name, [value], REST, QWEN) for name, value in (("mean_ttft_ms", 100), ("mean_tpot_ms", 12.5))
]

LENGTHS = {"prompt_tokens": 512, "output_tokens": 128}
FIRST = {("ttft_s", "mean"): 0.1, ("tpot_s", "mean"): 0.0125, ("throughput_tok_s", "mean"): 640}
# Content, reader, options, values by metric and statistic, and what all rows say.
CASES: dict[str, tuple[Any, str, Told, dict[tuple[str, str], float], dict[str, Any]]] = {
    "a batched table whose prompt was shared": (
        *(SHARED, "llama-batched-bench", GPU._replace(model="llama-3-8b")),
        {("prefill_s", ""): 0.1, ("tpot_s", ""): 0.01},
        {"prompt_tokens": 512},
    ),
    "vllm: the arguments before the summary": (
        *(ASKED.format("max_concurrency=None, request_rate=4.0") + SERVE.format(""), "vllm-serve", NAMELESS),
        FIRST,
        {"model": "qwen3-8b", "request_rate": 4.0, "concurrency": None, **LENGTHS},
    ),
    "vllm: no limit and no rate in a summary that would have them": (
        *(SERVE.format("Peak concurrent requests:                26.00\n"), "vllm-serve", PLACE),
        FIRST,
        {"request_rate": math.inf, "concurrency": None},
    ),
    "jetstream": (JETSTREAM, "vllm-serve", PLACE._replace(concurrency=8), FIRST, {"concurrency": 8, **LENGTHS}),
    "vllm serve for pytorch": (
        *(SERVE_RECORDS, "vllm-serve", NAMELESS),
        FIRST,
        {"model": "qwen3-8b", "tp": 2, "concurrency": 8},
    ),
    "vllm latency for pytorch": (
        *(RECORDS, "vllm-latency", NAMELESS),
        {("e2e_s", ""): 1.0},
        {"model": "qwen3-8b", "tp": 2, "batch_size": 8, "prompt_tokens": 32, "output_tokens": 128},
    ),
    "vllm latency with its arguments": (
        *(ASKED.format("input_len=32, output_len=128, batch_size=8") + "\nAvg latency: 1.5 seconds\n", "vllm-latency"),
        *(NAMELESS, {("e2e_s", ""): 1.5}),
        {"model": "qwen3-8b", "batch_size": 8, "prompt_tokens": 32, "output_tokens": 128},
    ),
    "a log with results in lines of JSON": (
        *(f"max_prefill:8192\n{json.dumps(SGLANG)}\n\nmax_prefill:4096\n", "sglang-serving", PLACE),
        {("ttft_s", "mean"): 0.1, ("tpot_s", "mean"): 0.015, ("e2e_s", "mean"): 2},
        {"concurrency": 8, **LENGTHS},
    ),
    "no stream, no first token": (
        *({**SGLANG, "mean_ttft_ms": 0.0}, "sglang-serving", PLACE),
        {("e2e_s", "mean"): 2, ("throughput_tok_s", "mean"): 640},
        {},
    ),
    "one batch through a server, rates over its parts": (
        *({**SERVED, "input_throughput": 40960.0, "output_throughput": 1028.0}, "sglang-one-batch", PLACE),
        {("ttft_s", ""): 0.2, ("tpot_s", ""): 2 / 256},
        {"batch_size": 8},
    ),
    "one batch through a server, rates over the whole": (
        *({**SERVED, "input_throughput": 8 * 1024 / 2.2, "output_throughput": 934.5}, "sglang-one-batch", PLACE),
        {("ttft_s", ""): 0.15, ("tpot_s", ""): 2.05 / 256},
        {},
    ),
    "the batch that warms up is none": (
        *(WARM, "sglang-one-batch", PLACE),
        {("ttft_s", ""): 0.2, ("tpot_s", ""): 2 / 256},
        {"output_tokens": 257},
    ),
    "lmdeploy": (
        *(LMDEPLOY, "lmdeploy", PLACE),
        {("ttft_s", "mean"): 0.4, ("throughput_tok_s", "mean"): 1024},
        {"concurrency": 64, "num_requests": 200, "prompt_tokens": 512, "output_tokens": 256},
    ),
    "lmdeploy's table": (
        *(LMDEPLOY_TABLE, "lmdeploy", PLACE),
        {("ttft_s", "mean"): 0.4, ("tpot_s", "p50"): 0.013, ("e2e_s", "p99"): 5, ("throughput_tok_s", "mean"): 1024},
        {"concurrency": 64, "num_requests": 200, "prompt_tokens": 512, "output_tokens": 256},
    ),
    "text-generation-benchmark": (
        *(TGI, "tgi-benchmark", NAMELESS),
        {("prefill_s", ""): 0.2, ("tpot_s", "p50"): 0.02},
        {"model": "llama-3-70b", "batch_size": 4, "prompt_tokens": 1024, "output_tokens": 8},
    ),
    "mlx-lm": (MLX, "mlx-lm", PLACE, {("prefill_s", ""): 1, ("tpot_s", ""): 0.04}, {"batch_size": 4, **LENGTHS}),
    "mlx-lm, one request": (
        *(MLX_ONE, "mlx-lm", PLACE),
        {("prefill_s", ""): 0.25, ("tpot_s", ""): 0.04},
        {"batch_size": 1, **LENGTHS},
    ),
    "llama-cli with its log": (
        *(LLAMA_CLI, "llama-timings", Told()),
        {("prefill_s", ""): 0.08, ("tpot_s", ""): 0.01},
        {"model": "llama-3.1-8b", "hardware": "rtx-4090", "weight_dtype": "q4_k_m", "prompt_tokens": 512},
    ),
    "llama-server's answer": (
        *(ANSWER, "llama-timings", GPU),
        {("prefill_s", ""): 0.08, ("tpot_s", ""): 0.01},
        {"model": "llama-3.1-8b", "weight_dtype": "q4_k_m", "output_tokens": 100},
    ),
    "tensorrt-llm's first benchmark": (
        *(TRTLLM, "trtllm-benchmark", Told(hardware="h100-sxm-80gb", stack="tensorrt-llm-0.12")),
        {("ttft_s", ""): 0.1, ("tpot_s", ""): 0.02},
        {"model": "llama-13b", "tp": 2, "batch_size": 4, "prompt_tokens": 512, "output_tokens": 101},
    ),
    "evalscope": (
        *(EVALSCOPE, "evalscope", PLACE),
        {("ttft_s", "mean"): 0.1, ("tpot_s", "p50"): 0.014, ("e2e_s", "p99"): 3, ("throughput_tok_s", "mean"): 640},
        {"concurrency": 8, "request_rate": None, "num_requests": 100, **LENGTHS},
    ),
    "mlperf's detailed log": (
        *(DETAIL, "mlperf", PLACE._replace(prompt_tokens=512)),
        {("ttft_s", "mean"): 0.1, ("ttft_s", "p99"): 0.3, ("tpot_s", "mean"): 0.015, ("throughput_tok_s", "mean"): 512},
        {"request_rate": 5.0, **LENGTHS},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_and_read_to_its_numbers(name: str, tmp_path: Path) -> None:
    content, reader, told, metrics, facts = CASES[name]
    path = tmp_path / "a.txt"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    assert check_reader(read_file(path), None) == reader
    rows = read_rows(path, None, told)
    found = {(row.metric, row.statistic): row.value for row in rows}
    assert found.items() >= {key: pytest.approx(value) for key, value in metrics.items()}.items()
    assert {name for name, _ in found} - {name for name, _ in metrics} <= {"throughput_tok_s", "e2e_s"}
    for fact, value in facts.items():
        assert {getattr(row, fact) for row in rows} == {value}, fact


def test_a_pasted_log_has_the_devices_builds_and_columns_of_each_table(tmp_path: Path) -> None:
    """And leaves out a test over a full cache, one of which some layers were elsewhere, and a model that is none."""
    path = tmp_path / "issue.md"
    path.write_text(BENCH_LOG)
    notes: list[str] = []
    rows = read_rows(path, None, Told(), notes.append)
    assert [(row.model, row.hardware, row.tp, row.pp, row.metric, row.weight_dtype) for row in rows] == [
        ("llama-3-8b", "rtx-3090", 2, 1, "prefill_s", "q4_k_m"),
        ("gpt-oss-20b", "ryzen-ai-max-395-128gb", 1, 1, "tpot_s", "mxfp4"),
    ]
    assert [row.value for row in rows] == pytest.approx([0.2, 0.02])
    assert {note.partition(" left out: ")[2].partition(" (")[0] for note in notes if "left out" in note} == {
        "a prefill over a cache that is not empty",
        "not all layers on the device",
        "model",
    }


def test_a_sweep_decodes_after_what_was_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "sweep.txt"
    path.write_text(SWEEP)
    rows = read_rows(path, None, GPU._replace(model="llama-3-8b"))
    assert [(row.metric, row.prompt_tokens, row.output_tokens) for row in rows] == [
        ("prefill_s", 512, 0),
        ("tpot_s", 0, 128),
        ("tpot_s", 512, 128),
    ]
    assert [row.value for row in rows] == pytest.approx([0.1, 0.01, 0.012])


def test_of_several_models_one_that_is_asked_for_takes_no_other_s_rows(tmp_path: Path) -> None:
    path = tmp_path / "issue.md"
    path.write_text(BENCH_LOG)
    rows = read_rows(path, None, Told(model="llama-3.1-8b"))
    assert [(row.model, row.hardware) for row in rows] == [("llama-3.1-8b", "rtx-3090")]


@pytest.mark.parametrize(
    "change",
    [
        {"n_cpu_moe": 12},
        {"no_kv_offload": True},
        {"tensor_buft_overrides": "exps=CPU"},
        {"n_gpu_layers": 20},
        {"n_gpu_layers": 0},
    ],
)
def test_a_test_that_ran_in_the_host_s_memory_measures_no_device(change: dict[str, Any], tmp_path: Path) -> None:
    row = json.loads((Path(__file__).parent / "samples" / "llama-bench.json").read_text())[0]
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row | change]))
    with pytest.raises(InputError, match="1 run is left out"):
        read_rows(path, None, Told())


@pytest.mark.parametrize(
    ("change", "layout"),
    [
        ({"split_mode": "none"}, (1, 1)),
        ({"split_mode": "row"}, (2, 1)),
        ({"devices": "CUDA1"}, (1, 1)),
        ({"devices": "CUDA0/CUDA1"}, (1, 2)),
    ],
)
def test_a_machine_of_two_devices_may_use_one(change: dict[str, Any], layout: tuple[int, int], tmp_path: Path) -> None:
    row = json.loads((Path(__file__).parent / "samples" / "llama-bench.json").read_text())[0]
    two = {"gpu_info": "NVIDIA GeForce RTX 4090, NVIDIA GeForce RTX 4090"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row | two | change]))
    (found,) = read_rows(path, None, Told())
    assert (found.tp, found.pp) == layout
