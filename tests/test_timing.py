"""Time on a device: bounds are bounds, slower devices are slower, sums are sums, and tiles come in waves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from samples import predict

from simulator import Prediction
from simulator.costs.batch import decode_batch
from simulator.costs.operators import Operator, attention, linear
from simulator.costs.passes import build_pass, list_mixing
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import MODEL_FOLDER, list_ids, load_hardware, load_model, load_stack
from simulator.timing.device import Device, GroupLinks, describe_device
from simulator.timing.factors import Factors
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import is_compute_bound
from simulator.timing.kinds.collectives import bound_message
from simulator.timing.kinds.decode_attention import time_decode_attention
from simulator.timing.kinds.linear import MISALIGNED_TILES, time_linear
from simulator.timing.kinds.memory import time_stream
from simulator.timing.kinds.tiles import time_menu
from simulator.timing.learned import Traits
from simulator.timing.passes import time_pass
from simulator.timing.priors import list_factors
from simulator.timing.profile import complete, load_profile

A100 = load_hardware("a100-sxm-80gb")
PROFILE = "a100-sxm-80gb--megatron-lm-2022"
MEGATRON, IDEAL, TENSORRT = "megatron-lm-2022", "ideal", "tensorrt-llm-1.3"
ROUNDING = 1 + 1e-12


def takes_all_layouts(name: str) -> bool:
    """Whether eight devices divide the model, and its positions go as far as the questions do."""
    a = load_model(name).architecture
    divides = all(size % 8 == 0 for size in (a.num_attention_heads, a.kv_heads, a.intermediate_size))
    return divides and a.max_position_embeddings >= 2048


models = st.sampled_from([name for name in list_ids(MODEL_FOLDER) if takes_all_layouts(name)])
stacks = st.sampled_from([MEGATRON, IDEAL, TENSORRT])
layouts = st.sampled_from([{"tp": 1}, {"tp": 4}, {"tp": 8}, {"pp": 5, "tp": 2}, {"pp": 2}])
tokens, batches = st.integers(1, 682), st.sampled_from([1, 2, 4, 7, 16, 33, 64, 256])
calibrations = st.sampled_from([PROFILE, "none"])
# Any factors that make physical sense, not only those somebody measured.
factors = st.builds(
    Factors,
    **{name: st.floats(np.log(f.low), np.log(f.high)).map(np.exp).map(float) for name, f in list_factors().items()},
)


@st.composite
def questions(draw: st.DrawFn, calibrations: st.SearchStrategy[str] = calibrations) -> dict[str, Any]:
    """A request that some shipped model can answer."""
    model, layout = draw(models), draw(layouts)
    assume(load_model(model).architecture.num_hidden_layers % layout.get("pp", 1) == 0)
    return {
        "model": model,
        "hardware": A100.id,
        "calibration": draw(calibrations),
        "stack": draw(stacks),
        "prompt_tokens": draw(tokens),
        "output_tokens": draw(tokens),
        "batch_size": draw(batches),
        "dtype": draw(st.sampled_from(["fp16", "fp32"])),
        **layout,
    }


def change(hardware: Hardware, **by: float) -> Hardware:
    """Multiply facts of a data sheet."""
    compute, memory, links = hardware.compute, hardware.memory, hardware.links
    assert links is not None
    assert links.node is not None
    assert links.network is not None
    node, network = (
        replace(link, bandwidth=link.bandwidth * by.get("link", 1)) for link in (links.node, links.network)
    )
    peaks = {dtype: peak * by.get("peak", 1) for dtype, peak in compute.matrix_peak.items()}
    return replace(
        hardware,
        compute=replace(compute, matrix_peak=peaks),
        memory=replace(memory, bandwidth=memory.bandwidth * by.get("bandwidth", 1)),
        links=replace(links, node=node, network=network),
    )


def times(prediction: Prediction) -> tuple[Any, Any, Any]:
    return prediction.ttft_s, prediction.request.decode_s, prediction.e2e_s


@given(questions(st.just(PROFILE)))
def test_a_measured_device_is_never_faster_than_its_data_sheet(question: dict[str, Any]) -> None:
    measured, bound = predict(**question), predict(**question | {"calibration": "none"})
    assert all(b <= m for b, m in zip(times(bound), times(measured), strict=True))
    assert bound.basis == "bound"


@given(questions(), factors)
def test_no_efficiency_that_makes_sense_beats_the_bound(question: dict[str, Any], f: Factors) -> None:
    answer = predict(**question).question
    bound, real = answer.times(None), answer.times(f)
    assert bound.prefill_s <= real.prefill_s
    assert bound.decode_s <= real.decode_s


BETTER_WHERE_HIGHER = {
    *("matrix_efficiency", "matrix_bandwidth_efficiency", "attention_efficiency", "stream_efficiency"),
    *("cache_bytes_per_cycle", "link_efficiency", "low_latency_link_efficiency", "direct_link_efficiency"),
    *("activation_bandwidth_ratio", "parallel_overlap", "queue_overlap", "resident_blocks"),
    *("scan_efficiency", "scan_elements_per_cycle", "state_efficiency", "unpacked_efficiency"),
    *("cache_efficiency", "gather_efficiency"),
}


@pytest.mark.parametrize("name", list(list_factors()))
@settings(max_examples=20)
@given(question=questions(), f=factors, part=st.floats(0, 1))
def test_a_worse_factor_never_makes_a_request_faster(
    name: str, question: dict[str, Any], f: Factors, part: float
) -> None:
    meaning, value = list_factors()[name], getattr(f, name)
    worst = meaning.low if name in BETTER_WHERE_HIGHER else meaning.high
    answer = predict(**question).question
    better, worse = (answer.times(one) for one in (f, f.replace(**{name: value + part * (worst - value)})))
    assert better.prefill_s <= worse.prefill_s * ROUNDING
    assert better.decode_s <= worse.decode_s * ROUNDING


@given(questions(st.just("none")), tokens)
def test_a_longer_prompt_never_takes_less_time(question: dict[str, Any], more: int) -> None:
    question |= {"stack": IDEAL}
    short, long = predict(**question), predict(**question | {"prompt_tokens": question["prompt_tokens"] + more})
    assert short.ttft_s < long.ttft_s
    assert short.request.decode_s <= long.request.decode_s


@given(questions(st.just(PROFILE)), st.integers(5, 150), st.integers(1, 150))
def test_a_longer_prompt_never_takes_less_time_where_the_softmax_kernel_is_the_same(
    question: dict[str, Any], p: int, more: int
) -> None:
    """Prompts of more than 16 tokens in fours all run on the fused kernel, or all on the fallback; tiles add steps.

    Not so where decode attention is split: the kernel chooses its parts by a rule, not by what is fastest.
    """
    question |= {"stack": MEGATRON}
    short, long = (predict(**question | {"prompt_tokens": 4 * n}) for n in (p, p + more))
    assert all(fast <= slow * ROUNDING for fast, slow in zip(times(short), times(long), strict=True))


@given(questions(), tokens)
def test_more_output_takes_longer(question: dict[str, Any], more: int) -> None:
    short, long = predict(**question), predict(**question | {"output_tokens": question["output_tokens"] + more})
    assert short.e2e_s < long.e2e_s
    assert short.ttft_s == long.ttft_s


@given(questions(), st.integers(1, 64), st.integers(1, 64))
def test_a_larger_batch_never_takes_less_time_and_never_more_than_its_requests_in_turn(
    question: dict[str, Any], fours: int, ratio: int
) -> None:
    """In fours, so that the softmax kernel is the same."""
    few, many = (predict(**question | {"batch_size": 4 * n}) for n in (fours, fours * ratio))
    assert few.e2e_s <= many.e2e_s * ROUNDING
    alone = predict(**question | {"batch_size": 1, "calibration": "none"})
    together = predict(**question | {"calibration": "none"})
    assert together.e2e_s <= alone.e2e_s * question["batch_size"] * ROUNDING


@pytest.mark.parametrize("fact", ["peak", "bandwidth", "link"])
@settings(max_examples=30)
@given(question=questions())
def test_half_of_a_data_sheet_number_never_makes_a_request_faster(fact: str, question: dict[str, Any]) -> None:
    whole, half = predict(**question), predict(**question | {"hardware": change(A100, **{fact: 0.5})})
    assert all(w <= h * ROUNDING for w, h in zip(times(whole), times(half), strict=True))


@given(questions(st.just("none")))
def test_a_device_twice_as_fast_halves_the_bound_exactly(question: dict[str, Any]) -> None:
    twice = change(A100, peak=2, bandwidth=2, link=2)
    assert times(predict(**question)) == tuple(2 * t for t in times(predict(**question | {"hardware": twice})))


@given(questions())
def test_no_device_is_used_beyond_what_it_can_do(question: dict[str, Any]) -> None:
    answer = predict(**question)
    assert 0 < answer.mfu <= ROUNDING
    assert question["output_tokens"] == 1 or 0 < answer.mbu <= ROUNDING


def sum_passes(answer: Prediction) -> float:
    """The decode passes one by one."""
    (a, d, stack, request), machine = answer.question.work, answer.question.machine
    p, o, b = int(request.prompt_tokens), int(request.output_tokens), request.batch_size
    passes = (build_pass(a, d, stack, decode_batch(float(p + i), b)) for i in range(1, o))
    return sum(time_pass(work, machine).seconds for work in passes)


def is_straight(answer: Prediction) -> bool:
    """Whether nothing bends the bound between the first and the last decode pass.

    Attention bends where a window is full, and where it turns from memory to compute: latent decode does, whose bytes
    for few tokens are mostly queries and results, which do not grow with the context.
    """
    (a, d, stack, request), machine = answer.question.work, answer.question.machine
    first, last = (
        [op for _, ops in list_mixing(a, d, stack, decode_batch(reached, request.batch_size)) for op in ops]
        for reached in (request.prompt_tokens + 1, request.prompt_tokens + request.output_tokens - 1)
    )
    device = machine.device
    return all(
        is_compute_bound(one, device) == is_compute_bound(other, device) and (one.unseen > 0) == (other.unseen > 0)
        for one, other in zip(first, last, strict=True)
    )


@given(questions(), st.sampled_from(["a100-sxm-80gb", "h100-sxm-80gb", "v100-sxm-32gb"]))
def test_the_time_of_a_generation_is_the_sum_over_its_passes(question: dict[str, Any], hardware: str) -> None:
    assume(question["batch_size"] <= 16)
    answer, o = predict(**question | {"hardware": hardware}), question["output_tokens"]
    # A calibrated time bends where the device overtakes the host, and goes in steps where attention takes tokens in
    # blocks, the more so the smaller the model beside its attention.
    bound = question["calibration"] == "none"
    bent = 1e-3 if bound or question["stack"] == MEGATRON else 2e-2
    tolerance = 1e-12 if bound and is_straight(answer) else bent
    assert answer.request.decode_s == pytest.approx(sum_passes(answer), rel=tolerance)
    assert answer.e2e_s == answer.ttft_s + answer.request.decode_s
    assert o == 1 or answer.tpot_s == answer.request.decode_s / (o - 1)


def test_the_sum_is_close_where_the_device_overtakes_the_host_within_one_generation() -> None:
    # The pass time has a bend there, which three nodes meet less well than a smooth curve.
    answer = predict("ai21-j1-large", "h100-sxm-80gb", PROFILE, prompt_tokens=1, output_tokens=400, batch_size=256)
    assert answer.fits
    assert answer.request.decode_s == pytest.approx(sum_passes(answer), rel=5e-3)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(questions(), st.lists(tokens, min_size=1, max_size=4), st.lists(tokens, min_size=1, max_size=3))
def test_an_array_of_requests_is_answered_as_each_alone(question: dict[str, Any], ps: list[int], os: list[int]) -> None:
    together = predict(**question | {"prompt_tokens": np.array(ps), "output_tokens": np.array(os)[:, None]})
    alone = [[predict(**question | {"prompt_tokens": p, "output_tokens": o}) for p in ps] for o in os]
    for name in ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "mfu", "mbu", "kv_cache_bytes", "fits"):
        seen = np.broadcast_to(getattr(together, name), (len(os), len(ps)))
        np.testing.assert_allclose(seen, [[getattr(x, name) for x in r] for r in alone], rtol=1e-13)  # see ``power``
    for name in ("prefill_bound", "decode_bound"):
        seen = np.broadcast_to(getattr(together, name), (len(os), len(ps)))
        assert seen.tolist() == [[getattr(one, name) for one in row] for row in alone]


def test_prompts_outputs_and_batches_broadcast_to_one_shape() -> None:
    shape: dict[str, Any] = {"prompt_tokens": np.arange(1, 5)[:, None, None], "output_tokens": np.arange(1, 4)[:, None]}
    answer = predict("gptj-6b", A100, **shape, batch_size=np.array([1, 8]))
    assert answer.ttft_s.shape == answer.tpot_s.shape == answer.e2e_s.shape == (4, 3, 2)
    assert np.isnan(answer.tpot_s[:, 0]).all()
    assert np.isfinite(answer.tpot_s[:, 1:]).all()


@given(questions(), st.integers(1, 8))
def test_a_pipeline_makes_room_and_no_single_request_faster(question: dict[str, Any], batch: int) -> None:
    assume(load_model(question["model"]).architecture.num_hidden_layers % 2 == 0)
    one, two = (predict(**question | {"pp": stages, "batch_size": batch}) for stages in (1, 2))
    assert one.footprint.device_bytes > two.footprint.device_bytes
    assert all(a <= b for a, b in zip(times(one), times(two), strict=True))


def test_gpt_3_fits_sixteen_a100_and_not_four() -> None:
    """350 GB of weights in fp16, 80 GB a device."""
    question: dict[str, Any] = {
        "model": "openai-davinci",
        "hardware": A100,
        "tp": 4,
        "prompt_tokens": 512,
        "output_tokens": 64,
    }
    assert not predict(**question).fits
    assert predict(**question, pp=4).fits


@pytest.mark.parametrize("prompt", [64, 512, 1920])
def test_a_misaligned_ffn_is_slower_than_a_wider_aligned_one(prompt: int) -> None:
    """Rows of an odd number of half-precision columns start off the 16-byte grid that wide loads need."""
    yalm = load_model("yalm").architecture
    misaligned, aligned = (
        predict(replace(yalm, intermediate_size=f), A100, PROFILE, prompt_tokens=prompt).ttft_s for f in (27307, 27312)
    )
    assert misaligned > 1.2 * aligned


DEVICE = describe_device(A100, Deployment(), load_stack(MEGATRON))._replace(bandwidth_bytes_per_s=1e30)
# Efficiencies of one, operands that load at once, and latencies too small to see.
LATENCIES = ("s", "cycles", "J")
PERFECT = Factors(**{name: 1e-30 if f.unit in LATENCIES else 1.0 for name, f in list_factors().items()})


def time_product(m: int, n: int, k: int, device: Device = DEVICE, f: Factors = PERFECT) -> float:
    return float(time_linear(linear("product", m, n, k, weight_bytes=2, activation_bytes=2), device, f))


@given(st.integers(1, 20), st.integers(2, 600))
def test_one_more_tile_than_fills_the_waves_costs_a_whole_wave(waves: int, steps: int) -> None:
    units, k = int(DEVICE.units), 32 * steps
    full, one_more, next_full = (
        time_menu(Operator("product", "linear", m=128 * tiles, n=128, k=k), ((128, 128),), DEVICE, PERFECT, 1.0)
        for tiles in (waves * units, waves * units + 1, (waves + 1) * units)
    )
    assert one_more == next_full == pytest.approx(full * (waves + 1) / waves)


def test_one_token_more_than_fills_the_waves_costs_a_product_a_whole_wave() -> None:
    ((rows, columns),) = MISALIGNED_TILES  # the only tile of a misaligned product: 12 x 9 of them are one wave of 108
    n = 9 * columns - 1
    assert time_product(11 * rows + 1, n, 4096) == pytest.approx(time_product(12 * rows, n, 4096))
    assert time_product(12 * rows + 1, n, 4096) == pytest.approx(2 * time_product(12 * rows, n, 4096))


def test_a_deep_product_of_few_tiles_is_split_and_fills_the_device() -> None:
    """One tile of 16 x 64 keeps one unit of 108 busy; 32 parts keep 32."""
    splitting = DEVICE._replace(splits_k=True)
    whole, split = time_product(16, 64, 32 * 1024), time_product(16, 64, 32 * 1024, splitting)
    assert split == pytest.approx(whole / 32)
    assert time_product(12 * 256, 9 * 128, 4096, splitting) == time_product(12 * 256, 9 * 128, 4096)


@given(st.integers(1, 4096), st.integers(1, 1024), st.integers(1, 1024), factors)
def test_a_library_that_may_split_products_is_never_slower(m: int, n: int, k: int, f: Factors) -> None:
    splitting = DEVICE._replace(splits_k=True)
    assert time_product(m, 8 * n, 8 * k, splitting, f) <= time_product(m, 8 * n, 8 * k, f=f)


def link_devices(devices: int, bytes_per_s: float, direct: int = 0) -> Device:
    """The device in a group of so many, with a link of so many bytes per second in each direction."""
    return DEVICE._replace(links=GroupLinks(bytes_per_s, 0.0, 0.0, devices, 1, direct))


@pytest.mark.parametrize(("kind", "share"), [("all_reduce", 2 * 7 / 8), ("all_gather", 7 / 8)])
def test_a_ring_of_eight_sends_its_share_over_each_link(kind: Any, share: float) -> None:
    """NVIDIA nccl-tests, doc/PERFORMANCE.md: 2 (n - 1) / n and (n - 1) / n of the message."""
    assert bound_message(Operator(kind, kind, message_bytes=8e9), link_devices(8, 300e9)) == pytest.approx(
        share * 8e9 / 300e9
    )


def test_a_ring_over_nodes_leaves_each_by_all_its_network_cards() -> None:
    """Eight cards of 25 GB/s each way for eight A100: 200 GB/s, less than the 300 of a device's NVLink."""
    within, over = (describe_device(A100, Deployment(tp=tp), load_stack(IDEAL)).links for tp in (8, 32))
    assert (within.layer_bytes_per_s, within.layer_nodes) == (300e9, 1)
    assert (over.layer_bytes_per_s, over.layer_nodes) == (200e9, 4)
    narrow = describe_device(A100, Deployment(tp=8, pp=2), load_stack(IDEAL)).links
    assert (narrow.stage_bytes_per_s, narrow.stage_nodes) == (25e9, 2)


def test_a_product_of_full_waves_runs_at_the_peak() -> None:
    """108 tiles of 256 x 128 on 108 multiprocessors are one product at the peak of 312 TFLOP/s."""
    assert time_product(12 * 256, 9 * 128, 4096) == pytest.approx(2 * 12 * 256 * 9 * 128 * 4096 / 312e12)


def time_decode(heads: int, kv_heads: int, context: int, f: Factors) -> float:
    sizes: dict[str, Any] = {"decoding": True, "launches": 1, "activation_bytes": 2, "kv_bytes": 2}
    return float(time_decode_attention(attention(16, 1, context, heads, kv_heads, 128, **sizes), DEVICE, f))


@given(st.integers(2, 16), st.integers(1024, 32768))
def test_up_to_sixteen_query_heads_share_keys_at_no_cost_but_their_own_bytes(group: int, context: int) -> None:
    """The smallest matrix instruction has sixteen rows."""
    f = complete(load_profile(PROFILE), Traits("gpu"), load_stack(MEGATRON), at_home=True).factors
    assert time_decode(8 * group, 8, context, f) == pytest.approx(time_decode(8 * 16, 8, context, f), rel=1e-9)


@given(st.integers(1, 2**26), st.sampled_from([2, 4, 8]), factors)
def test_a_message_takes_at_least_its_latency_and_its_bytes(size: int, devices: int, f: Factors) -> None:
    for kind in ("all_reduce", "all_gather"):
        op = Operator(kind, kind, message_bytes=size)
        for direct in (0, 2**20):
            device = link_devices(devices, 300e9, direct)
            seconds = KINDS[kind].gpu(op, device, f)
            assert seconds > bound_message(op, device)
            assert seconds > min(f.link_latency_cycles, f.direct_latency_cycles) / DEVICE.clock_hz


def test_the_flops_of_a_model_do_not_depend_on_the_stack_that_runs_it() -> None:
    """MFU counts what the model asks for; a stack that computes masked scores or spare logits does not gain by it."""
    answers = [
        predict("openai-davinci", "a100-sxm-80gb", PROFILE, stack=stack, tp=8, prompt_tokens=1024, output_tokens=1)
        for stack in (MEGATRON, IDEAL)
    ]
    flops = [answer.mfu * answer.ttft_s for answer in answers]
    assert flops[0] == pytest.approx(flops[1], rel=1e-12)


def test_a_kernel_of_narrow_loads_follows_the_clock_and_not_a_memory_that_is_faster_still() -> None:
    """Threads that load four bytes at a time have too few bytes under way to fill the memory's latency."""
    stack = load_stack("llama.cpp-b2795")
    factors = complete(load_profile("a100-sxm-80gb--llama.cpp-b2795"), Traits("gpu"), stack, at_home=True).factors
    kernel = Operator("residual", "elementwise", activation_bytes=1e9, launches=0)

    def time(hardware: Hardware, narrow: bool = True) -> float:
        return time_stream(
            kernel, describe_device(hardware, Deployment(), replace(stack, load_bytes=4 if narrow else None)), factors
        )

    faster_clock = replace(A100, compute=replace(A100.compute, clock=2 * A100.compute.clock))
    assert time(A100) > time(A100, narrow=False)
    assert time(change(A100, bandwidth=2)) == time(A100)
    assert time(A100, narrow=False) <= time(faster_clock) < time(A100)


def test_one_row_meets_weights_as_slowly_as_narrow_loads_bring_them_and_two_rows_do_not() -> None:
    stack = load_stack("llama.cpp-b2795")
    factors = complete(load_profile("a100-sxm-80gb--llama.cpp-b2795"), Traits("gpu"), stack, at_home=True).factors
    narrow, wide = (describe_device(A100, Deployment(), replace(stack, load_bytes=one)) for one in (4, None))

    def time(device: Device, rows: float) -> float:
        return time_linear(linear("ffn", rows, 8192.0, 8192.0, weight_bytes=2, activation_bytes=2), device, factors)

    assert time(narrow, 1.0) > 1.1 * time(wide, 1.0)
    assert time(narrow, 2.0) == time(wide, 2.0)


def test_a_carried_factor_keeps_its_distance_from_what_is_known_of_a_design() -> None:
    """Of GDDR 0.93 of the bandwidth is known and of HBM 0.83: a card that reached 3% more than its kind is 3% above."""
    profile, stack = load_profile("rtx-4090--llama.cpp-b2795"), load_stack("llama.cpp-b2795")
    fitted = profile.factors["matrix_bandwidth_efficiency"]
    hbm = describe_device(A100, Deployment(), stack).traits
    there = complete(profile, hbm, stack, at_home=False)
    known = there.priors["matrix_bandwidth_efficiency"].value
    assert known < fitted.prior
    assert there.factors.matrix_bandwidth_efficiency / known == pytest.approx(fitted.value / fitted.prior)
    assert complete(profile, hbm, stack, at_home=True).factors.matrix_bandwidth_efficiency == fitted.value
