"""Mixtures of experts: how many a batch touches, what they compute, and how devices and replicas share them.

Oracles: random choices of experts, and PyTorch's meta device with a routing that gives every expert as many tokens.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from families import DEEPSEEK, DEEPSEEK_LITE, EXPERTS, LLAMA, MIXTRAL, QWEN_MOE, count_layers, small_models
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simulator import InputError
from simulator.costs.batch import Batch, decode_batch, prefill_batch
from simulator.costs.feed_forwards.experts import count_activated_experts
from simulator.costs.operators import Operator
from simulator.costs.parameters import count_active_parameters, count_parameters
from simulator.costs.passes import build_pass, list_all, sum_cost
from simulator.inputs.architecture import Architecture, LayerGroup, check_architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_model, load_stack

IDEAL = load_stack("ideal")
H100 = "h100-sxm-80gb"
models = st.sampled_from(list(EXPERTS.values()))
tokens = st.integers(1, 5000)


def list_expert_operators(a: Architecture, d: Deployment, at: Batch) -> list[tuple[Any, Operator]]:
    """The products of the experts of a pass, without the shared ones, on one device."""
    return [(n, op) for n, op in list_all(build_pass(a, d, IDEAL, at)) if op.name in ("experts in", "experts out")]


def sum_experts(a: Architecture, d: Deployment, at: Batch, cost: str) -> float:
    return sum(n * getattr(op, cost) for n, op in list_expert_operators(a, d, at))


# How many experts a batch touches


@given(models, tokens)
def test_more_tokens_touch_more_experts_each_fewer_new_ones(a: Architecture, m: int) -> None:
    before, now, after = (count_activated_experts(a, float(m + i)) for i in (0, 1, 2))
    assert a.num_experts_per_tok * (1 - 1e-12) <= before <= now <= after <= a.num_experts
    assert after - now <= (now - before) * (1 + 1e-9) + 1e-12 * a.num_experts
    assert before <= m * a.num_experts_per_tok * (1 + 1e-12)


@given(models)
def test_one_token_touches_the_experts_it_chooses_and_very_many_touch_all(a: Architecture) -> None:
    assert count_activated_experts(a, 1.0) == pytest.approx(a.num_experts_per_tok, rel=1e-12)
    assert count_activated_experts(a, 1e6) == a.num_experts


@pytest.mark.parametrize("m", [1, 2, 5, 16, 40, 200])
@pytest.mark.parametrize("a", [MIXTRAL, QWEN_MOE, DEEPSEEK], ids=["2 of 8", "4 of 60", "8 of 256"])
def test_experts_touched_are_those_of_random_choices_on_average(a: Architecture, m: int) -> None:
    assert a.num_experts is not None
    assert a.num_experts_per_tok is not None
    draws, rng = 400, np.random.default_rng(20240108 + m)
    scores = rng.random((draws, m, a.num_experts))
    chosen = np.argpartition(scores, a.num_experts_per_tok, axis=-1)[..., : a.num_experts_per_tok]
    hit = np.zeros((draws, a.num_experts), dtype=bool)
    np.put_along_axis(hit, chosen.reshape(draws, -1), True, axis=1)
    seen = hit.sum(axis=1)
    error = seen.std() / np.sqrt(draws)
    assert (
        abs(seen.mean() - count_activated_experts(a, float(m))) <= 4.5 * error + 3 / draws
    )  # a few of what is too rare to be seen


def test_sequences_of_one_text_meet_the_experts_of_one_and_every_token_is_worked_on_all_the_same() -> None:
    """Mixtral at batch 64: two experts of eight where all are alike, all eight where they are not."""
    a, d, stack = load_model("mixtral-8x7b-v0.1").architecture, Deployment(dtype="fp16"), load_stack("ideal")
    alike, different = (build_pass(a, d, stack, decode_batch(100, 64, same)) for same in (True, False))
    read = [
        sum(count * op.batch for count, op in list_all(one) if op.name == "experts in") / a.num_hidden_layers
        for one in (alike, different)
    ]
    assert read == pytest.approx([2, 8], rel=1e-6)
    assert sum_cost(alike, "flops") == pytest.approx(sum_cost(different, "flops"), rel=1e-9)
    answers = [
        predict("mixtral-8x7b-v0.1", "a100-sxm-80gb", "none", tp=2, batch_size=64, identical_prompts=same).tpot_s
        for same in (True, False)
    ]
    assert 2.5 * answers[0] < answers[1]


@given(models, tokens)
def test_a_pass_reads_the_experts_that_its_tokens_touch(a: Architecture, m: int) -> None:
    one = 3 * a.hidden_size * a.moe_intermediate_size * 2  # a gated block in two bytes
    layers = count_layers(a, "experts")
    read = sum_experts(a, Deployment(), decode_batch(100, m), "weight_bytes")
    assert read == pytest.approx(layers * count_activated_experts(a, float(m)) * one, rel=1e-12)


# What they compute


@given(
    models,
    tokens,
    st.sampled_from([{}, {"tp": 4}, {"tp": 4, "ep": 2}, {"tp": 4, "ep": 4}, {"tp": 2, "dp": 2, "ep": 4}]),
)
def test_every_token_is_worked_on_by_as_many_experts_as_it_chose(
    a: Architecture, m: int, layout: dict[str, Any]
) -> None:
    """Two FLOPs for each number of each of three matrices; what one device does, on all."""
    d = Deployment(**layout)
    layers = count_layers(a, "experts")
    asked = layers * m * d.dp * a.num_experts_per_tok * 6 * a.hidden_size * a.moe_intermediate_size
    assert d.devices * sum_experts(a, d, prefill_batch(m, 1), "flops") == pytest.approx(asked, rel=1e-12)


class Mixture(nn.Module):
    """One layer's feed-forward block; the first tokens go to the first experts, and so on around."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        assert a.num_experts is not None
        assert a.num_experts_per_tok is not None
        assert a.moe_intermediate_size is not None
        self.chosen, h, width = a.num_experts_per_tok, a.hidden_size, a.moe_intermediate_size
        self.router = nn.Linear(h, a.num_experts, bias=a.router_bias)
        self.experts = nn.ModuleList(self.make_block(a, width) for _ in range(a.num_experts))
        shared = a.shared_expert_intermediate_size
        self.shared = None if shared is None else self.make_block(a, shared)
        self.shared_gate = nn.Parameter(torch.empty(h)) if a.shared_expert_gate and shared is not None else None
        self.met: set[nn.Module] = set()

    @staticmethod
    def make_block(a: Architecture, width: int) -> nn.ModuleDict:
        h, inward = a.hidden_size, ["up", "gate"] if a.gated_mlp else ["up"]
        into = {name: nn.Linear(h, width, bias=a.mlp_bias) for name in inward}
        return nn.ModuleDict(into | {"down": nn.Linear(width, h, bias=a.mlp_bias)})

    def run(self, block: Any, x: torch.Tensor) -> torch.Tensor:
        self.met.add(block)
        inner = block["up"](x) * block["gate"](x) if "gate" in block else block["up"](x)
        return block["down"](inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.router(x)
        y = x if self.shared is None else x + self.run(self.shared, x)
        sent: list[list[int]] = [[] for _ in self.experts]
        for place in range(x.shape[0] * self.chosen):
            sent[place % len(self.experts)].append(place // self.chosen)
        for expert, rows in zip(self.experts, sent, strict=True):
            if rows:
                index = torch.tensor(rows, device=x.device)
                y = y.index_add(0, index, self.run(expert, x[rows]))
        return y


def run_mixture(a: Architecture, m: int) -> tuple[Mixture, int]:
    with torch.device("meta"):
        block = Mixture(a)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        block(torch.empty(m, a.hidden_size, device="meta"))
    return block, counter.get_total_flops()


def count_numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def check_mixture(a: Architecture, rounds: int) -> None:
    m = rounds * a.num_experts  # so that every expert gets as many tokens
    block, flops = run_mixture(a, m)
    operators = [op for _, op in list_all(build_pass(a, Deployment(), IDEAL, prefill_batch(m, 1)))]
    mixture = [op for op in operators if op.name.startswith(("router", "experts", "shared expert"))]
    gate = a.shared_expert_gate and a.shared_expert_intermediate_size is not None  # which torch's counter passes over
    assert sum(op.flops for op in mixture) == pytest.approx(flops + 2 * m * a.hidden_size * gate, rel=1e-12)
    # A layer more, and the block's numbers more with the rest of the layer, which a dense model of no width has.
    layers = count_layers(a, "experts")
    nothing: dict[str, Any] = dict.fromkeys(("num_experts", "num_experts_per_tok", "moe_intermediate_size", "layers"))
    dense = replace(a, **nothing, intermediate_size=0)
    bare = count_parameters(dense) - layers * a.hidden_size * a.mlp_bias
    if not count_layers(a, "dense"):
        assert count_parameters(a) == bare + layers * count_numbers(block)
        single, _ = run_mixture(a, 1)
        idle = set(single.experts) - single.met
        assert count_active_parameters(a) == count_parameters(a) - layers * sum(map(count_numbers, idle))


@settings(max_examples=40)
@given(small_models("experts"), st.integers(1, 4), st.booleans(), st.booleans())
def test_a_mixture_has_the_numbers_and_the_work_that_pytorch_counts(
    a: Architecture, rounds: int, mlp_bias: bool, router_bias: bool
) -> None:
    assume(count_layers(a, "experts") > 0)
    check_mixture(replace(a, mlp_bias=mlp_bias, router_bias=router_bias), rounds)


@pytest.mark.parametrize("a", [MIXTRAL, QWEN_MOE, DEEPSEEK_LITE, DEEPSEEK], ids=lambda a: str(a.num_experts))
def test_a_published_mixture_does_the_work_that_pytorch_counts(a: Architecture) -> None:
    check_mixture(a, 1)


@pytest.mark.parametrize(
    ("a", "total", "active", "left_out"),
    [
        (MIXTRAL, 46.7e9, 12.9e9, 0),
        (QWEN_MOE, 14.3e9, 2.7e9, 0),
        (DEEPSEEK_LITE, 15.7e9, 2.4e9, 1),
        (DEEPSEEK, 671e9, 37e9, 1),
    ],
    ids=["mixtral", "qwen", "deepseek lite", "deepseek"],
)
def test_a_mixture_has_its_published_size(a: Architecture, total: float, active: float, left_out: int) -> None:
    """Jiang et al. 2024 (arXiv 2401.04088); Qwen Team 2024, Qwen1.5-MoE; DeepSeek-AI 2024 (2405.04434 and 2412.19437).

    DeepSeek leaves the table of tokens out of the active numbers, of which one token meets one row.
    """
    assert count_parameters(a) == pytest.approx(total, rel=0.003)
    active_numbers = count_active_parameters(a) - left_out * a.vocab_size * a.hidden_size
    assert active_numbers == pytest.approx(active, rel=0.025)


@given(models, tokens)
def test_as_many_experts_as_are_chosen_are_one_wide_dense_block(a: Architecture, m: int) -> None:
    """All that a router does then is cost its product."""
    k = a.num_experts_per_tok
    both = replace(a, num_experts=k, shared_expert_intermediate_size=None, shared_expert_gate=False, layers=None)
    nothing: dict[str, Any] = dict.fromkeys(("num_experts", "num_experts_per_tok", "moe_intermediate_size"))
    dense = replace(both, **nothing, intermediate_size=k * a.moe_intermediate_size)
    at = prefill_batch(m, 1)
    operators = [op for _, op in list_all(build_pass(dense, Deployment(), IDEAL, at))]
    ffn = [op for op in operators if op.name.startswith("ffn")]
    for cost in ("flops", "weight_bytes"):
        whole = a.num_hidden_layers * sum(getattr(op, cost) for op in ffn)
        assert sum_experts(both, Deployment(), at, cost) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_experts": 8}, "num_experts is given, but not num_experts_per_tok, moe_intermediate_size"),
        ({"moe_intermediate_size": 8}, "moe_intermediate_size is given, but not num_experts"),
        ({"layers": (LayerGroup(33),)}, "layers add up to 33, and num_hidden_layers is 32"),
    ],
)
def test_a_part_of_a_mixture_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        check_architecture(replace(LLAMA, **changes), "here")


def test_more_experts_for_a_token_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="num_experts_per_tok 9 is past num_experts 8"):
        check_architecture(replace(MIXTRAL, num_experts_per_tok=9), "here")
