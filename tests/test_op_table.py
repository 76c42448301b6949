"""Published kernel tables: every row as it was printed, no half-read table, and a fit that holds for the other rows."""

import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from cli import app
from simulator.errors import InputError
from simulator.inputs.measurements import Measurement
from simulator.inputs.operator_text import parse_operator

A100, TENSORRT = "a100-sxm-80gb", "tensorrt-llm-1.0"
H200, LATER_TENSORRT = "h200-sxm-141gb", "tensorrt-llm-1.3"
A100_ROWS = 46346
HEAD = "framework,version,device,op_name"
START = "TRTLLM,1.0.0,NVIDIA A100-SXM4-80GB"
ATTENTION = (
    f"{HEAD},batch_size,isl,num_heads,num_key_value_heads,head_dim,window_size,beam_width,attn_dtype,kv_cache_dtype,"
    "step,latency"
)
PRODUCTS = f"{HEAD},gemm_dtype,m,n,k,latency"
NCCL = f"{HEAD},kernel_source,nccl_dtype,num_gpus,message_size,latency"
EXPERTS = (
    f"{HEAD},moe_dtype,num_tokens,hidden_size,inter_size,topk,num_experts,moe_tp_size,moe_ep_size,distribution,latency"
)
CUSTOM = f"{HEAD},allreduce_dtype,num_gpus,message_size,latency"
PRODUCT = f"{START},gemm,bfloat16,16,4096,8192,0.05"


def write_lines(path: Path, *lines: str) -> Path:
    """Write a table, packed where its name says so."""
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def read(folder: Path) -> list[Measurement]:
    return read_rows(folder, "op-table", Told(hardware=A100, stack=TENSORRT))


def read_operator(folder: Path) -> tuple[str, dict[str, float]]:
    """Kind and sizes of the one operator of a folder."""
    (row,) = read(folder)
    kind, _ = parse_operator(row.operator)
    return kind, {name: float(size) for name, _, size in (cell.partition("=") for cell in row.operator.split()[1:])}


def find_error(folder: Path) -> str:
    """The one line that reading a folder fails with, its name cut off."""
    with pytest.raises(InputError) as caught:
        read(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


@pytest.mark.parametrize("name", ["gemm.csv", "gemm.csv.gz", "gemm_perf.csv.gz"])
def test_a_product_is_read_in_seconds_with_its_version(tmp_path: Path, name: str) -> None:
    write_lines(tmp_path / name, PRODUCTS, PRODUCT, f"{START},gemm,float16,16,4096,8192,3")
    first, second = read(tmp_path)
    assert parse_operator(first.operator) == ("linear", (16, 4096, 8192, 1))  # 64 MiB: one copy fills 40 MiB of cache
    assert (first.metric, first.hardware, first.stack, first.tp) == ("operator_s", A100, TENSORRT, 1)
    assert (first.value, second.value) == pytest.approx((0.05e-3, 3e-3), rel=1e-12)
    assert [row.activation_dtype for row in (first, second)] == ["bf16", "fp16"]
    assert "TRTLLM 1.0.0" in first.source


def test_a_prompt_attends_to_itself(tmp_path: Path) -> None:
    row = f"{START},context_attention,4,16384,96,2,128,0,1,bfloat16,bfloat16,0,176"
    write_lines(tmp_path / "context_attention.csv", ATTENTION, row)
    sizes = {"sequences": 4, "queries": 16384, "context": 16384, "heads": 96, "kv_heads": 2, "head_size": 128}
    assert read_operator(tmp_path) == ("attention", sizes | {"copies": 1})


def test_a_new_token_attends_to_the_steps_before_it_and_to_itself(tmp_path: Path) -> None:
    row = f"{START},generation_attention,32,1,64,8,128,0,1,bfloat16,bfloat16,1023,0.04"
    write_lines(tmp_path / "generation_attention.csv", ATTENTION, row)
    sizes = {"sequences": 32, "queries": 1, "context": 1024, "heads": 64, "kv_heads": 8, "head_size": 128}
    assert read_operator(tmp_path) == ("attention", sizes | {"copies": 1})
    assert read(tmp_path)[0].phase == "decode_attention"


@pytest.mark.parametrize(
    ("name", "lines", "direct"),
    [
        ("nccl.csv", (NCCL, f"{START},all_reduce,NCCL,half,8,512,0.02"), 0),
        ("custom_allreduce.csv", (CUSTOM, f"{START},all_reduce,bfloat16,8,512,0.01"), 1),
    ],
)
def test_a_message_is_read_in_bytes_and_whose_all_reduce_it_is(
    tmp_path: Path, name: str, lines: tuple[str, str], direct: int
) -> None:
    write_lines(tmp_path / name, *lines)
    assert read_operator(tmp_path) == ("all_reduce", {"bytes": 1024, "direct": direct})
    assert read(tmp_path)[0].tp == 8


def test_what_the_laws_do_not_know_is_counted_and_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "gemm.csv", PRODUCTS, PRODUCT, *(f"{START},gemm,{t},1,8,8,1" for t in ("fp6", "fp6")))
    start = f"{START},generation_attention,32,1,64,8,128"
    write_lines(
        tmp_path / "generation_attention.csv.gz",
        ATTENTION,
        f"{start},0,1,bfloat16,bfloat16,3,0.04",
        f"{start},0,1,bfloat16,int8,3,0.04",
    )
    write_lines(
        tmp_path / "nccl.csv",
        NCCL,
        f"{START},all_gather,NCCL,half,8,512,0.02",
        f"{START},alltoall,NCCL,half,8,512,0.02",
        f"{START},all_reduce,NCCL,int8,8,512,0.02",
        f"{START},all_reduce,NCCL,half,8,512,0.02",
    )
    block = f"{START},moe,bfloat16,8,4096,1536,8,128,1,1"
    write_lines(tmp_path / "moe.csv", EXPERTS, f"{block},balanced,0.1", f"{block},by_hash,0.1")
    notes: list[str] = []
    rows = read_rows(tmp_path, "op-table", Told(hardware=A100, stack=TENSORRT), notes.append)
    assert [row.phase for row in rows] == ["linear", "decode_attention", "experts", "all_reduce"]
    assert notes == [
        "2 runs are left out: gemm: format fp6",
        "1 run is left out: generation_attention: attention in bfloat16 over a cache in int8",
        "1 run is left out: moe: experts drawn by by_hash",
        "1 run is left out: nccl: all_gather",
        "1 run is left out: nccl: alltoall",
        "1 run is left out: nccl: format int8",
    ]


@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("fp8", ("fp8", "fp8")),
        ("fp8_block", ("fp8-block", "fp8-block")),
        ("nvfp4", ("nvfp4", "nvfp4")),
        ("sq", ("int8", "int8")),
        ("int8_wo", ("bf16", "w8a16")),
        ("int4_wo", ("bf16", "int4-g128")),
    ],
)
def test_formats_of_inputs_and_weights_are_told_apart(tmp_path: Path, name: str, formats: tuple[str, str]) -> None:
    write_lines(tmp_path / "gemm.csv", PRODUCTS, f"{START},gemm,{name},16,4096,8192,0.05")
    (row,) = read(tmp_path)
    assert (row.activation_dtype, row.weight_dtype) == formats


@pytest.mark.parametrize(
    ("shape", "drawn", "sizes"),
    [
        # 8 of 128 experts, the matrices shared by 2 and the experts by 4 devices
        ("8,4096,1536,8,128,2,4", "balanced", (3, 8, 4096, 768, 8, 128, 32, 0, 1)),
        # 22 of 512, as of Nemotron 3, have no gate
        ("8,1024,2688,22,512,1,1", "power_law_1.2", (2, 8, 1024, 2688, 22, 512, 512, 1.2, 1)),
    ],
)
def test_a_block_of_experts_is_that_of_one_of_the_devices_that_share_it(
    tmp_path: Path, shape: str, drawn: str, sizes: tuple[float, ...]
) -> None:
    write_lines(tmp_path / "moe.csv", EXPERTS, f"{START},moe,w4a16_mxfp4,{shape},{drawn},0.1")
    (row,) = read(tmp_path)
    assert parse_operator(row.operator) == ("experts", sizes)
    assert (row.activation_dtype, row.weight_dtype) == ("bf16", "mxfp4")


def test_attention_in_a_window_and_over_a_cache_of_its_own_format(tmp_path: Path) -> None:
    start = f"{START},generation_attention,32,1,64,8,128,128,1,bfloat16,fp8"
    write_lines(tmp_path / "generation_attention.csv", ATTENTION, f"{start},1023,0.04", f"{start},99,0.04")
    windowed, whole = read(tmp_path)
    assert (windowed.activation_dtype, windowed.kv_dtype) == ("bf16", "fp8")
    assert "window=128" in windowed.operator
    assert "window" not in whole.operator  # which 100 tokens do not fill


def test_a_product_has_as_many_copies_as_it_takes_to_fill_the_cache(tmp_path: Path) -> None:
    """40 MiB of A100: two of 32 MiB in bf16, three of 16 MiB in fp8, and never more than five."""
    products = ("bfloat16,1,4096,4096", "fp8,1,4096,4096", "bfloat16,1,64,64")
    write_lines(tmp_path / "gemm.csv", PRODUCTS, *(f"{START},gemm,{one},0.05" for one in products))
    assert [parse_operator(row.operator)[1][-1] for row in read(tmp_path)] == [2, 3, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{START},gemm,bfloat16,16,40", "gemm.csv:3: 7 cells where the header has 9; is the row cut off?"),
        (f"{PRODUCT},1", "gemm.csv:3: 10 cells where the header has 9"),
        (f"{START},gemm,bfloat16,16,wide,8192,0.05", "gemm.csv:3: not a number: "),
        (f"{START},gemm,bfloat16,16,4096,8192,", "gemm.csv:3: latency is ''; it must be a plain number"),
        (f"{START},gemm,bfloat16,16,4096,8192,fast", "gemm.csv:3: latency is 'fast'; it must be a plain number"),
        (f"{START},gemm,bfloat16,16,4096,8192,0", "gemm.csv:3: latency is 0; it must be above zero"),
        (f"{START},gemm,bfloat16,16,4096,8192,-1", "gemm.csv:3: latency is -1; it must be above zero"),
        (f"{START},gemm,bfloat16,16,4096,8192,nan", "gemm.csv:3: latency is 'nan'; it must be finite"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    write_lines(tmp_path / "gemm.csv", PRODUCTS, PRODUCT, line)
    assert find_error(tmp_path).startswith(message)


@pytest.mark.parametrize("name", ["gemm_dtype", "n", "latency", "version"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    keep = [place for place, column in enumerate(PRODUCTS.split(",")) if column != name]
    cut = [",".join(line.split(",")[place] for place in keep) for line in (PRODUCTS, PRODUCT)]
    write_lines(tmp_path / "gemm.csv.gz", *cut)
    assert find_error(tmp_path) == f"gemm.csv.gz:1: missing column {name}"


def test_a_table_that_cannot_be_unpacked_is_one_line(tmp_path: Path) -> None:
    packed = write_lines(tmp_path / "gemm.csv.gz", PRODUCTS, *[PRODUCT] * 100).read_bytes()
    middle = len(packed) // 2
    for broken in (packed[:middle], b"not packed", packed[:12] + b"\xff\xff" + packed[14:], gzip.compress(b"\xff")):
        (tmp_path / "gemm.csv.gz").write_bytes(broken)
        assert find_error(tmp_path).startswith("gemm.csv.gz: cannot read the table: ")


def test_a_folder_without_a_row_to_use_says_what_it_looked_for(tmp_path: Path) -> None:
    names = "gemm, context_attention, generation_attention, moe, nccl, custom_allreduce"
    assert find_error(tmp_path) == f"{tmp_path}: none of the tables {names} (.csv or .csv.gz)"
    write_lines(tmp_path / "gemm.csv", PRODUCTS, f"{START},gemm,fp6,16,4096,8192,0.05")
    assert find_error(tmp_path) == f"{tmp_path}: nothing to read: 1 run is left out: gemm: format fp6"
    assert find_error(tmp_path / "gemm.csv") == f"{tmp_path / 'gemm.csv'}: not a file of op-table"
    assert find_error(tmp_path / "none") == f"{tmp_path / 'none'}: cannot be read: No such file or directory"


def count_rows(folder: Path) -> Counter[str]:
    """Rows of each table with, of the collectives, the all-reduces of half precision, with no help of the reader."""
    counted: Counter[str] = Counter()
    for kind in ("gemm", "context_attention", "generation_attention", "moe", "nccl", "custom_allreduce"):
        with gzip.open(folder / f"{kind}.csv.gz", "rt", newline="") as file:
            for cells in csv.DictReader(file):
                counted[kind] += cells.get("nccl_dtype") in (None, "half") and cells["op_name"] in ("all_reduce", kind)
    return counted


def invoke_json(*arguments: str) -> dict[str, Any]:
    """Run a command that must succeed inside this process; return the document it prints."""
    result = CliRunner().invoke(app, [*arguments, "-o", "json"])
    if result.exception is not None:
        raise result.exception
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.fixture(scope="module")
def tables(data_folder: Path) -> Path:
    folder = data_folder / "silicon"
    if not folder.is_dir():
        pytest.skip(f"no kernel tables in {folder}")
    return folder


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fit") / "a100.yaml"


@pytest.fixture(scope="module")
def fit(tables: Path, profile: Path) -> dict[str, Any]:
    given = ["-H", A100, "-s", TENSORRT, "--reader", "op-table", "--operators", "200", "--out", str(profile)]
    return invoke_json("calibrate", "fit", str(tables / A100), *given)


class TestTablesOfTwoDevices:
    """The published tables: 200 rows of each kind of the A100's are fitted as the command does, the others predicted.

    Bounds are those the project set itself; the profile of the A100 is also judged on the H200, by its data sheet.
    """

    def test_are_read_row_by_row(self, tables: Path) -> None:
        found = read_rows(tables / A100, None, Told(hardware=A100, stack=TENSORRT))
        counted = count_rows(tables / A100)
        assert len(found) == sum(counted.values()) == A100_ROWS
        collectives = counted.pop("nccl") + counted.pop("custom_allreduce")
        products, experts = counted.pop("gemm"), counted.pop("moe")
        expected = {"linear": products, "experts": experts, "attention": sum(counted.values())}
        read_kinds = Counter(parse_operator(row.operator)[0] for row in found)
        assert read_kinds == expected | {"all_reduce": collectives}

    @pytest.mark.parametrize(
        ("kind", "bound"),
        [
            ("linear", 0.13),
            ("prefill_attention", 0.12),
            ("decode_attention", 0.16),
            ("experts", 0.2),
            ("all_reduce", 0.10),
        ],
    )
    def test_of_the_a100_are_predicted_from_200_rows_a_kind(self, fit: dict[str, Any], kind: str, bound: float) -> None:
        (held_out,) = fit["not_fitted"]
        (errors,) = [group for group in held_out["by_phase"] if group["phase"] == kind]
        assert errors["rows"] >= 60
        assert errors["mape"] <= bound

    def test_are_fitted_to_at_most_200_rows_a_kind_and_format_and_lose_none(self, fit: dict[str, Any]) -> None:
        (held_out,) = fit["not_fitted"]
        assert max(group["rows"] for group in fit["residuals"]) == 4 * 200  # products, of four formats
        left_out = sum(int(note.split(" of ")[0].replace(",", "")) for note in fit["notes"] if "left out" in note)
        assert fit["rows"] + held_out["rows"] + left_out == A100_ROWS

    @pytest.mark.long
    def test_of_the_h200_have_their_products_predicted_by_its_data_sheet(
        self, fit: dict[str, Any], tables: Path, profile: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "gemm.csv.gz").symlink_to(tables / H200 / "gemm.csv.gz")
        given = ["-c", str(profile), "--reader", "op-table", "-H", H200, "-s", LATER_TENSORRT, "--transfer"]
        document = invoke_json("validate", str(tmp_path), *given)
        assert document["rows"] > 100_000
        assert document["mape"] <= 0.2  # fp8 among them, which the A100 has not
