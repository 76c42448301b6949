"""How many trainable numbers a model has: in all, and those that one token meets."""

from __future__ import annotations

from typing import Any

from simulator.inputs.architecture import Architecture


def count_parameters(architecture: Architecture) -> Any:
    """Count every trainable number of the model, embeddings included."""
    a = architecture
    layer = count_attention(a) + a.norms_per_layer * count_norm(a, a.hidden_size)
    dense = (a.num_hidden_layers - a.expert_layers) * count_mlp(a, a.intermediate_size)
    experts = a.expert_layers * count_expert_block(a, a.experts) if a.num_experts is not None else 0
    final = a.final_norms * count_norm(a, a.hidden_size)
    return a.num_hidden_layers * layer + dense + experts + final + count_embedding_parameters(a)


def count_active_parameters(architecture: Architecture) -> Any:
    """Count the trainable numbers that one token meets: of the experts, those it is sent to."""
    a = architecture
    if a.num_experts is None:
        return count_parameters(a)
    idle = a.experts - a.chosen_experts
    return count_parameters(a) - a.expert_layers * idle * count_mlp(a, a.expert_width)


def count_norm(a: Architecture, width: Any) -> Any:
    """Numbers of one normalisation."""
    return width * (1 + a.norm_bias)


def count_attention(a: Architecture) -> Any:
    """Numbers of one attention block with its projections."""
    out = a.context_width * a.hidden_size + a.hidden_size * a.attention_output_bias
    sinks = a.num_attention_heads * a.attention_sinks
    if a.is_latent:
        return count_latent_projections(a) + out + sinks
    qkv = a.query_width + 2 * a.kv_width
    return a.hidden_size * qkv + qkv * a.attention_bias + count_qk_norms(a) + out + sinks


def count_qk_norms(a: Architecture) -> Any:
    """Numbers of the norms of queries and of keys."""
    counts = {"head": 2 * a.head_size, "head with bias": 4 * a.head_size, "projection": a.query_width + a.kv_width}
    return counts.get(a.qk_norm, 0)


def count_latent_projections(a: Architecture) -> Any:
    """Numbers of the projections of latent attention down to the compressed vectors, their norms, and up again."""
    h, heads, rank = a.hidden_size, a.num_attention_heads, a.latent_rank
    down = h * a.latent_width + a.latent_width * a.attention_bias
    up = rank * heads * (a.unrotated_size + a.value_size)
    query: Any = a.q_lora_rank
    if query is None:
        return h * a.query_width + down + up + rank
    query = h * query + query * a.attention_bias + query + query * a.query_width
    return query + down + up + rank


def count_mlp(a: Architecture, width: Any) -> Any:
    """Numbers of one feed-forward block of a width."""
    return a.mlp_matrices * a.hidden_size * width + ((a.mlp_matrices - 1) * width + a.hidden_size) * a.mlp_bias


def count_expert_block(a: Architecture, experts: Any) -> Any:
    """Numbers of one block of so many experts, its router and shared experts included."""
    router = a.hidden_size * a.experts + a.experts * a.router_bias
    shared = 0
    if a.shared_expert_intermediate_size is not None:
        shared = count_mlp(a, a.shared_expert_intermediate_size) + a.hidden_size * a.shared_expert_gate
    return router + experts * count_mlp(a, a.expert_width) + shared


def count_embedding_parameters(architecture: Architecture) -> Any:
    """Count token and position tables, the head and what stands between them and the layers."""
    a = architecture
    tables = a.vocab_size * a.embedding_width * (1 if a.tie_word_embeddings else 2) + a.vocab_size * a.lm_head_bias
    if a.embedding_size is not None:
        tables += a.hidden_size * a.embedding_size * a.embedding_projections
    if a.position_embedding == "learned":
        tables += (a.max_position_embeddings + a.position_offset) * a.hidden_size
    if a.embedding_norm:
        tables += count_norm(a, a.hidden_size)
    return tables
