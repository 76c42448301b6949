"""Attention to a window of tokens and to summaries of those before it: DeepSeek-V4.

A layer keeps one key a token, which is its value as well, for the last ``sliding_window`` tokens, and one summary for
every ``compress_rate`` tokens. Heavily compressed layers see all summaries; sparse ones the ``index_topk`` best by an
index, and their summaries overlap, so that each is made of two widths. The output projection has ``o_groups`` parts of
rank ``o_lora_rank``. Layers without ``compress_rate`` have the window alone.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment
from simulator.costs.mixers.recurrent import Matrix, project
from simulator.costs.operators import Operator, count_scores, join_parts
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number, minimum, whole_part


class CompressedAttention(Mixer):
    """Attention with keys that are values, and with summaries."""

    projects_as = "compressed attention"

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections included."""
        s, a = layer.sizes, layer.a
        matrices = sum(m.outputs * m.inputs / m.blocks for m in list_matrices(layer))
        others = a.q_lora_rank + a.head_size + a.num_attention_heads * a.attention_sinks
        if "compress_rate" in s:
            others += s["compress_rate"] * count_parts(layer) * a.head_size + a.head_size
        if "index_topk" in s:
            others += s["compress_rate"] * 2 * s["index_head_dim"] + s["index_head_dim"]
        return matrices + others

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        return [project(matrix, d, batch.rows) for matrix in list_matrices(layer)]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The scores of the index, then attention to window and summaries in one kernel."""
        operators = []
        if "index_topk" in layer.sizes:
            operators += [score_summaries(layer, d, segment) for segment in batch.segments]
        for segments, decoding in ((batch.prompts, False), (batch.decoding, True)):
            if segments:
                parts = [attend(layer, d, segment) for segment in segments]
                operators.append(join_parts(parts, stack.count_attention_launches(decoding)))
        return operators

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence: window, summaries, and tokens and gates that wait for their summary."""
        s, size = layer.sizes, layer.a.head_size
        window: Number = layer.a.sliding_window
        kept = minimum(tokens, window - 1) * size
        if "compress_rate" not in s:
            return kept
        rate = s["compress_rate"]
        summaries = whole_part(tokens / rate)
        widths = size + s.get("index_head_dim", 0)
        waiting = 2 * (tokens - rate * summaries) * count_parts(layer) * widths
        return kept + summaries * widths + waiting

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """Tokens and gates of the summary before, which the next overlaps."""
        s = layer.sizes
        return 2 * s["compress_rate"] * (layer.a.head_size + s["index_head_dim"]) if "index_topk" in s else 0

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the scores and their weighted sums, and of the index."""
        index = score_summaries(layer, d, segment).flops if "index_topk" in layer.sizes else 0
        return index + attend(layer, d, segment).flops

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor that kernels move."""
        query, kept = layer.a.query_width / d.tp, layer.a.head_size
        return {"qkv": query + kept, "qk": query + kept, "kv": kept, "heads": query}[tensor]


def count_parts(layer: Layer) -> int:
    """Widths that a token enters summaries with: two where they overlap."""
    return 2 if "index_topk" in layer.sizes else 1


def list_matrices(layer: Layer) -> list[Matrix]:
    """Weight matrices of a layer."""
    s, a = layer.sizes, layer.a
    h, size, rank, out = a.hidden_size, a.head_size, a.q_lora_rank, s["o_groups"] * s["o_lora_rank"]
    matrices = [
        Matrix("query down", rank, h, ""),
        Matrix("query up", a.query_width, rank),
        Matrix("key and value", size, h, ""),
        Matrix("output down", out, a.query_width, blocks=s["o_groups"]),
        Matrix("output up", h, out, "inputs"),
    ]
    if "compress_rate" in s:
        matrices.append(Matrix("summaries and gates", 2 * count_parts(layer) * size, h, ""))
    if "index_topk" in s:
        matrices += [
            Matrix("index summaries and gates", 4 * s["index_head_dim"], h, ""),
            Matrix("index query", s["index_n_heads"] * s["index_head_dim"], rank, ""),
            Matrix("index weights", s["index_n_heads"], h, ""),
        ]
    return matrices


def count_pairs(layer: Layer, segment: Segment) -> Number:
    """Pairs of a new token and a token or summary that it attends to."""
    s, reached = layer.sizes, segment.reached
    seen = minimum(reached, layer.a.sliding_window)
    pairs = count_scores(segment.new_tokens, seen, reached - seen)
    if "compress_rate" in s:
        spanned = reached if "index_topk" not in s else minimum(reached, s["index_topk"] * s["compress_rate"])
        pairs = pairs + count_scores(segment.new_tokens, spanned, reached - spanned) / s["compress_rate"]
    return pairs


def attend(layer: Layer, d: Deployment, segment: Segment) -> Operator:
    """Attention of one segment on one device; all heads share the keys, which are the values."""
    s, a, q, c = layer.sizes, layer.a, segment.new_tokens, segment.reached
    heads, size = a.num_attention_heads / d.tp, a.head_size
    read = minimum(c, a.sliding_window + q - 1)
    if "compress_rate" in s:
        summaries = c / s["compress_rate"]
        read = read + (minimum(summaries, s["index_topk"] * q) if "index_topk" in s else summaries)
    pairs = count_pairs(layer, segment)
    return Operator(
        "compressed attention",
        "decode_attention" if segment.decodes else "prefill_attention",
        flops=4 * segment.sequences * heads * size * pairs,
        activation_bytes=2 * segment.rows * heads * size * d.activation_bytes,
        kv_bytes=segment.sequences * (read + q) * size * d.kv_bytes,
        m=q,
        n=read,
        k=size,
        batch=segment.sequences * heads,
        group=heads,
    )


def score_summaries(layer: Layer, d: Deployment, segment: Segment) -> Operator:
    """The scores of the index: of a new token with all summaries before it."""
    s, q = layer.sizes, segment.new_tokens
    heads, size, summaries = s["index_n_heads"], s["index_head_dim"], segment.reached / s["compress_rate"]
    return Operator(
        "index scores",
        "batched",
        flops=2 * segment.sequences * heads * size * count_scores(q, segment.reached) / s["compress_rate"],
        activation_bytes=segment.rows * (heads * size + summaries) * d.activation_bytes,
        kv_bytes=segment.sequences * summaries * size * d.kv_bytes,
        m=q * heads,
        n=summaries,
        k=size,
        batch=segment.sequences,
    )
