"""Devices and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.metric import Metric

if TYPE_CHECKING:
    from simulator.metrics.answered import Answered


def check_fits(answer: Answered) -> Any:
    """Whether weights, KV cache, activations and the runtime fit in what the stack uses of each device."""
    question = answer.question
    fits = answer.footprint.device_bytes <= find_usable_bytes(question.hardware, question.work.stack)
    return fits if isinstance(fits, np.ndarray) else bool(fits)


METRICS = (
    Metric(
        name="devices",
        unit="1",
        meaning="devices in use",
        of=lambda answer: answer.question.work.deployment.devices,
        label="devices",
        better="down",
        kind="count",
        usual=True,
    ),
    Metric(
        name="weights_bytes",
        unit="B",
        meaning="weights over all devices",
        of=lambda answer: answer.footprint.weights_bytes,
        label="weights",
        heading="weights",
        better="down",
        usual=True,
    ),
    Metric(
        name="kv_cache_bytes",
        unit="B",
        meaning="KV cache at the end of the request over all devices",
        of=lambda answer: answer.footprint.kv_cache_bytes,
        label="KV cache",
        heading="KV cache",
        better="down",
        usual=True,
    ),
    Metric(
        name="fits",
        unit="",
        meaning="whether weights, KV cache, activations and the runtime fit in what the stack uses of each device",
        of=check_fits,
        heading="fits",
        kind="truth",
        usual=True,
    ),
)
