"""The request: prompt tokens, output tokens and how many requests run together."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import numpy as np

from simulator.errors import InputError
from simulator.frozen import frozen_dataclass

MOST = 2**53  # past this, a float no longer holds every whole number


@frozen_dataclass
class Workload:
    """Token counts of a request, each a number or an array; arrays broadcast against each other.

    ``identical_prompts``: all sequences of the batch are the same text, as some benchmarks send it, and meet the same
    experts.
    """

    prompt_tokens: Any
    output_tokens: Any
    batch_size: Any = 1
    identical_prompts: bool = field(default=False, kw_only=True)

    @property
    def counts(self) -> tuple[Any, Any, Any]:
        """The three counts."""
        return self.prompt_tokens, self.output_tokens, self.batch_size


def check_workload(workload: Workload, max_position_embeddings: Any, learned_positions: bool) -> Workload:
    """Refuse counts below one and, with a learned position table, contexts past its end; plain numbers become floats.

    Arrays get as many axes each: a law adds one for the factors it is evaluated at.

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
        ),
        identical_prompts=workload.identical_prompts,
    )
    checked = align_axes(checked)
    if learned_positions:
        reached = checked.prompt_tokens + checked.output_tokens - 1
        longest = reached if isinstance(reached, float) else float(np.max(reached))
        if longest > max_position_embeddings:
            raise InputError(
                f"the request reaches {longest:.0f} tokens, past the {max_position_embeddings} positions of the model"
            )
    return checked


def align_axes(workload: Workload) -> Workload:
    """Give arrays as many axes each, and refuse those that do not broadcast.

    Raises:
        InputError: with the shapes.
    """
    counts = workload.counts
    if all(isinstance(count, float) for count in counts):
        return workload
    shapes = [np.shape(count) for count in counts]
    try:
        axes = len(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise InputError(f"prompt_tokens, output_tokens and batch_size of shapes {listed} do not broadcast") from None
    aligned = (
        count if isinstance(count, float) else count.reshape((1,) * (axes - count.ndim) + count.shape)
        for count in counts
    )
    return Workload(*aligned, identical_prompts=workload.identical_prompts)


def as_count(name: str, value: Any) -> Any:
    """Return a whole number of at least 1 as a float, or an array of them as float64 (int64 FLOP counts overflow).

    Raises:
        InputError: not a number, not whole, or below 1.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 1 <= value <= MOST or value != int(value):
            raise InputError(f"{name} is {value}; it must be a whole number of at least 1, at most 2^53")
        return float(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} is a ragged list; it must be a number or an array of numbers") from None
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} is {value!r}; it must be a number or an array of numbers")
    array = array.astype(np.float64)
    if array.size == 0:
        raise InputError(f"{name} is empty")
    if not np.all((array >= 1) & (array <= MOST) & (array == np.floor(array))):
        raise InputError(f"{name} holds a value that is not a whole number of at least 1, at most 2^53")
    return array if array.ndim else float(array)
