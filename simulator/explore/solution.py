"""What ``solve`` answers: the value, and every limit at it and just past it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from simulator.explore.limits import Check, hold_all
from simulator.inputs.deployment import Deployment
from simulator.prediction import Prediction, Question
from simulator.shown import Shown


class Trial(NamedTuple):
    """One value of the unknown with its prediction and limits; no prediction where there is none to be had."""

    value: Any
    prediction: Prediction | None
    checks: list[Check]

    @property
    def holds(self) -> bool:
        """Whether every limit holds."""
        return bool(hold_all(self.checks))


@dataclass(frozen=True)
class Solution(Shown):
    """The answer. ``at`` meets every limit where ``possible``, and else comes closest of what was tried.

    ``beyond`` is the next value, which fails: None where the unknown ends without. ``binding``: the limits that fail
    there or, where it is impossible, at the closest.
    """

    question: Question
    unknown: str
    unit: str
    sense: str  # largest or smallest
    possible: bool
    at: Trial
    beyond: Trial | None
    binding: list[str]
    tried: str  # the values in words

    @property
    def value(self) -> Any:
        """The answer as a number, in ``unit``; None where nothing that was tried meets every limit."""
        return plain_value(self.unknown, self.at.value) if self.possible else None

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a limit, with the answer in each."""
        answer = self.to_dict()
        limits = answer.pop("limits")
        return [answer | row for row in limits]

    def to_dict(self) -> dict[str, Any]:
        """The answer by name; ``closest`` in place of ``value`` where it is impossible."""
        return {
            "unknown": self.unknown,
            "unit": self.unit,
            "sense": self.sense,
            "possible": self.possible,
            "value": self.value,
            "closest": None if self.possible else plain_value(self.unknown, self.at.value),
            "beyond": None if self.beyond is None else plain_value(self.unknown, self.beyond.value),
            "limits": [list_limit(self, check) for check in self.at.checks],
        }

    def __repr__(self) -> str:
        """The answer and what binds, in one line."""
        if not self.possible:
            return f"Solution(no {self.unknown} meets every limit; closest {plain_value(self.unknown, self.at.value)})"
        return f"Solution({self.sense} {self.unknown} {self.value:,}, bound by {', '.join(self.binding) or 'nothing'})"


def plain_value(unknown: str, value: Any) -> Any:
    """A value of the unknown as a number."""
    return getattr(value, unknown) if isinstance(value, Deployment) else value


def list_limit(solution: Solution, check: Check) -> dict[str, Any]:
    """One limit: its value at the answer and just past it, in SI units, and the room that is left as a share of it."""
    beyond = find_beyond(solution, check.limit)
    return {
        "limit": check.limit,
        "side": "at least" if check.at_least else "at most",
        "bound": check.bound,
        "value_here": float(check.value),
        "slack": check.slack,
        "value_beyond": None if beyond is None else float(beyond.value),
        "binds": check.limit in solution.binding,
    }


def find_beyond(solution: Solution, limit: str) -> Check | None:
    """The same limit just past the answer."""
    checks = [] if solution.beyond is None else solution.beyond.checks
    return next((check for check in checks if check.limit == limit), None)
