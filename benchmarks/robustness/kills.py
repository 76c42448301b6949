"""Commands that are killed or interrupted while they run: files whole or not there, nothing lost, no process left.

Each command first runs to its end, which gives the files that must stand there at last and the time to strike in. Times
that a calibration measures meanwhile mean nothing, so it does not wait for a quiet machine, and every second kill comes
after a row that it has written.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.robustness.fence import ROOT

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST_END_S = 30.0  # of a process after its signal, on a busy machine
SWEEP = (
    *("sweep", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "-p", "64-4096+32", "-n", "1-128+4", "-b", "1-16+1"),
    *("--jobs", "2", "--out", "grid.csv"),
)
SIMULATION = (
    *("simulate", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "--concurrency", "32", "--num-requests", "3000"),
    *("-o", "json", "--requests", "requests.csv", "--out", "simulated.json"),
)
CALIBRATION = ("calibrate", "run", "--device", "cpu", "--time-budget", "40s", "--out", "cpu.yaml")
ON_ANY_MACHINE = """
import sys
sys.path.insert(0, {root!r})
sys.argv[0] = "cli.py"
import cli
import calibration.measure.quiet as quiet
quiet.wait_for_quiet = lambda budget_s, say: 0.0
cli.main()
"""
ROW_WAIT_S = 90.0  # for a row that a calibration adds, torch's own start included


class Kind(NamedTuple):
    """A command, the files that it writes, and what goes on with it after a kill."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    resumes: bool
    repeats: bool  # gives the same files each time


KINDS = {
    "sweeps": Kind(SWEEP, ("grid.csv",), True, True),
    "simulations": Kind(SIMULATION, ("requests.csv", "simulated.json"), False, True),
    "calibrations": Kind(CALIBRATION, ("cpu.csv", "cpu.yaml"), True, False),
}


def start(words: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a folder, in a group of processes of its own."""
    program = ["-c", ON_ANY_MACHINE.format(root=str(ROOT))] if words[0] == "calibrate" else [str(ROOT / "cli.py")]
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_side_by_side(name: str, folder: Path, count: int, seed: int, workers: int) -> Counter[str]:
    """Kill a command so many times, in as many folders at once as there are workers."""
    shares = [count // workers + (worker < count % workers) for worker in range(workers)]
    folders = [folder / str(worker) for worker in range(workers)]
    for own in folders:
        own.mkdir(parents=True)
    with ThreadPoolExecutor(workers) as pool:
        given = zip(folders, shares, strict=True)
        parts = [
            pool.submit(kill_all, name, own, share, seed + worker) for worker, (own, share) in enumerate(given) if share
        ]
        found: Counter[str] = Counter()
        for part in parts:
            found.update(part.result())
    return found


def kill_all(name: str, folder: Path, count: int, seed: int = 0) -> Counter[str]:
    """Run a command and kill it so many times; kills, and what was wrong after them."""
    kind, drawn = KINDS[name], random.Random(seed)
    found: Counter[str] = Counter()
    began = time.monotonic()
    wanted: dict[str, bytes] = {}
    if kind.repeats:
        first = start(kind.words, folder)
        first.communicate()
        wanted = {file: (folder / file).read_bytes() for file in kind.files}
        for file in kind.files:
            (folder / file).unlink()
    length = max(time.monotonic() - began, 2.0) if kind.repeats else 20.0  # torch loads for seconds
    rows: list[str] = []
    while found["kills"] < count:
        words = (
            (*kind.words, "--resume") if kind.resumes and (rows or (folder / "grid.csv.parts").exists()) else kind.words
        )
        process = start(words, folder)
        # One in three strikes while Python and its modules load.
        if not kind.repeats and found["kills"] % 2:
            wait_for_row(process, folder / kind.files[0], len(rows))
            time.sleep(drawn.uniform(0, 2.0))
        else:
            time.sleep(drawn.uniform(0, 1.0 if drawn.random() < 1 / 3 else length))
        if process.poll() is not None:
            process.communicate()
            reset(folder, kind)
            rows = []
            continue
        number = drawn.choice(SIGNALS)
        process.send_signal(number)
        found["kills"] += 1
        look_after(process, number, found)
        for file in kind.files:
            path = folder / file
            if kind.repeats and path.exists() and path.read_bytes() != wanted[file]:
                found["cut or wrong files"] += 1
        if not kind.repeats:
            table = folder / kind.files[0]
            now = table.read_text().splitlines() if table.exists() else []
            found["kills after new rows"] += len(now) > len(rows)
            found["rows lost"] += len(set(rows) - set(now))
            rows = now
        elif all((folder / file).exists() for file in kind.files):
            reset(folder, kind)
    if kind.repeats and kind.resumes:
        words = (*kind.words, "--resume") if (folder / "grid.csv.parts").exists() else kind.words
        start(words, folder).communicate()
        whole = [(folder / file).exists() and (folder / file).read_bytes() == wanted[file] for file in kind.files]
        found["wrong at the end"] += not all(whole)
    return found


def wait_for_row(process: subprocess.Popen[bytes], table: Path, known: int) -> None:
    """Wait until a table has more lines than are known, or a process ends."""
    ends = time.monotonic() + ROW_WAIT_S
    while time.monotonic() < ends and process.poll() is None:
        if table.exists() and len(table.read_text().splitlines()) > max(known, 1):
            return
        time.sleep(0.2)


def reset(folder: Path, kind: Kind) -> None:
    """Remove what a whole run has left."""
    for file in kind.files:
        (folder / file).unlink(missing_ok=True)


def look_after(process: subprocess.Popen[bytes], number: int, found: Counter[str]) -> None:
    """Wait for a process that got a signal and all that it started, and read what it said."""
    try:
        said = process.communicate(timeout=LONGEST_END_S)[1].decode(errors="replace")
    except subprocess.TimeoutExpired:
        found["hangs"] += 1
        os.killpg(process.pid, signal.SIGKILL)
        said = process.communicate()[1].decode(errors="replace")
    if "Traceback" in said:  # Python's own start, before a line of ours runs, is nobody's to mend
        early = "cli.py" not in said
        found["interrupts of Python's own start" if early else "tracebacks"] += 1
    if number == signal.SIGINT and process.returncode == 130:
        found["interrupts of more than one line"] += said.count("interrupted") != 1
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    found["processes left"] += 1
    os.killpg(process.pid, signal.SIGKILL)
