"""How well profiles fitted to at most eight published requests predict the others, by stack, model, batch and phase.

    python -m benchmarks.published [FOLDER]

reads ``published.csv`` in the folder (default: the one that ``ROOFCAST_DATA`` names), fits one profile for each device
and stack to the rows that ``calibrate fit --requests`` chooses, and fails where the errors on all others are past the
limits.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.design import spare_requests
from calibration.fit.least_squares import SCARCE_SCATTER, fit_profile
from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.report.output import format_table
from simulator.timing.intervals import NORMAL_90

MOST_ROWS = 8  # that one profile is fitted to, and at most half of what there is
# Models that a stack is calibrated with, where not all: two of the others, of 70 billion parameters, differ by 33%.
CALIBRATED_WITH = {"gpt-fast": ("Llama-2-7B",)}
MEDIAN_LIMIT, MEAN_LIMIT = 0.04, 0.06
Errors = list[tuple[Measurement, float]]


def find_folder(arguments: list[str]) -> Path:
    """The folder of the measurements: the first argument, else the one that ``ROOFCAST_DATA`` names."""
    named = arguments[0] if arguments else os.environ.get("ROOFCAST_DATA")
    return Path(named) if named else sys.exit("name the folder of the measurements, or set ROOFCAST_DATA")


def judge_setting(rows: list[Measurement]) -> Errors:
    """Fit the rows of one device and stack that tell the most, and return the others with their errors."""
    device, stack = load_hardware(rows[0].hardware), load_stack(rows[0].stack)
    candidates = [row for row in rows if row.model in CALIBRATED_WITH.get(stack.id, (row.model,))]
    fitted, _ = spare_requests(candidates, min(MOST_ROWS, len(rows) // 2), device, stack)
    spared = [row for row in rows if row not in fitted]
    factors = fit_profile(fitted, device, stack).factors
    predicted = predict_rows(build_cases(spared, "none", device, stack), factors)
    return [(row, float(value / row.value - 1)) for row, value in zip(spared, predicted, strict=True)]


def summarise(errors: Errors, name: str, key: Callable[[Measurement], object]) -> str:
    """Errors by one property of the rows."""
    values = sorted({key(row) for row, _ in errors}, key=lambda value: (str(type(value)), value))
    return format_table([{name: value, **describe([e for row, e in errors if key(row) == value])} for value in values])


def describe(errors: list[float]) -> dict[str, float]:
    """Rows, errors and their mean with its sign."""
    sizes = np.abs(errors)
    return {
        "rows": len(errors),
        "mape": float(np.mean(sizes)),
        "median_ape": float(np.median(sizes)),
        "p90_ape": float(np.quantile(sizes, 0.9)),
        "bias": float(np.mean(errors)),
    }


def find_spread(errors: list[float]) -> float:
    """Standard deviation of the logarithm by the part of the errors that holds 90%."""
    return float(np.quantile(np.abs(np.log1p(errors)), 0.9)) / NORMAL_90


def main(folder: Path) -> int:
    """Print the tables; 1 where a limit is passed."""
    rows = read_rows(folder / "published.csv", "tidy", Told())
    settings = sorted({(row.hardware, row.stack) for row in rows})
    groups = [[row for row in rows if (row.hardware, row.stack) == setting] for setting in settings]
    judged = [judge_setting(group) for group in groups]
    errors = [one for judge in judged for one in judge]
    keys: dict[str, Callable[[Measurement], object]] = {
        "setting": lambda row: f"{row.hardware} {row.stack}",
        "model": lambda row: row.model,
        "weights": lambda row: row.weight_dtype,
        "tp": lambda row: row.tp,
        "batch_size": lambda row: row.batch_size,
        "phase": lambda row: row.phase,
    }
    for name, key in keys.items():
        print(summarise(errors, name, key), end="\n\n")
    total = describe([error for _, error in errors])
    scatters = [find_spread([error for _, error in judge]) for judge in judged]
    print(f"scatter by device and stack: {', '.join(f'{scatter:.3f}' for scatter in scatters)}; ", end="")
    print(f"median {np.median(scatters):.3f} ({SCARCE_SCATTER} in the intervals of small fits)")
    print(
        f"all {total['rows']} rows: median {100 * total['median_ape']:.1f}% (limit {100 * MEDIAN_LIMIT:g}%), "
        f"mean {100 * total['mape']:.1f}% (limit {100 * MEAN_LIMIT:g}%)"
    )
    return int(total["median_ape"] > MEDIAN_LIMIT or total["mape"] > MEAN_LIMIT)


if __name__ == "__main__":
    sys.exit(main(find_folder(sys.argv[1:])))
