"""Experts over devices and replicas of the model: bytes, messages, refusals; and the time of products in one kernel."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from families import DEEPSEEK_LITE, EXPERTS, LLAMA, MIXTRAL, PROFILE, QWEN_MOE, count_layers
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from simulator import InputError
from simulator.costs.batch import Batch, decode_batch, prefill_batch
from simulator.costs.feed_forwards.experts import count_activated_experts
from simulator.costs.footprint import measure_footprint
from simulator.costs.operators import grouped, linear
from simulator.costs.passes import build_pass, list_all
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.timing.device import describe_device
from simulator.timing.factors import Factors
from simulator.timing.kinds.grouped import time_grouped
from simulator.timing.kinds.linear import time_linear
from simulator.timing.priors import list_factors

IDEAL = load_stack("ideal")
H100 = "h100-sxm-80gb"
models = st.sampled_from(list(EXPERTS.values()))
tokens = st.integers(1, 5000)


def sum_experts(a: Architecture, d: Deployment, at: Batch, cost: str) -> float:
    """A cost of the products of the experts of a pass, without the shared ones, on one device."""
    step = build_pass(a, d, IDEAL, at)
    return sum(n * getattr(op, cost) for n, op in list_all(step) if op.name in ("experts in", "experts out"))


# How they are shared


@given(models, tokens, st.sampled_from([1, 2, 4]))
def test_experts_of_one_copy_are_as_many_bytes_whole_or_in_slices(a: Architecture, m: int, ep: int) -> None:
    at = decode_batch(100, m)
    sliced, spread = (sum_experts(a, Deployment(tp=4, ep=e), at, "weight_bytes") for e in (1, ep))
    assert spread == pytest.approx(sliced, rel=1e-12)


@given(models, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.integers(1, 9))
def test_twice_the_devices_of_one_copy_hold_half_each(a: Architecture, ep: int, pp: int, batch: int) -> None:
    few, many = (
        measure_footprint(a, Deployment(tp=n, ep=n, pp=pp), replace(IDEAL, vocab_multiple=8 // n), 1, 1, batch)
        for n in (ep, 2 * ep)
    )
    assert many.weights_bytes == pytest.approx(few.weights_bytes, rel=1e-12)
    experts = [sum_experts(a, Deployment(tp=n, ep=n), decode_batch(9, batch), "weight_bytes") for n in (ep, 2 * ep)]
    assert experts[0] == pytest.approx(2 * experts[1], rel=1e-12)


@given(models, st.sampled_from([(1, 2), (1, 4), (2, 2), (2, 4)]))
def test_copies_that_share_experts_keep_them_once(a: Architecture, sizes: tuple[int, int]) -> None:
    tp, dp = sizes
    layers = count_layers(a, "experts")
    experts = layers * a.num_experts * 3 * a.hidden_size * a.moe_intermediate_size * 2
    apart, together = (measure_footprint(a, Deployment(tp=tp, dp=dp, ep=ep), IDEAL, 1, 1, dp) for ep in (1, tp * dp))
    assert apart.weights_bytes - together.weights_bytes == pytest.approx((dp - 1) * experts, rel=1e-12)
    assert apart.kv_cache_bytes == together.kv_cache_bytes
    assert together.device_bytes < apart.device_bytes


@given(models, st.integers(1, 300))
def test_copies_that_share_experts_touch_what_all_their_tokens_touch(a: Architecture, m: int) -> None:
    d = Deployment(dp=4, ep=4)
    per_expert = 3 * a.hidden_size * a.moe_intermediate_size * 2
    layers = count_layers(a, "experts")
    read = 4 * sum_experts(a, d, decode_batch(100, m), "weight_bytes")
    assert read == pytest.approx(layers * count_activated_experts(a, 4.0 * m) * per_expert, rel=1e-12)
    apart = 4 * sum_experts(a, Deployment(dp=4), decode_batch(100, m), "weight_bytes")
    assert read <= apart * (1 + 1e-12)


LAYOUTS = [
    *({"tp": tp, "ep": ep} for tp, ep in ((1, 1), (2, 1), (2, 2), (4, 2), (4, 4))),
    *({"tp": tp, "dp": 4, "ep": ep} for tp, ep in ((1, 1), (1, 2), (1, 4), (2, 2), (2, 4), (2, 8))),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", EXPERTS)
def test_tokens_travel_only_to_experts_of_other_copies(name: str, layout: dict[str, Any]) -> None:
    a, d, m = EXPERTS[name], Deployment(**layout), 24
    if a.num_experts % d.ep:
        with pytest.raises(InputError, match=f"ep {d.ep} does not divide num_experts"):
            predict(a, H100, "none", **layout)
        return
    operators = [(n, op) for n, op in list_all(build_pass(a, d, IDEAL, prefill_batch(m, 1))) if op.message_bytes]
    exchanges = [(n, op) for n, op in operators if op.kind == "all_to_all"]
    layers = count_layers(a, "experts")
    if d.ep <= d.tp:
        assert not exchanges
        assert sum(n for n, op in operators) == (0 if d.tp == 1 else 2 * a.num_hidden_layers)
        return
    # Each token of each copy goes to the experts it chose and comes back, in two bytes a number.
    sent = d.tp * d.dp * sum(n * op.message_bytes for n, op in exchanges)
    assert sent == 2 * layers * d.dp * m * a.num_experts_per_tok * a.hidden_size * 2
    answer = predict(a, H100, "none", prompt_tokens=m, batch_size=d.dp, **layout)
    timed = [op for op in answer.request.prefill.operators if op.operator.kind == "all_to_all"]
    # NVLink is 450 GB/s each way; one share of ep stays.
    assert timed[0].seconds == pytest.approx((d.ep - 1) / d.ep * timed[0].operator.message_bytes / 450e9)


def test_narrow_inputs_travel_narrow_and_results_come_back_wide() -> None:
    d = Deployment(dp=8, ep=8, dtype="fp8")
    operators = {op.name: op for _, op in list_all(build_pass(MIXTRAL, d, IDEAL, prefill_batch(10, 1)))}
    assert operators["dispatch"].message_bytes == 10 * 2 * 4096
    assert operators["combine"].message_bytes == 10 * 2 * 4096 * 2


@pytest.mark.parametrize(
    ("a", "layout", "text"),
    [
        (LLAMA, {"ep": 2}, "ep is 2, but the model has no experts"),
        (MIXTRAL, {"tp": 4, "ep": 3}, "ep 3 neither divides tp 4 nor is a multiple of it"),
        (MIXTRAL, {"ep": 4, "dp": 2}, "ep 4 over tp 1 needs 4 replicas of the model, and dp is 2"),
        (MIXTRAL, {"ep": 16, "dp": 16}, "ep 16 does not divide num_experts 8"),
        (replace(MIXTRAL, moe_intermediate_size=14335), {"tp": 2}, "moe_intermediate_size 14335"),
        (replace(QWEN_MOE, shared_expert_intermediate_size=5631), {"tp": 2}, "shared_expert_intermediate_size 5631"),
        (replace(DEEPSEEK_LITE, intermediate_size=10945), {"tp": 2}, "tp 2 does not divide intermediate_size 10945"),
        (MIXTRAL, {"dp": 16, "tp": 2, "ep": 2.0}, "ep is 2.0; it must be a whole number"),
    ],
)
def test_experts_that_do_not_divide_are_refused(a: Architecture, layout: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        predict(a, H100, "none", **layout)


def test_a_model_of_experts_alone_may_have_any_dense_width() -> None:
    assert predict(replace(MIXTRAL, intermediate_size=14335), H100, "none", tp=8).e2e_s > 0


# Time


def test_a_large_batch_makes_experts_cheaper_by_the_token() -> None:
    """Few tokens read two experts of eight each; many share all eight."""
    tpot = {b: predict(MIXTRAL, H100, "none", tp=2, prompt_tokens=16, batch_size=b).tpot_s for b in (1, 2, 4, 8, 64)}
    assert all(slow < fast * n / m for (m, fast), (n, slow) in pairwise(tpot.items()))
    assert tpot[1] < tpot[2] < tpot[4] < tpot[8] < tpot[64]
    # One token reads 12.9 of 46.7 billion parameters, many all.
    assert tpot[64] / tpot[1] == pytest.approx(46.7 / 12.9, rel=0.05)


@pytest.mark.parametrize("batch", [1, 16, 256])
def test_twice_as_many_experts_cost_one_token_no_more_than_their_router(batch: int) -> None:
    few, many = (predict(replace(MIXTRAL, num_experts=n), H100, "none", tp=2, batch_size=batch) for n in (8, 16))
    assert many.weights_bytes > 1.9 * few.weights_bytes
    added = many.tpot_s / few.tpot_s - 1
    assert 0 < added < 1e-3 if batch == 1 else added > 0.2


# Many products in one kernel, where there is no latency and every efficiency is one

DEVICE = describe_device(load_hardware("a100-sxm-80gb"), Deployment(), load_stack("megatron-lm-2022"))
PERFECT = Factors(**{name: 1e-30 if f.unit in ("s", "cycles") else 1.0 for name, f in list_factors().items()})
SIZES: dict[str, Any] = {"weight_bytes": 2, "activation_bytes": 2}
eights = st.integers(1, 600).map(lambda size: 8 * size)


def time_group(matrices: float, m: float, n: int, k: int) -> float:
    return float(time_grouped(grouped("group", matrices, m, n, k, **SIZES), DEVICE, PERFECT))


@given(st.integers(2, 5000).map(float), eights, eights)
def test_a_group_of_one_is_one_product(m: float, n: int, k: int) -> None:
    assert time_group(1, m, n, k) == time_linear(linear("one", m, n, k, **SIZES), DEVICE, PERFECT)


@given(st.integers(1, 64), st.integers(1, 2000).map(float), eights, eights)
def test_a_group_takes_no_longer_than_its_products_in_turn(matrices: int, m: float, n: int, k: int) -> None:
    one, all_of_them = time_group(1, m, n, k), time_group(matrices, m, n, k)
    assert one <= all_of_them * (1 + 1e-12)
    assert all_of_them <= matrices * one * (1 + 1e-12)
    assert all_of_them <= time_group(matrices, m + 1, n, k) * (1 + 1e-12)
    assert all_of_them <= time_group(matrices + 1, m, n, k) * (1 + 1e-12)
    # Side by side the matrices are one wide product; a group reads the tokens of each apart.
    wide = time_linear(linear("wide", m, matrices * n, k, **SIZES), DEVICE, PERFECT)
    assert m == 1 or n % 128 or wide <= all_of_them * (1 + 1e-12)


@given(models, st.sampled_from(["none", PROFILE]), st.sampled_from([1, 3, 16, 100]))
def test_experts_spread_in_one_copy_compute_as_much_as_experts_in_slices(a: Architecture, c: str, batch: int) -> None:
    """Wider products of fewer experts on each device: the bound cannot tell, and tiles suit them no worse."""
    sliced, spread = (predict(a, H100, c, stack=IDEAL, tp=4, ep=e, batch_size=batch) for e in (1, 4))
    if c == "none":
        assert spread.e2e_s == pytest.approx(sliced.e2e_s, rel=0.02)
    assert spread.footprint.device_bytes == sliced.footprint.device_bytes
