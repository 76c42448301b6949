"""Whether the machine is left alone: what other processes take of its processors, and of the device."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from calibration.measure.benchmarks.suite import AGREED, Course
from calibration.measure.telemetry import Device, count_processes

STAT = Path("/proc/stat")
TICKS_S = 1 / 100  # of its counters (proc(5): USER_HZ)
BUSY = 0.1  # share of all processors that others take, from which a machine is busy
MOST_BUSY = 0.5  # from which a processor cannot be described at all: threads that wait for each other do so in vain
LOOK_S = 0.5  # of one look at them
WAIT_SHARE = 0.15  # of the time budget, that a busy machine is waited for
USED_SHARE = 0.05  # of a device's memory in use at the start, past which others use it
MOST_APART = 0.2  # share of cases whose two looks may differ
IDLE_FIELDS = (3, 4)  # idle, and idle while a disk is waited for


class Ticks(NamedTuple):
    """Seconds of all processors together: at work, at work for this process, and passed in all."""

    busy_s: float
    own_s: float
    all_s: float


def read_ticks() -> Ticks | None:
    """The counters of now; None where the system has none."""
    if not STAT.is_file():
        return None
    cells = [TICKS_S * float(cell) for cell in STAT.read_text().splitlines()[0].split()[1:9]]
    idle = sum(cells[place] for place in IDLE_FIELDS)
    own = os.times()
    return Ticks(sum(cells) - idle, own.user + own.system + own.children_user + own.children_system, sum(cells))


def find_others_share(since: Ticks | None) -> float:
    """Share of all processors that other processes took since some counters were read.

    By the load average of a minute where the system does not count, which this process is part of.
    """
    now = read_ticks()
    if since is None or now is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        return max(load - 1, 0.0) / (os.cpu_count() or 1)
    passed = max(now.all_s - since.all_s, TICKS_S)
    return max(now.busy_s - since.busy_s - (now.own_s - since.own_s), 0.0) / passed


def look_at_others(sleep: Callable[[float], None] = time.sleep) -> float:
    """Share of all processors that other processes take now."""
    since = read_ticks()
    sleep(LOOK_S)
    return find_others_share(since)


def wait_for_quiet(
    budget_s: float,
    say: Callable[[str], None],
    look: Callable[[], float] = look_at_others,
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Wait until others leave the processors alone, for a part of the time budget; the share that they take then."""
    end = clock() + WAIT_SHARE * budget_s
    share = look()
    if share > BUSY:
        most_s = WAIT_SHARE * budget_s
        say(f"other processes take {100 * share:.0f}% of the processors; waiting for up to {most_s:.0f} s")
    while share > BUSY and clock() < end:
        share = look()
    return share


def find_unrest(course: Course, others_share: float) -> list[str]:
    """Whether the machine was restless meanwhile."""
    doubts = []
    if course.share_apart > MOST_APART:
        doubts.append(
            f"two looks at {100 * course.share_apart:.0f}% of the cases differ by more than {100 * AGREED:.0f}%"
        )
    if others_share > BUSY:
        doubts.append(f"other processes took {100 * others_share:.0f}% of the processors")
    if course.lost:
        doubts.append(f"the device failed: {course.lost}")
    return doubts


def find_company(used_share: float, sensors: Device | None) -> list[str]:
    """Whether others use the device, of whose memory such a share was in use before."""
    doubts = []
    if used_share > USED_SHARE:
        doubts.append(f"{100 * used_share:.0f}% of the device's memory was in use before the run")
    others = (count_processes(sensors) or 1) - 1 if sensors is not None else 0
    if others > 0:
        doubts.append(f"{others} other process{'es' * (others > 1)} computed on the device")
    return doubts
