"""How far times of single kernels are off, by kind and format: rows kept back, and devices that no fit has seen.

    python -m benchmarks.kernels [FOLDER]

reads the kernel tables under ``silicon`` in the folder (default: the one that ``ROOFCAST_DATA`` names) and fits factors
to 40 rows of each kind and format of every device. ``held out``: other rows of the same device. ``carried``:
with the factors of other devices alone, their geometric mean, of its own design (what compilers build for) where there
is such a one; a device without a sister in the tables is the harder case. Errors are means of
|predicted / measured - 1|, the bias is their median.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small systems of equations, which threads only slow down

import numpy as np

from benchmarks.folder import find_folder
from calibration.fit.cases import Array, build_cases, find_impossible, predict_rows
from calibration.fit.least_squares import Fit, fit_profile
from calibration.readers import op_table
from calibration.readers.content import Content
from calibration.readers.runs import Told
from simulator.errors import InputError
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
COLUMNS = ("kind", "format", "")
Name = tuple[str, ...]
Line = dict[str, object]
Groups = dict[Name, list[Measurement]]


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


def name_group(row: Measurement) -> Name:
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


def fit_group(groups: Groups, name: Name, device: str) -> Fit | None:
    """Fit the first rows of a group; None where the fit does not converge."""
    try:
        return fit_profile(groups[name][:FITTED], load_hardware(device), find_stack(device))
    except InputError:
        return None


def carry(device: str, fits: dict[str, Fit]) -> Factors | None:
    """Factors for a device from the fits of others, weighted by their errors; None where there are none.

    Those of its own design are used alone where there are such.
    """
    design = load_hardware(device).compute.capability
    others = {name: fit for name, fit in fits.items() if name != device}
    sisters = {name: fit for name, fit in others.items() if load_hardware(name).compute.capability == design}
    used = list((sisters or others).values())
    if not used:
        return None
    names = used[0].factors.names
    weights = np.array([1 / (fit.standard_errors**2 + SCATTER**2) for fit in used])
    logs = np.array([np.log([getattr(fit.factors, name) for name in names]) for fit in used])
    mean = np.exp(np.sum(weights * logs, axis=0) / np.sum(weights, axis=0))
    return Factors(**dict(zip(names, mean.tolist(), strict=True)))


def judge(rows: list[Measurement], device: str, factors: Factors) -> Array:
    """Relative errors of rows."""
    predicted = predict_rows(build_cases(rows, "none", load_hardware(device), find_stack(device)), factors)
    return np.asarray(predicted / np.array([row.value for row in rows]) - 1)


def describe(name: Name, rows: list[Measurement], device: str, fits: dict[str, Fit]) -> Line:
    """Errors and bias of the rows of a group that were not fitted, by either way to come by factors."""
    line: Line = {"device": device, "kind": name[0], "format": name[1], "": name[2], "rows": len(rows)}
    for way, factors in (("held out", fits[device].factors), ("carried", carry(device, fits))):
        errors = np.array([np.nan]) if factors is None else judge(rows, device, factors)
        line |= {way: float(np.mean(np.abs(errors))), f"{way} bias": float(np.median(errors))}
    return line


def summarise(lines: list[Line]) -> list[Line]:
    """Errors by kind and format over all devices, each row equal."""
    names = sorted({tuple(str(line[column]) for column in COLUMNS) for line in lines})
    found = []
    for name in names:
        members = [line for line in lines if tuple(str(line[column]) for column in COLUMNS) == name]
        summary: Line = {**dict(zip(COLUMNS, name, strict=True)), "devices": len(members)}
        for way in ("held out", "carried"):
            known = [line for line in members if not np.isnan(float(str(line[way])))]
            weights = [float(str(line["rows"])) for line in known]
            errors = [float(str(line[way])) for line in known]
            summary[way] = float(np.average(errors, weights=weights)) if known else float("nan")
        found.append(summary)
    return found


def main(folder: Path) -> None:
    """Print the tables."""
    folders = [one for one in sorted((folder / "silicon").iterdir()) if (one / "moe.csv.gz").is_file()]
    sampled = {one.name: sample_rows(one) for one in folders}
    lines = []
    for name in sorted({name for groups in sampled.values() for name in groups}):
        having = {device: groups for device, groups in sampled.items() if len(groups.get(name, ())) > FITTED}
        tried = {device: fit_group(groups, name, device) for device, groups in having.items()}
        fits = {device: fit for device, fit in tried.items() if fit is not None}
        lines += [describe(name, having[device][name][FITTED:], device, fits) for device in fits]
    print(format_table(lines))
    print()
    print(format_table(summarise(lines)))


if __name__ == "__main__":
    main(find_folder(__doc__))
