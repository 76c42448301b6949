"""Factors for tests: their names, and the typical values of a class of device with a stack."""

from collections.abc import Iterable

import numpy as np

from simulator.inputs.library import load_stack
from simulator.timing.factors import Factors
from simulator.timing.learned import Traits
from simulator.timing.priors import as_factors, choose_priors, list_factors

NAMES = tuple(list_factors())
LOW = np.array([factor.low for factor in list_factors().values()])
HIGH = np.array([factor.high for factor in list_factors().values()])


def typical(stack: str, device_class: str = "gpu") -> Factors:
    """The typical value of every factor."""
    return as_factors(choose_priors(Traits(device_class), load_stack(stack)))


def from_values(values: Iterable[float]) -> Factors:
    """Factors from values in the order of their names."""
    return Factors(**dict(zip(NAMES, values, strict=True)))
