"""What stacks do otherwise: prompts in chunks, first tokens by a decode pass, caches that are copied, a whole head."""

from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
import pytest
from families import FAMILIES, LLAMA, MISTRAL, PROFILE, small_models, times
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict

from simulator import Prediction
from simulator.costs.batch import Batch, decode_batch
from simulator.costs.footprint import measure_footprint
from simulator.costs.passes import build_pass, list_all, sum_cost
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.stack import DecodeKernel, LongRequests

A100 = load_hardware("a100-sxm-80gb")
IDEAL = load_stack("ideal")
names, lengths = st.sampled_from(sorted(FAMILIES)), st.integers(1, 20000)
chunk_sizes = st.sampled_from([1, 64, 512, 8192])
calibrations = st.sampled_from(["none", PROFILE])
WITHOUT_WINDOW = [name for name, a in FAMILIES.items() if a.sliding_window is None]


def ask(a: Architecture, calibration: str = "none", stack: Any = IDEAL, **question: Any) -> Prediction:
    return predict(a, A100, calibration, stack=stack, **question)


def sum_prefill(answer: Prediction, cost: str) -> float:
    """A cost of the whole prefill: of one pass, times the passes."""
    chunk, p = answer.question.work.stack.prefill_chunk, answer.question.work.workload.prompt_tokens
    passes = 1 if chunk is None else ceil(p / chunk)
    return passes * sum(one.count * getattr(one.operator, cost) for one in answer.request.prefill.operators)


# Chunks


@given(names, calibrations, st.integers(1, 512), st.sampled_from([1, 5]))
def test_a_prompt_of_one_chunk_is_read_at_once(name: str, calibration: str, p: int, batch: int) -> None:
    for stack in (IDEAL, load_stack("tensorrt-llm-1.3")):
        question: dict[str, Any] = {"calibration": calibration, "prompt_tokens": p, "batch_size": batch}
        chunked = ask(FAMILIES[name], stack=replace(stack, prefill_chunk=512), **question)
        assert times(chunked) == times(ask(FAMILIES[name], stack=replace(stack, prefill_chunk=None), **question))


@settings(max_examples=60)
@given(names, calibrations, lengths, chunk_sizes)
def test_a_prompt_is_read_in_as_many_passes_as_it_has_chunks(name: str, calibration: str, p: int, chunk: int) -> None:
    answer = ask(FAMILIES[name], calibration, replace(IDEAL, prefill_chunk=chunk), prompt_tokens=p)
    assert answer.ttft_s == pytest.approx(ceil(p / chunk) * answer.request.prefill.seconds, rel=1e-12)
    assert answer.request.decode_s == ask(FAMILIES[name], calibration, prompt_tokens=p).request.decode_s


@settings(max_examples=60)
@given(st.sampled_from(WITHOUT_WINDOW), lengths, chunk_sizes)
def test_chunks_do_the_work_of_the_prompt(name: str, p: int, chunk: int) -> None:
    """And of a head for each; every chunk reads the weights again."""
    a, stack = FAMILIES[name], replace(IDEAL, prefill_chunk=chunk)
    whole, parts = (ask(a, stack=s, prompt_tokens=p) for s in (IDEAL, stack))
    heads = (ceil(p / chunk) - 1) * 2 * a.hidden_size * a.vocab_size
    assert sum_prefill(parts, "flops") == pytest.approx(sum_prefill(whole, "flops") + heads, rel=1e-9)
    assert parts.ttft_s >= sum_prefill(whole, "flops") / 312e12 * (1 - 1e-12)
    assert sum_prefill(parts, "weight_bytes") >= sum_prefill(whole, "weight_bytes")


@pytest.mark.parametrize("chunk", [512, 1000, 4096])
@pytest.mark.parametrize("p", [2048, 8192, 32768])
def test_chunks_of_a_windowed_prompt_do_its_work(p: int, chunk: int) -> None:
    """About: a chunk has the mean context, where a window bends what is seen."""
    whole, parts = (ask(MISTRAL, stack=s, prompt_tokens=p) for s in (IDEAL, replace(IDEAL, prefill_chunk=chunk)))
    seconds = [
        sum(one.count * one.seconds for one in answer.request.prefill.operators if "attention" in one.operator.name)
        for answer in (whole, parts)
    ]
    assert ceil(p / chunk) * seconds[1] == pytest.approx(seconds[0], rel=0.1)
    assert parts.ttft_s >= 0.98 * whole.ttft_s


@given(st.sampled_from(WITHOUT_WINDOW), lengths, st.sampled_from([256, 1024]))
def test_smaller_chunks_never_make_a_bound_faster(name: str, p: int, chunk: int) -> None:
    small, large = (
        ask(FAMILIES[name], stack=replace(IDEAL, prefill_chunk=n), prompt_tokens=p) for n in (chunk, 2 * chunk)
    )
    assert large.ttft_s <= small.ttft_s * (1 + 1e-12)


def test_an_array_of_prompts_is_read_in_the_chunks_of_each() -> None:
    stack, ps = replace(IDEAL, prefill_chunk=512), np.array([1, 511, 512, 513, 5000])
    for a in FAMILIES.values():
        together = ask(a, stack=stack, prompt_tokens=ps).ttft_s
        np.testing.assert_array_equal(together, [ask(a, stack=stack, prompt_tokens=int(p)).ttft_s for p in ps])


def test_long_requests_are_read_a_chunk_of_one_prompt_at_a_time() -> None:
    """As vLLM 0.6 does: short ones at once, and both in one array."""
    long = LongRequests(above=10_000, chunk=512)
    stack, chunked = replace(IDEAL, long_requests=long), replace(IDEAL, prefill_chunk=512)
    for a in FAMILIES.values():
        for calibration in ("none", PROFILE):
            short, edge, past = (
                ask(a, calibration, stack, prompt_tokens=p, output_tokens=100, batch_size=3) for p in (5000, 9900, 9901)
            )
            assert times(short) == times(ask(a, calibration, prompt_tokens=5000, output_tokens=100, batch_size=3))

            assert times(edge) == times(ask(a, calibration, prompt_tokens=9900, output_tokens=100, batch_size=3))
            one = ask(a, calibration, chunked, prompt_tokens=9901, output_tokens=100)
            assert past.ttft_s == pytest.approx(3 * one.ttft_s, rel=1e-12)
            together = ask(a, calibration, stack, prompt_tokens=np.array([5000, 9901]), output_tokens=100, batch_size=3)
            np.testing.assert_allclose(together.ttft_s, [short.ttft_s, past.ttft_s], rtol=1e-12)


# The first token by a decode pass


@given(names, calibrations, st.integers(2, 5000), st.sampled_from([1, 4]), st.integers(1, 50))
def test_a_stack_may_make_the_first_token_by_a_decode_pass(
    name: str, calibration: str, p: int, batch: int, o: int
) -> None:
    a, stack = FAMILIES[name], replace(IDEAL, first_token_by_decode=True)
    assume(a.sliding_window is None or abs(p - a.sliding_window) > 1)  # a pass bends where its window is full
    assume(calibration == "none" or 1 < p % 16 < 15)  # decode attention takes tokens in blocks, of 16 at least
    answer = ask(a, calibration, stack, prompt_tokens=p, output_tokens=o, batch_size=batch)
    before = ask(a, calibration, prompt_tokens=p - 1, output_tokens=2, batch_size=batch)
    rel = 1e-12 if calibration == "none" else 1e-3  # the integral over one pass is about its middle
    assert answer.ttft_s == pytest.approx(before.e2e_s, rel=rel)
    assert (
        answer.request.decode_s
        == ask(a, calibration, prompt_tokens=p, output_tokens=o, batch_size=batch).request.decode_s
    )


@given(names, calibrations)
def test_a_prompt_of_one_token_then_has_no_prefill(name: str, calibration: str) -> None:
    stack = replace(IDEAL, first_token_by_decode=True)
    answer = ask(FAMILIES[name], calibration, stack, prompt_tokens=1, output_tokens=3)
    assert answer.ttft_s < answer.tpot_s * (1 + 1e-12)  # the first of three passes has the shortest context
    assert answer.ttft_s > 0.99 * answer.tpot_s
    arrays = ask(FAMILIES[name], calibration, stack, prompt_tokens=np.array([1, 2]), output_tokens=3)
    assert arrays.ttft_s[0] == pytest.approx(answer.ttft_s, rel=1e-13)
    assert arrays.ttft_s[1] > arrays.ttft_s[0]


# Caches that are copied


def sum_attention(a: Architecture, stack: Any, tokens: Batch, cost: str) -> float:
    step = build_pass(a, Deployment(), stack, tokens)
    return sum(n * getattr(op, cost) for n, ops in step.mixing for op in ops)


def count_seen(a: Architecture, c: int, b: int) -> float:
    """Bytes of keys and values that the last of ``c`` tokens sees, its own included, which a window counts as well."""
    seen = a if a.sliding_window is None else replace(a, sliding_window=a.sliding_window + 1)
    return measure_footprint(seen, Deployment(), IDEAL, c, 1, b).kv_cache_bytes


@given(small_models() | small_models("window"), st.integers(1, 99), st.integers(1, 4), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_rebuilt_cache_moves_as_often_as_the_stack_says(a: Architecture, c: int, b: int, passes: float) -> None:
    stack, tokens = replace(IDEAL, cache_passes=passes), decode_batch(c, b)
    moved = [sum_attention(a, s, tokens, "bytes_moved") for s in (IDEAL, stack)]
    assert moved[1] - moved[0] == passes * count_seen(a, c, b)
    assert sum_attention(a, stack, tokens, "flops") == sum_attention(a, IDEAL, tokens, "flops")


@given(small_models() | small_models("window"), st.integers(1, 99), st.integers(1, 4))
def test_keys_that_are_repeated_are_read_as_if_every_head_had_its_own(a: Architecture, c: int, b: int) -> None:
    tokens, own = decode_batch(c, b), replace(a, num_key_value_heads=a.num_attention_heads)
    stack = replace(IDEAL, repeats_kv_heads=True)
    assert sum_attention(a, stack, tokens, "kv_bytes") == sum_attention(own, IDEAL, tokens, "kv_bytes")
    copied = sum_attention(a, stack, tokens, "bytes_moved") - sum_attention(own, IDEAL, tokens, "bytes_moved")
    assert copied == count_seen(a, c, b) + count_seen(own, c, b)  # read once, written for every query head


@given(names, calibrations, st.integers(1, 5000))
def test_copies_are_made_in_decode_alone_and_take_time(name: str, calibration: str, p: int) -> None:
    stack = replace(IDEAL, cache_passes=2.0, repeats_kv_heads=True)
    plain, copying = (ask(FAMILIES[name], calibration, s, prompt_tokens=p) for s in (IDEAL, stack))
    assert copying.ttft_s == plain.ttft_s
    assert copying.kv_cache_bytes == plain.kv_cache_bytes
    assert copying.request.decode_s > plain.request.decode_s or FAMILIES[name].is_latent


# The head


@pytest.mark.parametrize("tp", [1, 2, 8])
def test_a_head_that_is_not_shared_costs_each_device_all_of_it(tp: int) -> None:
    for shared in (True, False):
        step = build_pass(LLAMA, Deployment(tp=tp), replace(IDEAL, shards_head=shared), decode_batch(9, 3))
        (head,) = (op for op in step.linear.head if op.name == "lm head")
        assert head.flops == 2 * 3 * 128256 * 4096 / (tp if shared else 1)
        assert head.weight_bytes == 2 * 128256 * 4096 / (tp if shared else 1)


# The blocks of decode attention


def test_a_long_context_that_is_not_split_keeps_few_units_busy() -> None:
    question: dict[str, Any] = {"calibration": PROFILE, "prompt_tokens": 32000, "output_tokens": 8}
    for a in (LLAMA, replace(LLAMA, num_key_value_heads=None)):
        split, whole = (
            ask(a, stack=replace(IDEAL, decode_kernels=kernels), **question)
            for kernels in (None, [DecodeKernel(parts="one")])
        )
        assert whole.request.decode_s > split.request.decode_s
        assert whole.ttft_s == split.ttft_s


def test_sum_cost_counts_all_groups() -> None:
    """Full and windowed layers of one pass, apart and together."""
    a = FAMILIES["gemma"]
    step = build_pass(a, Deployment(), IDEAL, decode_batch(5000, 1))
    layers = {op.name: n for n, op in list_all(step) if "attention" in op.name}
    assert layers == {"attention": 4, "window attention": 22}
    kept = 2 * 256 * 2 * (4 * 5000 + 22 * 512)
    assert sum_cost(step, "kv_bytes") == kept + 2 * 256 * 2 * 26
