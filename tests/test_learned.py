"""Priors that were learned elsewhere, and experts' shares: conditions, units, and what is conserved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs.batch import prefill_batch
from simulator.costs.feed_forwards.experts import spread_rows
from simulator.costs.passes import build_pass, list_all
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.timing.device import find_traits
from simulator.timing.learned import Traits, find_learned, list_learned
from simulator.timing.priors import choose_priors, list_factors

TENSORRT = load_stack("tensorrt-llm-1.3")


def test_learned_priors_are_of_factors_that_laws_read_in_their_units_and_range() -> None:
    known = list_factors()
    for one in list_learned():
        assert known[one.factor].unit == one.unit
        assert known[one.factor].low <= one.value <= known[one.factor].high
        assert one.sources
        assert one.method


def test_a_learned_prior_holds_for_what_it_names_alone() -> None:
    hopper, sister = (find_traits(load_hardware(name)) for name in ("h100-sxm-80gb", "h200-sxm-141gb"))
    assert find_learned(hopper, TENSORRT) == find_learned(sister, TENSORRT) != {}
    assert find_learned(Traits("cpu"), TENSORRT) == {}
    assert "attention_efficiency" not in find_learned(hopper, load_stack("vllm-0.6"))
    prior = choose_priors(hopper, TENSORRT)["product_latency_s"]
    assert prior == find_learned(hopper, TENSORRT)["product_latency_s"]
    assert prior != choose_priors(Traits("gpu"), TENSORRT)["product_latency_s"]


@given(st.integers(1, 10**5), st.sampled_from([(8, 2), (128, 8), (256, 8)]), st.sampled_from([0.0, 1.01, 1.2]))
def test_experts_of_one_device_get_all_rows_however_these_are_spread(
    tokens: int, layer: tuple[int, int], skew: float
) -> None:
    experts, chosen = layer
    classes = spread_rows(float(tokens * chosen), float(tokens), float(experts), float(experts), skew)
    assert sum(count * rows for count, rows in classes) == pytest.approx(tokens * chosen, rel=1e-9)
    assert sum(count for count, _ in classes) <= experts * (1 + 1e-9)
    assert all(rows >= 1 - 1e-9 for _, rows in classes)
    most = [rows for _, rows in classes]
    assert most == sorted(most)


def test_the_busiest_of_several_devices_has_more_than_its_part_where_experts_are_skewed() -> None:
    held = [spread_rows(8192.0, 1024.0, 128.0, 16.0, skew) for skew in (0.0, 1.01, 1.2)]
    balanced, mild, strong = (sum(count * rows for count, rows in classes) for classes in held)
    assert balanced == 1024
    assert balanced < mild < strong <= 8192


def test_products_in_a_narrow_format_quantize_their_inputs_first() -> None:
    """In a model one kernel for each of the four products of a layer, which reads two bytes twice and writes one."""
    model = load_model("gptj-6b").architecture
    passes = {
        dtype: build_pass(model, Deployment(dtype=dtype), TENSORRT, prefill_batch(64, 1)) for dtype in ("bf16", "fp8")
    }
    found = {dtype: [op for _, op in list_all(work) if op.name == "quantizing"] for dtype, work in passes.items()}
    assert found["bf16"] == []
    assert [op.launches for op in found["fp8"]] == [1, 1, 1, 1]
    products = [op for _, op in list_all(passes["fp8"]) if op.kind == "linear" and not op.wide]
    assert sum(op.activation_bytes for op in found["fp8"]) == 5 * sum(op.m * op.k for op in products)


def test_memory_that_corrects_errors_within_gives_less_of_its_bandwidth() -> None:
    """L40S and RTX 6000 Ada have the same chip and kind of memory; the first keeps a sixteenth for its checks."""
    stack = load_stack("vllm-0.14")
    inside, beside = (
        choose_priors(find_traits(load_hardware(name)), stack) for name in ("l40s-48gb", "rtx-6000-ada-48gb")
    )
    assert inside["matrix_bandwidth_efficiency"].value < 15 / 16 * beside["matrix_bandwidth_efficiency"].value
