"""Replicas behind a router, and prefill and decode on devices of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import InputError
from simulator.serving.cluster import time_transfers
from simulator.serving.simulation import Simulation, simulate

PROFILE = "a100-sxm-80gb--vllm-0.6"


def ask(stack: str = "vllm-0.10", **given: Any) -> Simulation:
    load: dict[str, Any] = {"prompt_tokens": 512, "output_tokens": 64, "num_requests": 40}
    return simulate("llama-3.1-8b", "a100-sxm-80gb", PROFILE, stack=stack, dtype="bf16", **(load | given))


@pytest.mark.parametrize("stack", ["vllm-0.14", "vllm-0.6", "sglang-0.4"])
def test_replicas_in_turn_are_replicas_alone(stack: str) -> None:
    """The engines run together are those run one by one, to the last digit of every request."""
    one_by_one = ask(stack, dp=3, request_rate=25.0, lengths=0.8, num_requests=60)
    together = one_by_one.setup.run_cluster(one_by_one.setup.clock, None)
    for name in ("arrival_s", "admitted_s", "first_s", "last_s"):
        assert getattr(together, name) == pytest.approx(getattr(one_by_one.outcome, name), rel=1e-9), name
    assert together.passes == one_by_one.outcome.passes


def test_a_router_that_looks_at_queues_shortens_them() -> None:
    """Long and short requests, near what the engines serve: those in turn wait behind each other, others do not."""
    load: dict[str, Any] = {"dp": 4, "request_rate": 34.0, "lengths": 1.3, "num_requests": 300, "max_num_seqs": 8}
    in_turn, least = (ask(**load, router=name).outcome.ttft_s for name in ("round-robin", "least-loaded"))
    print(in_turn.mean(), least.mean())
    assert least.mean() < 0.8 * in_turn.mean()


def test_a_router_that_looks_for_prefixes_finds_them(tmp_path: Path) -> None:
    """Twelve long prefixes over four replicas, each of which has room for a third of them."""
    rows = ["arrival_s,input_tokens,output_tokens,prefix_block_hashes_512"]
    random = np.random.default_rng(0)
    for place, group in enumerate(random.integers(0, 12, 120)):
        rows.append(f"{0.3 * place},4100,4,{' '.join(f'{group}.{chunk}' for chunk in range(8))}")
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(rows) + "\n")
    given: dict[str, Any] = {"dp": 4, "trace": trace, "num_requests": None, "kv_blocks": 1200}
    found = {router: ask(**given, router=router).outcome.ttft_s.mean() for router in ("round-robin", "prefix-aware")}
    assert found["prefix-aware"] < 0.7 * found["round-robin"]


@pytest.mark.parametrize("stack", ["vllm-0.6", "vllm-0.10", "sglang-0.4"])
def test_a_request_alone_takes_as_long_as_on_one_engine_and_its_transfer(stack: str) -> None:
    """The first token comes as soon; the second after the cache, whose bytes over the link bound its time."""
    given: dict[str, Any] = {"concurrency": 1, "num_requests": 3, "prompt_tokens": 4000, "output_tokens": 16}
    one, apart = ask(stack, **given), ask(stack, **given, prefill_replicas=1)
    moving_s = time_transfers(apart.question, np.array([4000]))[0]
    bytes_moved = 4000 * 2 * 32 * 8 * 128 * 2  # keys and values of 32 layers, 8 heads of 128, two bytes each
    assert moving_s > bytes_moved / 300e9  # NVLink, one way
    assert apart.outcome.ttft_s == pytest.approx(one.outcome.ttft_s)
    assert apart.outcome.e2e_s == pytest.approx(one.outcome.e2e_s + moving_s)


def test_decode_devices_are_not_stopped_by_prompts_and_keep_every_invariant() -> None:
    given: dict[str, Any] = {"prompt_tokens": 2048, "output_tokens": 64, "lengths": (0.5, 1.0)}
    for load in ({"concurrency": 24}, {"request_rate": 8.0}):
        mixed = ask(dp=2, **given, **load).outcome.summarise()
        o = ask(dp=1, prefill_replicas=1, **given, **load).outcome
        assert o.summarise()["itl_s_p99"] < mixed["itl_s_p99"]
        assert np.array_equal(o.last_s, ask(dp=1, prefill_replicas=1, **given, **load).outcome.last_s)
        assert o.gap_counts.sum() == (o.output_tokens - 1).sum()
        assert o.first_s.sum() + o.gap_s @ o.gap_counts == pytest.approx(o.last_s.sum())
        assert np.all(o.arrival_s <= o.admitted_s)
        assert np.all(o.first_s < o.last_s)


def test_blocks_that_are_short_put_handed_requests_back_and_all_end() -> None:
    found = ask(concurrency=20, prefill_replicas=1, output_tokens=400, kv_blocks=400, num_requests=40)
    assert found.preemptions > 0
    assert not np.isnan(found.outcome.last_s).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"router": "random", "dp": 2}, "unknown router 'random'"),
        ({"router": "least-loaded"}, "a router needs several replicas"),
        ({"prefill_replicas": 0}, "prefill_replicas is 0"),
        ({"prefill_replicas": 1, "stack": "fastertransformer-5"}, "static batches"),
    ],
)
def test_what_cannot_be_routed_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(**({"concurrency": 2} | given))
