"""Mixers made of others: none at all, or two on the same input side by side."""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment
from simulator.costs.operators import Operator
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number


class NoMixer(Mixer):
    """A layer of a feed-forward part alone."""

    projects_as = "none"
    mixes = False

    def count_parameters(self, layer: Layer) -> Number:
        """None."""
        return 0

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """None."""
        return []

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """None."""
        return []

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Nothing."""
        return 0

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """None."""
        return 0

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Nothing."""
        return 0


class SideBySide(Mixer):
    """Two mixers that read the same input and whose results are added (Falcon-H1, arXiv 2507.22448, section 2)."""

    def __init__(self, *mixers: Mixer) -> None:
        """Put mixers side by side."""
        self.mixers = mixers
        self.projects_as = " and ".join(mixer.projects_as for mixer in mixers)

    def find_window(self, layer: Layer) -> Number | None:
        """That of the first."""
        return self.mixers[0].find_window(layer)

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers of both."""
        return sum(mixer.count_parameters(layer) for mixer in self.mixers)

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Of both."""
        return sum(mixer.count_copied(layer, d) for mixer in self.mixers)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices of both."""
        return [op for mixer in self.mixers for op in mixer.list_projections(layer, d, batch)]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing of both."""
        return [op for mixer in self.mixers for op in mixer.list_operators(layer, d, stack, batch)]

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """What grows of both."""
        return sum(mixer.count_cache(layer, d, tokens) for mixer in self.mixers)

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """The states of both."""
        return sum(mixer.count_state(layer, d) for mixer in self.mixers)

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of both."""
        return sum(mixer.count_flops(layer, d, segment) for mixer in self.mixers)

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in both."""
        return sum(mixer.find_width(tensor, layer, d) for mixer in self.mixers)
