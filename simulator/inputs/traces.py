"""Timed requests to a model behind an API: one row, one request. Where they come from is a reader's business."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simulator.csvfile import MOST_COUNT
from simulator.errors import InputError
from simulator.inputs.measurements import LEAST, MOST


@dataclass(frozen=True, slots=True)
class Trace:
    """One request. ``seconds`` is from sending it to the last token; ``requested_tokens`` is None where not recorded.

    ``trial`` tells repetitions of one request apart: a date, a number, or nothing.
    """

    model: str
    api: str
    prompt_tokens: int
    output_tokens: int
    seconds: float
    trial: str = ""
    requested_tokens: int | None = None

    @property
    def cut_short(self) -> bool:
        """Whether fewer tokens came than were asked for, or none."""
        return self.output_tokens < max(1, self.requested_tokens or 1)

    @property
    def label(self) -> str:
        """API and model, as HELM writes them: ``ai21/j1-large``."""
        return f"{self.api}/{self.model}" if self.api else self.model


def make_trace(
    where: str,
    model: str,
    api: str,
    prompt_tokens: float,
    output_tokens: float,
    seconds: float,
    trial: str = "",
    requested_tokens: float | None = None,
) -> Trace:
    """Build one row from numbers that a reader found.

    Raises:
        InputError: a time that is not above zero, or a count that is not a whole number; with its place.
    """
    if not model:
        raise InputError(f"{where}: the request names no model")
    if not LEAST <= seconds <= MOST:
        raise InputError(f"{where}: a time of {seconds:g} s; it must be above zero and finite")
    counts = []
    for name, count, least in (
        ("prompt_tokens", prompt_tokens, 1),
        ("output_tokens", output_tokens, 0),
        ("requested_output_tokens", 1 if requested_tokens is None else requested_tokens, 1),
    ):
        if not least <= count <= MOST_COUNT or count != int(count):
            raise InputError(f"{where}: {name} is {count:g}; it must be a whole number of at least {least}")
        counts.append(int(count))
    requested = None if requested_tokens is None else counts[2]
    return Trace(model, api, counts[0], counts[1], float(seconds), trial, requested)


def group_traces(traces: Iterable[Trace]) -> dict[tuple[str, str], list[Trace]]:
    """The requests of each (api, model), in the order of the file."""
    groups: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        groups.setdefault((trace.api, trace.model), []).append(trace)
    return groups


def drop_repeated(traces: Iterable[Trace]) -> list[Trace]:
    """The requests without rows that stand there again, trial and time included; without a trial none is the same."""
    seen: set[Trace] = set()
    kept = []
    for trace in traces:
        if trace.trial and not trace.cut_short and trace in seen:
            continue
        seen.add(trace)
        kept.append(trace)
    return kept
