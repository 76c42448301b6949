"""Passes of prompts that are read alone, against the chain that they are."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.serving.openings import count_openings

PASSES = 40_000


def draw_chain(rate: float, step_s: float, opening_s: float, reading_s: float) -> tuple[float, float]:
    """Passes of prompts to one of decoding, and seconds from one of these to the next, pass by pass."""
    generator = np.random.default_rng(0)
    seconds, whole_s, decoded = step_s, 0.0, 0
    for _ in range(PASSES):
        came = generator.poisson(rate * seconds)
        seconds = opening_s + came * reading_s if came else step_s
        decoded += not came
        whole_s += seconds
    return PASSES / decoded - 1, whole_s / decoded


@pytest.mark.parametrize(
    ("rate", "step_s", "opening_s", "reading_s", "error"),
    [(20, 0.02, 0.005, 0.005, 0.03), (10, 0.01, 0.0, 0.05, 0.05), (60, 0.015, 0.02, 0.003, 0.03)],
)
def test_prompts_that_come_while_others_are_read_are_read_before_decoding_goes_on(
    rate: float, step_s: float, opening_s: float, reading_s: float, error: float
) -> None:
    drawn, whole_s = draw_chain(rate, step_s, opening_s, reading_s)
    found = count_openings(*(np.array(one) for one in (rate, step_s, opening_s, reading_s)))
    assert float(found.passes) == pytest.approx(drawn, rel=error)
    assert step_s + float(found.passes * found.each_s) == pytest.approx(whole_s, rel=error)


def test_a_rare_prompt_has_a_pass_of_its_own() -> None:
    """Of few that come each is alone: as many passes as come in a cycle, each of its opening and its reading."""
    found = count_openings(np.array(1e-4), np.array(0.02), np.array(0.03), np.array(0.05))
    assert float(found.passes) == pytest.approx(1e-4 * 0.02, rel=1e-3)
    assert float(found.each_s) == pytest.approx(0.08, rel=1e-3)
