"""Least squares: the factors of a profile from a table of measurements.

Minimises over the logarithms of the factors the sum of robust relative residuals (soft L1) and of squared deviations
from the priors, each in units of its standard deviation, within the bounds of ``list_factors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.fit.cases import Array, Case, build_cases, predict_rows, settle_load
from simulator.errors import InputError
from simulator.inputs.hardware import Hardware
from simulator.inputs.measurements import OWN_SOURCE, Measurement
from simulator.inputs.stack import Stack
from simulator.timing.device import find_traits
from simulator.timing.factors import Factors, Prior, as_log_array, find_log_slopes, perturb_factors
from simulator.timing.intervals import NORMAL_90
from simulator.timing.priors import choose_priors, list_factors
from simulator.timing.profile import Discrepancy

LAW_SCATTER = 0.025  # relative scatter of the law about a measured request, one standard deviation
# The same of a load: repeated runs differ by 0.7% in TPOT and 3.5% in TTFT on the median, 8% and 15% at the 90th
# percentile, and what the client and the router add is not in the law.
LOAD_SCATTER, LOAD_TTFT_SCATTER = 0.04, 0.12
# What fits to other runs leave of a load, where few tell: 90% of the values of vLLM on H100 and H200 and of SGLang and
# TensorRT-LLM on H100 are off by no more than 28% to 33% in TTFT, and by 5% to 11% in TPOT.
UNFITTED_SCATTER, UNFITTED_TTFT_SCATTER = 0.05, 0.2
LOAD_ROUNDS = 2  # simulations of all rows of load in a fit, after the first
OPERATOR_SCATTER = 0.06  # the same of a single operator
# The same on a CPU, whose caches and other work nobody controls, by phase or kind of operator.
CPU_SCATTER = {"prefill": 0.07, "decode": 0.07, "request": 0.07, "linear": 0.15, "elementwise": 0.4, "host": 1.0}
CPU_OPERATOR_SCATTER = 0.2  # of the other kinds
SOFT_L1_SCALE = 1.5  # residuals past this many standard deviations count linearly
RESOLUTION_S = 0.0005  # times are printed to a millisecond: half a step
FEWEST_ROWS = 10  # below which the scatter of a phase is not taken to be less than on other stacks
# What fits to so few rows leave on the rows that they have not seen, as a 90% interval has it: a median of 0.04 where
# eight rows of each device and stack of benchmarks/accuracy.py are fitted. The errors of factors are in it, twice.
SCARCE_SCATTER = 0.04
FEWEST_FOR_TAILS = 16  # of a phase or kind, to estimate its scatter from the 90% quantile
MEDIAN_TO_DEVIATION = 1.4826  # of a normal distribution: standard deviation over median absolute deviation
LEAST_FREEDOM = 0.1  # a row that alone decides a factor shows little of its scatter
MOST_EVALUATIONS = 400
TOLERANCE = 1e-6  # relative change of cost and factors at which a fit is done: far inside their standard errors
AT_BOUND = 0.01  # log distance within which a factor sits at its bound
HIGH_CORRELATION = 0.95
# What rows must do for a profile to hold a factor: take away this share of its prior's variance, or make it correlate
# with another by so much.
LEAST_INFORMATION, LEAST_CORRELATION = 0.05, 0.1


@dataclass(frozen=True)
class Fit:
    """Fitted factors with their covariance, and how well they hold.

    ``log_covariance`` is of the logarithms, in the order of ``list_factors``; ``predicted`` in the order of ``rows``.
    """

    rows: list[Measurement]
    priors: dict[str, Prior]
    factors: Factors
    log_covariance: Array
    predicted: Array
    discrepancy: Discrepancy

    @property
    def relative_errors(self) -> Array:
        """(predicted - measured) / measured of each row."""
        measured = np.array([row.value for row in self.rows])
        return np.asarray(self.predicted / measured - 1)

    @property
    def standard_errors(self) -> Array:
        """Relative standard error of each factor."""
        return np.sqrt(np.diag(self.log_covariance))

    @property
    def informed(self) -> list[str]:
        """Names of the factors that the rows said something about.

        They took some of the prior's variance away, or tied the factor to another: priors are independent.
        """
        spreads = np.array([prior.spread for prior in self.priors.values()])
        taken = 1 - (self.standard_errors / spreads) ** 2
        tied = np.abs(self.correlation - np.eye(len(spreads))).max(axis=1)
        told = (taken > LEAST_INFORMATION) | (tied > LEAST_CORRELATION)
        return [name for name, is_told in zip(self.factors.names, told, strict=True) if is_told]

    @property
    def correlation(self) -> Array:
        """Correlation matrix of the factors."""
        return np.asarray(self.log_covariance / np.outer(self.standard_errors, self.standard_errors))

    def factors_at_bound(self) -> list[str]:
        """Names of factors that sit at the end of their physical range."""
        logs = as_log_array(self.factors)
        lows, highs = log_bounds()
        at_end = (logs - lows < AT_BOUND) | (highs - logs < AT_BOUND)
        return [name for name, hit in zip(self.factors.names, at_end, strict=True) if hit]

    def high_correlations(self) -> list[tuple[str, str, float]]:
        """Pairs of factors that the data can hardly tell apart."""
        return list_high_correlations(list(self.factors.names), self.correlation)


def list_high_correlations(names: list[str], correlation: Array) -> list[tuple[str, str, float]]:
    """Pairs of factors whose correlation is close to one, from a matrix in the order of their names."""
    return [
        (names[i], names[j], float(correlation[i, j]))
        for i in range(len(names))
        for j in range(i)
        if abs(correlation[i, j]) > HIGH_CORRELATION
    ]


def fit_profile(rows: list[Measurement], hardware: Hardware, stack: Stack) -> Fit:
    """Fit the factors to rows that were measured on one device with one stack.

    Raises:
        InputError: no rows, or rows the predictor cannot answer.
    """
    if not rows:
        raise InputError("no rows to fit")
    cases = build_cases(rows, "none", hardware, stack)
    priors = choose_priors(find_traits(hardware), stack)
    sigma = find_sigma(rows, hardware)
    factors, covariance = solve(cases, rows, priors, sigma)
    for _ in range(LOAD_ROUNDS if settle_load(cases, factors) else 0):
        factors, covariance = solve(cases, rows, priors, sigma, factors)
        settle_load(cases, factors)
    predicted = predict_rows(cases, factors)
    freedom = find_freedom(cases, factors, covariance, sigma)
    return Fit(rows, priors, factors, covariance, predicted, find_discrepancy(rows, predicted, sigma, freedom))


def solve(
    cases: list[Case],
    rows: list[Measurement],
    priors: dict[str, Prior],
    sigma: Array,
    start: Factors | None = None,
) -> tuple[Factors, Array]:
    """Return the factors of least cost, and the covariance of their logarithms.

    The search begins at the priors, or where it is told.
    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("a fit needs SciPy: pip install 'roofcast[calibrate]'") from None
    prior = np.log([one.value for one in priors.values()])
    spread = np.array([one.spread for one in priors.values()])
    measured = np.array([row.value for row in rows])

    def residuals(logs: Array) -> Array:
        predicted = predict_rows(cases, as_factors(logs))
        return np.concatenate([np.log(predicted / measured) / sigma, (logs - prior) / spread])

    def derivatives(logs: Array) -> Array:
        slopes = find_log_slopes(predict_rows(cases, perturb_factors(as_factors(logs), list(priors), 1)))
        return np.concatenate([slopes.T / sigma[:, np.newaxis], np.diag(1 / spread)])

    lows, highs = log_bounds()
    first = prior if start is None else np.clip(as_log_array(start), lows, highs)
    result: Any = least_squares(
        residuals,
        first,
        jac=derivatives,
        bounds=(lows, highs),
        loss=lambda squares: robust_loss(squares, len(measured)),
        x_scale=spread,
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        max_nfev=MOST_EVALUATIONS,
    )
    if not result.success:
        raise InputError(f"the fit did not converge: {result.message}")
    # result.jac is scaled by the loss, so its normal matrix is the robust one; the prior rows make it regular.
    return as_factors(result.x), np.linalg.inv(result.jac.T @ result.jac)


def find_sigma(rows: list[Measurement], hardware: Hardware) -> Array:
    """Relative scatter that each row is expected to have about the law."""
    measured = np.array([row.value for row in rows])
    if hardware.kind == "cpu":
        of_law = np.array([CPU_SCATTER.get(row.phase, CPU_OPERATOR_SCATTER) for row in rows])
    else:
        of_law = np.array([OPERATOR_SCATTER if row.operator else LAW_SCATTER for row in rows])
    of_load = np.array([row.is_load for row in rows])
    of_first = np.array([row.phase == "prefill" for row in rows])
    of_law = np.where(of_load, np.where(of_first, LOAD_TTFT_SCATTER, LOAD_SCATTER), of_law)
    printed_to_ms = np.array([is_printed(row) for row in rows])
    resolution = np.where(printed_to_ms, RESOLUTION_S / measured, 0.0)
    return np.asarray(np.hypot(of_law, resolution))


def is_printed(row: Measurement) -> bool:
    """Whether a time was read off a printed page or log, and not taken here with a scatter of its own."""
    timed = row.metric in ("e2e_s", "ttft_s", "prefill_s", "tpot_s") and not row.is_load
    return timed and not row.source.startswith(OWN_SOURCE)


def robust_loss(squares: Array, data_rows: int) -> Array:
    """Soft L1 of the squared residuals of the data, the squares themselves of the priors; with two derivatives.

    Soft L1 is 2 C^2 (sqrt(1 + z / C^2) - 1): the square z of a small residual, 2 C times the size of a large one.
    """
    scale = SOFT_L1_SCALE**2
    bend = 1 + squares / scale
    loss = np.stack([2 * scale * (np.sqrt(bend) - 1), bend**-0.5, -0.5 / scale * bend**-1.5])
    loss[:, data_rows:] = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])[:, data_rows:]
    return loss


def find_freedom(cases: list[Case], factors: Factors, covariance: Array, sigma: Array) -> Array:
    """Share of each row's scatter that shows in its residual: one minus the row's leverage on the fit."""
    slopes = find_log_slopes(predict_rows(cases, perturb_factors(factors, list(factors.names), 1)))
    leverage = np.einsum("ir,ij,jr->r", slopes, covariance, slopes) / sigma**2
    return np.asarray(np.clip(1 - leverage, LEAST_FREEDOM, 1.0))


def find_discrepancy(rows: list[Measurement], predicted: Array, sigma: Array, freedom: Array) -> Discrepancy:
    """Scatter of the residuals by phase and operator: what the law leaves unexplained beside its factors' uncertainty.

    ``sigma`` is the scatter that the fit assumed of each row, ``freedom`` from ``find_freedom``.
    """
    errors = np.log(predicted / np.array([row.value for row in rows]))
    phases = np.array([row.phase for row in rows])

    def scatter_of(*names: str) -> float:
        chosen = np.isin(phases, names)
        return find_scatter(errors[chosen], sigma[chosen], freedom[chosen], float(np.min(sigma)))

    operators = {kind: scatter_of(kind) for kind in sorted({row.phase for row in rows if row.operator})}
    prefill, decode = scatter_of("prefill"), scatter_of("decode", "request")
    if any(row.is_load for row in rows):
        if int(np.sum(phases == "prefill")) < FEWEST_FOR_TAILS:
            prefill = max(prefill, UNFITTED_TTFT_SCATTER)  # few first tokens say little of what the client adds
        if int(np.sum(np.isin(phases, ("decode", "request")))) < FEWEST_FOR_TAILS:
            decode = max(decode, UNFITTED_SCATTER)
    return Discrepancy(prefill, decode, operators or None)


def find_scatter(errors: Array, assumed: Array, freedom: Array, least: float) -> float:
    """Standard deviation of errors by the part of them that holds 90%, since intervals do, and tails are long.

    By their median where rows are too few to show tails. Very few show nothing of the scatter, which is then at least
    the one assumed in the fit and the one that such fits leave elsewhere; of no row the ``least`` that was assumed.
    """
    if not len(errors):
        return max(SCARCE_SCATTER, least)
    if len(errors) >= FEWEST_FOR_TAILS:
        return float(np.quantile(np.abs(errors) / np.sqrt(freedom), 0.9)) / NORMAL_90
    scatter = float(MEDIAN_TO_DEVIATION * np.median(np.abs(errors)))
    return scatter if len(errors) >= FEWEST_ROWS else max(scatter, SCARCE_SCATTER, float(np.median(assumed)))


def as_factors(logs: Array) -> Factors:
    """Factors from their logarithms."""
    return Factors(**dict(zip(list_factors(), np.exp(logs).tolist(), strict=True)))


def log_bounds() -> tuple[Array, Array]:
    """Logarithms of the ends of the physical ranges, in the order of ``list_factors``."""
    meanings = list_factors().values()
    return np.log([meaning.low for meaning in meanings]), np.log([meaning.high for meaning in meanings])
