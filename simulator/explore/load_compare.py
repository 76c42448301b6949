"""Several loads on several deployments, side by side: every combination is simulated, on as many processes as wanted.

The requests of a load depend on its seed alone, so every deployment gets the same ones, and the answers do not depend
on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

from simulator.errors import ImpossibleError, InputError
from simulator.inputs.deployment import Deployment
from simulator.metrics.rates import SHIPPED_RATES, AskedRates, Rates
from simulator.serving.setup import Options
from simulator.serving.simulation import ask, run
from simulator.serving.workload import Load
from simulator.shown import Shown

KEPT = ("ttft_s_mean", "ttft_s_p99", "tpot_s_mean", "tpot_s_p99", "e2e_s_mean", "output_tokens_per_s", "requests_per_s")


class Combination(NamedTuple):
    """One deployment and one load, by names as they were given."""

    model: str
    hardware: str
    calibration: str | None
    stack: str | None
    deployment: Deployment
    load: Load
    options: Options
    rates: AskedRates | Rates = SHIPPED_RATES


@dataclass(frozen=True)
class LoadComparison(Shown):
    """A row for each combination that is possible, in their order, and why the others are not."""

    rows: list[dict[str, Any]]
    impossible: list[str]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows."""
        return self.rows

    def __repr__(self) -> str:
        """How many, and the fastest."""
        best = max(self.rows, key=lambda row: float(row["output_tokens_per_s"]))
        most = f"{best['output_tokens_per_s']:.4g} output tokens/s on {best['hardware']}"
        return f"LoadComparison({len(self.rows)} rows, at most {most})"


def compare_loads(combinations: Sequence[Combination], jobs: int = 1) -> LoadComparison:
    """Simulate every combination, on so many processes.

    Raises:
        InputError: jobs below 1, or a name, file or load that is wrong.
        ImpossibleError: no combination is possible.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    answers = list(simulate_each(combinations, jobs))
    rows = [answer for answer in answers if isinstance(answer, dict)]
    impossible = [answer for answer in answers if isinstance(answer, str)]
    if not rows:
        raise ImpossibleError(f"no combination is possible: {impossible[0]}")
    return LoadComparison(rows, impossible)


def simulate_each(combinations: Sequence[Combination], jobs: int) -> Iterator[dict[str, Any] | str]:
    """The row of each in their order, or why it cannot be."""
    if jobs == 1 or len(combinations) == 1:
        yield from map(simulate_one, combinations)
        return
    context = get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(min(jobs, len(combinations)), context) as pool:
        yield from pool.map(simulate_one, combinations)


def simulate_one(asked: Combination) -> dict[str, Any] | str:
    """The row of one combination, or why it cannot be.

    Raises:
        InputError: what is wrong in itself, and not only here.
    """
    try:
        question = ask(*asked[:5], asked.load, rates=asked.rates)
        simulation = run(question, asked.load, asked.options)
    except ImpossibleError as error:
        return f"{asked.model} on {asked.hardware}: {error}"
    row = simulation.describe_asked()
    kept: dict[str, Any] = {name: row[name] for name in ("model", "hardware", "stack", "tp", "pp", "dp", "ep")}
    kept |= {"prompt_tokens": asked.load.prompt_tokens, "output_tokens": asked.load.output_tokens}
    kept |= {name: row[name] for name in ("concurrency", "request_rate") if row[name] is not None}
    for name in KEPT:
        kept |= {name: simulation.find(name)}
    for name in ("ttft_s_mean", "tpot_s_mean"):
        kept |= {f"{name}{end}": simulation.find(f"{name}{end}") for end in ("_low", "_high")}
    spending = simulation.spending
    kept |= {name: getattr(spending, name) for name in ("usd_per_million_tokens", "energy_j_per_output_token")}
    return kept | {"saturated": simulation.saturated, "basis": simulation.basis}
