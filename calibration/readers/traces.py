"""Timed requests in other people's formats: which reader reads which file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from calibration.readers.traces_aiperf import read_traces_aiperf
from calibration.readers.traces_csv import read_traces_csv
from calibration.readers.traces_vllm import read_traces_vllm
from simulator.errors import InputError, unknown_name
from simulator.inputs.traces import Trace

TRACE_READERS: dict[str, Callable[[Path], list[Trace]]] = {
    "csv": read_traces_csv,
    "vllm": read_traces_vllm,
    "aiperf": read_traces_aiperf,
}
ENDINGS = {".csv": "csv", ".json": "vllm", ".jsonl": "aiperf"}


def read_traces(
    path: Path, reader: str | None = None, model: str | None = None, requested_tokens: int | None = None
) -> list[Trace]:
    """Read requests with a reader by name, or by the ending of the file.

    Args:
        path: the file.
        reader: ``csv`` (ours or HELM's), ``vllm`` or ``aiperf``.
        model: name for all rows, where the file names none or another is wanted.
        requested_tokens: output tokens that every request asked for, where the file does not say.

    Raises:
        InputError: no such reader, or what the reader raises.
    """
    chosen = reader or ENDINGS.get(path.suffix.lower())
    if chosen is None:
        raise InputError(f"{path}: the ending says no format; name one with --reader: {', '.join(TRACE_READERS)}")
    if chosen not in TRACE_READERS:
        raise unknown_name("reader", chosen, TRACE_READERS)
    traces = TRACE_READERS[chosen](path)
    if model is not None:
        traces = [replace(trace, model=model) for trace in traces]
    if requested_tokens is not None:
        traces = [
            trace if trace.requested_tokens is not None else replace(trace, requested_tokens=requested_tokens)
            for trace in traces
        ]
    return traces
