"""How many trainable numbers a model has: in all, and those that one token meets."""

from __future__ import annotations

from simulator.costs.layers import list_layers
from simulator.inputs.architecture import Architecture
from simulator.numbers import Number


def count_parameters(a: Architecture) -> Number:
    """Count every trainable number of the model, embeddings included."""
    return sum(count_layer_parts(a).values()) + count_embedding_parameters(a)


def count_layer_parts(a: Architecture) -> dict[str, Number]:
    """Count the trainable numbers of all layers and beside them, by part of a checkpoint's formats."""
    beside = a.final_norms * count_norm(a, a.hidden_size) + count_per_layer_inputs(a) + a.other_parameters
    parts: dict[str, Number] = {"rest": beside}
    for layer in list_layers(a):
        own = {"attention": layer.mixer.count_parameters(layer)} | layer.feed_forward.count_parts(layer)
        norms = layer.a.norms_per_layer * count_norm(layer.a, layer.a.hidden_size) + layer.a.other_layer_parameters
        for part, count in (*own.items(), ("rest", norms)):
            parts[part] = parts.get(part, 0) + layer.copies * count
    return parts


def count_per_layer_inputs(a: Architecture) -> Number:
    """Numbers of a second embedding for each layer: its table, the projections, and a norm of it and of a layer's."""
    if a.per_layer_input_size is None:
        return 0
    rows: Number = a.per_layer_vocab_size
    width = a.num_hidden_layers * a.per_layer_input_size
    table = rows * width + width * a.hidden_size + a.per_layer_input_size
    return table + a.num_hidden_layers * (2 * a.per_layer_input_size * a.hidden_size + a.hidden_size)


def count_active_parameters(a: Architecture) -> Number:
    """Count the trainable numbers that one token meets: of the experts, those it is sent to."""
    idle = sum(
        layer.copies * (layer.mixer.count_idle(layer) + layer.feed_forward.count_idle(layer))
        for layer in list_layers(a)
    )
    return count_parameters(a) - idle


def count_spread_parameters(a: Architecture) -> Number:
    """Count the trainable numbers that replicas share where experts are spread over them."""
    return sum(layer.copies * layer.feed_forward.count_spread(layer) for layer in list_layers(a))


def count_norm(a: Architecture, width: Number) -> Number:
    """Numbers of one normalisation."""
    return width * (1 + a.norm_bias)


def count_embedding_parameters(a: Architecture) -> Number:
    """Count token and position tables, the head and what stands between them and the layers."""
    return sum(count_table_parts(a).values())


def count_table_parts(a: Architecture) -> dict[str, Number]:
    """Count what stands before and after the layers by part: a tied head is the ``embedding``."""
    table = a.vocab_size * a.embedding_width
    tables = table
    if a.embedding_size is not None:
        tables += a.hidden_size * a.embedding_size * a.embedding_projections
    if a.position_embedding == "learned":
        tables += (a.max_position_embeddings + a.position_offset) * a.hidden_size
    if a.embedding_norm:
        tables += count_norm(a, a.hidden_size)
    return {"embedding": tables, "head": table * (0 if a.tie_word_embeddings else 1) + a.vocab_size * a.lm_head_bias}
