"""Priors that were learned from measurements of other devices, as data: ``learned_priors.yaml`` beside this module.

An entry holds for the devices and stacks that all its conditions name: classes, makers, capabilities (what compilers
build for), forms of memory, and a stack's host and id.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.specfile import Range, build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled
from simulator.timing.factors import Prior

FILE = Path(__file__).with_name("learned_priors.yaml")


class Traits(NamedTuple):
    """What decides the priors of a device: its class, its maker, and what compilers build for."""

    kind: str
    vendor: str = ""
    capability: str = ""
    memory: str = ""


@spec_dataclass
class LearnedPrior:
    """One factor's prior where its conditions hold; None: whatever it is."""

    factor: str
    value: Annotated[float, Range(1e-30, 1e30)]
    unit: str
    spread: Annotated[float, Range(0, 10, above=True)]
    method: str
    scope: str
    sources: list[str]
    classes: list[str] | None = None
    vendors: list[str] | None = None
    capabilities: list[str] | None = None
    memories: list[str] | None = None
    hosts: list[str] | None = None
    stacks: list[str] | None = None

    def holds(self, traits: Traits, stack: Stack) -> bool:
        """Whether it is of a device with a stack."""
        pairs = (
            (self.classes, traits.kind),
            (self.vendors, traits.vendor),
            (self.capabilities, traits.capability),
            (self.memories, traits.memory),
            (self.hosts, stack.host),
            (self.stacks, stack.id),
        )
        return all(names is None or own in names for names, own in pairs)

    @property
    def prior(self) -> Prior:
        """The prior, with where it comes from for a reason."""
        return Prior(self.value, self.spread, f"{self.method} ({', '.join(self.sources)})")


@spec_dataclass
class LearnedPriors:
    """The file."""

    priors: list[LearnedPrior]


def read_learned(path: Path) -> LearnedPriors:
    """Read the file.

    Raises:
        InputError: it is wrong.
    """
    found: LearnedPriors = build(read_spec(path), LearnedPriors)
    return found


@cache
def list_learned() -> tuple[LearnedPrior, ...]:
    """All entries, read when they are first needed."""
    return tuple(read_compiled(FILE, read_learned).priors)


def find_learned(traits: Traits, stack: Stack) -> dict[str, Prior]:
    """The priors that hold for a device with a stack, by factor."""
    return {one.factor: one.prior for one in list_learned() if one.holds(traits, stack)}


def describe_traits(hardware: Hardware, kind: str) -> Traits:
    """The traits of a device of a class; of its memory the form without its generation, such as GDDR.

    Memory that holds what corrects its errors is a form of its own.
    """
    technology = (hardware.memory.technology or "").upper()
    memory = next((form for form in ("LPDDR", "GDDR", "HBM", "DDR") if form in technology), "")
    if memory and hardware.memory.checked_inside:
        memory += " checked inside"
    return Traits(kind, hardware.vendor, hardware.compute.capability or "", memory)
