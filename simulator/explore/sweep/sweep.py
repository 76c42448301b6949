"""Many questions at once: a grid over everything that a question is made of, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.errors import ImpossibleError, InputError
from simulator.explore.sweep.evaluate import UNFIT, ChunkAnswer, make_empty
from simulator.explore.sweep.filters import (
    Condition,
    Table,
    apply_conditions,
    check_column,
    find_rows,
    join_tables,
    parse_condition,
    parse_reduction,
    read_limit,
    reduce_table,
)
from simulator.explore.sweep.load import list_loads, make_load_plan, read_load
from simulator.explore.sweep.plan import CHUNK_POINTS, Plan, resolve_plan
from simulator.explore.sweep.space import (
    Counts,
    DeviceName,
    FieldValues,
    FormatName,
    ModelName,
    ProfileName,
    Several,
    Space,
    StackName,
    build_space,
)
from simulator.explore.sweep.workers import run_chunks
from simulator.metrics.metric import Conditions
from simulator.metrics.rates import SHIPPED_RATES, AskedRates
from simulator.metrics.registry import METRICS, find_column, list_columns
from simulator.shown import Shown

Progress = Callable[[int, int], None]  # points done and in all
MOST_REASONS = 8  # that are told one by one


@dataclass(frozen=True, eq=False)
class Sweep(Shown):
    """Rows of a sweep: columns of one length each, in SI units, and what was left out for which reason."""

    columns: Table
    points: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """Rows."""
        return find_rows(self.columns)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows, with Python's own numbers."""
        values = [column.tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns, with Python's own numbers."""
        return {name: column.tolist() for name, column in self.columns.items()}

    def __repr__(self) -> str:
        """How many rows of how many points, and the columns."""
        return f"Sweep({len(self):,} rows of {self.points:,} points: {', '.join(self.columns)})"


def sweep(
    model: Several[ModelName],
    hardware: Several[DeviceName],
    calibration: Several[ProfileName] = None,
    *,
    stack: Several[StackName] = None,
    tp: Counts = 1,
    pp: Counts = 1,
    dp: Counts = 1,
    ep: Counts = 1,
    micro_batches: Counts = 1,
    dtype: Several[FormatName] = None,
    weight_dtype: Several[FormatName] = None,
    kv_dtype: Several[FormatName] = None,
    prompt_tokens: Counts = 512,
    output_tokens: Counts = 128,
    batch_size: Counts = 1,
    concurrency: Counts | None = None,
    request_rate: float | str | Sequence[float] | None = None,
    load: Mapping[str, Any] | None = None,
    changes: Mapping[str, FieldValues] | None = None,
    hardware_changes: Mapping[str, FieldValues] | None = None,
    where: str | Sequence[str] = (),
    slo: str | Sequence[str] = (),
    pareto: str | None = None,
    sort: str | None = None,
    top: int | None = None,
    columns: Sequence[str] = (),
    price: str | None = None,
    grid: str | None = None,
    pue: str | None = None,
    assume_fits: bool = False,
    jobs: int = 1,
    dask: str | None = None,
) -> Sweep:
    """Predict every combination of what is given, and keep the rows that are asked for.

    Args:
        model: as of ``predict``, one or several; so are the next ones up to ``kv_dtype``.
        hardware: device or devices.
        calibration: profile or profiles.
        stack: software stack or stacks.
        tp: tensor-parallel sizes: a number, several, or text such as ``"1-8*2"``; so are the sizes and counts below.
        pp: pipeline-parallel sizes.
        dp: replicas of the model.
        ep: devices that experts are spread over.
        micro_batches: parts of the batch in a pipeline.
        dtype: formats of matrix products.
        weight_dtype: formats of weights.
        kv_dtype: formats of the KV cache.
        prompt_tokens: tokens of the prompt.
        output_tokens: tokens to generate.
        batch_size: requests that run together.
        concurrency: requests in flight; with these or rates, every point is simulated, and columns, limits and
            comparisons are those of ``simulate``.
        request_rate: requests a second, of an open loop.
        load: what else is asked of every load and its engine, by the names of ``simulate``: ``lengths``, ``trace``,
            ``num_requests``, ``seed``, ``max_num_seqs``...
        changes: architecture fields, each with a value, several, or text such as ``"1,2,4"`` or ``"1..8*2"``.
        hardware_changes: data-sheet fields as text with units, such as ``"1TB/s..8TB/s*1.2"``, or several of them.
        where: comparisons of columns that rows must meet, such as ``"tpot_s<0.05"``.
        slo: limits such as ``"ttft_s:0.5"``, ``"tpot_s:30ms"`` or ``"output_tokens_per_s:>1000"``.
        pareto: columns of which the frontier is kept, such as ``"ttft_s,output_tokens_per_s"``; each in the sense in
            which it is better, or as ``min:`` and ``max:`` before it say.
        sort: column to sort by; ``"-e2e_s"`` is descending.
        top: how many rows to keep.
        columns: further columns, such as ``energy_j``, ``decode_bound``, ``mfu`` or ``e2e_s_low``.
        price: of one device, such as ``"2.5 USD/h"``; None: the one that ships for the device as it is.
        grid: carbon intensity of electricity, such as ``"400 gCO2e/kWh"``; None: the world's mean.
        pue: power usage effectiveness of the site; None: the average.
        assume_fits: keep what does not fit in memory.
        jobs: processes.
        dask: address of a Dask scheduler.

    Raises:
        InputError: a name, field, value, column or comparison that is wrong.
        ImpossibleError: no point is possible.
    """
    space = build_space(
        {
            "model": model, "hardware": hardware, "stack": stack, "calibration": calibration,
            "tp": tp, "pp": pp, "dp": dp, "ep": ep, "micro_batches": micro_batches,
            "dtype": dtype, "weight_dtype": weight_dtype, "kv_dtype": kv_dtype,
        },
        hardware_changes or {},
        changes or {},
        {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens, "batch_size": batch_size},
    )  # fmt: skip
    kept: dict[str, Any] = {
        "where": [where] if isinstance(where, str) else where,
        "slo": [slo] if isinstance(slo, str) else slo,
        "pareto": pareto, "sort": sort, "top": top, "columns": columns, "rates": AskedRates(price, grid, pue),
    }  # fmt: skip
    if concurrency is None and request_rate is None and load is None:
        return run_plan(make_plan(space, assume_fits=assume_fits, **kept), jobs, dask)
    template, options = read_load(load or {})
    plan = make_load_plan(space, list_loads(template, concurrency, request_rate), options, **kept)
    return run_plan(plan, jobs, dask)


def make_plan(
    space: Space,
    *,
    where: Sequence[str] = (),
    slo: Sequence[str] = (),
    pareto: str | None = None,
    sort: str | None = None,
    top: int | None = None,
    columns: Sequence[str] = (),
    rates: AskedRates = SHIPPED_RATES,
    assume_fits: bool = False,
    chunk_points: int = CHUNK_POINTS,
) -> Plan:
    """Resolve a space and what is to be kept of it; see ``sweep``.

    Raises:
        InputError: a name, value, column or comparison that is wrong.
    """
    known = [*(axis.name for axis in space.axes), *list_columns()]
    usual = [metric.name for metric in METRICS.values() if metric.usual]
    further = [check_column(name, known, "--columns") for name in columns]
    varying = [axis.name for axis in space.axes if len(axis.values) > 1]
    conditions: list[Condition] = [parse_condition(text, known) for text in where]
    limits = [read_limit(text) for text in slo]
    conditions += limits
    plan = resolve_plan(
        space,
        rates,
        shown=tuple(dict.fromkeys([*varying, *usual, *further])),
        conditions=tuple(conditions),
        reduction=parse_reduction(pareto, sort, top, known),
        assume_fits=assume_fits,
        chunk_points=chunk_points,
    )
    reduce_table(apply_conditions(make_empty(plan), plan.conditions), plan.reduction)  # text compared with a number
    check_limits(plan, [limit.column for limit in limits])
    return plan


def check_limits(plan: Plan, names: Sequence[str]) -> None:
    """Refuse limits on values that no point has.

    Raises:
        InputError: why there is none, of the first such point.
    """
    for name in names:
        lacks = list(find_lacks(plan, name))
        if all(lacks):
            raise InputError(f"there is no {name} to limit: {lacks[0]}")


def describe_lacks(plan: Plan) -> list[str]:
    """Lines that say which of the columns shown are not known somewhere, and why."""
    lines: dict[str, list[str]] = {}
    for name in plan.shown:
        for lack in dict.fromkeys(find_lacks(plan, name)):
            if lack is not None:
                lines.setdefault(lack, []).append(name)
    return [f"no {', '.join(names)}: {lack}" for lack, names in lines.items()]


def find_lacks(plan: Plan, name: str) -> Iterator[str | None]:
    """For every device and profile, why a column is not known; None where it is."""
    column = find_column(name)
    if column is None:
        return
    (outputs,) = (axis.values for axis in plan.space.counts if axis.name == "output_tokens")
    for by_device in plan.software:
        for devices, rows, rates in zip(plan.devices, by_device, plan.rates, strict=True):
            hardware = next(one for one in devices if not isinstance(one, str))
            for profile in (software.profile for row in rows for software in row):
                yield column.find_lack(Conditions(hardware, rates, profile, np.array(outputs)))


def run_plan(
    plan: Plan, jobs: int = 1, dask: str | None = None, progress: Progress | None = None, most: int | None = None
) -> Sweep:
    """Answer a plan in memory, at most so many rows.

    Raises:
        InputError: a comparison that makes no sense, or more rows than there may be.
        ImpossibleError: no point is possible.
    """
    tally = Tally(plan, progress)
    kept: list[Table] = []
    rows = 0
    for answer in tally.follow(run_chunks(plan, range(plan.chunks), jobs, dask)):
        kept.append(answer.table)
        rows += find_rows(answer.table)
        if plan.reduction.bounds_rows:
            kept = [reduce_table(join_tables(kept), plan.reduction, final=False)]
            rows = find_rows(kept[0])
        if most is not None and rows > most:
            raise InputError(f"more than {most:,} rows; --out FILE.csv or FILE.parquet streams them, --top keeps few")
    table = reduce_table(join_tables(kept), plan.reduction)
    tally.check()
    return Sweep({name: table[name] for name in plan.shown}, plan.points, dict(tally.left_out))


class Tally:
    """Counts points and reasons while answers pass by."""

    def __init__(self, plan: Plan, progress: Progress | None) -> None:
        self.plan, self.progress = plan, progress
        self.left_out: Counter[str] = Counter()
        self.wrong = 0
        self.done = 0

    def follow(self, answers: Iterator[ChunkAnswer]) -> Iterator[ChunkAnswer]:
        """Pass answers on, and count."""
        for answer in answers:
            self.add(answer)
            yield answer

    def add(self, answer: ChunkAnswer) -> None:
        """Count one answer."""
        self.left_out.update(answer.left_out)
        self.wrong += answer.wrong
        self.done += answer.points
        if self.progress is not None:
            self.progress(self.done, self.plan.points)

    def check(self) -> None:
        """Refuse a sweep of which nothing was possible.

        Raises:
            InputError: with the commonest reason, where all of it was wrong.
            ImpossibleError: the same, where it could not be.
        """
        if self.done and sum(self.left_out.values()) == self.done:
            reason, count = self.left_out.most_common(1)[0]
            hint = " (--assume-fits keeps those)" if reason == UNFIT else ""
            kind = InputError if self.wrong == self.done else ImpossibleError
            raise kind(f"none of {self.done:,} points is possible; of {count:,}: {reason}{hint}")


def describe_left_out(left_out: Mapping[str, int], points: int) -> list[str]:
    """Lines that say how many points were left out and why, the commonest reason first."""
    total = sum(left_out.values())
    if not total:
        return []
    ranked = Counter(left_out).most_common()
    lines = [f"{total:,} of {points:,} points are left out"]
    lines += [f"  {count:,}: {reason}" for reason, count in ranked[:MOST_REASONS]]
    if len(ranked) > MOST_REASONS:
        others = ranked[MOST_REASONS:]
        lines.append(f"  {sum(count for _, count in others):,}: {len(others)} other reasons")
    return lines
