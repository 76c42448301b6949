"""Attention to the few tokens that an index picks: DeepSeek Sparse Attention, and that of MiniMax-M3.

DeepSeek-AI 2025 (DeepSeek-V3.2, arXiv 2512.02556), section 2.1: ``index_n_heads`` narrow queries score one key of
``index_head_dim`` a token, and attention sees the ``index_topk`` best. Each device of a layer's group holds the whole
index. Layers without ``index_n_heads`` take the picks of a layer before them. MiniMax-M3 picks blocks of tokens, and so
do Qwen4-Exp and GLM-5.3, whose index has one key for every ``index_block`` tokens: their mean, or weighed by a gate.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment
from simulator.costs.mixers.attention import Attention
from simulator.costs.mixers.latent import LatentAttention
from simulator.costs.operators import Operator, count_scores, element_sizes, linear
from simulator.costs.structure import Layer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number


class IndexedLatentAttention(LatentAttention):
    """Latent attention over ``index_topk`` tokens, and the index that picks them."""

    projects_as = "indexed latent attention"

    def find_limit(self, layer: Layer) -> Number | None:
        """Tokens that a query attends to at most."""
        return layer.sizes["index_topk"]

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, those of the index included: its queries, its key with its norm, weights of its heads."""
        return super().count_parameters(layer) + sum(n * k for _, n, k in list_matrices(layer)) + count_norms(layer)

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """The index is on every device whole, too."""
        index = sum(n * k for _, n, k in list_matrices(layer))
        return super().count_copied(layer, d) + index * (1 - 1 / d.tp)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        index = [linear(name, batch.rows, n, k, **element_sizes(d, "attention")) for name, n, k in list_matrices(layer)]
        return super().list_projections(layer, d, batch) + index

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The scores of the index over all tokens, then the attention to those picked."""
        scores = [score(layer, d, segment, 1) for segment in batch.segments] if has_index(layer) else []
        return scores + super().list_operators(layer, d, stack, batch)

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens, the keys of the index included."""
        return super().count_cache(layer, d, tokens) + count_index_kept(layer) * tokens

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the attention, and of the index over all tokens before each."""
        own = super().count_flops(layer, d, segment)
        return own + (score(layer, d, segment, 1).flops if has_index(layer) else 0)


class IndexedAttention(Attention):
    """Attention with keys and values over ``index_topk`` tokens; queries of the index are made of the hidden state."""

    projects_as = "indexed attention"

    def find_seen(self, layer: Layer) -> Number | None:
        """Tokens that a query attends to at most."""
        return layer.sizes["index_topk"]

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, those of the index included: its query, its key, and the norms of both."""
        size = layer.sizes["index_head_dim"]
        index = (layer.sizes["index_n_heads"] + 1) * size * layer.a.hidden_size
        return super().count_parameters(layer) + index + 2 * size

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """The index is on every device whole, too."""
        index = (layer.sizes["index_n_heads"] + 1) * layer.sizes["index_head_dim"] * layer.a.hidden_size
        return super().count_copied(layer, d) + index * (1 - 1 / d.tp)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        width = (layer.sizes["index_n_heads"] + 1) * layer.sizes["index_head_dim"]
        index = linear("index query and key", batch.rows, width, layer.a.hidden_size, **element_sizes(d, "attention"))
        return [*super().list_projections(layer, d, batch), index]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The scores of the index over all tokens, then the attention to those picked."""
        scores = [score(layer, d, segment) for segment in batch.segments]
        return scores + super().list_operators(layer, d, stack, batch)

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens, the keys of the index included."""
        return super().count_cache(layer, d, tokens) + layer.sizes["index_head_dim"] * tokens

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the attention, and of the index over all tokens before each."""
        return super().count_flops(layer, d, segment) + score(layer, d, segment).flops


def has_index(layer: Layer) -> bool:
    """Whether the layer picks for itself."""
    return layer.sizes.get("index_n_heads") is not None


def count_index_kept(layer: Layer) -> Number:
    """Numbers of a token in the index: its key; of one with gates the key, the gate of each channel and a mark."""
    if not has_index(layer):
        return 0
    size: Number = layer.sizes["index_head_dim"]
    return 2 * size + 1 if "index_block" in layer.sizes else size


def list_matrices(layer: Layer) -> list[tuple[str, Number, Number]]:
    """Weight matrices of the index of latent attention: name, outputs and inputs."""
    if not has_index(layer):
        return []
    heads, size, a = layer.sizes["index_n_heads"], layer.sizes["index_head_dim"], layer.a
    gate = [("index gate", size, a.hidden_size)] if "index_block" in layer.sizes else []
    return [
        *gate,
        ("index query", heads * size, a.hidden_size if a.q_lora_rank is None else a.q_lora_rank),
        ("index key", size, a.hidden_size),
        ("index weights", heads, a.hidden_size),
    ]


def count_norms(layer: Layer) -> Number:
    """Learned numbers of the norm of the index's keys, which has a bias, and of the places within a block."""
    return (2 + layer.sizes.get("index_block", 0)) * layer.sizes["index_head_dim"] if has_index(layer) else 0


def score(layer: Layer, d: Deployment, segment: Segment, weights: int = 0) -> Operator:
    """The scores of the index: of a new token with all before it, its heads added up with as many ``weights`` each.

    Tokens of a block share a key, so that there are as many scores fewer.
    """
    heads, size = layer.sizes["index_n_heads"], layer.sizes["index_head_dim"]
    s, q, c, block = segment.sequences, segment.new_tokens, segment.reached, layer.sizes.get("index_block", 1)
    return Operator(
        "index scores",
        "batched",
        flops=2 * s * heads * (size + weights) * count_scores(q, c) / block,
        activation_bytes=s * q * (heads * size + c / block) * d.activation_bytes,
        kv_bytes=s * (c / block + q) * size * d.kv_bytes,
        m=q * heads,
        n=c / block,
        k=size,
        batch=s,
    )
