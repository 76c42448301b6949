"""No feed-forward part: layers of a mixer alone, as in Mamba."""

from __future__ import annotations

from simulator.costs.batch import Batch
from simulator.costs.operators import Operator
from simulator.costs.structure import FeedForward, Layer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number


class NoFeedForward(FeedForward):
    """Nothing."""

    label = "none"
    works = False

    def count_parts(self, layer: Layer) -> dict[str, Number]:
        """None."""
        return {}

    def list_gemms(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """None."""
        return []

    def list_exchange(self, layer: Layer, d: Deployment, stack: Stack, rows: Number) -> list[Operator]:
        """None."""
        return []
