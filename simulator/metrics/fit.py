"""Whether an answer is of something that can be: what does not fit in memory is refused, with what would fit."""

from __future__ import annotations

import numpy as np

from simulator.errors import ImpossibleError, InputError
from simulator.metrics.answered import Answered
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.layout import choose_layout
from simulator.units import format_quantity


def check_fit(answered: Answered) -> None:
    """Refuse an answer for what does not fit in memory.

    Raises:
        ImpossibleError: with the bytes needed and usable, and the fewest devices that hold it where there are such.
    """
    if not np.all(answered.find("fits")):
        raise ImpossibleError(describe_misfit(answered))


def describe_misfit(answered: Answered) -> str:
    """By how much an answer does not fit in memory, and what would."""
    question, devices = answered.question, answered.find("devices")
    needed = float(np.max(answered.footprint.device_bytes))
    usable = find_usable_bytes(question.hardware, question.work.stack)
    each = " on each" if devices > 1 else ""
    return (
        f"{question.model_label} does not fit on {devices} x {question.hardware.id}: "
        f"{format_quantity(needed, 'B')} needed, {format_quantity(usable, 'B')} usable{each}; "
        f"try {suggest_layout(answered)}, or --assume-fits"
    )


def suggest_layout(answered: Answered) -> str:
    """The options of the fewest devices that hold the longest request, or else what makes it smaller."""
    question = answered.question
    a, d, stack, workload = question.work
    counts = (workload.prompt_tokens, workload.output_tokens, workload.batch_size)
    try:
        layout = choose_layout(question.model_label, a, question.hardware, stack, d, *counts)
    except (InputError, ImpossibleError):
        return "fewer tokens, a smaller batch or narrower weights (--weight-dtype)"
    return f"--tp {layout.tp}" + (f" --pp {layout.pp}" if layout.pp != d.pp else "")
