"""What a stack cannot run: models and formats that its versions do not know, and devices that it is not built for."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

from simulator.errors import suggest
from simulator.inputs.architecture import Architecture
from simulator.inputs.formats import FORMATS, WIDE_BITS
from simulator.inputs.gguf_types import FILES
from simulator.specfile import spec_dataclass

if TYPE_CHECKING:
    from simulator.inputs.checkpoint import CheckpointFormats
    from simulator.inputs.deployment import Deployment
    from simulator.inputs.hardware import Hardware
    from simulator.inputs.stack import Stack


GGUF = "gguf"  # in a list of formats: every type of such files


@spec_dataclass
class Missing:
    """Questions that a stack cannot run; all that is said must hold.

    By kinds of the model's layers, fields of its architecture, formats of its weights (``gguf``: any type of such
    files), and devices: their makers, their generations, and what compilers build for. ``what`` these are, in words,
    and ``since`` which version the engine runs them; None: no version is known to.
    """

    what: str
    since: str | None = None
    mixers: list[str] | None = None
    when: dict[str, Any] | None = None
    formats: list[str] | None = None
    vendors: list[str] | None = None
    generations: list[str] | None = None
    capabilities: list[str] | None = None

    def __post_init__(self) -> None:
        """Refuse conditions on nothing, and on what no architecture or no number has."""
        if not any((self.mixers, self.when, self.formats, self.vendors, self.generations, self.capabilities)):
            raise ValueError("mixers, when, formats or devices: one of them must say which questions")
        fields = Architecture.__dataclass_fields__
        for field in self.when or {}:
            if field not in fields:
                raise ValueError(suggest(f"when: unknown architecture field '{field}'", field, fields))
        for name in self.formats or ():
            if name != GGUF and name not in FORMATS:
                raise ValueError(suggest(f"formats: unknown format '{name}'", name, list(FORMATS)))

    def holds(self, architecture: Architecture, formats: Set[str], hardware: Hardware) -> bool:
        """Whether a model in these formats on a device is one of these."""
        return self.holds_for_model(architecture, formats) and all(
            named is None or fact in named
            for named, fact in (
                (self.vendors, hardware.vendor),
                (self.generations, hardware.compute.generation),
                (self.capabilities, hardware.compute.capability),
            )
        )

    def holds_for_model(self, architecture: Architecture, formats: Set[str]) -> bool:
        """Whether a model in these formats is one of these, on devices that are."""
        alike = all(getattr(architecture, field) == value for field, value in (self.when or {}).items())
        mixes = not self.mixers or any(group.mixer in self.mixers for group in architecture.groups)
        stored = not self.formats or any(names_format(self.formats, one) for one in formats)
        return alike and mixes and stored


def names_format(named: list[str], one: str) -> bool:
    """Whether a list of formats has one of them."""
    return one in named or (GGUF in named and one in FILES)


def list_formats_asked(deployment: Deployment | None, own: CheckpointFormats | None) -> frozenset[str]:
    """The formats of weights, and of the products with them, that a question is of; those of 16 bits go without saying.

    Those of a settled question are in its deployment; before, what is asked for holds, else what the checkpoint has.
    """
    if deployment is not None and deployment.own is not None:
        own = deployment.own
    elif deployment is not None and (deployment.dtype or deployment.weight_dtype):
        return keep_narrow({deployment.dtype, deployment.weight_dtype})
    return keep_narrow(set() if own is None else {part.weights for part in own.parts.values()})


def keep_narrow(named: Set[str | float | None]) -> frozenset[str]:
    """Those that are formats, and of less than 16 bits."""
    return frozenset(one for one in named if isinstance(one, str) and FORMATS[one].bits < WIDE_BITS)


def find_obstacle(stack: Stack, architecture: Architecture, formats: Set[str], hardware: Hardware) -> str | None:
    """Why a stack could not serve a model in these formats on a device; None where nothing is known against it."""
    if stack.vendors and hardware.vendor not in stack.vendors:
        return f"{stack.name} runs on devices of {', '.join(stack.vendors)} alone, not of {hardware.vendor}"
    found = next((one for one in stack.missing or () if one.holds(architecture, formats, hardware)), None)
    if found is None:
        return None
    return f"{stack.name} has no {found.what}" + ("" if found.since is None else f", which came with {found.since}")
