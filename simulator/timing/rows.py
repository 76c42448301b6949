"""Laws with many branches on arrays: evaluated once for equal rows, and each branch on its own rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from simulator.costs.operators import Operator
from simulator.numbers import Number
from simulator.timing.device import Device
from simulator.timing.factors import Factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
MOST_COUNTED = 2**22  # whole numbers up to here are told apart by a table, larger ones by sorting


class Distinct(NamedTuple):
    """The different values of an array: where each first stands, and which of them each element is."""

    first: Array
    inverse: Array


def answer_rows(law: Callable[[Operator, Device, Factors], Number], op: Operator, device: Device, f: Factors) -> Number:
    """Evaluate a law on one-dimensional arrays, and give the answer the shape of the question.

    Operators that differ in their number of rows alone are evaluated once for each such number. Factors may have one
    more axis in front, as ``perturb_factors`` makes them.
    """
    # The commonest question first: numbers alone. FLOPs hold all of a product's dimensions.
    facts = device.peak_flops_per_s * device.bandwidth_bytes_per_s / device.units / device.clock_hz
    if isinstance(op.flops, float) and isinstance(facts, float):
        return law(op, device, f)
    arrays = [value for value in (*op, *device) if isinstance(value, np.ndarray)]
    if not arrays:
        return law(op, device, f)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    factors = flatten_factors(f)
    if isinstance(op.m, np.ndarray) and differs_in_rows_alone(op, device):
        distinct = find_distinct(op.m)
        chosen = flatten(op, op.m.shape, distinct.first)
        seconds = law(chosen, device, factors)[..., distinct.inverse]
        shape = op.m.shape
    else:
        everything = slice(None)
        seconds = law(flatten(op, shape, everything), flatten(device, shape, everything), factors)
    leading = seconds.shape[:-1]
    return seconds.reshape(*leading, *shape)


def flatten_factors(f: Factors) -> Factors:
    """Factors of which each array has one axis for its values and one for the rows; the last are remembered."""
    if _last_factors and _last_factors[0][0] is f:
        return _last_factors[0][1]
    arrays = {
        name: value.reshape(-1, 1) for name, value in zip(f.names, f, strict=True) if isinstance(value, np.ndarray)
    }
    found = f.replace(**arrays) if arrays else f
    _last_factors[:] = [(f, found)]
    return found


_last_factors: list[tuple[Factors, Factors]] = []


def differs_in_rows_alone(op: Operator, device: Device) -> bool:
    """Whether all arrays of an operator follow from its number of rows."""
    fixed = (op.n, op.k, op.batch, op.group, *device)
    return not any(isinstance(value, np.ndarray) for value in fixed)


def flatten(record: Any, shape: tuple[int, ...], places: Array | slice) -> Any:
    """A tuple with some elements of its arrays, each broadcast to a shape and laid out in one dimension."""
    return record._make(
        [
            (value if value.shape == shape else np.broadcast_to(value, shape)).reshape(-1)[places]
            if isinstance(value, np.ndarray)
            else value
            for value in record
        ]
    )


def find_distinct(values: Array) -> Distinct:
    """Tell equal elements of an array of any shape; the last array is remembered, since one pass asks for it often."""
    if _last and _last[0][0] is values:
        return _last[0][1]
    flat = values.reshape(-1)
    largest = float(flat.max())
    if largest <= MOST_COUNTED and not np.any(flat % 1):
        whole = flat.astype(np.int64)
        place = np.full(int(largest) + 1, -1)
        place[whole[::-1]] = np.arange(whole.size - 1, -1, -1)
        there = np.flatnonzero(place >= 0)
        first = place[there]
        place[there] = np.arange(there.size)
        found = Distinct(first, place[whole])
    else:
        _, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
        found = Distinct(first, inverse)
    _last[:] = [(values, found)]
    return found


_last: list[tuple[Array, Distinct]] = []


def select_rows(places: Array, size: int, *records: Any) -> tuple[Any, ...]:
    """Tuples with the elements at some places of all their arrays that have ``size`` of them along the last axis."""
    return tuple(
        record._make(
            [
                value[..., places] if isinstance(value, np.ndarray) and value.shape[-1:] == (size,) else value
                for value in record
            ]
        )
        for record in records
    )
