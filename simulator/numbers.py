"""The few functions that differ between a float, a NumPy array and a SymPy expression.

Every law in ``costs`` and ``timing`` is ordinary arithmetic; rounding, minima and choices go through here, so that one
line serves one request, a million rows and the printed formula. Plain numbers take the ``math`` path, because a NumPy
scalar operation costs twenty times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

Number = Any  # a float, a float64 array, a SymPy expression, or what NumPy's functions hand themselves over to
PLAIN = (int, float)
NUMERIC = (int, float, bool, np.ndarray, np.generic, NDArrayOperatorsMixin)


def sort_distinct(values: Any) -> np.ndarray[Any, Any]:
    """The different values of an array in order; ``np.unique`` loads ``numpy.ma``, which takes long."""
    ordered = np.sort(values, axis=None)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def is_symbolic(*values: Number) -> bool:
    """Whether any value is a SymPy expression."""
    for value in values:  # noqa: SIM110  # is asked for each operation of each law
        if not isinstance(value, NUMERIC):
            return True
    return False


def ceil(value: Number) -> Number:
    """Smallest whole number at or above the value."""
    if isinstance(value, PLAIN):
        return math.ceil(value)
    if is_symbolic(value):
        import sympy

        return sympy.ceiling(value)
    return np.ceil(value)


def whole_part(value: Number) -> Number:
    """Largest whole number at or below a value."""
    if isinstance(value, PLAIN):
        return math.floor(value)
    if is_symbolic(value):
        import sympy

        return sympy.floor(value)
    return np.floor(value)


def minimum(a: Number, b: Number) -> Number:
    """The smaller of two values."""
    if isinstance(a, PLAIN) and isinstance(b, PLAIN):
        return a if a < b else b
    if is_symbolic(a, b):
        import sympy

        return sympy.Min(a, b)
    return np.minimum(a, b)


def maximum(a: Number, b: Number) -> Number:
    """The larger of two values."""
    if isinstance(a, PLAIN) and isinstance(b, PLAIN):
        return a if a > b else b
    if is_symbolic(a, b):
        import sympy

        return sympy.Max(a, b)
    return np.maximum(a, b)


def where(condition: Number, a: Number, b: Number) -> Number:
    """``a`` where the condition holds, else ``b``."""
    if isinstance(condition, bool):
        return a if condition else b
    if isinstance(condition, (np.ndarray, np.generic)):
        return np.where(condition, a, b)
    import sympy

    return sympy.Piecewise((a, condition), (b, True))


def choose(condition: Number, a: Callable[[], Number], b: Callable[[], Number]) -> Number:
    """``where`` that works out only the values it needs."""
    if isinstance(condition, bool):
        return a() if condition else b()
    if isinstance(condition, np.ndarray):
        if condition.all():
            return a()
        if not condition.any():
            return b()
    return where(condition, a(), b())


def both(a: Number, b: Number) -> Number:
    """Whether both conditions hold."""
    if isinstance(a, bool) and isinstance(b, bool):
        return a and b
    if is_symbolic(a, b):
        import sympy

        return sympy.And(a, b)
    return np.logical_and(a, b)


def either(a: Number, b: Number) -> Number:
    """Whether at least one condition holds."""
    if isinstance(a, bool) and isinstance(b, bool):
        return a or b
    if is_symbolic(a, b):
        import sympy

        return sympy.Or(a, b)
    return np.logical_or(a, b)


def is_multiple(value: Number, of: int) -> Number:
    """Whether the value is a whole multiple of a positive whole number."""
    if isinstance(value, PLAIN):
        return value % of == 0
    if is_symbolic(value):
        import sympy

        return sympy.Eq(sympy.Mod(value, of), 0)
    return np.remainder(value, of) == 0


def round_up(value: Number, multiple: Number) -> Number:
    """Smallest multiple at or above the value."""
    return ceil(value / multiple) * multiple


def square_root(value: Number) -> Number:
    """Square root, correctly rounded and so the same for a float and an array."""
    if isinstance(value, PLAIN):
        return math.sqrt(value)
    if is_symbolic(value):
        import sympy

        return sympy.sqrt(value)
    return np.sqrt(value)


def power(base: Number, exponent: Number) -> Number:
    """``base ** exponent``.

    A float and an array agree to rounding and not to the bit: NumPy raises contiguous arrays by vector instructions of
    its own and strided ones by the C library.
    """
    if isinstance(base, PLAIN) and isinstance(exponent, PLAIN):
        return float(base**exponent)
    if is_symbolic(base, exponent):
        return base**exponent
    number: Any = base if isinstance(base, NDArrayOperatorsMixin) else np.float64(base)
    return np.power(number, exponent)


def round_corner(a: Number, b: Number) -> Number:
    """``smooth_maximum`` of sharpness 4, of values whose fourth powers a float can hold, in a quarter of the time."""
    a2, b2 = a * a, b * b
    fourth_powers = a2 * a2 + b2 * b2
    if isinstance(fourth_powers, float):
        return math.sqrt(math.sqrt(fourth_powers))
    return square_root(square_root(fourth_powers))


def smooth_maximum(a: Number, b: Number, sharpness: Number) -> Number:
    """The larger of two positive values, rounded off where they are close: ``(a^s + b^s)^(1/s)``.

    Differentiable in both, at least as large as either, and at most ``2^(1/s)`` times the larger, which is above zero.
    """
    if isinstance(a, PLAIN) and isinstance(b, PLAIN):
        larger, smaller = (a, b) if a > b else (b, a)
    else:
        larger, smaller = maximum(a, b), minimum(a, b)
    ratio = smaller / larger
    return larger * power(1 + power(ratio, sharpness), 1 / sharpness)
