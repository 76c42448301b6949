"""Models over several devices: copies, pipelines, links; and that no faster part makes anything slower."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from families import DEEPSEEK, DEEPSEEK_LITE, FAMILIES, GEMMA, LLAMA, MISTRAL, MIXTRAL, PROFILE, set_layers, times
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import predict

from simulator import InputError, Prediction
from simulator.costs.batch import prefill_batch
from simulator.costs.footprint import count_copied_bytes
from simulator.costs.passes import build_pass, find_stage_share, list_all
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware, Link, Links
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.metrics.layout import choose_layout, list_layouts

A100, H100 = load_hardware("a100-sxm-80gb"), load_hardware("h100-sxm-80gb")
IDEAL = load_stack("ideal")
ROUNDING = 1 + 1e-12
calibrations = st.sampled_from(["none", PROFILE])
stacks = st.sampled_from(["ideal", "tensorrt-llm-1.3", "vllm-0.10", "llama.cpp-2025"])
tokens, batches = st.integers(1, 3000), st.sampled_from([1, 2, 7, 16, 64])
# Layouts with messages in the node and between nodes.
SPREAD = [{}, {"tp": 4}, {"tp": 8}, {"tp": 16}, {"tp": 2, "pp": 2}, {"tp": 8, "pp": 2, "micro_batches": 2}, {"dp": 2}]
SHARED_EXPERTS = [{"tp": 4, "ep": 4}, {"dp": 4, "ep": 4}, {"tp": 2, "dp": 8, "ep": 16}, {"dp": 2, "ep": 2, "tp": 1}]
FORMATS = [{}, {"weight_dtype": "awq"}, {"weight_dtype": "int8", "kv_dtype": "fp8"}, {"dtype": "int8"}]


def takes(a: Architecture, layout: dict[str, int]) -> bool:
    """Whether a layout divides a model."""
    tp, pp = layout.get("tp", 1), layout.get("pp", 1)
    return (
        a.num_attention_heads % tp == 0
        and a.num_hidden_layers >= pp
        and (a.num_experts or 0) % layout.get("ep", 1) == 0
    )


@st.composite
def questions(draw: st.DrawFn, calibrations: st.SearchStrategy[str] = calibrations) -> dict[str, Any]:
    """A request to a model of any family, spread and quantized in any way that it can be."""
    a = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))]
    layouts = SPREAD + (SHARED_EXPERTS if a.num_experts else [])
    return {
        "model": a,
        "hardware": A100,
        "calibration": draw(calibrations),
        "stack": draw(stacks),
        "prompt_tokens": draw(tokens),
        "output_tokens": draw(st.integers(1, 500)),
        "batch_size": draw(batches),
        **draw(st.sampled_from([layout for layout in layouts if takes(a, layout)])),
        **draw(st.sampled_from(FORMATS)),
    }


def change(hardware: Hardware, fact: str, by: float) -> Hardware:
    """Multiply a fact of a data sheet."""
    compute, memory, links = hardware.compute, hardware.memory, hardware.links
    if fact == "peak":
        peaks = {dtype: peak * by for dtype, peak in compute.matrix_peak.items()}
        return replace(hardware, compute=replace(compute, matrix_peak=peaks))
    if fact == "bandwidth":
        return replace(hardware, memory=replace(memory, bandwidth=memory.bandwidth * by))
    assert links is not None
    link = getattr(links, fact)
    return replace(hardware, links=replace(links, **{fact: replace(link, bandwidth=link.bandwidth * by)}))


def is_not_slower(fast: Prediction, slow: Prediction, most: float = ROUNDING) -> bool:
    return all(f <= s * most for f, s in zip(times(fast), times(slow), strict=True))


# A faster part, a slower answer


@pytest.mark.parametrize("fact", ["peak", "bandwidth", "node", "network"])
@settings(max_examples=60)
@given(question=questions(), by=st.sampled_from([1.05, 1.5, 2, 10]))
def test_a_faster_part_never_makes_a_request_slower(fact: str, question: dict[str, Any], by: float) -> None:
    # Kernels of fused attention take larger blocks on units of a higher peak, which few tokens do not fill.
    fused = question["calibration"] != "none" and load_stack(question["stack"]).unfused_attention is None
    most = 1.05 if fact == "peak" and fused else ROUNDING
    assert is_not_slower(predict(**question | {"hardware": change(A100, fact, by)}), predict(**question), most)


@pytest.mark.parametrize(
    ("fact", "question"),
    [
        ("peak", {"model": MIXTRAL, "prompt_tokens": 8192}),
        ("bandwidth", {"model": DEEPSEEK_LITE, "prompt_tokens": 8}),
        ("node", {"model": MISTRAL, "tp": 8, "prompt_tokens": 8192}),
        ("node", {"model": MIXTRAL, "dp": 8, "ep": 8, "prompt_tokens": 8192}),
        ("network", {"model": DEEPSEEK, "tp": 16, "prompt_tokens": 8192}),
        ("network", {"model": MIXTRAL, "tp": 8, "pp": 2, "prompt_tokens": 8192}),
        ("network", {"model": DEEPSEEK, "dp": 16, "ep": 16, "prompt_tokens": 8192}),
    ],
)
def test_a_faster_part_that_is_waited_for_makes_a_request_faster(fact: str, question: dict[str, Any]) -> None:
    for calibration in ("none", PROFILE):
        slow, fast = (
            predict(hardware=h, calibration=calibration, stack=IDEAL, **question) for h in (A100, change(A100, fact, 2))
        )
        assert times(fast) < times(slow)


@given(questions(st.just("none")))
def test_parts_twice_as_fast_halve_the_bound_exactly(question: dict[str, Any]) -> None:
    twice = A100
    for fact in ("peak", "bandwidth", "node", "network"):
        twice = change(twice, fact, 2)
    assert times(predict(**question)) == tuple(2 * t for t in times(predict(**question | {"hardware": twice})))


@given(questions(st.just(PROFILE)))
def test_a_measured_device_is_never_faster_than_its_data_sheet(question: dict[str, Any]) -> None:
    assert is_not_slower(predict(**question | {"calibration": "none"}), predict(**question))


@given(questions(st.just("none")))
def test_no_device_is_used_beyond_what_it_can_do(question: dict[str, Any]) -> None:
    answer = predict(**question)
    assert 0 < answer.mfu <= ROUNDING
    assert question["output_tokens"] == 1 or 0 < answer.mbu <= ROUNDING


@settings(max_examples=50)
@given(questions(), st.lists(tokens, min_size=1, max_size=4), st.lists(batches, min_size=1, max_size=3))
def test_an_array_of_requests_is_answered_as_each_alone(question: dict[str, Any], ps: list[int], bs: list[int]) -> None:
    together = predict(**question | {"prompt_tokens": np.array(ps), "batch_size": np.array(bs)[:, None]})
    alone = [[predict(**question | {"prompt_tokens": p, "batch_size": b}) for p in ps] for b in bs]
    for name in ("ttft_s", "tpot_s", "e2e_s", "mfu", "mbu", "kv_cache_bytes", "fits"):
        one_by_one = np.array([[getattr(one, name) for one in row] for row in alone])
        at_once = np.broadcast_to(getattr(together, name), one_by_one.shape)
        np.testing.assert_array_equal(at_once, one_by_one)


# Copies


@given(questions(), st.sampled_from([2, 3, 8]))
def test_copies_serve_as_many_batches_in_the_time_of_one(question: dict[str, Any], copies: int) -> None:
    assume(question.get("ep", 1) == 1 and question.get("dp", 1) == 1)
    one = predict(**question)
    many = predict(**question | {"dp": copies, "batch_size": copies * question["batch_size"]})
    assert times(one) == times(many)
    assert many.output_tokens_per_s == pytest.approx(copies * one.output_tokens_per_s, rel=1e-12)
    assert many.devices == copies * one.devices
    assert many.footprint.device_bytes == one.footprint.device_bytes
    assert many.weights_bytes == copies * one.weights_bytes
    assert many.kv_cache_bytes == copies * one.kv_cache_bytes
    assert many.mfu == pytest.approx(one.mfu, rel=1e-12)
    assert many.mbu == pytest.approx(one.mbu, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(("batch", "like"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_the_fullest_copy_decides(batch: int, like: int) -> None:
    assert times(predict(LLAMA, A100, "none", dp=2, batch_size=batch)) == times(
        predict(LLAMA, A100, "none", batch_size=like)
    )


def test_copies_need_no_link() -> None:
    alone = replace(A100, links=None)
    assert predict(LLAMA, alone, "none", dp=4, batch_size=4).devices == 4


# Pipelines


@given(questions(), st.sampled_from([1, 2, 4, 8]), st.integers(1, 20))
def test_parts_of_a_batch_never_go_faster_than_one_part_alone(question: dict[str, Any], parts: int, size: int) -> None:
    """As many parts as there are stages fill the pipeline; a part is no faster for the others."""
    assume("pp" not in question and question["model"].num_hidden_layers % 2 == 0)
    question |= {"pp": 2, "batch_size": size * question.get("dp", 1)}
    alone = predict(**question)
    many = predict(**question | {"micro_batches": parts, "batch_size": parts * question["batch_size"]})
    assert is_not_slower(alone, many)
    filling, turns = 1 + (parts - 1) / 2, max(1, parts / 2)
    assert many.ttft_s == pytest.approx(filling * alone.ttft_s, rel=1e-12)
    assert many.request.decode_s == pytest.approx(turns * alone.request.decode_s, rel=1e-12)


@pytest.mark.parametrize("a", [LLAMA, MIXTRAL, set_layers(GEMMA, 28)], ids=["llama", "mixtral", "gemma"])
@pytest.mark.parametrize("calibration", ["none", PROFILE])
def test_as_many_parts_as_stages_make_decode_faster(a: Architecture, calibration: str) -> None:
    question: dict[str, Any] = {
        "hardware": A100,
        "calibration": calibration,
        "pp": 4,
        "batch_size": 64,
        "prompt_tokens": 1000,
    }
    whole, parts = (predict(a, **question, micro_batches=n) for n in (1, 4))
    assert parts.output_tokens_per_s > whole.output_tokens_per_s
    assert parts.tpot_s <= whole.tpot_s
    # Four stages that work all the time are at most four times as fast as one at a time.
    assert parts.ttft_s >= whole.ttft_s / 4
    one = predict(a, **question | {"pp": 1, "batch_size": 16})
    assert parts.tpot_s >= one.tpot_s
    assert parts.output_tokens_per_s <= 4 * one.output_tokens_per_s
    # Devices that are all busy read as much as one that works alone.
    assert calibration != "none" or parts.mbu == pytest.approx(one.mbu, rel=0.01)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_a_batch_has_no_more_parts_than_requests(batch: int) -> None:
    few, many = (predict(LLAMA, A100, "none", pp=4, batch_size=batch, micro_batches=n) for n in (batch, 8))
    assert times(many) == times(few)


def test_parts_are_of_whole_requests() -> None:
    """Five requests in parts of at most two are three parts, however many were asked for."""
    three, four = (predict(LLAMA, A100, "none", pp=8, batch_size=5, micro_batches=n) for n in (3, 4))
    assert times(three) == times(four)


@given(questions())
def test_one_part_in_one_stage_is_no_pipeline(question: dict[str, Any]) -> None:
    assume("pp" not in question and question.get("dp", 1) == 1)
    names = {operator.name for _, operator in list_all(predict(**question).question.passes.decode)}
    assert "stage send" not in names


@pytest.mark.parametrize("pp", [2, 4, 8])
def test_each_stage_hands_the_hidden_state_to_the_next(pp: int) -> None:
    step = build_pass(LLAMA, Deployment(pp=pp), IDEAL, prefill_batch(100, 3))
    sends = [(n, op.message_bytes) for n, op in list_all(step) if op.kind == "send"]
    assert sends == [(1, 300 * 4096 * 2)] * (pp - 1)


# Stages of unequal length


DEEP = load_model("deepseek-v3").architecture


@pytest.mark.parametrize(("pp", "longest"), [(2, 31), (3, 21), (4, 16), (8, 8), (60, 2), (61, 1)])
def test_the_longest_stage_has_what_is_left_over(pp: int, longest: int) -> None:
    """61 layers in two stages are 31 and 30."""
    assert find_stage_share(DEEP, Deployment(pp=pp)) == longest / 61
    question: dict[str, Any] = {"dtype": "fp8", "pp": pp, "batch_size": 8}
    one, many = (predict(DEEP, H100, "none", **question, micro_batches=n) for n in (1, 8))
    alone = predict(DEEP, H100, "none", **question | {"batch_size": 1})
    assert many.ttft_s == pytest.approx(alone.ttft_s * (1 + 7 * longest / 61), rel=1e-12)
    assert many.tpot_s == pytest.approx(alone.tpot_s * max(1, 8 * longest / 61), rel=1e-12)
    assert one.footprint.device_kv_cache_bytes == pytest.approx(one.kv_cache_bytes * longest / 61, rel=1e-12)


def test_the_fullest_stage_holds_the_longest_and_a_table() -> None:
    """31 of 61 layers of DeepSeek-V3 in fp8, with a table of 129,280 x 7,168 numbers in two bytes."""
    footprint = predict(DEEP, H100, "none", dtype="fp8", pp=2).footprint
    table = 129280 * 7168 * 2
    layers = footprint.weights_bytes - 2 * table
    assert footprint.device_weights_bytes == pytest.approx(table + layers * 31 / 61, rel=1e-12)


def test_a_pipeline_of_more_even_stages_takes_in_more() -> None:
    """Two stages of 30 layers take in the next sooner than two of 31 and 29 would: as 31 and 30 of 61."""
    even, uneven = (
        predict(set_layers(LLAMA, n), H100, "none", pp=2, micro_batches=8, batch_size=8, output_tokens=1)
        for n in (60, 61)
    )
    alone = [predict(set_layers(LLAMA, n), H100, "none", pp=2, output_tokens=1).ttft_s for n in (60, 61)]
    assert uneven.ttft_s / alone[1] > even.ttft_s / alone[0]


def test_layouts_past_a_node_are_of_whole_nodes() -> None:
    found = list_layouts(DEEP, H100, IDEAL, Deployment(dtype="fp8"))
    sizes = {layout.devices for layout in found}
    assert {size for size in sizes if size > 8 and size % 8} == set()
    assert {1, 2, 4, 8, 16, 24, 32} <= sizes
    both = [(d.tp, d.pp) for d in found if d.devices == 16]
    assert both[0] == (8, 2)
    assert (16, 1) in both


def test_deepseek_takes_two_nodes_of_eight() -> None:
    formats = predict(DEEP, H100, "none", dtype="fp8", tp=8).question.work.deployment
    for stack in (IDEAL, load_stack("vllm-0.10")):
        layout = choose_layout("deepseek-v3", DEEP, H100, stack, replace(formats, tp=1), 4096, 1000)
        assert (layout.tp, layout.pp) == (8, 2)


# What devices of a group hold several times


def test_every_device_has_the_router_and_the_projections_down_whole() -> None:
    """61 layers project 7,168 numbers down to 1,536 and 576; 58 routers send to 256 experts."""
    d = Deployment(8, dtype="fp8")
    copied = 61 * 7168 * (1536 + 576) + 58 * 7168 * 256
    assert count_copied_bytes(DEEP, d) == pytest.approx(7 / 8 * copied, rel=1e-12)


@given(st.sampled_from(sorted(FAMILIES)))
def test_one_device_holds_nothing_twice(name: str) -> None:
    assert count_copied_bytes(FAMILIES[name], Deployment(dtype="bf16")) == 0


def test_key_heads_that_are_fewer_than_the_devices_are_copied() -> None:
    """Eight heads on 16 devices: each device has one, twice its share of half a head."""
    assert count_copied_bytes(LLAMA, Deployment(8, dtype="bf16")) == 0
    half = 32 * 4096 * 128 * 2 * 2 / 2
    assert count_copied_bytes(LLAMA, Deployment(16, dtype="bf16")) == pytest.approx(half, rel=1e-12)


# Links


def link(bandwidth: float, most: int | None = None) -> Link:
    return Link(bandwidth, "each way", max_devices=most)


NODE, NETWORK = link(400e9, 8), link(50e9)


@given(st.integers(1, 64), st.booleans(), st.integers(1, 16) | st.none(), st.booleans())
def test_a_group_uses_the_node_as_long_as_it_fits_in_one(
    devices: int, has_node: bool, most: int | None, has_network: bool
) -> None:
    node, network = link(400e9, most) if has_node else None, NETWORK if has_network else None
    hardware = replace(A100, links=Links(node=node, network=network))
    if has_node and (most is None or devices <= most):
        assert hardware.find_link(devices) is node
    elif has_network:
        assert hardware.find_link(devices) is network
    else:
        with pytest.raises(InputError, match=r"links\.network" if has_node else r"links\.node"):
            hardware.find_link(devices)


TWO_LINKS = replace(A100, links=Links(node=NODE, network=NETWORK))


def find_rates(answer: Prediction) -> dict[str, float]:
    """Bytes per second and kind of message, all-reduces and all-to-alls by what a ring of them sends."""
    d = answer.question.work.deployment
    shares = {"all_reduce": 2 * (1 - 1 / d.tp), "all_gather": 1 - 1 / d.tp, "all_to_all": 1 - 1 / d.ep, "send": 1}
    timed = [one for one in answer.request.prefill.operators if one.operator.kind in shares]
    return {one.operator.kind: shares[one.operator.kind] * one.operator.message_bytes / one.seconds for one in timed}


@pytest.mark.parametrize(
    ("layout", "rates"),
    [
        ({"tp": 8}, {"all_reduce": 400e9}),
        ({"tp": 16}, {"all_reduce": 50e9}),
        ({"tp": 2, "pp": 4}, {"all_reduce": 400e9, "send": 400e9}),
        ({"tp": 8, "pp": 2}, {"all_reduce": 400e9, "send": 50e9}),
        ({"dp": 8, "ep": 8}, {"all_to_all": 400e9}),
        ({"tp": 4, "dp": 4, "ep": 16}, {"all_reduce": 400e9, "all_to_all": 50e9, "all_gather": 400e9}),
        ({"tp": 16, "ep": 16}, {"all_reduce": 50e9}),
        ({"dp": 32}, {}),
    ],
)
def test_messages_within_a_node_take_its_link_and_others_the_network(
    layout: dict[str, Any], rates: dict[str, float]
) -> None:
    a = replace(MIXTRAL, num_experts=16)
    answer = predict(a, TWO_LINKS, "none", prompt_tokens=333, batch_size=layout.get("dp", 1), **layout)
    assert find_rates(answer) == pytest.approx(rates)


@pytest.mark.parametrize(
    ("links", "layout", "text"),
    [
        (None, {"tp": 2}, r"links\.node"),
        (None, {"pp": 2}, r"links\.node"),
        (Links(node=NODE), {"tp": 16}, r"links 8 devices, 16 are to work together, .*links\.network"),
        (Links(node=NODE), {"tp": 8, "pp": 2}, r"links 8 devices, 16 are to work together"),
        (Links(node=NODE), {"dp": 16, "ep": 16}, r"links 8 devices, 16 are to work together"),
        (None, {"dp": 2, "ep": 2}, r"links\.node"),
    ],
)
def test_a_group_that_nothing_links_is_refused(links: Links | None, layout: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        predict(replace(MIXTRAL, num_experts=16), replace(A100, links=links), "none", **layout)


@pytest.mark.parametrize(
    ("a", "layout", "text"),
    [
        (LLAMA, {"tp": 3}, "tp 3 does not divide num_attention_heads 32"),
        (replace(LLAMA, intermediate_size=14335), {"tp": 2}, "tp 2 does not divide intermediate_size 14335"),
        (replace(LLAMA, num_attention_heads=48, num_key_value_heads=12), {"tp": 8}, "tp 8 neither divides .* 12"),
        (LLAMA, {"pp": 33}, "pp 33 is more stages than there are layers, num_hidden_layers 32"),
        (LLAMA, {"pp": 3, "stack": "megatron-lm-2022"}, "pp 3 does not divide num_hidden_layers 32, and Megatron"),
        (LLAMA, {"micro_batches": 0}, "micro-batches is 0; it must be a whole number of at least 1"),
        (LLAMA, {"dp": -1}, "dp is -1"),
        (LLAMA, {"tp": True}, "tp is True"),
        (LLAMA, {"pp": 2.0}, "pp is 2.0"),
    ],
)
def test_a_layout_that_does_not_divide_is_refused(a: Architecture, layout: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        predict(replace(a, head_dim=128), A100, "none", **layout)
