"""Dataclasses that are made of specs, and others that a prediction needs.

The standard library compiles six methods for each class. For the classes of a prediction that takes longer than the
prediction, so that these share theirs.
"""

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen_dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass, as the standard library's decorator of that argument does."""
    made: Any = dataclass(init=False, repr=False, eq=False)(cls)
    made._field_defaults = {each.name: each.default for each in fields(made)}
    made._field_values = attrgetter(*made._field_defaults)
    for method in (__init__, __repr__, __eq__, __hash__, __setattr__, __delattr__):
        if method.__name__ not in cls.__dict__:
            setattr(made, method.__name__, method)
    return cls


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def spec_dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that `build` fills strictly: no unknown keys, no conversions, no nan or inf.

    The schema is made of the annotations when a file is first built. Building an instance directly checks nothing, so
    its fields may then hold arrays or symbols.
    """
    cls.__pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # type: ignore[attr-defined]
    return frozen_dataclass(cls)


def __init__(self: Any, *values: Any, **named: Any) -> None:
    kind = type(self)
    names = tuple(kind._field_defaults)
    own = kind._field_defaults | dict(zip(names, values, strict=False)) | named
    unknown = [*map(repr, values[len(names) :]), *(name for name in own if name not in kind._field_defaults)]
    twice = [name for name in names[: len(values)] if name in named]
    missing = [name for name, value in own.items() if value is MISSING]
    for problem, what in (("has no field for", unknown), ("is given twice", twice), ("needs", missing)):
        if what:
            raise TypeError(f"{kind.__name__} {problem} {', '.join(what)}")
    self.__dict__.update(own)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def __repr__(self: Any) -> str:
    own = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self))
    return f"{type(self).__qualname__}({own})"


def __eq__(self: Any, other: Any) -> Any:
    values = type(self)._field_values
    return values(self) == values(other) if type(other) is type(self) else NotImplemented


def __hash__(self: Any) -> int:
    return hash(type(self)._field_values(self))


def __setattr__(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def __delattr__(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
