"""``calibrate run --engine`` against a server that answers by the laws with planted factors."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_server import FakeServer, SkippingLoop

from calibration.fit.from_table import describe_refusal, fit_rows
from calibration.fit.load_design import METRICS, list_settings
from calibration.fit.validate import validate_profile
from calibration.fit.verdict import judge_requests
from calibration.measure.engine_run import Plan, ask_engine, measure_plan, plan_loads
from calibration.measure.http_stream import Address
from cli import app
from simulator import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.measurements import HELD_OUT, Measurement
from simulator.serving.setup import USUAL, Setup, prepare
from simulator.serving.workload import Load
from simulator.timing.device import find_traits
from simulator.timing.priors import as_factors, choose_priors
from simulator.timing.profile import load_profile

MODEL, DEVICE, STACK = "llama-3.1-8b", "a100-sxm-80gb", "vllm-0.6"
MOVED = {"matrix_bandwidth_efficiency": 0.85, "step_host_s": 2.0, "matrix_efficiency": 0.8}
BUDGET_S, TIMEOUT_S = 100.0, 20.0
SETTINGS = list_settings((128, 512, 2048), (16, 32), (1, 4, 16))


@cache
def prepare_server() -> tuple[Plan, Setup]:
    """The loads to send, and an engine off its priors: less bandwidth, a slower host, slower products of prompts."""
    question = ask_engine(MODEL, DEVICE, STACK, Deployment())
    priors = as_factors(choose_priors(find_traits(question.hardware), question.work.stack))
    planted = priors.replace(**{name: getattr(priors, name) * share for name, share in MOVED.items()})
    machine = question.machine._replace(factors=planted)
    setup = prepare(replace(question, machine=machine), Load(2048, 128, concurrency=48), USUAL)
    return plan_loads(question, MODEL, BUDGET_S, SETTINGS), setup


def measure(table: Path, fault: str = "", named: str | None = None) -> tuple[Plan, list[Measurement]]:
    """Plan, and measure on a server with planted factors in a loop in which waiting takes no time."""
    plan, setup = prepare_server()
    server = FakeServer(setup.table, setup.limits.max_num_batched_tokens, fault)

    async def both() -> list[Measurement]:
        running = asyncio.ensure_future(server.run())
        listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
        address = Address(False, "127.0.0.1", listening.sockets[0].getsockname()[1], "")
        try:
            return await measure_plan(address, named, plan, table, 1e18, TIMEOUT_S, lambda text: None)
        finally:
            running.cancel()
            listening.close()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return plan, runner.run(both())


def test_a_planted_engine_is_found_and_what_was_not_fitted_is_within_four_percent(tmp_path: Path) -> None:
    table, out = tmp_path / "p.csv", tmp_path / "p.yaml"
    plan, rows = measure(table)
    device, stack = plan.question.hardware, plan.question.work.stack
    found = fit_rows(rows, [table], device, stack, out, None, 2, 0, "table", "test")
    assert describe_refusal(out, found.verdict) == ""
    checked = [row for row in rows if row.notes == HELD_OUT]
    assert len(checked) == 8
    validation = validate_profile(checked, load_profile(out), device, stack)
    sizes = {
        name: [abs(e) for e, row in zip(validation.errors, checked, strict=True) if row.metric == name]
        for name in METRICS
    }
    assert max(sizes["tpot_s"]) < 0.04
    assert np.mean(sizes["ttft_s"]) < 0.04
    halved = replace(validation, predicted=validation.predicted / 2)
    assert "held-out TPOT is off by a median of" in " ".join(judge_requests(halved, 1))


@pytest.mark.parametrize(
    ("fault", "named", "message"),
    [
        ("hangs", None, "completions: nothing came for 20 s"),
        ("refuses", None, "completions: status 500: out of memory"),
        ("breaks off", None, "completions: the answer breaks off"),
        ("ends early", None, "completions: the stream breaks off before its end"),
        ("does not count", None, "the stream ends without usage"),
        ("stops", None, "6 tokens came where 7 were asked for; the server must take ignore_eos"),
        ("caches", None, "tokens of new prompts came from a cache"),
        ("", "planted-9b", "serves no 'planted-9b'; did you mean 'planted-8b'"),
    ],
)
def test_a_server_that_does_not_do_its_part_is_one_line(
    fault: str, named: str | None, message: str, tmp_path: Path
) -> None:
    table = tmp_path / "p.csv"
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        measure(table, fault, named)
    assert "\n" not in str(caught.value)
    assert not table.exists()


def ask(*options: str) -> Result:
    return CliRunner().invoke(app, ["calibrate", "run", *options])


def test_what_would_be_sent_is_listed_and_nothing_is(tmp_path: Path) -> None:
    given = ("--engine", "http://127.0.0.1:1", "-m", MODEL, "-H", DEVICE, "-s", STACK, "--out", f"{tmp_path}/p.yaml")
    listed = ask(*given, "--dry-run")
    assert listed.exit_code == 0
    assert "2048 + 32 tokens, 1 in flight" in listed.output
    assert "(to check)" in listed.output
    assert "http://127.0.0.1:1/v1/models: no connection" in str(ask(*given).exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "localhost:8000", "-m", MODEL, "-H", DEVICE, "-s", STACK), "'localhost:8000' is not the address"),
        (("--engine", "http://h:99999", "-m", MODEL, "-H", DEVICE, "-s", STACK), "is not the address of a server"),
        (("--engine", "http://localhost:8000", "-m", MODEL), "-m, -H and -s"),
        (("--engine", "http://localhost:8000", "--device", "cpu"), "leave out --device"),
        (("--tp", "2"), "--tp is of a server"),
        (("--engine", "http://h", "-m", MODEL, "-H", DEVICE, "-s", "pytorch-eager"), "has no scheduler"),
        (
            ("--engine", "http://h", "-m", MODEL, "-H", DEVICE, "-s", STACK, "--time-budget", "2s"),
            "longer --time-budget",
        ),
    ],
)
def test_what_cannot_be_asked_of_a_server_is_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    error = ask(*options, "--out", f"{tmp_path}/p.yaml").exception
    assert isinstance(error, InputError)
    assert message in str(error)
