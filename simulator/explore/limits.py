"""Limits on an answer, such as ``tpot_s:0.03``: read from text, and held against predictions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError, unknown_name
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.metric import Conditions
from simulator.metrics.registry import Column, find_column, list_limits
from simulator.prediction import Prediction
from simulator.units import Dimension, parse_quantity

MEMORY = "memory"
DIMENSIONS = {dimension.unit: dimension for dimension in Dimension}
AS_CLOSE = 1e-3  # difference of logarithms of two that miss their limits by as much
FORM = re.compile(r"(?P<sign><=|>=|<|>|)\s*(?P<amount>.+)")


class Limit(NamedTuple):
    """One limit, in SI units."""

    name: str
    bound: float

    @property
    def at_least(self) -> bool:
        """Whether it is one from below."""
        return is_at_least(self.name)


class Check(NamedTuple):
    """A limit and the value that is held against it; the value may be an array."""

    limit: str
    value: Any
    bound: float
    at_least: bool

    @property
    def holds(self) -> Any:
        """Whether the limit holds; never where the value is not defined."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def slack(self) -> float:
        """Room that is left, as a share of the limit; negative where it does not hold."""
        ratio = float(self.value) / self.bound
        return ratio - 1 if self.at_least else 1 - ratio


def find_limited(name: str) -> Column:
    """The column that a limit is about.

    Raises:
        InputError: none that can be limited has the name.
    """
    known = list_limits()
    column = find_column(name) if name in known else None
    if column is None:
        raise unknown_name("limit", name, known)
    return column


def is_at_least(name: str) -> bool:
    """Whether a column is limited from below: where more of it is better."""
    return find_limited(name).metric.better == "up"


def parse_limit(text: str) -> Limit:
    """Read ``NAME:AMOUNT``, as ``tpot_s:0.03``, ``ttft_s:<200ms`` or ``output_tokens_per_s:>1000``.

    Raises:
        InputError: no such name, no amount above zero, or a sign that asks for the worse side.
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    matched = FORM.fullmatch(rest)
    if not colon or matched is None:
        raise InputError(f"--slo: '{text}' is not of the form NAME:AMOUNT, as tpot_s:0.03 or output_tokens_per_s:>1000")
    at_least = is_at_least(name)
    if matched["sign"][:1] == ("<" if at_least else ">"):
        side = "from below, with '>'" if at_least else "from above, with '<'"
        raise InputError(f"--slo: '{text}' is the wrong way round: {name} is limited {side}")
    return Limit(name, parse_amount(name, matched["amount"].strip()))


def parse_amount(name: str, text: str) -> float:
    """Read an amount in SI units, or with its unit.

    Raises:
        InputError: neither, or not above zero and finite.
    """
    dimension = DIMENSIONS.get(find_limited(name).metric.unit)
    try:
        amount = float(text)
    except ValueError:
        if dimension is None:
            raise InputError(f"--slo: {name}: '{text}' is not a number") from None
        try:
            return parse_quantity(text, dimension)
        except ValueError as error:
            raise InputError(f"--slo: {name}: {error}") from None
    if not 0 < amount < math.inf:
        raise InputError(f"--slo: {name}: {text} is not above zero and finite")
    return amount


def check_limited(name: str, given: Conditions) -> None:
    """Refuse a limit on what is not known.

    Raises:
        InputError: why it is not.
    """
    lack = find_limited(name).find_lack(given)
    if lack is not None:
        raise InputError(f"there is no {name} to limit: {lack}")


def keep_tightest(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Of limits on the same value the one that implies the others."""
    tightest: dict[str, Limit] = {}
    for limit in limits:
        both = [limit, tightest.get(limit.name, limit)]
        tightest[limit.name] = max(both) if limit.at_least else min(both)
    return tuple(tightest.values())


def list_checks(prediction: Prediction, limits: tuple[Limit, ...]) -> list[Check]:
    """Hold a prediction against limits and the memory."""
    question = prediction.question
    checks = [Check(one.name, prediction.find(one.name), one.bound, one.at_least) for one in limits]
    usable = float(find_usable_bytes(question.hardware, question.work.stack))
    return [*checks, Check(MEMORY, prediction.footprint.device_bytes, usable, False)]


def hold_all(checks: list[Check]) -> Any:
    """Whether all limits hold, row by row."""
    return np.logical_and.reduce(np.broadcast_arrays(*(check.holds for check in checks)))


def find_closest(misses: NDArray[np.float64]) -> int:
    """Place of the first trial that misses the limits by the least: by the worst missed, and of equals by all of them.

    ``misses`` is what ``find_misses`` gives, a column a trial.
    """
    worst, total = np.max(misses, axis=0), np.sum(misses, axis=0)
    total = np.where(worst <= np.min(worst) + AS_CLOSE, total, np.inf)
    return int(np.argmax(total <= np.min(total) + AS_CLOSE))


def find_misses(checks: list[Check]) -> NDArray[np.float64]:
    """By which factor each limit is missed, as a logarithm, row by row: 0 where it holds, infinite where undefined."""
    ratios = [check.bound / check.value if check.at_least else check.value / check.bound for check in checks]
    missed = np.stack(np.broadcast_arrays(*ratios))
    return np.where(np.isnan(missed), np.inf, np.log(np.maximum(missed, 1.0)))
