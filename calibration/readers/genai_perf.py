"""NVIDIA's genai-perf and its successor AIPerf: the JSON and CSV with the statistics of a run.

Files ``*_genai_perf.json`` and ``.csv``, ``profile_export_aiperf.json`` and ``.csv``. Inter-token latency is (request
latency - TTFT) / (output tokens - 1) of each request, our time per output token. The CSV and the printed table have
neither the model nor how many requests were in flight.
Source: https://github.com/triton-inference-server/perf_analyzer, genai-perf/genai_perf/export_data;
https://github.com/ai-dynamo/aiperf, src/aiperf/exporters and docs/metrics-reference.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calibration.readers.content import (
    MOST_COUNT,
    Content,
    find_nested,
    parse_finite,
    read_header,
    split_rows,
    take_number,
)
from calibration.readers.printed_tables import list_tables
from calibration.readers.runs import Metric, Run, Told, list_latencies
from simulator.errors import InputError

TOOL = "genai-perf / aiperf"
LATENCIES = {"request_latency": "e2e_s", "time_to_first_token": "ttft_s", "inter_token_latency": "tpot_s"}
STATISTICS = {"avg": "mean", "p50": "p50", "p99": "p99"}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
PRINTED = re.compile(r"^[\s│┃|]*(?:Statistic|Metric)\s*[│┃|]\s*avg\s*[│┃|]", re.MULTILINE)
RATES = re.compile(r"^\s*((?:Output token|Request) throughput) \(per sec\):\s*([\d.,]+)", re.MULTILINE)
OLD_TITLES = {"num_output_token": "output_sequence_length", "num_input_token": "input_sequence_length"}


def recognise(content: Content) -> bool:
    """Either form: a request latency with its average."""
    if content.objects:
        return all(isinstance(found.get("request_latency"), dict) for _, found in content.objects)
    if read_header(content)[:2] == ["Metric", "avg"]:
        return "Request Latency" in content.text
    return PRINTED.search(content.text) is not None and "request latency" in content.text.lower()


def find_twin(path: Path) -> Path | None:
    """The JSON of the run that a CSV is of, which says more."""
    return path.with_suffix(".json") if path.suffix == ".csv" else None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects:
        yield parse_statistics(where, found, told)
    if not content.objects:
        printed = PRINTED.search(content.text) is not None
        yield parse_statistics(str(content.path), (read_print if printed else split_tables)(content), told)


def read_print(content: Content) -> dict[str, dict[str, Any]]:
    """The metrics of the printed table as the JSON has them; a title may go on in the next row."""
    found: dict[str, dict[str, Any]] = {}
    for table in list_tables(content.text):
        header: list[str] = []
        rows: list[list[str]] = []
        for _, cells in table:
            if cells[1:2] == ["avg"]:
                header = [cell.lower() for cell in cells]
                continue
            if len(cells) == len(header) and not any(cells[1:]) and rows:
                rows[-1][0] += f" {cells[0]}"
            elif len(cells) == len(header):
                rows.append(cells)
        for cells in rows:
            title, unit = split_title(cells[0])
            name = title.lower().replace(" ", "_")
            values = {key: cell for key, cell in zip(header, cells, strict=True) if is_filled(cell)}
            found[OLD_TITLES.get(name, name)] = {**values, "unit": unit}
    for name, value in RATES.findall(content.text):
        found.setdefault(name.lower().replace(" ", "_"), {"avg": value})
    return found


def is_filled(cell: str) -> bool:
    """Whether a cell has a value."""
    return cell not in ("", "N/A")


def split_tables(content: Content) -> dict[str, dict[str, Any]]:
    """The metrics of a CSV as its JSON has them: of requests with their statistics, of the system with one value."""
    header: list[str] = []
    found: dict[str, dict[str, Any]] = {}
    for _, cells in split_rows(content):
        if cells[0] == "Metric":
            header = cells
        elif len(cells) == len(header) and len(cells) > 1:
            title, unit = split_title(cells[0])
            values = {
                "avg" if name == "Value" else name: cell for name, cell in zip(header, cells, strict=True) if cell
            }
            found[title.lower().replace(" ", "_")] = {"unit": unit, **values}
    return found


def split_title(text: str) -> tuple[str, str | None]:
    """A title and the unit in brackets behind it; None where there is none."""
    if not text.endswith(")") or "(" not in text:
        return text.rstrip(), None
    title, _, unit = text[:-1].rpartition("(")
    return title.rstrip(), unit


def parse_statistics(where: str, found: Mapping[str, Any], told: Told) -> Run:
    """One run."""
    latencies = {
        (metric, which): take_latency(where, found, name, statistic)
        for name, metric in LATENCIES.items()
        for statistic, which in STATISTICS.items()
    }
    rate_out = take_statistic(where, found, "output_token_throughput")
    settings = found.get("input_config") or {}
    concurrency = find_nested(settings, lambda key, value: key == "concurrency" and is_number(value))
    rate = find_nested(settings, lambda key, value: key == "request_rate" and is_number(value) and value > 0)
    concurrency = concurrency if concurrency is not None or rate is not None else told.concurrency
    if concurrency is None and rate is None:
        raise InputError(f"{where}: {TOOL} does not say how many requests were in flight; name it with --concurrency")
    model = find_nested(
        settings, lambda key, value: key in ("model", "model_names", "models") and find_name(value) != ""
    )
    count = take_statistic(where, found, "request_count")
    return Run(
        where,
        TOOL,
        metrics=[*list_latencies(latencies, 1.0), *([Metric("throughput_tok_s", rate_out)] if rate_out else [])],
        model=find_name(model) or None,
        batch_size=1,
        prompt_tokens=take_statistic(where, found, "input_sequence_length"),
        output_tokens=take_statistic(where, found, "output_sequence_length"),
        concurrency=None if concurrency is None else int(concurrency),
        request_rate=rate,
        num_requests=None if count is None else int(count),
    )


def is_number(value: Any) -> bool:
    """Whether a setting is one number, and no list of several."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < MOST_COUNT


def find_name(value: Any) -> str:
    """The one name in a setting; empty where there is none or more than one."""
    names = value if isinstance(value, list) else [value]
    if len(names) != 1:
        return ""
    name = names[0].get("name") if isinstance(names[0], dict) else names[0]
    return name if isinstance(name, str) else ""


def take_statistic(where: str, found: Mapping[str, Any], name: str, statistic: str = "avg") -> float | None:
    """A statistic of a metric; None where the run has none."""
    metric = found.get(name)
    return take_number(where, metric, statistic) if isinstance(metric, dict) else None


def take_latency(where: str, found: Mapping[str, Any], name: str, statistic: str) -> float | None:
    """The same of a latency, seconds.

    Raises:
        InputError: in an unknown unit.
    """
    value = take_statistic(where, found, name, statistic)
    if value is None:
        return None
    unit = found[name].get("unit")
    if not isinstance(unit, str) or unit not in SECONDS:
        raise InputError(f"{where}: {name} is in {unit!r}; known units are {', '.join(SECONDS)}")
    return parse_finite(where, name, value) * SECONDS[unit]
