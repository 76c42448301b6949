"""Intervals: how far a prediction may be off, from the profile's covariance and the scatter the law leaves.

The logarithm of a time is taken as normal. Its variance is the factors' covariance carried through the law's
derivatives, plus the discrepancy between law and measurement, plus, on a device that was not measured, the transfer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.costs.passes import Pass, list_all
from simulator.costs.request import RequestPasses
from simulator.numbers import Number
from simulator.timing import host
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.devices.base import DeviceClass
from simulator.timing.factors import Factor, Factors, find_log_slopes, perturb_factors
from simulator.timing.kinds import KINDS
from simulator.timing.passes import Machine
from simulator.timing.profile import Knowledge
from simulator.timing.request import Times

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORMAL_90 = 1.6448536269514722  # two-sided 90% quantile of the normal distribution
# Scatter of the logarithm that moving factors to another device by its data sheet adds. A judgement: the four
# transfers that published requests allow show none past the errors of factors and the law's own scatter
# (benchmarks/transfer.py), but the laws were made in view of these.
TRANSFER_STANDARD_ERROR = 0.11


class Intervals(NamedTuple):
    """Lower and upper ends of the 90% intervals."""

    low: Times
    high: Times


def find_intervals(
    knowledge: Knowledge, moved: list[str], law: Callable[[Factors], Times], dimensions: int, transfer: bool
) -> Intervals:
    """Return the 90% intervals of the times that ``law`` gives for factors, of which it reads those ``moved``.

    Its rows have ``dimensions`` axes.
    """
    times = np.stack(np.broadcast_arrays(*law(perturb_factors(knowledge.factors, moved, dimensions))), axis=1)
    center = Times(*times[0])
    share = center.ttft_s / center.e2e_s
    spread = knowledge.profile.discrepancy
    scatter = np.stack(
        np.broadcast_arrays(spread.prefill, spread.decode, share * spread.prefill + (1 - share) * spread.decode)
    )
    width = find_width(knowledge.log_covariance(moved), times, scatter, transfer)
    return Intervals(Times(*unwrap(times[0] / width)), Times(*unwrap(times[0] * width)))


def find_width(
    covariance: NDArray[Any], values: NDArray[Any], scatter: NDArray[Any] | float, transfer: bool
) -> NDArray[Any]:
    """Ratio of the upper end of a 90% interval to its middle, for a law's values at perturbed factors.

    ``covariance`` is of the logarithms of the factors that were moved; ``values`` has the shape (factors + 1, rows...);
    ``scatter`` is the law's own, relative, for each row.
    """
    slope = find_log_slopes(values)
    carried = np.einsum("i...,ij,j...->...", slope, covariance, slope)
    moved = TRANSFER_STANDARD_ERROR**2 if transfer else 0.0
    return np.asarray(np.exp(NORMAL_90 * np.sqrt(np.maximum(carried, 0.0) + scatter**2 + moved)))


def list_used_factors(request: RequestPasses, machine: Machine) -> list[str]:
    """Names of the factors that the time of a request may depend on, in their order."""
    one = DEVICE_CLASSES[machine.device.kind]
    used = {factor.name for factor in host.PASS_FACTORS}
    for work in (request.prefill, request.decode):
        used |= list_pass_factors(work, one)
    order = [] if machine.factors is None else machine.factors.names
    return [name for name in order if name in used]


def list_pass_factors(work: Pass, one: DeviceClass) -> set[str]:
    """Names of the factors that the operators of a pass and its host work read."""
    groups: list[tuple[Factor, ...]] = [one.law_factors]
    for kind in {operator.kind for _, operator in list_all(work)}:
        groups.append(KINDS[kind].cpu_factors if one.family == "cpu" else KINDS[kind].gpu_factors)
    done = work.linear.host
    if done.eager:
        groups += [host.EAGER_FACTORS, one.factors]
    if isinstance(done.encoded_tokens, np.ndarray) or done.encoded_tokens:
        groups.append((host.PROMPT_TOKEN_HOST,))
    return {factor.name for group in groups for factor in group}


def unwrap(rows: Number) -> list[Number]:
    """Rows of an array, each a float where it has no dimension left."""
    return [float(row) if np.ndim(row) == 0 else row for row in rows]
