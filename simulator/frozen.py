"""Frozen dataclasses that are made quickly.

The standard library compiles six methods for each class, which for the classes of a prediction takes longer than the
prediction: these share theirs. In all else they are dataclasses, and ``fields``, ``replace`` and ``asdict`` take them.
"""

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen_dataclass(cls: type[T], /) -> type[T]: ...
@overload
def frozen_dataclass(*, eq: bool) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen_dataclass(cls: type[T] | None = None, /, *, eq: bool = True) -> Any:
    """Make a class a frozen dataclass, as the standard library's decorator of that argument does.

    Where ``eq`` is false, an object is equal to itself alone.
    """
    if cls is None:
        return lambda cls: make_frozen(cls, eq)
    return make_frozen(cls, eq)


def make_frozen(cls: type[T], eq: bool) -> type[T]:
    """Give a class its fields, and the methods that it does not have of its own."""
    made: Any = dataclass(init=False, repr=False, eq=False)(cls)
    made.__dataclass_params__.frozen = True  # as a dataclass that inherits from it asks
    names = [each.name for each in fields(made)]
    made._field_names = tuple(names)
    made._field_keys = dict.fromkeys(names).keys()
    made._field_defaults = {each.name: each.default for each in fields(made) if each.default is not MISSING}
    made._field_factories = {each.name: each.default_factory for each in fields(made) if callable(each.default_factory)}
    made._field_values = attrgetter(*names)
    made._field_check = getattr(made, "__post_init__", None)
    for method in (__init__, __repr__, __setattr__, __delattr__, *((__eq__, __hash__) if eq else ())):
        if method.__name__ not in cls.__dict__:
            setattr(made, method.__name__, method)
    return cls


def __init__(self: Any, *values: Any, **named: Any) -> None:
    kind = type(self)
    names, own = kind._field_names, self.__dict__
    own.update(kind._field_defaults)
    for name, make in kind._field_factories.items():
        own[name] = make()
    own.update(zip(names, values, strict=False))
    if named:
        own.update(named)
        fits = own.keys() == kind._field_keys and named.keys().isdisjoint(names[: len(values)])
    else:
        fits = len(own) == len(names)
    if not fits or len(values) > len(names):
        raise refuse_call(kind, values, named)
    if kind._field_check is not None:
        kind._field_check(self)


def refuse_call(kind: Any, values: tuple[Any, ...], named: dict[str, Any]) -> TypeError:
    """The error for a call with other values than the fields."""
    names = kind._field_names
    placed, given = names[: len(values)], {*names[: len(values)], *named}
    self_filled = {*kind._field_defaults, *kind._field_factories}
    problems = {
        "has no field for": [*map(repr, values[len(names) :]), *(name for name in named if name not in names)],
        "is given twice": [name for name in placed if name in named],
        "needs": [name for name in names if name not in given and name not in self_filled],
    }
    said = [f"{what} {', '.join(each)}" for what, each in problems.items() if each]
    return TypeError(f"{kind.__name__} {'; '.join(said)}")


def __repr__(self: Any) -> str:
    own = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._field_names)
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
