"""``calibrate run``: what is measured is kept, what is held out is not fitted, and decoders not fitted are predicted.

Times here come from the predictor with planted factors, never from a clock.
"""

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from factor_samples import typical

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.verdict import key_row
from calibration.measure import run
from calibration.measure.benchmarks.bench import Case, Sample, Timing
from calibration.measure.session import run_benchmarks
from calibration.measure.telemetry import Record
from cli import app
from simulator.errors import CheckFailed, InputError
from simulator.inputs.library import HARDWARE_FOLDER, load_hardware, load_stack
from simulator.inputs.measurements import HELD_OUT, read_table
from simulator.timing.profile import load_profile

MACHINE = "intel-xeon-processor-2-threads"
RECORDED = f"{MACHINE}--pytorch-eager"
TABLE = Path(__file__).resolve().parents[1] / "calibration" / "tables" / "xeon-2-threads.csv"
STACK = "pytorch-eager"
FACTORS = typical("pytorch-eager", "cpu")


def plan_time(case: Case) -> float:
    """What a machine with the typical factors takes for one case."""
    if case.tp > 1:  # no link, no law
        return 1e-3
    hardware, stack = load_hardware(MACHINE), load_stack(STACK)
    nothing: Any = None
    session = run.Session(nothing, "quick", hardware, STACK, nothing, nothing, "", True)
    row = run.make_row(session, Sample(case, Timing(1, 0, 1)), Record())
    return float(predict_rows(build_cases([row], "none", hardware, stack), FACTORS)[0])


class Stage:
    """A machine whose times are planted, with a count of the cases that were measured."""

    def __init__(self) -> None:
        self.measured: list[Case] = []
        self.most = 10_000

    def make_measure(self, bench: Any) -> Callable[[Case, float], Timing]:
        def measure(case: Case, limit_s: float) -> Timing:
            if len(self.measured) >= self.most:
                raise KeyboardInterrupt
            self.measured.append(case)
            noise = np.random.default_rng(len(self.measured)).normal()
            return Timing(plan_time(case) * float(np.exp(0.02 * noise)), 0.0, 5)

        return measure


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(run, "make_measure", made.make_measure)
    monkeypatch.setattr(run, "describe_cpu", lambda dtypes, bench, look_s: load_hardware(MACHINE))
    monkeypatch.setattr(run, "wait_for_quiet", lambda budget_s, say: 0.0)
    monkeypatch.setattr(run, "find_others_share", lambda since: 0.0)
    return made


def start(out: Path, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "device": "cpu",
        "suite": "quick",
        "budget_s": 600.0,
        "seed": 0,
        "hardware": None,
        "stack": STACK,
        "resume": False,
        "dry_run": False,
    }
    said: list[str] = changes.pop("said", [])
    return run_benchmarks(**settings | changes, out=out, form="table", command="", say=said.append).report


def test_a_run_leaves_profile_table_and_device_and_finds_the_planted_decoders(stage: Stage, tmp_path: Path) -> None:
    start(tmp_path / "cpu.yaml")
    profile = load_profile(tmp_path / "cpu.yaml")
    rows = read_table(tmp_path / "cpu.csv")
    assert load_hardware(tmp_path / "cpu.hardware.yaml").id == profile.hardware == rows[0].hardware
    assert profile.check is not None
    assert profile.check.median_ape < 0.03
    assert len(profile.check.models) >= 6
    fitted = {row.model for row in rows if row.model and not row.notes.startswith(HELD_OUT)}
    assert fitted
    assert not fitted & set(profile.check.models)
    assert profile.operator_checks is not None
    assert "linear" in profile.operator_checks


def test_an_interrupted_run_keeps_every_sample_and_resume_measures_only_the_rest(stage: Stage, tmp_path: Path) -> None:
    stage.most = 40
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cpu.yaml")
    kept = read_table(tmp_path / "cpu.csv")
    assert len(kept) == len({case.key for case in stage.measured})
    assert not (tmp_path / "cpu.yaml").exists()
    stage.most = 10_000
    start(tmp_path / "cpu.yaml", resume=True)
    rows = read_table(tmp_path / "cpu.csv")
    assert rows[: len(kept)] == kept
    assert len({key_row(row) for row in rows}) == len(rows)


@pytest.mark.long
def test_the_full_suite_ends_in_a_profile_with_collectives_left_out_of_a_device_without_a_link(
    stage: Stage, tmp_path: Path
) -> None:
    said: list[str] = []
    start(tmp_path / "cpu.yaml", suite="full", said=said)
    assert load_profile(tmp_path / "cpu.yaml").check is not None
    assert any(row.tp == 2 for row in read_table(tmp_path / "cpu.csv"))


def test_a_machine_that_others_use_is_not_described(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two busy loops beside two cores: peaks measured there would be garbage in a data sheet."""
    monkeypatch.setattr(run, "wait_for_quiet", lambda budget_s, say: 0.98)
    with pytest.raises(CheckFailed, match=r"^other processes take 98% of the processors, beside which the peaks of"):
        start(tmp_path / "cpu.yaml")
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_another_device_is_not_gone_on_with(stage: Stage, tmp_path: Path) -> None:
    stage.most = 20
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "cpu.yaml")
    with pytest.raises(InputError, match=r"cpu.csv has rows of intel-xeon-processor-2-threads with pytorch-eager"):
        start(tmp_path / "cpu.yaml", resume=True, hardware="amd-ryzen-9-7950x")


def test_a_data_sheet_that_was_named_stays_as_it_is(stage: Stage, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    shipped = HARDWARE_FOLDER / f"{MACHINE}.yaml"
    mine.write_text(shipped.read_text())
    start(tmp_path / "cpu.yaml", hardware=str(mine))
    assert mine.read_text() == shipped.read_text()
    assert not (tmp_path / "cpu.hardware.yaml").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"out": "cpu.csv"}, "a profile ends in .yaml"),
        ({"budget_s": 5.0}, "a time budget of 5 s is too short; it must be at least 15 s"),
        ({"stack": "megatron-lm-2022"}, "the benchmarks run PyTorch: the stack is pytorch-eager or pytorch-graph"),
    ],
)
def test_a_run_that_cannot_end_well_does_not_begin(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    out = tmp_path / changes.pop("out", "cpu.yaml")
    with pytest.raises(InputError, match=problem):
        start(out, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_there_is_not_overwritten(stage: Stage, tmp_path: Path) -> None:
    start(tmp_path / "cpu.yaml")
    before = (tmp_path / "cpu.csv").read_bytes()
    with pytest.raises(InputError, match=r"cpu.csv is there already; --resume goes on with it"):
        start(tmp_path / "cpu.yaml")
    assert (tmp_path / "cpu.csv").read_bytes() == before


def test_a_table_cut_off_in_a_row_is_one_line_and_stays_as_it_is(stage: Stage, tmp_path: Path) -> None:
    start(tmp_path / "cpu.yaml")
    table = tmp_path / "cpu.csv"
    table.write_text(table.read_text()[:-20])
    cut = table.read_bytes()
    with pytest.raises(InputError, match=r"cpu.csv:\d+: "):
        start(tmp_path / "cpu.yaml", resume=True)
    assert table.read_bytes() == cut


def test_a_dry_run_lists_the_cases_and_writes_nothing(stage: Stage, tmp_path: Path) -> None:
    listed = start(tmp_path / "cpu.yaml", dry_run=True).splitlines()
    assert listed[-1] == f"{len(listed) - 1} cases"
    assert list(tmp_path.iterdir()) == []
    assert not stage.measured


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no device cuda:9: torch .* sees \d+ CUDA devices"):
        start(tmp_path / "gpu.yaml", device="cuda:9")
    with pytest.raises(InputError, match=r"^device is 'tpu'; it must be cpu, cuda or cuda:N$"):
        start(tmp_path / "gpu.yaml", device="tpu")


def test_graphs_are_not_captured_on_a_cpu(tmp_path: Path) -> None:
    arguments = ["calibrate", "run", "--device", "cpu", "-s", "pytorch-graph", "--out", str(tmp_path / "cpu.yaml")]
    done = CliRunner().invoke(app, arguments)
    assert str(done.exception) == "a stack of captured graphs is measured on cuda; on a CPU the stack is pytorch-eager"


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_torch(name: str, *arguments: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *arguments, **named)

    for name in [
        name for name in sys.modules if name.startswith(("calibration.measure.run", "calibration.measure.benchmarks"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("calibration.measure.run")
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(InputError, match=r"pip install 'roofcast\[measure\]'"):
        start(tmp_path / "cpu.yaml")


def test_the_recorded_run_predicts_decoders_that_it_did_not_fit(tmp_path: Path) -> None:
    """Two threads of a Xeon: the medians that were promised for such a machine are 12%."""
    arguments = ["calibrate", "fit", str(TABLE), "-H", MACHINE, "-s", STACK]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "again.yaml"), "-o", "json"])
    assert done.exception is None
    again, recorded = load_profile(tmp_path / "again.yaml"), load_profile(RECORDED)
    assert again.check is not None
    assert len(again.check.models) == 7
    assert again.check.median_ape < 0.06
    assert set(again.factors) == set(recorded.factors)
    for name, factor in again.factors.items():
        assert factor.value == pytest.approx(recorded.factors[name].value, rel=1e-3)


def test_the_recorded_machine_has_no_quantity_without_a_source() -> None:
    assert CliRunner().invoke(app, ["hardware", "check", MACHINE]).exception is None
