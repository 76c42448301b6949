"""``explain``, ``sensitivity`` and ``compare`` under load."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from cli import app
from simulator import InputError, solve
from simulator.explore.load_compare import Combination, compare_loads
from simulator.explore.load_explain import LoadExplanation
from simulator.explore.load_sensitivity import find_load_sensitivity
from simulator.explore.load_solve import LoadSolution
from simulator.inputs.deployment import Deployment
from simulator.serving.setup import USUAL, Options
from simulator.serving.simulation import simulate
from simulator.serving.workload import Load

PLACE = ("llama-3.1-8b", "a100-sxm-80gb")
COMMAND = ["-m", PLACE[0], "-H", PLACE[1], "-s", "vllm-0.10", "-p", "256", "-n", "16", "--dtype", "bf16"]


def explain(**given: Any) -> LoadExplanation:
    load: dict[str, Any] = {"prompt_tokens": 512, "output_tokens": 32, "stack": "vllm-0.10", "dtype": "bf16"}
    return LoadExplanation(simulate(*PLACE, "a100-sxm-80gb--vllm-0.6", **(load | given)))


def test_parts_add_up_to_the_times() -> None:
    for load in ({"concurrency": 24, "num_requests": 48}, {"request_rate": 8.0, "num_requests": 40}):
        found = explain(**load)
        values = found.simulation.values
        assert sum(found.ttft_s.values()) == pytest.approx(values["ttft_s_mean"])
        assert sum(found.tpot_s.values()) == pytest.approx(values["tpot_s_mean"])
        assert min(found.ttft_s.values()) >= 0


def test_alone_a_request_waits_for_nobody_and_among_others_it_does() -> None:
    alone = explain(prompt_tokens=4096, concurrency=1, num_requests=3)
    busy = explain(prompt_tokens=4096, concurrency=32, num_requests=96)
    whole = alone.simulation.values["tpot_s_mean"]
    assert alone.ttft_s["queue"] + alone.ttft_s["interference"] == pytest.approx(0, abs=1e-9)
    assert alone.tpot_s["prompts"] == pytest.approx(0, abs=0.005 * whole)
    assert alone.tpot_s["weights"] > 16e9 / 2.04e12  # two bytes of eight billion weights from the memory
    assert busy.tpot_s["prompts"] > 0.2 * busy.simulation.values["tpot_s_mean"]
    assert busy.tpot_s["cache"] > 3 * alone.tpot_s["cache"]


def test_a_queue_is_what_keeps_requests_out() -> None:
    """Of thirty-two in flight four have a place, so that a request waits for seven others."""
    found = explain(concurrency=32, num_requests=64, max_num_seqs=4)
    assert found.ttft_s["queue"] > 0.9 * found.simulation.values["ttft_s_mean"]


def test_under_load_the_bound_is_as_sensitive_as_its_physics() -> None:
    """One at a time weights are all that is waited for; TTFT of long prompts is the peak's."""
    question = simulate(*PLACE, "none", stack="vllm-0.10", dtype="bf16", concurrency=1, num_requests=1).question
    found = find_load_sensitivity(question, Load(4096, 16, concurrency=1, num_requests=2), "tpot_s_mean", most=4)
    by_name = {one.name: one.elasticities for one in found.influences}
    assert by_name["memory.bandwidth"]["tpot_s_mean"] == pytest.approx(-1, abs=0.02)
    peak = next(slopes for name, slopes in by_name.items() if "matrix_peak" in name)
    assert (peak["ttft_s_mean"] or 0.0) < -0.8
    with pytest.raises(InputError, match="unknown statistic 'tpot_s'"):
        find_load_sensitivity(question, Load(64, 4, concurrency=1), "tpot_s")


def test_combinations_are_the_same_on_any_number_of_jobs() -> None:
    def put(load: int, options: Options = USUAL) -> Combination:
        return Combination(
            *PLACE,
            None,
            "vllm-0.10",
            Deployment(dtype="bf16"),
            Load(256, 8, (0.5, 1.0), load, num_requests=12),
            options,
        )

    asked = [put(2), put(4), put(4, USUAL._replace(kv_blocks=1))]
    one, two = compare_loads(asked, 1), compare_loads(asked, 2)
    assert one == two
    assert [row["concurrency"] for row in one.rows] == [2, 4]
    assert "an empty engine has 1" in one.impossible[0]
    assert one.rows[1]["output_tokens_per_s"] > one.rows[0]["output_tokens_per_s"]


def test_commands_take_loads_and_fit_eighty_columns() -> None:
    for verb, more in (("explain", []), ("sensitivity", ["--by", "ttft_s_mean"]), ("compare", ["--jobs", "1"])):
        load = ["--concurrency", "2,4" if verb == "compare" else "2", "--num-requests", "4"]
        found = CliRunner().invoke(app, [verb, *COMMAND, *load, *more], env={"COLUMNS": "80"})
        assert found.exit_code == 0, found.exception
        assert max(map(len, found.stdout.splitlines())) <= 80
        if verb == "sensitivity":
            continue
        answer = json.loads(CliRunner().invoke(app, [verb, *COMMAND, *load, *more, "-o", "json"]).stdout)
        assert answer["schema"].startswith("roofcast/load-")
    for verb in ("explain", "sensitivity", "compare"):
        error = CliRunner().invoke(app, [verb, *COMMAND, "--draft", "mtp"]).exception
        assert isinstance(error, InputError)
        assert "a load is one of" in str(error)
        error = CliRunner().invoke(app, [verb, *COMMAND, "--concurrency", "2", "-b", "4"]).exception
        assert isinstance(error, InputError)
        assert "leave out --batch-size" in str(error)


def solve_load(unknown: str, slo: str, **given: Any) -> LoadSolution:
    asked: dict[str, Any] = {"stack": "vllm-0.10", "dtype": "bf16", "prompt_tokens": 512, "output_tokens": 32}
    found = solve(*PLACE, "a100-sxm-80gb--vllm-0.6", unknown=unknown, slo=slo, **(asked | given))
    assert isinstance(found, LoadSolution)
    return found


@pytest.mark.parametrize(
    ("unknown", "slo"),
    [("memory.bandwidth", "tpot_s_mean:12ms"), ("devices", "tpot_s_mean:9ms"), ("dp", "ttft_s_p99:60ms")],
)
def test_the_least_of_the_devices_for_a_load_holds_and_the_next_does_not(unknown: str, slo: str) -> None:
    """A decode of 16 GB of weights in 12 ms needs 1.3 TB/s at least, in 9 ms more than one A100 of 2 TB/s."""
    found = solve_load(unknown, slo, concurrency=4, num_requests=12)
    (name, limit), beyond = next(iter(found.limits.items())), found.beyond
    assert beyond is not None
    assert beyond.simulation is not None
    assert found.at.values[name] <= limit < beyond.simulation.values[name]
    assert found.value > beyond.value
    if unknown == "memory.bandwidth":
        assert 16e9 / 0.012 < found.value < 1.01 * 1.01 * beyond.value
    else:
        assert found.value == found.at.devices


def test_a_rate_past_capacity_holds_no_limit() -> None:
    """However short the run: its latencies grow for as long as requests come."""
    found = solve_load("request_rate", "e2e_s_p99:1000", num_requests=60)
    assert not found.at.saturated
    assert found.value == pytest.approx(found.at.saturation.requests_per_s, rel=0.02)
    assert found.beyond is not None
    assert "saturated" in found.describe_beyond("e2e_s_p99")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--for", "request_rate", "--concurrency", "4"), "looks for the load; leave out --concurrency"),
        (("--for", "batch_size", "--concurrency", "4"), "under load --for takes concurrency, request_rate, devices"),
        (("--for", "memory.bandwith", "--concurrency", "4"), "did you mean 'memory.bandwidth'"),
    ],
)
def test_questions_that_are_none_are_one_line(words: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(app, ["solve", *COMMAND, *words, "--slo", "ttft_s_p99:1"], standalone_mode=False)
    assert isinstance(ended.exception, InputError)
    assert said in str(ended.exception)
