"""The operators of Transformer layers, and of the rest of a forward pass, on one device.

``m`` tokens pass through the linear layers: batch times new tokens. Tensor parallelism splits heads and FFN columns as
in Shoeybi et al. 2019 (arXiv 1909.08053, section 3), with one all-reduce after attention and one after the FFN.
"""

from __future__ import annotations

from simulator.costs.attention import Tokens, count_bytes, local_kv_heads, local_qkv_width
from simulator.costs.feed_forward import element_sizes, list_dispatch, list_experts, list_ffn
from simulator.costs.operators import Operator, grouped, linear
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import MemoryKernel, Stack, Tensor
from simulator.numbers import Number, maximum, round_up

Group = tuple[Number, list[Operator]]  # operators, and in how many layers they run


def list_layer_groups(a: Architecture, d: Deployment, stack: Stack, tokens: Tokens) -> list[Group]:
    """Everything in the layers that does not depend on the context."""
    m = tokens.m
    others = list_memory_kernels(stack.layer_kernels, a, d, stack, m)
    if not a.parallel_residual:
        others += list_sums("attention", a, d, m)
    groups = [*list_products(a, d, tokens), (a.num_hidden_layers, others)]
    if a.num_hidden_layers != a.expert_layers:
        groups.append((a.num_hidden_layers - a.expert_layers, list_sums("ffn", a, d, m)))
    if a.num_experts is not None:
        exchange = list_dispatch(a, d, m) if d.expert_copies > 1 else list_sums("ffn", a, d, m)
        if d.expert_copies > 1 and a.shared_expert_intermediate_size is not None:
            exchange += list_sums("shared expert", a, d, m)
        kernels = list_memory_kernels(stack.expert_kernels or [], a, d, stack, m)
        groups.append((a.expert_layers, kernels + exchange))
    return groups


def list_products(a: Architecture, d: Deployment, tokens: Tokens) -> list[Group]:
    """The weight matrices of the layers."""
    groups: list[Group] = [(a.num_hidden_layers, list_projections(a, d, tokens))]
    if a.num_hidden_layers != a.expert_layers:
        dense = list_ffn("ffn", a, d, tokens.m, a.intermediate_size)
        groups.append((a.num_hidden_layers - a.expert_layers, dense))
    if a.num_experts is not None:
        groups.append((a.expert_layers, list_experts(a, d, tokens.m)))
    return groups


def list_projections(a: Architecture, d: Deployment, tokens: Tokens) -> list[Operator]:
    """Weight matrices around the attention of one layer."""
    m, sizes = tokens.m, element_sizes(d)
    inward = (
        list_latent_projections(a, d, tokens)
        if a.is_latent
        else [linear("qkv projection", m, local_qkv_width(a, d), a.hidden_size, **sizes)]
    )
    return [*inward, linear("output projection", m, a.hidden_size, a.context_width / d.tp, **sizes)]


def list_latent_projections(a: Architecture, d: Deployment, tokens: Tokens) -> list[Operator]:
    """Weight matrices before latent attention: down to the compressed vectors on every device, and up by head.

    For one token the matrices that unpack keys and values work on queries and results instead, head by head.
    """
    m, sizes = tokens.m, element_sizes(d)
    heads, rank = a.num_attention_heads / d.tp, a.latent_rank
    if a.q_lora_rank is None:
        down = [linear("query projection", m, a.query_width / d.tp, a.hidden_size, **sizes)]
    else:
        down = [
            linear("query down", m, a.q_lora_rank, a.hidden_size, **sizes),
            linear("query up", m, a.query_width / d.tp, a.q_lora_rank, **sizes),
        ]
    down.append(linear("latent down", m, a.latent_width, a.hidden_size, **sizes))
    if not tokens.decoding:
        both = a.unrotated_size + a.value_size
        return [*down, linear("keys and values up", m, heads * both, rank, **sizes)]
    return [
        *down,
        grouped("keys absorbed", heads, m, rank, a.unrotated_size, **sizes),
        grouped("values absorbed", heads, m, a.value_size, rank, **sizes),
    ]


def list_memory_kernels(
    kernels: list[MemoryKernel], a: Architecture, d: Deployment, stack: Stack, m: Number
) -> list[Operator]:
    """Kernels that only move numbers, from the stack's list."""
    size = d.activation_bytes
    return [
        Operator(
            kernel.name,
            "elementwise",
            activation_bytes=m * find_width(kernel.over, a, d, stack) * count_bytes(kernel, size),
            launches=kernel.launches,
        )
        for kernel in kernels
        if kernel.runs_for(a, d.tp)
    ]


def find_width(tensor: Tensor, a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Numbers of one token in a tensor that kernels move, on one device."""
    if tensor == "hidden":
        return a.hidden_size
    if tensor == "ffn":
        return (a.intermediate_size if a.num_experts is None else count_expert_width(a)) / d.tp
    if tensor == "heads":
        return a.context_width / d.tp
    if tensor == "chosen":
        return a.hidden_size * (a.chosen_experts or 1)
    if tensor == "logits":
        return padded_vocabulary(a, d, stack)
    kept = a.latent_width if a.is_latent else 2 * local_kv_heads(a, d) * a.head_size
    return {"qkv": a.query_width / d.tp + kept, "qk": a.query_width / d.tp + kept / 2, "kv": kept}[tensor]


def count_expert_width(a: Architecture) -> Number:
    """Width of all the experts together that one token meets."""
    return a.chosen_experts * a.expert_width + (a.shared_expert_intermediate_size or 0)


def list_sums(name: str, a: Architecture, d: Deployment, m: Number) -> list[Operator]:
    """The all-reduce after one block of a layer that ``tp`` devices share."""
    if d.tp == 1:
        return []
    return [Operator(f"{name} all-reduce", "all_reduce", message_bytes=m * a.hidden_size * d.activation_bytes)]


def list_head_operators(a: Architecture, d: Deployment, stack: Stack, tokens: Tokens) -> list[Operator]:
    """What follows the last layer: final kernels, the product with the vocabulary, the logits' gathering."""
    m = tokens.m if stack.logits == "all" else tokens.sequences
    vocabulary = padded_vocabulary(a, d, stack)
    size = {"weight_bytes": head_weight_bytes(d, stack), "activation_bytes": d.activation_bytes}
    if stack.quantizes_head:
        size["input_bytes"] = d.input_bytes
    operators = []
    if a.embedding_size is not None:
        operators.append(linear("head projection", m, a.embedding_width, a.hidden_size, **size))
    sharers = d.tp if stack.shards_head else 1
    operators.append(linear("lm head", m, vocabulary / sharers, a.embedding_width, **size))
    operators = [operator._replace(wide=not stack.quantizes_head) for operator in operators]
    if d.tp != 1 and stack.gathers_logits:
        message = m * vocabulary * d.activation_bytes
        operators.append(Operator("logits all-gather", "all_gather", message_bytes=message))
    return operators + list_memory_kernels(stack.head_kernels, a, d, stack, m)


def head_weight_bytes(d: Deployment, stack: Stack) -> Number:
    """Bytes of one number of the token table and the head, which most stacks leave as wide as activations."""
    return d.weight_bytes if stack.quantizes_head else maximum(d.weight_bytes, d.activation_bytes)


def padded_vocabulary(a: Architecture, d: Deployment, stack: Stack) -> Number:
    """Rows of the head after the stack's padding."""
    return round_up(a.vocab_size, stack.vocab_multiple * d.tp)
