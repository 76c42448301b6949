"""Attention with keys and values of every token, over all tokens or over a window of the last ones.

Heads are split over ``tp`` devices as in Shoeybi et al. 2019 (arXiv 1909.08053), section 3.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment
from simulator.costs.kernels import count_bytes
from simulator.costs.operators import (
    Operator,
    attention,
    count_scores,
    element_sizes,
    join_parts,
    linear,
    share_read,
)
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor, UnfusedAttention
from simulator.numbers import Number, both, is_multiple, maximum, minimum, where


class Attention(Mixer):
    """Attention over all tokens."""

    projects_as = "attention"
    name = "attention"

    def find_seen(self, layer: Layer) -> Number | None:
        """Tokens that a query attends to at most; None: all before it."""
        return self.find_window(layer)

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections included."""
        a = layer.a
        width = a.query_width + count_gate(layer) + project_kept(layer, a.kv_width, a.value_width)
        inward = find_input(layer) * width + width * a.attention_bias + count_qk_norms(a) + count_output(a)
        rank = layer.sizes.get("query_rank")
        return inward if rank is None else inward + rank * (find_input(layer) + a.query_width + 1) - count_whole(layer)

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Of the projections to keys and values, where there are more devices than heads of these."""
        a = layer.a
        heads = local_kv_heads(a, d) - a.kv_heads / d.tp
        return find_input(layer) * project_kept(layer, heads * a.head_size, heads * a.value_size)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        a, rows, sizes = layer.a, batch.rows, element_sizes(d, "attention")
        rank, query, width = layer.sizes.get("query_rank"), a.query_width / d.tp, local_qkv_width(layer, d)
        if rank is None:
            inward = [linear("qkv projection", rows, width, find_input(layer), **sizes)]
        else:
            inward = [
                linear("qkv projection", rows, width - query + rank, find_input(layer), **sizes),
                linear("query up", rows, query, rank, **sizes),
            ]
        return [*inward, linear("output projection", rows, a.hidden_size, a.context_width / d.tp, **sizes)]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing itself. Stacks with unfused attention mask a window and work out all scores.

        Differential attention (Ye et al. 2024, arXiv 2410.05258) runs twice, each time with half of the values, since
        kernels have keys and values of one width: ``attention_runs``.
        """
        runs: int = layer.sizes.get("attention_runs", 1)
        return self.list_one_run(layer, d, stack, batch) * runs

    def list_one_run(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing once."""
        kind, prompts, decoding = stack.unfused_attention, batch.prompts, batch.decoding
        operators: list[Operator] = []
        if kind is not None:
            unfused = batch.segments if stack.attention == "unfused" else prompts
            operators += [op for segment in unfused for op in list_unfused(layer.a, d, kind, segment)]
            if stack.attention == "unfused":
                return operators
        elif prompts:
            launches = stack.count_attention_launches(decoding=False)
            operators.append(join_parts([self.fuse(layer, d, segment) for segment in prompts], launches))
        if decoding:
            # One launch serves prompts and decoding sequences together, where both are fused.
            launches = 0 if prompts and kind is None else stack.count_attention_launches(decoding=True)
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
        fused = attention(
            segment.sequences,
            segment.new_tokens,
            segment.reached,
            a.num_attention_heads / d.tp,
            local_kv_heads(a, d),
            find_middle_size(a),
            decoding=segment.decodes,
            launches=1,
            activation_bytes=d.activation_bytes,
            kv_bytes=d.kv_bytes,
            window=self.find_seen(layer),
        )
        return fused if keeps(layer) else fused._replace(kv_bytes=fused.kv_bytes * share_read(fused))

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens: of a window those before the next token's own."""
        if not keeps(layer):
            return 0
        window = self.find_window(layer)
        seen = tokens if window is None else minimum(tokens, window - 1)
        return count_kept(layer.a, d) * seen

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the scores and of their weighted sums that a causal mask, and a window, leave."""
        window = self.find_seen(layer)
        seen = segment.reached if window is None else minimum(segment.reached, window)
        unseen = 0 if window is None else segment.reached - seen
        runs = layer.sizes.get("attention_runs", 1)
        return runs * count_score_flops(layer.a, d, segment) * count_scores(segment.new_tokens, seen, unseen)

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor that kernels move."""
        return measure_tensor(tensor, layer.a, d, count_kept(layer.a, d) if keeps(layer) else 0)


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


def local_qkv_width(layer: Layer, d: Deployment) -> Number:
    """Width of queries, keys and values together on one device, and of the gate of what attention returns."""
    a, heads = layer.a, local_kv_heads(layer.a, d)
    kept = project_kept(layer, heads * a.head_size, heads * a.value_size)
    return (a.query_width + count_gate(layer)) / d.tp + kept


def find_input(layer: Layer) -> Number:
    """Width of what attention reads: the hidden state, or ``attention_input_size`` where more stands beside it."""
    return layer.sizes.get("attention_input_size", layer.a.hidden_size)


def keeps(layer: Layer) -> bool:
    """Whether a layer has keys and values of its own; with ``reads_other_cache`` those of a layer before it."""
    return not layer.sizes.get("reads_other_cache", False)


def project_kept(layer: Layer, keys: Number, values: Number) -> Number:
    """Width of what is projected for keys and values so wide; with ``shared_key_value`` one projection gives both."""
    if not keeps(layer):
        return 0
    return keys if layer.sizes.get("shared_key_value", False) else keys + values


def count_whole(layer: Layer) -> Number:
    """Weights of queries that are made at once; with ``query_rank`` they come from a vector so wide, with a norm."""
    return find_input(layer) * layer.a.query_width


def count_gate(layer: Layer) -> Number:
    """Width of the gate of what attention returns: ``attention_gate`` has one for each ``head`` or ``element``."""
    widths = {"none": 0, "head": layer.a.num_attention_heads, "element": layer.a.context_width}
    return widths[layer.sizes.get("attention_gate", "none")]


def count_kept(a: Architecture, d: Deployment) -> Number:
    """Numbers that one device keeps of a token: its keys and values."""
    return local_kv_heads(a, d) * (a.head_size + a.value_size)


def find_middle_size(a: Architecture) -> Number:
    """Width of a head, between those of its key and of its value."""
    return a.head_size if a.v_head_dim is None else (a.head_size + a.v_head_dim) / 2


def count_output(a: Architecture) -> Number:
    """Trainable numbers of the output projection, and of the sinks."""
    out = a.context_width * a.hidden_size + a.hidden_size * a.attention_output_bias
    return out + a.num_attention_heads * a.attention_sinks


def count_qk_norms(a: Architecture) -> Number:
    """Trainable numbers of the norms of queries and of keys."""
    counts = {
        "head": 2 * a.head_size,
        "head with bias": 4 * a.head_size,
        "projection": a.query_width + a.kv_width,
        "query head": a.head_size,
    }
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
        kept = segment.sequences * seen * count_kept(a, d) * d.kv_bytes
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
    heads, kv_heads, size = a.num_attention_heads / d.tp, local_kv_heads(a, d), find_middle_size(a)
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
