"""The tidy table: what is written is what is read, every bad table is one line that says where, and rows are chosen."""

import math
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import ROW, predict

from calibration.fit.selection import Selection, select_rows
from simulator.errors import InputError
from simulator.explore.matching import match_measurement
from simulator.inputs.measurements import METRICS, STATISTICS, Measurement, read_table, write_table

COLUMNS = (
    "source,model,hardware,stack,tp,pp,weight_dtype,activation_dtype,kv_dtype,batch_size,prompt_tokens,output_tokens,"
    "metric,value,std,notes"
)
ADDED_COLUMNS = (
    "operator,clock_hz,power_w,energy_j,temperature_c,throttled,"
    "concurrency,request_rate,num_requests,length_low,length_high,statistic,identical_prompts,"
    "max_num_batched_tokens,max_num_seqs,batch_wait_passes"
)
LINE = "s,gptj-6b,a100,mega,1,1,fp16,fp16,fp16,1,512,32,e2e_s,0.693,,"
CELLS = dict(zip(COLUMNS.split(","), LINE.split(","), strict=True))

counts = st.integers(min_value=1, max_value=10**9)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))
positive = st.floats(min_value=1e-9, max_value=1e12)
measurements = st.builds(
    replace,
    st.just(ROW),
    source=texts,
    notes=texts,
    model=texts.filter(bool),
    tp=counts,
    batch_size=counts,
    prompt_tokens=counts,
    metric=st.sampled_from(METRICS),
    output_tokens=counts.filter(lambda count: count > 1),
    value=positive,
    std=st.none() | st.floats(min_value=0, max_value=1e300),
    concurrency=st.none() | counts,
    request_rate=st.none() | st.floats(1e-3, 1e3) | st.just(math.inf),
    num_requests=st.none() | counts,
    statistic=st.sampled_from(["", *STATISTICS]),
)


def write_lines(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_row(folder: Path, **changes: str) -> Path:
    """A table whose third line is the row with changes; the second is a good one."""
    return write_lines(folder, COLUMNS, LINE, ",".join((CELLS | changes).values()))


def find_error(path: Path) -> str:
    """The one line that reading a table fails with, its folder cut off."""
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(measurements, min_size=1, max_size=4))
def test_what_is_written_is_read_back_to_the_last_digit(tmp_path: Path, rows: list[Measurement]) -> None:
    write_table(tmp_path / "table.csv", rows)
    assert read_table(tmp_path / "table.csv") == rows


def test_a_table_has_one_column_a_field_in_the_documented_order(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [ROW])
    assert (tmp_path / "table.csv").read_text().splitlines()[0] == COLUMNS
    assert ",".join(field.name for field in fields(Measurement)) == f"{COLUMNS},{ADDED_COLUMNS}"
    measured = replace(ROW, model="", operator="linear m=1 n=8 k=8", metric="operator_s", clock_hz=1e9, power_w=70.0)
    full = replace(measured, energy_j=3.0, temperature_c=40.0, throttled="hardware slowdown")
    load = replace(ROW, concurrency=16, request_rate=2.5, num_requests=64, length_low=0.8, length_high=1.0)
    load = replace(load, max_num_batched_tokens=8192, max_num_seqs=16, batch_wait_passes=20)
    rows = [ROW, full, replace(load, statistic="p99"), replace(ROW, request_rate=math.inf, identical_prompts=True)]
    write_table(tmp_path / "table.csv", rows)
    assert (tmp_path / "table.csv").read_text().splitlines()[0] == f"{COLUMNS},{ADDED_COLUMNS}"
    assert read_table(tmp_path / "table.csv") == rows


def test_rows_of_several_requests_in_flight_are_rows_of_load() -> None:
    assert not ROW.is_load
    assert not replace(ROW, concurrency=1, num_requests=9).is_load
    assert replace(ROW, concurrency=2).is_load
    assert replace(ROW, request_rate=0.1).is_load
    assert not replace(ROW, batch_size=64).is_load


def test_a_count_may_be_written_as_spreadsheets_write_it(tmp_path: Path) -> None:
    (_, row) = read_table(write_row(tmp_path, prompt_tokens="512.0", tp="8.0"))
    assert (row.prompt_tokens, row.tp) == (512, 8)
    assert isinstance(row.prompt_tokens, int)


def test_an_empty_context_a_prefill_without_output_and_no_pipeline_are_read(tmp_path: Path) -> None:
    (_, row) = read_table(write_row(tmp_path, prompt_tokens="0", output_tokens="0", metric="ttft_s", pp=""))
    assert (row.prompt_tokens, row.output_tokens, row.pp) == (0, 0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concurrency": "0"}, "concurrency is '0'; it must be a whole number of at least 1"),
        ({"max_num_seqs": "0"}, "max_num_seqs is '0'; it must be a whole number of at least 1"),
        ({"batch_wait_passes": "1.5"}, "batch_wait_passes is '1.5'; it must be a whole number of at least 1"),
        ({"request_rate": "0"}, "request_rate is 0; it must be above zero"),
        ({"request_rate": "fast"}, "request_rate is 'fast'; it must be a plain number"),
        ({"statistic": "p95"}, "unknown statistic 'p95'; did you mean 'p99'?"),
        ({"length_low": "0.8"}, "length_low and length_high are shares of the tokens, both or neither, low first"),
        ({"length_low": "1", "length_high": "0.5"}, "length_low and length_high are shares"),
    ],
)
def test_a_bad_cell_of_load_is_named_with_its_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    cells = CELLS | changes
    path = write_lines(tmp_path, ",".join(cells), ",".join(cells.values()))
    assert find_error(path).startswith(f"table.csv:2: {message}")


def test_std_and_notes_may_be_left_out_and_the_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    kept = [name for name in reversed(CELLS) if name not in ("std", "notes")]
    (row,) = read_table(write_lines(tmp_path, ",".join(kept), ",".join(CELLS[name] for name in kept)))
    assert (row.model, row.value, row.std, row.notes) == ("gptj-6b", 0.693, None, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "e2e_ms"}, "unknown metric 'e2e_ms'; did you mean 'e2e_s'?"),
        (
            {"metric": "latency"},
            "unknown metric 'latency' (allowed: e2e_s, ttft_s, prefill_s, tpot_s, throughput_tok_s, operator_s)",
        ),
        ({"value": "12 ms"}, "value is '12 ms'; it must be a plain number in the unit of its metric"),
        ({"value": ""}, "value is ''; it must be a plain number"),
        ({"value": "0"}, "value is 0; it must be above zero"),
        ({"value": "-0.5"}, "value is -0.5; it must be above zero"),
        ({"value": "nan"}, "value is 'nan'; it must be finite"),
        ({"value": "1e999"}, "value is '1e999'; it must be finite"),
        ({"std": "inf"}, "std is 'inf'; it must be finite"),
        ({"std": "2 ms"}, "std is '2 ms'; it must be a plain number"),
        ({"prompt_tokens": "512.5"}, "prompt_tokens is '512.5'; it must be a whole number of at least 0"),
        ({"output_tokens": "-1"}, "output_tokens is '-1'; it must be a whole number of at least 0"),
        ({"tp": "0"}, "tp is '0'; it must be a whole number of at least 1"),
        ({"batch_size": "-1"}, "batch_size is '-1'; it must be a whole number of at least 1"),
        ({"tp": "two"}, "tp is 'two'; it must be a plain number"),
        ({"pp": "nan"}, "pp is 'nan'; it must be finite"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    assert find_error(write_row(tmp_path, **changes)).startswith(f"table.csv:3: {message}")


def test_a_row_that_was_cut_off_is_named_with_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path, COLUMNS, LINE, "", "s,gptj-6b,a100")
    assert find_error(path) == "table.csv:4: 3 cells where the header has 16; is the row cut off?"


def test_an_unknown_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    path = write_lines(tmp_path, COLUMNS.replace("prompt_tokens", "promt_tokens"), LINE)
    expected = "table.csv:1: unknown column 'promt_tokens'; did you mean 'prompt_tokens'? (allowed: source, model, "
    assert find_error(path).startswith(expected)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path, COLUMNS.replace("kv_dtype,", "").replace("tp,", ""))
    assert find_error(path) == "table.csv:1: missing column tp, kv_dtype"


def test_a_column_is_not_named_twice(tmp_path: Path) -> None:
    assert find_error(write_lines(tmp_path, COLUMNS + ",model")) == "table.csv:1: a column is named twice"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv: empty file; the first line must name the columns source, model,"),
        (COLUMNS, "table.csv: no rows below the header"),
        (COLUMNS + "\n\n", "table.csv: no rows below the header"),
    ],
)
def test_a_table_with_nothing_in_it_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert find_error(path).startswith(message)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert find_error(tmp_path / "none.csv").startswith("none.csv: cannot read the table")
    assert find_error(tmp_path / "binary.csv").startswith("binary.csv: cannot read the table")
    with pytest.raises(InputError, match="cannot read the table"):
        read_table(tmp_path)


def test_a_table_is_not_written_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        write_table(tmp_path / "none" / "table.csv", [ROW])
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_table_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(path, [ROW])
    before = path.read_bytes()

    def rows_that_break() -> Iterator[Measurement]:
        yield replace(ROW, value=1.0)
        raise InputError("the source of the rows is broken")

    with pytest.raises(InputError, match="is broken"):
        write_table(path, rows_that_break())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_prediction_finds_its_measurement_in_a_table(tmp_path: Path) -> None:
    others = [
        replace(ROW, weight_dtype="fp32"),
        replace(ROW, tp=2),
        replace(ROW, metric="ttft_s"),
        replace(ROW, batch_size=2),
        replace(ROW, pp=2),
    ]
    write_table(tmp_path / "table.csv", [*others, ROW])
    prediction = predict(
        "gptj-6b", "a100-sxm-80gb", stack="megatron-lm-2022", dtype="fp16", prompt_tokens=512, output_tokens=32
    )
    found = match_measurement(tmp_path / "table.csv", prediction)
    assert found == {
        "measured_e2e_s": 0.693,
        "error": prediction.e2e_s / 0.693 - 1,
        "measured_source": "a paper, 2023",
    }


def test_a_measurement_is_found_by_aliases_and_by_the_format_that_the_stack_stores_instead(tmp_path: Path) -> None:
    row = replace(
        ROW,
        model="meta-llama/Llama-2-7b-hf",
        stack="gpt-fast",
        activation_dtype="bf16",
        weight_dtype="int4",
        kv_dtype="bf16",
    )
    write_table(tmp_path / "table.csv", [row])
    prediction = predict(
        "llama-2-7b",
        "a100-sxm-80gb",
        stack="gpt-fast",
        dtype="bf16",
        weight_dtype="int4",
        prompt_tokens=512,
        output_tokens=32,
    )
    assert match_measurement(tmp_path / "table.csv", prediction)["measured_e2e_s"] == ROW.value


@pytest.mark.parametrize(
    "changes", [{"prompt_tokens": 511}, {"metric": "ttft_s"}, {"hardware": "h100-sxm-80gb"}, {"stack": "ideal"}]
)
def test_a_prediction_without_a_measurement_says_so(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_table(tmp_path / "table.csv", [replace(ROW, **changes)])
    prediction = predict("gptj-6b", "a100-sxm-80gb", stack="megatron-lm-2022", prompt_tokens=512, output_tokens=32)
    with pytest.raises(InputError, match=r"table\.csv: no e2e_s row"):
        match_measurement(tmp_path / "table.csv", prediction)


def test_only_a_single_request_has_a_measurement(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [ROW])
    several = predict("gptj-6b", "a100-sxm-80gb", stack="megatron-lm-2022", prompt_tokens=[1, 512], output_tokens=32)
    with pytest.raises(InputError, match="single request"):
        match_measurement(tmp_path / "table.csv", several)


@pytest.mark.parametrize(
    ("metric", "output_tokens", "phase"),
    [
        ("e2e_s", 0, "prefill"),
        ("e2e_s", 1, "prefill"),
        ("e2e_s", 2, "request"),
        ("ttft_s", 8, "prefill"),
        ("prefill_s", 8, "prefill"),
        ("tpot_s", 8, "decode"),
        ("throughput_tok_s", 8, "request"),
    ],
)
def test_a_row_knows_the_phase_it_measures(metric: str, output_tokens: int, phase: str) -> None:
    assert replace(ROW, metric=metric, output_tokens=output_tokens).phase == phase


TABLE = [
    replace(ROW, model=model, prompt_tokens=prompt, hardware=hardware)
    for model in ("gpt2", "gptj-6b", "bloom")
    for prompt in (1, 128)
    for hardware in ("a100-sxm-80gb", "h100-sxm-80gb")
]


def test_nothing_chosen_keeps_every_row_in_order() -> None:
    assert select_rows(TABLE, Selection()) == TABLE


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        (Selection(models=["gpt2", "bloom"]), 8),
        (Selection(exclude_models=["gpt2"]), 8),
        (Selection(models=["gpt2", "bloom"], exclude_models=["gpt2"]), 4),
        (Selection(hardware=["h100-sxm-80gb"], prompt_tokens=[128]), 3),
        (Selection(models=["gpt2"], hardware=["h100-sxm-80gb"], prompt_tokens=[1, 128], batch_size=[1, 2]), 2),
    ],
)
def test_chosen_rows_have_one_of_the_values_in_every_place(selection: Selection, rows: int) -> None:
    kept = select_rows(TABLE, selection)
    assert len(kept) == rows
    assert all(not selection.models or row.model in selection.models for row in kept)
    assert all(row.model not in selection.exclude_models for row in kept)
    assert all(not selection.hardware or row.hardware in selection.hardware for row in kept)
    assert all(not selection.prompt_tokens or row.prompt_tokens in selection.prompt_tokens for row in kept)


@pytest.mark.parametrize("place", ["models", "exclude_models"])
def test_a_model_that_the_table_does_not_have_is_named_with_the_nearest(place: str) -> None:
    chosen: dict[str, Any] = {place: ["gtp2"]}
    with pytest.raises(InputError) as caught:
        select_rows(TABLE, Selection(**chosen))
    expected = "the table has no model 'gtp2'; did you mean 'gpt2'? (allowed: bloom, gpt2, gptj-6b)"
    assert str(caught.value) == expected


def test_a_selection_that_leaves_nothing_says_what_the_table_has() -> None:
    with pytest.raises(InputError) as caught:
        select_rows(TABLE, Selection(prompt_tokens=[7]))
    assert str(caught.value) == (
        "no row of the table is left after selection; it has rows of a100-sxm-80gb / megatron-lm-2022, "
        "h100-sxm-80gb / megatron-lm-2022"
    )
