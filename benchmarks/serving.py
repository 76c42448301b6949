"""How far the simulation is off: one measured run replayed, and sweeps over concurrencies of two data sets.

    python -m benchmarks.serving [FOLDER] [--rows N] [--only TEXT]

reads ``serving`` in the folder (default: the one that ``ROOFCAST_DATA`` names).

Replay: the 300 requests of ``requests_rtx-pro-6000_...`` as they came, by data sheet and carried profile.
Sweeps: of each device, engine and model of ``inferencex.csv`` and ``nvidia_sweeps.csv`` at most ``N`` values (default
20) that were not fitted here, with what ships; after a fit to eight runs that tell the most; and after a fit to eight
of each other model of the engine on the device. Errors are of means, TPOT and TTFT apart. Fails where those after a
fit to the same model are past the limits. ``--only`` takes settings that hold a text.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.folder import make_parser, parse_options
from calibration.fit.cases import build_cases, predict_rows, settle_load
from calibration.fit.design import spare_requests
from calibration.fit.least_squares import fit_profile
from calibration.fit.load_case import make_load, make_options, name_statistic
from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.errors import RoofcastError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.workload import Workload
from simulator.prediction import resolve
from simulator.report.output import format_table
from simulator.serving.simulation import run, simulate
from simulator.timing.factors import Factors

RUN = "requests_rtx-pro-6000_llama-3.1-8b_vllm-0.19.csv"
TABLES = ("inferencex.csv", "nvidia_sweeps.csv")
FITTED, JUDGED = 8, 20
FEWEST = 24  # rows of a setting that is judged
TPOT_LIMIT, TTFT_LIMIT = 0.10, 0.30
Setting = tuple[str, str, str, str]  # device, stack, model, weights
Rows = list[Measurement]
STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda values: float(np.mean(values)),
    "p50": lambda values: float(np.quantile(values, 0.5)),
    "p99": lambda values: float(np.quantile(values, 0.99)),
}


def replay(folder: Path) -> str:
    """The measured run beside the simulated one, by statistic."""
    with (folder / RUN).open() as file:
        measured = sorted(csv.DictReader(file), key=lambda row: float(row["arrival_s"]))
    names = ("arrival_s", "input_tokens", "output_tokens")
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "trace.csv"
        trace.write_text("\n".join([",".join(names), *(",".join(row[name] for name in names) for row in measured)]))
        run = simulate(
            "llama-3.1-8b",
            "rtx-pro-6000-server-96gb",
            stack="vllm-0.19",
            dtype="bf16",
            trace=trace,
            max_num_batched_tokens=2048,
            max_num_seqs=128,
        )
    rows = []
    for metric in ("ttft_s", "tpot_s", "e2e_s"):
        values = np.array([float(row[metric]) for row in measured])
        for name, find in STATISTICS.items():
            said, was = find(run.requests[metric]), find(values)
            rows.append({"metric": f"{metric} {name}", "simulated_s": said, "measured_s": was, "error": said / was - 1})
    return format_table(rows, f"Replay with profile {run.question.profile and run.question.profile.id}")


def read_points(folder: Path) -> dict[Setting, Rows]:
    """The measured points by setting."""
    found: dict[Setting, Rows] = {}
    for name in TABLES:
        for row in read_rows(folder / name, None, Told()):
            found.setdefault((row.hardware, row.stack, row.model, row.weight_dtype), []).append(row)
    return {setting: rows for setting, rows in found.items() if len(rows) >= FEWEST}


def choose(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, at random but always the same."""
    order = np.random.default_rng(0).permutation(len(rows))[:most]
    return [rows[place] for place in sorted(order)]


def judge(rows: Rows, factors: Factors | None) -> dict[str, float]:
    """Errors on rows: with factors, or with what is carried."""
    stack, device = load_stack(rows[0].stack), load_hardware(rows[0].hardware)
    if factors is None:
        predicted = np.array([simulate_row(row) for row in rows])
    else:
        cases = build_cases(rows, "none", device, stack)
        settle_load(cases, factors)
        predicted = predict_rows(cases, factors)
    errors = predicted / np.array([row.value for row in rows]) - 1
    tpot = np.array([row.metric == "tpot_s" for row in rows])
    return {
        "tpot_mape": float(np.mean(np.abs(errors[tpot]))),
        "tpot_bias": float(np.mean(errors[tpot])),
        "ttft_mape": float(np.mean(np.abs(errors[~tpot]))),
        "ttft_bias": float(np.mean(errors[~tpot])),
    }


def simulate_row(row: Measurement) -> float:
    """What a user gets who names model, device, engine and load."""
    formats = (row.activation_dtype, row.weight_dtype, row.kv_dtype)
    deployment = Deployment(row.tp, row.pp, 1, 1, 1, *formats)
    workload = Workload(row.prompt_tokens, row.output_tokens)
    question = resolve(row.model, row.hardware, None, row.stack, deployment, workload)
    return run(question, make_load(row), make_options(row)).values[name_statistic(row)]


def judge_setting(setting: Setting, points: dict[Setting, Rows], most: int) -> list[dict[str, object]]:
    """Errors on one setting by what was fitted."""
    device, stack = load_hardware(setting[0]), load_stack(setting[1])
    fitted, spared = spare_requests(points[setting], FITTED, device, stack)
    judged = choose(spared, most)
    alike = [rows for one, rows in points.items() if one[:2] == setting[:2] and one[2] != setting[2]]
    others = [row for rows in alike for row in spare_requests(rows, FITTED, device, stack)[0]]
    found: list[dict[str, object]] = []
    for name, rows in (("what ships", None), ("the model", fitted), ("other models", others)):
        if rows == []:
            continue
        try:
            factors = None if rows is None else fit_profile(rows, device, stack).factors
            errors = judge(judged, factors)
        except RoofcastError as error:
            print(f"{' '.join(setting)}, fitted to {name}: {error}", file=sys.stderr)
            continue
        where = dict(zip(("hardware", "stack", "model", "weights"), setting, strict=True))
        found.append({"fitted": name, **where, "rows": len(judged), **errors})
        print(found[-1], file=sys.stderr)
    return found


def main(folder: Path, most: int, only: str) -> int:
    """Print the tables; 1 where a limit is passed."""
    print(replay(folder), end="\n\n")
    points = read_points(folder)
    chosen = [setting for setting in sorted(points) if only in " ".join(setting)]
    found = [row for setting in chosen for row in judge_setting(setting, points, most)]
    failed = False
    for name in ("what ships", "the model", "other models"):
        rows = [{key: value for key, value in row.items() if key != "fitted"} for row in found if row["fitted"] == name]
        if not rows:
            continue
        tpot, ttft = (float(np.mean([row[key] for row in rows])) for key in ("tpot_mape", "ttft_mape"))
        print(format_table(rows, f"Fitted to {name}: TPOT {100 * tpot:.1f}%, TTFT {100 * ttft:.1f}%"), end="\n\n")
        failed |= name == "the model" and (tpot > TPOT_LIMIT or ttft > TTFT_LIMIT)
    return int(failed)


if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("--rows", type=int, default=JUDGED)
    parser.add_argument("--only", default="")
    asked = parse_options(parser)
    sys.exit(main(asked.folder / "serving", asked.rows, asked.only))
