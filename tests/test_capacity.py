"""What fits: bytes of a device, the largest batch, the longest context and the fewest devices."""

from dataclasses import fields, replace
from typing import Any

import pytest
from families import DEEPSEEK, FAMILIES, GEMMA, LLAMA, MISTRAL, MIXTRAL, any_model, set_layers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict

from simulator import InputError
from simulator.costs.footprint import Footprint, measure_footprint
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.memory_ledger import MemoryLedger
from simulator.inputs.stack import Stack
from simulator.metrics.capacity import MOST, Capacity, find_capacity, find_largest
from simulator.metrics.layout import choose_layout

A100, H100 = load_hardware("a100-sxm-80gb"), load_hardware("h100-sxm-80gb")
IDEAL = load_stack("ideal")
STACKS = {name: load_stack(name) for name in ("ideal", "vllm-0.10", "llama.cpp-2025", "megatron-lm-2022")}
RESERVING = replace(IDEAL, memory=MemoryLedger(runtime_bytes=3e9), memory_share=0.9, prefill_chunk=2048)
LAYOUTS = [{}, {"tp": 2}, {"tp": 4, "pp": 2}, {"dp": 2}, {"pp": 2, "micro_batches": 2}]
counts = st.integers(1, 4000)


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(FAMILIES)))
    layout = draw(st.sampled_from(LAYOUTS))
    assume(FAMILIES[name].num_hidden_layers % layout.get("pp", 1) == 0)
    return {
        "model": FAMILIES[name],
        "hardware": draw(st.sampled_from([A100, H100])),
        "calibration": "none",
        "stack": draw(st.sampled_from([IDEAL, RESERVING, STACKS["vllm-0.10"], STACKS["llama.cpp-2025"]])),
        "prompt_tokens": draw(counts),
        "output_tokens": draw(st.integers(1, 300)),
        "batch_size": draw(st.sampled_from([1, 2, 5, 32])),
        "weight_dtype": draw(st.sampled_from([None, "fp8", "awq"])),
        "kv_dtype": draw(st.sampled_from([None, "fp8"])),
        **layout,
    }


def find(question: dict[str, Any]) -> Capacity:
    answer = predict(**question)
    capacity = find_capacity(answer.question.work, question["hardware"])
    assert capacity.footprint == answer.footprint
    assert capacity.fits == answer.fits
    return capacity


@settings(max_examples=60)
@given(questions())
def test_the_largest_batch_fits_and_one_more_does_not(question: dict[str, Any]) -> None:
    largest = find(question).largest_batch
    assert not predict(**question | {"batch_size": largest + 1}).fits
    assert largest == 0 or predict(**question | {"batch_size": largest}).fits
    assert predict(**question).fits == (question["batch_size"] <= largest)


@settings(max_examples=60)
@given(questions())
def test_the_longest_context_fits_and_one_more_token_does_not(question: dict[str, Any]) -> None:
    longest, rest = find(question).longest_context, question["output_tokens"] - 1
    if longest == 0:
        assert not predict(**question | {"prompt_tokens": 1}).fits
        return
    if longest is None:  # a window in every layer and chunks leave nothing that grows
        assert predict(**question | {"prompt_tokens": MOST}).fits
        return
    assert predict(**question | {"prompt_tokens": longest - rest}).fits
    assert not predict(**question | {"prompt_tokens": longest - rest + 1}).fits


@given(st.integers(0, 10**7))
def test_the_largest_number_that_fits_is_found(limit: int) -> None:
    assert find_largest(lambda size: size <= limit) == limit


def test_what_always_fits_has_an_end() -> None:
    assert find_largest(lambda size: True) == MOST


def test_a_learned_table_of_positions_ends_the_context() -> None:
    learned = replace(LLAMA, position_embedding="learned", max_position_embeddings=2048)
    question: dict[str, Any] = {
        "model": learned,
        "hardware": A100,
        "calibration": "none",
        "prompt_tokens": 100,
        "output_tokens": 9,
    }
    assert find(question).longest_context == 2048
    with pytest.raises(InputError, match="past the 2048 positions"):
        predict(**question | {"prompt_tokens": 2048})


@pytest.mark.parametrize("name", ["ideal", "vllm-0.10"])
def test_a_stack_uses_its_share_of_the_memory(name: str) -> None:
    answer = predict(LLAMA, A100, "none", stack=name)
    given = {"ideal": A100.memory.given, "vllm-0.10": 0.9 * A100.memory.given}[name]
    assert find_capacity(answer.question.work, A100).usable_bytes == pytest.approx(given)


def test_what_the_runtime_takes_is_not_there_for_the_cache() -> None:
    """128 KiB a token: a GB less is 7629 tokens less."""
    question = {"model": LLAMA, "hardware": A100, "calibration": "none", "prompt_tokens": 1, "output_tokens": 1}
    chunked = replace(IDEAL, prefill_chunk=1)  # activations of one token however long the prompt
    free, taken = (
        find(question | {"stack": replace(chunked, memory=MemoryLedger(runtime_bytes=size))}) for size in (0.0, 1e9)
    )
    assert free.longest_context is not None
    assert taken.longest_context is not None
    assert free.longest_context - taken.longest_context == pytest.approx(1e9 / 131072, abs=1)


# Needed bytes


def measure(a: Architecture, stack: Stack = IDEAL, p: float = 100, o: float = 10, b: float = 4, **d: Any) -> Footprint:
    return measure_footprint(a, Deployment(**d), stack, p, o, b)


GROWING = ("hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_attention_heads", "num_experts")
OPTIONAL = ("sliding_window", "moe_intermediate_size", "shared_expert_intermediate_size", "kv_lora_rank", "v_head_dim")


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@given(a=any_model, p=counts, o=counts, b=st.integers(1, 64), more=st.integers(1, 64))
def test_more_tokens_and_requests_never_need_less(
    stack: Stack, a: Architecture, p: int, o: int, b: int, more: int
) -> None:
    base = measure(a, stack, p, o, b)
    for larger in (
        measure(a, stack, p + more, o, b),
        measure(a, stack, p, o + more, b),
        measure(a, stack, p, o, b + more),
    ):
        assert all(x <= y for x, y in zip(base, larger, strict=True))
        assert base.weights_bytes == larger.weights_bytes


@given(any_model, st.sampled_from(GROWING + OPTIONAL), st.integers(1, 9), counts)
def test_a_larger_model_never_needs_less(a: Architecture, field: str, more: int, p: int) -> None:
    value = getattr(a, field)
    assume(value is not None)
    larger = replace(
        a, head_dim=a.head_dim or 1, **{field: value + more * (a.kv_heads if field == "num_attention_heads" else 1)}
    )
    same = replace(a, head_dim=a.head_dim or 1)
    assert all(x <= y for x, y in zip(measure(same, p=p), measure(larger, p=p), strict=True))


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@given(a=any_model, p=counts, b=st.integers(1, 64))
def test_narrower_formats_never_need_more(stack: Stack, a: Architecture, p: int, b: int) -> None:
    names = ["fp32", "fp16", "fp8", "nvfp4", "awq", "int4"]
    weights = [measure(a, stack, p, b=b, weight_dtype=name).device_bytes for name in names]
    caches = [measure(a, stack, p, b=b, kv_dtype=name).device_bytes for name in names]
    assert weights == sorted(weights, reverse=True)
    assert caches == sorted(caches, reverse=True)


@given(st.sampled_from(sorted(FAMILIES)), counts, st.sampled_from([8, 64]))
def test_more_devices_never_hold_more_each(name: str, p: int, b: int) -> None:
    a = replace(set_layers(FAMILIES[name], 28), num_attention_heads=16, num_key_value_heads=8)
    for key in ("tp", "pp", "dp"):
        sizes: list[dict[str, Any]] = [{key: n} for n in (1, 2, 4)]
        each = [measure(a, p=p, b=b, **size).device_bytes for size in sizes]
        assert each == sorted(each, reverse=True)


def test_a_head_that_is_not_shared_is_whole_on_every_device() -> None:
    """0.98 GiB of 128256 x 4096 numbers in two bytes."""
    shared, whole = (measure(LLAMA, replace(IDEAL, shards_head=s), tp=8).device_bytes for s in (True, False))
    assert whole - shared >= 7 / 8 * 128256 * 4096 * 2


def test_chunks_of_a_prompt_hold_activations_of_one_chunk() -> None:
    chunked = replace(IDEAL, prefill_chunk=512)
    for p in (512, 10000):
        footprint = measure(LLAMA, chunked, p, b=1)
        rest = footprint.device_bytes - footprint.weights_bytes - footprint.kv_cache_bytes
        assert rest == (512 * 2) * (2 * 4096 + 14336)
    assert measure(LLAMA, chunked, 100, b=1) == measure(LLAMA, IDEAL, 100, b=1)


# What is known to fit


@pytest.mark.parametrize(
    ("a", "formats", "devices", "fits"),
    [
        (LLAMA, {}, 1, True),  # 16 GB
        (MIXTRAL, {}, 1, False),  # 93 GB
        (MIXTRAL, {}, 2, True),
        (MIXTRAL, {"weight_dtype": "fp8"}, 1, True),
        (DEEPSEEK, {}, 8, False),  # 1.34 TB
        (DEEPSEEK, {"dtype": "fp8"}, 8, False),  # 677 of 680 GB, of which each device has router and latents whole
        (DEEPSEEK, {"dtype": "fp8"}, 16, True),
        (DEEPSEEK, {"dtype": "fp8", "weight_dtype": "int4-g128"}, 8, True),
    ],
)
def test_a_published_model_fits_where_its_weights_do(
    a: Architecture, formats: dict[str, Any], devices: int, fits: bool
) -> None:
    assert predict(a, H100, "none", tp=devices, **formats).fits == fits


def count_devices(a: Architecture, weight_dtype: str) -> int:
    formats = Deployment(weight_dtype=weight_dtype)
    return choose_layout("a model", a, A100, IDEAL, formats, 1000, 100, 4).devices


@pytest.mark.parametrize("a", [MIXTRAL, set_layers(DEEPSEEK, 60), GEMMA], ids=["mixtral", "deepseek", "gemma"])
def test_narrower_weights_need_fewer_devices(a: Architecture) -> None:
    counts = [count_devices(a, name) for name in ("fp32", "fp16", "fp8", "awq")]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0] or a is GEMMA


def test_the_smallest_layout_fits_and_none_with_fewer_devices_does() -> None:
    layout = choose_layout("mixtral", MIXTRAL, A100, IDEAL, Deployment(), 1000, 100, 4)
    assert layout == Deployment(tp=2)
    assert not predict(MIXTRAL, A100, "none", prompt_tokens=1000, output_tokens=100, batch_size=4).fits


def test_a_window_leaves_room_for_contexts_of_any_length() -> None:
    """Chunked, so that activations do not grow either."""
    stack = replace(IDEAL, prefill_chunk=512)
    windowed = predict(MISTRAL, A100, "none", stack=stack, prompt_tokens=10**9)
    assert windowed.fits
    assert not predict(replace(MISTRAL, sliding_window=None), A100, "none", stack=stack, prompt_tokens=10**9).fits


def test_fields_that_grow_exist() -> None:
    assert {*GROWING, *OPTIONAL} <= {field.name for field in fields(Architecture)}
