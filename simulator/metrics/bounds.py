"""What an answer waits for, and what it rests on."""

from simulator.metrics.metric import Metric
from simulator.timing.passes import find_bound

METRICS = (
    Metric(
        name="prefill_bound",
        unit="",
        meaning="what most of the prefill waits for: `host`, `compute`, `memory` or `network`",
        of=lambda answer: find_bound(answer.request.prefill, answer.question.machine),
        heading="prefill bound",
        kind="text",
    ),
    Metric(
        name="decode_bound",
        unit="",
        meaning="what most of a decode pass waits for: `host`, `compute`, `memory` or `network`",
        of=lambda answer: find_bound(answer.request.decode, answer.question.machine),
        heading="decode bound",
        kind="text",
    ),
    Metric(
        name="basis",
        unit="",
        meaning="what the answer rests on: `calibrated`, `transfer` or `bound`",
        of=lambda answer: answer.question.basis,
        kind="text",
        usual=True,
    ),
)
