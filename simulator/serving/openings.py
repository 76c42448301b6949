"""Passes of prompts between two decode passes, where prompts are read alone and come at any time.

While prompts are read others come, which are read before decoding goes on: a pass of ``k`` prompts takes
``o + k r``, and one follows a pass of ``d`` seconds with probability ``1 - e^(-rate d)``. Of ``m`` such passes after a
decode pass of ``t`` seconds, each of ``s`` seconds on the mean,

    m = (1 - e^(-rate t)) / e^(-rate s),    m s = (m o + rate t r) / (1 - rate r),

is a fixed point: as many passes begin as end, and all that comes is read. Where passes are chosen one ahead, two such
chains take turns, and the means are the same. In a closed loop prompts come as decode passes end, and one pass reads
them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.serving.curves import Array

ROUNDS = 40  # of the fixed point, from a single pass upwards
MOST = 1e3  # passes of prompts between two decode passes, past which decoding as good as stands still
BUSIEST = 0.99  # share of the time that reading can take


class Openings(NamedTuple):
    """Passes of prompts after a decode pass: how many, and the seconds of each, on the mean."""

    passes: Array
    each_s: Array


def count_openings(rate: Array, step_s: Array, opening_s: Array, reading_s: Array) -> Openings:
    """The fixed point of the module docstring.

    Args:
        rate: requests a second that come.
        step_s: seconds of a decode pass.
        opening_s: ``o``, of a pass of prompts whatever their number.
        reading_s: ``r``, of each prompt in it.
    """
    began = np.maximum(-np.expm1(-rate * step_s), 1e-12)
    idle = 1 - np.minimum(rate * reading_s, BUSIEST)
    passes = began
    for _ in range(ROUNDS):
        each_s = (np.maximum(opening_s, 0.0) + rate * step_s * reading_s / passes) / idle
        passes = np.minimum(began * np.exp(np.minimum(rate * each_s, 50.0)), MOST)
    each_s = (np.maximum(opening_s, 0.0) + rate * step_s * reading_s / passes) / idle
    return Openings(passes, each_s)
