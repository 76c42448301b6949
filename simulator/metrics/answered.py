"""What metrics read of an answer, for type checkers: the answer stands on a floor above, and nothing runs here."""

from __future__ import annotations

from typing import Any, Protocol

from simulator.costs.footprint import Footprint
from simulator.costs.request import RequestPasses, Work
from simulator.inputs.hardware import Hardware
from simulator.metrics.rates import Rates
from simulator.timing.passes import Machine
from simulator.timing.profile import Profile
from simulator.timing.request import RequestTime, Times


class AskedOf(Protocol):
    """What metrics read of a question."""

    @property
    def model_label(self) -> str:
        """The model's id, with what was changed of it."""

    @property
    def hardware(self) -> Hardware:
        """The device."""

    @property
    def profile(self) -> Profile | None:
        """The profile; None for a bound."""

    @property
    def work(self) -> Work:
        """Model, layout, stack and request."""

    @property
    def machine(self) -> Machine:
        """What the time laws take."""

    @property
    def passes(self) -> RequestPasses:
        """The forward passes of the request."""

    @property
    def rates(self) -> Rates:
        """Price, grid and site."""

    @property
    def basis(self) -> str:
        """What the answer rests on."""

    @property
    def carried(self) -> list[str]:
        """In words what differs from what the profile was fitted to."""

    @property
    def built_parameters(self) -> int:
        """Parameters of the model as the stack builds it."""


class Answered(Protocol):
    """What metrics are functions of: a question with its times and memory."""

    @property
    def question(self) -> AskedOf:
        """What was asked."""

    @property
    def request(self) -> RequestTime:
        """Seconds of prefill and decode, and the passes behind them."""

    @property
    def times(self) -> Times:
        """The three times, seconds."""

    @property
    def footprint(self) -> Footprint:
        """Memory, bytes."""

    def find(self, column: str) -> Any:
        """Another metric of the same answer."""
