"""What a statistic under load depends on: its elasticity to numbers of the data sheet and to factors.

The requests are the same on both sides of an input, and the statistic is that of two simulations, a step up and a step
down: ``d log(statistic) / d log(input)``. Queues go in steps, so the step is a few percent, and the elasticity is the
mean over it. The inputs are those that matter for one batch like the load, by exact derivatives (``sensitivity``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.errors import unknown_name
from simulator.explore.sensitivity import Influence, change_question, find_input_unit, find_kind, find_sensitivity
from simulator.prediction import Question
from simulator.serving.outcome import LATENCIES, STATISTICS
from simulator.serving.setup import USUAL, Options
from simulator.serving.simulation import RATES, Simulation, run
from simulator.serving.spread import ask_alike
from simulator.serving.workload import Load
from simulator.shown import Shown

STEP = 0.03  # of the logarithm of an input, to either side
MOST_INPUTS = 10


@dataclass(frozen=True)
class LoadSensitivity(Shown):
    """A simulation, the statistic that ranks, and the inputs by how much it depends on them."""

    simulation: Simulation
    by: str
    influences: list[Influence]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row an input, the most important first."""
        return [
            {
                "input": one.name,
                "kind": one.kind,
                "value": one.value,
                "unit": one.unit,
                **{f"{name}_elasticity": slope for name, slope in one.elasticities.items()},
            }
            for one in self.influences
        ]

    def __repr__(self) -> str:
        """The inputs that matter most."""
        named = ", ".join(f"{one.name} {one.elasticities[self.by] or 0.0:+.2f}" for one in self.influences[:5])
        return f"LoadSensitivity({self.by} by {named}; {self.simulation!r})"


def find_load_sensitivity(
    question: Question, load: Load, by: str = "tpot_s_mean", options: Options = USUAL, most: int = MOST_INPUTS
) -> LoadSensitivity:
    """Simulate a load with each of the inputs that matter a step up and a step down.

    Raises:
        InputError: a statistic that is not known, or as ``run``.
    """
    names = (*(f"{name}_{one}" for name in LATENCIES for one in STATISTICS), *RATES)
    if by not in names:
        raise unknown_name("statistic", by, names)
    simulation = run(question, load, options)
    alike = ask_alike(simulation.setup, simulation.outcome)
    found = [find_sensitivity(alike, metric).influences for metric in ("ttft_s", "tpot_s")]
    size: dict[str, float] = {}
    for metric, influences in zip(("ttft_s", "tpot_s"), found, strict=True):
        for one in influences:
            if one.kind != "rate":
                size[one.name] = max(size.get(one.name, 0.0), abs(one.elasticities[metric] or 0.0))
    chosen = sorted((name for name in size if size[name] > 0), key=lambda name: -size[name])[:most]
    values = {one.name: one.value for influences in found for one in influences}
    shown = tuple(dict.fromkeys((by, "ttft_s_mean", "tpot_s_mean", "output_tokens_per_s")))
    influences = []
    for name in chosen:
        ends = [
            run(change_question(question, {name: values[name] * math.exp(side)}), load, options).values
            for side in (-STEP, STEP)
        ]
        slopes: dict[str, float | None] = {
            one: float(np.log(ends[1][one] / ends[0][one]) / (2 * STEP)) for one in shown
        }
        influences.append(Influence(name, find_kind(name), values[name], find_input_unit(name), slopes))
    influences.sort(key=lambda one: -abs(one.elasticities[by] or 0.0))
    return LoadSensitivity(simulation, by, influences)
