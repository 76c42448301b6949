"""Attention with keys and values of every token, over all tokens or over a window of the last ones.

Heads are split over ``tp`` devices as in Shoeybi et al. 2019 (arXiv 1909.08053), section 3.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment
from simulator.costs.kernels import count_bytes
from simulator.costs.operators import Operator, attention, count_scores, element_sizes, join_parts, linear
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor, UnfusedAttention
from simulator.numbers import Number, both, is_multiple, maximum, minimum, where


class Attention(Mixer):
    """Attention over all tokens."""

    projects_as = "attention"
    name = "attention"

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections included."""
        a = layer.a
        qkv = a.query_width + 2 * a.kv_width
        return a.hidden_size * qkv + qkv * a.attention_bias + count_qk_norms(a) + count_output(a)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        a, rows, sizes = layer.a, batch.rows, element_sizes(d)
        inward = linear("qkv projection", rows, local_qkv_width(a, d), a.hidden_size, **sizes)
        return [inward, linear("output projection", rows, a.hidden_size, a.context_width / d.tp, **sizes)]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing itself. Stacks with unfused attention mask a window and work out all scores."""
        if stack.unfused_attention is not None:
            kind = stack.unfused_attention
            return [op for segment in batch.segments for op in list_unfused(layer.a, d, kind, segment)]
        prompts, decoding = batch.prompts, batch.decoding
        operators: list[Operator] = []
        if prompts:
            launches = stack.count_attention_launches(decoding=False)
            operators.append(join_parts([self.fuse(layer, d, segment) for segment in prompts], launches))
        if decoding:
            # One launch serves prompts and decoding sequences together.
            launches = 0 if prompts else stack.count_attention_launches(decoding=True)
            parts = [self.fuse(layer, d, segment) for segment in decoding]
            if stack.cache_passes or stack.repeats_kv_heads:
                operators.append(copy_cache(layer.a, d, stack, decoding, self.find_window(layer)))
            if stack.repeats_kv_heads:
                parts = [part._replace(kv_bytes=part.kv_bytes * part.group, group=1) for part in parts]
            operators.append(join_parts(parts, launches))
        return operators

    def fuse(self, layer: Layer, d: Deployment, segment: Segment) -> Operator:
        """Fused attention of one segment on one device."""
        a = layer.a
        return attention(
            segment.sequences,
            segment.new_tokens,
            segment.reached,
            a.num_attention_heads / d.tp,
            local_kv_heads(a, d),
            a.head_size,
            decoding=segment.decodes,
            launches=1,
            activation_bytes=d.activation_bytes,
            kv_bytes=d.kv_bytes,
            window=self.find_window(layer),
        )

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens."""
        window = self.find_window(layer)
        seen = tokens if window is None else minimum(tokens, window)
        return 2 * local_kv_heads(layer.a, d) * layer.a.head_size * seen

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the scores and of their weighted sums that a causal mask, and a window, leave."""
        window = self.find_window(layer)
        seen = segment.reached if window is None else minimum(segment.reached, window)
        unseen = 0 if window is None else segment.reached - seen
        return count_score_flops(layer.a, d, segment) * count_scores(segment.new_tokens, seen, unseen)

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor that kernels move."""
        a = layer.a
        kept = 2 * local_kv_heads(a, d) * a.head_size
        return measure_tensor(tensor, a, d, kept)


class WindowAttention(Attention):
    """Attention over the last tokens alone."""

    name = "window attention"

    def find_window(self, layer: Layer) -> Number | None:
        """Tokens that a query sees, its own included."""
        return layer.a.sliding_window


def measure_tensor(tensor: Tensor, a: Architecture, d: Deployment, kept: Number) -> Number:
    """Numbers of one token in a tensor of attention that keeps ``kept`` of it, on one device."""
    query = a.query_width / d.tp
    if tensor == "heads":
        return a.context_width / d.tp
    return {"qkv": query + kept, "qk": query + kept / 2, "kv": kept}[tensor]


def local_kv_heads(a: Architecture, d: Deployment) -> Number:
    """Key heads on one device; heads that are fewer than the devices are there several times."""
    if a.num_key_value_heads is None:
        return a.num_attention_heads / d.tp
    return maximum(a.kv_heads / d.tp, 1) if d.tp != 1 else a.kv_heads


def local_qkv_width(a: Architecture, d: Deployment) -> Number:
    """Width of queries, keys and values together on one device."""
    return a.query_width / d.tp + 2 * local_kv_heads(a, d) * a.head_size


def count_output(a: Architecture) -> Number:
    """Trainable numbers of the output projection, and of the sinks."""
    out = a.context_width * a.hidden_size + a.hidden_size * a.attention_output_bias
    return out + a.num_attention_heads * a.attention_sinks


def count_qk_norms(a: Architecture) -> Number:
    """Trainable numbers of the norms of queries and of keys."""
    counts = {"head": 2 * a.head_size, "head with bias": 4 * a.head_size, "projection": a.query_width + a.kv_width}
    return counts.get(a.qk_norm, 0)


def count_score_flops(a: Architecture, d: Deployment, segment: Segment) -> Number:
    """FLOPs on one device of one query and one key: their product over all heads, and the weighted value."""
    return 2 * segment.sequences * (a.num_attention_heads / d.tp) * (a.head_size + a.value_size)


def copy_cache(
    a: Architecture, d: Deployment, stack: Stack, decoding: tuple[Segment, ...], window: Number | None
) -> Operator:
    """The copy that stacks make of the cache for every token, or of keys and values for every query head."""
    moved: Number = 0.0
    for segment in decoding:
        seen = segment.reached if window is None else minimum(segment.reached, window)
        kept = 2 * segment.sequences * seen * local_kv_heads(a, d) * a.head_size * d.kv_bytes
        copied = stack.cache_passes * kept
        if stack.repeats_kv_heads:
            copied = copied + kept * (1 + a.num_attention_heads / d.tp / local_kv_heads(a, d))
        moved = moved + copied
    return Operator("cache copy", "stream", activation_bytes=moved, launches=2)


def list_unfused(a: Architecture, d: Deployment, kind: UnfusedAttention, segment: Segment) -> list[Operator]:
    """Attention as a batched product, a softmax over all scores in memory, and a second batched product.

    The whole square of scores is computed, the masked half included.
    """
    s, q, c = segment.sequences, segment.new_tokens, segment.reached
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
