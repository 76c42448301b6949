"""What one metric is: its name, unit and sense, what it needs, and the function of an answer that gives it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from simulator.inputs.hardware import Hardware
    from simulator.metrics.answered import Answered
    from simulator.metrics.rates import Rates
    from simulator.numbers import Number
    from simulator.timing.profile import Profile


Sense = Literal["down", "up"]
Kind = Literal["number", "count", "truth", "text"]
ENDS = ("_low", "_high")


class Conditions(NamedTuple):
    """What a metric may lack: facts of the device and of the request, without any time worked out."""

    hardware: Hardware
    rates: Rates
    profile: Profile | None
    output_tokens: Number


class Need(NamedTuple):
    """Something that a metric needs, whether it is there, and in words what is wrong where it is not."""

    is_met: Callable[[Conditions], bool]
    lack: Callable[[Conditions], str]


PRICE = Need(
    lambda given: given.rates.price is not None,
    lambda given: f"no price ships for {given.hardware.id}; give one with --price '2.50 USD/h'",
)
POWER = Need(
    lambda given: given.hardware.power is not None,
    lambda given: f"the data sheet of {given.hardware.id} gives no power.tdp",
)
DECODE = Need(
    lambda given: bool(np.any(given.output_tokens > 1)),
    lambda given: "a request of one output token has none (--output-tokens)",
)
PROFILE = Need(
    lambda given: given.profile is not None,
    lambda given: "it needs a profile: a bound has no interval",
)


class Follows(NamedTuple):
    """The time whose power a metric is proportional to, whatever the factors of a profile are."""

    time: Literal["ttft_s", "tpot_s", "e2e_s"]
    power: Literal[1, -1] = 1


class Metric(NamedTuple):
    """One metric of an answer.

    ``name`` ends in its unit, ``label`` says it in a sentence, ``heading`` above a column for people (none: in JSON,
    CSV and where it is asked for alone). ``better``: the sense in which it is better; None where neither is.
    ``of`` gives a number, or an array where the request has arrays; NaN where it is not defined. ``follows``: what its
    90% interval follows from; None: it has none. ``usual``: a sweep has it as a column without being asked.
    """

    name: str
    unit: str
    meaning: str
    of: Callable[[Answered], Any]
    label: str = ""
    heading: str = ""
    better: Sense | None = None
    kind: Kind = "number"
    needs: tuple[Need, ...] = ()
    follows: Follows | None = None
    usual: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it can be ranked, limited and drawn."""
        return self.better is not None and self.kind in ("number", "count")

    @property
    def worse_end(self) -> str:
        """The column of the end of its interval on the side that is worse."""
        return self.name + ENDS[self.better == "down"]

    def find_lack(self, given: Conditions) -> str | None:
        """Why it is not known, in words; None where it is."""
        return next((need.lack(given) for need in self.needs if not need.is_met(given)), None)

    def measure(self, answered: Answered, given: Conditions) -> Any:
        """Its value; NaN where something that it needs is missing."""
        return math.nan if self.find_lack(given) is not None else self.of(answered)
