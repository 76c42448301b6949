"""Limits on latencies, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulator.errors import InputError, suggest
from simulator.units import Dimension, parse_quantity

LIMITED = ("ttft_s", "tpot_s", "e2e_s")  # of each request, for goodput


Slo = Mapping[str, float] | Sequence[str] | str | None


def read_slo(given: Slo, names: Sequence[str]) -> dict[str, float]:
    """Limits as Python is given them: seconds by name, or texts such as ``"ttft_s:1 tpot_s:40ms"``.

    Raises:
        InputError: as ``read_limits``.
    """
    if isinstance(given, Mapping):
        return dict(given)
    return read_limits(given.replace(",", " ").split() if isinstance(given, str) else given or (), names)


def read_limits(values: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Limits on times of these names, in seconds or with a unit.

    Raises:
        InputError: another name, or no time above zero.
    """
    limits = {}
    for value in values:
        name, colon, text = (part.strip() for part in value.partition(":"))
        if not colon or name not in names:
            raise InputError(suggest(f"--slo: '{value}' is not NAME:SECONDS", name, names))
        try:
            limits[name] = float(text)
        except ValueError:
            try:
                limits[name] = parse_quantity(text, Dimension.SECONDS)
            except ValueError as error:
                raise InputError(f"--slo: {name}: {error}") from None
        if not 0 < limits[name] < float("inf"):
            raise InputError(f"--slo: {name} is {text}; it must be above 0 and finite")
    return limits
