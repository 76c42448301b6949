"""``recommend``: screen everything, simulate the best until three hold, and say why the others lost."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ImpossibleError
from simulator.explore.load_solve import LIMITED
from simulator.explore.recommend.cells import LeftOut, list_cells
from simulator.explore.recommend.certainty import Certainty, compare_best
from simulator.explore.recommend.judge import Judged, judge
from simulator.explore.recommend.screen import TOLERATED, Attempt, Screened, screen
from simulator.explore.recommend.wish import (
    MOST_DEVICES,
    MOST_NODES,
    OBJECTIVES,
    USUAL_DEVICES,
    USUAL_LENGTHS,
    Wish,
    check_wish,
)
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import HARDWARE_FOLDER, list_ids, load_hardware, load_model
from simulator.metrics.pareto import find_frontier
from simulator.metrics.rates import AskedRates
from simulator.serving.lengths import Lengths
from simulator.serving.limits import Slo, read_slo
from simulator.serving.workload import make_load
from simulator.shown import Shown
from simulator.units import format_seconds

Progress = Callable[[int, int], None]
BEST = 3
MOST_SIMULATIONS = 24


@frozen_dataclass(eq=False)
class Recommendation(Shown):
    """The answer: up to three configurations that were simulated and hold, the cheapest of each device and format.

    ``screened``: every device, format and layout with what is estimated of it. ``left_out``: devices of which nothing
    can be said. ``missed``: simulated and found not to hold.
    """

    wish: Wish
    best: list[Judged]
    screened: list[Screened]
    left_out: list[LeftOut]
    missed: list[Judged]
    configurations: int
    screening_s: float
    simulating_s: float

    @cached_property
    def certainty(self) -> Certainty | None:
        """How sure it is that the first beats the second; None of fewer than two, or without profiles."""
        return compare_best(self.wish, self.best) if len(self.best) > 1 else None

    @cached_property
    def frontier(self) -> dict[str, NDArray[np.float64]]:
        """By device, output tokens a second for a user against those for a device: what no other point there beats."""
        points: dict[str, list[NDArray[np.float64]]] = {}
        for one in self.screened:
            if len(one.frontier):
                points.setdefault(one.cell.device, []).append(one.frontier)
        found = {}
        for device, parts in points.items():
            joined = np.concatenate(parts)
            kept = joined[find_frontier(-joined)]
            found[device] = kept[np.argsort(kept[:, 0])]
        return found

    def __repr__(self) -> str:
        """The winner in one line."""
        if not self.best:
            return f"Recommendation({self.wish.model.id}: nothing holds)"
        first, values = self.best[0], self.best[0].values
        cost = first.spending.usd_per_million_tokens
        money = "" if cost is None else f"{float(cost):.3g} USD for 1M tokens, "
        others = ", ".join(f"{one.devices} x {one.cell.device}" for one in self.best[1:])
        return (
            f"Recommendation({self.wish.model.id}: {first.devices} x {first.cell.device}, {first.cell.format}, "
            f"{first.cell.layout}: {money}ttft_s_p99 {format_seconds(values['ttft_s_p99'])}, tpot_s_mean "
            f"{format_seconds(values['tpot_s_mean'])}{f'; then {others}' if others else ''})"
        )

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for each of the best, as CSV has them."""
        from simulator.explore.recommend.record import record_judged

        return [record_judged(one, self) for one in self.best]

    def to_dict(self) -> dict[str, Any]:
        """Everything by name, as JSON has it."""
        from simulator.explore.recommend.record import record

        return record(self)


def recommend(
    model: str | Path | Architecture | ModelSpec,
    devices: Sequence[str | Path | Hardware] | str | None = None,
    *,
    prompt_tokens: int = 512,
    output_tokens: int = 128,
    lengths: Lengths | str = USUAL_LENGTHS,
    concurrency: int | None = None,
    request_rate: float | None = None,
    slo: Slo = None,
    objective: str = OBJECTIVES[0],
    stack: str | Sequence[str] | None = None,
    calibration: str | None = None,
    formats: Sequence[str] | None = None,
    kv_dtype: str | None = None,
    max_devices: int = MOST_DEVICES,
    nodes: int = MOST_NODES,
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    num_requests: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Recommendation:
    """Recommend devices, format, layout, replicas and engine limits for a load.

    Args:
        model: as for ``predict``.
        devices: names, files or objects; None: those that are often rented; ``"any"``: every GPU and accelerator.
        prompt_tokens: nominal tokens of a prompt.
        output_tokens: nominal tokens to generate, the first included.
        lengths: of requests, as for ``simulate``; by default uniform from 0.8 to 1.2 of the nominal.
        concurrency: requests in flight, over all replicas.
        request_rate: requests a second over all replicas, of a Poisson process.
        slo: limits on statistics: ``{"ttft_s_p99": 2, "tpot_s_mean": 0.04}`` in seconds, or
            ``"ttft_s_p99:2 tpot_s_mean:40ms"``.
        objective: what is to be least: ``usd_per_million_tokens``, ``devices`` or ``energy``.
        stack: name or names; None: what each device is served with.
        calibration: profile; None: of each device the one with the least transfer error.
        formats: of weights, as ``["own", "fp8"]``; None: the checkpoint's own and those that the device computes in.
        kv_dtype: format of the KV cache.
        max_devices: most devices in all.
        nodes: most nodes of one replica.
        price: of each device, or by device, as ``"h100=2.5,b200=4.8"``; None: what ships.
        grid: carbon intensity, as for ``predict``.
        pue: of the site, as for ``predict``.
        num_requests: of a simulation; None: as many as the percentiles need.
        seed: of lengths and arrivals.
        progress: called now and then with how many devices, formats and layouts are estimated, and of how many; while
            the best are simulated, with all of them. What it raises ends the search.

    Raises:
        InputError: a name, limit or load that is wrong.
        ImpossibleError: nothing holds the limits, with the closest.
    """
    load = make_load(
        prompt_tokens,
        output_tokens,
        lengths,
        concurrency=concurrency,
        request_rate=request_rate,
        num_requests=num_requests,
        seed=seed,
    )
    stacks = [stack] if stack is None or isinstance(stack, str) else list(stack)
    wish = Wish(
        load_model(model),
        list_devices(devices),
        stacks,
        calibration,
        load,
        read_slo(slo, LIMITED),
        objective,
        AskedRates(price, grid, pue),
        formats,
        kv_dtype,
        max_devices,
        nodes,
    )
    return find_best(wish, progress)


def list_devices(devices: Sequence[str | Path | Hardware] | str | None) -> list[Hardware]:
    """The devices to choose among, each once."""
    if devices is None:
        devices = USUAL_DEVICES
    elif isinstance(devices, str) and devices == "any":
        shipped = [load_hardware(name) for name in list_ids(HARDWARE_FOLDER)]
        return [one for one in shipped if one.kind != "cpu"]
    elif isinstance(devices, str):
        devices = [name.strip() for name in devices.split(",") if name.strip()]
    found = {one.id: one for one in map(load_hardware, devices)}
    return list(found.values())


def find_best(wish: Wish, progress: Progress | None = None) -> Recommendation:
    """Screen, then simulate.

    Raises:
        InputError: a wish that is wrong.
        ImpossibleError: nothing holds, with the closest.
    """
    check_wish(wish)
    start_s = time.perf_counter()
    rates = wish.rates.find_all([one.id for one in wish.devices])
    cells, left = list_cells(wish)
    tell = progress or (lambda done, of: None)
    screened: list[Screened] = []
    for cell in cells:
        tell(len(screened), len(cells))
        screened.append(screen(cell, wish, rates[cell.device]))
    screened_s = time.perf_counter()
    best, missed = simulate_best(screened, wish, lambda _: tell(len(cells), len(cells)))
    configurations = sum(one.configurations for one in screened)
    found = Recommendation(
        wish, best, screened, left, missed, configurations, screened_s - start_s, time.perf_counter() - screened_s
    )
    if not best:
        raise ImpossibleError(explain_nothing(found))
    return found


def simulate_best(
    screened: Sequence[Screened], wish: Wish, progress: Callable[[int], None]
) -> tuple[list[Judged], list[Judged]]:
    """Simulate from the least objective up, until the best of three devices and formats are known to hold.

    A configuration that is estimated a little past a limit may hold, so it has its turn. One device or format is not
    looked at again once a configuration of it holds, unless there are fewer than three of them.
    """
    money = wish.objective == OBJECTIVES[0]
    known = [one for one in screened if one.attempts and (one.priced or not money)] or list(screened)
    kinds = {name_kind(one) for one in known}
    few = len(kinds) < BEST
    ticket = count()
    queue: list[tuple[float, float, int, Screened, list[Attempt]]] = []

    def push(one: Screened, attempts: list[Attempt]) -> None:
        if attempts:
            heapq.heappush(queue, (attempts[0].objective, attempts[0].miss, next(ticket), one, attempts))

    for one in known:
        push(one, sorted((a for a in one.attempts if a.miss <= TOLERATED), key=lambda a: (a.objective, a.miss)))
    best: list[Judged] = []
    missed: list[Judged] = []
    while queue and len(best) < BEST and len(best) + len(missed) < MOST_SIMULATIONS:
        *_, one, attempts = heapq.heappop(queue)
        held = [name_kind(found.screened) for found in best]
        if not few and name_kind(one) in held:
            continue
        judged = judge(one, attempts[0], wish, progress)
        if judged.holds(wish):
            best.append(judged)
        else:
            missed.append(judged)
            push(one, attempts[1:])
    return sorted(best, key=lambda found: (found.objective, found.devices)), missed


def name_kind(one: Screened) -> tuple[str, str, str]:
    """Device, stack and format: of each the best layout is one of the three."""
    return one.cell.device, one.cell.question.work.stack.id, one.cell.format


def explain_nothing(found: Recommendation) -> str:
    """Why nothing holds: the closest there is."""
    wish = found.wish
    tried = [(attempt, one) for one in found.screened for attempt in one.attempts if np.isfinite(attempt.miss)]
    if not tried:
        reasons = [f"{one.device}: {one.reason}" for one in found.left_out]
        reasons += [
            f"{one.cell.device} {one.cell.format} {one.cell.layout}: {one.lack or 'saturated'}"
            for one in found.screened
        ]
        said = "; ".join(dict.fromkeys(reasons[:4])) or "no device has room for the weights in any format and layout"
        return f"nothing serves {wish.model.id} with at most {wish.most_devices} devices: {said}"
    attempt, one = min(tried, key=lambda pair: pair[0].miss)
    name = attempt.binds
    limit = wish.limits.get(name)
    value = attempt.values.get(name)
    said = (
        ""
        if limit is None or value is None
        else f" with {name} {format_seconds(value, limit)} of {format_seconds(limit)}"
    )
    closest = one.cell.describe(attempt.replicas)
    return f"nothing of {found.configurations:,} configurations holds every limit; the closest is {closest}{said}"
