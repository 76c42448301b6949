"""Energy and carbon of an answer. They have no interval: the law of power is not among what a profile is fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.metrics.metric import POWER, Metric
from simulator.metrics.power import find_energy, find_tdp
from simulator.numbers import Number

if TYPE_CHECKING:
    from simulator.metrics.answered import Answered


def find_request_energy(answer: Answered) -> Number:
    """Joules of one request: of the boards of all devices for the batch, times the site's PUE, over its requests."""
    question = answer.question
    boards_j = find_energy(answer.request, question.passes, question.machine.device, question.work.deployment,
                           find_tdp(question.hardware))  # fmt: skip
    return boards_j * question.rates.site.pue / question.work.workload.batch_size


METRICS = (
    Metric(
        name="energy_j",
        unit="J",
        meaning="energy of one request: of the boards of all devices times PUE, over the requests of the batch; hosts "
        "and switches are not in it",
        of=find_request_energy,
        label="energy of a request",
        heading="energy",
        better="down",
        needs=(POWER,),
    ),
    Metric(
        name="carbon_kg",
        unit="kg",
        meaning="CO2 equivalents of one request: its energy times the carbon intensity of the grid",
        of=lambda answer: answer.find("energy_j") * answer.question.rates.grid.kg_co2e_per_j,
        label="carbon of a request",
        heading="carbon",
        better="down",
        needs=(POWER,),
    ),
)
