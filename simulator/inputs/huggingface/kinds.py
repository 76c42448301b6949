"""Layers one by one, and the groups of those that are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from simulator.inputs.architecture import LayerGroup

Sizes = tuple[tuple[str, Any], ...]


class Kind(NamedTuple):
    """What one layer is: kinds of its parts (None: as the fields make it), and sizes of its own.

    ``copies``: sets of weights that all layers of the kind share; None: each has its own.
    """

    mixer: str | None = None
    feed_forward: str | None = None
    sizes: Sizes = ()
    copies: int | None = None

    def with_sizes(self, **sizes: Any) -> Kind:
        """The same with sizes more, those that are None left out."""
        own = dict(self.sizes) | {name: size for name, size in sizes.items() if size is not None}
        return self._replace(sizes=tuple(sorted(own.items())))


def number_groups(kinds: Iterable[Kind]) -> list[int]:
    """The place of each layer's group among the groups."""
    places: dict[Kind, int] = {}
    return [places.setdefault(kind, len(places)) for kind in kinds]


def group_kinds(kinds: Iterable[Kind]) -> tuple[LayerGroup, ...] | None:
    """Groups of equal layers, the first first; None where one group would say no more than the fields do."""
    counted = Counter(kinds)
    if len(counted) == 1 and set(counted) == {Kind()}:
        return None
    return tuple(
        LayerGroup(count, kind.mixer, kind.feed_forward, dict(kind.sizes) or None, kind.copies)
        for kind, count in counted.items()
    )
