"""Times of kernels worked out by hand, in microseconds, for the device of ``hand``."""

from __future__ import annotations

from typing import Any

import pytest
from hand import HUGE, make_device, make_factors, us

from simulator.costs.operators import Operator
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.stack import DecodeKernel
from simulator.timing.device import Device, describe_device
from simulator.timing.devices.systolic import SYSTOLIC
from simulator.timing.devices.vector_gpu import time_few_rows
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.batched import time_batched
from simulator.timing.kinds.decode_attention import time_decode_attention
from simulator.timing.kinds.grouped import time_grouped
from simulator.timing.kinds.latent_decode import time_latent_decode
from simulator.timing.kinds.linear import time_linear
from simulator.timing.kinds.memory import time_stream
from simulator.timing.kinds.prefill_attention import choose_block, time_prefill_attention

# Matrix products. A tile of 256 x 128 over k = 3200 is 2 x 256 x 128 x 3200 FLOP, 209.7152 us on one unit.

FULL_WAVE_US = 209.7152


def time_product(m: float, n: float, k: float, device: Device, **known: float) -> float:
    """Seconds of a product that moves nothing."""
    known = {"matrix_bandwidth_efficiency": HUGE} | known
    return float(time_linear(Operator("p", "linear", m=m, n=n, k=k), device, make_factors(**known)))


def test_ten_tiles_are_one_wave_and_one_row_more_is_five_waves_of_a_quarter() -> None:
    device = make_device()
    assert time_product(256, 1280, 3200, device) == us(FULL_WAVE_US)
    assert time_product(256, 1280, 3200, device, matrix_efficiency=0.8, product_latency_s=2e-06) == us(
        FULL_WAVE_US / 0.8 + 2
    )
    # 257 rows: 5 x 10 tiles of 64 x 128 are five waves of a quarter each; 2 x 10 of 256 x 128 would be two whole ones.
    assert time_product(257, 1280, 3200, device) == us(5 / 4 * FULL_WAVE_US)


def test_k_is_padded_to_turns_of_32() -> None:
    assert time_product(256, 1280, 33 * 8, make_device()) == us(FULL_WAVE_US * 288 / 3200)


def test_a_tile_loads_its_operands_while_it_multiplies() -> None:
    """Balanced at a side of 128, one tile of 128 x 128 takes as long to load: the fourth root of two, rounded off."""
    # 127 columns of two bytes are misaligned: one tile of 128 x 128, half of a full wave's work, twice as slow.
    found = time_product(128, 127, 3200, make_device(), balanced_tile_side=128, misaligned_slowdown=2)
    assert found == us(FULL_WAVE_US / 2 * 2 * 2**0.25)


def test_up_to_32_rows_alignment_does_not_matter() -> None:
    # A tile of 32 x 64 in each of two columns, a sixteenth of a full wave; past 32 rows 128 x 128, three times as slow.
    assert time_product(32, 127, 3200, make_device(), misaligned_slowdown=3) == us(FULL_WAVE_US / 16)
    assert time_product(33, 127, 3200, make_device(), misaligned_slowdown=3) == us(FULL_WAVE_US / 2 * 3)


def test_a_wave_writes_its_tiles() -> None:
    """10 tiles of 256 x 128 numbers of two bytes are 655,360 bytes: 0.65536 us, at half the bandwidth twice that."""
    found = time_product(256, 1280, 3200, make_device(), matrix_bandwidth_efficiency=0.5)
    assert found == us(FULL_WAVE_US + 1.31072)


def test_a_product_that_waits_for_memory_as_long_as_it_multiplies_takes_the_fourth_root_of_two_more() -> None:
    op = Operator("p", "linear", weight_bytes=FULL_WAVE_US * 1e6, m=256, n=1280, k=3200)
    slow = make_device(element_bytes=0.5)  # writes 0.16 us a wave
    wave = FULL_WAVE_US + 0.16384
    assert time_linear(op, slow, make_factors()) == us((wave**4 + FULL_WAVE_US**4) ** 0.25)


def test_a_product_of_one_tile_is_cut_along_k_and_its_parts_are_added_up() -> None:
    """One tile of 16 x 64 over k = 1280 is 2.62144 us; cut in eight, 160 deep each, an eighth of it.

    Then a kernel starts (100 cycles), and writes and reads half of the eight parts' 16 x 64 sums of four bytes.
    """
    device = make_device(splits_k=True)
    found = time_product(16, 64, 1280, device, matrix_bandwidth_efficiency=1, split_latency_s=1e-7, split_traffic=0.5)
    writing = 10 * 16 * 64 * 2 / 1e6
    adding = 0.5 * 8 * (16 * 64 * (4 + 4)) / 1e6
    assert found == us(2.62144 / 8 + writing + 0.1 + adding)


def test_units_that_do_not_load_ahead_multiply_and_stream_in_turn() -> None:
    op = Operator("p", "linear", weight_bytes=FULL_WAVE_US * 1e6, m=256, n=1280, k=3200)
    slow = make_device(element_bytes=0.5, loads_ahead=False)  # writes 0.16 us a wave
    assert time_linear(op, slow, make_factors()) == us(2 * FULL_WAVE_US + 0.16384)
    # What a tile takes in is in the streaming, however large its side would have to be.
    assert time_product(256, 1280, 3200, slow, balanced_tile_side=500) == us(FULL_WAVE_US)


def test_a_matrix_instruction_of_64_rows_takes_as_long_for_one() -> None:
    """10 tiles of 64 x 128 are a quarter of a wave; of weights that are dequantized rows are the weights'."""
    device = make_device(instruction_rows=64)
    assert [time_product(m, 1280, 3200, device) for m in (1, 16, 64)] == [us(FULL_WAVE_US / 4)] * 3
    dequantizing = device._replace(weight_share=0.5)
    assert time_product(1, 640, 3200, dequantizing, dequantize_cycles=1e-9) == us(FULL_WAVE_US / 32)


def test_units_held_to_a_quarter_of_their_rate_are_fed_as_before() -> None:
    """A tile balanced at a side of 512 for them would be at 128 for their design: four times as long to multiply."""
    known = {"balanced_tile_side": 512.0, "misaligned_slowdown": 2.0}
    found = time_product(128, 127, 3200, make_device(held_share=0.25), **known)
    assert found == us(FULL_WAVE_US / 2 * 2 * 2**0.25)


def test_narrow_weights_are_dequantized_on_the_vector_units_while_a_tile_multiplies() -> None:
    """64 of them in 2.048 cycles: 128 columns of 3200 are 13.1 us, those of 655 cycles as long as a full wave."""
    device = make_device(weight_share=0.5)
    cycles = FULL_WAVE_US * 1e3 / (128 * 3200 / 64)
    assert time_product(256, 1280, 3200, device, dequantize_cycles=cycles) == us(FULL_WAVE_US * 2**0.25)


def test_many_rows_dequantize_their_weights_in_memory_first() -> None:
    """A kernel that reads 4.096 MB of one byte and writes 8.192 MB of two, at half the bandwidth; then the product."""
    op = Operator("p", "linear", weight_bytes=1280 * 3200, m=256, n=1280, k=3200)
    latencies = {"kernel_latency_s": 1e-06, "product_latency_s": 1e-06}
    known = {"matrix_bandwidth_efficiency": HUGE, "stream_efficiency": 0.5} | latencies
    device = make_device(weight_share=0.5, dequantizes_above=255)
    assert time_linear(op, device, make_factors(**known)) == us(1 + 2 * (4.096 + 8.192) + 1 + FULL_WAVE_US)
    not_above = device._replace(dequantizes_above=256)
    assert time_linear(op, not_above, make_factors(**known)) == us(1 + FULL_WAVE_US)


def test_narrow_weights_as_stripes_take_equal_turns_and_hand_sums_on() -> None:
    """A turn of 16 x 128 over 128 of k is 0.524288 us on one unit, one of 64 x 256 eight times that."""
    device = make_device(weight_share=0.25, stripes_narrow=True)
    few, many, relay = 0.524288, 8 * 0.524288, {"relay_latency_s": 1e-06}
    # Ten tiles, ten turns deep each, on ten units: a stretch may begin inside of a tile.
    assert time_product(16, 1280, 1280, device, **relay) == us(10 * few + 1)
    # One tile: ten units take a turn each, and nine wait for the one before.
    assert time_product(16, 128, 1280, device, **relay) == us(few + 9)
    # Five tiles of more rows: two units a tile, three where the stretches do not begin with it.
    assert time_product(64, 1280, 1280, device, **relay) == us(5 * many + 2)
    assert time_product(65, 1280, 1280, device, **relay) == us(10 * many + 1)
    # Wide weights are the library's.
    assert time_product(16, 128, 1280, device._replace(weight_share=1.0), **relay) < (few + 9) / 1e6


def test_stripes_dequantize_and_read_no_more_than_a_tile_does() -> None:
    """128 columns of 128 of k are 256 times 64 weights: 2.048 cycles each take as long as the turn."""
    device = make_device(weight_share=0.25, stripes_narrow=True)
    turn = 0.524288
    assert time_product(16, 1280, 1280, device, dequantize_cycles=turn * 1e3 / 256) == us(10 * turn * 2**0.25)
    # 1280 x 1280 numbers of half a byte at half of 1 TB/s: 1.6384 us of bytes, and 20,480 numbers of two written.
    op = Operator("p", "linear", weight_bytes=1280 * 1280 / 2, m=16, n=1280, k=1280)
    working = 10 * turn + 2 * 0.04096
    found = time_linear(op, device, make_factors(matrix_bandwidth_efficiency=0.5))
    assert found == us((working**4 + 1.6384**4) ** 0.25)


def test_a_board_without_the_power_for_its_peak_clocks_down_by_the_cube_root() -> None:
    """0.8 pJ at 2 GHz are 0.2 pJ at the device's 1 GHz: 10 TFLOP/s draw 2 W. A quarter of a watt halves the clock."""
    op = Operator("p", "linear", m=256, n=1280, k=3200)
    f = make_factors(matrix_bandwidth_efficiency=HUGE, flop_energy_j=0.8e-12)
    assert time_linear(op, make_device(power_w=2), f) == us(FULL_WAVE_US)
    assert time_linear(op, make_device(power_w=0.25), f) == us(2 * FULL_WAVE_US)


def test_copies_that_fit_the_last_cache_come_from_there() -> None:
    """Two copies of 4 MB and 2 MB of activations in 10 MB; 6 MB at half of 1 TB/s, or at 400 bytes a cycle and unit."""
    op = Operator("p", "linear", weight_bytes=4e6, activation_bytes=2e6, m=1, n=64, k=64, copies=2)
    f = make_factors(matrix_bandwidth_efficiency=0.5, matrix_efficiency=HUGE, cache_bytes_per_cycle=400)
    still = make_device(element_bytes=1e-9, cache_bytes=10e6)
    assert time_linear(op, still, f) == us(6 / 4)
    assert time_linear(op, still._replace(cache_bytes=9e6), f) == us(6 / 0.5)
    assert time_linear(op._replace(copies=0), still, f) == us(6 / 0.5)
    # Where memory is the faster, nothing is gained.
    assert time_linear(op, still, f.replace(cache_bytes_per_cycle=1.0)) == us(6 / 0.5)


def test_experts_share_the_waves_and_multiply_more_slowly() -> None:
    op = Operator("experts", "grouped", m=256, n=128, k=3200, batch=10)
    f = make_factors(matrix_bandwidth_efficiency=HUGE, grouped_slowdown=1.5, product_latency_s=1e-06)
    assert time_grouped(op, make_device(), f) == us(1 + 1.5 * FULL_WAVE_US)


def test_products_of_up_to_32_rows_in_unfused_attention_stream_their_operands() -> None:
    f = make_factors(cache_bytes_per_cycle=200, matrix_bandwidth_efficiency=0.5, product_latency_s=1e-06)
    op = Operator("scores", "batched", 0.0, 0.0, 1e6, 3e6, m=32, n=64, k=64, batch=10)
    assert time_batched(op, make_device(), f) == us(1 + 4 / 0.5)
    # Eight query heads read the keys once each, 24 MB at twice the bandwidth.
    assert time_batched(op._replace(group=8), make_device(), f) == us(1 + 8 * 3 / 2)
    # 30 MFLOP at half the peak take 6 us, as long as 3 MB at half the bandwidth.
    balanced = op._replace(flops=3e7, kv_bytes=2e6)
    slow = {"matrix_bandwidth_efficiency": 0.5, "product_latency_s": 1e-06, "matrix_efficiency": 0.5}
    assert time_batched(balanced, make_device(), make_factors(**slow)) == us(1 + 6 * 2**0.25)
    # Past that they are cut into tiles: ten of 64 x 64 over k = 64 are 0.524288 us, and 2 x 40,960 bytes are written.
    tiles = Operator("scores", "batched", m=33, n=64, k=64, batch=10)
    assert time_batched(tiles, make_device(), f) == us(1 + 0.524288 + 0.08192 / 0.5)


def test_a_recurrence_is_a_roofline_of_its_chunks_and_no_shorter_than_their_chain() -> None:
    """20 MFLOP at a quarter of the peak are 8 us, 3 MB at half the bandwidth 6 us, 16 chunks of 1000 cycles 16 us."""
    known = {"scan_efficiency": 0.25, "stream_efficiency": 0.5, "kernel_latency_s": 1e-06}
    op = Operator("state scan", "chunk_scan", 2e7, activation_bytes=3e6, launches=5, m=64, n=16)
    law = KINDS["chunk_scan"].gpu
    assert law(op, make_device(), make_factors(**known)) == us(5 + 8)
    assert law(op, make_device(), make_factors(**known, chunk_step_cycles=1000)) == us(5 + 16)
    assert law(op._replace(activation_bytes=6e6), make_device(), make_factors(**known)) == us(5 + 12)
    cpu = make_factors(**known, activation_bandwidth_ratio=2)
    assert KINDS["chunk_scan"].cpu(op, make_device(kind="cpu"), cpu) == us(
        5 + 8 + 2 * 3 / 2
    )  # two bytes are four in the caches


def test_a_scan_takes_each_state_on_and_one_token_reads_and_writes_its_own() -> None:
    """64 tokens of 10,000 states at 8 a cycle on ten units are 8 us; 1 MB at half the bandwidth are 2 us."""
    f = make_factors(scan_elements_per_cycle=8, stream_efficiency=0.5, state_efficiency=0.5, kernel_latency_s=1e-06)
    scan = Operator("state scan", "token_scan", activation_bytes=1e6, m=64, k=1e4)
    assert KINDS["token_scan"].gpu(scan, make_device(), f) == us(1 + 8)
    assert KINDS["token_scan"].gpu(scan._replace(m=8), make_device(), f) == us(1 + 2)
    update = Operator("state update", "state_update", activation_bytes=1e6)
    assert KINDS["state_update"].gpu(update, make_device(), f) == us(1 + 2)


def test_up_to_eight_rows_a_gpu_without_matrix_units_multiplies_by_vectors() -> None:
    """10 MFLOP at half the peak are 2 us, and ten units dequantize 64,000 times 64 weights in 6.4 us."""
    f = make_factors(matrix_efficiency=0.5, dequantize_cycles=1, product_latency_s=1e-06)
    op = Operator("p", "linear", flops=1e7, m=8, n=1280, k=3200)
    assert time_few_rows(op, make_device(weight_share=0.5), f) == us(1 + 2 + 6.4)
    assert time_few_rows(op, make_device(), f) == us(1 + 2)
    # 4 MB of weights take twice as long.
    assert time_few_rows(op._replace(weight_bytes=4e6), make_device(), f) == us(1 + (2**4 + 4**4) ** 0.25)
    more = op._replace(m=9)
    assert time_few_rows(more, make_device(), f) == time_linear(more, make_device(), f)
    assert time_few_rows(more, make_device(), f) != us(1 + 2)


# Kernels that move numbers


def test_a_kernel_that_moves_a_megabyte_at_half_the_bandwidth_in_two_launches() -> None:
    f = make_factors(stream_efficiency=0.5, kernel_latency_s=1e-06, narrow_load_cycles=5)
    op = Operator("residual", "elementwise", activation_bytes=1.28e6, launches=2)
    assert time_stream(op, make_device(), f) == us(2 + 1.28 / 0.5)
    # Loading four bytes at a time, 10,000 pieces of 128 bytes take ten units five cycles each.
    assert time_stream(op, make_device(load_bytes=4), f) == us(2 + 10_000 * 5 / 10 / 1e3)
    assert time_stream(op, make_device(load_bytes=2), f) == us(2 + 2 * 10_000 * 5 / 10 / 1e3)


# Attention


def test_attention_over_a_prompt_ends_with_a_share_of_its_longest_row_of_blocks() -> None:
    """Four rows of 64 queries see 1 + 2 + 3 + 4 blocks of 64 keys; a block of heads of 128 is 4 x 64 x 64 x 160 FLOP.

    The softmax of a score counts as 32 of the 160. Units of 2,048 FLOP a cycle take such blocks in 1.28 us.
    """
    device = make_device(peak_flops_per_s=2.048e13)
    known = {"attention_tail_share": 0.5, "attention_operand_passes": 2, "kernel_latency_s": 1e-06}
    # Keys and values of 256 tokens are read, and those of 256 written, which is not the kernel's work.
    op = Operator("attention", "prefill_attention", activation_bytes=1e6, kv_bytes=3e6, m=256, n=256, k=128, batch=20)
    streaming = 2 * (1 + 3 / 2)
    assert time_prefill_attention(op, device, make_factors(**known)) == us(
        1 + 20 * 10 * 1.28 / 10 + 0.5 * 4 * 1.28 + streaming
    )
    # Each of the four blocks of queries starts half a microsecond late.
    blocks = {"prompt_block_cycles": 500.0}
    started = time_prefill_attention(op, device, make_factors(**known, **blocks))
    assert started == us(1 + 20 * (10 * 1.28 + 4 * 0.5) / 10 + 0.5 * (4 * 1.28 + 0.5) + streaming)
    # Blocks that are not full take as long.
    ragged = time_prefill_attention(op._replace(m=193, n=193), device, make_factors(**known))
    assert ragged == us(1 + 20 * 10 * 1.28 / 10 + 0.5 * 4 * 1.28 + streaming)
    # One head cannot end before its longest row.
    alone = time_prefill_attention(op._replace(batch=1), device, make_factors(**known))
    assert alone == us(1 + 4 * 1.28 + streaming)
    # Units four times as fast take blocks of 128 x 128: two rows, of 1 + 2 blocks, as many cycles each for the products
    # and four times as many for the softmax, 128 + 4 x 32 instead of 160.
    faster = time_prefill_attention(op, device._replace(peak_flops_per_s=8.192e13), make_factors(**known))
    assert faster == us(1 + 1.6 * 1.28 * (20 * 3 / 10 + 0.5 * 2) + streaming)


def test_wide_heads_in_eight_bits_spill_where_results_are_in_registers() -> None:
    """Blocks of heads of 256 are 288 for 160: 1.8 times as long, and with outputs in registers three times that."""
    f = make_factors(attention_tail_share=0.5, spilled_slowdown=3)
    op = Operator("attention", "prefill_attention", m=256, n=256, k=256, batch=20, narrow=True)
    device = make_device(peak_flops_per_s=2.048e13)
    spilling = device._replace(spills_narrow_heads=True)
    whole_s = 1.8 * 1.28 * (20 * 10 / 10 + 0.5 * 4)
    assert time_prefill_attention(op, device, f) == us(whole_s)
    assert time_prefill_attention(op, spilling, f) == us(3 * whole_s)
    assert time_prefill_attention(op._replace(narrow=False), spilling, f) == us(whole_s)
    slim = op._replace(k=128)
    assert time_prefill_attention(slim, spilling, f) == time_prefill_attention(slim, device, f)


def test_prompts_over_a_cache_of_eight_bits_are_attended_to_in_eight_bits_where_the_stack_does() -> None:
    """Twice the peak of 16 bits on Hopper; the products of such a model stay in 16 bits. Not on Ada."""
    stack = load_stack("tensorrt-llm-1.3")
    narrow, wide = Deployment(dtype="bf16", kv_dtype="fp8"), Deployment(dtype="bf16")
    prompt, product = Operator("attention", "prefill_attention"), Operator("qkv", "linear", wide=True)
    for name, times in (("h100-sxm-80gb", 2.0), ("l40s-48gb", 1.0)):
        sheet = load_hardware(name)
        bf16 = sheet.peak_flops_per_s("bf16")
        device = describe_device(sheet, narrow, stack)
        assert device.serve(prompt).peak_flops_per_s == pytest.approx(times * bf16, rel=0.01)
        assert device.serve(product).peak_flops_per_s == bf16
        assert describe_device(sheet, wide, stack).serve(prompt).peak_flops_per_s == bf16


def test_decode_attention_of_grouped_heads_runs_in_waves_of_blocks() -> None:
    """Ten pairs of sequence and key head on ten units: a block starts in 1,000 cycles and takes 1,024 tokens by two."""
    f = make_factors(attention_block_cycles=1000, grouped_token_cycles=2, kernel_latency_s=3e-06)
    op = Operator("attention", "decode_attention", m=1, n=1000, k=128, batch=80, group=8)
    assert time_decode_attention(op, make_device(), f) == us(3 + (1000 + 2 * 1024) / 1e3)
    # A group of 17 fills two steps of 16 rows, and 11 pairs are two waves.
    wider = op._replace(batch=170, group=17)
    assert time_decode_attention(wider, make_device(), f) == us(3 + (1000 + 2 * 2048) / 1e3)
    more = op._replace(batch=88)
    assert time_decode_attention(more, make_device(), f) == us(3 + 2 * (1000 + 2 * 1024) / 1e3)
    # 1,024 tokens in eight parts of 128: 80 blocks are eight waves, and the parts are merged in one block's time.
    parts = time_decode_attention(op._replace(n=1024), make_device(decode_kernel=DecodeKernel()), f)
    assert parts == us(3 + 8 * (1000 + 2 * 128) / 1e3 + 1)
    # Four parts of 1,097 tokens for 20 pairs are of 384 in whole steps, which leaves nothing to the fourth: six waves.
    uneven = time_decode_attention(op._replace(n=1097, batch=160), make_device(decode_kernel=DecodeKernel()), f)
    assert uneven == us(3 + 6 * (1000 + 2 * 384) / 1e3 + 1)


def test_decode_kernels_as_a_stack_states_them() -> None:
    """Ten pairs of sequence and key head on ten units, 1,024 tokens: 1 us a start, 2 ns a token, 0.3 us chained."""
    f = make_factors(
        attention_block_cycles=1000,
        grouped_token_cycles=2,
        kernel_latency_s=3e-06,
        chained_block_cycles=300,
        chained_token_cycles=2,
    )
    op = Operator("attention", "decode_attention", m=1, n=1024, k=128, batch=80, group=8)

    def time(number_bytes: int = 2, **kernel: Any) -> Any:
        device = make_device(decode_kernel=DecodeKernel(**kernel), cache_number_bytes=number_bytes)
        return time_decode_attention(op, device, f)

    # As many parts as fill the units once: one each. Numbers of one byte take half the cycles where a stack says so.
    assert time(parts="one wave") == us(3 + (1000 + 2 * 1024) / 1e3)
    assert time(1, parts="one wave", by_width=True) == us(3 + (1000 + 1024) / 1e3)
    assert time(1, parts="one wave") == time(parts="one wave")
    assert time(parts="one wave", loads_ahead=True, more_launches=2) == us(3 + 2 * 3 + (300 + 2 * 1024) / 1e3)
    assert time(parts="one", group_rows=4) == us(3 + (1000 + 2 * 2048) / 1e3)
    # Half as many pairs are cut in two, and merged.
    op = op._replace(batch=40)
    assert time(parts="one wave") == us(3 + (1000 + 2 * 512) / 1e3 + 1)
    # One pair alone does not fill a quarter of the units whole, and is packed all the same where a stack says so.
    op = op._replace(batch=8)
    assert time(parts="one", packs="grouped heads") == us(3 + (1000 + 2 * 1024) / 1e3)
    assert time(parts="one") < time(parts="one", packs="grouped heads")
    op = op._replace(batch=10, group=1)
    assert time(parts="one", packs="always") == us(3 + (1000 + 2 * 1024) / 1e3)
    assert time(parts="one", packs="grouped heads") < time(parts="one", packs="always")


def test_decode_attention_of_single_heads_shares_units_by_three() -> None:
    f = make_factors(attention_block_cycles=1000, head_token_cycles=3, kernel_latency_s=2e-06)
    op = Operator("attention", "decode_attention", m=1, n=100, k=64, batch=30)
    one_wave = (1000 + 112 * 64 / 128 * 3) / 1e3  # 112: tokens in steps of 16
    assert time_decode_attention(op, make_device(), f) == us(2 + one_wave)
    assert time_decode_attention(op._replace(batch=31), make_device(), f) == us(2 + 2 * one_wave)
    # Five heads on ten units are cut in two, if no part has fewer than 64 tokens; then they are merged.
    split = time_decode_attention(op._replace(batch=5, n=128), make_device(decode_kernel=DecodeKernel()), f)
    assert split == us(2 + (1000 + 64 * 64 / 128 * 3) / 1e3 + 1)


def test_query_heads_without_a_common_block_read_their_keys_again_from_the_cache() -> None:
    f = make_factors(cache_bytes_per_cycle=160, cache_efficiency=0.5)
    op = Operator("attention", "decode_attention", kv_bytes=4e6, m=1, n=100, k=128, batch=8, group=8)
    assert time_decode_attention(op, make_device(), f) == us(8 * 4 / 1.6)
    assert time_decode_attention(op._replace(group=1), make_device(), f) == us(4 / 0.5)


def test_attention_on_large_arrays_multiplies_the_scores_of_a_prompt_and_streams_those_of_a_token() -> None:
    """48 MFLOP at 80% of the peak are 6 us. Of 3 MB of a prompt's keys and values half are read, beside 1 MB."""
    known = {"attention_efficiency": 0.8, "attention_operand_passes": 2, "kernel_latency_s": 1e-06}
    f = make_factors(**known, stream_efficiency=0.5)
    op = Operator(
        "attention", "prefill_attention", 4.8e7, activation_bytes=1e6, kv_bytes=3e6, launches=3, m=8, n=8, k=8
    )
    prompt, token = SYSTOLIC.laws["prefill_attention"], SYSTOLIC.laws["decode_attention"]
    assert prompt(op, make_device(kind="systolic"), f) == us(3 + 6 + 2 * (1 + 3 / 2))
    assert prompt(op._replace(parts=(op, op)), make_device(kind="systolic"), f) == us(3 + 2 * (6 + 2 * (1 + 3 / 2)))
    # 3 MB at half the bandwidth take as long as the products.
    assert token(op._replace(activation_bytes=0.0), make_device(kind="systolic"), f) == us(3 + 6 * 2**0.25)


def test_latent_decode_starts_and_merges_a_block_around_its_roofline() -> None:
    f = make_factors(
        stream_efficiency=0.5, attention_efficiency=0.8, attention_block_cycles=500, kernel_latency_s=1e-06
    )
    # 3 MB at half the bandwidth and 48 MFLOP at 8 TFLOP/s are six microseconds each.
    op = Operator("latent", "latent_decode", flops=4.8e7, kv_bytes=3e6, launches=3)
    assert time_latent_decode(op, make_device(), f) == us(3 * 1 + 2 * 0.5 + 6 * 2**0.25)


# A CPU


def test_a_product_on_a_cpu_packs_its_weights_unless_it_has_few_rows() -> None:
    known = {"packing_passes": 3, "matrix_efficiency": 0.5, "unpacked_efficiency": 0.2, "activation_bandwidth_ratio": 2}
    f = make_factors(matrix_bandwidth_efficiency=0.5, kernel_latency_s=1e-06, **known)
    device = make_device(kind="cpu", element_bytes=4, vector_rows=3, unpacked_rows=15)
    # 1 MB of weights at half the bandwidth, 2 us; 10 MFLOP at the peak, 1 us; 1 MB of activations, 0.5 us; a start, 1.
    op = Operator("p", "linear", flops=1e7, weight_bytes=1e6, activation_bytes=1e6, m=16, n=1, k=1)
    assert KINDS["linear"].cpu(op, device, f) == us(1 + 0.5 + 3 * 2 + 1 / 0.5)
    assert KINDS["linear"].cpu(op._replace(m=15), device, f) == us(1 + 0.5 + 2 + 1 / 0.2)
    assert KINDS["linear"].cpu(op._replace(m=3), device, f) == us(1 + 0.5 + 2 + 1)
    # A processor whose library has no loops for few rows packs from two rows on.
    plain = device._replace(vector_rows=1, unpacked_rows=1)
    assert KINDS["linear"].cpu(op._replace(m=2), plain, f) == KINDS["linear"].cpu(op, plain, f)
    assert KINDS["linear"].cpu(op._replace(m=1), plain, f) == us(1 + 0.5 + 2 + 1)
    # Numbers of two bytes are always packed, and are four in the caches.
    assert KINDS["linear"].cpu(op._replace(m=3), device._replace(element_bytes=2), f) == us(1 + 1 + 3 * 2 + 1 / 0.5)
    # Four matrices of a quarter, each with a start of its own.
    assert KINDS["grouped"].cpu(op._replace(batch=4), device, f) == us(4 * 1 + 0.5 + 3 * 2 + 1 / 0.5)
    assert KINDS["batched"].cpu(op, device, f) == us(1 + 2 * 0.5 + 1 / 0.5)
    assert KINDS["elementwise"].cpu(op._replace(launches=2), device, f) == us(2 * 1 + 2 * 0.5)


def test_attention_on_a_cpu_works_out_half_a_block_more_than_the_mask_lets_through() -> None:
    """64 queries in blocks of 32: 64 x 65 / 2 scores of the mask and 64 x 31 / 2 more, for each of ten heads."""
    known = {"score_cycles": 2, "attention_start_cycles": 1000, "attention_efficiency": 0.5}
    f = make_factors(kernel_latency_s=1e-06, matrix_bandwidth_efficiency=0.5, **known)
    op = Operator("attention", "prefill_attention", kv_bytes=2e6, m=64, n=64, k=128, batch=10)
    scores = 10 * (2080 + 992)
    products, cycles = 4 * scores * 128 / 0.5 / 1e7, (scores * 2 + 10 * 2 * 1000) / 10 / 1e3
    assert KINDS["prefill_attention"].cpu(op, make_device(kind="cpu"), f) == us(1 + products + cycles + 1 / 0.5)
    assert [choose_block(q) for q in (191, 192, 767, 768)] == [32, 64, 64, 256]
