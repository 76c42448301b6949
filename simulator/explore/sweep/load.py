"""Sweeps under load: each point of the grid is simulated with each of several loads, and is a chunk by itself.

The requests of a load depend on its seed alone, so every deployment gets the same ones, on any number of processes.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import InputError, RoofcastError, unknown_name
from simulator.explore.load_compare import KEPT
from simulator.explore.load_solve import LIMITED
from simulator.explore.sweep.evaluate import (
    KINDS,
    ChunkAnswer,
    Places,
    Setting,
    ask_points,
    build_architectures,
    build_hardware,
    describe_axis,
    find_setting,
    list_fields,
    list_pieces,
    type_values,
)
from simulator.explore.sweep.filters import (
    Condition,
    Table,
    apply_conditions,
    check_column,
    parse_condition,
    parse_reduction,
    reduce_table,
)
from simulator.explore.sweep.plan import Block, Plan, resolve_plan
from simulator.explore.sweep.space import Axis, Counts, Space, read_counts
from simulator.metrics.rates import SHIPPED_RATES, AskedRates
from simulator.serving.cost import Spending
from simulator.serving.lengths import parse_lengths
from simulator.serving.limits import read_limits
from simulator.serving.setup import USUAL, Options
from simulator.serving.simulation import ENDS, RATES, Simulation, run
from simulator.serving.workload import Load, check_load, draw_requests

STATISTICS = (*LIMITED, *RATES)
WHOLE = (
    *("devices", "num_requests", "kv_blocks", "kv_block_tokens", "kv_blocks_used_most", "preemptions", "passes"),
    *("max_num_batched_tokens", "max_num_seqs"),
)
NUMBERS = (
    *("goodput_requests_per_s", "capacity_requests_per_s", "duration_s", "running_mean", "waiting_mean"),
    *("prefill_share", "decode_share", *Spending._fields),
)
COLUMNS = {
    **{f"{name}{end}": "number" for name in STATISTICS for end in ("", *ENDS)},
    **dict.fromkeys(NUMBERS, "number"),
    **dict.fromkeys(WHOLE, "count"),
    "saturated": "truth",
    "basis": "text",
}
USUALLY = (*KEPT, "saturated", "devices", "usd_per_million_tokens")
LARGER = frozenset((*RATES, "goodput_requests_per_s", "capacity_requests_per_s"))  # are better
VARIED = ("concurrency", "request_rate")
NO_AXIS = Axis("concurrency", ())


@dataclass(frozen=True)
class LoadPlan(Plan):
    """A resolved sweep whose points are simulated; ``load_axis`` varies fastest, and has a load for each value.

    ``digests`` are those of the files that the loads name.
    """

    loads: tuple[Load, ...] = ()
    load_axis: Axis = NO_AXIS
    options: Options = USUAL
    digests: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, the slowest first."""
        return (*self.space.axes, self.load_axis)

    @property
    def points(self) -> int:
        """Simulations."""
        return self.space.points * len(self.loads)

    @property
    def chunks(self) -> int:
        """Each simulation is one."""
        return self.points


def make_load_plan(
    space: Space,
    loads: Sequence[Load],
    options: Options = USUAL,
    *,
    where: Sequence[str] = (),
    slo: Sequence[str] = (),
    pareto: str | None = None,
    sort: str | None = None,
    top: int | None = None,
    columns: Sequence[str] = (),
    rates: AskedRates = SHIPPED_RATES,
) -> LoadPlan:
    """Resolve a space and its loads, and what is to be kept of them; see ``sweep``.

    Raises:
        InputError: a name, value, load, column or comparison that is wrong.
    """
    for axis in space.names + space.counts:
        if axis.name in ("micro_batches", "batch_size") and axis.values != (1,):
            raise InputError(f"a load says how many requests run; leave out {axis.name}")
    for load in loads:
        check_load(load)
    draw_requests(loads[0])  # a file that is wrong is so at every point
    name = next((one for one in VARIED if getattr(loads[0], one) is not None), "trace")
    values = [getattr(load, name) for load in loads]
    load_axis = Axis(name, tuple(str(value) if isinstance(value, Path) else value for value in values))
    axes = (*space.axes, load_axis)
    known = [*(axis.name for axis in axes), *COLUMNS]
    varying = [axis.name for axis in axes if len(axis.values) > 1]
    further = [check_column(one, known, "--columns") for one in columns]
    limits = [Condition(one, "<=", most) for one, most in read_limits(slo, LIMITED).items()]
    reduction = parse_reduction(pareto, sort, top, known, LARGER)
    resolved = resolve_plan(
        space,
        rates,
        shown=tuple(dict.fromkeys([*varying, *USUALLY, *further])),
        conditions=(*(parse_condition(text, known) for text in where), *limits),
        reduction=reduction,
        assume_fits=False,
    )
    paths = [path for path in (loads[0].trace, loads[0].lengths) if isinstance(path, Path)]
    digests = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    plan = LoadPlan(**vars(resolved), loads=tuple(loads), load_axis=load_axis, options=options, digests=digests)
    reduce_table(apply_conditions(make_table(plan, None), plan.conditions), reduction)  # text compared with a number
    return plan


def simulate_chunk(plan: LoadPlan, chunk: int) -> ChunkAnswer:
    """Simulate one point, and keep its row if it is asked for."""
    place, number = divmod(chunk, len(plan.loads))
    group, inner = divmod(place, math.prod(plan.space.inner_shape))
    starts = np.unravel_index(inner, plan.space.inner_shape)
    block = Block(group, tuple((int(start), int(start) + 1) for start in starts))
    left_out: Counter[str] = Counter()
    setting, fields = find_setting(plan, group), list_fields(plan, block)
    wrong, simulation = 0, None
    try:
        simulation = simulate_point(plan, setting, block, fields, number, left_out)
    except RoofcastError as error:
        left_out[str(error)] += 1
        wrong = int(isinstance(error, InputError))
    table = make_table(plan, simulation)
    for axis in plan.space.axes if simulation is not None else ():
        if axis.name in table:
            table[axis.name] = describe_axis(plan, setting, fields, block, axis.name, (1,) * 5).reshape(-1)
    if simulation is not None and plan.load_axis.name in table:
        values = plan.load_axis.values
        table[plan.load_axis.name] = type_values(values, (values[number],))
    table = reduce_table(apply_conditions(table, plan.conditions), plan.reduction, final=False)
    return ChunkAnswer(table, 1, dict(left_out), wrong)


def simulate_point(
    plan: LoadPlan, setting: Setting, block: Block, fields: dict[str, Places], number: int, left_out: Counter[str]
) -> Simulation | None:
    """One simulation; None where there is no such device or model, with the reason among those that are counted.

    Raises:
        RoofcastError: as ``simulate``.
    """
    (piece,) = list_pieces(plan, setting, fields, (1,) * 5)
    device = setting.devices[piece.device]
    if isinstance(device, str):
        left_out[device] += 1
        return None
    hardware = build_hardware(plan, device, piece, fields)
    _, architecture = build_architectures(plan, setting, piece, fields, hardware, left_out, 1)
    if architecture is None:
        return None
    prompt, output = (axis.values[block.ranges[at][0]] for at, axis in enumerate(plan.space.counts[:2], start=2))
    load = replace(plan.loads[number], prompt_tokens=prompt, output_tokens=output)
    return run(ask_points(plan, setting, block, hardware, architecture), load, plan.options)


def make_table(plan: LoadPlan, simulation: Simulation | None) -> Table:
    """The columns of a simulation, one row; without one none, each of its kind. Those of axes have no rows yet."""
    facts = {} if simulation is None else simulation.describe_run()
    table: Table = {}
    for name in plan.needed:
        kind = COLUMNS.get(name)
        if kind is None:
            axis = next(axis for axis in plan.axes if axis.name == name)
            table[name] = type_values(axis.values, ())
            continue
        values: list[Any] = []
        if simulation is not None:
            value = facts[name] if name in facts else simulation.find(name)
            values = [math.nan if value is None else value]
        table[name] = np.array(values, dtype=KINDS[kind])
    return table


def list_loads(
    template: Load, concurrency: Counts | None, request_rate: float | str | Sequence[float] | None
) -> list[Load]:
    """A load for each of several concurrencies or rates; each as one, several, or text as on the command line.

    Raises:
        InputError: both, or text that is no number.
    """
    if concurrency is not None and request_rate is not None:
        raise InputError("a load is one of concurrency, request_rate and trace; given: concurrency and request_rate")
    if concurrency is not None:
        return [replace(template, concurrency=one) for one in read_counts("concurrency", concurrency)]
    if request_rate is None:
        return [template]
    rates = request_rate.split(",") if isinstance(request_rate, str) else np.atleast_1d(request_rate).tolist()
    try:
        return [replace(template, request_rate=float(one)) for one in dict.fromkeys(rates)]
    except ValueError:
        raise InputError(f"request_rate: '{request_rate}' is not a number, or several with commas between") from None


def read_load(given: Mapping[str, Any]) -> tuple[Load, Options]:
    """A load without its concurrency or rate, and what is set of the engine, by the names of ``simulate``.

    Raises:
        InputError: a name that is none of them.
    """
    own = ("lengths", "burstiness", "trace", "num_requests", "seed")
    known = (*own, *Options._fields)
    for name in given:
        if name not in known:
            raise unknown_name("option of a load", name, known)
    asked = {name: given[name] for name in own if name in given}
    if isinstance(asked.get("lengths"), str):
        asked["lengths"] = parse_lengths(asked["lengths"])
    if asked.get("trace") is not None:
        asked["trace"] = Path(asked["trace"])
    return Load(**asked), Options(**{name: given[name] for name in Options._fields if name in given})
