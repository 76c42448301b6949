"""The request: prompt tokens, output tokens and how many requests run together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.errors import InputError


@dataclass(frozen=True, slots=True)
class Workload:
    """Token counts of a request, each a number or an array; arrays broadcast against each other."""

    prompt_tokens: Any
    output_tokens: Any
    batch_size: Any = 1


def check_workload(workload: Workload, max_position_embeddings: Any, learned_positions: bool) -> Workload:
    """Refuse counts below one and, with a learned position table, contexts past its end; plain numbers become floats.

    Raises:
        InputError: naming the count that is wrong.
    """
    checked = Workload(
        *(
            as_count(name, value)
            for name, value in (
                ("prompt_tokens", workload.prompt_tokens),
                ("output_tokens", workload.output_tokens),
                ("batch_size", workload.batch_size),
            )
        )
    )
    if learned_positions:
        longest = np.max(checked.prompt_tokens + checked.output_tokens - 1)
        if longest > max_position_embeddings:
            raise InputError(
                f"the request reaches {longest:.0f} tokens, past the {max_position_embeddings} positions of the model"
            )
    return checked


def as_count(name: str, value: Any) -> Any:
    """Return a whole number of at least 1 as a float, or an array of them as float64 (int64 FLOP counts overflow).

    Raises:
        InputError: not a number, not whole, or below 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 1 <= value < float("inf") or value != int(value):
            raise InputError(f"{name} is {value}; it must be a whole number of at least 1")
        return float(value)
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}; it must be a number or an array of numbers") from None
    if array.size == 0:
        raise InputError(f"{name} is empty")
    if not np.all(np.isfinite(array) & (array >= 1) & (array == np.floor(array))):
        raise InputError(f"{name} holds a value that is not a whole number of at least 1")
    return array if array.ndim else float(array)
