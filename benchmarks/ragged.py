"""What a ragged batch costs in one launch of decode attention: rules against measured batches of skewed contexts.

    python -m benchmarks.ragged [FOLDER]

reads ``serving/kernels/*_skew.csv.gz`` in the folder (default: the one that ``ROOFCAST_DATA`` names): times of batches
of ``n`` sequences of which ``nb`` have a long context, beside those of equal batches with the mean context and with the
long one. The times of equal batches are interpolated over contexts; nothing is fitted.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.folder import find_folder
from simulator.report.output import format_table

Curve = dict[int, float]


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Rows of batches that decode alone."""
    (path,) = sorted((folder / "serving" / "kernels").glob("*_skew.csv.gz"))
    with gzip.open(path, "rt", newline="") as file:
        return [row for row in csv.DictReader(file) if row["regime"] == "pure"]


def gather_curves(rows: list[dict[str, str]]) -> dict[int, Curve]:
    """Mean time of equal batches by sequences and context, microseconds."""
    found: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for context, time in (("kv_mean", "t_mean_us"), ("kv_big", "t_max_us")):
            found[int(row["n"])][int(row[context])].append(float(row[time]))
    return {n: {context: float(np.mean(times)) for context, times in curve.items()} for n, curve in found.items()}


def look_up(curve: Curve, context: int) -> float:
    """Time of an equal batch, interpolated; NaN past what was measured."""
    contexts = sorted(curve)
    return float(np.interp(context, contexts, [curve[one] for one in contexts], left=np.nan, right=np.nan))


def predict_rows(rows: list[dict[str, str]]) -> Iterator[dict[str, float]]:
    """Relative error of each rule on each batch whose parts were measured."""
    curves = gather_curves(rows)
    for row in rows:
        n, long = int(row["n"]), int(row["nb"])
        short_s = look_up(curves[n], int(row["kvs"]))
        if np.isnan(short_s):
            continue
        measured, share = float(row["t_skew_us"]), long / n
        laws = (1 - share) * short_s + share * float(row["t_max_us"])
        nearest = min(curves, key=lambda size: abs(size - long))
        alone = look_up(curves[nearest], int(row["kv_big"]))
        yield {
            "mean of the laws": laws / measured - 1,
            "law of the mean context": float(row["t_mean_us"]) / measured - 1,
            "mean of the laws, no less than the long ones alone": np.fmax(laws, alone) / measured - 1,
        }


def main() -> None:
    """Print the errors of each rule."""
    errors = list(predict_rows(read_rows(find_folder(__doc__))))
    table = []
    for rule in errors[0]:
        found = np.array([row[rule] for row in errors])
        mean, tail = np.mean(np.abs(found)), np.quantile(np.abs(found), 0.9)
        table.append(
            {"rule": rule, "batches": len(found)}
            | {"mape": f"{100 * mean:.1f}%", "p90": f"{100 * tail:.1f}%", "bias": f"{100 * np.mean(found):+.1f}%"}
        )
    print(format_table(table, "Decode attention over contexts that differ"))


if __name__ == "__main__":
    main()
