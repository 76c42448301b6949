"""The tidy table: one row, one measurement."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from itertools import compress
from pathlib import Path
from typing import Any

from simulator.csvfile import MOST_COUNT, read_text, split_csv
from simulator.errors import InputError, suggest
from simulator.inputs.operator_text import name_kind, parse_operator
from simulator.specfile import write_whole

METRICS = ("e2e_s", "ttft_s", "prefill_s", "tpot_s", "throughput_tok_s")  # of requests
STATISTICS = ("mean", "p50", "p99")  # over the requests of a run; blank: the mean
OPERATOR_METRIC = "operator_s"
OWN_SOURCE = "roofcast calibrate run"  # how the source of rows begins that were measured here
HELD_OUT = "held out"  # how the notes of a row begin that is for checking a fit and not for fitting
# Reasons of a lower clock that last as long as the work does: it is the clock that such work has on this device. The
# others, of heat, supply and faults, come and go.
LASTING_REASONS = frozenset({"software power cap", "sync boost", "board limit", "reliability limit"})


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row. ``value`` and ``std`` are seconds, or output tokens per second for ``throughput_tok_s``.

    A row is of a whole request to ``model``, or of one ``operator`` (``operator_text.py``), which has no model and no
    tokens. What the device's sensors said meanwhile is in the columns from ``clock_hz``, where it has them.

    A row of load is of many requests in flight: a closed loop keeps ``concurrency`` of them there, an open one sends
    ``request_rate`` a second (``inf``: all at once). Their lengths are uniform between ``length_low`` and
    ``length_high`` times the tokens of the row, or as long as it says; ``value`` is the ``statistic`` over them. The
    last three columns hold what the engine was told other than its version's defaults.
    """

    source: str
    model: str
    hardware: str
    stack: str
    tp: int
    pp: int
    weight_dtype: str
    activation_dtype: str
    kv_dtype: str
    batch_size: int
    prompt_tokens: int
    output_tokens: int
    metric: str
    value: float
    std: float | None = None
    notes: str = ""
    operator: str = ""
    clock_hz: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    temperature_c: float | None = None
    throttled: str = ""  # the reasons, as the driver names them
    concurrency: int | None = None
    request_rate: float | None = None  # per second
    num_requests: int | None = None
    length_low: float | None = None
    length_high: float | None = None
    statistic: str = ""
    identical_prompts: bool = False  # all sequences of the batch are the same text
    max_num_batched_tokens: int | None = None  # of one pass; None: the default of the engine's version
    max_num_seqs: int | None = None
    batch_wait_passes: int | None = None  # for which prompts wait for more to be read with them

    @property
    def is_load(self) -> bool:
        """Whether requests came and went, several in flight, and not one batch that starts and ends together."""
        return self.request_rate is not None or (self.concurrency or 1) > 1

    @property
    def is_slowed(self) -> bool:
        """Whether the clock was held down by what comes and goes, so that the row says little of the device."""
        return bool(self.throttled) and not set(self.throttled.split(", ")) <= LASTING_REASONS

    @property
    def phase(self) -> str:
        """``prefill``, ``decode`` (time per output token), ``request`` (both together), or the kind of operator."""
        if self.operator:
            return name_kind(self.operator)
        if self.metric in ("ttft_s", "prefill_s") or (self.metric == "e2e_s" and self.output_tokens <= 1):
            return "prefill"
        return "decode" if self.metric == "tpot_s" else "request"


COLUMNS = tuple(field.name for field in fields(Measurement))
LEAST, MOST = 1e-9, 1e12  # of a measured value
# Least value of each count: a generation may start from an empty context, and a prefill row may say 0 output tokens.
SENSORS = ("clock_hz", "power_w", "energy_j", "temperature_c")
LOAD = ("concurrency", "request_rate", "num_requests", "length_low", "length_high", "statistic")
ENGINE = ("max_num_batched_tokens", "max_num_seqs", "batch_wait_passes")
ADDED = ("operator", *SENSORS, "throttled", *LOAD, "identical_prompts", *ENGINE)
OPTIONAL = ("std", "notes", *ADDED)
COUNTS = {"tp": 1, "pp": 1, "batch_size": 1, "prompt_tokens": 0, "output_tokens": 0}


def read_table(path: Path) -> list[Measurement]:
    """Read a tidy CSV table.

    Raises:
        InputError: no such file, a column missing or unknown, a row cut off, or a value that cannot be; with its line.
    """
    header, lines = split_csv(path, read_text(path))
    if not header:
        raise InputError(f"{path}: empty file; the first line must name the columns {', '.join(COLUMNS)}")
    check_header(path, header)
    rows = [parse_row(where, cells) for where, cells in lines]
    if not rows:
        raise InputError(f"{path}: no rows below the header")
    return rows


def check_header(path: Path, header: list[str]) -> None:
    """Refuse unknown and missing columns."""
    for name in header:
        if name not in COLUMNS:
            raise InputError(suggest(f"{path}:1: unknown column '{name}'", name, COLUMNS))
    missing = [name for name in COLUMNS if name not in header and name not in OPTIONAL]
    if missing:
        raise InputError(f"{path}:1: missing column {', '.join(missing)}")


def parse_row(where: str, cells: dict[str, str]) -> Measurement:
    """Turn the cells of one line into a measurement."""
    values: dict[str, Any] = dict(cells)
    for name, least in COUNTS.items():
        values[name] = parse_count(where, name, cells[name], least)
    values["value"] = parse_positive(where, "value", cells["value"])
    for name in ("std", *SENSORS):
        cell = cells.get(name, "")
        values[name] = parse_number(where, name, cell) if cell else None
        if values[name] is not None and values[name] < 0:
            raise InputError(f"{where}: {name} is {cell}; it must not be negative")
    values |= parse_load(where, cells)
    values |= {name: parse_count(where, name, cells[name], 1) if cells.get(name) else None for name in ENGINE}
    values["identical_prompts"] = parse_flag(where, "identical_prompts", cells.get("identical_prompts", ""))
    metrics = (*METRICS, OPERATOR_METRIC)
    if cells["metric"] not in metrics:
        raise InputError(suggest(f"{where}: unknown metric '{cells['metric']}'", cells["metric"], metrics))
    if cells["metric"] == "tpot_s" and values["output_tokens"] < 2:
        raise InputError(f"{where}: tpot_s needs at least 2 output tokens; the row has {values['output_tokens']}")
    check_subject(where, cells)
    return Measurement(**values)


def parse_load(where: str, cells: dict[str, str]) -> dict[str, Any]:
    """The columns of a row of load; those that are blank are None.

    Raises:
        InputError: with its line.
    """
    given = {name: cells[name] for name in LOAD if cells.get(name)}
    values: dict[str, Any] = dict.fromkeys(LOAD) | {"statistic": given.pop("statistic", "")}
    if values["statistic"] not in ("", *STATISTICS):
        raise InputError(
            suggest(f"{where}: unknown statistic '{values['statistic']}'", values["statistic"], STATISTICS)
        )
    for name, cell in given.items():
        if name in ("concurrency", "num_requests"):
            values[name] = parse_count(where, name, cell, 1)
        elif cell.lower() == "inf" and name == "request_rate":
            values[name] = math.inf
        elif name == "request_rate":
            values[name] = parse_positive(where, name, cell)
        else:
            values[name] = parse_number(where, name, cell)
    low, high = values["length_low"], values["length_high"]
    if (low is None) != (high is None) or (low is not None and not 0 <= low <= high):
        raise InputError(f"{where}: length_low and length_high are shares of the tokens, both or neither, low first")
    return values


def check_subject(where: str, cells: dict[str, str]) -> None:
    """Refuse a row that is of nothing, or of a model and an operator at once.

    Raises:
        InputError: with its line.
    """
    text = cells.get("operator", "")
    if bool(text) != (cells["metric"] == OPERATOR_METRIC):
        raise InputError(f"{where}: the metric {OPERATOR_METRIC} and the column operator go together")
    if bool(text) == bool(cells["model"]):
        raise InputError(f"{where}: a row is of a model or of an operator")
    if text:
        try:
            parse_operator(text)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def parse_flag(where: str, name: str, text: str) -> bool:
    """``yes`` or nothing.

    Raises:
        InputError: anything else.
    """
    if text not in ("", "yes"):
        raise InputError(f"{where}: {name} is '{text}'; it must be yes or blank")
    return bool(text)


def parse_number(where: str, name: str, text: str) -> float:
    """A finite number.

    Raises:
        InputError: it is not one; a unit in the cell is not accepted, since the column name carries it.
    """
    try:
        number = float(text.replace("_", " "))  # Python reads 5_12 as 512
    except ValueError:
        raise InputError(f"{where}: {name} is '{text}'; it must be a plain number in the unit of its metric") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is '{text}'; it must be finite")
    return number


def parse_positive(where: str, name: str, text: str) -> float:
    """A finite number above zero."""
    number = parse_number(where, name, text)
    if number <= 0:
        raise InputError(f"{where}: {name} is {text}; it must be above zero")
    if not LEAST <= number <= MOST:
        raise InputError(f"{where}: {name} is {text}; no measurement is outside {LEAST:g} to {MOST:g}")
    return number


def parse_count(where: str, name: str, text: str, least: int) -> int:
    """A whole number of at least ``least``; ``8.0`` is one, since spreadsheets write it so. An empty ``pp`` is 1."""
    if name == "pp" and not text:
        return 1
    number = parse_number(where, name, text)
    if number < least or number != int(number):
        raise InputError(f"{where}: {name} is '{text}'; it must be a whole number of at least {least}")
    if number > MOST_COUNT:
        raise InputError(f"{where}: {name} is '{text}'; it must be at most {MOST_COUNT}")
    return int(number)


def write_table(path: Path, rows: Iterable[Measurement]) -> None:
    """Write a tidy CSV table, whole or not at all.

    Raises:
        InputError: the folder is missing or not writable.
    """
    write_whole(path, print_table(rows))


def print_cell(cell: Any) -> Any:
    """A cell as it is read back."""
    return "" if cell is None else ("yes" if cell else "") if isinstance(cell, bool) else cell


def print_table(rows: Iterable[Measurement]) -> str:
    """The text of a tidy CSV table; columns of operators and sensors only where a row has them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kept = list(rows)
    used = [name not in ADDED or any(getattr(row, name) not in (None, "", False) for row in kept) for name in COLUMNS]
    writer.writerow(compress(COLUMNS, used))
    writer.writerows([print_cell(cell) for cell in compress(astuple(row), used)] for row in kept)
    return text.getvalue()
