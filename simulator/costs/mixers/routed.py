"""Attention whose query heads are experts: mixture of attention heads (Zhang et al. 2022, arXiv 2210.05144), JetMoE.

Keys and values are those of all; each of ``attention_experts`` has a query and an output projection for as many heads
as there are key heads. A token meets as many experts as there are query heads for a key head.
"""

from __future__ import annotations

from simulator.costs.batch import Batch
from simulator.costs.feed_forwards.experts import count_awake
from simulator.costs.mixers.attention import Attention, local_kv_heads
from simulator.costs.operators import Operator, element_sizes, grouped, linear
from simulator.costs.structure import Layer
from simulator.inputs.deployment import Deployment
from simulator.numbers import Number


class RoutedAttention(Attention):
    """Attention over all tokens by the experts that each token is sent to."""

    projects_as = "routed attention"

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers: keys and values, the router, and the projections of all experts."""
        experts, h = layer.sizes["attention_experts"], layer.a.hidden_size
        return h * (2 * layer.a.kv_width + experts) + experts * count_projections(layer)

    def count_idle(self, layer: Layer) -> Number:
        """Trainable numbers of the experts that one token is not sent to."""
        return (layer.sizes["attention_experts"] - count_chosen(layer)) * count_projections(layer)

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """The router is on every device whole, too."""
        return super().count_copied(layer, d) + layer.a.hidden_size * layer.sizes["attention_experts"] * (1 - 1 / d.tp)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products of all tokens, and those of the experts that at least one of them is sent to."""
        a, experts, rows, sizes = layer.a, layer.sizes["attention_experts"], batch.rows, element_sizes(d, "attention")
        chosen, width, size = count_chosen(layer), layer.a.kv_width / d.tp, d.activation_bytes
        awake = count_awake(experts, chosen, batch.count_distinct(1))
        sent = rows * chosen / awake
        return [
            linear("head router", rows, experts, a.hidden_size, weight_bytes=size, activation_bytes=size, wide=True),
            linear("key and value projection", rows, 2 * local_kv_heads(a, d) * a.head_size, a.hidden_size, **sizes),
            grouped("query projection", awake, sent, width, a.hidden_size, **sizes),
            grouped("output projection", awake, sent, a.hidden_size, width, **sizes),
        ]


def count_chosen(layer: Layer) -> Number:
    """Experts that one token is sent to."""
    return layer.a.num_attention_heads / layer.a.kv_heads


def count_projections(layer: Layer) -> Number:
    """Trainable numbers of the query and output projection of one expert."""
    return 2 * layer.a.hidden_size * layer.a.kv_width
