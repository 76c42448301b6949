"""The forward passes of one request: of its prompt, and of decode at a few contexts that stand for all.

The pass that makes output token ``i + 1`` sees a context of ``p + i``, ``i = 1 .. o - 1``. Their sum is taken as the
integral of the pass time from ``p + 1/2`` to ``p + o - 1/2``, by three-point Gauss-Legendre quadrature, which is exact
for a pass time up to the fifth power of the context. Stacks with a static cache see ``p + o`` in each.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from simulator.costs.batch import Batch, Segment, decode_batch, prefill_batch
from simulator.costs.layers import list_layers
from simulator.costs.operators import Operator
from simulator.costs.passes import Pass, build_linear, build_pass, find_stage_share, forget_contexts, list_mixing
from simulator.costs.structure import Group, Layer, gather
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import LongRequests, Stack
from simulator.inputs.workload import Workload
from simulator.numbers import Number, ceil, maximum, minimum, where

# Distance of the outer nodes from the middle, in lengths of the interval, and the weights.
OUTER_NODE = math.sqrt(0.6) / 2
MIDDLE_WEIGHT, OUTER_WEIGHT = 8 / 18, 5 / 18


class Work(NamedTuple):
    """What is to be run: the model as the stack builds it, the layout, the stack and the request."""

    architecture: Architecture
    deployment: Deployment
    stack: Stack
    workload: Workload


class RequestPasses(NamedTuple):
    """The passes of a request, one after the other.

    ``prefill`` runs ``prefill_passes`` times. ``first_mixing``: the mixing of a decode pass that makes the first token,
    where a stack does so. ``decode`` is the pass at the middle of the generation and ``outer_mixing`` the mixing at the
    outer nodes; ``decode_passes`` are run in all. A pipeline takes in the next of ``micro_batches``
    parts of the batch after the time of its longest stage, which has ``stage_share`` of the layers.
    """

    prefill: Pass
    prefill_passes: Number
    first_mixing: list[Group] | None
    decode: Pass
    outer_mixing: tuple[list[Group], list[Group]]
    decode_passes: Number
    micro_batches: Number
    stage_share: Number

    @property
    def filling(self) -> Number:
        """How often the prefill counts: the last micro-batch waits for the longest stage to take in those before it."""
        return 1 + (self.micro_batches - 1) * self.stage_share

    @property
    def turns(self) -> Number:
        """How often a decode pass counts: with more micro-batches than stages they wait for each other."""
        return maximum(1.0, self.micro_batches * self.stage_share)


def build_request(work: Work) -> RequestPasses:
    """List the passes of a request."""
    a, d, stack, request = work
    p, o, b = request.prompt_tokens, request.output_tokens, find_pass_batch(d, request.batch_size)
    prefill, prefill_passes = build_prefill(work, maximum(p - 1, 1.0) if stack.first_token_by_decode else p, b)
    if stack.first_token_by_decode:
        prefill_passes = where(p > 1, prefill_passes, 0.0)
    passes = o - 1
    center = p + 0.5 + maximum(passes, 1) / 2

    def decode(reached: Number) -> Batch:
        return decode_batch(p + o if stack.static_cache else reached, b, request.identical_prompts)

    def mix(reached: Number) -> list[Group]:
        return list_mixing(a, d, stack, decode(reached))

    return RequestPasses(
        prefill,
        prefill_passes,
        mix(p) if stack.first_token_by_decode else None,
        build_pass(a, d, stack, decode(center)),
        (mix(center - OUTER_NODE * passes), mix(center + OUTER_NODE * passes)),
        passes,
        count_micro_batches(d, request.batch_size),
        find_stage_share(a, d),
    )


def find_pass_batch(d: Deployment, batch_size: Number) -> Number:
    """Requests that pass through the layers together: of the fullest replica and the largest micro-batch."""
    return ceil(ceil(batch_size / d.dp) / d.micro_batches)


def count_micro_batches(d: Deployment, batch_size: Number) -> Number:
    """Micro-batches that the fullest replica really has: of whole requests, and no more than those."""
    return ceil(ceil(batch_size / d.dp) / find_pass_batch(d, batch_size))


def build_prefill(work: Work, p: Number, b: Number) -> tuple[Pass, Number]:
    """The pass that reads the prompt, and in how many such passes it is read.

    Stacks that read a prompt in chunks see more of it with each: half of it and half a chunk, on average.
    """
    a, d, stack, request = work
    if stack.long_requests is not None:
        return build_long_prefill(work, stack.long_requests, p, b)
    if stack.prefill_chunk is None:
        return build_pass(a, d, stack, prefill_batch(p, b, request.identical_prompts)), 1
    chunks = ceil(p / stack.prefill_chunk)
    tokens = p / chunks
    return build_chunks(work, Segment(b, tokens, alike=request.identical_prompts), p, chunks), chunks


def build_long_prefill(work: Work, long: LongRequests, p: Number, b: Number) -> tuple[Pass, Number]:
    """The pass that reads prompts, all at once or, where requests are long, a chunk of one of them."""
    request = work.workload
    is_long = p + request.output_tokens > long.above
    chunks = where(is_long, ceil(p / long.chunk), 1)
    segment = Segment(where(is_long, 1, b), p / chunks, alike=request.identical_prompts)
    return build_chunks(work, segment, p, chunks), where(is_long, b * chunks, 1)


def build_chunks(work: Work, chunk: Segment, p: Number, chunks: Number) -> Pass:
    """The pass of the mean chunk of prompts of ``p`` tokens: it sees half of them and half a chunk."""
    a, d, stack, _ = work
    chunk = chunk._replace(context_tokens=(p + chunk.new_tokens) / 2 - chunk.new_tokens)
    linear = build_linear(a, d, stack, forget_contexts(Batch((chunk,))))
    return Pass(linear, list_chunk_mixing(work, chunk, p, chunks))


def list_chunk_mixing(work: Work, chunk: Segment, p: Number, chunks: Number) -> list[Group]:
    """Mixing of the mean chunk; where there is a window, of the chunks before it is full and of those after it."""
    a, d, stack, _ = work
    groups: list[Group] = []

    def mix(layer: Layer, reached: Number) -> list[Operator]:
        segment = chunk._replace(context_tokens=reached - chunk.new_tokens)
        return layer.mixer.list_operators(layer, d, stack, Batch((segment,)))

    for layer in gather(list_layers(a), "mixer"):
        window = layer.mixer.find_window(layer)
        if window is None:
            groups.append((layer.count, mix(layer, chunk.reached)))
            continue
        filling = minimum(p, window)
        share = minimum(filling / chunk.new_tokens, chunks) / chunks
        early = maximum((filling + chunk.new_tokens) / 2, chunk.new_tokens)
        groups += [(layer.count * share, mix(layer, early)), (layer.count * (1 - share), mix(layer, p))]
    return groups
