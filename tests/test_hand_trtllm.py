"""Kernels that TensorRT-LLM brings, worked out by hand in microseconds for the device of ``hand``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hand import HUGE, LINK, make_device, make_factors, us

from simulator.costs.feed_forwards.experts import list_expert_block
from simulator.costs.kernels import list_quantized
from simulator.costs.operators import Operator, element_sizes, linear
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.stack import DecodeKernel
from simulator.timing.device import GroupLinks, Tiling, describe_device
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import bound_kernel, find_kept
from simulator.timing.kinds.collectives import bound_message
from simulator.timing.kinds.decode_attention import time_decode_attention
from simulator.timing.kinds.linear import time_linear
from simulator.timing.kinds.memory import stream_operands, time_stream
from simulator.timing.kinds.prefill_attention import time_prefill_attention
from simulator.timing.kinds.ragged import scale_batch

HEAD = Operator("attention", "decode_attention", m=1, n=100, k=128, batch=40)


def time_heads(op: Operator, **kernel: Any) -> Any:
    """Seconds of single query heads: 1 us a block, 2 ns a token where the whole unit takes it in, conversions by 3."""
    known = {"head_block_cycles": 1000, "unit_token_cycles": 2, "software_conversion": 3, "kernel_latency_s": 2e-6}
    device = make_device(decode_kernel=DecodeKernel(unit_threads=1024, **kernel))
    return time_decode_attention(op, device, make_factors(**known))


def test_blocks_of_one_head_grow_until_the_units_are_busy() -> None:
    # 40 heads on ten units: four blocks of a quarter of a unit's threads each, steps of 16 tokens at a quarter's pace.
    assert time_heads(HEAD) == us(2 + (1000 + 112 * 8) / 1e3)
    assert time_heads(HEAD._replace(batch=41)) == us(2 + 2 * (1000 + 112 * 8) / 1e3)
    # Twenty: two blocks of half a unit, steps of 32. Ten: blocks of a whole one, steps of 64.
    assert time_heads(HEAD._replace(batch=20)) == us(2 + (1000 + 128 * 4) / 1e3)
    assert time_heads(HEAD._replace(batch=10)) == us(2 + (1000 + 128 * 2) / 1e3)
    assert time_heads(HEAD._replace(batch=10), converts_by_software=True) == us(2 + 3 * (1000 + 128 * 2) / 1e3)


def test_heads_that_leave_units_idle_are_cut_into_parts_of_512_tokens_or_more() -> None:
    # Six heads: ten units hold 10 / 6, so two parts each, in two waves, and a merging; but not of 511 tokens.
    assert time_heads(HEAD._replace(batch=6, n=511)) == us(2 + (1000 + 512 * 2) / 1e3)
    assert time_heads(HEAD._replace(batch=6, n=1024)) == us(2 + 2 * (1000 + 512 * 2) / 1e3 + 1)


def test_a_window_hides_tokens_but_not_the_parts_that_they_are_cut_into() -> None:
    """Five pairs of sequence and key head on ten units, 128 tokens of 2,048 seen."""
    f = make_factors(attention_block_cycles=1000, grouped_token_cycles=2, head_block_cycles=1000)
    seen = Operator("attention", "decode_attention", m=1, n=128, k=128, batch=40, group=8)
    hidden = seen._replace(unseen=1920)
    one = make_device(decode_kernel=DecodeKernel())
    whole = make_device(decode_kernel=DecodeKernel(splits_unseen=True, unit_threads=1024))
    for device, op in ((one, seen), (one, hidden), (whole, seen)):
        assert time_decode_attention(op, device, f) == us((1000 + 2 * 128) / 1e3)
    # sqrt(8 x 16) = 11 parts for each: six waves of starts, in one of which there is work, and the merging.
    assert time_decode_attention(hidden, whole, f) == us((6 * 1000 + 2 * 128) / 1e3 + 1)


def test_kernels_that_load_ahead_have_cycles_of_their_own_and_rotate_large_heads_themselves() -> None:
    known = {"chained_block_cycles": 300, "chained_token_cycles": 2, "kernel_latency_s": 3e-6}
    op = Operator("attention", "decode_attention", m=1, n=1024, k=128, batch=80, group=8)

    def time(op: Operator) -> Any:
        kernel = DecodeKernel(parts="one wave", loads_ahead=True, rotates_heads_of=128)
        return time_decode_attention(op, make_device(decode_kernel=kernel), make_factors(**known))

    assert time(op) == us(3 + (300 + 2 * 1024) / 1e3)
    assert time(op._replace(batch=40)) == us(3 + (300 + 2 * 512) / 1e3 + 0.3)
    assert time(op._replace(k=64)) == us(2 * 3 + (300 + 1024) / 1e3)


def test_products_wait_for_the_scales_of_each_turn_however_small_the_tile_is() -> None:
    """Nothing but 1,280 of k: ten turns of 128 bytes in 8 bits, five in 4, of 4 and 3 us."""
    known = {"scaled_turn_cycles": 4000, "four_bit_turn_cycles": 3000, "matrix_bandwidth_efficiency": HUGE}
    f = make_factors(**known, matrix_efficiency=HUGE)
    device = make_device(tiling=Tiling(None, turns=True))
    for number_bytes, expected in ((1.0, 10 * 4), (0.5, 5 * 3)):
        op = Operator("p", "linear", weight_bytes=64 * 1280 * number_bytes, m=1, n=64, k=1280)
        assert time_linear(op, device, f) == us(expected)
        # Eleven columns of tiles are two waves of it.
        wide = op._replace(n=704, weight_bytes=704 * 1280 * number_bytes)
        assert time_linear(wide, device, f) == us(2 * expected)
        assert time_linear(op, make_device(), f) < 1e-9


def test_a_kernel_of_one_tile_takes_no_other() -> None:
    """2 x 32 x 128 x 3,200 FLOP are 26.2144 us on one unit, whatever tile would suit the product."""
    f = make_factors(matrix_bandwidth_efficiency=HUGE)
    device = make_device(tiling=Tiling(((32, 128),), turns=False))
    for rows, waves in ((1, 1), (32, 1), (64, 1), (256, 1), (352, 2)):
        op = Operator("p", "linear", m=rows, n=128, k=3200)
        assert time_linear(op, device, f) == us(26.2144 * waves)


def test_the_tiles_of_a_format_are_as_the_stack_states_them_by_device() -> None:
    stack = load_stack("tensorrt-llm-1.3")

    def find(device: str, weights: str) -> Tiling:
        deployment = Deployment(dtype="bf16", weight_dtype=weights, kv_dtype="bf16")
        return describe_device(load_hardware(device), deployment, stack).tiling

    for device in ("l40s", "rtx-pro-6000"):  # kernels of Ada and of consumer Blackwell
        assert find(device, "fp8-block") == Tiling(((32, 128),), turns=True)
    assert find("h100", "fp8-block") == find("gb200", "fp8-block") == Tiling(None, turns=True)
    assert find("h100", "bf16") == Tiling(None, turns=False)
    menu = find("gb200", "nvfp4").menu
    assert menu is not None
    assert min(rows for rows, _ in menu) == 128


def test_three_devices_on_a_bus_take_turns_and_two_do_not() -> None:
    f = make_factors(link_efficiency=0.5, low_latency_link_efficiency=1e-6)
    message = Operator("m", "all_gather", message_bytes=9e6)

    def time(devices: int, on_bus: bool) -> Any:
        links = GroupLinks(LINK, LINK, LINK, devices, devices, 0, on_bus=on_bus)
        device = make_device(links=links)
        assert bound_message(message, device) == us((devices - 1) / devices * 90)
        return KINDS["all_gather"].gpu(message, device, f)

    assert time(2, on_bus=True) == time(2, on_bus=False) == us(45 / 0.5 + 27)
    assert time(3, on_bus=False) == us(60 / 0.5 + 27)
    assert time(3, on_bus=True) == us(3 * 60 / 0.5 + 27)


def test_only_devices_without_links_of_their_own_meet_on_a_bus() -> None:
    stack = load_stack("tensorrt-llm-1.3")
    deployment = replace(Deployment(dtype="bf16", weight_dtype="bf16", kv_dtype="bf16"), tp=4)
    for device, expected in (("l40s", True), ("rtx-pro-6000", True), ("h100", False), ("mi300x", False)):
        assert describe_device(load_hardware(device), deployment, stack).links.on_bus == expected


def test_a_repeated_block_of_experts_keeps_in_the_cache_what_all_of_it_leaves_room_for() -> None:
    """Each product alone would fit a cache of 40 MB: weights of 33.6 and 16.8 MB, which together do not."""
    stack = load_stack("tensorrt-llm-1.3")
    deployment = Deployment(dtype="bf16", weight_dtype="bf16", kv_dtype="bf16")
    names = {"matrices": 3.0, "tokens": 8.0, "hidden": 2048.0, "width": 512.0, "chosen": 1.0, "experts": 8.0}
    sizes = {**names, "held": 8.0, "skew": 0.0, "copies": 1.0}
    blocks = [op for op in list_expert_block(sizes, deployment, stack) if op.kind == "grouped"]
    assert [op.weight_bytes / 2**20 for op in blocks] == [32, 16]
    for cache, kept in ((40e6, 0.0), (60e6, 1.0)):
        assert [float(find_kept(op, make_device(cache_bytes=cache))) for op in blocks] == [kept, kept]
    arrays = {name: np.array([value, value]) for name, value in sizes.items()}
    again = [op for op in list_expert_block(arrays, deployment, stack) if op.kind == "grouped"]
    for one, many in zip(blocks, again, strict=True):
        assert np.all(many.copies == one.copies)


def test_what_was_just_quantized_for_a_product_comes_from_the_last_cache_that_holds_it() -> None:
    """Inputs of a million, 4 MB in all over the passes: at 1 TB/s of memory and 4 TB/s of the cache."""
    d, stack = Deployment(dtype="fp8"), load_stack("tensorrt-llm-1.3")
    sizes = element_sizes(d, "feed_forward")
    quantizing, product = list_quantized([linear("up", 1000.0, 100.0, 1000.0, **sizes)], d, stack)
    f = make_factors(matrix_efficiency=HUGE, cache_bytes_per_cycle=400)
    small, large = make_device(cache_bytes=1e6), make_device(cache_bytes=3e6)
    # Two bytes are read from memory; the same two and one that is written are found again, three of five.
    assert (quantizing.activation_bytes, quantizing.written_bytes) == (5e6, 3e6)
    assert time_stream(quantizing, small, f) == us(5)
    assert time_stream(quantizing, large, f) == us(2 + 3 / 4)
    assert bound_kernel(quantizing, large) == us(2)
    # The product reads that million, weights of 0.1 MB, and writes 0.2 MB.
    assert product.written_bytes == 1e6
    whole, found = (stream_operands(product, 1e-12, device, f) for device in (make_device(cache_bytes=5e5), small))
    assert whole == us(1.3)
    assert found == us(0.3 + 1 / 4)
    # Of experts, in one launch over two kinds of them.
    experts = product._replace(kind="grouped", parts=(product, product._replace(m=500.0)))
    _, joined = list_quantized([experts], d, stack)
    assert [part.written_bytes for part in joined.parts] == [1e6, 5e5]
    assert scale_batch(joined.parts[1], 4).written_bytes == 2e6


def test_the_windows_of_a_block_of_queries_reach_over_one_block_more_than_one_is_long() -> None:
    """Blocks of 64 x 64, 1.28 us on a unit each with heads of 128 and no softmax: 16 rows that see three each."""
    f = make_factors(softmax_elements=1e-30, attention_operand_passes=1, attention_tail_share=0)
    device = make_device(peak_flops_per_s=10 * 64 * 64 * 4 * 128 / 1.28e-6, clock_hz=1e9)
    device = device._replace(clock_hz=device.unit_flops_per_s / 2048)
    window = Operator("attention", "prefill_attention", m=1024, n=128, unseen=896, k=128, batch=10)
    # The first two rows see one block and two.
    assert time_prefill_attention(window, device, f) == us((16 * 3 - 3) * 1.28)
    # A window of one block more than the prompt hides nothing that a whole mask would show.
    nearly = window._replace(n=1000, unseen=24)
    assert time_prefill_attention(nearly, device, f) == time_prefill_attention(
        nearly._replace(n=1024, unseen=0), device, f
    )


def test_kernels_that_route_tokens_have_a_latency_and_a_share_of_the_bandwidth_of_their_own() -> None:
    f = make_factors(routing_latency_s=4e-6, gather_efficiency=0.5, kernel_latency_s=1e-6)
    op = Operator("order by expert", "gather", activation_bytes=3e6, launches=2)
    assert KINDS["gather"].gpu(op, make_device(), f) == us(2 * 4 + 3 / 0.5)
