"""A spec: the plain content of a file with the lines of its keys, and the dataclasses made of it."""

import reprlib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

from simulator.errors import InputError
from simulator.frozen import frozen_dataclass

KeyPath = tuple[str | int, ...]
T = TypeVar("T")


@frozen_dataclass
class Spec:
    """The plain content of a spec file, and the 1-based line of every key such as ``('sources', 0, 'title')``."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line_of(self, at: KeyPath) -> int:
        """Return the line of a key or, where the file does not have it, of the nearest key around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def error(self, what: str, at: KeyPath = ()) -> InputError:
        """Return the error that says ``what`` is wrong with the key ``at``."""
        return error_at(self.path, self.line_of(at), at, what)


def name_key(at: KeyPath) -> str:
    """Return a key as people write it: ``sources[0].title``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).removeprefix(".")


def error_at(path: Path, line: int, at: KeyPath, what: str) -> InputError:
    """Return the error that says where in a file ``what`` is wrong."""
    key = name_key(at)
    message = f"{path}:{line}: {key}: {what}" if key else f"{path}:{line}: {what}"
    return InputError(" ".join(message.splitlines()))  # a key may hold a line break, and so may what a parser says


def describe_value(value: object) -> str:
    """Return what a plain value is, in words."""
    if value is None:
        return "is empty"
    if isinstance(value, list | dict):
        return "is a list" if isinstance(value, list) else "is a mapping"
    if isinstance(value, bool):
        return f"{str(value).lower()} is a boolean"
    return f"{reprlib.repr(value)} is {'text' if isinstance(value, str) else 'a number'}"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def spec_dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that `build` fills strictly: no unknown keys, no conversions, no nan or inf.

    The schema is made of the annotations when a file is first built. Building an instance directly checks nothing, so
    its fields may then hold arrays or symbols.
    """
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # type: ignore[attr-defined]
    return frozen_dataclass(cls)
