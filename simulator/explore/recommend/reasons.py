"""Why a configuration was chosen and others were not: what binds, what fails with fewer devices, what costs more."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.explore.recommend.judge import Judged
from simulator.explore.recommend.recommend import Recommendation
from simulator.explore.recommend.screen import SATURATED, Attempt, Screened
from simulator.units import format_seconds


class Binding(NamedTuple):
    """The limit with the least room: its value over it. ``name`` is empty where there is no limit."""

    name: str
    ratio: float


class Loser(NamedTuple):
    """The best of a device that is not among the three: what it takes and why it lost.

    ``attempt`` is None where nothing can be said; ``ratio`` of the objective to the winner's, by the estimate.
    """

    device: str
    screened: Screened | None
    attempt: Attempt | None
    ratio: float | None
    reason: str


def find_binding(judged: Judged, found: Recommendation) -> Binding:
    """The limit that has the least room."""
    misses = judged.find_misses(found.wish)
    name = max(misses, key=lambda one: misses[one], default="")
    return Binding(name, misses.get(name, 0.0))


def find_fewer(judged: Judged, found: Recommendation) -> tuple[Screened, Attempt] | None:
    """What comes closest with fewer devices in that format, where all of these miss; None where there is nothing."""
    device, form = judged.cell.device, judged.cell.format
    fewer = [
        (one, attempt)
        for one in found.screened
        if one.cell.device == device and one.cell.format == form
        for attempt in one.attempts
        if one.cell.count_devices(attempt.replicas) < judged.devices and 1 < attempt.miss < np.inf
    ]
    return min(fewer, key=lambda pair: pair[1].miss, default=None)


def describe_miss(attempt: Attempt, found: Recommendation) -> str:
    """Which limit an attempt misses, and by how much, as estimated."""
    if attempt.binds == SATURATED or not np.isfinite(attempt.miss):
        return "is saturated"
    value, limit = attempt.values[attempt.binds], found.wish.limits[attempt.binds]
    return f"misses {attempt.binds} ({format_seconds(value, limit)} of {format_seconds(limit)})"


def list_losers(found: Recommendation) -> list[Loser]:
    """The best of each device that is not among the three, from the closest to the farthest; what is left out, last."""
    winner = found.best[0]
    chosen = {one.cell.device for one in found.best}
    by_device: dict[str, list[Screened]] = {}
    for one in found.screened:
        by_device.setdefault(one.cell.device, []).append(one)
    losers = [find_loser(device, ones, winner, found) for device, ones in by_device.items() if device not in chosen]
    losers += [Loser(one.device, None, None, None, one.reason) for one in found.left_out if one.device not in by_device]
    empty = [one.id for one in found.wish.devices if one.id not in by_device]
    named = {one.device for one in losers}
    room = "no room for the weights in any format and layout"
    losers += [Loser(name, None, None, None, room) for name in empty if name not in named]
    return sorted(losers, key=lambda one: (one.ratio is None, one.ratio or 0.0, one.attempt is None))


def find_loser(device: str, ones: list[Screened], winner: Judged, found: Recommendation) -> Loser:
    """The best of one device."""
    missed = {(id(one.screened), one.attempt.replicas) for one in found.missed}
    holding = [
        (one, attempt)
        for one in ones
        for attempt in one.attempts
        if attempt.holds and (id(one), attempt.replicas) not in missed
    ]
    if not holding:
        tried = [(one, attempt) for one in ones for attempt in one.attempts if np.isfinite(attempt.miss)]
        if not tried:
            reasons = {one.lack for one in ones if one.lack}
            return Loser(device, None, None, None, f"nothing holds: {', '.join(sorted(reasons)) or SATURATED}")
        one, attempt = min(tried, key=lambda pair: pair[1].miss)
        return Loser(device, one, attempt, None, f"nothing holds; this {describe_miss(attempt, found)}")
    one, attempt = min(holding, key=lambda pair: (pair[1].objective, pair[1].miss))
    if found.wish.objective == "usd_per_million_tokens" and not one.priced:
        one, attempt = min(holding, key=lambda pair: (pair[0].cell.count_devices(pair[1].replicas), pair[1].miss))
        return Loser(device, one, attempt, None, f"no price: --price {device}=USD an hour")
    ratio = attempt.objective / winner.objective
    return Loser(device, one, attempt, ratio, f"{ratio:.2f}x of the first, estimated")
