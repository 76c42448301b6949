"""Runs cases and judges what the command says: an answer of sound numbers, or one line and a known exit code."""

from __future__ import annotations

import io
import json
import math
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.robustness.fence import Outside
from benchmarks.robustness.inputs import CASES, Case, Kind, write_files
from cli import app
from simulator.errors import RoofcastError

LONGEST_S = 10.0  # of the processor, for a machine may have other work
LONGEST_WAIT_S = 120.0
MOST_BYTES = 6 * 2**30
BATCH = 100  # cases drawn with one seed
SIGNED = ("bias", "deviation", "low", "slope", "elasticity", "change", "rank", "tau")  # numbers that may be below zero


class Hang(BaseException):
    """A case that took too long."""


class Finding(NamedTuple):
    """What went wrong with a case: ``traceback``, ``hang``, ``outside``, ``lines``, ``NaN`` or ``negative``."""

    kind: str
    where: str
    case: Case


class Found(NamedTuple):
    """Cases run, how they ended, and what went wrong; and the batches that were begun, each with a seed of its own."""

    ended: Counter[str]
    findings: list[Finding]
    batches: list[int]


@contextmanager
def limit_time() -> Iterator[None]:
    """Raise in what takes too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGVTALRM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_S)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_WAIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_case(case: Case, folder: Path) -> tuple[str, Finding | None]:
    """How a command ended, and what is wrong with that."""
    write_files(case, folder)
    out, err = io.StringIO(), io.StringIO()
    began = time.process_time()
    try:
        with limit_time(), redirect_stdout(out), redirect_stderr(err):
            app.main(list(case.words), prog_name="roofcast", standalone_mode=False)
    except RoofcastError as error:
        one_line = len(str(error).splitlines()) == 1
        return f"exit {error.exit_code}", None if one_line else Finding("lines", repr(str(error))[:80], case)
    except (click.ClickException, click.exceptions.Exit):
        return "exit 2", None
    except Hang:
        return "hang", Finding("hang", find_place(sys.exc_info()[2]), case)
    except Outside as error:
        return "outside", Finding("outside", str(error), case)
    except (Exception, SystemExit) as error:
        return "traceback", Finding("traceback", f"{find_place(error.__traceback__)} {type(error).__name__}", case)
    if time.process_time() - began > LONGEST_S:
        return "hang", Finding("hang", "after its end", case)
    wrong = judge(out.getvalue(), case)
    return "answer", None if wrong is None else Finding(*wrong, case)


def find_place(trace: Any) -> str:
    """The last line of our own in a traceback."""
    frames = [one for one in traceback.extract_tb(trace) if "site-packages" not in one.filename]
    own = [one for one in frames if "/simulator/" in one.filename or "/calibration/" in one.filename]
    last = (own or frames)[-1]
    return f"{'/'.join(Path(last.filename).parts[-3:])}:{last.lineno}"


def judge(text: str, case: Case) -> tuple[str, str] | None:
    """What is wrong with the numbers of an answer; None where nothing is."""
    if "json" not in case.words:
        return ("NaN", "in a table") if " nan" in text.lower().replace("nan)", "") and "--sort" in case.words else None
    try:
        document = json.loads(text)
    except ValueError:
        return None
    for name, number in list_numbers(document):
        if not math.isfinite(number):
            return "NaN", name
        if number < 0 and not any(word in name for word in SIGNED):
            return "negative", name
    return None


def list_numbers(document: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of an answer with their names; what was asked is not the answer."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key not in ("changes", "hardware_changes", "asked"):
                yield from list_numbers(value, str(key))
    elif isinstance(document, list):
        for value in document:
            yield from list_numbers(value, name)
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield name, float(document)


def fuzz(
    folder: Path,
    seconds: float,
    most: int,
    first_seed: int = 0,
    kinds: Mapping[str, Kind] = CASES,
    run: Callable[[Case, Path], tuple[str, Finding | None]] = run_case,
) -> Found:
    """Run cases of every kind in turn until the time or their number is through."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    found = Found(Counter(), [], [])
    ends = time.monotonic() + seconds
    round_ = first_seed
    while time.monotonic() < ends and found.ended.total() < most:
        kind = list(kinds.values())[round_ % len(kinds)]
        found.batches.append(round_)
        run_batch(kind, run, round_, folder, ends, found)
        round_ += 1
    return found


def run_batch(
    kind: Kind,
    run_one: Callable[[Case, Path], tuple[str, Finding | None]],
    number: int,
    folder: Path,
    ends: float,
    found: Found,
) -> None:
    """Run the cases of one seed."""

    @seed(number)
    @settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind())
    def run(case: Case) -> None:
        if time.monotonic() > ends:
            return
        (folder / "last.txt").write_text(repr(case)[:100_000])
        ended, finding = run_one(case, folder)
        found.ended[ended] += 1
        if finding is not None:
            found.findings.append(finding)
        for path in folder.iterdir():
            if path.name not in (*case.files, "last.txt", "pycache") and path.is_file():
                path.unlink()

    run()
