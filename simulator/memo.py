"""Answers that are asked for again and again, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, TypeVarTuple

Given = TypeVarTuple("Given")
Answer = TypeVar("Answer")
MOST = 2**10  # answers of one function
OWN_KINDS = (int, float, str, bool, type(None), list, dict, tuple)


def remember(function: Callable[[*Given], Answer]) -> Callable[[*Given], Answer]:
    """Remember the answers of a pure function, which are shared and not to be changed in place.

    Arguments that hold arrays have no hash, and are asked anew. Answers in other numbers than Python's own are not
    kept, since such numbers may be equal to Python's.
    """
    kept: dict[tuple[Any, ...], Answer] = {}

    @wraps(function)
    def ask(*given: *Given) -> Answer:
        try:
            return kept[given]
        except KeyError:
            pass
        except TypeError:
            return function(*given)
        answer = function(*given)
        if is_plain(answer):
            if len(kept) >= MOST:
                kept.clear()
            kept[given] = answer
        return answer

    return ask


def is_plain(answer: Any) -> bool:
    """Whether an answer, or each field of it, is of one of Python's own kinds."""
    values = vars(answer).values() if hasattr(answer, "__dict__") else answer if isinstance(answer, tuple) else [answer]
    return all(isinstance(value, tuple) or type(value) in OWN_KINDS for value in values)
