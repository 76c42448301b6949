"""The layers of an architecture, by the tables of kinds."""

from __future__ import annotations

from simulator.costs.feed_forwards import FEED_FORWARDS
from simulator.costs.mixers import MIXERS
from simulator.costs.structure import Layer
from simulator.errors import InputError, suggest
from simulator.inputs.architecture import FIELD_NAMES, Architecture, LayerGroup, specialise
from simulator.memo import remember


@remember
def list_layers(a: Architecture) -> tuple[Layer, ...]:
    """Groups of equal layers of a model.

    Raises:
        InputError: a kind of mixer or feed-forward part that is not known, with the nearest.
    """
    return tuple(build_layer(a, group) for group in a.groups)


def build_layer(a: Architecture, group: LayerGroup) -> Layer:
    """One group of equal layers."""
    kinds = (("mixer", group.mixer, MIXERS), ("feed_forward", group.feed_forward, FEED_FORWARDS))
    for what, kind, known in kinds:
        if kind not in known:
            raise InputError(suggest(f"layers: unknown {what} '{kind}'", str(kind), known))
    mixer, feed_forward = MIXERS[str(group.mixer)], FEED_FORWARDS[str(group.feed_forward)]
    copies = group.count if group.copies is None else group.copies
    sizes = group.sizes or {}
    own = tuple(sorted((name, size) for name, size in sizes.items() if name not in FIELD_NAMES))
    return Layer(group.count, mixer, feed_forward, specialise(a, group), sizes, copies, own)
