"""Dual numbers: a value with its derivatives by several inputs, carried exactly through any law written in arithmetic.

Forward-mode differentiation (Griewank and Walther 2008, doi 10.1137/1.9780898717761, section 3.1). NumPy hands its
functions over to a dual number, and so do the operators: the functions of ``simulator.numbers`` need no branch for it.
Comparisons are of values, and what moves in steps (a ceiling, a choice) has derivative zero.

This is the one way to a derivative. Intervals are another thing: they run a law at all perturbed factors in one pass of
arrays (``timing.intervals``), over as many rows as there are, which a dual number of one value cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

Slopes = NDArray[np.float64]


class Dual(NDArrayOperatorsMixin):
    """One value and its derivatives by each of the inputs, in their order."""

    __slots__ = ("slopes", "value")

    def __init__(self, value: float, slopes: Slopes) -> None:
        self.value = float(value)
        self.slopes = slopes

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        """What a function of NumPy, and so an operator, gives."""
        law = LAWS.get(ufunc)
        if law is None or method != "__call__" or options or any(isinstance(x, np.ndarray) for x in inputs):
            return NotImplemented
        return law(*inputs)

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refuse to become an array, which would lose the derivatives."""
        raise TypeError("a dual number is no array")

    def __repr__(self) -> str:
        """The value; the derivatives are too many."""
        return f"Dual({self.value!r})"


def seed_duals(values: Mapping[str, float], logarithmic: bool = True) -> dict[str, Dual]:
    """Dual numbers that are the inputs themselves, by which all others are derived.

    ``logarithmic``: derived by the logarithm of each input.
    """
    units = np.eye(len(values))
    return {
        name: Dual(value, unit * value if logarithmic else unit)
        for (name, value), unit in zip(values.items(), units, strict=True)
    }


def value_of(x: Any) -> float:
    """The value of a dual or of a plain number."""
    return x.value if isinstance(x, Dual) else float(x)


def slopes_of(x: Any) -> Any:
    """The derivatives of a dual; 0 of a plain number."""
    return x.slopes if isinstance(x, Dual) else 0.0


def add(a: Any, b: Any) -> Dual:
    """Sum."""
    return Dual(value_of(a) + value_of(b), slopes_of(a) + slopes_of(b))


def subtract(a: Any, b: Any) -> Dual:
    """Difference."""
    return Dual(value_of(a) - value_of(b), slopes_of(a) - slopes_of(b))


def multiply(a: Any, b: Any) -> Dual:
    """Product."""
    x, y = value_of(a), value_of(b)
    return Dual(x * y, slopes_of(a) * y + x * slopes_of(b))


def divide(a: Any, b: Any) -> Dual:
    """Quotient."""
    x, y = value_of(a), value_of(b)
    ratio = x / y
    return Dual(ratio, (slopes_of(a) - ratio * slopes_of(b)) / y)


def raise_to(a: Any, b: Any) -> Dual:
    """Power of a base that is not negative; of 0 the derivative by the exponent is 0."""
    base, exponent = value_of(a), value_of(b)
    result = float(np.power(base, exponent))
    by_base = exponent * base ** (exponent - 1) if base > 0 or exponent >= 1 else 0.0
    slopes = by_base * slopes_of(a)
    if isinstance(b, Dual):
        slopes = slopes + (result * math.log(base) if base > 0 else 0.0) * b.slopes
    return Dual(result, slopes)


def take_root(a: Dual) -> Dual:
    """Square root; of 0 the derivative is taken as 0."""
    root = math.sqrt(a.value)
    return Dual(root, a.slopes / (2 * root) if root else np.zeros_like(a.slopes))


def take_remainder(a: Any, b: Any) -> Dual:
    """What is left of a after whole multiples of b, which is above zero."""
    x, y = value_of(a), value_of(b)
    return Dual(x % y, slopes_of(a) - math.floor(x / y) * slopes_of(b))


def take_smaller(a: Any, b: Any) -> Any:
    """The smaller; of equals the first, so that the smaller and the larger of two are always one each."""
    return a if value_of(a) <= value_of(b) else b


def take_larger(a: Any, b: Any) -> Any:
    """The larger; of equals the second."""
    return a if value_of(a) > value_of(b) else b


LAWS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: add,
    np.subtract: subtract,
    np.multiply: multiply,
    np.true_divide: divide,
    np.power: raise_to,
    np.float_power: raise_to,
    np.sqrt: take_root,
    np.negative: lambda a: Dual(-a.value, -a.slopes),
    np.positive: lambda a: a,
    np.minimum: take_smaller,
    np.maximum: take_larger,
    np.ceil: lambda a: math.ceil(a.value),
    np.floor: lambda a: math.floor(a.value),
    np.remainder: take_remainder,
    np.less: lambda a, b: value_of(a) < value_of(b),
    np.less_equal: lambda a, b: value_of(a) <= value_of(b),
    np.greater: lambda a, b: value_of(a) > value_of(b),
    np.greater_equal: lambda a, b: value_of(a) >= value_of(b),
    np.equal: lambda a, b: value_of(a) == value_of(b),
    np.not_equal: lambda a, b: value_of(a) != value_of(b),
}
