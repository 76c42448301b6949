"""The invariants of docs/serving.md, by their numbers there, and what engines do that people can check by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from simulator import ImpossibleError, InputError
from simulator.inputs.library import load_stack
from simulator.inputs.stack import Scheduler, SchedulerLimits, Stack
from simulator.serving.arrivals import Arrivals
from simulator.serving.block_pool import BlockPool
from simulator.serving.capacity import estimate_setup
from simulator.serving.clock import ScaledClock, find_pass
from simulator.serving.engine import Engine
from simulator.serving.pass_table import PassTable, Prompt
from simulator.serving.schedulers import POLICIES
from simulator.serving.schedulers.sglang import Sglang
from simulator.serving.simulation import Simulation, simulate
from simulator.serving.state import Counts, Limits, Requests, State, Step

MODEL, DEVICE, PROFILE = "llama-3.1-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6"
STACKS = ("vllm-0.10", "vllm-0.6", "sglang-0.4", "tensorrt-llm-1.0", "fastertransformer-5")
BLOCK = 4


def ask(stack: str | Stack = "vllm-0.10", **given: Any) -> Simulation:
    return simulate(MODEL, DEVICE, PROFILE, stack=stack, dtype="bf16", **given)


class PlainClock:
    """A pass takes a second, a token of a prompt a tenth, a decoding sequence a hundredth and a token of its cache
    a ten-thousandth: what follows can be worked out by hand."""

    def time(self, contexts: Counts, prompts: tuple[Prompt, ...] = ()) -> float:
        read = sum(prompt.new_tokens for prompt in prompts)
        return 1 + 0.1 * read + 0.01 * len(contexts) + 1e-4 * float(np.sum(contexts))

    def time_run(self, contexts: Counts, steps: int) -> float:
        return sum(self.time(contexts + step) for step in range(steps))


class OneByOne(Engine):
    """The oracle: the same engine without runs of passes, that checks itself before each."""

    def choose_run(self, timed: Counts, may_change: bool) -> tuple[int, float, float]:
        return 1, self.clock.time_run(timed, 1), 0.0

    def run_step(self, step: Step, may_change: bool) -> None:
        before_s = self.now_s
        state = self.state
        asked = self.arrivals.taken
        parts = sum(1 for chunk in step.prompts if chunk.last)
        running = len(state.ids) + (state.partial is not None) + parts
        assert asked == self.done + running + len(state.waiting)  # 1
        check_blocks(state, step)
        super().run_step(step, may_change)
        assert self.now_s > before_s  # 3
        assert step.decodes or step.prompts  # 4


def check_blocks(state: State, step: Step) -> None:
    """2: what is free, read by many and owned by one is all there is."""
    pool = state.pool
    shared = (len(pool.readers) + len(pool.idle)) * pool.chunk_blocks
    reading = [(chunk.request, chunk.context_tokens + chunk.new_tokens) for chunk in step.prompts]
    decoding = zip(state.ids.tolist(), (state.contexts + 1 * step.decodes).tolist(), strict=True)
    owned = sum(state.count_owned(request, tokens) for request, tokens in [*reading, *decoding])
    if state.partial is not None and state.partial[0] not in dict(reading):
        owned += state.count_owned(*state.partial)
    assert pool.free + shared + owned == pool.total
    assert pool.free >= 0


def make_engine(
    kind: type[Engine],
    policy: str,
    requests: Requests,
    arrival_s: list[float],
    *,
    blocks: int = 10_000,
    budget: int = 64,
    sequences: int = 8,
    in_flight: int | None = None,
    asynchronous: bool = False,
    chunked: bool = True,
    chunk_blocks: int = 1,
    wait: int = 0,
    clock: Any = None,
) -> Engine:
    limits = [SchedulerLimits(budget, sequences)]
    scheduler = Scheduler(policy, limits, chunked, asynchronous, batch_wait_passes=wait)  # type: ignore[arg-type]
    chosen = POLICIES[policy](scheduler)
    blocks_of = -(-np.arange(2000) // BLOCK)
    state = State(
        requests, Limits(budget, sequences), BlockPool(blocks, chunk_blocks), blocks_of, BLOCK, chosen.reserves
    )
    arrivals = Arrivals(np.array(arrival_s), in_flight)
    return kind(state, chosen, clock or PlainClock(), arrivals, asynchronous)


counts = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 30)), min_size=1, max_size=12)


@st.composite
def loads(draw: Any) -> dict[str, Any]:
    lengths = draw(counts)
    inputs, outputs = (np.array(column, dtype=np.int64) for column in zip(*lengths, strict=True))
    requests = Requests(inputs, outputs)
    longest = max(prompt + output for prompt, output in lengths)
    gaps = draw(st.lists(st.floats(0, 20), min_size=len(lengths), max_size=len(lengths)))
    return {
        "policy": draw(st.sampled_from(sorted(POLICIES))),
        "requests": requests,
        # Never at the end of a pass to the last digit, on which the two sums of passes may differ.
        "arrival_s": (np.cumsum(gaps) + 3.17e-6 * np.arange(1, len(gaps) + 1)).tolist(),
        "blocks": -(-longest // BLOCK) + draw(st.integers(0, 40)),
        "budget": draw(st.integers(51, 90)),
        "sequences": draw(st.integers(1, 6)),
        "in_flight": draw(st.sampled_from([None, 1, 3])),
        "asynchronous": draw(st.booleans()),
        "chunked": draw(st.booleans()),
        "wait": draw(st.sampled_from([0, 3])),
    }


@settings(max_examples=100, deadline=None)
@given(load=loads())
def test_runs_of_passes_are_passes_one_by_one(load: dict[str, Any]) -> None:
    """1 to 7, and the loop's runs: the engine that jumps leaves what the one leaves that does not."""
    requests = load["requests"]
    slow = make_engine(OneByOne, **load)
    record = slow.run()
    fast = make_engine(Engine, **load).run()
    for name in ("admitted_s", "first_s", "last_s"):
        assert getattr(fast, name) == pytest.approx(getattr(record, name), rel=1e-9)
    assert slow.state.pool.available == slow.state.pool.total  # 2: all blocks are back
    arrival_s = slow.arrivals.times()
    assert np.all(record.admitted_s >= arrival_s)
    assert np.all(record.first_s > record.admitted_s)
    assert np.all((record.last_s > record.first_s) == (requests.output_tokens > 1))
    gaps, times = record.gaps
    assert times.sum() == (requests.output_tokens - 1).sum()  # 5
    assert gaps @ times == pytest.approx((record.last_s - record.first_s).sum())  # 6
    assert record.passes == fast.passes


def test_preemption_reads_again_what_was_lost() -> None:
    """Two requests of 8 + 9 tokens in five blocks: the later one is put back, read again, and gets all its tokens."""
    requests = Requests(np.array([8, 8]), np.array([9, 9]))
    engine = make_engine(OneByOne, "vllm", requests, [0.0, 0.0], blocks=5)
    record = engine.run()
    assert engine.state.preemptions == {1: 1}
    assert record.last_s[1] > record.last_s[0]


def test_a_prompt_beside_decodes_by_hand() -> None:
    """vLLM: at 0 the first is read (10 tokens: 2 s). It decodes from 2 s on; the second, come at 2.5 s, enters with the
    pass that begins at 2 + 1.011 s, and makes its first token at its end."""
    requests = Requests(np.array([10, 20]), np.array([3, 1]))
    record = make_engine(Engine, "vllm", requests, [0.0, 2.5]).run()
    assert record.first_s[0] == pytest.approx(2.0)
    entered = 2.0 + 1 + 0.01 + 10e-4
    assert record.admitted_s[1] == pytest.approx(entered)
    assert record.first_s[1] == pytest.approx(entered + 1 + 2.0 + 0.01 + 11e-4)
    assert record.last_s[0] == record.first_s[1]  # its third token comes with the same pass


def test_prompts_alone_stop_decoding() -> None:
    """SGLang reads the second prompt in a pass of its own, for which the first request waits."""
    requests = Requests(np.array([10, 20]), np.array([3, 1]))
    record = make_engine(Engine, "sglang", requests, [0.0, 2.5]).run()
    entered = 2.0 + 1 + 0.01 + 10e-4
    assert record.first_s[1] == pytest.approx(entered + 3.0)
    assert record.last_s[0] == pytest.approx(entered + 3.0 + 1 + 0.01 + 11e-4)
    assert record.gaps[0].max() == pytest.approx(3.0 + 1 + 0.01 + 11e-4)


def test_a_pass_chosen_ahead_knows_of_what_comes_one_pass_later() -> None:
    """Chosen when the one before it begins: the second request waits for one more decode pass."""
    requests = Requests(np.array([10, 20]), np.array([4, 1]))
    sync, ahead = (make_engine(Engine, "vllm", requests, [0.0, 2.5], asynchronous=flag).run() for flag in (False, True))
    assert ahead.admitted_s[1] - sync.admitted_s[1] == pytest.approx(1 + 0.01 + 11e-4)


def test_a_long_prompt_enters_in_chunks_of_the_budget() -> None:
    """130 tokens in passes of 64, 64 and 2: 3 + 13 s."""
    requests = Requests(np.array([130]), np.array([1]))
    assert make_engine(Engine, "vllm", requests, [0.0]).run().first_s[0] == pytest.approx(3 + 13.0)


def test_reserved_blocks_are_never_taken_back() -> None:
    """TensorRT-LLM: of two requests of 17 tokens in eight blocks of four the second waits for the first."""
    requests = Requests(np.array([8, 8]), np.array([9, 9]))
    engine = make_engine(OneByOne, "tensorrt-llm", requests, [0.0, 0.0], blocks=7)
    record = engine.run()
    assert not engine.state.preemptions
    assert record.admitted_s[1] >= record.last_s[0]


def test_a_static_batch_ends_together() -> None:
    """The third waits for the longest of the first two, whose shorter one is run on as padding."""
    requests = Requests(np.array([4, 4, 4]), np.array([2, 5, 1]))
    record = make_engine(Engine, "static", requests, [0.0] * 3, sequences=2, chunked=False).run()
    two = sum(1 + 0.02 + 1e-4 * 2 * (4 + done) for done in (0,))
    assert record.last_s[0] == pytest.approx(1.8 + two)
    assert record.admitted_s[2] == pytest.approx(record.last_s[1])
    assert record.last_s[1] > 1.8 + 4 * 1.02


def test_what_a_prompt_left_in_the_cache_is_not_read_again() -> None:
    """The same 40 tokens in chunks of 8: the second request reads the last one alone."""
    requests = Requests(np.array([40, 40]), np.array([1, 1]), [(1, 2, 3, 4, 5)] * 2, 8)
    engine = make_engine(OneByOne, "vllm", requests, [0.0, 50.0], chunk_blocks=2)
    record = engine.run()
    assert record.first_s[0] == pytest.approx(5.0)
    assert record.first_s[1] - 50.0 == pytest.approx(1.1)


def test_the_chunk_unread_longest_is_given_up_first() -> None:
    pool = BlockPool(6, 2)
    for chunk in (1, 2, 3):
        pool.take(2)
        pool.keep([chunk])
        pool.leave([chunk])
    pool.read([1])
    pool.leave([1])
    assert pool.available == 6
    pool.take(2)
    assert [pool.find([chunk]) for chunk in (1, 2, 3)] == [1, 0, 1]


@given(until=st.floats(0.5, 60), most=st.integers(1, 40), guess=st.floats(0.1, 5))
def test_the_pass_that_ends_after_a_moment_is_found(until: float, most: int, guess: float) -> None:
    clock, contexts = PlainClock(), np.array([100, 5000, 30])
    found, seconds = find_pass(clock, contexts, until, most, guess)
    ends = [clock.time_run(contexts, passes) for passes in range(1, most + 1)]
    assert found == next((place + 1 for place, end in enumerate(ends) if end > until), most)
    assert seconds == pytest.approx(ends[found - 1])


def test_a_scaled_clock_scales_prompts_and_decodes() -> None:
    clock, contexts, prompts = PlainClock(), np.array([10, 20]), (Prompt(30),)
    scaled = ScaledClock(clock, 2.0, 3.0)
    assert scaled.time_run(contexts, 3) == pytest.approx(3 * clock.time_run(contexts, 3))
    assert scaled.time(contexts[:0], prompts) == pytest.approx(2 * clock.time(contexts[:0], prompts))
    assert scaled.time(contexts, prompts) == pytest.approx(3 * clock.time(contexts) + 2 * 3.0)


@pytest.mark.parametrize("stack", STACKS)
def test_load_towards_zero_is_what_predict_says(stack: str) -> None:
    """8: one request at a time."""
    alone = ask(stack, concurrency=1, num_requests=3, prompt_tokens=512, output_tokens=64)
    said = simulator.predict(MODEL, DEVICE, PROFILE, stack=stack, dtype="bf16", prompt_tokens=512, output_tokens=64)
    assert alone.ttft_s.p50 == pytest.approx(said.ttft_s, rel=1e-6)
    assert alone.tpot_s.p50 == pytest.approx(said.tpot_s, rel=1e-3)


def test_all_at_once_is_the_offline_batch() -> None:
    """9: one batch that starts and ends together, as predict has it."""
    batch = ask("fastertransformer-5", request_rate=math.inf, num_requests=16, prompt_tokens=256, output_tokens=128)
    said = simulator.predict(
        MODEL,
        DEVICE,
        PROFILE,
        stack="fastertransformer-5",
        dtype="bf16",
        prompt_tokens=256,
        output_tokens=128,
        batch_size=16,
    )
    assert batch.output_tokens_per_s == pytest.approx(said.output_tokens_per_s, rel=1e-4)


@pytest.mark.parametrize("stack", ["vllm-0.10", "tensorrt-llm-1.0"])
def test_more_in_flight_serve_no_less(stack: str) -> None:
    """10: of equal requests without preemption."""
    rates = [ask(stack, concurrency=c, num_requests=96, output_tokens=64).requests_per_s for c in (1, 2, 4, 8, 16, 32)]
    assert rates == sorted(rates)


@pytest.mark.parametrize("stack", STACKS[:4])
def test_the_closed_form_says_what_the_simulation_says(stack: str) -> None:
    """11: within 10% in throughput, below 80% of capacity."""
    run = ask(stack, concurrency=16, num_requests=320, output_tokens=256, lengths=(0.5, 1.5))
    assert run.requests_per_s < 0.8 * run.saturation.requests_per_s
    assert estimate_setup(run.setup).requests_per_s == pytest.approx(run.requests_per_s, rel=0.1)


def test_past_capacity_it_says_saturated_and_from_where() -> None:
    capacity = ask(concurrency=400, num_requests=1200, output_tokens=64)
    assert capacity.saturated
    for rate, saturated in ((0.7, False), (1.3, True)):
        run = ask(request_rate=rate * capacity.requests_per_s, num_requests=600, output_tokens=64)
        assert run.saturated is saturated
        assert run.saturation.requests_per_s == pytest.approx(capacity.requests_per_s, rel=0.1)


def test_intervals_hold_the_value_and_grow_towards_capacity() -> None:
    calm, full = (ask(request_rate=rate, num_requests=300, output_tokens=64) for rate in (2.0, 17.0))
    for run in (calm, full):
        for latency in (run.ttft_s, run.tpot_s, run.e2e_s):
            assert latency.mean_low is not None
            assert latency.mean_high is not None
            assert latency.mean_low < latency.mean < latency.mean_high
    widths = [run.ttft_s.mean_high / run.ttft_s.mean for run in (calm, full)]  # type: ignore[operator]
    assert widths[1] > widths[0]
    assert simulate(MODEL, DEVICE, "none", stack="vllm-0.10", concurrency=2, num_requests=4).ttft_s.mean_low is None


def test_the_same_seed_gives_the_same_answer() -> None:
    first, again, other = (
        ask(request_rate=3.0, num_requests=100, lengths=0.5, seed=seed, output_tokens=32).to_dict()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["ttft_s_mean"] != other["ttft_s_mean"]


def test_a_poisson_stream_has_its_rate_and_a_clock_its_beat() -> None:
    poisson, beat = (
        ask(request_rate=2.0, num_requests=2000, burstiness=b, prompt_tokens=16, output_tokens=2).requests["arrival_s"]
        for b in (1.0, math.inf)
    )
    gaps = np.diff(poisson)
    assert gaps.mean() == pytest.approx(0.5, rel=0.1)
    assert gaps.std() == pytest.approx(0.5, rel=0.1)
    assert np.diff(beat) == pytest.approx(0.5)


def test_replicas_share_the_requests() -> None:
    one, two = (ask(concurrency=8 * dp, dp=dp, num_requests=80 * dp, output_tokens=32) for dp in (1, 2))
    assert two.requests_per_s == pytest.approx(2 * one.requests_per_s, rel=1e-6)
    assert two.ttft_s.mean == pytest.approx(one.ttft_s.mean, rel=1e-6)


def test_goodput_counts_what_holds_every_limit() -> None:
    run = ask(request_rate=30.0, num_requests=200, output_tokens=64, slo={"ttft_s": 0.3, "tpot_s": 0.05})
    held = (run.requests["ttft_s"] <= 0.3) & (run.requests["tpot_s"] <= 0.05)
    assert 0 < held.sum() < 200
    assert run.goodput == pytest.approx(held.sum() / run.outcome.duration_s)


def test_more_blocks_let_more_run() -> None:
    few, many = (ask(concurrency=64, num_requests=128, output_tokens=128, kv_blocks=blocks) for blocks in (700, 5000))
    assert few.preemptions > many.preemptions == 0
    assert few.ttft_s.mean > many.ttft_s.mean
    assert few.outcome.mean_running < many.outcome.mean_running


@pytest.mark.parametrize(("wait", "prompt", "first_s"), [(0, 9, 3.911), (2, 9, 5.934), (2, 63, 9.311)])
def test_prompts_wait_for_others_for_so_many_passes_or_until_a_pass_is_full(
    wait: int, prompt: int, first_s: float
) -> None:
    """By hand: the first prompt takes 2 s and decodes; the second comes at 1.5 s and is read in the pass from 2 s on
    beside it, from two decode passes later, or at once where it fills the budget of 64."""
    requests = Requests(np.array([10, prompt]), np.array([20, 1]))
    engine = make_engine(Engine, "tensorrt-llm", requests, [0.0, 1.5], chunked=False, wait=wait)
    assert engine.run().first_s[1] == pytest.approx(first_s, abs=1e-3)


def test_the_cache_is_a_share_of_what_is_free() -> None:
    """Of TensorRT-LLM nine tenths of what weights and the largest pass leave."""
    stack = load_stack("tensorrt-llm-1.0")
    whole = replace(stack, memory=replace(stack.ledger, free_share=1.0))
    blocks = [ask(one, concurrency=1, num_requests=1).setup.room.blocks for one in (stack, whole)]
    assert blocks[0] == pytest.approx(0.9 * blocks[1], abs=1)


def test_graphs_pad_passes_to_their_rows() -> None:
    question = simulator.predict(MODEL, DEVICE, PROFILE, stack="vllm-0.10", dtype="bf16").question
    plain = PassTable(question.work, question.machine, 600, 600)
    padded = PassTable(question.work, question.machine, 600, 600, (1, 2, 4, 8, 256))
    contexts = np.full(100, 50)
    assert padded.padded[:10] == [0, 1, 2, 4, 4, 8, 8, 8, 8, 256]
    assert padded.padded[257] == 257
    assert padded.time(contexts) > plain.time(contexts)
    assert padded.time(contexts[:8]) == plain.time(contexts[:8])


def test_limits_are_those_of_the_version_on_the_device() -> None:
    scheduler = load_stack("vllm-0.10").scheduler
    assert scheduler is not None
    found = {
        name: scheduler.find_limits(name, memory).max_num_batched_tokens
        for name, memory in (("a100-sxm-80gb", 85e9), ("h100-sxm-80gb", 85e9), ("l40s-48gb", 48e9))
    }
    assert found == {"a100-sxm-80gb": 2048, "h100-sxm-80gb": 8192, "l40s-48gb": 2048}


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, InputError, "one of concurrency, request_rate and trace; given: nothing"),
        ({"concurrency": 1, "request_rate": 2.0}, InputError, "given: concurrency and request_rate"),
        ({"concurrency": 0}, InputError, "concurrency is 0"),
        ({"request_rate": -1.0}, InputError, "request_rate is -1.0"),
        ({"request_rate": math.nan}, InputError, "request_rate is nan"),
        ({"request_rate": 1e-300}, InputError, "request_rate is 1e-300; it must be at least 1e-09"),
        ({"request_rate": 1e-9, "num_requests": 50}, InputError, r"come over .* s, more than 1e\+09"),
        ({"concurrency": 1, "stack": "gpt-fast"}, InputError, "gpt-fast has no scheduler"),
        ({"concurrency": 1, "lengths": (1.2, 0.8)}, InputError, "lengths are 1.2 to 0.8"),
        ({"concurrency": 1, "lengths": "half"}, InputError, "'half' is none of"),
        ({"concurrency": 1, "max_num_seqs": 9000}, InputError, "less than a token of each of max_num_seqs 9000"),
        ({"concurrency": 1, "prompt_tokens": 200_000}, InputError, "reaches 200127 tokens, past the 131072"),
        ({"concurrency": 1, "kv_blocks": 10}, ImpossibleError, "an empty engine has 10"),
        ({"concurrency": 1, "weight_dtype": "fp32"}, None, ""),
        (
            {"concurrency": 1, "stack": "tensorrt-llm-1.0", "prompt_tokens": 9000, "max_num_batched_tokens": 8192},
            InputError,
            "passes prompts whole",
        ),
        ({"concurrency": 1, "dp": 2}, InputError, "2 replicas need at least as many"),
        ({"concurrency": 1, "slo": {"cost_usd": 1.0}}, InputError, "unknown limit of a request"),
        ({"concurrency": 1, "seed": -1}, InputError, "seed is -1"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], error: type[Exception] | None, message: str) -> None:
    asked: dict[str, Any] = {"stack": "vllm-0.10", "num_requests": 2, **given}
    if error is None:
        assert ask(**asked).requests_per_s > 0
        return
    with pytest.raises(error, match=message) as caught:
        ask(**asked)
    assert "\n" not in str(caught.value)


def test_weights_without_room_for_a_cache_are_impossible() -> None:
    with pytest.raises(ImpossibleError, match="leave no room for a KV cache"):
        simulate("llama-3.1-70b", DEVICE, PROFILE, stack="vllm-0.10", dtype="bf16", concurrency=1)


def test_what_sglang_reserves_falls_over_600_decode_passes_to_a_seventh() -> None:
    """``init_new_token_ratio`` 0.7, ``min`` 0.14 of it, ``decay`` by steps of their difference over 600."""
    scheduler = load_stack("sglang-0.4").scheduler
    assert scheduler is not None
    policy = Sglang(scheduler)
    policy.note_passes(300)
    assert policy.ratio == pytest.approx((0.7 + 0.098) / 2)
    policy.note_passes(300)
    assert policy.ratio == pytest.approx(0.098)
    policy.note_passes(1)
    assert policy.ratio == pytest.approx(0.098)
