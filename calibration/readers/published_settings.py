"""What the scripts of published runs told their engines, which the tables of their results leave out.

SemiAnalysis InferenceX (https://github.com/SemiAnalysisAI/InferenceX, ``benchmarks/*_slurm.sh`` and ``*_docker.sh``):
vLLM gets passes of 8192 tokens and as many sequences as are in flight; Llama 3.1 70B has a cache in FP8. TensorRT-LLM
gets passes of 16384 tokens for Llama and of 20000 for gpt-oss, and for Llama's runs of 1024 and 1024 tokens on fewer
than eight devices holds prompts back for 20 passes; the images of the autumn of 2025 were of version 1.1. Runs of Llama
by vLLM on H100 are taken with a cache of 16 bits although the script says FP8: of requests that would all have had room
in FP8 half queued, and each read twice the bytes (seen in the rows, not stated).

NVIDIA's sweeps (https://github.com/ai-dynamo/aiconfigurator, ``generator/rule_plugin/benchmark/trtllm.rule``): the
budget of TensorRT-LLM's passes is made of one prompt, the sequences and some more, so that a pass reads one prompt;
10 requests for each in flight, all of the nominal lengths (``eval/benchmarks/genai_perf_runner.py``).
"""

from __future__ import annotations

from dataclasses import replace

from calibration.readers.runs import Run
from simulator.inputs.stack_versions import parse_stack

BUDGETS = {"vllm": 8192, "tensorrt-llm": 16384}
GPT_OSS_BUDGET = 20000  # of TensorRT-LLM
SWEEP_SEQUENCES = 128
WAIT_PASSES, WAIT_TOKENS, ALL_DEVICES = 20, 1024, 8
VERSION = "tensorrt-llm-1.1"


def add_inferencex(run: Run) -> Run:
    """A run of InferenceX with what its script told the engine."""
    engine, llama = find_engine(run), run.weight_dtype == "fp8"
    budget = BUDGETS.get(engine)
    if engine == "tensorrt-llm":
        short = run.prompt_tokens == run.output_tokens == WAIT_TOKENS
        waits = llama and short and run.tp is not None and run.tp < ALL_DEVICES
        budget = budget if llama else GPT_OSS_BUDGET
        stack = run.stack if run.stack and parse_stack(run.stack) else VERSION
        run = replace(run, stack=stack, batch_wait_passes=WAIT_PASSES if waits else None)
    if engine == "vllm":
        run = replace(run, max_num_seqs=run.concurrency)
    if llama and run.kv_dtype is None:
        wide = engine == "vllm" and (run.hardware or "").startswith("h100")
        run = replace(run, kv_dtype="bf16" if wide else "fp8")
    return replace(run, max_num_batched_tokens=budget)


def add_sweep(run: Run) -> Run:
    """A run of NVIDIA's sweeps with what its generator told the engine."""
    if find_engine(run) != "tensorrt-llm":
        return run
    if run.weight_dtype == "fp8" and run.kv_dtype is None:  # as NVIDIA's checkpoints in FP8 say
        run = replace(run, kv_dtype="fp8")
    sequences = max(run.concurrency or 0, SWEEP_SEQUENCES)
    return replace(run, max_num_batched_tokens=round(run.prompt_tokens or 0) + sequences)


def find_engine(run: Run) -> str:
    """The engine's name without its version."""
    return next((name for name in BUDGETS if (run.stack or "").startswith(name)), "")
