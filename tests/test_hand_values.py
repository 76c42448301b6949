"""Values worked out by hand, for a device of round numbers: a fit absorbs a factor of two, these do not.

The device has 10 units at 1 GHz, a peak of 10 TFLOP/s (1 TFLOP/s a unit) and memory of 1 TB/s; a number has two bytes.
Times are in microseconds.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulator.costs.batch import Batch, Segment, decode_batch
from simulator.costs.feed_forwards.experts import count_activated_experts, list_dispatch
from simulator.costs.operators import Operator, attention, grouped, linear
from simulator.costs.passes import HostWork, LinearPart, Pass, list_mixing
from simulator.costs.request import RequestPasses
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_model, load_stack
from simulator.metrics.power import find_energy
from simulator.timing.device import Device, GroupLinks
from simulator.timing.factors import LOG_STEP, Factors
from simulator.timing.intervals import find_intervals, find_width
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.batched import time_batched
from simulator.timing.kinds.collectives import bound_message
from simulator.timing.kinds.decode_attention import time_decode_attention
from simulator.timing.kinds.grouped import time_grouped
from simulator.timing.kinds.latent_decode import time_latent_decode
from simulator.timing.kinds.linear import time_linear
from simulator.timing.kinds.memory import time_stream
from simulator.timing.kinds.prefill_attention import choose_block, time_prefill_attention
from simulator.timing.passes import Machine, PassTime, time_pass
from simulator.timing.priors import list_factors
from simulator.timing.request import RequestTime, Times

US = 1e-6
LINK = 1e11  # bytes per second
HUGE = 1e30  # an efficiency that leaves nothing of a time


def link_devices(tp: int, ep: int = 4, direct: int = 0) -> GroupLinks:
    """Links of 0.1 TB/s within a layer, half of it to the experts and a quarter to the next stage."""
    return GroupLinks(LINK, LINK / 2, LINK / 4, tp, ep, direct)


def make_device(**other: Any) -> Device:
    """The device of the module's docstring, where nothing else is said."""
    facts: dict[str, Any] = {
        "kind": "gpu",
        "peak_flops_per_s": 1e13,
        "wide_peak_flops_per_s": 1e13,
        "bandwidth_bytes_per_s": 1e12,
        "units": 10,
        "clock_hz": 1e9,
        "element_bytes": 2,
        "weight_share": 1.0,
        "dequantizes_above": float("inf"),
        "narrow_loads": False,
        "splits_k": False,
        "splits_context": False,
        "skinny_rows": 32,
        "links": link_devices(1),
    }
    return Device(**facts | other)


def make_factors(**known: float) -> Factors:
    """Factors of one, latencies of nothing and operands that load at once, where nothing else is said.

    A message crosses a device's own memory three times in a ring, a softmax counts as 32 elements of a head, three
    blocks share a unit, and one device's queue of kernels rounds off with sharpness 12.
    """
    ones = {factor.name: 1.0 if factor.unit == "1" else 0.0 for factor in list_factors().values()}
    counts = {"ring_memory_passes": 3.0, "softmax_elements": 32.0, "resident_blocks": 3.0, "queue_overlap": 12.0}
    return Factors(**ones | counts | known)


def make_machine(tp: int, **known: float) -> Machine:
    """The device among others."""
    return Machine(make_device(links=link_devices(tp)), make_factors(**known))


def us(seconds: Any) -> Any:
    """Microseconds that may differ by rounding alone."""
    return pytest.approx(seconds * US, rel=1e-9)


# Costs


def test_a_product_computes_two_flops_a_multiply_add_and_moves_both_operands_and_the_result() -> None:
    op = linear("p", 3, 5, 7, weight_bytes=1, activation_bytes=2, input_bytes=4)
    assert op.flops == 2 * 3 * 5 * 7
    assert op.weight_bytes == 5 * 7 * 1
    assert op.activation_bytes == 3 * 7 * 4 + 3 * 5 * 2
    assert op.bytes_moved == 35 + 114
    four = grouped("g", 4, 3, 5, 7, weight_bytes=1, activation_bytes=2, input_bytes=4)
    assert (four.flops, four.weight_bytes, four.activation_bytes) == (4 * 210, 4 * 35, 4 * 114)


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
        return RequestPasses(nothing, 1, None, nothing, nothing, 1, parts, 4)

    assert (pipe(3).filling, pipe(3).turns) == (1 + 2 / 4, 1)
    assert (pipe(8).filling, pipe(8).turns) == (1 + 7 / 4, 2)


# Matrix products. A tile of 256 x 128 over k = 3200 is 2 x 256 x 128 x 3200 FLOP, 209.7152 us on one unit.

FULL_WAVE_US = 209.7152


def time_product(m: float, n: float, k: float, device: Device, **known: float) -> float:
    """Seconds of a product that moves nothing."""
    known = {"matrix_bandwidth_efficiency": HUGE} | known
    return float(time_linear(Operator("p", "linear", m=m, n=n, k=k), device, make_factors(**known)))


def test_ten_tiles_are_one_wave_and_one_row_more_is_five_waves_of_a_quarter() -> None:
    device = make_device()
    assert time_product(256, 1280, 3200, device) == us(FULL_WAVE_US)
    assert time_product(256, 1280, 3200, device, matrix_efficiency=0.8, kernel_latency_cycles=2000) == us(
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
    found = time_product(
        16, 64, 1280, device, matrix_bandwidth_efficiency=1, split_latency_cycles=100, split_traffic=0.5
    )
    writing = 10 * 16 * 64 * 2 / 1e6
    adding = 0.5 * 8 * (16 * 64 * (4 + 4)) / 1e6
    assert found == us(2.62144 / 8 + writing + 0.1 + adding)


def test_narrow_weights_are_dequantized_on_the_vector_units_while_a_tile_multiplies() -> None:
    """64 of them in 2.048 cycles: 128 columns of 3200 are 13.1 us, those of 655 cycles as long as a full wave."""
    device = make_device(weight_share=0.5)
    cycles = FULL_WAVE_US * 1e3 / (128 * 3200 / 64)
    assert time_product(256, 1280, 3200, device, dequantize_cycles=cycles) == us(FULL_WAVE_US * 2**0.25)


def test_many_rows_dequantize_their_weights_in_memory_first() -> None:
    """A kernel that reads 4.096 MB of one byte and writes 8.192 MB of two, at half the bandwidth; then the product."""
    op = Operator("p", "linear", weight_bytes=1280 * 3200, m=256, n=1280, k=3200)
    known = {"matrix_bandwidth_efficiency": HUGE, "stream_efficiency": 0.5, "kernel_latency_cycles": 1000}
    device = make_device(weight_share=0.5, dequantizes_above=255)
    assert time_linear(op, device, make_factors(**known)) == us(1 + 2 * (4.096 + 8.192) + 1 + FULL_WAVE_US)
    not_above = device._replace(dequantizes_above=256)
    assert time_linear(op, not_above, make_factors(**known)) == us(1 + FULL_WAVE_US)


def test_experts_share_the_waves_and_multiply_more_slowly() -> None:
    op = Operator("experts", "grouped", m=256, n=128, k=3200, batch=10)
    f = make_factors(matrix_bandwidth_efficiency=HUGE, grouped_slowdown=1.5, kernel_latency_cycles=1000)
    assert time_grouped(op, make_device(), f) == us(1 + 1.5 * FULL_WAVE_US)


def test_products_of_up_to_32_rows_in_unfused_attention_stream_their_operands() -> None:
    f = make_factors(cache_bandwidth_ratio=2, matrix_bandwidth_efficiency=0.5, kernel_latency_cycles=1000)
    op = Operator("scores", "batched", 0.0, 0.0, 1e6, 3e6, m=32, n=64, k=64, batch=10)
    assert time_batched(op, make_device(), f) == us(1 + 4 / 0.5)
    # Eight query heads read the keys once each, 24 MB at twice the bandwidth.
    assert time_batched(op._replace(group=8), make_device(), f) == us(1 + 8 * 3 / 2)
    # Past that they are cut into tiles: ten of 64 x 64 over k = 64 are 0.524288 us, and 2 x 40,960 bytes are written.
    tiles = Operator("scores", "batched", m=33, n=64, k=64, batch=10)
    assert time_batched(tiles, make_device(), f) == us(1 + 0.524288 + 0.08192 / 0.5)


# Kernels that move numbers


def test_a_kernel_that_moves_a_megabyte_at_half_the_bandwidth_in_two_launches() -> None:
    f = make_factors(stream_efficiency=0.5, kernel_latency_cycles=1000, narrow_load_cycles=5)
    op = Operator("residual", "elementwise", activation_bytes=1.28e6, launches=2)
    assert time_stream(op, make_device(), f) == us(2 + 1.28 / 0.5)
    # Loading four bytes at a time, 10,000 pieces of 128 bytes take ten units five cycles each.
    assert time_stream(op, make_device(narrow_loads=True), f) == us(2 + 10_000 * 5 / 10 / 1e3)


# Attention


def test_attention_over_a_prompt_ends_with_a_share_of_its_longest_row_of_blocks() -> None:
    """Four rows of 64 queries see 1 + 2 + 3 + 4 blocks of 64 keys; a block of heads of 128 is 4 x 64 x 64 x 160 FLOP.

    The softmax of a score counts as 32 of the 160. Units of 2,048 FLOP a cycle take such blocks in 1.28 us.
    """
    device = make_device(peak_flops_per_s=2.048e13)
    known = {"attention_tail_share": 0.5, "attention_operand_passes": 2, "kernel_latency_cycles": 1000}
    # Keys and values of 256 tokens are read, and those of 256 written, which is not the kernel's work.
    op = Operator("attention", "prefill_attention", activation_bytes=1e6, kv_bytes=3e6, m=256, n=256, k=128, batch=20)
    streaming = 2 * (1 + 3 / 2)
    assert time_prefill_attention(op, device, make_factors(**known)) == us(
        1 + 20 * 10 * 1.28 / 10 + 0.5 * 4 * 1.28 + streaming
    )
    # One head cannot end before its longest row.
    alone = time_prefill_attention(op._replace(batch=1), device, make_factors(**known))
    assert alone == us(1 + 4 * 1.28 + streaming)
    # Units four times as fast take blocks of 128 x 128: two rows, of 1 + 2 blocks, as many cycles each.
    faster = time_prefill_attention(op, device._replace(peak_flops_per_s=8.192e13), make_factors(**known))
    assert faster == us(1 + 20 * 3 * 1.28 / 10 + 0.5 * 2 * 1.28 + streaming)


def test_decode_attention_of_grouped_heads_runs_in_waves_of_blocks() -> None:
    """Ten pairs of sequence and key head on ten units: a block starts in 1,000 cycles and takes 1,024 tokens by two."""
    f = make_factors(attention_block_cycles=1000, grouped_token_cycles=2, kernel_latency_cycles=3000)
    op = Operator("attention", "decode_attention", m=1, n=1000, k=128, batch=80, group=8)
    assert time_decode_attention(op, make_device(), f) == us(3 + (1000 + 2 * 1024) / 1e3)
    # A group of 17 fills two steps of 16 rows, and 11 pairs are two waves.
    wider = op._replace(batch=170, group=17)
    assert time_decode_attention(wider, make_device(), f) == us(3 + (1000 + 2 * 2048) / 1e3)
    more = op._replace(batch=88)
    assert time_decode_attention(more, make_device(), f) == us(3 + 2 * (1000 + 2 * 1024) / 1e3)
    # 1,024 tokens in eight parts of 128: 80 blocks are eight waves, and the parts are merged in one block's time.
    parts = time_decode_attention(op._replace(n=1024), make_device(splits_context=True), f)
    assert parts == us(3 + 8 * (1000 + 2 * 128) / 1e3 + 1)


def test_decode_attention_of_single_heads_shares_units_by_three() -> None:
    f = make_factors(attention_block_cycles=1000, head_token_cycles=3, kernel_latency_cycles=2000)
    op = Operator("attention", "decode_attention", m=1, n=100, k=64, batch=30)
    one_wave = (1000 + 112 * 64 / 128 * 3) / 1e3  # 112: tokens in steps of 16
    assert time_decode_attention(op, make_device(), f) == us(2 + one_wave)
    assert time_decode_attention(op._replace(batch=31), make_device(), f) == us(2 + 2 * one_wave)
    # Five heads on ten units are cut in two, if no part has fewer than 64 tokens; then they are merged.
    split = time_decode_attention(op._replace(batch=5, n=128), make_device(splits_context=True), f)
    assert split == us(2 + (1000 + 64 * 64 / 128 * 3) / 1e3 + 1)


def test_query_heads_without_a_common_block_read_their_keys_again_from_the_cache() -> None:
    f = make_factors(cache_bandwidth_ratio=1.6, stream_efficiency=0.5)
    op = Operator("attention", "decode_attention", kv_bytes=4e6, m=1, n=100, k=128, batch=8, group=8)
    assert time_decode_attention(op, make_device(), f) == us(8 * 4 / 1.6)
    assert time_decode_attention(op._replace(group=1), make_device(), f) == us(4 / 0.5)


def test_latent_decode_starts_and_merges_a_block_around_its_roofline() -> None:
    f = make_factors(
        stream_efficiency=0.5, attention_efficiency=0.8, attention_block_cycles=500, kernel_latency_cycles=1000
    )
    # 3 MB at half the bandwidth and 48 MFLOP at 8 TFLOP/s are six microseconds each.
    op = Operator("latent", "latent_decode", flops=4.8e7, kv_bytes=3e6, launches=3)
    assert time_latent_decode(op, make_device(), f) == us(3 * 1 + 2 * 0.5 + 6 * 2**0.25)


# Messages


def time_message(kind: Any, size: float, devices: int = 8, direct: int = 0, **known: float) -> float:
    """Seconds of one message between devices."""
    latencies = {"link_latency_cycles": 1000, "link_hop_cycles": 100, "low_latency_link_efficiency": 0.2}
    direct_ones = {"direct_latency_cycles": 500, "direct_barrier_cycles": 40, "direct_link_efficiency": 0.5}
    phases = {"ring_fill_cycles": 2500, "direct_phase_cycles": 2500}
    f = make_factors(link_efficiency=0.7, **latencies, **direct_ones, **phases, **known)
    device = make_device(links=GroupLinks(LINK, LINK, LINK, devices, devices, direct))
    return float(KINDS[kind].gpu(Operator("m", kind, message_bytes=size), device, f))


def test_a_ring_fills_and_passes_the_message_through_each_memory_three_times() -> None:
    """Eight devices: six hops past two, 2 x 7/8 of 8 MB over each link at 70% of 0.1 TB/s, and 24 MB of memory."""
    assert time_message("all_reduce", 8e6) == us(1 + 6 * 0.1 + 2.5 * 1 + 140 / 0.7 + 24)
    assert time_message("all_gather", 8e6) == us(1 + 6 * 0.1 + 2.5 * 1 + 70 / 0.7 + 24)
    assert time_message("send", 7e6, devices=2) == us(1 + 2.5 * 1 + 70 / 0.7 + 21)


def test_a_small_message_takes_the_low_latency_protocol() -> None:
    """8 kB at 20% of 0.1 TB/s; a ring would need 2.5 us to fill."""
    assert time_message("all_reduce", 8e3) == us(1 + 6 * 0.1 + 0.4)


def test_a_direct_all_reduce_reads_all_peers_at_once_or_in_two_phases() -> None:
    # 80 kB at half the link are 1.6 us: seven of them are 11.2, in two phases 5 latencies and 2 x 7/8 of one are 5.3.
    assert time_message("all_reduce", 8e4, direct=10**6) == us(0.5 + 7 * 0.04 + 5 * 0.5 + 2 * 7 / 8 * 1.6)
    # 16 kB are 0.32 us: seven of them, 2.24, before 3.06 in two phases.
    assert time_message("all_reduce", 1.6e4, direct=10**6) == us(0.5 + 7 * 0.04 + 7 * 0.32)
    # Below 8 KiB fewer blocks wait for each peer.
    assert time_message("all_reduce", 4096, direct=10**6) == us(0.5 + 7 * 0.04 / 2 + 7 * 0.08192)
    assert time_message("all_reduce", 8e6, direct=10**6) == time_message("all_reduce", 8e6)
    assert time_message("all_gather", 8e3, direct=10**6) == time_message("all_gather", 8e3)


@pytest.mark.parametrize(
    ("kind", "share"), [("all_reduce", 1.5), ("all_gather", 0.75), ("all_to_all", 0.75), ("send", 1)]
)
def test_the_bound_of_a_message_between_four_devices(kind: Any, share: float) -> None:
    device = make_device(links=GroupLinks(LINK, LINK, LINK, 4, 4, 0))
    assert bound_message(Operator("m", kind, message_bytes=1e5), device) == us(share)


# Passes


def make_pass(host: HostWork) -> Pass:
    """Two layers of a kernel of 1 MB in three launches, an all-reduce and 4 MB of mixing; 2 MB before, 3 MB after."""
    moved = [Operator(str(size), "elementwise", activation_bytes=size * 1e6, launches=size) for size in range(6)]
    reduce = Operator("all-reduce", "all_reduce", message_bytes=1e4)
    layer = moved[1]._replace(launches=3)
    return Pass(LinearPart([moved[2]], [(2, [layer, reduce])], [], [moved[3]], host), [(2, [moved[4]])])


KNOWN = {"launch_s": 5e-7, "collective_host_s": 3e-6, "layer_host_s": 1e-6, "layer_setup_s": 2e-6}
SERIAL = {"step_host_s": 1e-4, "sequence_host_s": 1e-6, "prompt_token_host_s": 1e-8}


def test_the_device_runs_layers_one_after_the_other_and_the_host_adds_its_time_for_each_sequence() -> None:
    machine = make_machine(2, low_latency_link_efficiency=0.1, **SERIAL)
    found = time_pass(make_pass(HostWork(False, 2, 8, 500, False)), machine)
    # 10 kB at a tenth of the link are 1 us; a ring would take 0.1 and 3 x 0.01.
    assert found.device_s == us(2 + 2 * (1 + 0.13) + 2 * 4)
    assert found.head_s == us(3)
    assert found.serial_s == us(100 + 8 * 1 + 500 * 0.01)
    assert found.host_s == 0
    assert found.seconds == us(2 + 2.26 + 8 + 3 + 113)


def test_an_eager_host_issues_every_kernel_of_the_layers() -> None:
    work = make_pass(HostWork(True, 2, 8, 0, True))
    found = time_pass(work, make_machine(2, parallel_overlap=1, **KNOWN))
    # On the device 2 + 2 x (1 + 0.1) + 2 x 4 us, the all-reduce at the whole link.
    # Two layers: 1 + 2 us of their own, three launches and four of the mixing at 0.5 us, a collective of 3 us.
    assert found.host_s == us(2 * (1 + 2 + 3 * 0.5 + 3 + 4 * 0.5))
    assert found.seconds == us(19 + 12.2 + 3)  # where host and device wait for each other all the time, the sum
    sharper = time_pass(work, make_machine(2, parallel_overlap=2, **KNOWN))
    assert sharper.seconds == us((19**2 + 12.2**2) ** 0.5 + 3)


def test_on_one_device_host_and_device_hardly_wait_for_each_other() -> None:
    """As long as each other, they take a twelfth root of two more; 3 us of the head come on top."""
    host = HostWork(True, 2, 8, 0, False)
    layer = Operator("kernel", "elementwise", activation_bytes=4e6)
    work = Pass(LinearPart([], [(2, [layer])], [], [], host), [])
    assert time_pass(work, make_machine(1, launch_s=1e-6, layer_host_s=3e-6)).seconds == us(8 * 2 ** (1 / 12))


def test_idle_pipeline_stages_draw_idle_power() -> None:
    """Two devices in each of three stages, of 100 W: 20 W each while nothing runs, 120 W over three seconds."""
    nothing = PassTime(1.0, 0.0, 1.0, 0.0, 0.0, [])
    work = Pass(LinearPart([], [], [], [], HostWork(False, 1, 0, 0, False)), [])
    passes = RequestPasses(work, 1, None, work, ([], []), 2, micro_batches=1, pp=3)
    times = RequestTime(1.0, 2.0, nothing, nothing)
    energy = find_energy(times, passes, make_device(), Deployment(tp=2, pp=3), tdp_w=100.0)
    assert energy == pytest.approx(2 * 3 * 20 * 3, rel=1e-5)


# A CPU


def test_a_product_on_a_cpu_packs_its_weights_unless_it_has_few_rows() -> None:
    known = {"packing_passes": 3, "matrix_efficiency": 0.5, "unpacked_efficiency": 0.2, "activation_bandwidth_ratio": 2}
    f = make_factors(matrix_bandwidth_efficiency=0.5, kernel_latency_cycles=1000, **known)
    device = make_device(kind="cpu", element_bytes=4)
    # 1 MB of weights at half the bandwidth, 2 us; 10 MFLOP at the peak, 1 us; 1 MB of activations, 0.5 us; a start, 1.
    op = Operator("p", "linear", flops=1e7, weight_bytes=1e6, activation_bytes=1e6, m=16, n=1, k=1)
    assert KINDS["linear"].cpu(op, device, f) == us(1 + 0.5 + 3 * 2 + 1 / 0.5)
    assert KINDS["linear"].cpu(op._replace(m=15), device, f) == us(1 + 0.5 + 2 + 1 / 0.2)
    assert KINDS["linear"].cpu(op._replace(m=3), device, f) == us(1 + 0.5 + 2 + 1)
    # Numbers of two bytes are always packed, and are four in the caches.
    assert KINDS["linear"].cpu(op._replace(m=3), device._replace(element_bytes=2), f) == us(1 + 1 + 3 * 2 + 1 / 0.5)
    # Four matrices of a quarter, each with a start of its own.
    assert KINDS["grouped"].cpu(op._replace(batch=4), device, f) == us(4 * 1 + 0.5 + 3 * 2 + 1 / 0.5)
    assert KINDS["batched"].cpu(op, device, f) == us(1 + 2 * 0.5 + 1 / 0.5)
    assert KINDS["elementwise"].cpu(op._replace(launches=2), device, f) == us(2 * 1 + 2 * 0.5)


def test_attention_on_a_cpu_works_out_half_a_block_more_than_the_mask_lets_through() -> None:
    """64 queries in blocks of 32: 64 x 65 / 2 scores of the mask and 64 x 31 / 2 more, for each of ten heads."""
    known = {"score_cycles": 2, "attention_start_cycles": 1000, "attention_efficiency": 0.5}
    f = make_factors(kernel_latency_cycles=1000, matrix_bandwidth_efficiency=0.5, **known)
    op = Operator("attention", "prefill_attention", kv_bytes=2e6, m=64, n=64, k=128, batch=10)
    scores = 10 * (2080 + 992)
    products, cycles = 4 * scores * 128 / 0.5 / 1e7, (scores * 2 + 10 * 2 * 1000) / 10 / 1e3
    assert KINDS["prefill_attention"].cpu(op, make_device(kind="cpu"), f) == us(1 + products + cycles + 1 / 0.5)
    assert [choose_block(q) for q in (191, 192, 767, 768)] == [32, 64, 64, 256]


# Intervals


def test_an_interval_adds_what_factors_law_and_transfer_leave_open() -> None:
    """A factor known to 10% that a time follows by its square, a scatter of 5%, and a transfer of 11%."""
    covariance = np.array([[0.1**2]])
    values = np.array([[1.0], [np.exp(2 * LOG_STEP)]])
    (width,) = find_width(covariance, values, 0.05, transfer=True)
    assert np.log(width) == pytest.approx(1.644854 * (0.2**2 + 0.05**2 + 0.11**2) ** 0.5, rel=1e-6)
    (calibrated,) = find_width(covariance, values, 0.05, transfer=False)
    assert np.log(calibrated) == pytest.approx(1.644854 * (0.2**2 + 0.05**2) ** 0.5, rel=1e-6)


def test_the_scatter_of_a_whole_request_is_that_of_its_parts_by_their_share() -> None:
    """A first token of 1 s and three of 1 s each, known to 10% and 20%: 0.25 x 10% + 0.75 x 20% = 17.5%."""
    knowledge: Any = SimpleNamespace(
        factors=make_factors(),
        log_covariance=lambda moved: np.zeros((len(moved), len(moved))),
        profile=SimpleNamespace(discrepancy=SimpleNamespace(prefill=0.1, decode=0.2)),
    )

    def law(f: Factors) -> Times:
        return Times(f.stream_efficiency, f.stream_efficiency, 4.0)

    low, high = find_intervals(knowledge, ["stream_efficiency"], law, 0, False)
    assert np.log(high) == pytest.approx([0.1644854, 0.3289707, np.log(4) + 0.2878494], rel=1e-6)
    assert np.log(low) == pytest.approx([-0.1644854, -0.3289707, np.log(4) - 0.2878494], rel=1e-6)
