"""Passes that are looked up take what ``time_pass`` says of their real batch."""

from typing import Any

import numpy as np
import pytest
from families import DEEPSEEK_LITE, GEMMA, LLAMA, MIXTRAL
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from simulator import InputError
from simulator.costs.batch import Batch, Segment
from simulator.costs.passes import build_pass
from simulator.inputs.architecture import Architecture
from simulator.serving.pass_table import PassTable, Prompt
from simulator.timing.passes import time_pass

ROWS, CONTEXT = 96, 600
SETTINGS = {
    "llama bound": (LLAMA, "none", None, {}),
    "llama": (LLAMA, "a100-sxm-80gb--vllm-0.6", None, {"tp": 2}),
    "gemma windows": (GEMMA, "a100-sxm-80gb--vllm-0.6", None, {}),
    "mixtral": (MIXTRAL, "a100-sxm-80gb--vllm-0.6", None, {"tp": 4}),
    "deepseek latent": (DEEPSEEK_LITE, "a100-sxm-80gb--vllm-0.6", None, {}),
    "llama eager": (LLAMA, "a100-sxm-80gb--megatron-lm-2022", "transformers-eager", {}),
    "llama copied cache": (LLAMA, "a100-sxm-80gb--vllm-0.6", "gpt-fast", {}),
}


def make_table(a: Architecture, calibration: str, stack: str | None, layout: dict[str, Any]) -> PassTable:
    question = predict(a, "a100-sxm-80gb", calibration, stack=stack, dtype="bf16", **layout).question
    return PassTable(question.work, question.machine, ROWS, CONTEXT)


TABLES = {name: make_table(*setting) for name, setting in SETTINGS.items()}
contexts = st.lists(st.integers(1, CONTEXT - 20), max_size=40)
prompts = st.lists(st.builds(Prompt, st.integers(1, 25), st.integers(0, 500), st.booleans()), max_size=2)


def time_batch(table: PassTable, decoding: list[int], reading: list[Prompt]) -> float:
    """The law on the real batch, a segment for each sequence."""
    segments = [Segment(1.0, float(n), float(c), needs_logits=wanted) for n, c, wanted in reading]
    segments += [Segment(1.0, 1.0, float(context), decodes=True) for context in decoding]
    a, d, stack, _ = table.work
    return float(time_pass(build_pass(a, d, stack, Batch(tuple(segments))), table.machine).seconds)


@pytest.mark.parametrize("name", TABLES)
@given(decoding=contexts, reading=prompts)
def test_a_pass_takes_what_the_law_says_of_its_batch(name: str, decoding: list[int], reading: list[Prompt]) -> None:
    table = TABLES[name]
    if not decoding and not reading:
        return
    found = table.time(np.array(decoding, dtype=np.int64), tuple(reading))
    assert found == pytest.approx(time_batch(table, decoding, reading), rel=1e-9)


@pytest.mark.parametrize("name", TABLES)
@given(decoding=contexts.filter(bool), steps=st.integers(1, 20))
def test_a_run_of_passes_is_their_sum(name: str, decoding: list[int], steps: int) -> None:
    table, at = TABLES[name], np.array(decoding, dtype=np.int64)
    one_by_one = sum(table.time(at + done) for done in range(steps))
    assert table.time_run(at, steps) == pytest.approx(one_by_one, rel=1e-9)


def test_a_chunk_beside_decodes_reads_the_weights_once() -> None:
    """A pass of 512 tokens, 31 of them decodes: well less than a chunk of 481 and 31 decodes one after the other."""
    question = predict("llama-3-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6", dtype="bf16").question
    table = PassTable(question.work, question.machine, 1024, 2048)
    decoding, chunk = np.full(31, 1000), (Prompt(481, 512),)
    together, apart = table.time(decoding, chunk), table.time(decoding) + table.time(decoding[:0], chunk)
    assert max(table.time(decoding), table.time(decoding[:0], chunk)) < together < 0.85 * apart


def test_sequences_of_different_lengths_take_less_than_if_all_were_the_longest() -> None:
    table = TABLES["llama"]
    mixed, longest = np.array([20] * 30 + [500] * 2), np.full(32, 500)
    assert table.time(np.full(32, 20)) < table.time(mixed) < table.time(longest)


def test_what_a_table_does_not_hold_is_refused() -> None:
    table = TABLES["llama"]
    with pytest.raises(InputError, match="past the table's 600 tokens"):
        table.time(np.array([CONTEXT]))
    with pytest.raises(InputError, match="past the table's 600 tokens"):
        table.time_run(np.array([CONTEXT - 5]), 6)
    with pytest.raises(InputError, match="a pass of 97 tokens is past the table's 96"):
        table.time(np.full(72, 5), (Prompt(25),))
