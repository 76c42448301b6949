"""A dense feed-forward block, its columns split over ``tp`` devices (Shoeybi et al. 2019, arXiv 1909.08053)."""

from __future__ import annotations

from simulator.costs.batch import Batch
from simulator.costs.operators import Operator, all_reduce, element_sizes, linear
from simulator.costs.structure import FeedForward, Layer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number


class Dense(FeedForward):
    """One block that every token meets."""

    label = "ffn"

    def count_parts(self, layer: Layer) -> dict[str, Number]:
        """Trainable numbers."""
        return {"feed_forward": count_mlp(layer.a, layer.a.intermediate_size)}

    def list_gemms(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices."""
        return list_ffn("ffn", layer.a, d, batch.rows, layer.a.intermediate_size, "feed_forward")

    def list_exchange(self, layer: Layer, d: Deployment, stack: Stack, rows: Number) -> list[Operator]:
        """The all-reduce after it."""
        return all_reduce("ffn", layer.a, d, rows)


def count_mlp(a: Architecture, width: Number) -> Number:
    """Trainable numbers of one block of a width."""
    return a.mlp_matrices * a.hidden_size * width + ((a.mlp_matrices - 1) * width + a.hidden_size) * a.mlp_bias


def list_ffn(name: str, a: Architecture, d: Deployment, rows: Number, width: Number, part: str) -> list[Operator]:
    """The weight matrices of one block of a width that ``tp`` devices share, in the formats of a part."""
    h, f = a.hidden_size, width / d.tp
    sizes = element_sizes(d, part)
    return [
        linear(f"{name} in", rows, (a.mlp_matrices - 1) * f, h, **sizes),
        linear(f"{name} out", rows, h, f, **sizes),
    ]
