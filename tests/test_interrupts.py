"""An interrupt ends a measurement in time: by Python where it can, else by the thread that waits beside it."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from calibration.measure.interrupts import INTERRUPTED, end_in_time

ROUNDS = 3_000_000  # of one call of C that takes about a second, in which Python handles no signal


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    """Python's own; a shell's background jobs are started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_one_long_call_is_ended_from_beside_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ends: list[tuple[int, float]] = []
    monkeypatch.setattr(os, "_exit", lambda code: ends.append((code, time.monotonic())))
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), end_in_time(0.1):
        hashlib.pbkdf2_hmac("sha256", b"a long", b"call", ROUNDS)
    ((code, ended_s),) = ends
    assert code == INTERRUPTED
    assert ended_s < time.monotonic()
    assert capfd.readouterr().err == "roofcast: interrupted\n"


class Dropping:
    """Python says what is raised while it deletes a thing, and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_ends_the_process_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    with end_in_time(0.05):
        Dropping()
        assert ended.wait(20)


def test_a_process_that_does_not_come_to_its_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a library that was half loaded waits for its threads."""
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    with pytest.raises(KeyboardInterrupt), end_in_time(0.05):
        signal.raise_signal(signal.SIGINT)
    assert ended.wait(20)


def test_what_goes_on_to_its_end_is_left_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with end_in_time(0.05), suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    time.sleep(0.1)
    assert not ends
    after = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(after)
    assert after == before
