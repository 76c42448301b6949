"""What a stack cannot run: models that its versions do not know, and devices of makers that it is not built for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.errors import suggest
from simulator.inputs.architecture import Architecture
from simulator.specfile import spec_dataclass

if TYPE_CHECKING:
    from simulator.inputs.stack import Stack


@spec_dataclass
class Missing:
    """Models that a stack does not run, by kinds of their layers or by fields of the architecture; all must hold.

    ``what`` these are, in words, and ``since`` which version the engine runs them.
    """

    what: str
    since: str
    mixers: list[str] | None = None
    when: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse conditions on nothing, or on what no architecture has."""
        if not self.mixers and not self.when:
            raise ValueError("mixers or when: one of them must say which models")
        fields = Architecture.__dataclass_fields__
        for field in self.when or {}:
            if field not in fields:
                raise ValueError(suggest(f"when: unknown architecture field '{field}'", field, fields))

    def holds(self, architecture: Architecture) -> bool:
        """Whether a model is one of these."""
        alike = all(getattr(architecture, field) == value for field, value in (self.when or {}).items())
        return alike and (not self.mixers or any(group.mixer in self.mixers for group in architecture.groups))


def find_obstacle(stack: Stack, architecture: Architecture, vendor: str) -> str | None:
    """Why a stack could not serve a model on a maker's devices; None where nothing is known against it."""
    if stack.vendors and vendor not in stack.vendors:
        return f"{stack.name} runs on devices of {', '.join(stack.vendors)} alone, not of {vendor}"
    found = next((one for one in stack.missing or () if one.holds(architecture)), None)
    return None if found is None else f"{stack.name} has no {found.what}, which came with {found.since}"
