"""Loads as command lines of the engines' own benchmarks, with flags that their documentation names.

- ``vllm bench serve`` (https://docs.vllm.ai/en/latest/cli/bench/serve/), a client, of any version of vLLM; lengths are
  exact at its default ``--random-range-ratio`` of 0. Of one ``--seed`` the prompts of a shorter length begin those of a
  longer one (vllm/benchmarks/datasets/random.py), so each run has a seed of its own: vLLM keeps such beginnings.
- ``python -m sglang.bench_serving`` (https://docs.sglang.io/developer_guide/bench_serving.html); lengths are exact at a
  ``--random-range-ratio`` of 1. Its warm-up sends the first prompt (python/sglang/bench_serving.py), which
  ``--flush-cache`` makes the server forget, with all of an earlier run.
- ``trtllm-bench`` (https://nvidia.github.io/TensorRT-LLM/commands/trtllm-bench.html), which starts the engine itself,
  on a data set of ``prepare_dataset.py`` (developer-guide/perf-benchmarking of the same site).
- ``llama-bench`` (https://github.com/ggml-org/llama.cpp/tree/master/tools/llama-bench): a prompt, and tokens after it.
"""

from __future__ import annotations

from collections.abc import Callable

from calibration.fit.load_design import Setting
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack_versions import name_engine

Write = Callable[[Setting, str, Deployment, str, int], list[str]]
SERVER = "http://localhost:8000"


def write_vllm(setting: Setting, model: str, deployment: Deployment, out: str, seed: int) -> list[str]:
    """One run of vLLM's client."""
    return [
        f"vllm bench serve --backend openai --base-url {SERVER} --model {model} --dataset-name random "
        f"--random-input-len {setting.prompt_tokens} --random-output-len {setting.output_tokens} "
        f"--num-prompts {setting.num_requests} --max-concurrency {setting.concurrency} --ignore-eos "
        f"--seed {seed} --save-result --result-filename {out}.json"
    ]


def write_sglang(setting: Setting, model: str, deployment: Deployment, out: str, seed: int) -> list[str]:
    """One run of SGLang's client."""
    return [
        f"python -m sglang.bench_serving --backend sglang --model {model} --dataset-name random "
        f"--random-input-len {setting.prompt_tokens} --random-output-len {setting.output_tokens} "
        f"--random-range-ratio 1 --num-prompts {setting.num_requests} --max-concurrency {setting.concurrency} "
        f"--flush-cache --output-file {out}.jsonl"
    ]


def write_tensorrt_llm(setting: Setting, model: str, deployment: Deployment, out: str, seed: int) -> list[str]:
    """A data set, outside the folder of results, and one run over it."""
    data = f"{out.rpartition('/')[2]}.txt"
    return [
        f"python benchmarks/cpp/prepare_dataset.py --stdout --tokenizer {model} token-norm-dist "
        f"--num-requests {setting.num_requests} --input-mean {setting.prompt_tokens} --input-stdev 0 "
        f"--output-mean {setting.output_tokens} --output-stdev 0 > {data}",
        f"trtllm-bench --model {model} throughput --dataset {data} --tp {deployment.tp} --pp {deployment.pp} "
        f"--concurrency {setting.concurrency} --streaming --report_json {out}.json",
    ]


def write_llama_bench(setting: Setting, model: str, deployment: Deployment, out: str, seed: int) -> list[str]:
    """A prompt into an empty cache, and tokens after one of that length."""
    prompt, output = setting.prompt_tokens, setting.output_tokens
    return [
        f"llama-bench -m {model} -p {prompt} -n 0 -o json > {out}-prompt.json",
        f"llama-bench -m {model} -p 0 -n {output} -d {prompt} -o json > {out}-tokens.json",
    ]


WRITERS: dict[str, Write] = {
    "vllm": write_vllm,
    "sglang": write_sglang,
    "tensorrt-llm": write_tensorrt_llm,
    "llama.cpp": write_llama_bench,
}


def write_commands(
    settings: list[Setting], stack: str, model: str, deployment: Deployment, folder: str
) -> list[list[str]]:
    """The command lines of each load, which leave their results in a folder; none for an engine without a benchmark."""
    write = WRITERS.get(name_engine(stack))
    if write is None:
        return [[] for _ in settings]
    return [
        write(one, model, deployment, f"{folder}/p{one.prompt_tokens}-n{one.output_tokens}-c{one.concurrency}", seed)
        for seed, one in enumerate(settings, 1)
    ]
