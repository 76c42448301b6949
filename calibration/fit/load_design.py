"""Which loads to measure: those that most lower the variance of what is asked, before any is measured.

A load is a setting of lengths and requests in flight; measuring it gives the time to first token and the time per
output token. One after the other, the setting is chosen that takes the most from the summed variance of the targets
(Cohn 1996, doi 10.1016/0893-6080(95)00137-9; of single rows Seo et al. 2000, doi 10.1109/IJCNN.2000.861310, equation
12; of blocks of rows it is the same with the inverse of their covariance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.fit.load_case import make_load
from simulator.errors import RoofcastError
from simulator.inputs.measurements import Measurement
from simulator.prediction import Question
from simulator.serving.setup import USUAL, prepare

Array = NDArray[np.float64]
SHORTEST, LONGEST = 0.8, 1.0  # lengths of many requests, as shares of the nominal
FLIGHTS = 3  # requests for each in flight
ALONE = 5  # requests of a setting of one in flight
METRICS = ("ttft_s", "tpot_s")


class Place(NamedTuple):
    """What the rows of a design are of: the first columns of the tidy table."""

    source: str
    model: str
    hardware: str
    stack: str
    tp: int
    pp: int
    weight_dtype: str
    activation_dtype: str
    kv_dtype: str

    @classmethod
    def of(cls, question: Question, source: str, model: str) -> Place:
        """The place of a question, with a model by the name that it was asked by."""
        d = question.work.deployment
        formats = (d.layer_format, d.input_dtype, d.cache_dtype)
        return cls(source, model, question.hardware.id, question.work.stack.id, d.tp, d.pp, *formats)


class Setting(NamedTuple):
    """One load: nominal tokens, requests in flight, and how many in all."""

    prompt_tokens: int
    output_tokens: int
    concurrency: int

    @property
    def num_requests(self) -> int:
        """How many are sent."""
        return ALONE if self.concurrency == 1 else FLIGHTS * self.concurrency

    @property
    def reaches(self) -> int:
        """Tokens of one sequence at its end."""
        return self.prompt_tokens + self.output_tokens

    def estimate_seconds(self, ttft_s: float, tpot_s: float) -> float:
        """How long it takes to measure."""
        each_s = ttft_s + (self.output_tokens - 1) * tpot_s
        return each_s * self.num_requests / self.concurrency

    def describe(self) -> str:
        """In words."""
        return f"{self.prompt_tokens} + {self.output_tokens} tokens, {self.concurrency} in flight"

    def make_rows(self, place: Place, values: Sequence[float] = (1.0, 1.0), notes: str = "") -> list[Measurement]:
        """Its two rows of the table."""
        several = self.concurrency > 1
        load: dict[str, Any] = {"concurrency": self.concurrency, "num_requests": self.num_requests}
        if several:
            load |= {"length_low": SHORTEST, "length_high": LONGEST, "statistic": "mean"}
        counts = (1, self.prompt_tokens, self.output_tokens)
        return [
            Measurement(*place, *counts, metric, float(value), notes=notes, **load)
            for metric, value in zip(METRICS, values, strict=True)
        ]


def list_settings(prompts: Sequence[int], outputs: Sequence[int], in_flight: Sequence[int]) -> list[Setting]:
    """Every combination."""
    return [Setting(p, n, c) for c in in_flight for p in prompts for n in outputs]


def runs(question: Question, setting: Setting, place: Place) -> bool:
    """Whether an engine can hold such a load at all; one that runs a batch at a time has one request in flight."""
    try:
        if question.work.stack.scheduler is None:
            return setting.concurrency == 1 and setting.reaches <= question.work.architecture.max_position_embeddings
        prepare(question, make_load(setting.make_rows(place)[0]), USUAL)
    except RoofcastError:
        return False
    return True


def choose_blocks(
    slopes: Array, covariance: Array, noise: Array, blocks: NDArray[np.int64], targets: Array, most: int
) -> tuple[list[int], Array]:
    """Blocks of rows, in the order in which they are chosen, and what is left of the covariance.

    Args:
        slopes: of the logarithm of each row by those of the factors, shape (factors, rows).
        covariance: of the logarithms of the factors.
        noise: variance of each row beside that.
        blocks: places of the rows of each block, shape (blocks, rows of one).
        targets: as ``slopes``, of what is asked.
        most: blocks to choose.
    """
    chosen: list[int] = []
    own_noise = noise[blocks][:, :, np.newaxis] * np.eye(blocks.shape[1])
    for _ in range(min(most, len(blocks))):
        told = covariance @ slopes
        reach = (targets.T @ told)[:, blocks]
        inverse = np.linalg.inv(np.einsum("fbi,fbj->bij", slopes[:, blocks], told[:, blocks]) + own_noise)
        gain = np.einsum("tbi,tbi->b", np.einsum("tbi,bij->tbj", reach, inverse), reach)
        gain[chosen] = -1.0
        best = int(np.argmax(gain))
        chosen.append(best)
        block = told[:, blocks[best]]
        covariance = covariance - block @ inverse[best] @ block.T
    return chosen, covariance
