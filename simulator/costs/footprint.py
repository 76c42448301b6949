"""Memory that a deployment needs on each device, and whether it is there."""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.kernels import count_expert_width, padded_vocabulary
from simulator.costs.layers import list_layers
from simulator.costs.parameters import (
    count_layer_parts,
    count_parameters,
    count_spread_parameters,
    count_table_parts,
)
from simulator.costs.passes import table_weight_bytes
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number, ceil, maximum, minimum


class Footprint(NamedTuple):
    """Bytes over all devices, and what one device holds: its even share of them with its activations."""

    weights_bytes: Number
    kv_cache_bytes: Number
    device_bytes: Number


def measure_footprint(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, output_tokens: Number, batch_size: Number
) -> Footprint:
    """Weights, KV cache at the end of the request, and the widest activations of the prefill.

    Activations: the largest of the hidden state with the FFN's inner one, the attention scores of one layer where they
    are written to memory, and the logits where they are kept for every position. Weights over all devices count every
    replica of the model, on one device its share of one.
    """
    batch = ceil(batch_size / d.dp)
    weights = count_weight_bytes(a, d, stack)
    cache = batch * count_kv_bytes(a, d, prompt_tokens + output_tokens - 1)
    activations = count_activations(a, d, stack, prompt_tokens, ceil(batch / d.micro_batches)) * d.activation_bytes
    devices = d.tp * d.pp
    return Footprint(
        weights * devices * d.dp, cache * devices * d.dp, weights + cache + activations + stack.reserved_bytes
    )


def count_weights(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Parameters of one replica, the vocabulary padded as the stack pads it; those on several devices count once."""
    return count_parameters(a) + sum(count_padding(a, d, stack).values())


def count_padding(a: Architecture, d: Deployment, stack: Stack) -> dict[str, Number]:
    """Parameters that pad the vocabulary, of each table."""
    padding = (padded_vocabulary(a, d, stack) - a.vocab_size) * a.embedding_width
    return {"embedding": padding, "head": 0 if a.tie_word_embeddings else padding}


def count_weight_bytes(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Bytes of weights on one device: an even share of a replica, and of the experts that replicas share."""
    padding = count_padding(a, d, stack)
    head = sum(
        (count + padding[part]) * table_weight_bytes(part, d, stack) for part, count in count_table_parts(a).items()
    )
    layers = sum(count * d.weight_bytes_of(part) for part, count in count_layer_parts(a).items())
    shared = d.tp * d.pp
    spread = count_spread_parameters(a) * d.weight_bytes_of("experts")
    return share_head(head, d, stack) + (layers - spread) / shared + spread / (shared * d.expert_replicas)


def share_head(head: Number, d: Deployment, stack: Stack) -> Number:
    """Bytes of tables and head on one device: an even share, or all of them where each device has the whole head."""
    return head / d.pp / (d.tp if stack.shards_head else 1)


def count_kv_numbers(a: Architecture, d: Deployment, context: Number) -> Number:
    """Numbers that a request of so many tokens keeps on each device of a layer's group, over all layers.

    Those of constant size, as states of recurrent layers, are not among them.
    """
    return sum(layer.count * layer.mixer.count_cache(layer, d, context) for layer in list_layers(a))


def count_state_numbers(a: Architecture, d: Deployment) -> Number:
    """Numbers that a request keeps however long it is, on each device of a layer's group, over all layers."""
    return sum(layer.count * layer.mixer.count_state(layer, d) for layer in list_layers(a))


def count_kv_bytes(a: Architecture, d: Deployment, context: Number) -> Number:
    """Bytes of the KV cache and the states of one request on one device, an even share of the stages."""
    state = count_state_numbers(a, d) * d.activation_bytes
    return (count_kv_numbers(a, d, context) * d.kv_bytes + state) / d.pp


def count_activations(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, batch_size: Number
) -> Number:
    """Numbers alive on one device at the widest point of the prefill."""
    together = prompt_tokens if stack.prefill_chunk is None else minimum(prompt_tokens, stack.prefill_chunk)
    m = together * batch_size
    inner = a.intermediate_size if a.num_experts is None else count_expert_width(a)
    alive = m * (2 * a.hidden_size + inner / d.tp)
    if stack.attention == "unfused":
        scores = 2 * batch_size * a.num_attention_heads / d.tp * together * prompt_tokens
        alive = maximum(alive, m * 2 * a.hidden_size + scores)
    rows = m if stack.logits == "all" else batch_size
    return maximum(alive, m * a.hidden_size + rows * a.vocab_size)
