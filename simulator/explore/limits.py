"""Limits on an answer, such as ``tpot_s:0.03``: read from text, and held against predictions."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

from simulator.costs.elementary import Number
from simulator.errors import InputError, unknown_name
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.rates import Price
from simulator.prediction import TIME_FIELDS, Prediction
from simulator.units import Dimension, parse_quantity

MEMORY = "memory"
COST = "cost_usd"
HIGH_ENDS = tuple(f"{name}_high" for name in TIME_FIELDS)
AT_MOST = (*TIME_FIELDS, *HIGH_ENDS, COST)
AT_LEAST = ("output_tokens_per_s",)
FORM = re.compile(r"(?P<sign><=|>=|<|>|)\s*(?P<amount>.+)")


class Limit(NamedTuple):
    """One limit, in SI units."""

    name: str
    bound: float


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


def parse_limit(text: str) -> Limit:
    """Read ``NAME:AMOUNT``, as ``tpot_s:0.03``, ``ttft_s:<200ms`` or ``output_tokens_per_s:>1000``.

    Raises:
        InputError: no such name, no amount above zero, or a sign that asks for the worse side.
    """
    name, colon, rest = (part.strip() for part in text.partition(":"))
    known = (*AT_MOST, *AT_LEAST)
    matched = FORM.fullmatch(rest)
    if not colon or matched is None:
        raise InputError(f"--slo: '{text}' is not of the form NAME:AMOUNT, as tpot_s:0.03 or output_tokens_per_s:>1000")
    if name not in known:
        raise unknown_name("limit", name, known)
    if matched["sign"][:1] == ("<" if name in AT_LEAST else ">"):
        raise InputError(f"--slo: '{text}' is the wrong way round: {name} is limited {describe_side(name)}")
    return Limit(name, parse_amount(name, matched["amount"].strip()))


def describe_side(name: str) -> str:
    """On which side a limit is."""
    return "from below, with '>'" if name in AT_LEAST else "from above, with '<'"


def parse_amount(name: str, text: str) -> float:
    """Read an amount in SI units, or a time or a cost with its unit.

    Raises:
        InputError: neither, or not above zero and finite.
    """
    try:
        amount = float(text)
    except ValueError:
        if name in AT_LEAST:
            raise InputError(f"--slo: {name}: '{text}' is not a number") from None
        try:
            return parse_quantity(text, Dimension.DOLLARS if name == COST else Dimension.SECONDS)
        except ValueError as error:
            raise InputError(f"--slo: {name}: {error}") from None
    if not 0 < amount < math.inf:
        raise InputError(f"--slo: {name}: {text} is not above zero and finite")
    return amount


def list_checks(prediction: Prediction, limits: tuple[Limit, ...], price: Price | None = None) -> list[Check]:
    """Hold a prediction against limits and the memory.

    Raises:
        InputError: a limit on a cost without a price, or on an interval of a bound.
    """
    question = prediction.question
    checks = [Check(name, measure(prediction, name, price), bound, name in AT_LEAST) for name, bound in limits]
    usable = float(find_usable_bytes(question.hardware, question.work.stack))
    return [*checks, Check(MEMORY, prediction.footprint.device_bytes, usable, False)]


def measure(prediction: Prediction, name: str, price: Price | None) -> Number:
    """The value that a limit is about.

    Raises:
        InputError: as ``list_checks``.
    """
    if name == COST:
        if price is None:
            name = prediction.question.hardware.id
            raise InputError(f"a limit on {COST} needs the price of one device, and none ships for {name} (--price)")
        return price.price * prediction.devices * prediction.e2e_s
    value = getattr(prediction, name)
    if value is None:
        raise InputError(f"a limit on {name} needs a profile: a bound has no interval")
    return value


def hold_all(checks: list[Check]) -> Any:
    """Whether all limits hold, row by row."""
    return np.logical_and.reduce(np.broadcast_arrays(*(check.holds for check in checks)))


def find_excess(checks: list[Check]) -> Any:
    """Logarithm of how far the worst of the limits is from holding, row by row; infinite where it is not defined."""
    ratios = [check.bound / check.value if check.at_least else check.value / check.bound for check in checks]
    worst = np.max(np.stack(np.broadcast_arrays(*ratios)), axis=0)
    return np.where(np.isnan(worst), np.inf, np.log(worst))
