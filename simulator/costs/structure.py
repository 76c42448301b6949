"""A model as the cost laws see it: groups of equal layers, each a mixer and a feed-forward part.

A **mixer** lets tokens see each other (attention of some kind, a state space, a convolution); the **feed-forward** part
works on each token alone (dense, experts). A kind of either is one module of ``mixers`` or ``feed_forwards`` with a
subclass of the classes here, and one line of its package's table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from simulator.costs.batch import Batch, Segment
from simulator.costs.operators import Operator
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number

Group = tuple[Number, list[Operator]]  # operators, and in how many layers they run


class Mixer:
    """How the tokens of a layer see each other. All counts are of one layer; of one device where a layout is given."""

    projects_as: str  # kinds of mixers with the same weight matrices share this name
    mixes: bool = True  # False of the kind that stands for none

    def find_window(self, layer: Layer) -> Number | None:
        """Tokens past which a longer context costs no more; None: there is no such limit."""
        return None

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections included."""
        raise NotImplementedError

    def count_idle(self, layer: Layer) -> Number:
        """Trainable numbers that one token does not meet."""
        return 0

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Trainable numbers that a device holds past its even share, since devices of its group hold the same ones."""
        return 0

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        raise NotImplementedError

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing itself, between the projections."""
        raise NotImplementedError

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens, where they grow with it."""
        raise NotImplementedError

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """Numbers kept of one sequence, however long it is."""
        return 0

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the mixing that the model asks for, whatever a stack does."""
        raise NotImplementedError

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor of the mixer that kernels move: ``qkv``, ``qk``, ``kv`` or ``heads``."""
        raise NotImplementedError


class FeedForward:
    """What a layer does with each token alone. Counts as of ``Mixer``."""

    label: str  # what people call it: operators of equal labels are shown together
    works: bool = True  # False of the kind that stands for none

    def count_parts(self, layer: Layer) -> dict[str, Number]:
        """Trainable numbers by the part of a checkpoint's formats that they belong to."""
        raise NotImplementedError

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers."""
        return sum(self.count_parts(layer).values())

    def count_idle(self, layer: Layer) -> Number:
        """Trainable numbers that one token does not meet."""
        return 0

    def count_spread(self, layer: Layer) -> Number:
        """Trainable numbers that replicas share where experts are spread over them."""
        return 0

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Trainable numbers that a device holds past its even share, since devices of its group hold the same ones."""
        return 0

    def list_gemms(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices."""
        raise NotImplementedError

    def list_exchange(self, layer: Layer, d: Deployment, stack: Stack, rows: Number) -> list[Operator]:
        """Kernels of its own, and messages after it."""
        raise NotImplementedError


class Layer(NamedTuple):
    """A group of equal layers: how many, their parts, the architecture as they have it, and the mixer's own sizes.

    ``copies``: sets of weights among them, fewer than layers where they share. ``kind``: the sizes that only the mixer
    knows, as layers are told apart by them.
    """

    count: Number
    mixer: Mixer
    feed_forward: FeedForward
    a: Architecture
    sizes: Mapping[str, Any]
    copies: Number
    kind: tuple[tuple[str, Any], ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it has both parts."""
        return self.mixer.mixes and self.feed_forward.works


def gather(layers: tuple[Layer, ...], part: str) -> list[Layer]:
    """Groups of layers that are alike in one part of them, ``mixer``, ``projections`` or ``feed_forward``, as one.

    A group counts all its layers; of the other parts it shows those of its first.
    """
    merged: dict[tuple[object, ...], Layer] = {}
    for layer in layers:
        what = {"mixer": layer.mixer, "projections": layer.mixer.projects_as, "feed_forward": layer.feed_forward}[part]
        key = (what, () if part == "feed_forward" else layer.kind, id(layer.a), layer.is_whole)
        known = merged.get(key)
        merged[key] = layer if known is None else known._replace(count=known.count + layer.count)
    return list(merged.values())
