"""How far times of single kernels are off, by kind and format: rows kept back, and devices that no fit has seen.

    python -m benchmarks.kernels [FOLDER]

reads the kernel tables under ``silicon`` in the folder (default: the one that ``ROOFCAST_DATA`` names) and fits factors
to a few rows of each format of every device, kind by kind. ``held out``: other rows of the same device. ``carried``:
with the factors of other devices alone, their geometric mean, of its own design (what compilers build for) where there
is such a one; a device without a sister in the tables is the harder case. Errors are means of
|predicted / measured - 1|, the bias is their median.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from calibration.fit.cases import Array, build_cases, find_impossible, predict_rows
from calibration.fit.least_squares import Fit, fit_profile
from calibration.readers import op_table
from calibration.readers.content import Content
from calibration.readers.runs import Told
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.operator_text import parse_operator
from simulator.inputs.stack import Stack
from simulator.report.output import format_table
from simulator.timing.factors import Factors

FITTED, JUDGED = 40, 100  # rows of a kind and format
STACKS = {"a100-sxm-80gb": "tensorrt-llm-1.0"}
LATEST = "tensorrt-llm-1.3"
TABLES = ("gemm", "context_attention", "generation_attention", "moe")
KINDS = ("linear", "prefill_attention", "decode_attention", "experts")
SCATTER = 0.15  # of the logarithm of a factor between devices, past the errors of the fits
Groups = dict[tuple[str, ...], list[Measurement]]


def find_folder(arguments: list[str]) -> Path:
    """The folder of the measurements: the first argument, else the one that ``ROOFCAST_DATA`` names."""
    named = arguments[0] if arguments else os.environ.get("ROOFCAST_DATA")
    return Path(named) if named else sys.exit("name the folder of the measurements, or set ROOFCAST_DATA")


def find_stack(device: str) -> Stack:
    """The stack that a device's tables are of."""
    return load_stack(STACKS.get(device, LATEST))


def sample_rows(folder: Path) -> Groups:
    """Some rows of each kind, format and routing of a device's tables, in random order."""
    device = folder.name
    told = Told(hardware=device, stack=find_stack(device).id)
    found: Groups = {}
    for row in op_table.read(Content(folder, ""), told):
        if isinstance(row, Measurement) and row.phase in KINDS:
            found.setdefault(name_group(row), []).append(row)
    rng = np.random.default_rng(0)
    groups = {}
    for name, rows in sorted(found.items()):
        chosen = [rows[place] for place in rng.permutation(len(rows))[: FITTED + JUDGED]]
        impossible = set(find_impossible(chosen, load_hardware(device), find_stack(device)))
        groups[name] = [row for place, row in enumerate(chosen) if place not in impossible]
    return groups


def name_group(row: Measurement) -> tuple[str, ...]:
    """Kind, formats, and what the operator is beside."""
    kind, sizes = parse_operator(row.operator)
    cache = f"/{row.kv_dtype} cache" if kind == "attention" else ""
    dtype, weights = row.activation_dtype, row.weight_dtype
    formats = dtype if dtype == weights else f"{dtype} x {weights}"
    beside = ""
    if kind == "experts":
        beside = "skewed" if sizes[-2] else "balanced"
    elif kind == "attention" and sizes[-2]:
        beside = "window"
    return row.phase, formats + cache, beside


def fit_kind(groups: Groups, kind: str, device: str) -> Fit:
    """Fit the first rows of each group of a kind."""
    rows = [row for name, members in groups.items() if name[0] == kind for row in members[:FITTED]]
    return fit_profile(rows, load_hardware(device), find_stack(device))


def carry(device: str, fits: dict[str, Fit]) -> Factors:
    """Factors for a device from the fits of others: of its own design where there is one, weighted by their errors."""
    design = load_hardware(device).compute.capability
    others = {name: fit for name, fit in fits.items() if name != device}
    sisters = {name: fit for name, fit in others.items() if load_hardware(name).compute.capability == design}
    used = list((sisters or others).values())
    names = used[0].factors.names
    weights = np.array([1 / (fit.standard_errors**2 + SCATTER**2) for fit in used])
    logs = np.array([np.log([getattr(fit.factors, name) for name in names]) for fit in used])
    mean = np.exp(np.sum(weights * logs, axis=0) / np.sum(weights, axis=0))
    return Factors(**dict(zip(names, mean.tolist(), strict=True)))


def judge(rows: list[Measurement], device: str, factors: Factors) -> Array:
    """Relative errors of rows."""
    predicted = predict_rows(build_cases(rows, "none", load_hardware(device), find_stack(device)), factors)
    return np.asarray(predicted / np.array([row.value for row in rows]) - 1)


def describe(groups: Groups, device: str, ways: dict[str, dict[str, Factors]]) -> list[dict[str, object]]:
    """A line for each group: errors and bias by each of the ways to come by factors."""
    lines = []
    for name, members in groups.items():
        rows = members[FITTED:]
        if not rows:
            continue
        line: dict[str, object] = {"device": device, "kind": name[0], "format": name[1], "": name[2], "rows": len(rows)}
        for what, by_kind in ways.items():
            errors = judge(rows, device, by_kind[name[0]])
            line |= {what: float(np.mean(np.abs(errors))), f"{what} bias": float(np.median(errors))}
        lines.append(line)
    return lines


def main(folder: Path) -> None:
    """Print the table."""
    folders = [one for one in sorted((folder / "silicon").iterdir()) if (one / "moe.csv.gz").is_file()]
    sampled = {one.name: sample_rows(one) for one in folders}
    fits = {kind: {device: fit_kind(groups, kind, device) for device, groups in sampled.items()} for kind in KINDS}
    lines = []
    for device, groups in sampled.items():
        own = {kind: of_kind[device].factors for kind, of_kind in fits.items()}
        others = {kind: carry(device, of_kind) for kind, of_kind in fits.items()}
        lines += describe(groups, device, {"held out": own, "carried": others})
    print(format_table(lines))
    for kind in KINDS:
        for way in ("held out", "carried"):
            of_kind = [line for line in lines if line["kind"] == kind]
            weights = [float(str(line["rows"])) for line in of_kind]
            mean = np.average([float(str(line[way])) for line in of_kind], weights=weights)
            print(f"{kind}, {way}: {100 * mean:.1f}% of {sum(weights):.0f} rows")


if __name__ == "__main__":
    main(find_folder(sys.argv[1:]))
