"""Roofcast: how long a Transformer takes to answer, on a device you name.

>>> import simulator
>>> answer = simulator.predict("openai-davinci", "a100-sxm-80gb", tp=8, prompt_tokens=512, output_tokens=32)
>>> answer.basis
'calibrated'
>>> len(simulator.sweep("openai-davinci", "a100-sxm-80gb", tp=8, prompt_tokens="128-1024*2", batch_size=[1, 8]))
8
"""

from typing import TYPE_CHECKING, Any

from simulator.errors import CheckFailed, ImpossibleError, InputError, RoofcastError
from simulator.prediction import Prediction, predict

if TYPE_CHECKING:
    from simulator.explore.sweep.sweep import Sweep, sweep
    from simulator.serving.simulation import Simulation, simulate

__all__ = [
    "CheckFailed",
    "ImpossibleError",
    "InputError",
    "Prediction",
    "RoofcastError",
    "Simulation",
    "Sweep",
    "predict",
    "simulate",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """Load sweeps and load where they are first asked for: a single prediction starts sooner without them."""
    if name in ("Simulation", "simulate"):
        from simulator.serving import simulation

        return getattr(simulation, name)
    if name in ("Sweep", "sweep"):
        from simulator.explore.sweep import sweep as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
