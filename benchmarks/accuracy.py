"""How far predictions of published requests are off: models and devices that a fit has not seen, one at a time.

    python -m benchmarks.accuracy [FOLDER]

reads the published tables of the folder (default: the one that ``ROOFCAST_DATA`` names). Of each device and stack it
predicts every model from a fit to the others there, and all rows with the profile of another device: of the same stack
where there is one, else of the same maker, else of any; the one with the most rows. An error is predicted over measured
time less one, throughputs turned into times. ``scatter`` is the standard deviation of the logarithm by the part of the
errors that holds 90%, ``added`` what it has past the profile's own interval. Rows that are refused are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.folder import find_folder
from calibration.fit.cases import Array
from calibration.fit.cross_validate import leave_one_model_out
from calibration.fit.least_squares import fit_profile
from calibration.fit.profile_file import make_bare_profile
from calibration.fit.selection import Selection
from calibration.fit.validate import Validation, validate_profile
from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.report.output import format_table
from simulator.timing.intervals import NORMAL_90
from simulator.timing.profile import Profile

TABLES = ("published.csv", "published_2.csv", "megatron_v100.csv")
# The benchmark of these rows sends the same prompt in every sequence (README.md beside the tables).
SAME_PROMPT = ("tensorrt-llm-0.12", "Mixtral-8x7B-v0.1")
Setting = tuple[str, str]  # device and stack
Rows = dict[Setting, list[Measurement]]


class Judged(NamedTuple):
    """Rows with the relative error of their times, and whether and how wide their intervals were."""

    rows: list[Measurement]
    errors: Array
    inside: NDArray[np.bool_]
    variances: Array  # of the logarithm, as the intervals have them


def gather_rows(folder: Path, refused: list[str]) -> Rows:
    """The rows of all tables by device and stack; those that no shipped stack covers are refused."""
    found: Rows = {}
    for name in TABLES:
        for row in read_rows(folder / name, "tidy", Told()):
            alike = (row.stack, row.model) == SAME_PROMPT
            found.setdefault((row.hardware, row.stack), []).append(replace(row, identical_prompts=alike))
    for device, stack in list(found):
        try:
            load_stack(stack)
        except InputError as error:
            refused.append(
                f"{len(found.pop((device, stack)))} rows of {device} {stack}: {str(error).partition(' (')[0]}"
            )
    return found


def judge(validation: Validation) -> Judged:
    """Errors of times, from those of what was measured."""
    inverted = np.array([row.metric == "throughput_tok_s" for row in validation.rows])
    ratio = validation.predicted / validation.measured
    inside = (validation.low <= validation.measured) & (validation.measured <= validation.high)
    variances = (np.log(validation.high / validation.low) / (2 * NORMAL_90)) ** 2
    return Judged(validation.rows, np.where(inverted, 1 / ratio, ratio) - 1, inside, variances)


def leave_models_out(rows: Rows, refused: list[str]) -> dict[Setting, Judged]:
    """Each model from a fit to the others of its device and stack, where there are others."""
    found = {}
    for setting, group in rows.items():
        if len({row.model for row in group}) > 1:
            try:
                device, stack = load_hardware(setting[0]), load_stack(setting[1])
                found[setting] = judge(leave_one_model_out(group, Selection(), device, stack))
            except InputError as error:
                refused.append(f"{len(group)} rows of {' '.join(setting)}: {error}")
    return found


def fit_all(rows: Rows) -> dict[Setting, Profile]:
    """One profile of each device and stack, fitted to all its rows."""
    fitted = {}
    for (hardware, software), group in rows.items():
        fit = fit_profile(group, load_hardware(hardware), load_stack(software))
        fitted[hardware, software] = make_bare_profile(fit, f"{hardware}--{software}", hardware, software)
    return fitted


def choose_source(setting: Setting, rows: Rows) -> Setting:
    """Another device whose profile is carried: nearest by stack, then by maker, and of these the one with most rows.

    Stacks that rebuild a model are carried to themselves alone.
    """

    def rank(other: Setting) -> tuple[bool, bool, int]:
        return other[1] == setting[1], find_maker(other) == find_maker(setting), len(rows[other])

    candidates = [
        one for one in rows if one[0] != setting[0] and (one[1] == setting[1] or not load_stack(one[1]).builds_as)
    ]
    return max(candidates, key=rank)


def find_maker(setting: Setting) -> str:
    """Who makes the device."""
    return load_hardware(setting[0]).vendor


def leave_devices_out(rows: Rows, refused: list[str]) -> dict[tuple[Setting, Setting], Judged]:
    """All rows of each device and stack with the profile of another device; by target and source."""
    profiles, found = fit_all(rows), {}
    for setting, group in rows.items():
        source = choose_source(setting, rows)
        device, stack = load_hardware(setting[0]), load_stack(setting[1])
        try:
            found[setting, source] = judge(validate_profile(group, profiles[source], device, stack, transfer=True))
        except InputError as error:
            refused.append(f"{len(group)} rows of {' '.join(setting)}: {error}")
    return found


def describe(judged: Judged) -> dict[str, Any]:
    """Errors of a group, how many of its intervals held, and the scatter past what they knew."""
    errors = judged.errors
    added = float(np.mean(np.log1p(errors) ** 2 - judged.variances))
    return {
        "rows": len(errors),
        "mape": float(np.mean(np.abs(errors))),
        "median_ape": float(np.median(np.abs(errors))),
        "bias": float(np.mean(errors)),
        "scatter": float(np.quantile(np.abs(np.log1p(errors)), 0.9)) / NORMAL_90,
        "coverage_90": float(np.mean(judged.inside)),
        "added": float(np.copysign(np.sqrt(abs(added)), added)),
    }


def join(parts: list[Judged]) -> Judged:
    """Several groups as one."""
    rows = [row for part in parts for row in part.rows]
    return Judged(rows, *(np.concatenate([part[place] for part in parts]) for place in (1, 2, 3)))


def tabulate(parts: list[Judged], name: str, key: Callable[[Measurement], str]) -> str:
    """Errors by one property of the rows."""
    whole = join(parts)
    keys = np.array([key(row) for row in whole.rows])
    lines = []
    for value in sorted(set(keys.tolist())):
        chosen = keys == value
        rows = [row for row, kept in zip(whole.rows, chosen, strict=True) if kept]
        lines.append({name: value, **describe(Judged(rows, *(whole[place][chosen] for place in (1, 2, 3))))})
    return format_table(lines)


def name_setting(row: Measurement) -> str:
    """Device and stack of a row."""
    return f"{row.hardware} {row.stack}"


KEYS: dict[str, Callable[[Measurement], str]] = {
    "setting": name_setting,
    "model": lambda row: f"{name_setting(row)} {row.model} {row.weight_dtype}",
    "devices": lambda row: f"{row.stack} tp {row.tp}",
    "phase": lambda row: row.phase,
    "batch": lambda row: "batch 1" if row.batch_size == 1 else "batch 2 to 16" if row.batch_size <= 16 else "larger",
}


def main(folder: Path) -> None:
    """Print the tables."""
    refused: list[str] = []
    rows = gather_rows(folder, refused)
    by_model = leave_models_out(rows, refused)
    print("Models left out, each predicted from a fit to the others of its device and stack\n")
    for name, key in KEYS.items():
        print(tabulate(list(by_model.values()), name, key), end="\n\n")
    print("Devices left out, each predicted with the profile of another\n")
    carried = leave_devices_out(rows, refused)
    print(format_table([{"of": " ".join(to), "with": "--".join(at), **describe(j)} for (to, at), j in carried.items()]))
    for title, parts in (("models", list(by_model.values())), ("devices", list(carried.values()))):
        total = describe(join(parts))
        print(f"\n{title} left out: {total['rows']} rows, mean error {100 * total['mape']:.1f}%, ", end="")
        print(f"{100 * total['coverage_90']:.0f}% inside their 90% intervals", end="")
    print(f"\nrefused: {'; '.join(refused) if refused else 'none'}")


if __name__ == "__main__":
    main(find_folder(__doc__))
