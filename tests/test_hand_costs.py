"""Costs worked out by hand, for a model or operator of a few tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from simulator.costs.batch import Batch, Segment, decode_batch, prefill_batch
from simulator.costs.feed_forwards.experts import count_activated_experts, list_dispatch
from simulator.costs.footprint import count_weights
from simulator.costs.kernels import count_expert_width
from simulator.costs.mixers.compressed import CompressedAttention, attend, score_summaries
from simulator.costs.mixers.indexed import score
from simulator.costs.mixers.recurrent import Recurrence, Recurrent
from simulator.costs.operators import attention, grouped, linear
from simulator.costs.passes import build_pass, count_model_flops, list_all, list_mixing
from simulator.costs.request import RequestPasses
from simulator.costs.structure import Layer
from simulator.inputs.checkpoint import CheckpointFormats, PartFormat
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_model, load_stack

# Costs


def test_a_product_computes_two_flops_a_multiply_add_and_moves_both_operands_and_the_result() -> None:
    op = linear("p", 3, 5, 7, weight_bytes=1, activation_bytes=2, input_bytes=4)
    assert op.flops == 2 * 3 * 5 * 7
    assert op.weight_bytes == 5 * 7 * 1
    assert op.activation_bytes == 3 * 7 * 4 + 3 * 5 * 2
    assert op.bytes_moved == 35 + 114
    four = grouped("g", 4, 3, 5, 7, weight_bytes=1, activation_bytes=2, input_bytes=4)
    assert (four.flops, four.weight_bytes, four.activation_bytes) == (4 * 210, 4 * 35, 4 * 114)


def test_weights_of_one_byte_are_half_as_wide_as_numbers_of_two_and_wide_ones_are_no_wider() -> None:
    shares = {size: linear("p", 3, 5, 7, weight_bytes=size, activation_bytes=2).weight_share for size in (1, 2, 4)}
    assert shares == {1: 0.5, 2: 1, 4: 1}


@pytest.mark.parametrize(
    ("window", "scores", "read"),
    [
        (None, 7 + 8 + 9 + 10, 10),  # the four queries are tokens 7 to 10, and see all before them and themselves
        (5, 5 + 5 + 5 + 5, 8),  # each sees five; together tokens 3 to 10
        (9, 7 + 8 + 9 + 9, 10),
    ],
)
def test_attention_of_four_queries_over_ten_tokens(window: int | None, scores: int, read: int) -> None:
    op = attention(2, 4, 10, 6, 3, 8, decoding=False, launches=1, activation_bytes=2, kv_bytes=1, window=window)
    assert op.flops == 2 * 6 * scores * 2 * (2 * 8)  # sequences, heads; score and weighted sum; multiply and add
    assert op.activation_bytes == 2 * 2 * 4 * 6 * 8 * 2  # queries in and results out
    assert op.kv_bytes == 2 * 2 * (read + 4) * 3 * 8 * 1  # keys and values read, and four tokens' written
    assert (op.batch, op.group) == (12, 2)


def test_four_devices_share_heads_and_columns_of_llama_2_70b() -> None:
    """16 of 64 query heads and 2 of 8 key heads of 128 each; 7,168 of 28,672 columns, twice in a gated block."""
    work = build_pass(
        load_model("llama-2-70b").architecture, Deployment(tp=4), load_stack("ideal"), decode_batch(10, 3)
    )
    products = {op.name: (count, op.m, op.n, op.k) for count, op in list_all(work) if op.kind == "linear"}
    assert products == {
        "qkv projection": (80, 3, 16 * 128 + 2 * 2 * 128, 8192),
        "output projection": (80, 3, 8192, 16 * 128),
        "ffn in": (80, 3, 2 * 7168, 8192),
        "ffn out": (80, 3, 8192, 7168),
        "lm head": (1, 3, 32000 / 4, 8192),
    }


def test_three_sequences_have_their_logits_turned_to_fp32_and_searched() -> None:
    """vLLM: 32,000 logits of two bytes each become ones of four, which are read once more."""
    work = build_pass(load_model("llama-2-7b").architecture, Deployment(), load_stack("vllm-0.10"), decode_batch(10, 3))
    moved = {op.name: (count, op.bytes_moved) for count, op in list_all(work) if op.kind == "elementwise"}
    assert moved["logits to fp32"] == (1, 3 * 32000 * (2 + 4))
    assert moved["most likely token"] == (1, 3 * 32000 * 4)


def test_a_tied_head_has_the_format_of_the_token_table() -> None:
    own = CheckpointFormats(embedding=PartFormat("int8"), head=PartFormat("fp32"))
    for model, size in (("gemma-2-2b", 1), ("llama-2-7b", 4)):  # the first has one table for both
        a = load_model(model).architecture
        work = build_pass(a, Deployment(dtype="bf16", own=own), load_stack("ideal"), decode_batch(10, 1))
        (head,) = (op for _, op in list_all(work) if op.name == "lm head")
        assert head.weight_bytes == a.vocab_size * a.hidden_size * size


def test_padding_of_the_vocabulary_counts_in_every_table() -> None:
    """Megatron pads GPT-J's 50,400 rows to a multiple of 128 x 8, 51,200: 800 more, in the token table and the head."""
    a, stack = load_model("gptj-6b").architecture, load_stack("megatron-lm-2022")
    padded, plain = (count_weights(a, Deployment(tp=8), load_stack(name)) for name in ("megatron-lm-2022", "ideal"))
    assert stack.vocab_multiple == 128
    assert padded - plain == 2 * 800 * 4096


def test_kernels_of_a_mixture_run_over_the_experts_that_a_token_meets() -> None:
    """Mixtral: two of eight experts of 14,336."""
    assert count_expert_width(load_model("mixtral-8x7b-v0.1").architecture) == 2 * 14336


def test_latent_decode_reads_one_compressed_vector_a_token_for_all_heads() -> None:
    """DeepSeek-V2-Lite: 16 heads, a rank of 512 and 64 rotated numbers: 576 a token."""
    a = load_model("deepseek-v2-lite").architecture
    ((layers, (op,)),) = list_mixing(a, Deployment(), load_stack("ideal"), decode_batch(100, 2))
    assert layers == 27
    assert op.flops == 2 * 16 * 100 * 2 * (576 + 512)
    assert op.kv_bytes == 2 * (100 + 1) * 576 * 2
    assert op.activation_bytes == 2 * 16 * (576 + 512) * 2


def test_three_tokens_of_two_experts_each_activate_4_625_of_eight() -> None:
    """A token misses an expert with 3/4, all three with 27/64; Mixtral has eight, of which a token is sent to two."""
    a = load_model("mixtral-8x7b-v0.1").architecture
    assert count_activated_experts(a, 3) == 8 * (1 - 27 / 64) == 4.625
    dispatch, combine, gathered = list_dispatch(a, Deployment(tp=2, ep=4, dp=2), 6)
    assert dispatch.message_bytes == combine.message_bytes == 6 / 2 * 2 * 4096 * 2
    assert gathered.message_bytes == 6 * 4096 * 2


def test_a_pass_has_the_rows_of_all_its_segments_and_logits_where_they_are_wanted() -> None:
    batch = Batch((Segment(31, 1, 700, decodes=True), Segment(1, 512, 512, needs_logits=False), Segment(2, 8)))
    assert (batch.rows, batch.sequences, batch.logits) == (31 + 512 + 16, 34, 33)
    assert [segment.reached for segment in batch.segments] == [701, 1024, 8]


def test_micro_batches_fill_a_pipeline_and_wait_for_each_other() -> None:
    def pipe(parts: int) -> RequestPasses:
        nothing: Any = None
        return RequestPasses(nothing, 1, None, nothing, nothing, 1, parts, 1 / 4)

    assert (pipe(3).filling, pipe(3).turns) == (1 + 2 / 4, 1)
    assert (pipe(8).filling, pipe(8).turns) == (1 + 7 / 4, 2)


def test_the_flops_that_gpt_j_asks_for_over_a_prompt_of_four_tokens() -> None:
    """28 layers of 4 x 4096 x 4096 and 2 x 4096 x 16384 weights; ten scores a layer; the logits of the last token."""
    a = load_model("gptj-6b").architecture
    matrices = 28 * (4 * 4096**2 + 2 * 4096 * 16384)
    scores = 28 * (1 + 2 + 3 + 4) * 2 * 4096
    assert count_model_flops(a, Deployment(), prefill_batch(4, 1)) == 2 * (4 * matrices + scores + 4096 * 50400)


@pytest.mark.parametrize(
    ("sizes", "pairs"),
    [
        ({}, 8),
        ({"compress_rate": 4}, 8 + 96 / 4),  # and a summary of every four tokens
        ({"compress_rate": 4, "index_topk": 5}, 8 + 5),  # five of those
    ],
)
def test_compressed_attention_of_one_token_over_96_meets_a_window_of_eight_and_summaries(
    sizes: dict[str, int], pairs: float
) -> None:
    layer: Any = SimpleNamespace(sizes=sizes, a=SimpleNamespace(sliding_window=8, num_attention_heads=6, head_size=16))
    op = attend(layer, Deployment(), Segment(2, 1, 95, decodes=True))
    assert op.flops == 2 * 6 * pairs * 2 * (2 * 16)  # sequences, heads; score and weighted sum; multiply and add
    assert op.kv_bytes == 2 * (pairs + 1) * 16 * 2  # one vector is key and value; one is written
    assert op.activation_bytes == 2 * 6 * (16 + 16) * 2


def test_an_index_scores_every_summary_for_a_new_token() -> None:
    """Two heads of eight numbers over 24 summaries, for each of two sequences: queries in, scores out, keys read."""
    layer: Any = SimpleNamespace(sizes={"compress_rate": 4, "index_n_heads": 2, "index_head_dim": 8})
    op = score_summaries(layer, Deployment(), Segment(2, 1, 95, decodes=True))
    assert op.flops == 2 * 24 * 2 * (2 * 8)
    assert op.activation_bytes == 2 * (2 * 8 + 24) * 2
    assert op.kv_bytes == 2 * 24 * 8 * 2


def test_unfused_attention_works_out_all_scores_and_reads_every_key() -> None:
    """GPT-J, 16 heads of 256: two sequences of four tokens have 2 x 16 x 4 x 4 scores, the masked half included."""
    stack = load_stack("megatron-lm-2022")
    ((layers, (scores, _, values)),) = list_mixing(
        load_model("gptj-6b").architecture, Deployment(), stack, prefill_batch(4, 2)
    )
    assert layers == 28
    for op in (scores, values):
        assert op.flops == 2 * 16 * 4 * 4 * 2 * 256
        assert op.activation_bytes == (2 * 4 * 16 * 256 + 2 * 16 * 4 * 4) * 2  # queries in, scores out; the other way
        assert op.kv_bytes == 2 * 4 * 16 * 256 * 2  # keys; values


def test_prompts_alone_are_unfused_where_a_stack_says_so() -> None:
    """Scores of a prompt go through memory, in two bytes and four; a new token has one kernel over its cache."""
    stack, model = load_stack("fastertransformer-5"), load_model("gptj-6b").architecture
    ((_, prompt),) = list_mixing(model, Deployment(), stack, prefill_batch(4, 2))
    assert [op.kind for op in prompt] == ["batched", "elementwise", "batched"]
    scores = 2 * 16 * 4 * 4
    assert prompt[1].activation_bytes == scores * (4 + 2 * 2)
    ((_, decode),) = list_mixing(model, Deployment(), stack, decode_batch(4, 2))
    assert [op.kind for op in decode] == ["decode_attention"]
    assert decode[0].launches == 1


def test_the_index_of_sparse_attention_scores_all_tokens_for_each_new_one() -> None:
    """Two heads of eight numbers: four queries see 7 + 8 + 9 + 10 of ten tokens, of each of three sequences."""
    layer: Any = SimpleNamespace(sizes={"index_n_heads": 2, "index_head_dim": 8})
    op = score(layer, Deployment(), Segment(3, 4, 6))
    assert op.flops == 3 * 2 * (7 + 8 + 9 + 10) * (2 * 8)
    assert op.activation_bytes == 3 * 4 * (2 * 8 + 10) * 2
    assert op.kv_bytes == 3 * (10 + 4) * 8 * 2
    assert (op.m, op.n, op.k, op.batch) == (4 * 2, 10, 8, 3)


def test_a_state_meets_every_token_twice() -> None:
    """Four heads of states of 16 x 8 numbers: kept up by each of ten tokens, and read by it."""

    class Toy(Recurrent):
        def measure(self, layer: Layer) -> Recurrence:
            return Recurrence((), 0, 0, heads=4, key_size=16, value_size=8, others=0)

    layer: Any = None
    assert Toy().measure(layer).width == 2 * 4 * (16 + 8)  # query and key; value and result
    assert Toy().count_flops(layer, Deployment(), Segment(2, 5)) == 10 * 4 * 16 * 8 * 2 * 2


def test_compressed_attention_keeps_a_window_summaries_and_tokens_that_wait_for_theirs() -> None:
    """Of 99 tokens seven stay for the next one's window of eight, 24 summaries of four, and three with their gates."""
    layer: Any = SimpleNamespace(sizes={"compress_rate": 4}, a=SimpleNamespace(sliding_window=8, head_size=16))
    assert CompressedAttention().count_cache(layer, Deployment(), 99) == 7 * 16 + 24 * 16 + 2 * 3 * 16
    # With an index of 8 numbers beside each, and summaries that overlap, tokens wait for two.
    layer.sizes |= {"index_topk": 5, "index_head_dim": 8}
    assert CompressedAttention().count_cache(layer, Deployment(), 99) == 7 * 16 + 24 * 24 + 2 * 3 * 2 * 24


def test_a_layer_of_one_part_alone_has_half_of_the_norms_and_residuals_of_a_whole_one() -> None:
    """Llama 2 has two norms in each of 32 layers, Nemotron-3-Nano one in each of 52: a mixer or a feed-forward."""
    stack = load_stack("vllm-0.10")
    for model, norms in (("llama-2-7b", 2 * 32), ("nemotron-3-nano-30b-a3b", 52)):
        work = build_pass(load_model(model).architecture, Deployment(), stack, decode_batch(10, 1))
        names = {kernel.name for kernel in stack.layer_kernels if kernel.over == "hidden"}
        found = {name: sum(count for count, op in list_all(work) if op.name == name) for name in names}
        assert set(found.values()) - {0} == {norms}
