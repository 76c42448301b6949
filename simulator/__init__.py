"""Roofcast: how long a Transformer takes to answer, on a device you name.

>>> import simulator as rc
>>> answer = rc.predict("openai-davinci", "a100-sxm-80gb", tp=8, prompt_tokens=512, output_tokens=32)
>>> answer.basis
'calibrated'
>>> len(rc.sweep("openai-davinci", "a100-sxm-80gb", tp=8, prompt_tokens="128-1024*2", batch_size=[1, 8]))
8

An answer shows its numbers, and has ``to_dict()``, ``to_dicts()`` (rows), ``to_pandas()`` and ``to_polars()``. Numbers
are in SI units, as the ends of names say. What does not fit in memory raises unless ``assume_fits=True``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from simulator.errors import CheckFailed, ImpossibleError, InputError, RoofcastError
from simulator.prediction import Prediction, predict

if TYPE_CHECKING:
    from simulator.explore.by_name import explain, sensitivity, solve
    from simulator.explore.compare import Comparison, compare
    from simulator.explore.explanation import Explanation
    from simulator.explore.load_solve import LoadSolution
    from simulator.explore.recommend.recommend import Recommendation, recommend
    from simulator.explore.sensitivity import Sensitivity
    from simulator.explore.solution import Solution
    from simulator.explore.sweep.sweep import Sweep, sweep
    from simulator.serving.simulation import Simulation, simulate

__all__ = [
    "CheckFailed",
    "Comparison",
    "Explanation",
    "ImpossibleError",
    "InputError",
    "LoadSolution",
    "Prediction",
    "Recommendation",
    "RoofcastError",
    "Sensitivity",
    "Simulation",
    "Solution",
    "Sweep",
    "compare",
    "explain",
    "predict",
    "recommend",
    "sensitivity",
    "simulate",
    "solve",
    "sweep",
]

# Loaded when they are first asked for: a single prediction starts sooner without them.
_PLACES = {
    "Comparison": "simulator.explore.compare",
    "Explanation": "simulator.explore.explanation",
    "LoadSolution": "simulator.explore.load_solve",
    "Recommendation": "simulator.explore.recommend.recommend",
    "Sensitivity": "simulator.explore.sensitivity",
    "Simulation": "simulator.serving.simulation",
    "Solution": "simulator.explore.solution",
    "Sweep": "simulator.explore.sweep.sweep",
    "compare": "simulator.explore.compare",
    "explain": "simulator.explore.by_name",
    "recommend": "simulator.explore.recommend.recommend",
    "sensitivity": "simulator.explore.by_name",
    "simulate": "simulator.serving.simulation",
    "solve": "simulator.explore.by_name",
    "sweep": "simulator.explore.sweep.sweep",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names, loaded or not."""
    return sorted({*globals(), *__all__})
