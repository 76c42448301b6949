"""Times and throughput."""

from simulator.metrics.metric import DECODE, Follows, Metric
from simulator.timing.request import find_throughput

METRICS = (
    Metric(
        name="ttft_s",
        unit="s",
        meaning="time to first token: the whole prefill, with everything the host does before and after it",
        of=lambda answer: answer.times.ttft_s,
        label="time to first token",
        heading="first token",
        better="down",
        follows=Follows("ttft_s"),
        usual=True,
    ),
    Metric(
        name="tpot_s",
        unit="s",
        meaning="mean time per output token after the first: (E2E - TTFT) / (output tokens - 1)",
        of=lambda answer: answer.times.tpot_s,
        label="time per output token",
        heading="per output token",
        better="down",
        needs=(DECODE,),
        follows=Follows("tpot_s"),
        usual=True,
    ),
    Metric(
        name="e2e_s",
        unit="s",
        meaning="time of the whole request",
        of=lambda answer: answer.times.e2e_s,
        label="whole request",
        heading="request",
        better="down",
        follows=Follows("e2e_s"),
        usual=True,
    ),
    Metric(
        name="output_tokens_per_s",
        unit="tokens/s",
        meaning="output tokens per second over the batch, the prefill's time included",
        of=lambda answer: find_throughput(answer.question.work.workload, answer.times.e2e_s),
        label="throughput",
        heading="tokens/s",
        better="up",
        follows=Follows("e2e_s", -1),
        usual=True,
    ),
    Metric(
        name="output_tokens_per_s_per_device",
        unit="tokens/s",
        meaning="output tokens per second over the batch, over the devices",
        of=lambda answer: answer.find("output_tokens_per_s") / answer.find("devices"),
        label="throughput per device",
        better="up",
        follows=Follows("e2e_s", -1),
    ),
)
