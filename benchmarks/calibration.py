"""Calibration of the machine in front: how long the quick suite takes and how well it predicts decoders not fitted.

Three runs on the machine as it is, and one beside two busy loops, which must be good all the same or refused. Other
work on the machine shows too, so each line ends with what the run says of that; `benchmarks.fake_gpu` is the same of
cards that are not there.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

RUNS, LOOPS = 3, 2
TIME_LIMIT_S = 60.0
QUIET_LIMIT, BUSY_LIMIT = 0.06, 0.12
FEWEST_MODELS = 6
ERROR = "roofcast: "  # how the line begins that says why


class Run(NamedTuple):
    """One run: seconds, models and median errors of what was not fitted (None: refused before), and what it says."""

    seconds: float
    models: int
    ttft: float | None
    tpot: float | None
    refusal: str
    doubts: list[str]

    def holds(self, limit: float) -> bool:
        """Whether both errors are within a limit."""
        return None not in (self.ttft, self.tpot) and max(self.ttft or 0.0, self.tpot or 0.0) <= limit

    def describe(self, name: str) -> str:
        """A line of the table."""
        errors = " ".join(f"{'':>7}" if one is None else f"{100 * one:6.1f}%" for one in (self.ttft, self.tpot))
        said = [f"refused: {self.refusal}"] if self.refusal else []
        return f"{name:27} {self.seconds:5.1f} s {self.models:7} {errors}   {'; '.join([*said, *self.doubts])}"


@contextmanager
def keep_busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing but compute, for the length of a block."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def calibrate(folder: Path, seed: int) -> Run:
    """Run the command; it answers with 1 where it refuses, with its report where it got as far.

    Raises:
        RuntimeError: it failed.
    """
    arguments = ["calibrate", "run", "--device", "cpu", "--seed", str(seed), "--out", str(folder / "cpu.yaml")]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "cli", *arguments, "-o", "json"], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    last = (done.stderr.strip().splitlines() or [""])[-1].removeprefix(ERROR)
    refusal = (last.partition(".yaml: ")[2] or last) if done.returncode else ""
    if done.returncode not in (0, 1):
        raise RuntimeError(refusal)
    if not done.stdout:
        return Run(seconds, 0, None, None, refusal, [])
    found = json.loads(done.stdout)
    checks = [one for one in found["not_fitted"] if one["by_metric"]]
    by_metric = {row["metric"]: row["median_ape"] for one in checks for row in one["by_metric"]}
    models = sum(len(one["by_model"]) for one in checks)
    doubts = (found.get("verdict") or {}).get("doubts", [])
    return Run(seconds, models, by_metric.get("ttft_s"), by_metric.get("tpot_s"), refusal, doubts)


def main() -> None:
    """Print one line a run, and the medians over the quiet runs."""
    print(f"{'calibrate run --device cpu':27} {'time':>7} {'models':>7} {'TTFT':>7} {'TPOT':>7}   (median errors)")
    runs = []
    for seed in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(calibrate(Path(folder), seed))
        print(runs[-1].describe(f"seed {seed}"), flush=True)
    with tempfile.TemporaryDirectory() as folder, keep_busy(LOOPS):
        busy = calibrate(Path(folder), RUNS)
    print(busy.describe(f"{LOOPS} busy loops beside"), flush=True)
    print(f"{'limit':27} {TIME_LIMIT_S:5.0f} s {FEWEST_MODELS:7} {100 * QUIET_LIMIT:6.0f}% {100 * QUIET_LIMIT:6.0f}%")
    told = [one for one in runs if not one.refusal]
    wrong = [] if busy.refusal or busy.holds(BUSY_LIMIT) else ["beside busy loops neither good nor refused"]
    if not told:
        wrong.append("each run was refused")
    else:
        middle = [
            statistics.median(one.ttft or 0.0 for one in told),
            statistics.median(one.tpot or 0.0 for one in told),
        ]
        late = statistics.median(one.seconds for one in told) > TIME_LIMIT_S
        if late or max(middle) > QUIET_LIMIT or min(one.models for one in told) < FEWEST_MODELS:
            wrong.append("the calibration of this machine is past a limit")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
