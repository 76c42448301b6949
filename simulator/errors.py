"""Everything Roofcast raises on purpose; each kind is one exit code of the command.

::

    Exception
     +-- RoofcastError           the base: catch this to catch them all
          +-- CheckFailed        exit 1: the question was fine and the answer is "no" (a validation over its threshold)
          +-- InputError         exit 2: bad input; the message is one line: where, what, what is allowed
          +-- ImpossibleError    exit 3: good input that cannot happen (the model does not fit on the devices)

Anything else that escapes is a bug, and keeps its traceback. Names that do not exist get the nearest one that does.
"""

from collections.abc import Iterable
from typing import ClassVar

from simulator.names import find_nearest

# What a command of Roofcast lists; any other set of names is short enough to stand in the message.
_LISTING_COMMANDS = {
    "model": "roofcast models list",
    "hardware": "roofcast hardware list",
}


class RoofcastError(Exception):
    """Base of all errors Roofcast raises on purpose. The message is meant for people and needs no traceback."""

    exit_code: ClassVar[int] = 1


class CheckFailed(RoofcastError):
    """A check ran and did not pass."""

    exit_code: ClassVar[int] = 1


class InputError(RoofcastError):
    """The input is wrong; the message says in one line where, what, and what is allowed."""

    exit_code: ClassVar[int] = 2


class ImpossibleError(RoofcastError):
    """The input is understood and cannot work, for example because the weights do not fit in memory."""

    exit_code: ClassVar[int] = 3


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that was most likely meant by a name, whatever its case; None where nothing is close."""
    return find_nearest(name, list(candidates))


def suggest(problem: str, name: str, allowed: Iterable[str]) -> str:
    """Return a problem with a name, followed by the nearest allowed name and all of them."""
    names = list(allowed)
    near = nearest(name, names)
    hint = "" if near is None else f"; did you mean {near!r}?"
    return f"{problem}{hint} (allowed: {', '.join(names)})"


def unknown_name(what: str, name: str, candidates: Iterable[str], near: str | None = None) -> InputError:
    """Return the error for a name that nothing has.

    Args:
        what: the kind of thing, in the singular: ``'model'``, ``'hardware'``, ``'dtype'``...
        name: the name that was given.
        candidates: the names there are.
        near: the one that was likely meant; found by distance where it is not given.
    """
    problem = f"unknown {what} {name!r}"
    if what not in _LISTING_COMMANDS:
        return InputError(suggest(problem, name, candidates))
    near = near or nearest(name, candidates)
    hint = "" if near is None else f": did you mean {near!r}?"
    return InputError(f"{problem}{hint} ({_LISTING_COMMANDS[what]} shows all)")


class RebuiltModelWarning(UserWarning):
    """A stack builds another model than the one that was named."""
