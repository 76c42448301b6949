"""What the scripts of published runs told their engines, which the tables of their results leave out.

SemiAnalysis InferenceX (https://github.com/SemiAnalysisAI/InferenceX, ``benchmarks/*_slurm.sh`` and ``*_docker.sh``):
vLLM gets passes of 8192 tokens and as many sequences as are in flight; Llama 3.1 70B has a cache in FP8. TensorRT-LLM
gets passes of 16384 tokens for Llama and of 20000 for gpt-oss, and for Llama's runs of 1024 and 1024 tokens on fewer
than eight devices holds prompts back for 20 passes. Its runs of Llama by vLLM on H100 are the exception: with a cache
in FP8 they would have had twice the room in which they queued, and read half the bytes (seen in the rows, not stated).

NVIDIA's sweeps (https://github.com/ai-dynamo/aiconfigurator, ``generator/rule_plugin/benchmark/trtllm.rule``): the
budget of TensorRT-LLM's passes is made of one prompt, the sequences and some more, so that a pass reads one prompt;
10 requests for each in flight, all of the nominal lengths (``eval/benchmarks/genai_perf_runner.py``).
"""

from __future__ import annotations

from dataclasses import replace

from calibration.readers.runs import Run

BUDGETS = {"vllm": 8192, "tensorrt-llm": 16384}
GPT_OSS_BUDGET = 20000  # of TensorRT-LLM
WAIT_PASSES, WAIT_TOKENS, ALL_DEVICES = 20, 1024, 8


def add_inferencex(run: Run) -> Run:
    """A run of InferenceX with what its script told the engine."""
    engine, llama = find_engine(run), run.weight_dtype == "fp8"
    budget = BUDGETS.get(engine)
    if engine == "tensorrt-llm":
        short = run.prompt_tokens == run.output_tokens == WAIT_TOKENS
        waits = llama and short and run.tp is not None and run.tp < ALL_DEVICES
        budget = budget if llama else GPT_OSS_BUDGET
        run = replace(run, batch_wait_passes=WAIT_PASSES if waits else None)
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
    return replace(run, max_num_batched_tokens=round(run.prompt_tokens or 0) + (run.concurrency or 0))


def find_engine(run: Run) -> str:
    """The engine's name without its version."""
    return next((name for name in BUDGETS if (run.stack or "").startswith(name)), "")
