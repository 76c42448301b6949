"""Memory that a deployment needs on each device, by purpose."""

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
from simulator.costs.passes import find_stage_share, table_weight_bytes
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number, ceil, maximum, minimum

FP32_BYTES = 4


class Footprint(NamedTuple):
    """Bytes over all devices, and those of the fullest device by purpose.

    ``graphs_bytes`` is of captured graphs, and ``runtime_bytes`` of what the engine's libraries take for themselves.
    """

    weights_bytes: Number
    kv_cache_bytes: Number
    device_weights_bytes: Number
    device_kv_cache_bytes: Number
    activations_bytes: Number
    graphs_bytes: Number
    runtime_bytes: Number

    @property
    def device_bytes(self) -> Number:
        """Everything on the fullest device."""
        return sum(self[2:])


def measure_footprint(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, output_tokens: Number, batch_size: Number
) -> Footprint:
    """Weights, KV cache at the end of the request, activations, and what the engine takes beside them.

    Weights over all devices count every replica of the model, and once what several devices of one hold. With a
    pipeline the fullest device is of a stage with the most layers and the larger of the two tables.
    """
    batch = ceil(batch_size / d.dp)
    cache = batch * count_kv_bytes(a, d, prompt_tokens + output_tokens - 1)
    return Footprint(
        count_all_weight_bytes(a, d, stack) * d.dp,
        cache * d.devices,
        count_weight_bytes(a, d, stack),
        cache * d.pp * find_stage_share(a, d),
        count_activation_bytes(a, d, stack, prompt_tokens, ceil(batch / d.micro_batches)),
        count_graph_bytes(a, d, stack) if stack.ledger.graphs_in_share else 0.0,
        count_runtime_bytes(d, stack),
    )


def count_weights(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Parameters of one replica, the vocabulary padded as the stack pads it; those on several devices count once."""
    return count_parameters(a) + sum(count_padding(a, d, stack).values())


def count_padding(a: Architecture, d: Deployment, stack: Stack) -> dict[str, Number]:
    """Parameters that pad the vocabulary, of each table."""
    padding = (padded_vocabulary(a, d, stack) - a.vocab_size) * a.embedding_width
    return {"embedding": padding, "head": 0 if a.tie_word_embeddings else padding}


def count_all_weight_bytes(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Bytes of the weights of one replica on all its devices; of experts that replicas share, its part of these."""
    head = sum(count_table_bytes(a, d, stack).values())
    spread = count_spread_parameters(a) * d.weight_bytes_of("experts")
    copies = 1 if stack.shards_head else d.tp
    return head * copies + count_layer_bytes(a, d) - spread + spread / d.expert_replicas


def count_weight_bytes(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Bytes of weights on the fullest device: its share of the layers, of shared experts and of the tables."""
    tables = count_table_bytes(a, d, stack)
    # The first stage has the token table and the last the head; where they are one, each has it.
    held = sum(tables.values()) if d.pp == 1 else maximum(*tables.values())
    spread = count_spread_parameters(a) * d.weight_bytes_of("experts")
    layers = count_layer_bytes(a, d) - spread + spread / d.expert_replicas
    each = layers / d.tp + count_copied_bytes(a, d)
    return held / (d.tp if stack.shards_head else 1) + each * find_stage_share(a, d)


def count_copied_bytes(a: Architecture, d: Deployment) -> Number:
    """Bytes that a device holds past its even share of the layers, as it has some matrices whole."""
    attention, router = d.weight_bytes_of("attention"), d.weight_bytes_of("rest")
    return sum(
        layer.copies * layer.mixer.count_copied(layer, d) * attention
        + layer.copies * layer.feed_forward.count_copied(layer, d) * router
        for layer in list_layers(a)
    )


def count_layer_bytes(a: Architecture, d: Deployment) -> Number:
    """Bytes of the weights of all layers."""
    return sum(count * d.weight_bytes_of(part) for part, count in count_layer_parts(a).items())


def count_table_bytes(a: Architecture, d: Deployment, stack: Stack) -> dict[str, Number]:
    """Bytes of the token table and of the head, padded."""
    padding = count_padding(a, d, stack)
    return {
        part: (count + padding[part]) * table_weight_bytes(part, d, stack)
        for part, count in count_table_parts(a).items()
    }


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


def count_activation_bytes(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, batch_size: Number
) -> Number:
    """Bytes of activations on one device: those of the request's prefill, or of the pass an engine tries in advance."""
    if stack.ledger.sequences is not None:
        return count_reserved_bytes(a, d, stack, find_budget(a, stack), stack.ledger.sequences)
    return count_activations(a, d, stack, prompt_tokens, batch_size) * d.activation_bytes


def find_budget(a: Architecture, stack: Stack) -> Number:
    """Most tokens of one pass: those of a chunk, or of the longest prompt."""
    return a.max_position_embeddings if stack.prefill_chunk is None else stack.prefill_chunk


def count_reserved_bytes(a: Architecture, d: Deployment, stack: Stack, tokens: Number, sequences: Number) -> Number:
    """Bytes that an engine sees in use in a pass of the most tokens and sequences, on one device.

    The larger of two moments: in a feed-forward block hidden state and residual with all inner tensors; and at the end
    the hidden state, the logits of every sequence and what sampling makes of them. Experts keep their room throughout:
    the tokens as sent to them, and their inner tensors.
    """
    m, size = tokens, d.activation_bytes
    inner = m * (2 * a.hidden_size + find_dense_width(a) * a.mlp_matrices / d.tp) * size
    logits = sequences * padded_vocabulary(a, d, stack) * (size + stack.ledger.logit_copies * FP32_BYTES)
    widest = maximum(inner, m * a.hidden_size * size + logits)
    return count_expert_room(a, d, m) + widest + stack.ledger.workspace_bytes


def find_dense_width(a: Architecture) -> Number:
    """Width of the widest block that all tokens meet: a dense layer's, or of shared experts; 0 where there is none."""
    shared = 0 if a.shared_expert_intermediate_size is None else a.shared_expert_intermediate_size
    dense = any(group.feed_forward == "dense" for group in a.groups)
    return maximum(a.intermediate_size if dense else 0, shared)


def count_expert_room(a: Architecture, d: Deployment, tokens: Number) -> Number:
    """Bytes of the tensors of routed experts: the first product or the sum, which share their room, and the middle."""
    if a.num_experts is None:
        return 0
    sent = tokens * a.activated_experts * d.expert_replicas / d.ep
    width = a.expert_width / d.expert_tp
    return sent * (maximum((a.mlp_matrices - 1) * width, a.expert_input) + width) * d.activation_bytes


def count_runtime_bytes(d: Deployment, stack: Stack) -> Number:
    """Bytes that libraries take outside the tensors' allocator: those of the device, and of the group of a layer."""
    ledger = stack.ledger
    return ledger.runtime_bytes + (ledger.parallel_bytes if d.tp > 1 else 0.0)


def count_graph_bytes(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Bytes of the captured graphs of the passes of one stage."""
    ledger = stack.ledger
    return ledger.graph_base_bytes + ledger.graph_layer_bytes * a.num_hidden_layers * find_stage_share(a, d)


def count_activations(
    a: Architecture, d: Deployment, stack: Stack, prompt_tokens: Number, batch_size: Number
) -> Number:
    """Numbers alive on one device at the widest point of the prefill.

    The largest of the hidden state with the FFN's inner one, the attention scores of one layer where they are written
    to memory, and the logits where they are kept for every position. A chunk is of all sequences together.
    """
    m = prompt_tokens * batch_size
    if stack.prefill_chunk is not None:
        m = minimum(m, stack.prefill_chunk)
    inner = a.intermediate_size if a.num_experts is None else count_expert_width(a)
    alive = m * (2 * a.hidden_size + inner / d.tp)
    if stack.attention != "flash":
        scores = 2 * m * a.num_attention_heads / d.tp * prompt_tokens
        alive = maximum(alive, m * 2 * a.hidden_size + scores)
    rows = m if stack.logits == "all" else batch_size
    return maximum(alive, m * a.hidden_size + rows * a.vocab_size)
