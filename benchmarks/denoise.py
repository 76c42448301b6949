"""How well planted times are found again: errors of both ways, and how often the 90% intervals hold the truth.

python -m benchmarks.denoise --seeds 30 --trials 5
"""

from __future__ import annotations

import argparse
from typing import Any, get_args

import numpy as np

from calibration.traces.delay_model import MOST_ROUNDS, NoiseLaw, draw_posterior
from calibration.traces.denoise import STEPS, denoise, fit_as_paper, name_times, pose_problem, summarise
from calibration.traces.planted import DELAYS, Delay, Truth, plant_traces


def main() -> None:
    """Print one line for each law of delays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--delays", nargs="*", default=list(DELAYS), choices=list(DELAYS))
    parser.add_argument("--laws", nargs="*", default=list(get_args(NoiseLaw)), choices=get_args(NoiseLaw))
    parser.add_argument("--known-law", action="store_true", help="take the law of delays as known: 10 times as fast")
    options = parser.parse_args()
    truth = Truth().named()
    planted = np.array(list(truth.values()))
    print(f"{4 * 7 * options.trials} requests, {options.seeds} seeds; mean absolute error and cover over all 6 times")
    for law in options.laws:
        for delay in options.delays:
            found = [fit(delay, law, seed, options) for seed in range(options.seeds)]
            paper, estimates = (np.array([one[part] for one in found]) for part in (0, 1))
            errors = np.abs(estimates[:, :, 0] / planted - 1)
            inside = (estimates[:, :, 1] <= planted) & (planted <= estimates[:, :, 2])
            print(
                f"{law:12s} {delay:13s} one-sided {100 * errors.mean():4.1f}% "
                f"(worst time {100 * errors.mean(axis=0).max():4.1f}%), "
                f"paper {100 * np.abs(paper / planted - 1).mean():4.1f}%, cover {100 * inside.mean():3.0f}%, "
                f"law found {100 * np.mean([one[2] == law for one in found]):3.0f}%, "
                f"one-sided wins {100 * np.mean([one[3] == 'one-sided' for one in found]):3.0f}%",
                flush=True,
            )


def fit(delay: Delay, law: NoiseLaw, seed: int, options: argparse.Namespace) -> tuple[Any, Any, str, str]:
    """The paper's times, the one-sided estimates, the law of delays that was chosen and the winner."""
    traces, names = plant_traces(delay, law, seed, options.trials), list(Truth().named())
    if not options.known_law:
        (one,), _ = denoise(traces, seed=seed)
        paper_s = one.paper or dict.fromkeys(names, float("nan"))
        return [paper_s[name] for name in names], [one.one_sided[name] for name in names], one.noise_law, one.winner
    problem = pose_problem(traces, "each")
    draws = draw_posterior(problem.design, problem.measured, law, seed, *STEPS, rounds=MOST_ROUNDS)
    start = fit_as_paper(problem)
    paper, drawn = (name_times(part, problem, problem.knots) for part in (start[None], draws.coefficients))
    return [paper[name] for name in names], [summarise(drawn[name]) for name in names], law, "one-sided"


if __name__ == "__main__":
    main()
