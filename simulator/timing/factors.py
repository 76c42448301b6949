"""Factors: the few numbers that a measurement adds to a data sheet, and what is known of each before measuring.

A kind of operator, a class of device and the host each bring their own (``simulator.timing.kinds``,
``simulator.timing.devices``, ``simulator.timing.host``); nothing lists them all but ``list_factors``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.numbers import Number

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG_STEP = 1e-4  # step of the derivatives


class Prior(NamedTuple):
    """Typical value of a factor, log standard deviation, and the reason for both.

    The spread is wide where only an order of magnitude is known, and narrow where the same was measured elsewhere.
    """

    value: float
    spread: float
    reason: str


class Factor(NamedTuple):
    """One factor: its unit, the values that make physical sense, its meaning, and its prior on a GPU."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str
    prior: Prior


class Factors:
    """Values of factors by name, each a float or an array that broadcasts against the rows of a prediction.

    Immutable. Two are equal, and have the same hash, where all their values are.
    """

    __slots__ = ("__dict__", "_hash")

    def __init__(self, **values: Number) -> None:
        """Take the values in the order in which they are to be listed."""
        self.__dict__.update(values)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Number: ...

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse a change."""
        raise AttributeError("factors do not change; replace gives others")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in their order."""
        return tuple(self.__dict__)

    def __iter__(self) -> Iterator[Number]:
        """Values in the order of the names."""
        return iter(self.__dict__.values())

    def __len__(self) -> int:
        """How many factors there are."""
        return len(self.__dict__)

    def __eq__(self, other: object) -> bool:
        """Whether all values are equal."""
        return isinstance(other, Factors) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Of all values; arrays have none."""
        try:
            known: int = self._hash
        except AttributeError:
            known = hash(tuple(self.__dict__.values()))
            object.__setattr__(self, "_hash", known)
        return known

    def __repr__(self) -> str:
        """All values by name."""
        return f"Factors({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"

    def replace(self, **changes: Number) -> Factors:
        """These factors with some values changed.

        Raises:
            TypeError: a name that is not there.
        """
        unknown = changes.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"no factor {', '.join(sorted(unknown))}")
        return Factors(**(self.__dict__ | changes))


def perturb_factors(factors: Factors, moved: list[str], dimensions: int) -> Factors:
    """Factors whose first axis runs over the values themselves and then over each of ``moved``, off by ``LOG_STEP``.

    One evaluation of a law with them gives the value and all derivatives. ``dimensions`` further axes of length one
    follow, to broadcast against the rows of a prediction. Those that are not moved stay plain numbers.
    """
    changes = {}
    for place, name in enumerate(moved, start=1):
        column = np.full(len(moved) + 1, getattr(factors, name), dtype=np.float64)
        column[place] *= np.exp(LOG_STEP)
        changes[name] = column.reshape(-1, *(1,) * dimensions)
    return factors.replace(**changes)


def find_log_slopes(values: NDArray[Any]) -> NDArray[Any]:
    """Derivatives of the logarithm of a law by the logarithms of the factors, from its values at perturbed factors.

    Shape (factors + 1, rows...) in, (factors, rows...) out.
    """
    logs = np.log(values)
    return np.asarray((logs[1:] - logs[0]) / LOG_STEP)


def as_log_array(factors: Factors) -> NDArray[Any]:
    """Logarithms of the factor values, in their order."""
    return np.log(np.array(list(factors), dtype=np.float64))
