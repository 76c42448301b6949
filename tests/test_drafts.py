"""Speculative decoding inside the loop: what it makes, what it takes, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_serving import make_engine

from simulator import ImpossibleError, InputError
from simulator.costs.batch import Batch, Segment
from simulator.costs.passes import build_pass
from simulator.prediction import Question
from simulator.serving.block_pool import BlockPool
from simulator.serving.capacity import estimate_setup
from simulator.serving.drafts import Acceptance, Draft
from simulator.serving.engine import Engine
from simulator.serving.simulation import Simulation, simulate
from simulator.serving.state import Requests
from simulator.timing.passes import time_pass

MODEL, DEVICE, PROFILE = "llama-3.1-8b", "a100-sxm-80gb", "a100-sxm-80gb--vllm-0.6"


def ask(**given: Any) -> Simulation:
    usual: dict[str, Any] = {
        "stack": "vllm-0.10",
        "dtype": "bf16",
        "prompt_tokens": 128,
        "concurrency": 1,
        "num_requests": 2,
    }
    return simulate(given.pop("model", MODEL), DEVICE, PROFILE, **(usual | given))


def draft(requests: list[tuple[int, int]], tokens: int, acceptance: float, **given: Any) -> Engine:
    """Run drafts on the clock that can be worked out by hand."""
    inputs, outputs = (np.array(column, dtype=np.int64) for column in zip(*requests, strict=True))
    engine = make_engine(Engine, "vllm", Requests(inputs, outputs), [0.0] * len(requests), **given)
    engine.drafts = Acceptance(Draft(tokens, acceptance, "ngram", None), 1)
    engine.state.draft_tokens = tokens
    engine.run()
    return engine


@pytest.mark.parametrize(("tokens", "acceptance"), [(1, 0.5), (3, 0.7), (5, 0.9)])
def test_a_pass_makes_what_the_closed_form_says(tokens: int, acceptance: float) -> None:
    """Leviathan et al. 2023, equation 1: (1 - a^(k+1)) / (1 - a) tokens a pass, here by its geometric series."""
    outputs = 1900
    engine = draft([(10, outputs)] * 4, tokens, acceptance, sequences=1, budget=64)
    made = 4 * (outputs - 1) / (engine.record.passes - 4)
    assert made == pytest.approx(sum(acceptance**power for power in range(tokens + 1)), rel=0.03)
    assert Draft(tokens, acceptance, "", None).made == pytest.approx(made, rel=0.03)


def test_drafts_that_are_never_right_and_those_that_always_are() -> None:
    assert draft([(10, 41)], 3, 0.0).record.passes == 41
    assert draft([(10, 41)], 3, 1.0).record.passes == 1 + 40 / 4
    assert draft([(10, 40)], 3, 1.0).record.passes == 1 + math.ceil(39 / 4)


def test_every_request_makes_its_tokens_and_gives_its_blocks_back() -> None:
    """Where blocks are short too, so that requests with drafts are put back and read again."""
    random = np.random.default_rng(3)
    for blocks in (30, 60, 1000):
        requests = [
            (int(p), int(n)) for p, n in zip(random.integers(1, 40, 12), random.integers(1, 40, 12), strict=True)
        ]
        engine = draft(requests, 4, 0.6, blocks=blocks, sequences=6)
        pool, record = engine.state.pool, engine.record
        assert isinstance(pool, BlockPool)
        assert pool.free == pool.total
        gaps, counts = record.gaps
        assert counts.sum() == sum(output - 1 for _, output in requests)
        assert record.first_s.sum() + gaps @ counts == pytest.approx(record.last_s.sum())
        if blocks == 30:
            assert engine.state.preemptions


def test_a_pass_and_its_draft_take_what_the_law_says_of_their_batches() -> None:
    """Verification is a pass of four tokens a sequence; the smaller model reads as many, then makes two one by one."""
    setup = ask(draft="qwen2.5-0.5b", draft_tokens=3, acceptance=0.5, concurrency=8, num_requests=8).setup
    assert setup.draft is not None
    question = setup.draft.question
    assert question is not None

    def time(of: Question, tokens: int, context: int) -> float:
        a, d, stack, _ = of.work
        segment = Segment(8.0, float(tokens), float(context), decodes=True)
        return float(time_pass(build_pass(a, d, stack, Batch((segment,))), of.machine).seconds)

    by_hand = time(setup.question, 4, 200) + time(question, 4, 200) + time(question, 1, 201) + time(question, 1, 202)
    assert setup.clock.time(np.full(8, 200)) == pytest.approx(by_hand, rel=1e-6)


def test_verifying_more_takes_more_and_less_than_making_as_many() -> None:
    takes = [ask(draft="ngram", draft_tokens=k, acceptance=0.0).tpot_s.mean for k in (1, 3, 7)]
    plain = ask().tpot_s.mean
    assert plain < takes[0] < takes[1] < takes[2] < 2 * plain


def test_drafts_help_most_where_little_runs() -> None:
    """At one in flight a pass waits for the weights, and more tokens are nearly free; at 256 they are not."""
    gains = []
    for load in (1, 256):
        given = {"concurrency": load, "num_requests": load, "output_tokens": 64, "prompt_tokens": 512}
        drafted = ask(draft="ngram", draft_tokens=5, acceptance=0.6, **given).tpot_s.mean
        gains.append(ask(**given).tpot_s.mean / drafted)
    assert gains[0] > 1.8
    assert gains[1] < 0.8 * gains[0]


def test_the_closed_form_follows_drafts() -> None:
    found = ask(draft="mtp", draft_tokens=2, acceptance=0.8, concurrency=16, num_requests=160, output_tokens=64)
    estimate = estimate_setup(found.setup)
    assert estimate.tpot_s == pytest.approx(found.tpot_s.mean, rel=0.1)
    assert estimate.requests_per_s == pytest.approx(found.requests_per_s, rel=0.1)


def test_a_drafting_model_takes_room_and_the_seed_decides() -> None:
    plain = ask()
    small = ask(draft="qwen2.5-0.5b", draft_tokens=3, acceptance=0.7)
    layer = ask(draft="mtp", draft_tokens=3, acceptance=0.7)
    assert small.kv_blocks < layer.kv_blocks < plain.kv_blocks
    assert layer.kv_blocks == pytest.approx(plain.kv_blocks * 32 / 33, rel=0.03)  # a layer beside 32
    again = ask(draft="mtp", draft_tokens=3, acceptance=0.7)
    assert again.to_dict() == layer.to_dict()
    assert ask(draft="mtp", draft_tokens=3, acceptance=0.7, seed=1).tpot_s.mean != layer.tpot_s.mean


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"draft": "mtp"}, "draft_tokens and acceptance is missing"),
        ({"acceptance": 1.5}, "within 0 to 1"),
        ({"draft_tokens": 0}, "draft_tokens is 0"),
        ({"draft": "no-such-model"}, "unknown model 'no-such-model'"),
        (
            {"max_num_batched_tokens": 3, "draft_tokens": 3},
            "max_num_batched_tokens is 3, less than a token and a draft",
        ),
        ({"max_num_batched_tokens": 64, "max_num_seqs": 32, "draft_tokens": 3}, "of each of max_num_seqs 32"),
        ({"pp": 2}, "--pp 1"),
        ({"stack": "fastertransformer-5"}, "static batches"),
        ({"model": "jamba-v0.1", "tp": 4}, "recurrent layers"),
    ],
)
def test_drafts_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    whole = {"draft": "mtp", "draft_tokens": 3, "acceptance": 0.7} if "draft" not in given or len(given) > 1 else {}
    if given.get("draft") == "no-such-model":
        whole = {"draft_tokens": 3, "acceptance": 0.7}
    with pytest.raises((InputError, ImpossibleError), match=message):
        ask(**(whole | given))
