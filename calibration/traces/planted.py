"""Made-up timings with known times and heavy-tailed delays, for checking that the times are found again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from calibration.traces.delay_model import Array, NoiseLaw
from simulator.inputs.traces import Trace

Delay = Literal["exponential", "lomax-1.5", "lomax-2.5", "gamma-0.5", "lognormal-1.5", "lognormal-1.0"]
# Delays in seconds, or as a share of the time. Lomax with shape 1.5 has no variance; the lognormals have next to no
# delays near zero, so that part of the delay looks like overhead.
DELAYS: dict[Delay, Callable[[np.random.Generator, int], Array]] = {
    "exponential": lambda generator, size: generator.exponential(0.1, size),
    "lomax-1.5": lambda generator, size: 0.1 * generator.pareto(1.5, size),
    "lomax-2.5": lambda generator, size: 0.1 * generator.pareto(2.5, size),
    "gamma-0.5": lambda generator, size: generator.gamma(0.5, 0.2, size),
    "lognormal-1.5": lambda generator, size: 0.05 * np.exp(1.5 * generator.normal(size=size)),
    "lognormal-1.0": lambda generator, size: 0.05 * np.exp(generator.normal(size=size)),
}


class Truth(NamedTuple):
    """Planted times, seconds. As everywhere, the smallest prompt takes what one output token takes."""

    overhead_s: float = 0.26
    prompt_s: tuple[tuple[int, float], ...] = ((1, 0.04), (512, 0.19), (1024, 0.34), (1536, 0.54))
    per_output_token_s: float = 0.04

    def named(self) -> dict[str, float]:
        """The times under the names that ``denoise`` gives them."""
        prompts = {f"prompt {size}": time for size, time in self.prompt_s}
        return {"overhead": self.overhead_s, **prompts, "output token": self.per_output_token_s}


def plant_traces(
    delay: Delay,
    law: NoiseLaw,
    seed: int,
    trials: int = 5,
    truth: Truth | None = None,
    outputs: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
) -> list[Trace]:
    """Requests of every pair of sizes, each so many times."""
    planted = truth or Truth()
    sizes = [(p, o, time) for p, time in planted.prompt_s for o in outputs for _ in range(trials)]
    times = np.array([planted.overhead_s + time + planted.per_output_token_s * (o - 1) for _, o, time in sizes])
    drawn = DELAYS[delay](np.random.default_rng(seed), len(sizes))
    measured = times * (1 + drawn) if law == "proportional" else times + drawn
    return [
        Trace("planted", "synthetic", p, o, float(seconds), str(number % trials))
        for number, ((p, o, _), seconds) in enumerate(zip(sizes, measured, strict=True))
    ]
