"""``calibrate run`` on cards that are not there: how well planted decoders are found, and what is refused or doubted.

Times are those of the project's own laws with planted factors and 2% of noise (``tests/fake_cuda.py``), so this is of
the measuring and of the fit, and says nothing of the laws. Each case is looked at more briefly than on a device. Some
ten seconds a line on a quiet core::

    python -m benchmarks.fake_gpu                      # all cards, and what may go wrong on one
    python -m benchmarks.fake_gpu t4-16gb rtx-4090     # these cards alone
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from calibration.fit.from_table import Fitted
from calibration.fit.validate import validate_profile
from calibration.measure import run, stopwatch
from calibration.measure.benchmarks import decoder, suite
from calibration.measure.session import run_benchmarks
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import HELD_OUT, read_table
from simulator.timing.profile import load_profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import fake_cards
import fake_cuda
import fake_nvml

CARD = "a100-sxm-80gb"
EAGER, GRAPH = "pytorch-eager", "pytorch-graph"
BRIEFLY = {"MOST_CALLS": 16, "CUDA_BATCH": 3, "FEWEST": 3, "HOST_CALLS": 10}
QUICK_CASES = 86  # of the quick suite on one card
Patch = Callable[[pytest.MonkeyPatch, fake_cuda.FakeCuda], None]


class Line(NamedTuple):
    """One run: what is wrong there, and what must come of it."""

    what: str
    wanted: str
    card: str = CARD
    stack: str = EAGER
    spoil: Patch = lambda patches, fake: None
    costs: fake_cuda.Costs = fake_cuda.Costs()
    is_short: bool = False  # too short to check itself: judged on the decoders of a whole run


def keep_share(share: float) -> Patch:
    """The time ends once so many of the cases are measured."""

    def spoil(patches: pytest.MonkeyPatch, fake: fake_cuda.FakeCuda) -> None:
        real = suite.make_measure
        seen: set[object] = set()

        def make(bench: Any) -> Any:
            measure = real(bench)

            def measure_until(case: Any, limit_s: float) -> Any:
                timing = measure(case, limit_s)
                seen.add(case.key)
                fake.host += 1e6 if len(seen) >= share * QUICK_CASES else 0.0
                return timing

            return measure_until

        patches.setattr(run, "make_measure", make)

    return spoil


def slow_some(patches: pytest.MonkeyPatch, fake: fake_cuda.FakeCuda) -> None:
    """Three of ten cases take twice as long, at every look."""
    real = suite.make_measure

    def make(bench: Any) -> Any:
        measure = real(bench)

        def slowed(case: Any, limit_s: float) -> Any:
            timing = measure(case, limit_s)
            is_slow = random.Random(str(case.key)).random() < 0.3
            return timing._replace(median_s=timing.median_s * (2 if is_slow else 1))

        return slowed

    patches.setattr(run, "make_measure", make)


def slow_all(patches: pytest.MonkeyPatch, fake: fake_cuda.FakeCuda) -> None:
    """Another job takes a third of the device."""
    fake.slow = lambda: 1.5


def list_lines(cards: list[str]) -> list[Line]:
    """The cards that are named, or all of them and what may go wrong on one."""
    if cards:
        return [Line(card, "3%", card) for card in cards]
    return [
        Line("graphs", "3%", stack=GRAPH),
        Line("2.5 us between events", "as without, 1%", costs=fake_cuda.Costs(event_gap_s=2.5e-6)),
        Line("38% of the cases", "8%", spoil=keep_share(0.38), is_short=True),
        Line("15% of the cases", "20% or refused", spoil=keep_share(0.15), is_short=True),
        Line("3 of 10 cases twice as slow", "p90 10% or refused", spoil=slow_some),
        Line("all 1.5 times as slow", "doubtful", spoil=slow_all),
        *[Line(card, "3%", card) for card in fake_cards.CARDS],
    ]


def run_line(line: Line, out: Path) -> Fitted:
    """The command on the card of a line."""
    with pytest.MonkeyPatch.context() as patches:
        for name, value in BRIEFLY.items():
            patches.setattr(stopwatch, name, value)
        patches.setattr(decoder, "QUICK_OUTPUT", 2)
        patches.setattr(run, "wait_for_quiet", lambda budget_s, say: 0.0)
        patches.setattr(run, "read_ticks", lambda: None)
        patches.setattr(run, "find_others_share", lambda since: 0.0)
        hardware, nvml = load_hardware(line.card), fake_nvml.FakeNvml()
        nvml.clock_mhz = round(hardware.compute.clock / 1e6)
        factors = fake_cuda.plant_factors(hardware, load_stack(line.stack), 1)
        with fake_cuda.install_card(patches, line.card, line.stack, factors, line.costs, nvml) as fake:
            line.spoil(patches, fake)
            asked = (600.0, 0, None, line.stack, out, False, False)
            return run_benchmarks("cuda", "quick", *asked, "table", "", lambda said: None)


def describe_line(line: Line, folder: Path) -> str:
    """A row of the table: errors on decoders that were not fitted, and the verdict."""
    out = folder / "gpu.yaml"
    try:
        fitted = run_line(line, out)
    except InputError as error:
        return f"{line.what:28} {error}"
    profile, verdict = load_profile(out), fitted.verdict
    table = out.with_suffix(".csv")
    if line.is_short:
        table = folder / "whole.csv"
        run_line(line._replace(spoil=lambda patches, fake: None), table.with_suffix(".yaml"))
    held_out = [row for row in read_table(table) if row.model and row.notes.startswith(HELD_OUT)]
    errors = []
    for metric in ("ttft_s", "tpot_s"):
        found = validate_profile([row for row in held_out if row.metric == metric], profile).summarise()
        errors.append(f"{100 * found['median_ape']:5.1f}% {100 * found['p90_ape']:5.1f}%")
    words = "refused" if verdict and verdict.refused else "doubtful" if verdict else "recommended"
    why = "; ".join((verdict.refused or verdict.doubts)[:1]) if verdict else ""
    return f"{line.what:28} {len(held_out):4} {' '.join(errors)}  {line.wanted:18} {words} {why}"


def main() -> None:
    """Print a row for each run."""
    print(f"{'fake GPU, 2% noise':28} rows   TTFT    p90   TPOT    p90  wanted             verdict", flush=True)
    for line in list_lines(sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            print(describe_line(line, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
