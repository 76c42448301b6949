"""The work of a forward pass, against an oracle: the same model as PyTorch builds it, on the meta device.

The oracle is a plain decoder with fused qkv, two batched products around a softmax over the whole square of scores, and
a head over all positions; with ``tp`` devices it is the slice that one of them holds (Shoeybi et al. 2019, arXiv
1909.08053, section 3). PyTorch counts its parameters, and its FLOPs under ``torch.utils.flop_counter``.
"""

import re
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.footprint import count_weights, measure_footprint
from simulator.costs.kernels import padded_vocabulary
from simulator.costs.parameters import count_parameters
from simulator.costs.passes import Pass, build_pass, list_all, sum_cost
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import MODEL_FOLDER, list_ids, load_model, load_stack
from simulator.inputs.stack import Stack

sum_flops = partial(sum_cost, cost="flops")
ONE = Deployment()
IDEAL = load_stack("ideal")
MEGATRON = load_stack("megatron-lm-2022")
UNFUSED = replace(MEGATRON, builds_as=None, builds_as_by_model=None)  # a model keeps its own structure
PROFILED = ("gptj-6b", "openai-davinci", "bloom")


class Norm(nn.Module):
    """LayerNorm, or RMSNorm with its weight alone."""

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight if self.bias is None else x * self.weight + self.bias


class Layer(nn.Module):
    """One layer on one of ``tp`` devices; every query attends to every key, masked or not."""

    def __init__(self, a: Architecture, tp: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = a.num_attention_heads // tp, a.kv_heads // tp
        self.size = a.head_dim or a.hidden_size // a.num_attention_heads
        h, f = a.hidden_size, a.intermediate_size // tp
        query, both = self.heads * self.size, 2 * self.kv_heads * self.size
        self.norms = nn.ModuleList(Norm(h, a.norm_bias) for _ in range(a.norms_per_layer))
        self.qkv = nn.Linear(h, query + both, bias=a.attention_bias)
        self.out = nn.Linear(query, h, bias=a.attention_output_bias)
        self.into = nn.ModuleList(nn.Linear(h, f, bias=a.mlp_bias) for _ in range(a.mlp_matrices - 1))
        self.down = nn.Linear(f, h, bias=a.mlp_bias)
        widths = {"none": (), "head": (self.size, self.size), "projection": (query, both // 2)}[a.qk_norm]
        self.qk_norms = nn.ModuleList(Norm(width, False) for width in widths)
        self.sinks = nn.Parameter(torch.empty(self.heads)) if a.attention_sinks else None

    def forward(self, x: torch.Tensor, cached: int) -> torch.Tensor:
        b, q, _ = x.shape
        qkv = self.qkv(self.norms[0](x)).view(b, q, -1, self.size).transpose(1, 2)
        query, new_keys, new_values = qkv.split([self.heads, self.kv_heads, self.kv_heads], dim=1)
        keys, values = (self.lengthen(new, cached) for new in (new_keys, new_values))
        query = query.reshape(b * self.heads, q, self.size)
        scores = torch.baddbmm(x.new_empty(b * self.heads, q, cached + q), query, keys.transpose(1, 2))
        mixed = torch.bmm(scores.softmax(-1), values).view(b, self.heads, q, self.size)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, q, -1))
        inner = self.norms[-1](x)
        product = self.into[0](inner)
        for gate in self.into[1:]:
            product = product * gate(inner)
        return x + self.down(product)

    def lengthen(self, new: torch.Tensor, cached: int) -> torch.Tensor:
        """Put the cache before new keys or values, and give every query head its own copy."""
        old = new.new_empty(new.shape[0], self.kv_heads, cached, self.size)
        whole = torch.cat([old, new], dim=2).repeat_interleave(self.heads // self.kv_heads, dim=1)
        return whole.reshape(-1, *whole.shape[2:])


class Oracle(nn.Module):
    """A decoder with ``rows`` entries in its vocabulary, as one of ``tp`` devices holds it.

    A narrow embedding is widened by a fixed identity and the output narrowed by a matrix, as in YaLM.
    """

    def __init__(self, a: Architecture, rows: int, tp: int = 1) -> None:
        super().__init__()
        width = a.embedding_size or a.hidden_size
        self.table = nn.Embedding(rows // tp, width)
        self.between = None if a.embedding_size is None else nn.Linear(a.hidden_size, width, bias=False)
        learned = a.position_embedding == "learned"
        self.positions = nn.Embedding(a.max_position_embeddings, a.hidden_size) if learned else None
        self.first = Norm(a.hidden_size, a.norm_bias) if a.embedding_norm else None
        self.layers = nn.ModuleList(Layer(a, tp) for _ in range(a.num_hidden_layers))
        self.final = Norm(a.hidden_size, a.norm_bias)
        self.head = nn.Linear(width, rows // tp, bias=a.lm_head_bias)
        if a.tie_word_embeddings:
            self.head.weight = self.table.weight

    def forward(self, x: torch.Tensor, cached: int, read: slice) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x, cached)
        x = self.final(x[:, read])
        return self.head(x if self.between is None else self.between(x))


@cache
def build_oracle(a: Architecture, rows: int, tp: int = 1) -> Oracle:
    """Build it without memory: a meta tensor has a shape and no numbers."""
    with torch.device("meta"):
        return Oracle(a, rows, tp)


def count_numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def run_oracle(
    a: Architecture, rows: int, batch: int, new: int, cached: int, tp: int = 1, read: slice = slice(None)
) -> tuple[int, int]:
    """FLOPs of a pass over ``new`` tokens after ``cached`` ones, all and of attention; the head reads ``read``."""
    oracle = build_oracle(a, rows, tp)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        oracle(torch.empty(batch, new, a.hidden_size, device="meta"), cached, read)
    by_operator = counter.get_flop_counts()["Global"]
    products = (torch.ops.aten.baddbmm, torch.ops.aten.bmm)
    return counter.get_total_flops(), sum(by_operator[product] for product in products)


def profiled(name: str) -> Architecture:
    """A shipped model as Megatron-LM built it to be profiled."""
    return MEGATRON.build(load_model(name).architecture, name)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Small models of any structure: grouped or full attention, gated or not, tied or not, with and without biases."""
    kv_heads, group, size = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    flags: dict[str, Any] = {
        field.name: draw(st.booleans()) for field in fields(Architecture) if isinstance(field.default, bool)
    }
    return Architecture(
        hidden_size=draw(st.integers(1, 24)),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=kv_heads * group,
        num_key_value_heads=kv_heads,
        head_dim=size,
        intermediate_size=draw(st.integers(1, 24)),
        vocab_size=draw(st.integers(1, 400)),
        max_position_embeddings=draw(st.integers(1, 50)),
        embedding_size=draw(st.none() | st.integers(1, 24)),
        position_embedding=draw(st.sampled_from(("learned", "rotary", "alibi", "none"))),
        norms_per_layer=draw(st.integers(1, 2)),
        qk_norm=draw(st.sampled_from(("none", "head", "projection"))),
        **flags,
    )


counts = st.integers(1, 40)


@pytest.mark.parametrize("tp", [1, 8])
@pytest.mark.parametrize("name", PROFILED)
def test_a_profiled_model_has_the_parameters_and_the_work_that_pytorch_counts(name: str, tp: int) -> None:
    a, d = replace(profiled(name), num_hidden_layers=2), Deployment(tp)  # of its layers two, which are all alike
    rows = padded_vocabulary(a, d, MEGATRON)
    assert count_parameters(a) == count_numbers(build_oracle(a, a.vocab_size))
    assert count_weights(a, d, MEGATRON) == count_numbers(build_oracle(a, rows))
    for tokens, new, cached in ((prefill_batch(65, 3), 65, 0), (decode_batch(778, 3), 1, 777)):
        flops, _ = run_oracle(a, rows, batch=3, new=new, cached=cached, tp=tp)
        assert sum_flops(build_pass(a, d, MEGATRON, tokens)) == flops


@given(architectures(), counts, counts, st.integers(1, 3))
def test_any_decoder_has_the_parameters_and_the_work_that_pytorch_counts(
    a: Architecture, p: int, cached: int, batch: int
) -> None:
    assert count_parameters(a) == count_numbers(build_oracle(a, a.vocab_size))
    rows = padded_vocabulary(a, ONE, UNFUSED)
    prefill, _ = run_oracle(a, rows, batch, p, 0)
    decode, _ = run_oracle(a, rows, batch, 1, cached)
    assert sum_flops(build_pass(a, ONE, UNFUSED, prefill_batch(p, batch))) == prefill
    assert sum_flops(build_pass(a, ONE, UNFUSED, decode_batch(cached + 1, batch))) == decode


@given(architectures(), counts, st.integers(1, 3))
def test_flash_attention_skips_the_masked_scores_and_the_head_reads_the_last_position(
    a: Architecture, p: int, batch: int
) -> None:
    flops, square = run_oracle(a, a.vocab_size, batch, p, 0, read=slice(-1, None))
    masked = square * (p - 1) // (2 * p)  # p (p - 1) / 2 of p p scores
    assert sum_flops(build_pass(a, ONE, IDEAL, prefill_batch(p, batch))) == flops - masked


@given(architectures(), counts, st.integers(1, 3))
def test_reading_a_prompt_is_the_work_of_writing_it_word_by_word(a: Architecture, p: int, batch: int) -> None:
    stack = replace(IDEAL, logits="all")
    at_once = sum_flops(build_pass(a, ONE, stack, prefill_batch(p, batch)))
    assert at_once == sum(sum_flops(build_pass(a, ONE, stack, decode_batch(c, batch))) for c in range(1, p + 1))


@pytest.mark.parametrize("name", ["gptj-6b", "openai-davinci", "bloom", "ai21-j1-large"])
def test_eight_devices_share_the_work_of_one_and_the_rows_that_pad_the_vocabulary(name: str) -> None:
    a, eight, p = profiled(name), Deployment(tp=8), 96
    added = padded_vocabulary(a, eight, MEGATRON) - padded_vocabulary(a, ONE, MEGATRON)
    alone, shared = (sum_flops(build_pass(a, d, MEGATRON, prefill_batch(p, 1))) for d in (ONE, eight))
    assert 8 * shared == alone + 2 * p * added * a.hidden_size


@given(architectures(), counts)
def test_a_decode_pass_reads_every_matrix_once(a: Architecture, context: int) -> None:
    oracle = build_oracle(a, a.vocab_size)
    matrices = {id(m.weight): m.weight.numel() for m in oracle.modules() if isinstance(m, nn.Linear)}
    step = build_pass(a, ONE, IDEAL, decode_batch(context, 1))
    assert sum(count * operator.weight_bytes for count, operator in list_all(step)) == 2 * sum(matrices.values())


@pytest.mark.parametrize(("log", "tp"), [("openai_davinci.log", 8), ("ai21_j1_large.log", 1)])
def test_each_device_holds_the_parameters_that_its_profiling_log_prints(data_folder: Path, log: str, tp: int) -> None:
    """Logs of Narayanan et al. 2023 (arXiv 2305.02440); norms, output biases and positions are on every device."""
    a = profiled(log.removesuffix(".log").replace("_", "-"))
    text = (data_folder / "megatron_logs" / log).read_text()
    printed = {int(count) for count in re.findall(r"number of parameters on .* rank \(\d+, 0\): (\d+)", text)}
    oracle = build_oracle(a, padded_vocabulary(a, Deployment(tp), MEGATRON), tp)
    assert printed == {count_numbers(oracle)}
    replicated = [*oracle.positions.parameters(), *oracle.final.parameters()]
    for layer in oracle.layers:
        replicated += [*layer.norms.parameters(), layer.out.bias, layer.down.bias]
    copies = sum(parameter.numel() for parameter in replicated)
    assert count_numbers(oracle) == (count_weights(a, Deployment(tp), MEGATRON) - copies) / tp + copies


@pytest.mark.parametrize("name", [n for n in list_ids(MODEL_FOLDER) if load_model(n).published_parameters])
def test_a_shipped_model_has_its_published_size(name: str) -> None:
    spec = load_model(name)  # the file names where the number was published
    assert count_parameters(spec.architecture) == pytest.approx(spec.published_parameters, rel=0.01)


def test_a_token_of_opt_13b_fills_800_kib_of_cache_and_each_pass_adds_one() -> None:
    """Kwon et al. 2023 (arXiv 2309.06180), section 3: 2 x 5120 x 40 layers x 2 bytes."""
    opt = Architecture(5120, 40, 40, 20480, 50272, 2048)
    assert measure_footprint(opt, ONE, IDEAL, 1, 1, 1).kv_cache_bytes == 800 * 1024
    assert measure_footprint(opt, ONE, IDEAL, 100, 29, 2).kv_cache_bytes == 800 * 1024 * 128 * 2
    moved = sum(n * op.kv_bytes for n, op in list_all(build_pass(opt, ONE, IDEAL, decode_batch(128, 2))))
    assert moved == 800 * 1024 * (128 + 1) * 2  # all are read, one is written


def test_logits_of_every_position_need_room() -> None:
    a, p = profiled("bloom"), 2048
    every, last = (measure_footprint(a, Deployment(8), replace(MEGATRON, logits=n), p, 1, 1) for n in ("all", "last"))
    assert every.device_bytes > last.device_bytes
    assert every.device_bytes > every.weights_bytes / 8 + 2 * p * a.vocab_size


@pytest.mark.parametrize("stack", [IDEAL, UNFUSED], ids=["ideal", "unfused"])
class TestInvariants:
    @given(a=architectures(), p=counts, b=st.integers(1, 9), n=st.integers(2, 9))
    def test_flops_are_linear_in_the_batch(self, stack: Stack, a: Architecture, p: int, b: int, n: int) -> None:
        for tokens in (prefill_batch, decode_batch):
            few, many = (sum_flops(build_pass(a, ONE, stack, tokens(p, size))) for size in (b, n * b))
            assert many == n * few

    @given(a=architectures(), p=counts, b=st.integers(1, 9))
    def test_twice_the_layers_cost_twice_as_much(self, stack: Stack, a: Architecture, p: int, b: int) -> None:
        double = replace(a, num_hidden_layers=2 * a.num_hidden_layers)
        thin, deep = (build_pass(model, ONE, stack, prefill_batch(p, b)) for model in (a, double))
        assert thin.linear.head == deep.linear.head
        for total in (sum_flops, partial(sum_cost, cost="bytes_moved")):
            assert total(deep) - total(thin) == total(thin) - total(Pass(replace(thin.linear, layers=[]), []))

    @given(a=architectures(), p=counts, b=st.integers(1, 9))
    def test_one_device_sends_no_message_and_two_do(self, stack: Stack, a: Architecture, p: int, b: int) -> None:
        alone = list_all(build_pass(a, ONE, stack, prefill_batch(p, b)))
        assert not any(operator.message_bytes for _, operator in alone)
        shared = list_all(build_pass(a, Deployment(tp=2), stack, prefill_batch(p, b)))
        sums = {operator.message_bytes for _, operator in shared if operator.kind == "all_reduce"}
        assert sums == {p * b * a.hidden_size * 2}
        gathered = [operator.message_bytes for _, operator in shared if operator.kind == "all_gather"]
        assert gathered == [p * b * padded_vocabulary(a, Deployment(tp=2), stack) * 2] * stack.gathers_logits

    @given(a=architectures(), fewer=counts, added=counts)
    def test_more_tokens_are_more_work(self, stack: Stack, a: Architecture, fewer: int, added: int) -> None:
        for phase in (prefill_batch, decode_batch):
            short, long = (build_pass(a, ONE, stack, phase(n, 2)) for n in (fewer, fewer + added))
            assert 0 < sum_flops(short) < sum_flops(long)
            # A softmax over the whole square has a leaner kernel for some lengths.
            rest = [[n * op.bytes_moved for n, op in list_all(s) if op.name != "softmax"] for s in (short, long)]
            assert 0 < sum(rest[0]) < sum(rest[1])

    @given(a=architectures(), p=counts, o=counts, b=st.integers(1, 9), times=st.integers(2, 5))
    def test_the_cache_is_in_proportion_to_the_kv_heads(
        self, stack: Stack, a: Architecture, p: int, o: int, b: int, times: int
    ) -> None:
        wide = replace(a, num_key_value_heads=times * a.kv_heads, num_attention_heads=times * a.num_attention_heads)
        narrow, wider = (measure_footprint(model, ONE, stack, p, o, b).kv_cache_bytes for model in (a, wide))
        assert wider == times * narrow
        steps = [build_pass(model, ONE, stack, decode_batch(p, b)) for model in (a, wide)]
        reads = [sum(count * operator.kv_bytes for count, operator in list_all(step)) for step in steps]
        assert reads[1] == times * reads[0]
