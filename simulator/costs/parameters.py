"""How many trainable numbers a model has: in all, and those that one token meets."""

from __future__ import annotations

from simulator.costs.layers import list_layers
from simulator.inputs.architecture import Architecture
from simulator.numbers import Number


def count_parameters(a: Architecture) -> Number:
    """Count every trainable number of the model, embeddings included."""
    layers = sum(
        layer.count
        * (
            layer.mixer.count_parameters(layer)
            + layer.feed_forward.count_parameters(layer)
            + layer.a.norms_per_layer * count_norm(layer.a, layer.a.hidden_size)
        )
        for layer in list_layers(a)
    )
    return layers + a.final_norms * count_norm(a, a.hidden_size) + count_embedding_parameters(a)


def count_active_parameters(a: Architecture) -> Number:
    """Count the trainable numbers that one token meets: of the experts, those it is sent to."""
    idle = sum(layer.count * layer.feed_forward.count_idle(layer) for layer in list_layers(a))
    return count_parameters(a) - idle


def count_spread_parameters(a: Architecture) -> Number:
    """Count the trainable numbers that replicas share where experts are spread over them."""
    return sum(layer.count * layer.feed_forward.count_spread(layer) for layer in list_layers(a))


def count_norm(a: Architecture, width: Number) -> Number:
    """Numbers of one normalisation."""
    return width * (1 + a.norm_bias)


def count_embedding_parameters(a: Architecture) -> Number:
    """Count token and position tables, the head and what stands between them and the layers."""
    tables = a.vocab_size * a.embedding_width * (1 if a.tie_word_embeddings else 2) + a.vocab_size * a.lm_head_bias
    if a.embedding_size is not None:
        tables += a.hidden_size * a.embedding_size * a.embedding_projections
    if a.position_embedding == "learned":
        tables += (a.max_position_embeddings + a.position_offset) * a.hidden_size
    if a.embedding_norm:
        tables += count_norm(a, a.hidden_size)
    return tables
