"""Sweeps under load: every row is what simulate says, on any number of processes, and after any interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli import app
from simulator import ImpossibleError, InputError, simulate, sweep
from simulator.explore.sweep.load import COLUMNS, STATISTICS, LoadPlan, make_load_plan
from simulator.explore.sweep.space import build_space
from simulator.explore.sweep.sweep import run_plan
from simulator.explore.sweep.writers import write_sweep
from simulator.serving.workload import Load

PLACE: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "hardware": "a100-sxm-80gb",
    "calibration": "a100-sxm-80gb--vllm-0.6",
    "stack": "vllm-0.10",
}
SMALL: dict[str, Any] = {"num_requests": 12, "lengths": (0.5, 1.0)}


def ask(**given: Any) -> Any:
    asked: dict[str, Any] = {**PLACE, "prompt_tokens": 200, "output_tokens": 16, "load": SMALL, **given}
    return sweep(**asked)


def plan_loads(concurrency: tuple[int, ...]) -> LoadPlan:
    names: dict[str, Any] = dict.fromkeys(("dtype", "weight_dtype", "kv_dtype"))
    names |= dict.fromkeys(("tp", "pp", "dp", "ep", "micro_batches"), 1) | PLACE
    space = build_space(names, {}, {}, {"prompt_tokens": 64, "output_tokens": 8, "batch_size": 1})
    return make_load_plan(space, [Load(concurrency=one, num_requests=10) for one in concurrency], sort="-tpot_s_mean")


def test_every_row_is_what_simulate_says() -> None:
    rows = ask(
        tp=[1, 2], output_tokens=[8, 16], concurrency="1,4", columns=["preemptions", "ttft_s_mean_high"]
    ).to_dicts()
    assert [(row["tp"], row["output_tokens"], row["concurrency"]) for row in rows] == [
        (tp, output, several) for tp in (1, 2) for output in (8, 16) for several in (1, 4)
    ]
    last = simulate(**PLACE, tp=2, prompt_tokens=200, output_tokens=16, concurrency=4, **SMALL)
    for name in ("ttft_s_mean", "ttft_s_mean_high", "tpot_s_p99", "output_tokens_per_s"):
        assert rows[-1][name] == last.find(name)
    assert rows[-1]["preemptions"] == last.preemptions
    assert rows[-1]["devices"] == 2
    assert rows[-1]["usd_per_million_tokens"] == last.spending.usd_per_million_tokens


def test_a_simulation_has_a_column_for_all_that_it_finds() -> None:
    found = simulate(**PLACE, prompt_tokens=64, output_tokens=8, concurrency=2, num_requests=4)
    assert {*found.describe_run(), *(f"{name}{end}" for name in STATISTICS for end in ("", "_low", "_high"))} == {
        *COLUMNS
    }


def test_rates_and_fields_of_the_data_sheet_are_axes_too() -> None:
    found = ask(request_rate=[2.0, 50.0], hardware_changes={"memory.bandwidth": "1TB/s,2TB/s"})
    slow, slow_busy, fast, _ = found.to_dicts()
    assert slow["memory.bandwidth"] < fast["memory.bandwidth"]
    assert slow["tpot_s_mean"] > 1.3 * fast["tpot_s_mean"]  # decoding reads the weights
    assert slow["ttft_s_mean"] < slow_busy["ttft_s_mean"]
    kept = ask(request_rate="2,50", slo=f"tpot_s_mean:{1.1 * slow['tpot_s_mean']}").to_dicts()
    assert [row["request_rate"] for row in kept] == [2.0, 50.0]


def test_processes_do_not_change_the_answer() -> None:
    plan = plan_loads((1, 2, 3))
    assert run_plan(plan, jobs=2).to_dicts() == run_plan(plan).to_dicts()


def test_an_interrupted_sweep_goes_on(tmp_path: Path) -> None:
    plan, whole, broken = plan_loads((1, 2, 4)), tmp_path / "whole.csv", tmp_path / "broken.csv"
    assert write_sweep(plan, whole).rows == 3
    done: list[int] = []

    def interrupt(points: int, of: int) -> None:
        done.append(points)
        if points == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sweep(plan, broken, progress=interrupt)
    with pytest.raises(InputError, match="another question"):
        write_sweep(plan_loads((1, 2, 8)), broken, resume=True)
    assert write_sweep(plan, broken, resume=True, progress=lambda points, of: done.append(points)).rows == 3
    assert done == [1, 2, 3, 1, 2, 3]
    assert broken.read_bytes() == whole.read_bytes()


def test_what_cannot_be_is_left_out_and_counted() -> None:
    found = ask(tp=[1, 3], concurrency=2, load=SMALL)
    assert len(found) == 1
    assert dict(found.left_out) == {"tp 3 does not divide num_attention_heads 32": 1}
    with pytest.raises(ImpossibleError, match=r"needs 1\d KV blocks"):
        ask(concurrency=2, load={**SMALL, "kv_blocks": 2})
    with pytest.raises(InputError, match="none of 2 points is possible; of 2: unknown router 'random'"):
        ask(dp=2, concurrency=(2, 4), load={**SMALL, "router": "random"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 2, "request_rate": 1.0}, "one of concurrency, request_rate"),
        ({"load": SMALL}, "one of concurrency, request_rate"),
        ({"concurrency": "two"}, "concurrency"),
        ({"request_rate": "fast"}, "request_rate: 'fast'"),
        ({"request_rate": -1.0}, "above 0"),
        ({"concurrency": 2, "batch_size": 4}, "leave out batch_size"),
        ({"concurrency": 2, "columns": ["mfu"]}, "unknown column 'mfu'"),
        ({"concurrency": 2, "slo": "tpot_s:0.03"}, "did you mean 'tpot_s_"),
        ({"concurrency": 2, "load": {"length": 3}}, "did you mean 'lengths'"),
        ({"load": {"trace": "nothing.csv"}}, "nothing.csv"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ask(**given)


def test_the_command_shows_what_varies_in_eighty_columns() -> None:
    place = ["-m", "llama-3.1-8b", "-H", "a100-sxm-80gb", "-s", "vllm-0.10", "-p", "64", "-n", "8"]
    shown = CliRunner().invoke(app, ["sweep", *place, "--concurrency", "1-4*2", "--num-requests", "8"])
    assert shown.exit_code == 0
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "concurrency" in shown.stdout
    assert " ms" in shown.stdout
