"""Dataclasses that share their methods behave as those of the standard library."""

import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.frozen import frozen_dataclass


@frozen_dataclass
class Ours:
    a: int
    b: Any = 2
    c: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.a == 13:
            raise ValueError("a is unlucky")


@dataclass(frozen=True)
class Theirs:
    a: int
    b: Any = 2
    c: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.a == 13:
            raise ValueError("a is unlucky")


def outcome(make: Callable[..., Any], values: list[Any], named: dict[str, Any]) -> Any:
    """What a call returns, or the kind of its error."""
    try:
        return make(*values, **named)
    except (TypeError, ValueError) as error:
        return type(error)


@given(
    st.lists(st.integers(10, 14), max_size=4),
    st.dictionaries(st.sampled_from("abcd"), st.integers(10, 14), max_size=4),
)
def test_calls_end_as_those_of_the_standard_library(values: list[Any], named: dict[str, Any]) -> None:
    ours, theirs = (outcome(kind, values, named) for kind in (Ours, Theirs))
    if isinstance(theirs, type):
        assert ours is theirs
        return
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert asdict(ours) == asdict(theirs)
    assert hash(ours) == hash(theirs)
    assert ours == Ours(*values, **named) == pickle.loads(pickle.dumps(ours))
    assert replace(ours, a=1) == Ours(1, ours.b, ours.c) != replace(ours, a=2)
    assert ours != theirs


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((), {}, "Ours needs a"),
        ((1, 2, (), 4), {}, "Ours has no field for 4"),
        ((1,), {"a": 2, "x": 3}, "Ours has no field for x; is given twice a"),
    ],
)
def test_a_wrong_call_is_explained(values: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as refusal:
        Ours(*values, **named)
    assert str(refusal.value) == message


def test_an_object_is_frozen_and_has_a_hash_where_its_fields_have_one() -> None:
    ours = Ours(1)
    with pytest.raises(FrozenInstanceError):
        ours.a = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del ours.a
    with pytest.raises(TypeError):
        hash(Ours(1, np.ones(2)))
    assert [field.name for field in fields(Ours)] == ["a", "b", "c"]


def test_without_eq_an_object_is_equal_to_itself_alone() -> None:
    @frozen_dataclass(eq=False)
    class Answer:
        value: Any

    one, other = Answer(np.ones(2)), Answer(np.ones(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_a_default_that_is_made_is_made_anew() -> None:
    @frozen_dataclass
    class Notes:
        of: str
        lines: list[str] = field(default_factory=list)

    one, other = Notes("a"), Notes("a")
    assert one == other == Notes("a", [])
    assert one.lines is not other.lines
    with pytest.raises(TypeError, match=r"^Notes needs of$"):
        Notes()  # type: ignore[call-arg]
