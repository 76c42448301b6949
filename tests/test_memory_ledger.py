"""What an engine sets aside, and the blocks of KV cache that it starts with."""

from dataclasses import replace
from typing import Any

import pytest
from families import FAMILIES, GEMMA, LLAMA, MISTRAL
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from simulator.costs.footprint import count_reserved_bytes, measure_footprint
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.inputs.memory_ledger import MemoryLedger, suit_stack
from simulator.metrics.capacity import find_capacity
from simulator.metrics.pool import Kind, Pool, group_layers, measure_pool
from simulator.specfile import check_ranges

H100, A100, L4 = (load_hardware(name) for name in ("h100-sxm-80gb", "a100-sxm-80gb", "l4-24gb"))
VLLM, IDEAL = load_stack("vllm-0.10"), load_stack("ideal")
LLAMA_31 = load_model("llama-3.1-8b").architecture
GIB = 2**30


def measure(a: Any = LLAMA_31, hardware: Any = H100, stack: Any = VLLM, **layout: Any) -> Pool:
    return measure_pool(a, Deployment(dtype="bf16", **layout), stack, hardware)


# By hand


def test_the_pool_of_llama_by_hand() -> None:
    """0.9 of 81559 MiB less 468; logits of 1024 sequences in 2 + 12 bytes; 128 KiB a token."""
    weights = 8030261248 * 2
    tried = 8192 * 4096 * 2 + 1024 * 128256 * 14
    left = 0.9 * (81559 - 468) * 2**20 - weights - tried - (128 + 256) * 2**20
    pool = measure()
    assert pool.bytes == pytest.approx(left, rel=1e-12)
    assert pool.blocks == left // (16 * 131072)
    assert pool.tokens == 16 * pool.blocks


def test_layers_that_share_heads_leave_more_and_pay_for_their_group() -> None:
    one, two = measure(), measure(tp=2)
    assert two.bytes == pytest.approx(one.bytes + 8030261248 - 1.98e9, rel=1e-9)


def test_the_feed_forward_block_decides_where_the_vocabulary_is_small() -> None:
    """Two hidden states and gate, up and their product of 8192 tokens, in two bytes."""
    a = replace(LLAMA, vocab_size=1000)
    ledger = VLLM.ledger
    tried = count_reserved_bytes(a, Deployment(dtype="bf16"), VLLM, 8192, 1024) - ledger.workspace_bytes
    assert tried == 8192 * (2 * 4096 + 3 * 14336) * 2


def test_a_device_of_less_memory_or_of_that_name_takes_fewer_sequences() -> None:
    found = [suit_stack(VLLM, hardware).ledger.sequences for hardware in (H100, A100, L4)]
    assert found == [1024, 256, 256]


def test_layers_with_a_window_are_put_in_groups_of_those_without() -> None:
    """As vLLM does: Gemma 3 27B has 10 layers without a window and 52 with one, so a group for the former and six."""
    size, groups = group_layers([Kind(52, 4096, 1024), Kind(10, 4096, None)])
    assert size == 10 * 4096
    assert groups == (1024,) * 6 + (None,)
    assert group_layers([Kind(20, 1, 128), Kind(18, 1, None)])[0] == 20  # nearly as many: one group of each


def test_a_request_takes_blocks_of_every_group() -> None:
    pool = Pool(blocks=1000, block_tokens=16, bytes=0.0, groups=(128, None), state_blocks=3)
    assert pool.count_blocks(1) == 3 + 2
    assert pool.count_blocks(17) == 3 + 4
    assert pool.count_blocks(1600) == 3 + 8 + 100
    assert pool.tokens == 500 * 16


# What must hold of any model


@given(st.sampled_from(sorted(FAMILIES)), st.sampled_from([H100, A100]))
def test_requests_that_fill_the_blocks_fill_the_memory(name: str, hardware: Any) -> None:
    """The largest batch by bytes is that by blocks, but for what blocks leave unused."""
    a = FAMILIES[name]
    question: dict[str, Any] = {"hardware": hardware, "stack": VLLM, "dtype": "bf16", "prompt_tokens": 1000}
    work = predict(a, calibration="none", **question, output_tokens=25).question.work
    pool = measure_pool(work.architecture, work.deployment, VLLM, hardware)
    by_blocks = pool.blocks // pool.count_blocks(1024)
    by_bytes = find_capacity(work, hardware).largest_batch
    assert by_blocks <= by_bytes
    if len(pool.groups) == 1 and pool.state_blocks == 0:
        assert by_blocks >= by_bytes * 0.98 - 1


@given(st.sampled_from([LLAMA, GEMMA, MISTRAL]), st.integers(1, 10**6), st.integers(1, 10**6))
def test_longer_requests_never_take_fewer_blocks(a: Any, one: int, other: int) -> None:
    pool = measure(a)
    assert pool.count_blocks(min(one, other)) <= pool.count_blocks(max(one, other))


@pytest.mark.parametrize(
    "field",
    ["runtime_bytes", "workspace_bytes", "sequences", "logit_copies"],
)
def test_what_is_set_aside_is_not_there_for_the_cache(field: str) -> None:
    more = replace(VLLM, memory=replace(VLLM.ledger, **{field: 2 * getattr(VLLM.ledger, field)}))
    assert measure(stack=more).bytes < measure().bytes


def test_graphs_take_from_the_cache_where_they_are_in_the_share() -> None:
    within = replace(VLLM, memory=replace(VLLM.ledger, graphs_in_share=True))
    graphs = VLLM.ledger.graph_base_bytes + 32 * VLLM.ledger.graph_layer_bytes
    assert measure().bytes - measure(stack=within).bytes == pytest.approx(graphs)


def test_a_model_that_does_not_fit_has_no_blocks() -> None:
    pool = measure(load_model("llama-3.1-70b").architecture)
    assert (pool.blocks, pool.bytes, pool.tokens) == (0, 0, 0)


def test_activations_are_of_one_budget_for_the_whole_batch() -> None:
    chunked = replace(IDEAL, prefill_chunk=2048)
    d = Deployment(dtype="bf16")
    alive = [
        measure_footprint(LLAMA, d, chunked, p, 1, b).activations_bytes for p, b in ((2048, 1), (2048, 8), (300, 64))
    ]
    assert alive[0] == alive[1] == alive[2]
    assert measure_footprint(LLAMA, d, chunked, 100, 1, 8).activations_bytes < alive[0]


def test_a_ledger_of_nothing_takes_nothing() -> None:
    assert measure_footprint(LLAMA, Deployment(), IDEAL, 9, 1, 1).runtime_bytes == 0
    with pytest.raises(InputError, match="block_tokens is 0; it must be at least 1"):
        check_ranges(MemoryLedger(block_tokens=0), "memory")


@pytest.mark.parametrize(("field", "value"), [("memory_share", 7.0), ("memory_share", 0.0), ("prefill_chunk", 0)])
def test_a_stack_with_a_share_or_chunk_that_cannot_be_is_refused(field: str, value: float) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=field):
        predict("gptj-6b", "a100-sxm-80gb", stack=replace(VLLM, **changes))


# What people run


@pytest.mark.parametrize(
    ("model", "hardware", "layout", "fits"),
    [
        ("llama-3.1-8b", H100, {}, True),
        ("qwen2.5-72b", A100, {"tp": 2}, True),
        ("gpt-oss-120b", H100, {}, True),
        ("llama-3-70b", H100, {"tp": 2}, True),  # 141 GB of weights leave room for one long request
        ("llama-3-70b", H100, {}, False),
        ("qwen2.5-72b", H100, {}, False),
    ],
)
def test_what_people_serve_fits(model: str, hardware: Any, layout: dict[str, Any], fits: bool) -> None:
    dtype = None if model == "gpt-oss-120b" else "bf16"
    answer = predict(model, hardware, "none", stack=VLLM, dtype=dtype, prompt_tokens=2048, output_tokens=256, **layout)
    assert answer.fits == fits


def test_fifty_two_requests_of_8k_fit_on_one_h100() -> None:
    question: dict[str, Any] = {"prompt_tokens": 8192, "output_tokens": 256, "dtype": "bf16", "stack": VLLM}
    work = predict("llama-3.1-8b", H100, "none", **question).question.work
    assert find_capacity(work, H100).largest_batch == 52


# What was measured


@pytest.mark.parametrize(
    ("model", "layout", "tokens"),
    [
        ("llama-3.1-8b", {}, 476_016),
        ("llama-3.1-8b", {"kv_dtype": "fp8"}, 952_032),
        ("llama-3.1-8b", {"tp": 2}, 1_044_688),
        ("llama-3.1-8b", {"tp": 4}, 2_209_792),
        ("llama-3.1-8b", {"pp": 2}, 1_075_312),
        ("llama-3.1-8b", {"pp": 4}, 2_257_264),
        ("qwen2.5-7b", {}, 1_096_000),
        ("mixtral-8x7b-v0.1", {"tp": 2}, 465_936),
        ("gemma-2-27b", {}, 58_672),
        ("deepseek-v2-lite", {}, 1_505_552),
        ("qwen3-30b-a3b", {}, 168_288),
        ("phi-2", {}, 226_112),
    ],
)
def test_the_tokens_that_vllm_printed_at_its_start(model: str, layout: dict[str, Any], tokens: int) -> None:
    """Of the 59 start-ups of vLLM 0.19 on H100 with 0.95 of the memory (llm-d-planner); one block of 16 is 0.03%."""
    pool = measure(load_model(model).architecture, stack=replace(VLLM, memory_share=0.95), **layout)
    assert pool.tokens == pytest.approx(tokens, rel=0.015)
