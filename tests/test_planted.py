"""Factors planted into synthetic times of operators come back, and intervals hold the shapes that were not measured.

The design is 64 fixed shapes, about as many as one measures in a minute. From seed to seed the planted factors change,
drawn around their priors, and the noise, which has the scatter that the fit assumes of an operator.
"""

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from factor_samples import HIGH, LOW, NAMES, from_values
from samples import make_operator_row

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.least_squares import OPERATOR_SCATTER, Fit, fit_profile
from calibration.fit.profile_file import make_profile
from calibration.fit.validate import validate_profile
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.operator_text import DECODE, PREFILL, format_operator
from simulator.timing.factors import Factors, as_log_array
from simulator.timing.learned import Traits
from simulator.timing.priors import choose_priors
from simulator.timing.profile import Discrepancy

DEVICE = load_hardware("a100-sxm-80gb")
STACK = load_stack("tensorrt-llm-1.0")
PRIOR = np.log([prior.value for prior in choose_priors(Traits("gpu"), STACK).values()])
SPREAD = np.array([prior.spread for prior in choose_priors(Traits("gpu"), STACK).values()])
SEEDS = range(200)
pytestmark = pytest.mark.long  # two hundred fits
MOST_ERROR = 0.2  # of a well measured factor: past it the laws are too crooked for a standard error
LONGEST_STEP = 1.5  # of a planted factor, in spreads of its prior
KINDS = ("linear", PREFILL, DECODE, "all_reduce")


def list_operators(
    weights: list[tuple[int, int]],
    rows_of_weights: list[int],
    prompts: list[int],
    contexts: list[int],
    messages: list[tuple[int, int]],
) -> list[Measurement]:
    """Products, attention over prompts and caches, and all-reduces: bytes, by the library (0) or direct (1)."""
    heads = {"heads": 32, "head_size": 128}
    texts = [format_operator("linear", m=m, n=n, k=k) for (n, k), m in product(weights, rows_of_weights)]
    for sequences, tokens in product((1, 8), prompts):
        sizes = {"sequences": sequences, "queries": tokens, "context": tokens, "kv_heads": 8}
        texts.append(format_operator("attention", **sizes, **heads))
    for sequences, context, kv_heads in product((1, 32), contexts, (4, 32)):
        sizes = {"sequences": sequences, "queries": 1, "context": context, "kv_heads": kv_heads}
        texts.append(format_operator("attention", **sizes, **heads))
    layouts = [(text, 1) for text in texts]
    for tp, (size, direct) in product((2, 4, 8), messages):
        layouts.append((format_operator("all_reduce", bytes=size, direct=direct), tp))
    return [make_operator_row(text, DEVICE.id, STACK.id, tp) for text, tp in layouts]


DESIGN = list_operators(
    weights=[(4096, 4096), (1024, 8192), (16384, 4096), (512, 512)],
    rows_of_weights=[1, 48, 256, 640, 4096],
    prompts=[16, 256, 2048, 8192],
    contexts=[32, 1024, 16384],
    messages=[(2**9, 0), (2**17, 0), (2**20, 0), (2**23, 0), (2**27, 0), (2**9, 1), (2**16, 1), (2**20, 1)],
)
OTHER_SHAPES = list_operators(
    weights=[(6144, 2048), (2048, 5120), (11008, 4096), (1024, 1024)],
    rows_of_weights=[8, 96, 384, 1024, 3000],
    prompts=[64, 512, 1500, 4096],
    contexts=[100, 700, 5000],
    messages=[(2**12, 0), (300_000, 0), (2**21, 0), (2**25, 0), (2**13, 1), (300_000, 1)],
)


def plant(seed: int) -> Factors:
    """Factors around their priors, within what is physical."""
    steps = np.clip(np.random.default_rng(seed).normal(size=len(PRIOR)), -LONGEST_STEP, LONGEST_STEP)
    return from_values(np.clip(np.exp(PRIOR + SPREAD * steps), LOW, HIGH).tolist())


def measure(rows: list[Measurement], seed: int) -> list[Measurement]:
    """The rows as a device with the planted factors would give them, each with a noise of its own."""
    noise = OPERATOR_SCATTER * np.random.default_rng([seed, len(rows)]).normal(size=len(rows))
    values = predict_rows(build_cases(rows, "none"), plant(seed)) * np.exp(noise)
    return [replace(row, value=float(value)) for row, value in zip(rows, values, strict=True)]


@cache
def recover(seed: int) -> Fit:
    return fit_profile(measure(DESIGN, seed), DEVICE, STACK)


def find_coverage(seed: int, fit: Fit) -> float:
    """Share of the other shapes whose measurement lies inside its 90% interval."""
    profile = make_profile(fit, "planted", DEVICE.id, STACK.id, [Path(__file__)], "")
    return float(validate_profile(measure(OTHER_SHAPES, seed), profile).summarise()["coverage_90"])


def test_well_measured_factors_are_recovered_within_two_standard_errors() -> None:
    distances: dict[str, list[float]] = {}
    for seed in SEEDS:
        fit = recover(seed)
        moved = (as_log_array(fit.factors) - as_log_array(plant(seed))) / fit.standard_errors
        for place in np.flatnonzero(fit.standard_errors < np.minimum(0.5 * SPREAD, MOST_ERROR)):
            distances.setdefault(NAMES[place], []).append(abs(moved[place]))
    together = np.concatenate(list(distances.values()))
    assert len(together) > 12 * len(SEEDS)
    assert np.mean(together < 2) > 0.9
    assert np.mean(together < 3) > 0.98
    often = {name: np.mean(np.array(ones) < 2) for name, ones in distances.items() if len(ones) > len(SEEDS) / 2}
    assert len(often) > 12
    # They count in one branch of a minimum each, and a standard error knows nothing of the other.
    behind_a_minimum = [often.pop("direct_phase_cycles"), often.pop("direct_link_efficiency")]
    assert min(behind_a_minimum) > 0.8
    # Three factors of attention are off more often than their errors say, which is a fault of the fit: its laws have
    # more corners than a covariance knows. What they predict holds (the next test).
    cornered = [often.pop(f"attention_{name}") for name in ("block_cycles", "efficiency")]
    cornered.append(often.pop("grouped_token_cycles"))
    assert min(cornered) > 0.6
    assert min(often.values()) > 0.9


def test_intervals_hold_other_shapes_nine_times_in_ten_where_the_scatter_is_known() -> None:
    scatter = Discrepancy(OPERATOR_SCATTER, OPERATOR_SCATTER, dict.fromkeys(KINDS, OPERATOR_SCATTER))
    covered = [find_coverage(seed, replace(recover(seed), discrepancy=scatter)) for seed in SEEDS]
    assert 0.88 < np.mean(covered) < 0.92


def test_intervals_hold_other_shapes_with_the_scatter_that_the_residuals_show() -> None:
    # With 8 to 24 rows of a kind the factors take up a third of the scatter, and the residuals show the rest.
    covered = [find_coverage(seed, recover(seed)) for seed in SEEDS]
    assert 0.85 < np.mean(covered) < 0.95
