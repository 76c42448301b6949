"""One operator of a forward pass, as one device runs it: what it computes, moves and sends."""

from __future__ import annotations

from typing import NamedTuple, TypedDict

from simulator.costs.batch import add
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.numbers import Number, maximum, minimum


class Operator(NamedTuple):
    """Work of one operator on one device, once.

    ``elementwise`` runs over activations, ``gather`` over those of experts, ``stream`` over memory that no cache holds.
    ``flops`` counts matrix products only, two a multiply-add, as MFU does. ``m, n, k`` are the dimensions of a product
    ``y[m, n] = x[m, k] w[k, n]``: one of a ``linear`` operator, ``batch`` of them in a ``grouped`` one (each with its
    own weights and its own ``m`` tokens) and in a ``batched`` one (of activations alone). In attention they are new
    tokens, the tokens they see and width of a head, for ``batch`` pairs of sequence and query head, ``group`` of which
    share their keys.
    """

    name: str
    kind: str  # a name of ``simulator.timing.kinds``
    flops: Number = 0.0
    weight_bytes: Number = 0.0
    activation_bytes: Number = 0.0
    kv_bytes: Number = 0.0
    message_bytes: Number = 0.0
    launches: Number = 1
    m: Number = 0.0
    n: Number = 0.0
    k: Number = 0.0
    batch: Number = 1
    group: Number = 1
    unseen: Number = 0.0  # tokens of the context before the first that the last query sees
    wide: bool = False  # computes in the wide format whatever the deployment's
    narrow: bool = False  # of attention: computes in the deployment's format, not in the wide one
    weight_share: Number = 1.0  # size of a weight over that of the number it is multiplied with, at most 1
    copies: Number = (
        0  # of its weights that a benchmark takes in turn without flushing the last cache; 0: it is flushed
    )
    written_bytes: Number = 0.0  # of what it reads, left in the last cache by the kernel just before
    parts: tuple[Operator, ...] = ()  # of attention in one launch over segments that differ; no sizes of its own then

    @property
    def bytes_moved(self) -> Number:
        """Bytes read from and written to the memory of the device."""
        return self.weight_bytes + self.activation_bytes + self.kv_bytes


class ElementSizes(TypedDict):
    """Bytes of one weight, one number that enters a product and one that leaves it, and whether it computes wide."""

    weight_bytes: Number
    activation_bytes: Number
    input_bytes: Number
    wide: bool


def element_sizes(d: Deployment, part: str) -> ElementSizes:
    """Sizes for products with the weights of a part of the layers, one of ``checkpoint.PARTS``."""
    return {
        "weight_bytes": d.weight_bytes_of(part),
        "activation_bytes": d.activation_bytes,
        "input_bytes": d.input_bytes_of(part),
        "wide": d.computes_wide(part),
    }


def linear(
    name: str,
    m: Number,
    n: Number,
    k: Number,
    *,
    weight_bytes: Number,
    activation_bytes: Number,
    input_bytes: Number | None = None,
    wide: bool = False,
) -> Operator:
    """A weight matrix applied to ``m`` tokens; sizes are bytes of one element (inputs as activations)."""
    read = activation_bytes if input_bytes is None else input_bytes
    return Operator(
        name,
        "linear",
        flops=2 * m * n * k,
        weight_bytes=n * k * weight_bytes,
        activation_bytes=m * k * read + m * n * activation_bytes,
        m=m,
        n=n,
        k=k,
        wide=wide,
        weight_share=minimum(weight_bytes / read, 1.0),
    )


def grouped(
    name: str,
    matrices: Number,
    m: Number,
    n: Number,
    k: Number,
    *,
    weight_bytes: Number,
    activation_bytes: Number,
    input_bytes: Number | None = None,
    wide: bool = False,
) -> Operator:
    """Several weight matrices in one kernel, each applied to its own ``m`` tokens."""
    sizes = {"weight_bytes": weight_bytes, "activation_bytes": activation_bytes, "input_bytes": input_bytes}
    one = linear(name, m, n, k, **sizes, wide=wide)
    return one._replace(
        kind="grouped",
        flops=matrices * one.flops,
        weight_bytes=matrices * one.weight_bytes,
        activation_bytes=matrices * one.activation_bytes,
        batch=matrices,
    )


def attention(
    sequences: Number,
    queries: Number,
    context: Number,
    heads: Number,
    kv_heads: Number,
    head_size: Number,
    *,
    decoding: bool,
    launches: int,
    activation_bytes: Number,
    kv_bytes: Number,
    window: Number | None = None,
    narrow: bool = False,
) -> Operator:
    """Attention in one kernel that keeps the scores on chip and skips masked blocks.

    Dao et al. 2022 (arXiv 2205.14135), algorithm 1, with the causal blocks of Dao 2023 (arXiv 2307.08691), section 3.1.
    A query sees the tokens up to its own, at most the last ``window``. ``activation_bytes`` and ``kv_bytes`` are of one
    element.
    """
    seen = context if window is None else minimum(context, window)
    read = context if window is None else minimum(context, window + queries - 1)
    return Operator(
        "attention" if window is None else "window attention",
        "decode_attention" if decoding else "prefill_attention",
        flops=4 * sequences * heads * count_scores(queries, seen, context - seen) * head_size,
        activation_bytes=2 * sequences * queries * heads * head_size * activation_bytes,
        launches=launches,
        kv_bytes=2 * sequences * (read + queries) * kv_heads * head_size * kv_bytes,
        m=queries,
        n=seen,
        unseen=context - seen,
        k=head_size,
        batch=sequences * heads,
        group=heads / kv_heads,
        narrow=narrow,
    )


def count_scores(queries: Number, seen: Number, unseen: Number = 0) -> Number:
    """Scores of one head whose last query sees ``seen`` tokens, and each query before it one fewer or as many.

    ``unseen``: tokens of the context before those; so many of the queries see as many as the last.
    """
    growing = maximum(queries - unseen, 0)
    return queries * seen - growing * (growing - 1) / 2


def share_read(operator: Operator) -> Number:
    """Share of the cache's traffic that attention reads; the rest are the new tokens that it writes."""
    read = operator.n + minimum(operator.unseen, operator.m - 1)
    return read / (read + operator.m)


def join_parts(parts: list[Operator], launches: int) -> Operator:
    """Attention over several segments in so many launches, their work added up."""
    first = parts[0]._replace(launches=launches)
    if len(parts) == 1:
        return first
    sums = {name: add(getattr(part, name) for part in parts) for name in ("flops", "activation_bytes", "kv_bytes")}
    return first._replace(**sums, parts=tuple(parts))


def all_reduce(name: str, a: Architecture, d: Deployment, rows: Number) -> list[Operator]:
    """The all-reduce after one block of a layer that ``tp`` devices share; none on one device."""
    if d.tp == 1:
        return []
    return [Operator(f"{name} all-reduce", "all_reduce", message_bytes=rows * a.hidden_size * d.activation_bytes)]
