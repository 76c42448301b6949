"""Grouped heads, sliding windows and latent attention, against counts by hand and against PyTorch's meta device."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from families import (
    DEEPSEEK,
    DEEPSEEK_LITE,
    FAMILIES,
    GEMMA,
    LLAMA,
    MISTRAL,
    PROFILE,
    any_model,
    count_layers,
    make_groups,
    small_models,
    times,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simulator.costs.batch import Batch, decode_batch, prefill_batch
from simulator.costs.footprint import measure_footprint
from simulator.costs.operators import attention
from simulator.costs.parameters import count_parameters
from simulator.costs.passes import build_pass, count_model_flops, list_all, sum_cost
from simulator.inputs.architecture import Architecture, check_architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import STACK_FOLDER, list_ids, load_stack

ONE = Deployment()
IDEAL = load_stack("ideal")
ALL_LOGITS = replace(IDEAL, logits="all")
UNFUSED = replace(load_stack("megatron-lm-2022"), builds_as=None, builds_as_by_model=None, encodes_text=False)
sum_flops = partial(sum_cost, cost="flops")
sum_kv_bytes = partial(sum_cost, cost="kv_bytes")
counts = st.integers(1, 60)


def step_of(a: Architecture, tokens: Batch, d: Deployment = ONE) -> Any:
    return build_pass(a, d, IDEAL, tokens)


def count_cache(a: Architecture, context: int, d: Deployment = ONE, batch: int = 1) -> float:
    return measure_footprint(a, d, IDEAL, context, 1, batch).kv_cache_bytes


# Grouped heads


@given(small_models(), counts, st.integers(1, 9))
def test_half_of_the_kv_heads_are_half_of_the_kv_bytes(a: Architecture, context: int, batch: int) -> None:
    twice = replace(a, num_attention_heads=2 * a.num_attention_heads, num_key_value_heads=2 * a.kv_heads)
    half = replace(twice, num_key_value_heads=a.kv_heads)
    assert count_cache(twice, context, batch=batch) == 2 * count_cache(half, context, batch=batch)
    for tokens in (prefill_batch(context, batch), decode_batch(context, batch)):
        assert sum_kv_bytes(step_of(twice, tokens)) == 2 * sum_kv_bytes(step_of(half, tokens))


@pytest.mark.parametrize("tp", [1, 2, 8])
@pytest.mark.parametrize("stack", ["ideal", "tensorrt-llm-1.3", "transformers-eager"])
@pytest.mark.parametrize("calibration", ["none", PROFILE])
def test_one_key_head_for_each_query_head_is_multi_head_attention(calibration: str, stack: str, tp: int) -> None:
    models = (replace(LLAMA, num_key_value_heads=heads) for heads in (None, 32))
    plain, grouped = (predict(a, "a100-sxm-80gb", calibration, stack=stack, tp=tp, batch_size=3) for a in models)
    assert times(plain) == times(grouped)
    assert plain.footprint == grouped.footprint


@pytest.mark.parametrize(("tp", "kv_heads", "copies"), [(4, 4, 1), (8, 4, 2), (8, 2, 4), (8, 1, 8), (2, 4, 1)])
def test_kv_heads_fewer_than_devices_are_on_several_of_them(tp: int, kv_heads: int, copies: int) -> None:
    a, d = replace(LLAMA, num_key_value_heads=kv_heads), Deployment(tp=tp)
    one_head = 2 * 128 * 2 * 32 * 1000  # keys and values of 128 numbers of two bytes, in 32 layers, for 1000 tokens
    assert count_cache(a, 1000) == kv_heads * one_head
    assert count_cache(a, 1000, d) == copies * kv_heads * one_head
    read = sum_kv_bytes(build_pass(a, d, IDEAL, decode_batch(999, 1)))  # of one device: 999 are read, one is written
    assert read == max(kv_heads / tp, 1) * one_head
    (qkv,) = (op for _, op in list_all(step_of(a, decode_batch(1, 1), d)) if op.name == "qkv projection")
    assert qkv.n == 128 * (32 / tp + 2 * max(kv_heads / tp, 1))


@given(any_model, counts, st.integers(1, 9))
def test_one_device_sends_nothing(a: Architecture, p: int, batch: int) -> None:
    for tokens in (prefill_batch(p, batch), decode_batch(p, batch)):
        assert not any(operator.message_bytes for _, operator in list_all(step_of(a, tokens)))


# Sliding windows


def count_visible(queries: int, context: int, window: int) -> int:
    """Pairs of a new token and a token that it sees, one by one."""
    pairs = ((i, j) for i in range(context - queries, context) for j in range(context))
    return sum(1 for i, j in pairs if i - window < j <= i)


def attend(queries: int, context: int, window: int | None) -> Any:
    sizes: dict[str, Any] = {"launches": 1, "activation_bytes": 2, "kv_bytes": 2}
    return attention(1, queries, context, 1, 1, 1, decoding=queries == 1, window=window, **sizes)


@given(counts, st.integers(1, 80))
def test_the_scores_of_a_windowed_prompt_are_the_pairs_that_see_each_other(p: int, window: int) -> None:
    assert attend(p, p, window).flops == 4 * count_visible(p, p, window)  # two products, two a multiply-add
    assert attend(1, p, window).flops == 4 * count_visible(1, p, window)


@given(counts, st.integers(0, 60), st.integers(1, 80))
def test_the_scores_of_a_part_of_a_prompt_are_the_pairs_that_see_each_other(new: int, old: int, window: int) -> None:
    assert attend(new, old + new, window).flops == 4 * count_visible(new, old + new, window)


@given(counts, st.integers(0, 60), st.integers(1, 80))
def test_a_window_reads_the_tokens_that_some_query_sees(new: int, old: int, window: int) -> None:
    context = old + new
    seen = {j for i in range(old, context) for j in range(context) if i - window < j <= i}
    assert attend(new, context, window).kv_bytes == 2 * 2 * (len(seen) + new)  # keys and values of two bytes


@given(small_models("window"), counts)
def test_each_layer_keeps_the_tokens_that_it_may_see(a: Architecture, context: int) -> None:
    assert a.sliding_window is not None
    full, windowed = (count_layers(a, kind) for kind in ("attention", "window_attention"))
    layers = [context] * full + [min(context, a.sliding_window - 1)] * windowed
    assert count_cache(a, context) == sum(layers) * 2 * a.kv_heads * a.head_size * 2


LONG_WINDOW = {"prompt_tokens": 700, "output_tokens": 50, "batch_size": 4}  # reaches 749 tokens


@pytest.mark.parametrize("window", [750, 4096])
@pytest.mark.parametrize("layout", [{}, {"tp": 8}, {"pp": 4, "micro_batches": 4}])
@pytest.mark.parametrize("stack", ["ideal", "tensorrt-llm-1.3", "transformers-eager", "llama.cpp-2025"])
@pytest.mark.parametrize("calibration", ["none", PROFILE])
def test_a_window_as_long_as_the_context_is_none(
    calibration: str, stack: str, layout: dict[str, int], window: int
) -> None:
    question: dict[str, Any] = {
        "hardware": "a100-sxm-80gb",
        "calibration": calibration,
        "stack": stack,
        **layout,
        **LONG_WINDOW,
    }
    whole, windowed = (predict(a, **question) for a in (LLAMA, replace(LLAMA, sliding_window=window)))
    assert times(whole) == times(windowed)
    assert (whole.footprint, whole.mfu, whole.mbu) == (windowed.footprint, windowed.mfu, windowed.mbu)


@pytest.mark.parametrize("calibration", ["none", PROFILE])
def test_layers_that_alternate_lie_between_those_that_see_all_and_those_that_do_not(calibration: str) -> None:
    question: dict[str, Any] = {
        "hardware": "a100-sxm-80gb",
        "calibration": calibration,
        "prompt_tokens": 16000,
        "stack": "ideal",
    }
    full = [26, 20, 4, 0]
    answers = [predict(replace(GEMMA, layers=make_groups(26, full=layers)), **question) for layers in full]
    for slower, faster in pairwise(answers):
        assert all(f < s for f, s in zip(times(faster), times(slower), strict=True))
        assert faster.kv_cache_bytes < slower.kv_cache_bytes
    # As many layers as there are less of one kind: the difference of two answers is in proportion.
    ttft = [answer.ttft_s for answer in answers]
    assert (ttft[0] - ttft[2]) / (ttft[0] - ttft[3]) == pytest.approx(22 / 26)


def test_the_cache_of_mistral_stops_growing_at_its_window() -> None:
    """Jiang et al. 2023 (arXiv 2310.06825), section 2: on 32k tokens the rolling buffer saves a factor of eight.

    Between passes a place of it is free: the next token's own.
    """
    saved = count_cache(replace(MISTRAL, sliding_window=None), 32768) / count_cache(MISTRAL, 32768)
    assert saved == pytest.approx(8 * 4096 / 4095, rel=1e-12)
    assert count_cache(MISTRAL, 32768) == count_cache(MISTRAL, 4095)


# A prompt is read as it would be written


@given(any_model.filter(lambda a: not a.is_latent), counts, st.integers(1, 3))
def test_reading_a_prompt_is_the_work_of_writing_it_token_by_token(a: Architecture, p: int, batch: int) -> None:
    """Of experts the expected work, a share of which may be rounded."""
    at_once = sum_flops(build_pass(a, ONE, ALL_LOGITS, prefill_batch(p, batch)))
    parts = [sum_flops(build_pass(a, ONE, ALL_LOGITS, decode_batch(c, batch))) for c in range(1, p + 1)]
    assert at_once == pytest.approx(sum(parts), rel=1e-12 if a.num_experts else 0)


@given(any_model, counts, st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_what_a_model_asks_for_over_a_prompt_is_what_it_asks_for_over_its_tokens(
    a: Architecture, p: int, batch: int, pp: int
) -> None:
    def count_body(tokens: Batch) -> float:
        return count_model_flops(a, Deployment(pp=pp), tokens) - 2 * batch * a.hidden_size * a.vocab_size

    parts = [count_body(decode_batch(c, batch)) for c in range(1, p + 1)]
    assert count_body(prefill_batch(p, batch)) == pytest.approx(sum(parts), rel=1e-11)


@given(small_models("window"), counts, st.integers(1, 3))
def test_a_masked_window_costs_unfused_attention_all_scores(a: Architecture, p: int, batch: int) -> None:
    whole = replace(a, sliding_window=None, layers=None)
    costs = [sum_flops(build_pass(model, ONE, UNFUSED, prefill_batch(p, batch))) for model in (a, whole)]
    assert costs[0] == costs[1]


# Latent attention, as DeepSeek-V2 (arXiv 2405.04434), section 2.1, defines it


class Latent(nn.Module):
    """One attention block: unpacked over a prompt, or with the unpacking absorbed after a cache."""

    def __init__(self, a: Architecture, tp: int = 1) -> None:
        super().__init__()
        assert a.kv_lora_rank is not None
        assert a.qk_rope_head_dim is not None
        assert a.qk_nope_head_dim is not None
        assert a.v_head_dim is not None
        h, self.rank, self.rotated = a.hidden_size, a.kv_lora_rank, a.qk_rope_head_dim
        self.heads, self.plain, self.value = a.num_attention_heads // tp, a.qk_nope_head_dim, a.v_head_dim
        query = self.heads * (self.plain + self.rotated)
        narrow = [] if a.q_lora_rank is None else [nn.Linear(h, a.q_lora_rank, bias=False), nn.RMSNorm(a.q_lora_rank)]
        self.query = nn.Sequential(*narrow, nn.Linear(a.q_lora_rank or h, query, bias=False))
        self.down = nn.Linear(h, self.rank + self.rotated, bias=False)
        self.norm = nn.RMSNorm(self.rank)
        self.keys_up = nn.Parameter(torch.empty(self.heads, self.plain, self.rank))
        self.values_up = nn.Parameter(torch.empty(self.heads, self.rank, self.value))
        self.out = nn.Linear(self.heads * self.value, h, bias=False)

    def forward(self, x: torch.Tensor, cached: int | None) -> torch.Tensor:
        b, q, _ = x.shape
        query = self.query(x).view(b, q, self.heads, -1).transpose(1, 2).reshape(b * self.heads, q, -1)
        mixed = self.unpack(query, self.down(x)) if cached is None else self.absorb(query, self.down(x), cached)
        return self.out(mixed.view(b, self.heads, q, self.value).transpose(1, 2).reshape(b, q, -1))

    def unpack(self, query: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        b, c, _ = new.shape
        latent, rotated = new.split([self.rank, self.rotated], dim=-1)
        both = torch.cat([self.keys_up, self.values_up.transpose(1, 2)], dim=1).view(-1, self.rank)
        unpacked = nn.functional.linear(self.norm(latent), both).view(b, c, self.heads, -1).transpose(1, 2)
        plain, values = unpacked.reshape(b * self.heads, c, -1).split([self.plain, self.value], dim=-1)
        keys = torch.cat([plain, rotated.repeat_interleave(self.heads, dim=0)], dim=-1)
        return torch.bmm(torch.bmm(query, keys.transpose(1, 2)).softmax(-1), values)

    def absorb(self, query: torch.Tensor, new: torch.Tensor, cached: int) -> torch.Tensor:
        b = new.shape[0]
        cache = torch.cat([new.new_empty(b, cached, new.shape[-1]), new], dim=1)
        plain, rotated = query.view(b, self.heads, -1).split([self.plain, self.rotated], dim=-1)
        absorbed = torch.matmul(plain.transpose(0, 1), self.keys_up).transpose(0, 1)
        scores = torch.bmm(torch.cat([absorbed, rotated], dim=-1), cache.transpose(1, 2))
        mixed = torch.bmm(scores.softmax(-1), cache[..., : self.rank])
        return torch.matmul(mixed.transpose(0, 1), self.values_up).transpose(0, 1)


def run_latent(a: Architecture, batch: int, new: int, cached: int | None, tp: int = 1) -> tuple[int, int]:
    """FLOPs of a block, and numbers of its parameters."""
    with torch.device("meta"):
        block = Latent(a, tp)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.empty(batch, new, a.hidden_size, device="meta"), cached)
    return counter.get_total_flops(), sum(parameter.numel() for parameter in block.parameters())


def count_block_flops(a: Architecture, tokens: Batch, d: Deployment = ONE) -> float:
    """FLOPs of the attention block of one layer: all but the feed-forward block and the head."""
    step = build_pass(a, d, IDEAL, tokens)
    operators = [op for groups in (step.linear.layers, step.mixing) for _, ops in groups for op in ops]
    return sum(op.flops for op in operators if not op.name.startswith(("ffn", "experts", "shared", "router")))


def mask(a: Architecture, p: int, batch: int, tp: int = 1) -> float:
    """FLOPs of the scores above the diagonal of the square, which the oracle works out."""
    widths = a.qk_nope_head_dim + a.qk_rope_head_dim + a.v_head_dim
    return 2 * batch * a.num_attention_heads / tp * (p * (p - 1) / 2) * widths


def check_latent(a: Architecture, p: int, cached: int, batch: int, tp: int = 1) -> None:
    prompt, numbers = run_latent(a, batch, p, None, tp)
    new, _ = run_latent(a, batch, 1, cached, tp)
    d = Deployment(tp=tp)
    assert count_block_flops(a, prefill_batch(p, batch), d) == prompt - mask(a, p, batch, tp)
    assert count_block_flops(a, decode_batch(cached + 1, batch), d) == new
    if tp == 1:
        bare = replace(
            a, kv_lora_rank=None, v_head_dim=None, num_key_value_heads=1, head_dim=1
        )  # 1 + 1 + 1 + 1 numbers a head and h
        others = count_parameters(bare) - a.num_hidden_layers * a.hidden_size * (2 * a.num_attention_heads + 2)
        assert count_parameters(a) - others == a.num_hidden_layers * numbers


@given(small_models("latent"), counts, counts, st.integers(1, 3))
def test_latent_attention_does_the_work_that_pytorch_counts(a: Architecture, p: int, cached: int, batch: int) -> None:
    check_latent(a, p, cached, batch)


@pytest.mark.parametrize("tp", [1, 8])
@pytest.mark.parametrize("a", [DEEPSEEK_LITE, DEEPSEEK], ids=["lite", "v3"])
def test_deepseek_does_the_work_that_pytorch_counts(a: Architecture, tp: int) -> None:
    check_latent(a, 77, 1000, 3, tp)


@pytest.mark.parametrize("tp", [1, 4, 16])
def test_latent_attention_keeps_576_numbers_a_token_and_layer_on_each_device(tp: int) -> None:
    """DeepSeek-V2, table 1: (d_c + d_h^R) l elements, equal to 2.25 groups of keys and values."""
    assert count_cache(DEEPSEEK, 1000, Deployment(tp=tp)) == tp * 576 * 61 * 1000 * 2
    step = build_pass(DEEPSEEK, Deployment(tp=tp), IDEAL, decode_batch(999, 2))
    assert sum_kv_bytes(step) == 576 * 61 * 1000 * 2 * 2
    grouped = replace(LLAMA, num_hidden_layers=61, num_key_value_heads=9, num_attention_heads=36, head_dim=128)
    assert count_cache(DEEPSEEK, 100) == count_cache(grouped, 100) / 4


@given(small_models("latent"), counts, st.integers(1, 3))
def test_absorbing_reads_the_matrices_that_unpacking_reads(a: Architecture, context: int, batch: int) -> None:
    totals = [sum_cost(step_of(a, tokens(context, batch)), "weight_bytes") for tokens in (prefill_batch, decode_batch)]
    assert totals[0] == totals[1]


@pytest.mark.parametrize("name", [name for name in list_ids(STACK_FOLDER) if name != "transformers-eager"])
def test_a_decode_pass_reads_the_compressed_cache_that_is_kept(name: str) -> None:
    """And writes one token; Transformers moves it more often."""
    answer = predict(DEEPSEEK_LITE, "h100-sxm-80gb", "none", stack=name, prompt_tokens=1000, output_tokens=2)
    if load_stack(name).builds_as is None:
        kept = 27 * 576 * 2 * 1001
        assert answer.kv_cache_bytes == kept
        assert sum_kv_bytes(answer.question.passes.decode) == pytest.approx(kept, rel=2 / 1001)


@pytest.mark.parametrize("batch", [1, 8, 64])
@pytest.mark.parametrize("context", [100, 4000])
def test_twice_the_heads_never_take_latent_attention_more_than_twice_as_long(context: int, batch: int) -> None:
    """They could take turns."""
    seconds = []
    for tp in (1, 2, 4, 8, 16):
        answer = predict(
            *(DEEPSEEK, "h100-sxm-80gb", PROFILE),
            stack="vllm-0.10",
            tp=tp,
            prompt_tokens=context,
            batch_size=batch,
        )
        seconds += [one.seconds for one in answer.request.decode.operators if one.operator.name == "latent attention"]
    assert len(seconds) == 5
    assert all(many <= 2 * few for many, few in pairwise(seconds))


@settings(max_examples=20)
@given(st.sampled_from(sorted(FAMILIES)), st.sampled_from([1, 8]), st.integers(1, 9000), st.sampled_from([1, 8, 64]))
def test_no_kind_of_attention_goes_beyond_the_device(name: str, tp: int, p: int, batch: int) -> None:
    a = FAMILIES[name]
    assume(a.num_attention_heads % tp == 0)
    answer = predict(a, "h100-sxm-80gb", "none", tp=tp, prompt_tokens=p, batch_size=batch)
    assert 0 < answer.mfu <= 1 + 1e-12
    assert 0 < answer.mbu <= 1 + 1e-12


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kv_lora_rank": 512}, "kv_lora_rank is given, but not qk_nope_head_dim, qk_rope_head_dim, v_head_dim"),
        ({"sliding_window": 0}, "sliding_window is 0; it must be at least 1"),
        ({"sliding_window": 9, "layers": make_groups(33, full=1)}, "layers add up to 33, and num_hidden_layers is 32"),
        ({"layers": make_groups(32, full=1)}, "layers of window_attention, but no sliding_window"),
        ({"num_key_value_heads": 5}, "num_attention_heads 32 is not a multiple of num_key_value_heads 5"),
    ],
)
def test_a_part_of_a_structure_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(Exception, match=text):
        check_architecture(replace(LLAMA, **changes), "here")
