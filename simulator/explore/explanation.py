"""What ``explain`` answers: steps from the bound to the prediction, and operators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from simulator.prediction import Prediction
from simulator.shown import Shown
from simulator.timing.request import RequestTime


class Phase(NamedTuple):
    """Seconds of the first token and of all others."""

    prefill_s: float
    decode_s: float


class WaterfallStep(NamedTuple):
    """Seconds that one step adds to the time to first token and to all further tokens."""

    name: str
    meaning: str
    prefill_s: float
    decode_s: float


class OperatorPart(NamedTuple):
    """An operator's part of a phase.

    ``busy_s`` is how long it runs; ``seconds`` is the part of the phase's time that it decides, less where the host is
    slower.
    """

    phase: str
    operator: str
    layer_kind: str
    resource: str
    times: float
    busy_s: float
    seconds: float


@dataclass(frozen=True)
class Explanation(Shown):
    """The prediction, its waterfall from the bound (the first step) and its operators by phase."""

    prediction: Prediction
    waterfall: list[WaterfallStep]
    parts: list[OperatorPart]

    @cached_property
    def phases(self) -> dict[str, float]:
        """Seconds of the phases that there are."""
        return name_phases(self.prediction.request)

    def sum_by(self, key: str, phase: str | None = None) -> dict[str, float]:
        """Seconds by ``resource``, ``layer_kind`` or ``operator``, in one phase or in both."""
        totals: dict[str, float] = {}
        for part in self.parts:
            if phase in (None, part.phase):
                name = getattr(part, key)
                totals[name] = totals.get(name, 0.0) + part.seconds
        return totals

    def to_dicts(self) -> list[dict[str, Any]]:
        """What each step adds to the three times, the bound first and the prediction last."""
        prediction = self.prediction
        passes = prediction.question.work.workload.output_tokens - 1
        whole = float(prediction.e2e_s)
        rows = []
        for step in self.waterfall:
            added = step.prefill_s + step.decode_s
            rows.append(write_step(step.name, step.prefill_s, step.decode_s / passes if passes else None, added, whole))
            rows[-1]["meaning"] = step.meaning
        tpot = float(prediction.tpot_s) if passes else None
        total = write_step("prediction", float(prediction.ttft_s), tpot, whole, whole)
        return [*rows, total | {"meaning": "the sum of all steps"}]

    def to_dict(self) -> dict[str, Any]:
        """The prediction and its waterfall."""
        return {"prediction": self.prediction.to_dicts()[0], "waterfall": self.to_dicts()}

    def __repr__(self) -> str:
        """The steps from the bound to the prediction, as shares of the whole request."""
        steps = ", ".join(f"{row['step']} {100 * row['share']:.0f}%" for row in self.to_dicts()[:-1])
        return f"Explanation({steps}; {self.prediction!r})"


def name_phases(request: RequestTime) -> dict[str, float]:
    """Seconds of the phases that take any."""
    phases = {"prefill": float(request.prefill_s), "decode": float(request.decode_s)}
    return {name: seconds for name, seconds in phases.items() if seconds}


def write_step(name: str, ttft_s: float, tpot_s: float | None, e2e_s: float, whole_s: float) -> dict[str, Any]:
    """One row of the waterfall; ``share`` is of the whole request."""
    return {"step": name, "ttft_s": ttft_s, "tpot_s": tpot_s, "e2e_s": e2e_s, "share": e2e_s / whole_s}
