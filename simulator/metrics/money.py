"""What an answer costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.metrics.metric import PRICE, Follows, Metric
from simulator.numbers import Number
from simulator.timing.request import find_throughput

if TYPE_CHECKING:
    from simulator.metrics.answered import Answered

MILLION = 1e6


def find_batch_price(answer: Answered) -> Number:
    """US dollars per second of all devices of an answer; a price is needed."""
    question = answer.question
    assert question.rates.price is not None
    return question.rates.price.price * question.work.deployment.devices


def find_cost(answer: Answered) -> Number:
    """US dollars of one request: the price of all devices for the time of the batch, over the requests in it.

    Of one request alone this is the idealized cost of Narayanan et al. 2023 (arXiv 2305.02440), section 3.
    """
    return find_batch_price(answer) * answer.times.e2e_s / answer.question.work.workload.batch_size


def find_token_cost(answer: Answered) -> Number:
    """US dollars of a million output tokens; the prompts that they need are in it."""
    throughput = find_throughput(answer.question.work.workload, answer.times.e2e_s)
    return MILLION * find_batch_price(answer) / throughput


METRICS = (
    Metric(
        name="cost_usd",
        unit="USD",
        meaning="cost of one request: E2E times devices times the price of one, over the requests of the batch",
        of=find_cost,
        label="cost of a request",
        heading="cost",
        better="down",
        needs=(PRICE,),
        follows=Follows("e2e_s"),
        usual=True,
    ),
    Metric(
        name="usd_per_million_output_tokens",
        unit="USD",
        meaning="cost of a million output tokens, the prompts that they need included",
        of=find_token_cost,
        label="cost of 1M tokens",
        heading="1M tokens",
        better="down",
        needs=(PRICE,),
        follows=Follows("e2e_s"),
    ),
)
