"""How much of a device a request uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.costs.batch import prefill_batch
from simulator.costs.passes import Pass, count_model_flops, sum_cost
from simulator.costs.request import Work
from simulator.metrics.metric import DECODE, Metric
from simulator.numbers import Number
from simulator.timing.device import Device

if TYPE_CHECKING:
    from simulator.metrics.answered import Answered


def find_mfu(work: Work, prefill_s: Number, device: Device) -> Number:
    """Model FLOPs utilisation of the prefill: the FLOPs the model asks for over what all devices could do in its time.

    Chowdhery et al. 2022 (arXiv 2204.02311), section 4.1. With a pipeline one stage works at a time.
    """
    a, d, _, request = work
    batch = prefill_batch(request.prompt_tokens, request.batch_size / d.dp)
    return count_model_flops(a, d, batch) / (prefill_s * device.peak_flops_per_s * d.pp)


def find_mbu(decode: Pass, tpot_s: Number, device: Device, pp: int, parts: Number = 1) -> Number:
    """Model bandwidth utilisation of decode: weights and KV cache read a pass, over what the memories could deliver.

    ``decode`` is the pass of one of ``parts`` micro-batches, which go through ``pp`` stages.
    """
    moved = sum_cost(decode, "weight_bytes") + sum_cost(decode, "kv_bytes")
    return parts * moved / (tpot_s * device.bandwidth_bytes_per_s * pp)


def measure_mfu(answer: Answered) -> Number:
    """MFU of an answer."""
    question = answer.question
    return find_mfu(question.work, answer.times.ttft_s, question.machine.device)


def measure_mbu(answer: Answered) -> Number:
    """MBU of an answer; NaN where there is one output token."""
    question = answer.question
    passes, pp = question.passes, question.work.deployment.pp
    return find_mbu(passes.decode, answer.times.tpot_s, question.machine.device, pp, passes.micro_batches)


METRICS = (
    Metric(
        name="mfu",
        unit="1",
        meaning="model FLOPs utilisation of the prefill: the matrix FLOPs that the model asks for, with causal scores "
        "and the logits of the last token, over what the devices could do in that time at the peak of `--dtype`",
        of=measure_mfu,
        label="model FLOPs utilisation of the prefill",
        better="up",
    ),
    Metric(
        name="mbu",
        unit="1",
        meaning="model bandwidth utilisation of decode: weights and KV cache read a pass, over what the memories could "
        "deliver",
        of=measure_mbu,
        label="model bandwidth utilisation of decode",
        better="up",
        needs=(DECODE,),
    ),
)
