"""What takes longer than a prediction, a few at once, each for so long at most, with its progress."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from simulator.errors import RoofcastError

MOST_AT_ONCE = 2
MOST_SECONDS = 60.0
REPORT_SECONDS = 0.1


class BusyError(RoofcastError):
    """More is asked at once than is answered, or for longer."""


class Stopped(Exception):
    """Nobody waits for the answer any more."""


@dataclass
class Watch:
    """What a simulation or a search calls as it goes on: it says how far it is, and ends it where it is time."""

    tell: Callable[[tuple[int, int | None]], None] = lambda done: None
    seconds: float = MOST_SECONDS
    stopped: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def __call__(self, done: int, of: int | None = None) -> None:
        """Go on or not; ``of`` how much there is in all, where it is known here.

        Raises:
            BusyError: it has taken too long.
            Stopped: nobody waits.
        """
        now = time.monotonic()
        if self.stopped.is_set():
            raise Stopped
        if now - self.began > self.seconds:
            raise BusyError(f"it takes more than {self.seconds:.0f} s, the most there is here; ask for less")
        if now - self.told > REPORT_SECONDS:
            self.told = now
            self.tell((done, of))


class Lanes:
    """So many simulations at once; one more is refused, not queued."""

    def __init__(self, most: int = MOST_AT_ONCE, most_seconds: float = MOST_SECONDS) -> None:
        """All are free; each takes so many seconds at most."""
        self.most_seconds = most_seconds
        self.free = threading.BoundedSemaphore(most)
        self.pool = ThreadPoolExecutor(most + 4, "simulation")  # the further ones refuse

    def watch(self, tell: Callable[[tuple[int, int | None]], None] = lambda done: None) -> Watch:
        """What one of them calls as it goes on."""
        return Watch(tell, self.most_seconds)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one of them.

        Raises:
            BusyError: none is free.
        """
        if not self.free.acquire(blocking=False):
            raise BusyError(
                "as many simulations and searches as run at once here are running; ask again when one is done"
            )
        try:
            yield
        finally:
            self.free.release()

    async def follow(self, work: Callable[[Watch], Any]) -> AsyncIterator[tuple[str, Any]]:
        """Run work beside, and yield ``progress`` with counts, then ``answer`` or ``failed``.

        What reads it may go away: the work then ends at its next report.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Queue[tuple[str, Any]]()

        def tell(kind: str, value: Any) -> None:
            loop.call_soon_threadsafe(news.put_nowait, (kind, value))

        watch = self.watch(lambda done: tell("progress", done))

        def run() -> None:
            try:
                with self.take():
                    tell("answer", work(watch))
            except Stopped:
                pass
            except Exception as error:  # the page says what it is of
                tell("failed", error)

        self.pool.submit(run)
        try:
            while True:
                kind, value = await news.get()
                yield kind, value
                if kind != "progress":
                    return
        finally:
            watch.stopped.set()
