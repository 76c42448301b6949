"""Rows that are fitted: none that throttling or the data sheet rules out, chosen without a look at their errors."""

from collections import Counter
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ROW, make_operator_row

from calibration.fit.design import screen_rows, split_rows
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import HELD_OUT, Measurement

A100, CPU = load_hardware("a100-sxm-80gb"), load_hardware("amd-ryzen-9-7950x")
TENSORRT = load_stack("tensorrt-llm-1.0")
# 2 x 4096^3 FLOPs at 312 TFLOP/s are 0.44 ms; 2 x 16 MiB cross 2039 GB/s in 16 us.
PRODUCT = "linear m=4096 n=4096 k=4096"
COPY = "elementwise bytes=33554432 launches=1"


def make_row(text: str = PRODUCT, value: float = 0.5e-3, **changes: Any) -> Measurement:
    return replace(make_operator_row(text, A100.id, TENSORRT.id, value=value), **changes)


def make_table(**counts: int) -> list[Measurement]:
    """So many operators of each kind, in turn, and requests."""
    texts = {
        "linear": "linear m={} n=64 k=64",
        "elementwise": "elementwise bytes={} launches=1",
        "host": "host launches={}",
    }
    rows = [make_row(texts[kind].format(place), 1.0) for kind, count in counts.items() for place in range(1, count + 1)]
    rows[1:1] = [replace(ROW, prompt_tokens=tokens) for tokens in (1, 2, 3)]
    return rows


def test_throttled_rows_are_left_out_and_counted() -> None:
    slow = make_row(throttled="hardware slowdown")
    request = replace(ROW, stack=TENSORRT.id)
    screened = screen_rows([make_row(), slow, request, slow], A100, TENSORRT)
    assert screened.rows == [make_row(), request]
    assert screened.notes == ["2 of 4 rows were throttled and are left out"]


def test_rows_at_the_limit_of_the_power_are_kept_and_counted() -> None:
    """A card that lives at its limit is as fast as it is there."""
    capped, hot = make_row(throttled="software power cap"), make_row(throttled="software power cap, hardware slowdown")
    screened = screen_rows([make_row(), capped, hot], A100, TENSORRT)
    assert screened.rows == [make_row(), capped]
    assert screened.notes == [
        "1 of 3 rows were throttled and are left out",
        "1 of 3 rows ran at the limit of the power or of the board and are kept",
    ]


def test_a_clock_above_the_data_sheets_allows_as_much_more() -> None:
    fast = make_row(value=0.41e-3)
    boosted = replace(fast, clock_hz=1.2 * A100.compute.clock)
    assert screen_rows([make_row(), fast, boosted], A100, TENSORRT).rows == [make_row(), boosted]
    limit = replace(A100, compute=replace(A100.compute, clock_limit=1.2 * A100.compute.clock))
    risen_late = replace(fast, clock_hz=0.9 * A100.compute.clock)
    assert screen_rows([fast, risen_late], limit, TENSORRT).rows == [fast, risen_late]


def test_operators_that_are_faster_than_the_data_sheet_allows_are_left_out_and_counted_by_kind() -> None:
    possible = [make_row(value=0.45e-3), make_row(COPY, 17e-6)]
    impossible = [make_row(value=0.43e-3), make_row(COPY, 16e-6), make_row(COPY, 8e-6)]
    screened = screen_rows([*possible, *impossible], A100, TENSORRT)
    assert screened.rows == possible
    assert screened.notes == [
        "2 of 3 rows of elementwise are faster than the data sheet allows and are left out",
        "1 of 2 rows of linear are faster than the data sheet allows and are left out",
    ]


def test_on_a_cpu_the_caches_may_hold_what_the_memory_could_not_deliver() -> None:
    # 2 x 16 MiB cross the memory of this CPU, 83.2 GB/s, in 0.4 ms.
    rows = [make_row(COPY, 1e-4, hardware=CPU.id, activation_dtype="fp32", weight_dtype="fp32", kv_dtype="fp32")]
    assert screen_rows(rows, CPU, TENSORRT).rows == rows
    assert screen_rows(rows, CPU, TENSORRT).notes == []
    with pytest.raises(InputError):
        screen_rows(rows, replace(CPU, kind="gpu"), TENSORRT)


def test_samples_that_differ_by_three_times_are_reported_and_all_kept() -> None:
    rows = [make_row(value=value) for value in (0.5e-3, 0.6e-3, 1.6e-3)]
    steady = [make_row(COPY, value) for value in (20e-6, 59e-6)]
    of_two_devices = [make_row("all_reduce bytes=1024 direct=0", time, tp=tp) for tp, time in ((2, 1e-5), (8, 1e-4))]
    screened = screen_rows([*rows, *steady, *of_two_devices], A100, TENSORRT)
    assert screened.rows == [*rows, *steady, *of_two_devices]
    (note,) = screened.notes
    assert note.startswith("samples of 1 of 4 things differ by 3 times or more")
    assert f"{PRODUCT}: 3.2 times" in note


@pytest.mark.parametrize("changes", [{"throttled": "hardware thermal slowdown"}, {"value": 1e-6}])
def test_a_table_of_which_nothing_is_left_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^every row was throttled or is faster than the data sheet allows$"):
        screen_rows([make_row(**changes)] * 3, A100, TENSORRT)


kind_counts = st.fixed_dictionaries({kind: st.integers(1, 30) for kind in ("linear", "elementwise", "host")})


@given(kind_counts, st.integers(1, 40), st.integers(0, 9))
def test_of_each_kind_at_most_so_many_and_at_most_half_are_fitted(counts: dict[str, int], most: int, seed: int) -> None:
    rows = make_table(**counts)
    fitted, others = split_rows(rows, most, seed)
    assert [row for row in rows if row in fitted] == fitted
    assert [row for row in rows if row not in fitted] == others
    kinds = Counter(row.phase for row in fitted if row.operator)
    assert kinds == {kind: min(most, ceil(count / 2)) for kind, count in counts.items()}
    assert [row for row in fitted if not row.operator] == [row for row in rows if not row.operator]


@given(kind_counts, st.integers(1, 40), st.integers(0, 9))
def test_the_choice_depends_on_the_seed_and_on_no_measured_time(counts: dict[str, int], most: int, seed: int) -> None:
    rows = make_table(**counts)
    fitted, others = split_rows(rows, most, seed)
    slower = [replace(row, value=(place + 2) * row.value) for place, row in enumerate(rows)]
    assert [row.operator for row in split_rows(slower, most, seed)[0]] == [row.operator for row in fitted]
    assert split_rows(rows, most, seed) == (fitted, others)


def test_another_seed_is_another_choice() -> None:
    rows = make_table(linear=200)
    choices = {tuple(row.operator for row in split_rows(rows, 100, seed)[0]) for seed in range(20)}
    assert len(choices) == 20


def test_rows_that_are_marked_as_held_out_are_the_only_ones_that_are_not_fitted() -> None:
    rows = make_table(linear=9, host=4)
    marked = [
        replace(row, notes=f"{HELD_OUT}: a decoder" if place % 4 == 1 else "kept") for place, row in enumerate(rows)
    ]
    fitted, others = split_rows(marked, 1, 0)
    assert fitted == [row for row in marked if row.notes == "kept"]
    assert others == [row for row in marked if row.notes != "kept"]
    assert any(not row.operator for row in others)
