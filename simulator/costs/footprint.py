"""Memory that a deployment needs on each device, and whether it is there."""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.elementary import Number, maximum
from simulator.costs.layers import padded_vocabulary
from simulator.inputs.architecture import Architecture, count_parameters
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack


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
    are written to memory, and the logits where they are kept for every position.
    """
    weights = count_weights(a, d, stack) * d.weight_bytes
    cache = batch_size * (prompt_tokens + output_tokens - 1) * count_kv_numbers(a) * d.kv_bytes
    activations = count_activations(a, d, stack, prompt_tokens, batch_size) * d.activation_bytes
    return Footprint(weights, cache, (weights + cache) / d.devices + activations)


def count_weights(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Parameters over all devices, the vocabulary padded as the stack pads it; replicated ones count once."""
    padding = padded_vocabulary(a, d, stack) - a.vocab_size
    return count_parameters(a) + padding * a.embedding_width * (1 if a.tie_word_embeddings else 2)


def count_kv_numbers(a: Architecture) -> Number:
    """Numbers that one token keeps in the cache, over all layers."""
    return 2 * a.num_hidden_layers * a.kv_width


def count_activations(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, batch_size: Number
) -> Number:
    """Numbers alive on one device at the widest point of the prefill."""
    m = prompt_tokens * batch_size
    alive = m * (2 * a.hidden_size + a.intermediate_size / d.tp)
    if stack.attention == "unfused":
        scores = 2 * batch_size * a.num_attention_heads / d.tp * prompt_tokens * prompt_tokens
        alive = maximum(alive, m * 2 * a.hidden_size + scores)
    rows = m if stack.logits == "all" else batch_size
    return maximum(alive, m * a.hidden_size + rows * a.vocab_size)
