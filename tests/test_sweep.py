"""Sweeps: every row is what predict says, and what is kept is what was asked for."""

import csv
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import predict

import cli
from simulator.errors import ImpossibleError, InputError
from simulator.explore.sweep import external_sort, parquet_file, writers
from simulator.explore.sweep import plan as plan_module
from simulator.explore.sweep.evaluate import evaluate_chunk
from simulator.explore.sweep.filters import (
    Objective,
    Reduction,
    join_tables,
    parse_condition,
    parse_objectives,
    reduce_table,
)
from simulator.explore.sweep.plan import Plan, count_boxes, find_box
from simulator.explore.sweep.space import build_space, read_architecture_field, read_hardware_field
from simulator.explore.sweep.sweep import Sweep, make_plan, run_plan, sweep
from simulator.explore.sweep.writers import write_sweep
from simulator.inputs.library import load_hardware
from simulator.inputs.what_if import change_hardware
from simulator.metrics import pareto
from simulator.metrics.pareto import find_frontier
from simulator.metrics.registry import list_columns
from simulator.timing.software import choose_software

NUMBERS = [
    name for name in list_columns() if name not in ("prefill_bound", "decode_bound", "basis") and "usd" not in name
]
TEXTS = ("prefill_bound", "decode_bound", "basis")
UNITS = {"memory.bandwidth": "B/s", "memory.capacity": "B", "compute.clock": "Hz", "links.node.bandwidth": "B/s"}
UNITS |= {"compute.matrix_peak.bf16": "FLOP/s"}
GRID: dict[str, Any] = {
    "model": "llama-3-8b",
    "hardware": "a100-sxm-80gb",
    "prompt_tokens": "100-1900+300",
    "output_tokens": [1, 2, 50, 400],
    "batch_size": "1-64*2",
}


def make(**changes: Any) -> Plan:
    """A plan of ``GRID`` with changes."""
    asked = GRID | changes
    names: dict[str, Any] = {
        "model": None,
        "hardware": None,
        "stack": None,
        "calibration": None,
        "tp": 1,
        "pp": 1,
        "dp": 1,
        "ep": 1,
    }
    names |= {"micro_batches": 1, "dtype": "fp16", "weight_dtype": None, "kv_dtype": None}
    counts = {name: asked.pop(name) for name in ("prompt_tokens", "output_tokens", "batch_size")}
    named = {name: asked.pop(name, default) for name, default in names.items()}
    devices, architectures = (asked.pop(name, {}) for name in ("hardware_changes", "changes"))
    return make_plan(build_space(named, devices, architectures, counts), **asked)


def run(*arguments: str) -> Any:
    """The command's result, run in this process by its entry."""
    script = "import sys; sys.argv[0] = 'roofcast'; import cli; cli.main()"
    return subprocess.run([sys.executable, "-c", script, "sweep", *arguments], capture_output=True, text=True)


def invoke(*arguments: str) -> Any:
    """The command's result, in this process."""
    return CliRunner().invoke(cli.app, ["sweep", *arguments])


def ask_one(row: dict[str, Any], asked: dict[str, Any], fields: list[str]) -> Any:
    """What ``predict`` says of the point of one row; None where it cannot be."""
    values = {name: given for name, given in asked.items() if name not in ("changes", "hardware_changes")}
    values |= {name: row[name] for name in row if name in values}
    changes = {name: row[name] for name in asked.get("changes", {})}
    facts = {name: f"{row[name]!r} {UNITS[name]}" if name in UNITS else str(row[name]) for name in fields}
    hardware, calibration = values.pop("hardware"), values.pop("calibration", None)
    profile, stack = choose_software(load_hardware(hardware), values.pop("stack", None), calibration)
    device = change_hardware(hardware, facts) if facts else hardware
    try:
        return predict(hardware=device, calibration=profile or "none", stack=stack, changes=changes, **values)
    except InputError:
        return None


def check_rows(tolerance: float, **asked: Any) -> Sweep:
    """Compare every point of a sweep with ``predict``, the points that are left out included."""
    fields = list(asked.get("hardware_changes", {}))
    result = sweep(**asked, columns=list_columns())
    found = {}
    axes = {name: given for name, given in asked.items() if isinstance(given, list)}
    axes |= asked.get("hardware_changes", {}) | asked.get("changes", {})
    for row in result.to_dicts():
        assert set(axes) <= set(row)
        found[tuple(row[name] for name in axes)] = row
    assert len(found) == len(result)
    reasons: Counter[str] = Counter()
    for point in itertools.product(*(typed(name, values) for name, values in axes.items())):
        expected = ask_one(dict(zip(axes, point, strict=True)), asked, fields)
        answered = found.get(point)
        if expected is None or not expected.fits:
            assert answered is None
            reasons["impossible" if expected is None else "unfit"] += 1
            continue
        assert answered is not None
        compare(answered, expected, tolerance)
    assert sum(reasons.values()) == sum(result.left_out.values())
    assert reasons["unfit"] == result.left_out.get("does not fit in memory", 0)
    return result


def typed(name: str, values: list[Any]) -> tuple[Any, ...]:
    """The values of an axis as a row has them."""
    return read_hardware_field(name, values) if "." in name else tuple(values)


def compare(row: dict[str, Any], expected: Any, tolerance: float) -> None:
    """Compare one row with one prediction."""
    for name in TEXTS:
        assert row[name] == getattr(expected, name), name
    for name in NUMBERS:
        value = getattr(expected, name)
        if value is None or math.isnan(value):
            assert math.isnan(row[name]), name
        elif tolerance == 0:
            assert row[name] == value, name
        else:
            assert row[name] == pytest.approx(value, rel=tolerance), name


MIXED: dict[str, Any] = {
    "model": ["llama-2-7b", "mixtral-8x7b-v0.1", "openai-ada"],
    "hardware": ["a100-sxm-80gb", "h100-pcie-80gb"],
    "tp": [1, 2, 3],
    "dtype": ["fp16", "fp8"],
    "prompt_tokens": [16, 1000],
    "output_tokens": [1, 40],
    "batch_size": [1, 33],
}
FACTS = {
    "hardware_changes": {
        "memory.bandwidth": ["1 TB/s", "3.3 TB/s"],
        "compute.units": [60, 131],
        "links.node.max_devices": [2, 8],
        "links.node.bandwidth": ["100 GB/s", "900 GB/s"],
        "memory.capacity": ["20 GB", "200 GB"],
    },
    "changes": {"num_key_value_heads": [2, 5, 32], "num_hidden_layers": [4, 8], "intermediate_size": [8192, 11008]},
}


def test_every_row_of_models_devices_layouts_and_formats_is_what_predict_says_bit_for_bit_in_the_bound() -> None:
    result = check_rows(0.0, **MIXED, calibration="none")
    assert len(result) > 60
    assert result.left_out


@pytest.mark.parametrize("stack", ["ideal", "vllm-0.6"])
def test_with_fields_of_device_and_architecture_too(stack: str) -> None:
    asked = {"model": "llama-2-7b", "hardware": "a100-sxm-80gb", "tp": 2, "batch_size": 33} | FACTS
    result = check_rows(0.0, **asked, calibration="none", stack=stack)
    assert len(result) > 100
    assert "num_attention_heads 32 is not a multiple of num_key_value_heads 5" in result.left_out


def test_a_calibrated_row_is_what_predict_says() -> None:
    asked = {name: MIXED[name] for name in ("prompt_tokens", "output_tokens", "batch_size")}
    facts = {"memory.bandwidth": ["1 TB/s", "3.3 TB/s"], "compute.clock": ["1 GHz", "1.8 GHz"]}
    changes = {"num_key_value_heads": [4, 8], "hidden_size": [4096, 4100], "num_hidden_layers": [16, 32]}
    for model, hardware in (("llama-3-8b", "a100-sxm-40gb"), ("mixtral-8x7b-v0.1", "a100-sxm-80gb")):
        check_rows(1e-12, model=model, hardware=hardware, tp=[1, 2], **asked)
    result = check_rows(
        1e-12, model="llama-3-8b", hardware="a100-sxm-80gb", **asked, hardware_changes=facts, changes=changes
    )
    assert set(result.columns["basis"]) == {"transfer"}


def test_a_cpu_and_experts_with_fields() -> None:
    facts = {"memory.bandwidth": ["50 GB/s", "300 GB/s"], "compute.units": [8, 96]}
    check_rows(
        0.0, model="pythia-160m", hardware="amd-ryzen-9-7950x", dtype="fp32", batch_size=[1, 8], hardware_changes=facts
    )
    experts = {"num_experts": [4, 8], "num_experts_per_tok": [1, 2, 6], "moe_intermediate_size": [7168, 14336]}
    check_rows(0.0, model="mixtral-8x7b-v0.1", hardware="h200-sxm-141gb", calibration="none", tp=[2, 4], ep=[1, 4],
               changes=experts, batch_size=[1, 9])  # fmt: skip


def test_requests_past_a_learned_table_of_positions_are_left_out() -> None:
    result = check_rows(
        0.0, model="openai-ada", hardware="a100-sxm-80gb", prompt_tokens=[1000, 2048], output_tokens=[1, 2, 1049, 1050]
    )
    assert result.left_out == {"reaches past the positions of the model": 4}


def test_a_window_and_latent_attention_with_their_fields() -> None:
    check_rows(0.0, model="mistral-7b-v0.1", hardware="h100-sxm-80gb", calibration="none",
               prompt_tokens=[100, 5000], changes={"sliding_window": [64, 4096]})  # fmt: skip
    check_rows(0.0, model="deepseek-v2-lite", hardware="h100-sxm-80gb", calibration="none",
               changes={"kv_lora_rank": [256, 512], "v_head_dim": [64, 128]}, batch_size=[1, 3])  # fmt: skip


@pytest.mark.parametrize(
    ("stack", "model", "changes"),
    [
        ("llama.cpp-2025", "mixtral-8x7b-v0.1", {"num_experts": [8, 16], "num_experts_per_tok": [2, 4]}),
        ("transformers-eager", "llama-3-8b", {"num_key_value_heads": [2, 8], "head_dim": [64, 128]}),
        (
            "vllm-0.10",
            "deepseek-v2-lite",
            {"shared_expert_intermediate_size": [1408, 2816], "num_experts": [32, 64]},
        ),
        ("gpt-fast", "gpt-oss-20b", {"sliding_window": [128, 1000], "hidden_size": [2880, 2900]}),
    ],
)
def test_stacks_whose_kernels_depend_on_the_architecture(stack: str, model: str, changes: dict[str, Any]) -> None:
    check_rows(
        1e-12, model=model, hardware="h100-sxm-80gb", stack=stack, calibration="a100-sxm-80gb--megatron-lm-2022",
        dtype="bf16", weight_dtype=["bf16", "int4-g128"], prompt_tokens=[7, 3000], batch_size=[1, 40],
        changes=changes, hardware_changes={"compute.units": [100, 132]},
    )  # fmt: skip


def test_points_come_in_the_documented_order_and_assume_fits_keeps_all() -> None:
    asked: dict[str, Any] = {
        "model": ["llama-3-70b", "llama-3-8b"],
        "hardware": "a100-sxm-80gb",
        "tp": [2, 1],
        "batch_size": [3, 1],
    }
    facts = {"memory.bandwidth": ["2 TB/s", "1 TB/s"]}
    changes = {"num_key_value_heads": [8, 4]}
    result = sweep(**asked, prompt_tokens=[9, 5], hardware_changes=facts, changes=changes, assume_fits=True)
    axes = ["model", "tp", "memory.bandwidth", "num_key_value_heads", "prompt_tokens", "batch_size"]
    assert list(result.columns)[:6] == axes
    rows = list(zip(*(result.columns[name].tolist() for name in axes), strict=True))
    values = [asked["model"], [2, 1], [2e12, 1e12], [8, 4], [9, 5], [3, 1]]
    assert rows == list(itertools.product(*values))
    assert not result.columns["fits"].all()
    assert not result.left_out


def test_where_sort_and_top_equal_brute_force() -> None:
    rows = sweep(**GRID, columns=["decode_bound"]).to_dicts()
    found = sweep(
        **GRID, columns=["decode_bound"], where=["e2e_s<10", "batch_size>=4", "decode_bound!=network"],
        slo="ttft_s:0.5", sort="-output_tokens_per_s", top=17,
    ).to_dicts()  # fmt: skip
    kept = [row for row in rows if row["e2e_s"] < 10 and row["batch_size"] >= 4 and row["ttft_s"] <= 0.5]
    assert repr(found) == repr(sorted(kept, key=lambda row: -row["output_tokens_per_s"])[:17])
    ascending = sweep(**GRID, sort="tpot_s").columns["tpot_s"]
    numbers = ascending[~np.isnan(ascending)]
    assert len(numbers) < len(ascending) == len(rows)
    assert np.isnan(ascending[len(numbers) :]).all()
    assert (np.diff(numbers) >= 0).all()


def beats(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one <= other).all() and (one < other).any())


objective_values = st.sampled_from([-math.inf, 0.0, 1.0, 2.0, 3.0, math.inf, math.nan])


@given(st.sampled_from([2, 3]), st.lists(st.tuples(objective_values, objective_values, objective_values), max_size=30))
def test_the_frontier_equals_brute_force(objectives: int, points: list[tuple[float, ...]]) -> None:
    values = np.array(points, dtype=np.float64).reshape(-1, 3)[:, :objectives]
    places = [place for place in range(len(values)) if not np.isnan(values[place]).any()]
    expected = [place for place in places if not any(beats(values[other], values[place]) for other in places)]
    assert find_frontier(values).tolist() == expected


def test_the_frontier_of_many_points_is_that_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(3).integers(0, 40, (400, 4)).astype(np.float64)
    expected = [place for place in range(400) if not any(beats(other, points[place]) for other in points)]
    assert len(expected) > pareto.FEW_POINTS // 2
    for few, at_once in ((pareto.FEW_POINTS, pareto.POINTS_AT_ONCE), (1, 7), (400, 11)):
        monkeypatch.setattr(pareto, "FEW_POINTS", few)
        monkeypatch.setattr(pareto, "POINTS_AT_ONCE", at_once)
        assert find_frontier(points).tolist() == expected


def test_pareto_of_a_sweep_equals_brute_force() -> None:
    everything = sweep(**GRID)
    found = sweep(**GRID, pareto="ttft_s,max:output_tokens_per_s,cost_usd")
    columns = everything.columns
    values = np.stack([columns["ttft_s"], -columns["output_tokens_per_s"], columns["cost_usd"]], axis=1)
    expected = [place for place in range(len(values)) if not any(beats(other, values[place]) for other in values)]
    assert found.columns["e2e_s"].tolist() == columns["e2e_s"][expected].tolist()
    assert 1 < len(found) < len(everything)


tables = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.0, math.nan])), min_size=1, max_size=40)
reductions = st.builds(
    Reduction,
    st.sampled_from([(), (Objective("a", False), Objective("b", True))]),
    st.sampled_from([None, Objective("a", True), Objective("b", False)]),
    st.sampled_from([None, 1, 5]),
)


@given(tables, reductions, st.integers(1, 7))
def test_reducing_chunks_and_then_all_is_reducing_all(
    rows: list[tuple[int, float]], reduction: Reduction, size: int
) -> None:
    table = {"a": np.array([a for a, _ in rows]), "b": np.array([b for _, b in rows]), "i": np.arange(len(rows))}
    chunks = [{name: column[start : start + size] for name, column in table.items()} for start in range(0, 40, size)]
    parts = join_tables([reduce_table(chunk, reduction, final=False) for chunk in chunks])
    assert reduce_table(parts, reduction)["i"].tolist() == reduce_table(table, reduction)["i"].tolist()


@given(st.lists(st.integers(1, 6), min_size=5, max_size=5), st.integers(1, 50))
def test_boxes_cover_a_grid_once_in_its_order(shape: list[int], limit: int) -> None:
    whole = tuple((3, 3 + length) for length in shape)
    grid = np.arange(math.prod(shape)).reshape(shape)
    seen: list[int] = []
    for place in range(count_boxes(tuple(shape), limit)):
        box = find_box(whole, limit, place)
        part = grid[tuple(slice(first - 3, last - 3) for first, last in box)].reshape(-1)
        assert 0 < part.size <= limit
        seen += part.tolist()
    assert seen == list(range(grid.size))


def same(one: Sweep, other: Sweep) -> bool:
    """Whether two sweeps are equal in every bit."""
    assert list(one.columns) == list(other.columns)
    assert one.left_out == other.left_out
    return all(
        column.dtype == other.columns[name].dtype and column.tobytes() == other.columns[name].tobytes()
        if column.dtype != object
        else column.tolist() == other.columns[name].tolist()
        for name, column in one.columns.items()
    )


@pytest.mark.long
@settings(max_examples=12)
@given(st.integers(1, 400), st.sampled_from([{}, {"pareto": "ttft_s,cost_usd"}, {"sort": "-e2e_s", "top": 5}]))
def test_chunks_give_what_one_chunk_gives(size: int, kept: dict[str, Any]) -> None:
    asked = kept | {"tp": [1, 2], "changes": {"num_key_value_heads": [1, 5, 8]}, "columns": ["e2e_s_low"]}
    assert same(run_plan(make(chunk_points=size, **asked)), run_plan(make(**asked)))


def test_blocks_of_one_pass_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_plan(make(columns=list_columns()))
    monkeypatch.setattr(plan_module, "INTERVAL_BLOCK_POINTS", 7)
    assert same(run_plan(make(columns=list_columns())), whole)


def test_processes_give_what_one_process_gives() -> None:
    plan = make(chunk_points=20, where=["e2e_s<20"])
    assert plan.chunks > 5
    assert same(run_plan(plan, jobs=2), run_plan(plan))


def test_dask_gives_what_one_process_gives() -> None:
    distributed = pytest.importorskip("distributed")
    plan = make(chunk_points=40, where=["e2e_s<20"])
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        assert same(run_plan(plan, dask=address), run_plan(plan))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "kept", [{}, {"sort": "-ttft_s"}, {"sort": "cost_usd", "top": 9}, {"pareto": "ttft_s,cost_usd"}]
)
def test_an_interrupted_sweep_resumes_to_the_same_bytes(
    tmp_path: Path, suffix: str, kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make(chunk_points=20, **kept)
    whole, broken = tmp_path / f"whole{suffix}", tmp_path / f"broken{suffix}"
    written = write_sweep(plan, whole)
    save = writers.Parts.save
    saved: list[int] = []

    def save_three(parts: Any, chunk: int, answer: Any) -> None:
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(chunk)
        save(parts, chunk, answer)

    with monkeypatch.context() as patched:
        patched.setattr(writers.Parts, "save", save_three)
        with pytest.raises(KeyboardInterrupt):
            write_sweep(plan, broken)
    assert not broken.exists()
    with pytest.raises(InputError, match="unfinished sweep; --resume goes on"):
        write_sweep(plan, broken)
    with pytest.raises(InputError, match="another question"):
        write_sweep(make(chunk_points=20, **kept, where=["e2e_s<9"]), broken, resume=True)
    told: list[int] = []
    assert write_sweep(plan, broken, resume=True, progress=lambda done, _: told.append(done)) == written
    assert broken.read_bytes() == whole.read_bytes()
    assert told == sorted(told)
    assert told[-1] == plan.space.points
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([whole.name, broken.name])


@pytest.mark.parametrize(
    ("order", "kept"),
    [
        *(("-tpot_s", {}), ("-model", {}), ("fits", {})),
        *(("batch_size", {"where": "batch_size>8"}), ("e2e_s", {"where": "e2e_s<0"})),
    ],
)
def test_rows_sorted_on_disk_are_those_sorted_in_memory(
    order: str, kept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make(chunk_points=20, model=["llama-3-8b", "gptj-6b"], sort=order, **{k: [v] for k, v in kept.items()})
    expected = run_plan(plan)
    for rows in (7, 2**18):
        monkeypatch.setattr(external_sort, "ROWS_AT_ONCE", rows)
        write_sweep(plan, tmp_path / "sorted.csv")
        writers.write_csv(tmp_path / "expected.csv", [expected.columns])
        assert (tmp_path / "sorted.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_a_field_that_some_devices_lack_leaves_out_those_alone() -> None:
    asked: dict[str, Any] = {"model": "llama-3-8b", "dtype": "bf16", "batch_size": [1, 2]}
    facts = {"links.node.bandwidth": "100GB/s,200GB/s"}
    result = sweep(hardware=["xeon-platinum-8380", "h100-sxm-80gb"], hardware_changes=facts, **asked)
    assert set(result.columns["hardware"]) == {"h100-sxm-80gb"}
    (reason,) = result.left_out
    assert reason.startswith("xeon-platinum-8380: ")
    assert (len(result), result.left_out[reason]) == (4, 4)
    with pytest.raises(InputError, match=r"xeon-platinum-8380: .*links\.node"):
        sweep(hardware="xeon-platinum-8380", hardware_changes=facts, **asked)


def test_heads_that_share_keys_vary_alone_with_a_profile() -> None:
    check_rows(1e-12, model="llama-3-8b", hardware="a100-sxm-80gb", changes={"num_key_value_heads": [1, 2, 8, 32]})


def test_a_value_given_twice_counts_once() -> None:
    result = sweep(
        "llama-3-8b", "a100-sxm-80gb", batch_size="1,2,1", hardware_changes={"compute.units": "96..108+12,96"}
    )
    assert result.points == len(result) == 4


def test_a_grid_of_a_million_million_points_starts_at_once(tmp_path: Path) -> None:
    asked = {"prompt_tokens": "1-10000+1", "output_tokens": "1-10000+1", "batch_size": "1-10000+1"}
    plan = make(**asked, assume_fits=True)
    with pytest.raises(RuntimeError, match="stopped"):
        write_sweep(plan, tmp_path / "a.csv", progress=stop)
    assert not list(tmp_path.glob("*.csv"))
    with pytest.raises(InputError, match="more than the 1,000,000,000,000"):
        make(**asked, tp=[1, 2])


def stop(done: int, points: int) -> None:
    raise RuntimeError("stopped")


def test_csv_and_parquet_hold_the_rows(tmp_path: Path) -> None:
    arro3 = pytest.importorskip("arro3.io")
    plan = make(chunk_points=30, columns=["decode_bound"])
    rows = run_plan(plan).to_dicts()
    write_sweep(plan, tmp_path / "a.csv")
    write_sweep(plan, tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open() as file:
        read = list(csv.DictReader(file))
    for cells, row in zip(read, rows, strict=True):
        assert list(cells) == list(row)
        for cell, value in zip(cells.values(), row.values(), strict=True):
            if isinstance(value, float):
                assert float(cell) == value if value == value else cell == ""
            else:
                assert cell == str(value)
    as_null = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    assert parquet_file.holds_columns(tmp_path / "a.parquet", plan.shown)
    assert not parquet_file.holds_columns(tmp_path / "a.parquet", plan.shown[::-1])
    read_back = arro3.read_parquet(tmp_path / "a.parquet").read_all()
    columns = [[value.as_py() for value in column] for column in read_back.columns]
    assert [dict(zip(read_back.column_names, row, strict=True)) for row in zip(*columns, strict=True)] == as_null


def test_pandas_and_polars_take_it_as_it_is() -> None:
    columns = sweep(**GRID, columns=["decode_bound"]).columns
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns)
    assert list(frame) == list(columns)
    assert frame["e2e_s"].tolist() == columns["e2e_s"].tolist()
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(columns)["decode_bound"].to_list() == columns["decode_bound"].tolist()


def test_a_changed_device_has_no_price_but_a_given_one() -> None:
    asked: dict[str, Any] = {"model": "llama-3-8b", "hardware": "a100-sxm-80gb", "batch_size": 4}
    facts = {"memory.bandwidth": "1TB/s,2TB/s"}
    assert np.isnan(sweep(**asked, hardware_changes=facts).columns["cost_usd"]).all()
    result = sweep(**asked, hardware_changes=facts, tp=2, price="3.6 USD/h").columns
    assert result["cost_usd"] == pytest.approx(result["e2e_s"] * 2 * 1e-3 / 4, rel=1e-12)


def test_ranges_of_fields() -> None:
    assert read_hardware_field("memory.bandwidth", "1TB/s..2TB/s+0.25TB/s") == (1e12, 1.25e12, 1.5e12, 1.75e12, 2e12)
    assert read_hardware_field("memory.bandwidth", "1TB/s..8TB/s*2") == (1e12, 2e12, 4e12, 8e12)
    assert read_hardware_field("compute.clock", "100 MHz, 0.3GHz..0.5GHz+0.1GHz") == (1e8, 3e8, 4e8, 5e8)
    assert read_hardware_field("compute.units", "10..20+5,100") == (10, 15, 20, 100)
    assert read_hardware_field("links.node.direction", "each way,both ways together") == (
        "each way", "both ways together",
    )  # fmt: skip
    assert read_architecture_field("num_key_value_heads", "1..8*2") == (1, 2, 4, 8)
    assert read_architecture_field("num_key_value_heads", "1-8*2,null") == (1, 2, 4, 8, None)
    assert read_architecture_field("position_embedding", "rotary,alibi") == ("rotary", "alibi")


MODEL = ("-m", "llama-3-8b", "-H", "a100-sxm-80gb")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "tpott_s<1"), "unknown column 'tpott_s'; did you mean 'tpot_s'"),
        (("--where", "tpot_s"), "is not a comparison"),
        (("--where", "tpot_s<fast"), "holds numbers"),
        (("--where", "basis<1", "-b", "1-4*2"), "holds text"),
        (("--slo", "ttft_s"), "is not of the form"),
        (("--slo", "fits:1"), "unknown limit 'fits'"),
        (("--slo", "output_tokens_per_s:<9"), "is the wrong way round"),
        (("--pareto", "ttft_s"), "needs two"),
        (("--pareto", "ttft_s,least:e2e_s"), "is no column, min:COLUMN or"),
        (("--sort", "nothing"), "unknown column"),
        (("--columns", "nothing"), "unknown column"),
        (("-b", "8-1+1"), "must start at 1"),
        (("-b", ""), "is not a whole number"),
        (("--tp", "0"), "is not a whole number"),
        (("--set-hw", "memory.bandwidth=1..8*2"), "needs a unit"),
        (("--set-hw", "memory.bandwidth=1TB/s..8TB/s"), "needs a step"),
        (("--set-hw", "memory.bandwidth=8TB/s..1TB/s*2"), "must go up"),
        (("--set-hw", "memory.bandwidth=1TB/s..8TB/s*1"), "must be a number above 1"),
        (("--set-hw", "memory.bandwidth=1TB/s,,2TB/s"), "empty item"),
        (("--set-hw", "memory.bandwith=1TB/s"), "unknown key"),
        (("--set-hw", "compute.units=0"), "must be at least 1"),
        (("--set", "num_heads=1,2"), "unknown architecture field"),
        (("--set", "num_attention_heads=1.5,2"), "num_attention_heads"),
        (("--set", "num_attention_heads=1..9*1.5"), "not whole"),
        (("--dtype", "fp17"), "unknown dtype"),
        (("--set", "vocab_size=99999999999999999999,8"), "is not a whole number"),
        (("--set", "vocab_size=-99999999999999999999,8"), "past 2^63"),
        (("-b", "1,99999999999999999999"), "at most 2^53"),
        (("--dask", "nonsense"), "is no address of a scheduler"),
        (("--dask", "tcp://127.0.0.1:99999"), "is no address of a scheduler"),
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:1"), "name one"),
        (("--resume",), "--resume needs --out"),
        (("--out", "no/such/folder/a.csv"), "no folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: tuple[str, ...], message: str) -> None:
    result = invoke(*MODEL, *arguments)
    assert isinstance(result.exception, InputError)
    assert result.exception.exit_code == 2
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_the_command_fails_with_one_line_and_its_exit_code() -> None:
    bad = run(*MODEL, "--sort", "nothing")
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    impossible = run(*MODEL, "--tp", "3,5,7")
    assert (impossible.returncode, impossible.stderr.count("\n")) == (3, 1)
    assert "none of 3 points is possible" in impossible.stderr
    with pytest.raises(ImpossibleError, match="--assume-fits"):
        sweep("llama-3-70b", "a100-sxm-80gb", batch_size=[1, 2])


def test_an_empty_axis_is_refused() -> None:
    empty: tuple[dict[str, Any], ...] = ({"prompt_tokens": []}, {"model": []}, {"changes": {"hidden_size": []}})
    for asked in empty:
        with pytest.raises(InputError):
            sweep(**(GRID | asked))


def test_nothing_is_left_behind_where_nothing_is_possible(tmp_path: Path) -> None:
    with pytest.raises(ImpossibleError):
        write_sweep(make(tp=3), tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())


def test_the_command_answers_in_every_form(tmp_path: Path) -> None:
    arguments = (
        *MODEL,
        "-b",
        "1-4*2",
        "--tp",
        "1,3",
        "--set-hw",
        "memory.bandwidth=1TB/s..2TB/s*2",
        "--columns",
        "mfu",
    )
    document = json.loads(invoke(*arguments, "-o", "json").stdout)
    assert document["points"] == 12
    assert len(document["rows"]) == 6
    assert document["left_out"] == {"tp 3 does not divide num_attention_heads 32": 6}
    result = invoke(*arguments, "-o", "csv")
    assert result.stdout.startswith("tp,memory.bandwidth,batch_size,ttft_s")
    assert "6 of 12 points are left out" in result.stderr
    assert re.search(r"\n\nand \d+ more columns: --all, or -o csv\n", invoke(*arguments).stdout)
    table = invoke(*arguments, "--all").stdout
    assert table.startswith("All rows: devices 1; ")
    assert len(re.findall(r"^ +1 +[12] TB/s +[124] ", table, re.MULTILINE)) == 6 * table.count("─\n")
    out = tmp_path / "a.csv"
    assert invoke(*arguments, "--out", str(out)).stdout == ""
    assert out.read_text().rstrip() == result.stdout.rstrip()
    none = invoke(*arguments, "--where", "e2e_s<0", "--out", str(out), "--force")
    assert "no point meets the conditions" in none.stderr
    assert out.read_text().count("\n") == 1


def test_too_many_rows_for_a_table_are_refused() -> None:
    with pytest.raises(InputError, match="--out"):
        run_plan(make(chunk_points=10), most=15)


def test_heavy_modules_are_not_loaded() -> None:
    script = (
        "import sys, simulator, cli; from click.testing import CliRunner; "
        "r = CliRunner().invoke(cli.app, ['predict', '-m', 'gptj-6b', '-H', 'a100-sxm-80gb']); assert not r.exception; "
        "CliRunner().invoke(cli.app, ['--help']); "
        "print({'arro3', 'pandas', 'dask', 'distributed', 'scipy', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "set()", done.stderr


def test_conditions_and_objectives_are_read() -> None:
    assert parse_condition("tpot_s <= 5e-2", ["tpot_s"]).value == 0.05
    assert parse_condition("fits==true", ["fits"]).value == 1.0
    assert parse_condition("memory.bandwidth>1e12", ["memory.bandwidth"]).column == "memory.bandwidth"
    assert parse_objectives("a, max:b", ["a", "b"]) == (Objective("a", False), Objective("b", True))


def test_a_chunk_holds_what_its_plan_says() -> None:
    plan = make(chunk_points=20)
    assert sum(evaluate_chunk(plan, chunk).points for chunk in range(plan.chunks)) == plan.space.points


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"calibration": "none", "slo": "tpot_s_high:1"}, "needs a profile"),
        ({"hardware": "rtx-4090", "slo": "cost_usd:1"}, "no price ships for rtx-4090"),
    ],
)
def test_a_limit_on_what_no_point_has_is_refused(question: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        sweep(**{"model": "llama-3-8b", "hardware": "a100-sxm-80gb"} | question)


def test_each_model_of_a_sweep_is_run_by_a_stack_that_can_run_it() -> None:
    models = ["llama-3.1-8b", "gpt-oss-20b"]
    rows = sweep(models, "mi300x-192gb", columns=["ttft_s_low"]).to_dicts()
    for model, row in zip(models, rows, strict=True):
        alone = predict(model, "mi300x-192gb")
        assert (row["ttft_s"], row["ttft_s_low"]) == pytest.approx((alone.ttft_s, alone.ttft_s_low))
