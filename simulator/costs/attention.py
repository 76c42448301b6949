"""The attention of one layer on one device, between its projections: the work that grows with the context.

A request adds ``queries`` new tokens to a context that then holds ``context`` tokens, for each of ``sequences``.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.operators import Operator, attention, count_scores
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import MemoryKernel, SoftmaxPasses, Stack, UnfusedAttention
from simulator.numbers import Number, both, is_multiple, maximum, minimum, where

FP32_BYTES = 4


class Tokens(NamedTuple):
    """Tokens of one forward pass; see the module docstring. ``decoding``: one new token after a cache."""

    sequences: Number
    queries: Number
    context: Number
    decoding: bool = False

    @property
    def m(self) -> Number:
        """Rows of every linear layer."""
        return self.sequences * self.queries


def local_kv_heads(a: Architecture, d: Deployment) -> Number:
    """Key heads on one device; heads that are fewer than the devices are there several times."""
    if a.num_key_value_heads is None:
        return a.num_attention_heads / d.tp
    return maximum(a.kv_heads / d.tp, 1) if d.tp != 1 else a.kv_heads


def local_qkv_width(a: Architecture, d: Deployment) -> Number:
    """Width of queries, keys and values together on one device."""
    return a.query_width / d.tp + 2 * local_kv_heads(a, d) * a.head_size


def list_attention_operators(
    a: Architecture, d: Deployment, stack: Stack, tokens: Tokens
) -> list[tuple[Number, list[Operator]]]:
    """Attention of layers that see all tokens and of those that see a window, each with how many layers it runs in."""
    groups = []
    if a.full_layers != 0:
        groups.append((a.full_layers, list_one_attention(a, d, stack, tokens, None)))
    if a.sliding_window is not None:
        windowed = list_one_attention(a, d, stack, tokens, a.sliding_window)
        groups.append((a.num_hidden_layers - a.full_layers, windowed))
    return groups


def list_one_attention(
    a: Architecture, d: Deployment, stack: Stack, tokens: Tokens, window: Number | None
) -> list[Operator]:
    """Attention of one layer. Stacks with unfused attention mask a window and work out all scores.

    Latent attention is taken as fused whatever the stack.
    """
    if stack.unfused_attention is not None and not a.is_latent:
        return list_unfused_attention(a, d, stack.unfused_attention, tokens)
    launches = stack.count_attention_launches(tokens.decoding)
    if a.is_latent:
        return [latent_attention(a, d, tokens, launches)]
    if tokens.decoding and (stack.cache_passes or stack.repeats_kv_heads):
        return list_copied_attention(a, d, stack, tokens, launches, window)
    return [fused_attention(a, d, tokens, launches, window)]


def fused_attention(
    a: Architecture, d: Deployment, tokens: Tokens, launches: int = 1, window: Number | None = None
) -> Operator:
    """Fused attention on one device."""
    return attention(
        tokens.sequences,
        tokens.queries,
        tokens.context,
        a.num_attention_heads / d.tp,
        local_kv_heads(a, d),
        a.head_size,
        decoding=tokens.decoding,
        launches=launches,
        activation_bytes=d.activation_bytes,
        kv_bytes=d.kv_bytes,
        window=window,
    )


def list_copied_attention(
    a: Architecture, d: Deployment, stack: Stack, tokens: Tokens, launches: int, window: Number | None
) -> list[Operator]:
    """Decode attention of stacks that rebuild the cache for every token, or copy it for every query head."""
    seen = tokens.context if window is None else minimum(tokens.context, window)
    kept = 2 * tokens.sequences * seen * local_kv_heads(a, d) * a.head_size * d.kv_bytes
    operator = fused_attention(a, d, tokens, launches, window)
    moved = stack.cache_passes * kept
    if stack.repeats_kv_heads:
        moved = moved + kept * (1 + operator.group)
        operator = operator._replace(kv_bytes=operator.kv_bytes * operator.group, group=1)
    return [Operator("cache copy", "stream", activation_bytes=moved, launches=2), operator]


def latent_attention(a: Architecture, d: Deployment, tokens: Tokens, launches: int = 1) -> Operator:
    """Multi-head latent attention on one device, of which each holds the whole compressed cache.

    DeepSeek-V2 (arXiv 2405.04434), section 2.1.2: over a prompt, keys and values are unpacked and heads attend as
    usual; for one token, the unpacking is absorbed by the projections and all heads share the compressed vectors.
    """
    s, q, c, decoding = tokens
    heads, latent = a.num_attention_heads / d.tp, a.latent_width
    sizes = (latent, a.latent_rank) if decoding else (a.head_size, a.value_size)
    width = sum(sizes) / 2
    return Operator(
        "latent attention",
        "latent_decode" if decoding else "prefill_attention",
        flops=4 * s * heads * count_scores(q, c) * width,
        activation_bytes=2 * s * q * heads * width * d.activation_bytes,
        launches=launches,
        kv_bytes=s * (c + q) * latent * d.kv_bytes,
        m=q,
        n=c,
        k=width,
        batch=s * heads,
        group=heads if decoding else 1,
    )


def list_unfused_attention(a: Architecture, d: Deployment, kind: UnfusedAttention, tokens: Tokens) -> list[Operator]:
    """Attention as a batched product, a softmax over all scores in memory, and a second batched product.

    The whole square of scores is computed, the masked half included.
    """
    s, q, c, _ = tokens
    heads, kv_heads, size = a.num_attention_heads / d.tp, local_kv_heads(a, d), a.head_size
    batch, group = s * heads, heads / kv_heads
    scores = batch * q * c
    flops = 2 * scores * size
    moved = (batch * q * size + scores) * d.activation_bytes
    cache = s * c * kv_heads * size * d.kv_bytes
    return [
        Operator("scores", "batched", flops, 0.0, moved, cache, m=q, n=c, k=size, batch=batch, group=group),
        softmax(kind, batch, q, c, scores, d),
        Operator("context", "batched", flops, 0.0, moved, cache, m=q, n=size, k=c, batch=batch, group=group),
    ]


def softmax(kind: UnfusedAttention, batch: Number, q: Number, c: Number, scores: Number, d: Deployment) -> Operator:
    """The softmax between the two products: one fused kernel where its limits allow, else the fallback kernels."""
    limits = kind.fused_softmax_limits
    fits = both(is_multiple(batch, limits.local_heads_multiple_of), is_multiple(q, limits.query_tokens_multiple_of))
    fused = both(fits, both(c > limits.context_above, c <= limits.context_at_most))
    size = d.activation_bytes
    passes = where(fused, count_bytes(kind.fused_softmax, size), count_bytes(kind.fallback_softmax, size))
    launches = where(fused, kind.fused_softmax.launches, kind.fallback_softmax.launches)
    return Operator("softmax", "elementwise", activation_bytes=scores * passes, launches=launches)


def count_bytes(passes: MemoryKernel | SoftmaxPasses, activation_bytes: Number) -> Number:
    """Bytes that a kernel moves for each element of its tensor."""
    four_byte_passes = passes.reads_fp32 + passes.writes_fp32
    return (passes.reads + passes.writes) * activation_bytes + four_byte_passes * FP32_BYTES


def count_model_attention_flops(a: Architecture, d: Deployment, tokens: Tokens) -> Number:
    """FLOPs on one device that the attention of all layers asks for, whatever the stack does.

    Latent attention counts as its paper defines it, with keys and values unpacked.
    """
    s, q, c, _ = tokens
    per_score = 2 * s * (a.num_attention_heads / d.tp) * (a.head_size + a.value_size)
    full = a.full_layers * count_scores(q, c)
    if a.sliding_window is None:
        return per_score * full
    seen = minimum(c, a.sliding_window)
    windowed = (a.num_hidden_layers - a.full_layers) * count_scores(q, seen, c - seen)
    return per_score * (full + windowed)
