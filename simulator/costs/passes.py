"""One forward pass of a batch on one device of the layout: which operators, how often, and what the host does.

Tensor parallelism splits heads and FFN columns as in Shoeybi et al. 2019 (arXiv 1909.08053, section 3), with one
all-reduce after attention and one after the FFN. A pipeline runs its stages one after the other, so the layers of all
stages count. Stages need not be equally long: engines give the layers that are left over to some of them, one each.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.batch import Batch
from simulator.costs.kernels import list_memory_kernels, list_quantized, padded_vocabulary
from simulator.costs.layers import list_layers
from simulator.costs.operators import ElementSizes, Operator, all_reduce, element_sizes, linear
from simulator.costs.structure import Group, Layer, gather
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.memo import remember
from simulator.numbers import Number, ceil, maximum

# What a layer of one part alone needs of a stack's kernels: the one with a mixer, and the one without.
NEEDED = {True: {"hidden", "qkv", "qk", "kv", "heads"}, False: {"hidden", "ffn", "activated"}}


class HostWork(NamedTuple):
    """What the host does for one pass.

    ``eager``: it issues the kernels of the ``depth`` layers one by one. ``sequences`` are scheduled and sampled. The
    text of ``encoded_tokens`` is turned into numbers. ``allocates``: each layer allocates its cache. ``shares``: each
    layer is shared by several devices, all of which are told what to do. ``prepares``: requests are set up before it.
    """

    eager: bool
    depth: Number
    sequences: Number
    encoded_tokens: Number
    allocates: bool
    shares: bool = False
    prepares: bool = False


@frozen_dataclass(eq=False)
class LinearPart:
    """The part of a pass that no context changes: it depends on how many rows and sequences there are.

    ``layers`` are groups of operators with the number of layers that they run in. ``embedding`` runs before the layers,
    ``stage`` between pipeline stages and ``head`` at the end, once each.
    """

    embedding: list[Operator]
    layers: list[Group]
    stage: list[Operator]
    head: list[Operator]
    host: HostWork


class Pass(NamedTuple):
    """Operators of one forward pass: the linear part, and the mixing of tokens in so many layers each."""

    linear: LinearPart
    mixing: list[Group]


def find_stage_share(a: Architecture, d: Deployment) -> Number:
    """Share of the layers in the longest stage of a pipeline."""
    return ceil(a.num_hidden_layers / d.pp) / a.num_hidden_layers


def build_pass(a: Architecture, d: Deployment, stack: Stack, batch: Batch) -> Pass:
    """List the work of one forward pass over a batch."""
    return Pass(build_linear(a, d, stack, forget_contexts(batch)), list_mixing(a, d, stack, batch))


def forget_contexts(batch: Batch) -> Batch:
    """The batch with no context, for what does not depend on it."""
    return Batch(tuple(segment._replace(context_tokens=0.0) for segment in batch.segments))


@remember
def build_linear(a: Architecture, d: Deployment, stack: Stack, batch: Batch) -> LinearPart:
    """List the work that no context changes; answers are shared, so that times are remembered by them."""
    rows, layers = batch.rows, list_layers(a)
    message = rows * a.hidden_size * d.activation_bytes
    decodes_only = not batch.prompts
    encoded = sum(segment.rows for segment in batch.prompts) if stack.encodes_text else 0.0
    begins, depth = not decodes_only, a.num_hidden_layers
    allocates, prepares = (begins and does for does in (stack.allocates_cache, stack.prepares_requests))
    return LinearPart(
        list_memory_kernels(stack.embedding_kernels, layers[0], d, stack, rows),
        list_layer_groups(layers, d, stack, batch),
        [Operator("stage send", "send", message_bytes=message) for _ in range(d.pp - 1)],
        list_head_operators(layers[0], d, stack, batch),
        HostWork(stack.is_eager(decodes_only), depth, batch.sequences, encoded, allocates, d.tp != 1, prepares),
    )


def list_layer_groups(layers: tuple[Layer, ...], d: Deployment, stack: Stack, batch: Batch) -> list[Group]:
    """Everything in the layers but the mixing."""
    rows = batch.rows
    groups = [(count, list_quantized(gemms, d, stack)) for count, gemms in list_gemms(layers, d, batch)]
    for layer in gather(layers, "projections"):
        kernels = [k for k in stack.layer_kernels if layer.is_whole or k.over in NEEDED[layer.mixer.mixes]]
        hidden = [k for k in kernels if k.over == "hidden"]
        # Of norms and residuals, a layer of one part alone has half.
        groups.append((layer.count / (1 if layer.is_whole else 2), list_memory_kernels(hidden, layer, d, stack, rows)))
        others = list_memory_kernels([k for k in kernels if k.over != "hidden"], layer, d, stack, rows)
        if layer.mixer.mixes and not layer.a.parallel_residual:
            others += all_reduce("attention", layer.a, d, rows)
        groups.append((layer.count, others))
    for layer in gather(layers, "feed_forward"):
        groups.append((layer.count, layer.feed_forward.list_exchange(layer, d, stack, rows)))
    for layer in layers:
        if layer.a.residual_streams > 1:
            groups.append((layer.count, [mix_streams(layer, d, rows)]))
    return groups


def mix_streams(layer: Layer, d: Deployment, rows: Number) -> Operator:
    """The traffic of parallel residual streams around both parts of a layer.

    Hyper-connections (Xie et al. 2025, arXiv 2512.24880, section 4): n streams are read for a part's input, and read,
    mixed and written with its output: 3 n + 2 hidden states a token and part, in two kernels. A matrix of n by n mixes
    them around each part, or ``stream_products`` times in a layer: once in AltUp, never where a part's output is added.
    """
    a, products = layer.a, layer.sizes.get("stream_products", 2)
    moved = 2 * (3 * a.residual_streams + 2) * rows * a.hidden_size * d.activation_bytes
    mixed = 2 * products * a.residual_streams**2 * rows * a.hidden_size
    return Operator("residual streams", "elementwise", mixed, activation_bytes=moved, launches=4)


def list_gemms(layers: tuple[Layer, ...], d: Deployment, batch: Batch) -> list[Group]:
    """The weight matrices of the layers."""
    groups: list[Group] = []
    for layer in gather(layers, "projections"):
        groups.append((layer.count, layer.mixer.list_projections(layer, d, batch)))
    for layer in gather(layers, "feed_forward"):
        groups.append((layer.count, layer.feed_forward.list_gemms(layer, d, batch)))
    a = layers[0].a
    for layer in layers:
        side = layer.a.side_parameters
        if not (isinstance(side, int) and side == 0):
            width, sizes = side / layer.a.hidden_size, element_sizes(d, "rest")
            groups.append((layer.count, [linear("side products", batch.rows, width, layer.a.hidden_size, **sizes)]))
    if a.per_layer_input_size is not None:
        groups.append((a.num_hidden_layers, list_per_layer_inputs(a, d, batch.rows)))
    return groups


def list_per_layer_inputs(a: Architecture, d: Deployment, rows: Number) -> list[Operator]:
    """Products around a layer's own embedding: its share of the projection before all layers, its gate, and out."""
    width, h, sizes = a.per_layer_input_size, a.hidden_size, element_sizes(d, "rest")
    return [
        linear("layer input", rows, width, h, **sizes),
        linear("layer input gate", rows, width, h, **sizes),
        linear("layer input out", rows, h, width, **sizes),
    ]


def list_mixing(a: Architecture, d: Deployment, stack: Stack, batch: Batch) -> list[Group]:
    """The mixing of tokens in all layers, which alone depends on the contexts."""
    layers = gather(list_layers(a), "mixer")
    return [(layer.count, layer.mixer.list_operators(layer, d, stack, batch)) for layer in layers]


def list_head_operators(layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
    """What follows the last layer: final kernels, the product with the vocabulary, the logits' gathering."""
    a = layer.a
    if stack.logits == "last" and not any(segment.needs_logits for segment in batch.segments):
        return []
    rows = batch.rows if stack.logits == "all" else batch.logits
    vocabulary = padded_vocabulary(a, d, stack)
    size = table_sizes("embedding" if a.tie_word_embeddings else "head", d, stack)
    operators = []
    if a.embedding_size is not None:
        operators.append(linear("head projection", rows, a.embedding_width, a.hidden_size, **size))
    sharers = d.tp if stack.shards_head else 1
    operators.append(linear("lm head", rows, vocabulary / sharers, a.embedding_width, **size))
    if d.tp != 1 and stack.gathers_logits:
        message = rows * vocabulary * d.activation_bytes
        operators.append(Operator("logits all-gather", "all_gather", message_bytes=message))
    return operators + list_memory_kernels(stack.head_kernels, layer, d, stack, rows)


def narrows_head(d: Deployment, stack: Stack) -> bool:
    """Whether token table and head are in a format of the weights: where the checkpoint, stack or file has them so."""
    return d.own is not None or stack.quantizes_head or d.stores_file


def table_sizes(part: str, d: Deployment, stack: Stack) -> ElementSizes:
    """Sizes for products with the token table or the head, which compute wide unless they are quantized."""
    if narrows_head(d, stack):
        return element_sizes(d, part)
    size = d.activation_bytes
    weight = table_weight_bytes(part, d, stack)
    return {"weight_bytes": weight, "activation_bytes": size, "input_bytes": size, "wide": True}


def table_weight_bytes(part: str, d: Deployment, stack: Stack) -> Number:
    """Bytes of one number of the token table or the head, which most stacks leave as wide as activations."""
    weight = d.weight_bytes_of(part)
    return weight if narrows_head(d, stack) else maximum(weight, d.activation_bytes)


def list_all(work: Pass) -> list[tuple[Number, Operator]]:
    """Every operator of the pass with how often it runs."""
    linear_part = work.linear
    repeated = [(layers, operator) for layers, operators in linear_part.layers + work.mixing for operator in operators]
    return repeated + [(1, operator) for operator in linear_part.embedding + linear_part.stage + linear_part.head]


def sum_cost(work: Pass, cost: str) -> Number:
    """Total of one cost (``flops``, ``weight_bytes``, ``bytes_moved``...) of all operators of a pass on one device."""
    return sum(count * getattr(operator, cost) for count, operator in list_all(work))


def count_model_flops(a: Architecture, d: Deployment, batch: Batch) -> Number:
    """FLOPs on one device that the model asks for, whatever the stack does: causal scores, logits of the last token."""
    layers = list_layers(a)
    # Latent attention counts as its paper defines it, with keys and values unpacked.
    unpacked = Batch(tuple(segment._replace(decodes=False) for segment in batch.segments))
    matrices = sum(count * op.flops for count, operators in list_gemms(layers, d, unpacked) for op in operators)
    mixing = sum(
        layer.count * layer.mixer.count_flops(layer, d, segment)
        for layer in gather(layers, "mixer")
        for segment in batch.segments
    )
    return matrices + mixing + 2 * batch.sequences * a.embedding_width * a.vocab_size / d.tp
