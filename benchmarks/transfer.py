"""How well a profile of one device predicts the published requests of another with the same stack.

    python -m benchmarks.transfer [FOLDER]

reads ``published.csv`` in the folder (default: the one that ``ROOFCAST_DATA`` names) and takes every shipped profile to
every other device that its stack was measured on there. The last line is the scatter past that of factors and law, the
root mean square over the pairs of devices, beside the one that intervals assume.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from benchmarks.published import find_folder
from calibration.fit.validate import validate_profile
from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.report.output import format_table
from simulator.timing.intervals import NORMAL_90, TRANSFER_STANDARD_ERROR
from simulator.timing.profile import Profile, find_profile


def list_pairs(rows: list[Measurement]) -> list[tuple[Profile, str]]:
    """Shipped profiles, each with another device that its stack was measured on."""
    settings = sorted({(row.stack, row.hardware) for row in rows})
    profiles = {(stack, device): find_profile(device, stack) for stack, device in settings}
    return [
        (profile, device)
        for (stack, home), profile in profiles.items()
        for other, device in settings
        if profile is not None and other == stack and device != home
    ]


def judge_pair(rows: list[Measurement], profile: Profile, device: str) -> tuple[dict[str, object], float]:
    """Errors of a profile on another device, and the variance of the logarithm past that of factors and law."""
    there = [row for row in rows if (row.hardware, row.stack) == (device, profile.stack)]
    found = validate_profile(there, profile, load_hardware(device), load_stack(profile.stack), transfer=True)
    variances = (np.log(found.high / found.low) / (2 * NORMAL_90)) ** 2
    known = variances - TRANSFER_STANDARD_ERROR**2  # factors and the law's own scatter
    added = float(np.mean(np.log1p(found.errors) ** 2 - known))
    inside = (found.low <= found.measured) & (found.measured <= found.high)
    line: dict[str, object] = {
        "profile": profile.id,
        "on": device,
        "rows": len(there),
        "mape": float(np.mean(np.abs(found.errors))),
        "bias": float(np.mean(found.errors)),
        "coverage_90": float(np.mean(inside)),
    }
    return line, added


def main(folder: Path) -> None:
    """Print the table and the scatter."""
    rows = read_rows(folder / "published.csv", "tidy", Told())
    judged = [judge_pair(rows, profile, device) for profile, device in list_pairs(rows)]
    print(format_table([line for line, _ in judged]))
    added = math.sqrt(max(float(np.mean([variance for _, variance in judged])), 0.0))
    print(f"\nscatter past factors and law: {added:.2f} of the logarithm ({TRANSFER_STANDARD_ERROR} in the intervals)")


if __name__ == "__main__":
    main(find_folder(sys.argv[1:]))
