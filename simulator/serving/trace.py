"""Traces: when each request came and how long it was, a row a request.

Columns ``arrival_s, input_tokens, output_tokens``, and where prompts share their beginnings
``prefix_block_hashes_N``: a hash for each ``N`` tokens of the prompt, the last of which may be of fewer.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simulator.csvfile import parse_real, parse_whole, read_text, split_csv
from simulator.errors import InputError
from simulator.serving.state import Requests, Seconds
from simulator.textfile import shorten

NEEDED = ("arrival_s", "input_tokens", "output_tokens")
HASHES = re.compile(r"prefix_block_hashes_(\d+)")


class Trace(NamedTuple):
    """Requests in the order in which they came."""

    requests: Requests
    arrival_s: Seconds


def read_trace(path: Path, most: int | None = None) -> Trace:
    """Read a trace, or so many of its first requests.

    Raises:
        InputError: no such file, a column missing, a request before the one above it, or a length that cannot be; with
            its line.
    """
    header, lines = split_csv(path, read_text(path))
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise InputError(
            f"{path}:1: a trace needs the columns {', '.join(NEEDED)}; {', '.join(missing)} is missing, and there is "
            f"{shorten(', '.join(header)) or 'nothing'}"
        )
    hashes = next((name for name in header if HASHES.fullmatch(name)), None)
    chunk_tokens = int(hashes.rpartition("_")[2]) if hashes else 0
    if hashes and not chunk_tokens:
        raise InputError(f"{path}:1: column {hashes} names no tokens of a block")
    times: list[float] = []
    counts: list[tuple[int, int]] = []
    chunks: list[tuple[int, ...]] = []
    known: dict[str, int] = {}
    for where, cells in islice(lines, most):
        times.append(read_time(where, cells["arrival_s"], times[-1] if times else 0.0))
        inputs, outputs = (parse_whole(where, name, cells[name]) for name in NEEDED[1:])
        counts.append((inputs, outputs))
        if hashes:
            names = cells[hashes].split()
            if len(names) > -(-inputs // chunk_tokens):
                raise InputError(f"{where}: {len(names)} blocks of {chunk_tokens} for {inputs} input tokens")
            chunks.append(tuple(known.setdefault(name, len(known)) for name in names))
    if not times:
        raise InputError(f"{path}: no rows below the header")
    table = np.array(counts, dtype=np.int64)
    requests = Requests(table[:, 0], table[:, 1], chunks if hashes else None, chunk_tokens)
    return Trace(requests, np.array(times))


def read_time(where: str, text: str, after: float) -> float:
    """Seconds of an arrival, which is not before the one above it.

    Raises:
        InputError: with its line.
    """
    seconds = parse_real(where, "arrival_s", text)
    if seconds < 0:
        raise InputError(f"{where}: arrival_s is {text}; it must be at least 0")
    if seconds < after:
        raise InputError(f"{where}: arrival_s is {text}, before the request above it at {after:g}; sort the trace")
    return seconds
