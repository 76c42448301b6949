"""The shares of board power (``simulator/metrics/power.py``), fitted to a table of kernels with their mean power.

The tables are NVIDIA's AIConfigurator's (Apache-2.0): milliseconds and mean board watts of matrix products, with the
power limit. A row is of one kernel that runs again and again for a short while, and the meter is slow: short kernels
are read far below what they draw when they go on. And operands that fit the last cache are not read from memory every
time. The fit leaves both out, and the report shows them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.readers.op_table import HALF, MILLISECOND, read_cells
from simulator.errors import InputError
from simulator.inputs.formats import element_bytes
from simulator.inputs.hardware import Hardware
from simulator.metrics.power import PowerShares, cap_load, find_load
from simulator.report.output import OutputForm, format_json, format_rows, format_table

SCHEMA = "roofcast/power-fit/1"
TABLES = "gemm_power*.csv*"
MOST_ROWS = 200
SHORTEST_S = 3e-5  # of the kernels that are fitted
STILL = 0.02  # shares of the peaks that together are as good as none: what such rows draw is the idle share
SIZES_S = (0.0, 1e-5, SHORTEST_S, 1e-4, 1e-3, float("inf"))
Array = NDArray[np.float64]


class PowerRows(NamedTuple):
    """Kernels: how much of the device they use, how long they take (seconds), and what the board drew over its limit.

    ``cached``: operands over the capacity of the last cache, as a ratio; below 1 they may never leave it.
    """

    compute: Array
    memory: Array
    seconds: Array
    cached: Array
    share: Array

    @property
    def steady(self) -> NDArray[np.bool_]:
        """Rows whose power is read as it is: long kernels over operands past the cache."""
        return (self.seconds >= SHORTEST_S) & (self.cached > 1)

    def take(self, places: Any) -> PowerRows:
        """Some of the rows."""
        return PowerRows(*(column[places] for column in self))


class PowerFit(NamedTuple):
    """The shares, and which rows they were fitted to."""

    shares: PowerShares
    fitted: NDArray[np.bool_]


def read_power(folder: Path, hardware: Hardware) -> PowerRows:
    """Read the matrix products of half precision in a folder, as shares of the device's peaks.

    Raises:
        InputError: no table, a missing column, or a value that is no positive number.
    """
    paths = sorted(folder.glob(TABLES)) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder}: no table {TABLES} of kernels with their power")
    rows = [
        row for path in paths for where, cells in read_cells(path) for row in parse_power(path, where, cells, hardware)
    ]
    if not rows:
        raise InputError(f"{folder}: no row of half precision")
    return PowerRows(*np.array(rows, dtype=np.float64).T)


def parse_power(path: Path, where: str, cells: dict[str, str], hardware: Hardware) -> list[tuple[float, ...]]:
    """The row of one line; none where it is of another precision.

    A product ``y[m, n] = x[m, k] w[k, n]`` takes 2 m n k FLOPs and moves its three matrices once.
    """
    try:
        dtype = HALF.get(cells["gemm_dtype"])
        if dtype is None:
            return []
        m, n, k, latency, power, limit = (
            float(cells[name]) for name in ("m", "n", "k", "latency", "power", "power_limit")
        )
    except KeyError as error:
        raise InputError(f"{path}:1: missing column {error.args[0]}") from None
    except ValueError as error:
        raise InputError(f"{where}: not a number: {error}") from None
    if not all(0 < value < float("inf") for value in (m, n, k, latency, power, limit)):
        raise InputError(f"{where}: dimensions, latency, power and its limit must be finite and above zero")
    seconds = latency * MILLISECOND
    moved = element_bytes(dtype) * (m * k + k * n + m * n)
    compute = 2 * m * n * k / (seconds * hardware.peak_flops_per_s(dtype))
    memory = moved / (seconds * hardware.memory.bandwidth)
    return [(compute, memory, seconds, moved / hardware.memory.l2_capacity, power / limit)]


def fit_power(rows: PowerRows, seed: int = 0, most: int = MOST_ROWS) -> PowerFit:
    """Fit the three shares to random rows by least squares in the logarithm, with little weight on rows far off.

    The idle share is what kernels draw that use next to nothing of the device, the median of such rows; the other two
    are fitted to ``most`` random rows of kernels that take at least 30 microseconds over operands past the cache.

    Raises:
        InputError: fewer than ten rows for either, or SciPy is not installed.
    """
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise InputError("a fit needs SciPy: pip install 'roofcast[calibrate]'") from None
    still = rows.compute + rows.memory < STILL
    steady = np.flatnonzero(rows.steady)
    if min(int(np.sum(still)), len(steady)) < 10:
        raise InputError(
            "a fit needs ten rows that hardly use the device, and ten of 30 us or more with operands past the cache"
        )
    idle = float(np.median(rows.share[still]))
    chosen = np.random.default_rng(seed).permutation(steady)[:most]
    used = rows.take(chosen)

    def residuals(logs: Array) -> Array:
        shares = PowerShares(idle, *np.exp(logs))
        return np.asarray(np.log(predict_share(used, shares) / used.share))

    found = least_squares(residuals, np.log([1.0, 0.7]), loss="soft_l1", f_scale=0.1)
    compute, memory = (float(value) for value in np.exp(found.x))
    fitted = np.zeros(len(rows.share), dtype=bool)
    fitted[chosen] = True
    return PowerFit(PowerShares(idle, compute, memory), fitted)


def predict_share(rows: PowerRows, shares: PowerShares) -> Array:
    """Board power over its limit, by the law."""
    return np.asarray(cap_load(find_load(rows.compute, rows.memory, shares)))


def list_errors(rows: PowerRows, shares: PowerShares) -> list[dict[str, Any]]:
    """Errors of the law by size: how long a kernel takes, and whether its operands fit the cache.

    Fractions of the measured power; ``bias`` is the median with its sign.
    """
    errors = predict_share(rows, shares) / rows.share - 1
    listed = []
    for name, part in (("operands in the cache", rows.cached <= 1), ("past the cache", rows.cached > 1)):
        for low, high in pairwise(SIZES_S):
            until = f"to {1e6 * high:g} us" if high < float("inf") else "and more"
            listed.append((f"{name}, {1e6 * low:g} us {until}", part & (rows.seconds >= low) & (rows.seconds < high)))
    listed.append(("all of the fitted kind", rows.steady))
    listed.append(("all", np.ones(len(errors), dtype=bool)))
    return [
        {
            "kernel": name,
            "rows": int(np.sum(part)),
            "median_ape": float(np.median(np.abs(errors[part]))),
            "mape": float(np.mean(np.abs(errors[part]))),
            "bias": float(np.median(errors[part])),
        }
        for name, part in listed
        if np.any(part)
    ]


def report_power(rows: PowerRows, seeds: Sequence[int], most: int, form: OutputForm) -> str:
    """Fits from one seed each, and the errors of the first on the rows that it did not use."""
    fits = [fit_power(rows, seed, most) for seed in seeds]
    shares = [{"seed": seed, **vars(fit.shares)} for seed, fit in zip(seeds, fits, strict=True)]
    errors = list_errors(rows.take(~fits[0].fitted), fits[0].shares)
    if form == "json":
        return format_json({"schema": SCHEMA, "rows": int(np.sum(fits[0].fitted)), "shares": shares, "errors": errors})
    if form == "csv":
        return format_rows(shares, form, {})
    if form == "md":
        return "\n\n".join(format_rows(part, form, {}) for part in (shares, errors))
    fitted = int(np.sum(fits[0].fitted))
    titles = (f"Shares of TDP, fitted to {fitted} rows", "Error on the rows not fitted, first seed")
    return "\n\n".join(format_table(part, title) for title, part in zip(titles, (shares, errors), strict=True))
