"""Whole decoders: time to first token and time per output token, of models to fit and of models to check the fit on.

The models are shipped architectures with random weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite
from calibration.measure.benchmarks.torch_model import Decoder, count_pool
from simulator.inputs.formats import element_bytes
from simulator.inputs.library import load_model

QUICK_OUTPUT, FULL_OUTPUT = 5, 33  # output tokens; one fewer are timed


class Run(NamedTuple):
    """One request on one model."""

    model: str
    dtype: str
    batch_size: int
    prompt_tokens: int


# The requests of the quick suite. Models to fit and models to check on differ.
CPU_FIT = [
    Run("llama-68m", "fp32", 1, 64),
    Run("llama-68m", "fp32", 8, 32),
    Run("llama-68m", "bf16", 4, 32),
    Run("llama-68m", "bf16", 1, 256),
    Run("distilgpt2", "fp32", 1, 32),
    Run("distilgpt2", "fp32", 4, 64),
    Run("distilgpt2", "bf16", 1, 128),
    Run("distilgpt2", "bf16", 8, 64),
]
CPU_CHECK = [
    Run("pythia-31m", "fp32", 8, 32),
    Run("pythia-31m", "bf16", 1, 128),
    Run("pythia-70m", "fp32", 2, 128),
    Run("pythia-70m", "bf16", 1, 512),
    Run("gpt2-124m", "fp32", 1, 128),
    Run("gpt2-124m", "bf16", 4, 64),
    Run("smollm-135m", "fp32", 2, 16),
    Run("smollm-135m", "bf16", 1, 128),
    Run("pythia-160m", "fp32", 1, 32),
    Run("pythia-160m", "bf16", 8, 16),
    Run("llama-160m", "fp32", 4, 32),
    Run("llama-160m", "bf16", 8, 64),
    Run("gpt2-medium", "fp32", 1, 64),
]
CUDA_FIT = [
    Run("llama-3.2-1b", "bf16", 1, 512),
    Run("llama-3.2-1b", "bf16", 16, 512),
    Run("gpt2-124m", "bf16", 1, 128),
]
CUDA_CHECK = [
    Run("pythia-1.4b", "bf16", 1, 512),
    Run("pythia-1.4b", "bf16", 8, 256),
    Run("qwen2.5-1.5b", "bf16", 4, 128),
    Run("pythia-2.8b", "bf16", 1, 1024),
    Run("pythia-2.8b", "bf16", 8, 512),
    Run("llama-3.2-3b", "bf16", 1, 1024),
    Run("llama-3.2-3b", "bf16", 32, 256),
    Run("opt-6.7b", "bf16", 1, 512),
    Run("llama-3.1-8b", "bf16", 1, 2048),
    Run("llama-3.1-8b", "bf16", 64, 128),
]
# The full suite runs every model of a list in every type at these batch sizes and prompts.
FULL_GRIDS = {"cpu": ((1, 4, 8), (16, 64, 128, 512)), "cuda": ((1, 8, 64), (128, 1024, 8192))}
MOST_TOKENS = 65536  # of a prompt's batch


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Both times of every request whose type is asked for."""
    fit, check = (CPU_FIT, CPU_CHECK) if device_kind == "cpu" else (CUDA_FIT, CUDA_CHECK)
    output_tokens = QUICK_OUTPUT if suite == "quick" else FULL_OUTPUT
    cases = []
    for kind, runs in (("decoder", fit), ("check", check)):
        chosen = runs if suite == "quick" else spread_runs(runs, dtypes, device_kind)
        for run in chosen:
            if run.dtype in dtypes:
                cases += [prefill_case(kind, run), decode_case(kind, run, output_tokens)]
    return cases


def spread_runs(runs: list[Run], dtypes: list[str], device_kind: str) -> list[Run]:
    """The requests of the full suite, as far as a model has positions for them."""
    models = dict.fromkeys(run.model for run in runs)
    spread = (Run(*one) for one in itertools.product(models, dtypes, *FULL_GRIDS[device_kind]))
    return [run for run in spread if fits_model(run)]


def fits_model(run: Run) -> bool:
    """Whether the model has positions for the request, and its prompts are not too many at once."""
    longest = load_model(run.model).architecture.max_position_embeddings
    return run.prompt_tokens + FULL_OUTPUT <= longest and run.batch_size * run.prompt_tokens <= MOST_TOKENS


def prefill_case(kind: str, run: Run) -> Case:
    """Time to first token: the whole prompt."""

    def prepare(bench: Bench) -> Callable[[], object]:
        decoder = build(run, bench, run.prompt_tokens)
        tokens = draw_tokens(decoder, bench, run.batch_size, run.prompt_tokens)
        return lambda: decoder.prefill(tokens)

    return decoder_case(kind, run, 1, prepare)


def decode_case(kind: str, run: Run, output_tokens: int) -> Case:
    """Time per output token: a generation after its first token, the host not waiting between tokens."""

    def prepare(bench: Bench) -> Callable[[], object]:
        decoder = build(run, bench, run.prompt_tokens + output_tokens)
        first = draw_tokens(decoder, bench, run.batch_size, 1)[:, 0]

        def generate() -> None:
            tokens = first
            for position in range(run.prompt_tokens, run.prompt_tokens + output_tokens - 1):
                tokens = decoder.decode_step(tokens, position)

        return generate

    return decoder_case(kind, run, output_tokens, prepare)


def decoder_case(kind: str, run: Run, output_tokens: int, prepare: Callable[[Bench], Callable[[], object]]) -> Case:
    """A case of one whole model."""
    return Case(
        kind,
        "",
        run.dtype,
        "ttft_s" if output_tokens == 1 else "tpot_s",
        prepare,
        count_bytes(run, output_tokens),
        held_out=kind == "check",
        timed="pass",
        calls=max(output_tokens - 1, 1),
        model=run.model,
        batch_size=run.batch_size,
        prompt_tokens=run.prompt_tokens,
        output_tokens=output_tokens,
    )


def count_bytes(run: Run, output_tokens: int) -> float:
    """Bytes of the weights, the cache and the widest activations of a request."""
    a = load_model(run.model).architecture
    tokens = run.batch_size * (run.prompt_tokens + output_tokens)
    cache = 2 * a.num_hidden_layers * a.kv_width * tokens
    activations = tokens * (8 * a.hidden_size + 4 * a.intermediate_size) + 2 * run.batch_size * a.vocab_size
    return float(element_bytes(run.dtype) * (count_pool(a) + cache + activations))


def build(run: Run, bench: Bench, max_tokens: int) -> Decoder:
    """The model in the bench's memory."""
    architecture = load_model(run.model).architecture
    return Decoder(architecture, run.dtype, bench.device, run.batch_size, max_tokens, bench.pool(run.dtype))


def draw_tokens(decoder: Decoder, bench: Bench, batch_size: int, count: int) -> torch.Tensor:
    """Random tokens (batch, count)."""
    generator = torch.Generator().manual_seed(0)
    highest = decoder.architecture.vocab_size
    return torch.randint(0, highest, (batch_size, count), generator=generator).to(bench.device)
