"""Kernel tables of NVIDIA's AIConfigurator (``systems/data``, Apache-2.0) -> tidy rows.

A folder holds ``gemm``, ``context_attention``, ``generation_attention``, ``moe``, ``nccl`` and ``custom_allreduce``,
each as ``.csv``, ``.csv.gz`` or ``_perf.txt``, with latencies in milliseconds. Rows of a format or of a collective that
no law knows are counted and named.

The benchmark replays a CUDA graph without flushing the last cache. A graph of products holds as many copies of one,
with weights of their own, as it takes to fill that cache, at most five (collector/trtllm/collect_gemm.py); other
operators are repeated as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from calibration.readers.content import Content
from calibration.readers.runs import Run, Told
from calibration.readers.settle import need_place
from simulator.csvfile import MOST_COUNT, Row, read_text, split_csv
from simulator.errors import InputError
from simulator.inputs.library import load_hardware
from simulator.inputs.measurements import OPERATOR_METRIC, Measurement, parse_positive
from simulator.inputs.operator_text import format_operator, parse_operator

MILLISECOND = 1e-3
ENDINGS = tuple(part + kind for part in ("", "_perf", "_power") for kind in (".csv", ".csv.gz", ".txt"))
SOURCE = "AIConfigurator kernel table"
TOOL = "op-table"
HALF = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16"}
CACHES = HALF | {"fp8": "fp8"}
# What products compute in and what their weights are stored in, by the tables' names.
PRODUCTS = {name: (dtype, dtype) for name, dtype in HALF.items()} | {
    "fp8": ("fp8", "fp8"),
    "fp8_block": ("fp8-block", "fp8-block"),
    "nvfp4": ("nvfp4", "nvfp4"),
    "sq": ("int8", "int8"),
    "int8_wo": ("bf16", "w8a16"),
    "int4_wo": ("bf16", "int4-g128"),
    "w4a16_mxfp4": ("bf16", "mxfp4"),
    "w4a8_mxfp4_mxfp8": ("mxfp8", "mxfp4"),
}
BYTES = 2  # of an element of a message in half precision
MOST_COPIES = 5
COPIED_BYTES = {"bf16": 2.0, "fp16": 2.0, "nvfp4": 0.5}  # of a weight as the benchmark counts them; of others one
# Experts of two matrices without a gate, as of the Nemotron 3 models (collector/trtllm/collect_moe.py): so many of so
# many are chosen, or they have this hidden size and width. All others have three.
UNGATED_CHOICES, UNGATED_SIZES = {(22, 512)}, {(2688, 1856)}
BALANCED = "balanced"
POWER_LAW = re.compile(r"power_law_(\d+(?:\.\d+)?)", re.ASCII)


class Described(NamedTuple):
    """An operator in words, the devices it runs on, and its formats: of computing, of weights, of the cache."""

    text: str
    devices: int
    dtype: str
    weight_dtype: str
    kv_dtype: str


class UnknownRowError(Exception):
    """A row of which no law knows the work; it says what it is of."""


def is_op_folder(folder: Path) -> bool:
    """Whether a folder has one of the tables."""
    return any((folder / f"{kind}{ending}").is_file() for kind in TABLES for ending in ENDINGS)


def recognise(content: Content) -> bool:
    """A folder; a single table does not say of what it is."""
    return content.path.is_dir()


def read(content: Content, told: Told) -> list[Measurement | Run]:
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
    return [row for path, kind in paths for row in read_file(path, kind, hardware, stack)]


def read_file(path: Path, kind: str, hardware: str, stack: str) -> list[Measurement | Run]:
    """Read one table."""
    describe = TABLES[kind]
    cache_bytes = load_hardware(hardware).memory.l2_capacity
    rows: list[Measurement | Run] = []
    for where, cells in read_cells(path):
        try:
            value = parse_positive(where, "latency", cells["latency"]) * MILLISECOND
            source = f"{SOURCE}, {cells['framework']} {cells['version']}"
            one = describe(cells, cache_bytes)
            parse_operator(one.text)
        except UnknownRowError as unknown:
            rows.append(Run(where, TOOL, left_out=f"{kind}: {unknown}"))
            continue
        except KeyError as error:
            raise InputError(f"{path}:1: missing column {error.args[0]}") from None
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
        except InputError as error:
            raise InputError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
        layout = (hardware, stack, one.devices, 1, one.weight_dtype, one.dtype, one.kv_dtype, 1, 0, 0)
        rows.append(Measurement(source, "", *layout, OPERATOR_METRIC, value, operator=one.text))
    return rows


def read_cells(path: Path) -> list[tuple[str, Row]]:
    """Each line of a table by column, with where it stands.

    Raises:
        InputError: not readable, or a row with fewer or more cells than the header.
    """
    return list(split_csv(path, read_text(path))[1])


def take_whole(cells: Row, name: str, least: int = 1) -> float:
    """A whole number of tokens, heads, widths or devices: nobody has run half of one.

    Raises:
        ValueError: it is none.
    """
    try:
        number = float(cells[name])
    except ValueError:
        raise ValueError(f"not a number: {name} is '{cells[name]}'") from None
    if not least <= number <= MOST_COUNT or number != int(number):
        raise ValueError(f"{name} is '{cells[name]}'; it must be a whole number of at least {least}")
    return number


def find_formats(name: str) -> tuple[str, str]:
    """Formats of a product's inputs and weights."""
    if name not in PRODUCTS:
        raise UnknownRowError(f"format {name}")
    return PRODUCTS[name]


def name_cache(dtype: str) -> str:
    """Format of the cache in rows that have none: half precision."""
    return dtype if dtype in HALF.values() else "bf16"


def describe_product(cells: Row, cache_bytes: float) -> Described:
    """A matrix product, on one device."""
    dtype, weights = find_formats(cells["gemm_dtype"])
    sizes = {name: take_whole(cells, name) for name in "mnk"}
    weights_bytes = sizes["n"] * sizes["k"] * COPIED_BYTES.get(weights, 1.0)
    copies = max(1, min(MOST_COPIES, math.ceil(cache_bytes / weights_bytes)))
    text = format_operator("linear", **sizes, copies=copies)
    return Described(text, 1, dtype, weights, name_cache(dtype))


def describe_attention(cells: Row, queries: float, context: float) -> Described:
    """Fused attention, on one device; scores in half precision or, where they are in fp8 as the cache is, in that."""
    dtype, cache = cells["attn_dtype"], cells["kv_cache_dtype"]
    if dtype not in CACHES or cache not in CACHES:
        raise UnknownRowError(f"attention in {dtype} over a cache in {cache}")
    window = take_whole(cells, "window_size", least=-1)  # -1 and 0: none
    sizes = {
        "sequences": take_whole(cells, "batch_size"),
        "queries": queries,
        "context": context,
        "heads": take_whole(cells, "num_heads"),
        "kv_heads": take_whole(cells, "num_key_value_heads"),
        "head_size": take_whole(cells, "head_dim"),
        "window": window if 0 < window < context else 0.0,
        "copies": 1.0,
    }
    computed = CACHES[dtype]
    return Described(format_operator("attention", **sizes), 1, computed, computed, CACHES[cache])


def describe_prefill(cells: Row, cache_bytes: float) -> Described:
    """Attention over a prompt."""
    tokens = take_whole(cells, "isl")
    return describe_attention(cells, tokens, tokens)


def describe_decode(cells: Row, cache_bytes: float) -> Described:
    """Attention of one new token; ``step`` tokens are in the cache before."""
    return describe_attention(cells, 1.0, take_whole(cells, "step", least=0) + 1)


def describe_experts(cells: Row, cache_bytes: float) -> Described:
    """A whole block of experts, on one of the devices that share them."""
    dtype, weights = find_formats(cells["moe_dtype"])
    routing = cells["distribution"]
    drawn = POWER_LAW.fullmatch(routing)
    if routing != BALANCED and drawn is None:
        raise UnknownRowError(f"experts drawn by {routing}")
    choice = (take_whole(cells, "topk"), take_whole(cells, "num_experts"))
    hidden, width = take_whole(cells, "hidden_size"), take_whole(cells, "inter_size")
    ungated = choice in UNGATED_CHOICES or (hidden, width) in UNGATED_SIZES
    sizes = {
        "matrices": 2.0 if ungated else 3.0,
        "tokens": take_whole(cells, "num_tokens"),
        "hidden": hidden,
        "width": width / take_whole(cells, "moe_tp_size"),
        "chosen": choice[0],
        "experts": choice[1],
        "held": choice[1] / take_whole(cells, "moe_ep_size"),
        "skew": 0.0 if drawn is None else float(drawn[1]),
        "copies": 1.0,
    }
    return Described(format_operator("experts", **sizes), 1, dtype, weights, name_cache(dtype))


def describe_reduce(cells: Row, dtype: str, direct: int) -> Described:
    """An all-reduce."""
    if cells["op_name"] != "all_reduce":
        raise UnknownRowError(cells["op_name"])
    if dtype not in HALF:
        raise UnknownRowError(f"format {dtype}")
    size = take_whole(cells, "message_size") * BYTES
    text = format_operator("all_reduce", bytes=size, direct=direct)
    return Described(text, int(take_whole(cells, "num_gpus")), HALF[dtype], HALF[dtype], HALF[dtype])


# Name of the table, and how its rows are described, from their cells and the size of the last cache.
TABLES: dict[str, Callable[[Row, float], Described]] = {
    "gemm": describe_product,
    "context_attention": describe_prefill,
    "generation_attention": describe_decode,
    "moe": describe_experts,
    "nccl": lambda cells, _: describe_reduce(cells, cells["nccl_dtype"], 0),
    "custom_allreduce": lambda cells, _: describe_reduce(cells, cells["allreduce_dtype"], 1),
}
