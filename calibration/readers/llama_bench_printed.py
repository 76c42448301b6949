"""The Markdown that ``llama-bench`` prints: tables, the devices in the lines before them, and the build behind.

A text may hold several runs, pasted: each table has its own columns, each group of rows the devices that were listed
last before it and the build that comes next. Rates are rounded to 0.01 tokens/s.
Source: https://github.com/ggml-org/llama.cpp, tools/llama-bench/llama-bench.cpp (``markdown_printer``) and the lines in
which ggml/src/ggml-cuda, ggml-vulkan and ggml-metal list their devices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from calibration.readers.content import Content, strip_quote
from calibration.readers.printed_tables import split_row
from simulator.errors import InputError

NEEDED = {"model", "test", "t/s"}
BUILD = re.compile(r"^build: \w+ \((\d+)\)")
FOUND = re.compile(r"\bfound \d+ (CUDA|ROCm|MUSA) devices?\b")
DEVICE = re.compile(r"^Device (\d+): (.+?), (?:compute capability|gfx)")
VULKAN_FOUND = re.compile(r"^ggml_vulkan: Found \d+ Vulkan devices?")
VULKAN = re.compile(r"^ggml_vulkan: (\d+) = (.+?) \([^()]*\)(?: \([^()]*\))* \|")
METAL = re.compile(r"^ggml_metal\w*: (?:found device|picking default device|GPU name):\s*(.+)$")
HOST = {"CPU", "BLAS", "RPC"}  # backends that are no device
SAME = {"MTL": "Metal", "HIP": "ROCm"}  # names of one backend


@dataclass
class Row:
    """A row: where, its cells by column, the devices that were listed by backend, and the build."""

    where: str
    cells: dict[str, str]
    devices: dict[str, list[str]] = field(default_factory=dict)
    build: str | None = None


def is_printed(text: str) -> bool:
    """Whether a text holds such a table."""
    return any(set(split_row(strip_quote(line))) >= NEEDED for line in text.splitlines() if "t/s" in line)


def list_rows(content: Content) -> Iterator[Row]:
    """The rows of all tables.

    Raises:
        InputError: a row that has not a cell for each column.
    """
    header: list[str] | None = None
    devices: dict[str, list[str]] = {}
    waiting: list[Row] = []
    listing = "CUDA"
    for number, raw in enumerate(content.text.splitlines(), start=1):
        line = strip_quote(raw)
        cells = split_row(line)
        if set(cells) >= NEEDED:
            header = cells
        elif cells and header is not None and not set("".join(cells)) <= set("-: "):
            if len(cells) != len(header):
                raise InputError(f"{content.path}:{number}: not a row of a llama-bench table: '{line[:60]}'")
            row = dict(zip(header, cells, strict=True))
            waiting.append(Row(f"{content.path}:{number}", row, {name: list(one) for name, one in devices.items()}))
        elif not cells:
            header = None if line else header
            listing = list_device(line, devices, listing)
            build = BUILD.match(line)
            if build is not None:
                for one in waiting:
                    one.build = build[1]
                yield from waiting
                waiting = []
    yield from waiting


def list_device(line: str, devices: dict[str, list[str]], listing: str) -> str:
    """Put a device that a line lists to those of its backend; the backend whose list goes on."""
    found, device, vulkan, metal = (one.search(line) for one in (FOUND, DEVICE, VULKAN, METAL))
    if found is not None:
        devices[found[1]] = []
        return found[1]
    if VULKAN_FOUND.match(line):
        devices["Vulkan"] = []
    elif device is not None:
        devices.setdefault(listing, []).append(device[2])
    elif vulkan is not None:
        devices.setdefault("Vulkan", []).append(vulkan[2])
    elif metal is not None:
        devices["Metal"] = [metal[1].strip()]
    return listing


def choose_devices(row: Row) -> list[str]:
    """The devices that a row ran on, as far as the lines before it name them: of its backend, or those it chose."""
    if "dev" in row.cells:
        chosen = [re.fullmatch(r"([A-Za-z]+)(\d+)", one) for one in row.cells["dev"].split("/")]
        places = [(SAME.get(one[1], one[1]), int(one[2])) for one in chosen if one is not None]
        known = [row.devices.get(backend, [])[place : place + 1] for backend, place in places]
        return [one for names in known for one in names] if len(places) == len(chosen) else []
    backends = [one.strip() for one in row.cells.get("backend", "").split(",")]
    named = [SAME.get(one, one) for one in backends if one not in HOST]
    return row.devices.get(named[0], []) if len(named) == 1 else []
