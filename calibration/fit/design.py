"""Which rows of a table are fitted: what must be left out, and a design that does not look at the errors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from calibration.fit.cases import build_cases, find_impossible, predict_rows
from calibration.fit.least_squares import find_sigma
from calibration.fit.load_design import choose_blocks
from simulator.errors import InputError
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import HELD_OUT, Measurement
from simulator.inputs.stack import Stack
from simulator.timing.device import find_traits
from simulator.timing.factors import find_log_slopes, perturb_factors
from simulator.timing.priors import as_factors, choose_priors

CONFLICT = 3.0  # ratio of two measurements of one thing from which they are reported
NAMED = 3  # conflicts that are named


@dataclass(frozen=True)
class Screened:
    """Rows that may be used, and a line on each group that may not or that is odd."""

    rows: list[Measurement]
    notes: list[str]


def screen_rows(rows: list[Measurement], hardware: Hardware | None, stack: Stack | None) -> Screened:
    """Leave out rows that heat or supply slowed down, and operators faster than the data sheet allows.

    Rows at the limit of the power are kept: that is how fast such work is on the device.

    Raises:
        InputError: nothing is left.
    """
    steady = [row for row in rows if not row.is_slowed]
    linked = [row for row in steady if not row.operator or row.tp == 1 or has_link(row, hardware)]
    notes = []
    if len(linked) < len(steady):
        notes.append(f"{len(steady) - len(linked)} rows of collectives are left out: the device has no link")
    if len(steady) < len(rows):
        notes.append(f"{len(rows) - len(steady):,} of {len(rows):,} rows were throttled and are left out")
    limited = sum(1 for row in steady if row.throttled)
    if limited:
        notes.append(f"{limited:,} of {len(rows):,} rows ran at the limit of the power or of the board and are kept")
    steady = linked
    impossible = set(find_impossible(steady, hardware, stack))
    kept = [row for place, row in enumerate(steady) if place not in impossible]
    if not kept:
        raise InputError("every row was throttled or is faster than the data sheet allows")
    kinds = Counter(steady[place].phase for place in impossible)
    for kind, count in sorted(kinds.items()):
        total = sum(row.phase == kind for row in steady)
        notes.append(f"{count:,} of {total:,} rows of {kind} are faster than the data sheet allows and are left out")
    return Screened(kept, notes + describe_conflicts(kept))


def has_link(row: Measurement, hardware: Hardware | None) -> bool:
    """Whether the device of a row is described with a link between several of it."""
    return (hardware or load_hardware(row.hardware)).most_in_node != 1


def describe_conflicts(rows: list[Measurement]) -> list[str]:
    """A line where samples of the same thing differ too much to be noise; the robust fit uses them all the same."""
    samples: dict[tuple[object, ...], list[float]] = {}
    for row in rows:
        load = (row.concurrency, row.request_rate, row.length_low, row.length_high, row.statistic)
        told = (row.max_num_batched_tokens, row.max_num_seqs, row.batch_wait_passes)
        counts = (row.batch_size, row.prompt_tokens, row.output_tokens, row.metric, *load, *told)
        layout = (row.hardware, row.stack, row.tp, row.pp, row.activation_dtype, row.weight_dtype, row.kv_dtype)
        samples.setdefault((row.operator or row.model, row.notes, *counts, *layout), []).append(row.value)
    apart = [(str(key[0]), max(values) / min(values)) for key, values in samples.items()]
    odd = [(name, ratio) for name, ratio in apart if ratio >= CONFLICT]
    if not odd:
        return []
    named = "; ".join(f"{name}: {ratio:.1f} times" for name, ratio in odd[:NAMED])
    return [f"samples of {len(odd)} of {len(samples):,} things differ by {CONFLICT:g} times or more ({named})"]


def choose_requests(rows: list[Measurement], most: int, hardware: Hardware, stack: Stack) -> list[Measurement]:
    """Choose the requests whose measurement would tell the most about all of them, without a look at any value.

    One after the other, the one that most lowers the summed variance of what the laws predict for all rows, from their
    slopes at the priors (``load_design``). A run of load counts once, with all that it measured.

    Raises:
        InputError: rows the predictor cannot answer.
    """
    runs = group_runs(rows)
    if most >= len(runs):
        return rows
    priors = choose_priors(find_traits(hardware), stack)
    typical = as_factors(priors)
    values = predict_rows(build_cases(rows, "none", hardware, stack), perturb_factors(typical, list(priors), 1))
    slopes = find_log_slopes(values)
    covariance = np.diag([prior.spread**2 for prior in priors.values()])
    # Runs that measured less than others are filled up with a row that says nothing.
    blocks = np.array([run + [len(rows)] * (max(map(len, runs)) - len(run)) for run in runs])
    told = np.column_stack([slopes, np.zeros(len(slopes))])
    noise = np.append(find_sigma(rows, hardware) ** 2, 1.0)
    chosen, _ = choose_blocks(told, covariance, noise, blocks, slopes, most)
    return [rows[place] for place in sorted(place for run in chosen for place in runs[run])]


def group_runs(rows: list[Measurement]) -> list[list[int]]:
    """Places of rows that one measurement gave: those of a run of load together, each other row by itself."""
    runs: dict[Measurement | int, list[int]] = {}
    for place, row in enumerate(rows):
        alike = replace(row, metric="", value=1.0, std=None, statistic="")
        runs.setdefault(alike if row.is_load else place, []).append(place)
    return list(runs.values())


def spare_requests(
    rows: list[Measurement], most: int, hardware: Hardware, stack: Stack
) -> tuple[list[Measurement], list[Measurement]]:
    """Keep the ``most`` requests that tell the most, with all operators; the other requests come second.

    Raises:
        InputError: rows the predictor cannot answer.
    """
    kept = choose_requests([row for row in rows if not row.operator], most, hardware, stack)
    spared = [row for row in rows if not row.operator and row not in kept]
    return [row for row in rows if row not in spared], spared


def split_rows(rows: list[Measurement], operators: int, seed: int) -> tuple[list[Measurement], list[Measurement]]:
    """Choose the rows to fit, and the others to check the fit on.

    Where rows are marked as held out, these are the others. Else all requests are fitted, and of each kind of operator
    and format at most ``operators`` and at most half, rounded up, at random: published tables are grids with
    logarithmic steps, which that covers.
    """
    marked = [row for row in rows if row.notes.startswith(HELD_OUT)]
    if marked:
        return [row for row in rows if not row.notes.startswith(HELD_OUT)], marked
    rng = np.random.default_rng(seed)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        key = (row.phase, row.activation_dtype, row.weight_dtype, row.kv_dtype) if row.operator else ()
        places.setdefault(key, []).append(place)
    chosen = set(places.pop((), []))
    for kind in sorted(places):
        order = rng.permutation(places[kind])
        chosen.update(order[: min(operators, (len(order) + 1) // 2)].tolist())
    fitted = [row for place, row in enumerate(rows) if place in chosen]
    return fitted, [row for place, row in enumerate(rows) if place not in chosen]
