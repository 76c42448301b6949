"""What a class of device is: its laws, how host and device overlap there, and what is known before measuring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field

from simulator.frozen import frozen_dataclass
from simulator.numbers import Number
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds.base import Kind, Law

Overlap = Callable[[Number, Number, int, Factors], Number]


@frozen_dataclass
class DeviceClass:
    """One class of device.

    ``family`` says which of a kind's own laws holds, ``laws`` which kinds have another here. ``overlap``: seconds until
    host and device are done with the layers, from those of each and the devices that share a layer. ``factors`` are
    those that the overlap reads and ``law_factors`` those of the laws, past what the kinds' own read. ``priors`` are of
    factors of which something else is known here.
    """

    name: str
    family: str  # "gpu" or "cpu"
    overlap: Overlap
    factors: tuple[Factor, ...] = ()
    laws: Mapping[str, Law] = field(default_factory=dict)
    law_factors: tuple[Factor, ...] = ()
    priors: Mapping[str, Prior] = field(default_factory=dict)

    def find_law(self, kind: Kind) -> Law:
        """The law of a kind of operator on this class of device."""
        own = self.laws.get(kind.name)
        if own is not None:
            return own
        return kind.cpu if self.family == "cpu" else kind.gpu
