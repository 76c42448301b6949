"""Other people's formats -> the tidy table.

A reader is a module with ``recognise(content)`` and ``read(content, told)``, which gives the runs of a file as it
states them, or rows; ``settle.py`` fills in what the options say and asks for what nobody says. A new reader is its
file and one line here. The first that recognises a file reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from calibration.readers import (
    evalscope,
    genai_perf,
    guidellm,
    inferencex,
    llama_batched_bench,
    llama_bench,
    llama_timings,
    llmperf,
    lmdeploy,
    megatron_log,
    mlperf,
    mlx_lm,
    ollama,
    op_table,
    optimum_benchmark,
    serving_table,
    sglang_offline,
    sglang_one_batch,
    sglang_serving,
    tgi_benchmark,
    tidy,
    trtllm_bench,
    trtllm_benchmark,
    vllm_offline,
    vllm_serve,
)
from calibration.readers.content import Content
from calibration.readers.runs import Run, Told
from simulator.inputs.measurements import Measurement


class Reader(NamedTuple):
    """How the files of one tool are told and read.

    ``find_twin``: of a file, the one of the same run that says more; where that is there, a folder's reading takes it.
    """

    recognise: Callable[[Content], bool]
    read: Callable[[Content, Told], Iterable[Run | Measurement]]
    find_twin: Callable[[Path], Path | None] = lambda path: None


READERS: dict[str, Reader] = {
    "tidy": Reader(tidy.recognise, tidy.read),
    "serving-table": Reader(serving_table.recognise, serving_table.read),
    "megatron-log": Reader(megatron_log.recognise, megatron_log.read),
    "op-table": Reader(op_table.recognise, op_table.read),
    "llama-bench": Reader(llama_bench.recognise, llama_bench.read),
    "llama-batched-bench": Reader(llama_batched_bench.recognise, llama_batched_bench.read),
    "vllm-serve": Reader(vllm_serve.recognise, vllm_serve.read),
    "vllm-latency": Reader(vllm_offline.recognise_latency, vllm_offline.read_latency),
    "vllm-throughput": Reader(vllm_offline.recognise_throughput, vllm_offline.read_throughput),
    "sglang-serving": Reader(sglang_serving.recognise, sglang_serving.read),
    "sglang-offline": Reader(sglang_offline.recognise, sglang_offline.read),
    "sglang-one-batch": Reader(sglang_one_batch.recognise, sglang_one_batch.read),
    "trtllm-bench": Reader(trtllm_bench.recognise, trtllm_bench.read),
    "genai-perf": Reader(genai_perf.recognise, genai_perf.read, genai_perf.find_twin),
    "guidellm": Reader(guidellm.recognise, guidellm.read),
    "optimum-benchmark": Reader(optimum_benchmark.recognise, optimum_benchmark.read, optimum_benchmark.find_twin),
    "inferencex": Reader(inferencex.recognise, inferencex.read),
    "mlperf": Reader(mlperf.recognise, mlperf.read, mlperf.find_twin),
    "llmperf": Reader(llmperf.recognise, llmperf.read),
    "ollama": Reader(ollama.recognise, ollama.read),
    "llama-timings": Reader(llama_timings.recognise, llama_timings.read),
    "mlx-lm": Reader(mlx_lm.recognise, mlx_lm.read),
    "lmdeploy": Reader(lmdeploy.recognise, lmdeploy.read),
    "tgi-benchmark": Reader(tgi_benchmark.recognise, tgi_benchmark.read),
    "trtllm-benchmark": Reader(trtllm_benchmark.recognise, trtllm_benchmark.read),
    "evalscope": Reader(evalscope.recognise, evalscope.read),
}
SAME_AS = {"aiperf": "genai-perf"}  # other names of tools
