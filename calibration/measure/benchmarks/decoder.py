"""Whole decoders: time to first token and time per output token, of models to fit and of models to check the fit on.

The models are shipped architectures with random weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch

from calibration.measure.benchmarks.bench import Bench, Case, Suite
from calibration.measure.benchmarks.torch_model import Decoder, count_pool
from calibration.measure.stopwatch import capture_graphs
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
# On a GPU all are in the one type that is measured there.
CUDA_FIT = [
    Run("llama-3.2-1b", "", 1, 512),
    Run("llama-3.2-1b", "", 16, 512),
    Run("gpt2-124m", "", 1, 128),
]
CUDA_CHECK = [
    Run("pythia-1.4b", "", 1, 512),
    Run("pythia-1.4b", "", 8, 256),
    Run("qwen2.5-1.5b", "", 4, 128),
    Run("pythia-2.8b", "", 1, 1024),
    Run("pythia-2.8b", "", 8, 512),
    Run("llama-3.2-3b", "", 1, 1024),
    Run("llama-3.2-3b", "", 32, 256),
    Run("opt-6.7b", "", 1, 512),
    Run("llama-3.1-8b", "", 1, 2048),
    Run("llama-3.1-8b", "", 64, 128),
]
# More to check on, of the quick suite, for cards that have no room for most of these.
SMALL_CHECK = [
    Run("pythia-410m", "", 1, 512),
    Run("pythia-410m", "", 8, 256),
    Run("qwen2.5-0.5b", "", 4, 128),
    Run("smollm2-360m", "", 1, 256),
    Run("smollm2-360m", "", 16, 128),
]
# The full suite runs every model of a list in every type at these batch sizes and prompts.
FULL_GRIDS = {"cpu": ((1, 4, 8), (16, 64, 128, 512)), "cuda": ((1, 8, 64), (128, 1024, 8192))}
MOST_TOKENS = 65536  # of a prompt's batch


def list_cases(suite: Suite, dtypes: list[str], device_kind: str) -> list[Case]:
    """Both times of every request whose type is asked for."""
    fit, check = (CPU_FIT, CPU_CHECK) if device_kind == "cpu" else (CUDA_FIT, CUDA_CHECK)
    if device_kind == "cuda":
        fit, check = ([run._replace(dtype=dtypes[-1]) for run in runs] for runs in (fit, check))
    output_tokens = QUICK_OUTPUT if suite == "quick" else FULL_OUTPUT
    cases = []
    for kind, runs in (("decoder", fit), ("check", check)):
        chosen = runs if suite == "quick" else spread_runs(runs, dtypes, device_kind)
        for run in chosen:
            if run.dtype in dtypes:
                cases += time_both(kind, run, output_tokens)
    return cases


def list_small_checks(dtype: str) -> list[Case]:
    """Both times of the requests to check on that small cards have room for."""
    runs = [run._replace(dtype=dtype) for run in SMALL_CHECK]
    return [case for run in runs for case in time_both("check", run, QUICK_OUTPUT)]


def time_both(kind: str, run: Run, output_tokens: int) -> list[Case]:
    """Time to first token and time per output token of a request."""
    return [prefill_case(kind, run), decode_case(kind, run, output_tokens)]


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
        positions = range(run.prompt_tokens, run.prompt_tokens + output_tokens - 1)

        def generate() -> None:
            tokens = first
            for position in positions:
                tokens = decoder.decode_step(tokens, position)

        if not bench.captures_graphs:
            return generate
        steps = [partial(decoder.decode_step, first, position) for position in positions]
        return replay_in_turn(capture_graphs(steps))

    return replace(decoder_case(kind, run, output_tokens, prepare), captures=True)


def replay_in_turn(graphs: list[Callable[[], object]]) -> Callable[[], object]:
    """A call that replays one graph a token, as a serving loop does."""

    def generate() -> None:
        for replay in graphs:
            replay()

    return generate


def decoder_case(kind: str, run: Run, output_tokens: int, prepare: Callable[[Bench], Callable[[], object]]) -> Case:
    """A case of one whole model."""
    weights, beside = count_bytes(run, output_tokens)
    return Case(
        kind,
        "",
        run.dtype,
        "ttft_s" if output_tokens == 1 else "tpot_s",
        prepare,
        weights,
        outside_bytes=beside,
        held_out=kind == "check",
        timed="pass",
        calls=max(output_tokens - 1, 1),
        model=run.model,
        batch_size=run.batch_size,
        prompt_tokens=run.prompt_tokens,
        output_tokens=output_tokens,
    )


def count_bytes(run: Run, output_tokens: int) -> tuple[float, float]:
    """Bytes of the weights, and of the cache and the widest activations of a request together."""
    a = load_model(run.model).architecture
    tokens = run.batch_size * (run.prompt_tokens + output_tokens)
    cache = 2 * a.num_hidden_layers * a.kv_width * tokens
    activations = tokens * (8 * a.hidden_size + 4 * a.intermediate_size) + 2 * run.batch_size * a.vocab_size
    size = element_bytes(run.dtype)
    return float(size * count_pool(a)), float(size * (cache + activations))


def build(run: Run, bench: Bench, max_tokens: int) -> Decoder:
    """The model in the bench's memory."""
    architecture = load_model(run.model).architecture
    return Decoder(architecture, run.dtype, bench.device, run.batch_size, max_tokens, bench.pool(run.dtype))


def draw_tokens(decoder: Decoder, bench: Bench, batch_size: int, count: int) -> torch.Tensor:
    """Random tokens (batch, count)."""
    generator = torch.Generator().manual_seed(0)
    highest = decoder.architecture.vocab_size
    return torch.randint(0, highest, (batch_size, count), generator=generator).to(bench.device)
