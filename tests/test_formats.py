"""Number formats: bytes by the blocks they are stored in, the arithmetic that runs, and what is refused."""

from dataclasses import replace
from fractions import Fraction
from math import isfinite
from typing import Any

import pytest
from families import DEEPSEEK_LITE, FAMILIES, GEMMA, LLAMA, MIXTRAL, PROFILE, any_model, times
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from simulator import InputError
from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.footprint import measure_footprint
from simulator.costs.passes import build_pass, list_all, sum_cost
from simulator.inputs import gguf_types
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import ALIASES, FORMATS, METHODS, element_bytes, find_format
from simulator.inputs.library import load_hardware, load_model, load_stack

A100, H100 = "a100-sxm-80gb", "h100-sxm-80gb"
IDEAL = load_stack("ideal")
WHOLE = replace(IDEAL, quantizes_head=True)
# Bytes of a block, part by part, and the numbers it holds.
BLOCKS: dict[str, tuple[Any, int]] = {
    "fp32": (4, 1),
    "tf32": (4, 1),  # stored in 32 bits, of which products use 19
    "fp16": (2, 1),
    "bf16": (2, 1),
    "fp8": (1, 1),
    "int8": (1, 1),
    "int4": (Fraction(1, 2), 1),
    "mxfp8": (32 + 1, 32),  # an exponent of 8 bits for 32 numbers (OCP Microscaling Formats 1.0, table 1)
    "mxfp4": (16 + 1, 32),
    "nvfp4": (8 + 1, 16),  # an fp8 scale for 16 numbers
    "int4-g128": (64 + 2 + Fraction(1, 2), 128),  # fp16 scale, 4-bit zero
    "int4-g32": (16 + 2 + 2, 32),  # gpt-fast: scale and zero in bf16
    "fp8-block": (128 * 128 + 4, 128 * 128),  # DeepSeek-V3: an fp32 scale
    "w8a16": (1, 1),
    "int8-g128": (128 + 2 + 1, 128),
    "nf4": (32 + 4, 64),  # bitsandbytes: an fp32 absmax for 64
    "nf4-dq": (32 + 1 + Fraction(4, 256), 64),  # an 8-bit one, and an fp32 one for 256 of those
    "q8_0": (2 + 32, 32),  # ggml-common.h: fp16 scale d, 32 int8
    "q6_k": (2 + 16 + 128 + 64, 256),  # d, sixteen int8 scales, four low bits, two high bits
}
ORDER = ["fp32", "bf16", "q8_0", "int8", "q6_k", "int4-g32", "q4_k_m", "nf4", "mxfp4", "int4-g128", "int4", "iq2_xxs"]
# GGML_QUANT_SIZES of gguf-py: weights and bytes of a block.
GGML = {
    **{"q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22), "q5_1": (32, 24), "q8_0": (32, 34), "q2_k": (256, 84)},
    **{"q3_k": (256, 110), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210), "iq2_xxs": (256, 66)},
    **{"iq2_xs": (256, 74), "iq3_xxs": (256, 98), "iq1_s": (256, 50), "iq4_nl": (32, 18), "iq3_s": (256, 110)},
    **{"iq2_s": (256, 82), "iq4_xs": (256, 136), "iq1_m": (256, 56), "tq1_0": (256, 54), "tq2_0": (256, 66)},
    "q1_0": (128, 18),
}
# GiB of a file of Llama 3.1 8B, as llama.cpp's tools/quantize/README.md lists them.
FILES_GIB = {
    **{"iq1_s": 1.87, "iq1_m": 2.01, "iq2_xxs": 2.23, "iq2_xs": 2.42, "iq2_s": 2.56, "iq2_m": 2.74, "iq3_xxs": 3.04},
    **{"iq3_xs": 3.27, "iq3_s": 3.42, "iq3_m": 3.52, "iq4_xs": 4.17, "iq4_nl": 4.38, "q2_k_s": 2.78, "q2_k": 2.95},
    **{"q3_k_s": 3.41, "q3_k_l": 4.02, "q4_k_s": 4.36, "q4_k_m": 4.58, "q5_k_s": 5.21, "q5_k_m": 5.33, "q6_k": 6.14},
    "q8_0": 7.95,
}
formats = st.sampled_from(sorted(FORMATS))


@pytest.mark.parametrize("name", BLOCKS)
def test_a_number_takes_its_share_of_its_block(name: str) -> None:
    size, numbers = BLOCKS[name]
    assert element_bytes(name) == float(Fraction(size) / numbers)
    assert Fraction(FORMATS[name].bits) == 8 * Fraction(size) / numbers


@pytest.mark.parametrize("name", sorted(GGML))
def test_a_tensor_type_of_gguf_has_the_bytes_of_its_block(name: str) -> None:
    weights, size = GGML[name]
    assert gguf_types.BLOCKS[name].weights == weights
    assert gguf_types.BLOCKS[name].bits * weights == 8 * size


def test_all_types_of_gguf_are_formats() -> None:
    assert set(GGML) == set(gguf_types.BLOCKS)
    assert set(FORMATS) == {*BLOCKS, *gguf_types.FILES}
    assert set(FILES_GIB) < set(gguf_types.FILES)


@pytest.mark.parametrize("name", sorted(FILES_GIB))
def test_a_file_of_llama_3_8b_has_the_size_that_llama_cpp_states(name: str) -> None:
    model = load_model("llama-3.1-8b")
    d = Deployment(weight_dtype=name)
    weights = measure_footprint(model.architecture, d, IDEAL, 1, 1, 1).weights_bytes
    assert weights == pytest.approx(FILES_GIB[name] * 2**30, rel=0.005)


def test_a_mix_is_wider_than_what_most_of_it_is_in() -> None:
    for name, (tensor, bits) in gguf_types.FILES.items():
        assert bits >= gguf_types.BLOCKS[tensor].bits, name


def test_a_cache_in_a_type_of_gguf_has_its_blocks_and_no_mix() -> None:
    """llama.cpp's -ctk q4_0: 18 bytes for 32 numbers, where a q4_0 file also has a wider head."""
    assert Deployment(kv_dtype="q4_0").kv_bytes == 18 / 32
    assert Deployment(weight_dtype="q4_0").weight_bytes_of("attention") > 18 / 32


@given(st.decimals(1, 16, places=2))
def test_a_free_number_of_bits_is_a_format_to_store_in(bits: Any) -> None:
    name = find_format(f"{bits}bit")
    assert element_bytes(name) == float(bits) / 8
    assert element_bytes(f"{bits} bpw") == float(bits) / 8
    assert FORMATS[name].math is None
    d = Deployment(weight_dtype=name, kv_dtype=name)
    assert d.weight_bytes_of("experts") == d.kv_bytes == float(bits) / 8
    assert d.activation_bytes == 2


def test_narrower_names_are_narrower() -> None:
    sizes = [element_bytes(name) for name in ORDER]
    assert sizes == sorted(sizes, reverse=True)


@given(formats)
def test_a_name_is_found_in_any_case(name: str) -> None:
    assert find_format(name) == find_format(name.upper()) == name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *(("float16", "fp16"), ("HALF", "fp16"), ("bfloat16", "bf16"), ("float32", "fp32"), ("fp8_e4m3", "fp8")),
        *(("awq", "int4-g128"), ("GPTQ", "int4-g128"), ("bf16/fp16", "bf16"), ("float16/bfloat16", "fp16")),
        *(("torch.bfloat16", "bf16"), ("f16 (Metal)", "fp16"), ("fp8_block", "fp8-block"), ("fp8_e5m2", "fp8")),
        *(("int4-awq", "int4-g128"), ("int4-gptq", "int4-g128"), ("int8-gptq", "int8-g128"), ("W4A16", "int4-g128")),
        *(("modelopt_fp8", "fp8"), ("fbgemm_fp8", "fp8"), ("modelopt_fp4", "nvfp4"), ("NVFP4_AWQ", "nvfp4")),
        *(("w8a8", "int8"), ("w8a16", "w8a16"), ("Q4_K", "q4_k_m"), ("Q4_K - Medium", "q4_k_m"), ("Q6_K", "q6_k")),
        *(("mostly Q5_K - Small", "q5_k_s"), ("IQ3_S mix - 3.66 bpw", "iq3_m"), ("IQ2_XXS - 2.0625 bpw", "iq2_xxs")),
    ],
)
def test_spellings_of_other_tools_mean_a_format(spelling: str, name: str) -> None:
    assert find_format(spelling) == name
    assert Deployment(weight_dtype=spelling) == Deployment(weight_dtype=name)


@pytest.mark.parametrize("name", ["compressed-tensors", "MIXED_PRECISION", "modelopt"])
def test_a_way_to_quantize_is_no_format(name: str) -> None:
    with pytest.raises(InputError, match=f"weight dtype '{name}' is a way to quantize and does not say the format"):
        find_format(name, "weight dtype")


def test_every_alias_is_a_format() -> None:
    assert not set(ALIASES) & METHODS
    assert set(ALIASES.values()) <= set(FORMATS)
    assert not set(ALIASES) & set(FORMATS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fp17", "unknown data type 'fp17'.*fp16"),
        ("", "unknown data type ''"),
        ("fp16/", "unknown data type 'fp16/'"),
        ("auto", "unknown data type 'auto'.*the checkpoint's own is what you get without the option"),
        ("q5_k_x", "unknown data type 'q5_k_x'; did you mean 'q5_k_"),
        ("0.5bit", "unknown data type '0.5bit'.*bits such as 4.65bit"),
        ("17bit", "unknown data type '17bit'"),
        ("bf16/fp8", "data type 'bf16/fp8' is of two sizes; name one"),
        (8, "data type is 8; it must be one of fp32"),
        (None, "data type is None"),
        (["fp16"], r"data type is \['fp16'\]"),
    ],
)
def test_what_is_no_format_is_refused(name: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        find_format(name)


@pytest.mark.parametrize("field", ["dtype", "weight_dtype", "kv_dtype"])
@pytest.mark.parametrize("name", ["fp17", 8, ["fp16"]])
def test_a_deployment_refuses_what_is_no_format_and_says_where(field: str, name: Any) -> None:
    with pytest.raises(InputError, match=field.replace("_", " ")):
        Deployment(**{field: name})


def test_where_no_format_is_named_16_bits_hold_and_the_answer_says_which() -> None:
    """bf16, or fp16 on a device that has no bf16, or with a stack that computes in fp16 alone."""
    for hardware, stack, dtype in (
        (A100, "ideal", "bf16"),
        ("v100-sxm-16gb", "ideal", "fp16"),
        (A100, "llama.cpp-b2795", "fp16"),
    ):
        d = predict(LLAMA, hardware, "none", stack=stack).question.work.deployment
        assert (d.dtype, d.weights_label, d.cache_dtype) == (dtype,) * 3
        assert "by default" in d.formats_from
        assert ("no bf16" in d.formats_from) == hardware.startswith("v100")


@pytest.mark.parametrize("name", [name for name in BLOCKS if FORMATS[name].math is None] + ["awq", "q4_k_m", "4.65bit"])
def test_what_is_only_stored_is_not_computed_in(name: str) -> None:
    with pytest.raises(InputError, match=f"dtype {find_format(name)} is a format of stored weights"):
        predict(LLAMA, A100, "none", dtype=name)
    assert predict(LLAMA, A100, "none", weight_dtype=name).e2e_s > 0


@pytest.mark.parametrize(
    ("dtype", "hardware", "text"),
    [
        ("fp8", A100, "a100-sxm-80gb: no fp8 matrix peak in its data sheet .it has fp16, bf16, tf32, fp32, int8"),
        ("mxfp4", H100, "h100-sxm-80gb: no fp4 matrix peak in its data sheet .it has fp8, fp16"),
        ("bf16", "v100-sxm-16gb", "no bf16 matrix peak"),
    ],
)
def test_arithmetic_that_a_device_does_not_have_is_refused_with_what_it_has(
    dtype: str, hardware: str, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        predict(LLAMA, hardware, "none", dtype=dtype)


# What is narrow, and what is not


@given(any_model, formats, st.integers(1, 99))
def test_weights_alone_in_another_format_change_their_bytes_and_nothing_else(a: Any, name: str, m: int) -> None:
    plain, narrow = Deployment(), Deployment(weight_dtype=name)
    for tokens in (prefill_batch(m, 1), decode_batch(m, 1)):
        steps = [build_pass(a, d, WHOLE, tokens) for d in (plain, narrow)]
        for cost in ("flops", "activation_bytes", "kv_bytes", "message_bytes"):
            assert sum_cost(steps[0], cost) == sum_cost(steps[1], cost)
        routers = sum(n * op.weight_bytes for n, op in list_all(steps[0]) if op.name == "router")
        weights = [sum_cost(step, "weight_bytes") - routers for step in steps]  # no stack narrows the router
        assert weights[1] == pytest.approx(weights[0] / 2 * element_bytes(name), rel=1e-12)


@pytest.mark.parametrize("weight_dtype", [None, "int8", "fp8", "awq", "q4_k_m", "nvfp4"])
def test_weights_alone_leave_the_arithmetic(weight_dtype: str | None) -> None:
    answer = predict(LLAMA, H100, "none", weight_dtype=weight_dtype, prompt_tokens=8192)
    layers = [one for one in answer.request.prefill.operators if one.operator.kind == "linear" and one.count > 1]
    assert [one.operator.flops / one.seconds for one in layers] == pytest.approx([989.4e12] * len(layers))


@pytest.mark.parametrize(("dtype", "peak"), [("fp8", 1978.9e12), ("int8", 1978.9e12), ("bf16", 989.4e12)])
@pytest.mark.parametrize("a", [LLAMA, MIXTRAL, DEEPSEEK_LITE], ids=["llama", "mixtral", "deepseek"])
def test_full_quantization_computes_products_with_weights_in_it_and_attention_in_sixteen_bits(
    a: Any, dtype: str, peak: float
) -> None:
    answer = predict(a, H100, "none", dtype=dtype, prompt_tokens=16384)
    operators = {one.operator.name: one for one in answer.request.prefill.operators}
    rates = {name: one.operator.flops / one.seconds for name, one in operators.items()}
    assert rates["output projection"] == pytest.approx(peak)
    (attention,) = (rate for name, rate in rates.items() if name.endswith("attention"))
    assert attention == pytest.approx(989.4e12)
    assert answer.kv_cache_bytes == predict(a, H100, "none", prompt_tokens=16384).kv_cache_bytes


@pytest.mark.parametrize("dtype", ["fp8", "int8"])
@pytest.mark.parametrize("quantizes_head", [False, True])
def test_a_head_with_wide_weights_computes_wide(dtype: str, quantizes_head: bool) -> None:
    stack = replace(IDEAL, logits="all", quantizes_head=quantizes_head)
    answer = predict(LLAMA, H100, "none", stack=stack, dtype=dtype, prompt_tokens=16384)
    (head,) = (one for one in answer.request.prefill.operators if one.operator.name == "lm head")
    assert head.operator.weight_bytes == 128256 * 4096 * (1 if quantizes_head else 2)
    assert head.operator.flops / head.seconds == pytest.approx(1978.9e12 if quantizes_head else 989.4e12)


@given(any_model, st.sampled_from(["int8", "awq", "nf4"]), st.integers(1, 99))
def test_only_a_stack_that_narrows_the_head_narrows_the_head(a: Any, name: str, m: int) -> None:
    for stack, size in ((IDEAL, 2), (WHOLE, element_bytes(name))):
        step = build_pass(a, Deployment(weight_dtype=name), stack, decode_batch(m, 1))
        (head,) = (op for op in step.linear.head if op.name == "lm head")
        assert head.weight_bytes == a.vocab_size * a.hidden_size * size


@given(any_model, st.sampled_from(["fp8", "int8"]), st.integers(1, 999), st.sampled_from([1, 2, 4]))
def test_a_cache_of_one_byte_is_half_as_large(a: Any, kv_dtype: str, p: int, batch: int) -> None:
    plain, half = Deployment(), Deployment(kv_dtype=kv_dtype)
    sizes = [measure_footprint(a, d, IDEAL, p, 3, batch).kv_cache_bytes for d in (plain, half)]
    assert sizes[0] == 2 * sizes[1]
    moved = [sum_cost(build_pass(a, d, IDEAL, decode_batch(p, batch)), "kv_bytes") for d in (plain, half)]
    assert moved[0] == 2 * moved[1]


# Time


@given(st.sampled_from(sorted(FAMILIES)), st.integers(0, len(ORDER) - 2), st.sampled_from([1, 16]), st.booleans())
def test_narrower_weights_never_make_a_bound_slower(name: str, i: int, batch: int, head: bool) -> None:
    """Of formats that leave the head alike: a type of GGUF file has the head in it on any stack."""
    order = ORDER if head else [one for one in ORDER if one not in gguf_types.FILES]
    i %= len(order) - 1
    question: dict[str, Any] = {
        "hardware": H100,
        "calibration": "none",
        "stack": WHOLE if head else IDEAL,
        "batch_size": batch,
    }
    wide, narrow = (predict(FAMILIES[name], **question, weight_dtype=w) for w in order[i : i + 2])
    assert all(n <= w for n, w in zip(times(narrow), times(wide), strict=True))
    assert narrow.request.decode_s < wide.request.decode_s or not head
    assert narrow.weights_bytes <= wide.weights_bytes


def test_one_stream_of_int4_is_nearly_four_times_as_fast_as_of_fp16() -> None:
    """Weights are all that is read but 8 MB of cache: 16 bits against 4.16."""
    wide, narrow = (
        predict(LLAMA, A100, "none", stack=WHOLE, weight_dtype=w, prompt_tokens=32, output_tokens=32)
        for w in ("fp16", "awq")
    )
    assert wide.tpot_s / narrow.tpot_s == pytest.approx(16 / 4.15625, rel=0.01)


@pytest.mark.parametrize("stack", ["ideal", "tensorrt-llm-1.3", "gpt-fast", "llama.cpp-b2795", "vllm-0.10"])
@pytest.mark.parametrize("a", [LLAMA, GEMMA, MIXTRAL, DEEPSEEK_LITE], ids=["llama", "gemma", "mixtral", "deepseek"])
@pytest.mark.parametrize("weight_dtype", ["int8", "int4", "q4_k_m"])
def test_narrow_weights_with_a_profile_take_a_time_past_the_bound(a: Any, stack: str, weight_dtype: str) -> None:
    question: dict[str, Any] = {"hardware": A100, "stack": stack, "weight_dtype": weight_dtype, "prompt_tokens": 100}
    for batch in (1, 64):
        real, bound = (predict(a, calibration=c, batch_size=batch, **question) for c in (PROFILE, "none"))
        assert real.basis == "transfer"
        assert all(isfinite(t) for t in times(real))
        assert all(b < r for b, r in zip(times(bound), times(real), strict=True))


@given(st.integers(1, 600), st.sampled_from(["int8", "awq", "q8_0"]))
def test_unpacking_weights_in_memory_costs_prompts_more_than_wide_weights_and_few_tokens_nothing(
    p: int, weight_dtype: str
) -> None:
    above = 32
    stack = replace(WHOLE, dequantizes_above=above)
    question: dict[str, Any] = {"hardware": A100, "calibration": PROFILE, "prompt_tokens": p, "output_tokens": 4}
    wide = predict(LLAMA, stack=WHOLE, **question)
    straight, unpacked = (predict(LLAMA, stack=s, weight_dtype=weight_dtype, **question) for s in (WHOLE, stack))
    assert unpacked.request.decode_s == straight.request.decode_s
    assert unpacked.ttft_s > wide.ttft_s if p > above else unpacked.ttft_s == straight.ttft_s


def test_four_bits_slow_a_small_model_down_on_vllm_and_speed_a_large_one_up() -> None:
    """Units of its stripes wait for each other, and a small product has few bytes to make up for that."""
    question: dict[str, Any] = {"hardware": A100, "calibration": "a100-sxm-80gb--vllm-0.6", "output_tokens": 100}
    for model, faster in (("qwen2.5-0.5b", False), ("qwen2.5-7b", True), ("qwen2.5-32b", True)):
        wide, narrow = (predict(model, weight_dtype=w, **question).tpot_s for w in (None, "int4-g128"))
        assert (narrow < wide) == faster
        assert narrow > wide / 4


def test_a_stack_stores_a_named_format_with_its_own_scales() -> None:
    gpt_fast = load_stack("gpt-fast")
    plain = replace(gpt_fast, stores_as=None)
    stored = predict(LLAMA, A100, "none", stack=gpt_fast, weight_dtype="int4")
    named = predict(LLAMA, A100, "none", stack=plain, weight_dtype="int4-g32")
    assert times(stored) == times(named)
    assert stored.weights_bytes == named.weights_bytes
    assert stored.weights_bytes > predict(LLAMA, A100, "none", stack=plain, weight_dtype="int4").weights_bytes


def test_a_device_without_an_arithmetic_may_store_in_it() -> None:
    """A100 has no fp8 products; weights and cache in fp8 are dequantized."""
    assert "fp8" not in load_hardware(A100).compute.matrix_peak
    wide, narrow = (
        predict(LLAMA, A100, "none", weight_dtype=w, kv_dtype=w, prompt_tokens=4000, batch_size=8)
        for w in (None, "fp8")
    )
    assert narrow.ttft_s == pytest.approx(wide.ttft_s)
    assert narrow.tpot_s < 0.6 * wide.tpot_s
