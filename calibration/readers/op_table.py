"""Kernel tables of NVIDIA's AIConfigurator (``systems/data``, Apache-2.0) -> tidy rows.

A folder holds ``gemm``, ``context_attention``, ``generation_attention``, ``nccl`` and ``custom_allreduce``, each as
``.csv``, ``.csv.gz`` or ``_perf.txt``, with latencies in milliseconds. Only what the laws know is read: half-precision
operands, no sliding window, all-reduces.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from calibration.readers.content import Content
from calibration.readers.runs import Told
from calibration.readers.settle import need_place
from simulator.csvfile import Row, split_csv
from simulator.errors import InputError
from simulator.inputs.measurements import OPERATOR_METRIC, Measurement, parse_positive
from simulator.inputs.operator_text import format_operator, parse_operator

MILLISECOND = 1e-3
ENDINGS = tuple(part + kind for part in ("", "_perf", "_power") for kind in (".csv", ".csv.gz", ".txt"))
SOURCE = "AIConfigurator kernel table"
DTYPES = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
BYTES = 2  # of an element of these types


def is_op_folder(folder: Path) -> bool:
    """Whether a folder has one of the tables."""
    return any((folder / f"{kind}{ending}").is_file() for kind in TABLES for ending in ENDINGS)


def recognise(content: Content) -> bool:
    """A folder; a single table does not say of what it is."""
    return content.path.is_dir()


def read(content: Content, told: Told) -> list[Measurement]:
    """Read all tables of a folder; of a shape that is printed twice, both rows.

    Raises:
        InputError: no table in it, or a row cut off or without a number; with its line.
    """
    folder = content.path
    hardware, stack = need_place(folder, "a folder of kernel tables", told)
    names = [(f"{kind}{ending}", kind) for kind in TABLES for ending in ENDINGS]
    paths = [(folder / name, kind) for name, kind in names if (folder / name).is_file()]
    if not paths:
        raise InputError(f"{folder}: none of the tables {', '.join(TABLES)} (.csv or .csv.gz)")
    rows = [row for path, kind in paths for row in read_file(path, kind, hardware, stack)]
    if not rows:
        raise InputError(f"{folder}: no row of half precision without a sliding window")
    return rows


def read_file(path: Path, kind: str, hardware: str, stack: str) -> list[Measurement]:
    """Read one table."""
    describe, dtype_column = TABLES[kind]
    rows = []
    for where, cells in read_cells(path):
        try:
            dtype = DTYPES.get(cells[dtype_column])
            described = None if dtype is None else describe(cells)
            if described is not None:
                parse_operator(described[0])
            value = parse_positive(where, "latency", cells["latency"]) * MILLISECOND
            version = f"{cells['framework']} {cells['version']}"
        except KeyError as error:
            raise InputError(f"{path}:1: missing column {error.args[0]}") from None
        except ValueError as error:
            raise InputError(f"{where}: not a number: {error}") from None
        except InputError as error:
            raise InputError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
        if dtype is None or described is None:
            continue
        operator, devices = described
        source = f"{SOURCE}, {version}"
        layout = (hardware, stack, devices, 1, dtype, dtype, dtype, 1, 0, 0)
        rows.append(Measurement(source, "", *layout, OPERATOR_METRIC, value, operator=operator))
    return rows


def read_cells(path: Path) -> list[tuple[str, Row]]:
    """Each line of a table by column, with where it stands.

    Raises:
        InputError: not readable, or a row with fewer or more cells than the header.
    """
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the table: {error}") from None
    return list(split_csv(path, text)[1])


def describe_product(cells: Row) -> tuple[str, int] | None:
    """A matrix product, on one device."""
    return format_operator("linear", **{name: float(cells[name]) for name in "mnk"}), 1


def describe_attention(cells: Row, queries: float, context: float) -> tuple[str, int] | None:
    """Fused attention, on one device; None where a window or a cache of another type is used."""
    if float(cells["window_size"]) > 0 or cells["kv_cache_dtype"] not in DTYPES:
        return None
    sizes = {
        "sequences": float(cells["batch_size"]),
        "queries": queries,
        "context": context,
        "heads": float(cells["num_heads"]),
        "kv_heads": float(cells["num_key_value_heads"]),
        "head_size": float(cells["head_dim"]),
    }
    return format_operator("attention", **sizes), 1


def describe_prefill(cells: Row) -> tuple[str, int] | None:
    """Attention over a prompt."""
    tokens = float(cells["isl"])
    return describe_attention(cells, tokens, tokens)


def describe_decode(cells: Row) -> tuple[str, int] | None:
    """Attention of one new token; ``step`` tokens are in the cache before."""
    return describe_attention(cells, 1.0, float(cells["step"]) + 1)


def describe_reduce(cells: Row, direct: int) -> tuple[str, int] | None:
    """An all-reduce; None for other collectives."""
    if cells["op_name"] != "all_reduce":
        return None
    size = float(cells["message_size"]) * BYTES
    return format_operator("all_reduce", bytes=size, direct=direct), int(cells["num_gpus"])


# Name of the table, how its rows are described, and the column that holds their data type.
TABLES: dict[str, tuple[Callable[[Row], tuple[str, int] | None], str]] = {
    "gemm": (describe_product, "gemm_dtype"),
    "context_attention": (describe_prefill, "attn_dtype"),
    "generation_attention": (describe_decode, "attn_dtype"),
    "nccl": (lambda cells: describe_reduce(cells, 0), "nccl_dtype"),
    "custom_allreduce": (lambda cells: describe_reduce(cells, 1), "allreduce_dtype"),
}
