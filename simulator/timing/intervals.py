"""Intervals: how far a prediction may be off, from the profile's covariance and the scatter the law leaves.

The logarithm of a time is taken as normal. Its variance is the factors' covariance carried through the law's
derivatives, plus the discrepancy between law and measurement, plus what the question differs in from the measurements
(``transfer``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulator.costs.passes import Pass, list_all
from simulator.costs.request import RequestPasses
from simulator.numbers import Number
from simulator.timing import host
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.devices.base import DeviceClass
from simulator.timing.factors import LOG_STEP, Factor, Factors, find_log_slopes
from simulator.timing.kinds import KINDS
from simulator.timing.passes import Machine
from simulator.timing.profile import Knowledge
from simulator.timing.request import Times
from simulator.timing.transfer import Phases

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TOGETHER = 30_000  # times whose directions are evaluated at once
NORMAL_90 = 1.6448536269514722  # two-sided 90% quantile of the normal distribution


class Intervals(NamedTuple):
    """Lower and upper ends of the 90% intervals."""

    low: Times
    high: Times


def find_intervals(
    knowledge: Knowledge, moved: list[str], law: Callable[[Factors], Times], dimensions: int, spread: Phases
) -> Intervals:
    """Return the 90% intervals of the times that ``law`` gives for factors, of which it reads those ``moved``.

    Its rows have ``dimensions`` axes. ``spread``: standard error of each phase besides that of the factors. The
    variance is summed over directions in which the factors err independently: one evaluation a direction, and all of
    them at once where the rows are few.
    """
    center = np.stack(np.broadcast_arrays(*law(knowledge.factors)))
    carried = np.zeros_like(center)
    for slopes in find_slopes(knowledge, moved, law, center, dimensions):
        carried += slopes**2
    width = widen(carried, find_scatter(spread, Times(*center)))
    return Intervals(Times(*unwrap(center / width)), Times(*unwrap(center * width)))


def find_slopes(
    knowledge: Knowledge, moved: list[str], law: Callable[[Factors], Times], center: NDArray[Any], dimensions: int
) -> Iterator[NDArray[Any]]:
    """Change of the logarithms of the times of ``center`` for each independent standard deviation of the factors."""
    directions = find_directions(knowledge.log_covariance(moved))
    known = knowledge.factors
    if center.size > MOST_TOGETHER:
        for direction in directions:
            steps = dict(zip(moved, np.exp(LOG_STEP * direction).tolist(), strict=True))
            times = law(known.replace(**{name: getattr(known, name) * step for name, step in steps.items()}))
            yield np.log(np.stack(np.broadcast_arrays(*times)) / center) / LOG_STEP
        return
    moves = np.exp(LOG_STEP * directions)
    shape = (-1, *(1,) * dimensions)
    columns = {name: (getattr(known, name) * moves[:, place]).reshape(shape) for place, name in enumerate(moved)}
    values = np.stack(np.broadcast_arrays(*law(known.replace(**columns))), axis=1)
    yield from np.log(values / center) / LOG_STEP


def find_directions(covariance: NDArray[Any]) -> NDArray[Any]:
    """Steps of the logarithms of factors, one a row, that are independent and of one standard deviation each."""
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray((axes * np.sqrt(np.maximum(variances, 0.0))).T)


def find_scatter(spread: Phases, center: Times) -> NDArray[Any]:
    """Relative standard error of each of the three times from that of the phases."""
    share = center.ttft_s / center.e2e_s
    whole = share * spread.prefill + (1 - share) * spread.decode
    return np.stack(np.broadcast_arrays(spread.prefill, spread.decode, whole))


def find_width(covariance: NDArray[Any], values: NDArray[Any], scatter: NDArray[Any] | float) -> NDArray[Any]:
    """Ratio of the upper end of a 90% interval to its middle, for a law's values at perturbed factors.

    ``covariance`` is of the logarithms of the factors that were moved; ``values`` has the shape (factors + 1, rows...);
    ``scatter`` is the relative standard error besides, for each row.
    """
    slope = find_log_slopes(values)
    carried = np.einsum("i...,ij,j...->...", slope, covariance, slope)
    return widen(carried, scatter)


def widen(carried: NDArray[Any], scatter: NDArray[Any] | float) -> NDArray[Any]:
    """Upper end of a 90% interval over its middle, from the factors' variance and the standard error besides."""
    return np.asarray(np.exp(NORMAL_90 * np.sqrt(np.maximum(carried, 0.0) + scatter**2)))


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
    for kind in (KINDS[name] for name in {operator.kind for _, operator in list_all(work)}):
        groups.append(kind.cpu_factors if one.family == "cpu" else kind.gpu_factors)
        if kind.is_message:
            groups.append(host.MESSAGE_FACTORS)
    done = work.linear.host
    if done.eager:
        groups += [host.EAGER_FACTORS, one.factors]
    if done.prepares:
        groups.append(host.SETUP_FACTORS)
    if isinstance(done.encoded_tokens, np.ndarray) or done.encoded_tokens:
        groups.append((host.PROMPT_TOKEN_HOST,))
    return {factor.name for group in groups for factor in group}


def unwrap(rows: Number) -> list[Number]:
    """Rows of an array, each a float where it has no dimension left."""
    return [float(row) if np.ndim(row) == 0 else row for row in rows]
