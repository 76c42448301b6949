"""The noise of a shared service: a delay that is nearly always added, seldom a request that comes early.

    measured = time + delay                additive, of the same size whatever the request
    measured = time * (1 + delay)          proportional, as contention that slows every pass

The delay has the density of a mixture of two exponentials above zero, a short and a long one, for a tail heavier than
either, and falls off below zero with a scale that is at most the shorter one, so that one early answer does not pull
the times down. For one exponential this is the asymmetric Laplace law, whose likelihood is that of quantile regression
(Koenker and Machado 1999, doi:10.1080/01621459.1999.10473882) with the quantile estimated.

Where a density jumps at its end, the best fit is biased and the bootstrap fails, but the flat-prior posterior gives
intervals that cover (Chernozhukov and Hong 2004, doi:10.1111/j.1468-0262.2004.00540.x). ``ensemble`` draws from it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from calibration.traces.ensemble import GROUPS, IMPOSSIBLE, Array, Ensemble, find_r_hat

NoiseLaw = Literal["additive", "proportional"]
NOISE_PARAMETERS = 4
LEAST_LOG_EARLY = -7.0  # least scale below zero, of that above: a thousandth
MOST_LOG_LONG = 7.0  # longest exponential, of the shorter
LEAST_TIME_SHARE = 1e-9  # of the fastest request: what no time may fall below
CONVERGED = 1.02  # R-hat up to which draws count as converged
MOST_ROUNDS = 3  # of draws, each twice as long as the one before, until they converge
LOW_QUANTILE = 0.2  # of the requests, that the start of the draws is fitted to
START_ROUNDS = 200


class Draws(NamedTuple):
    """A sample of the posterior: one row a draw."""

    coefficients: Array  # of the design's columns, seconds
    noise: Array  # (draws, 4), see ``unpack_noise``
    r_hat: float  # how much wider all walkers spread than each of them, at its worst over the coefficients


def unpack_noise(noise: Array) -> tuple[Array, Array, Array, Array]:
    """Scales below zero, of the short and of the long exponential, and the share of the long one.

    The columns are log short, log(early / short), log(long / short) and the share.
    """
    short = np.exp(noise[..., 0])
    return short * np.exp(noise[..., 1]), short, short * np.exp(noise[..., 2]), noise[..., 3]


def log_density(measured: Array, times: Array, noise: Array, law: NoiseLaw) -> Array:
    """Log density of each measured time, for each row of ``times`` (draws, requests) and of ``noise`` (draws, 4)."""
    early, short, long, share = (part[:, None] for part in unpack_noise(noise))
    residual = measured - times
    if law == "proportional":
        residual = residual / times
    below, above = np.minimum(residual, 0.0) / early, np.maximum(residual, 0.0)
    mixed = (1 - share) * np.exp(-above / short) / (early + short) + share * np.exp(-above / long) / (early + long)
    density = below + np.log(mixed + 1e-300)
    return density - np.log(times) if law == "proportional" else density


def log_posterior(parameters: Array, design: Array, measured: Array, law: NoiseLaw, scale: float) -> Array:
    """Log density of each request for each row of parameters: coefficients, then noise. Their sum is the log posterior.

    The prior is flat in both, in scales in their logarithm; what it does not allow is ``IMPOSSIBLE``.
    """
    columns = design.shape[1]
    coefficients, noise = parameters[:, :columns], parameters[:, columns:]
    times, least = coefficients @ design.T, LEAST_TIME_SHARE * float(measured.min())
    log_short, log_early, log_long, share = noise.T
    allowed = coefficients[:, -1] > 0
    allowed &= (log_early > LEAST_LOG_EARLY) & (log_early < 0) & (log_long > 0) & (log_long < MOST_LOG_LONG)
    allowed &= (share > 0) & (share < 1) & (np.abs(log_short - np.log(scale)) < 14)
    result = np.full(times.shape, IMPOSSIBLE)
    found = log_density(measured, np.maximum(times[allowed], least), noise[allowed], law)
    result[allowed] = np.where(times[allowed] > least, found, IMPOSSIBLE)
    return result


def find_start(design: Array, measured: Array) -> Array:
    """Positive coefficients under most of the requests: regression on a low quantile, crude but always there.

    Weighted least squares with the weights of a quantile's loss, each step by the multiplication that keeps positive
    coefficients positive (Lee and Seung 2001, "Algorithms for non-negative matrix factorization").
    """
    middle = float(np.median(measured))
    found = np.full(design.shape[1], middle) / np.maximum(design.max(axis=0), 1.0) / 2
    for _ in range(START_ROUNDS):
        residual = measured - design @ found
        weights = np.where(residual > 0, LOW_QUANTILE, 1 - LOW_QUANTILE) / np.maximum(np.abs(residual), 1e-3 * middle)
        found = found * (design.T @ (weights * measured)) / (design.T @ (weights * (design @ found)))
        found = np.maximum(found, 1e-9 * middle)
    return np.asarray(found)


def draw_posterior(
    design: Array,
    measured: Array,
    law: NoiseLaw,
    seed: int,
    burn_in: int = 600,
    kept: int = 600,
    rounds: int = 1,
) -> Draws:
    """Draw times and noise together.

    The ensemble moves in the times at the mean output size of each prompt size, which the time per output token does
    not turn; given that and the noise, each of these depends on the requests of its own size alone.

    Args:
        design: one row a request; times are ``design @ coefficients``, and the last column's coefficient is positive.
        measured: seconds.
        law: how the delay acts.
        seed: of the draws.
        burn_in: steps that are thrown away.
        kept: steps after those, of every second of which all walkers are kept.
        rounds: at most; each begins where the last one ended, with twice as many steps, until the draws converge.
    """
    weights, tokens = design[:, :-1], design[:, -1]
    levels = weights.shape[1]
    centre = (weights.T @ tokens) / weights.sum(axis=0)
    generator = np.random.default_rng(seed)
    lowered, noise = start_noise(design, measured, find_start(design, measured), law)
    scale = 1.0 if law == "proportional" else float(np.median(measured))

    def to_parameters(cloud: Array) -> Array:
        return np.hstack([cloud[..., :levels] - cloud[..., levels : levels + 1] * centre, cloud[..., levels:]])

    walkers = 2 * GROUPS * (min(levels, 4) + NOISE_PARAMETERS + 2)
    spread = 0.02 * lowered + 1e-3 * float(np.median(measured)) / design.shape[1]
    start = np.abs(lowered + spread * generator.normal(size=(walkers, len(lowered))))
    start[:, :-1] += start[:, -1:] * centre
    scatter = np.array([0.2, 0.2, 0.2, 0.02]) * generator.normal(size=(walkers, NOISE_PARAMETERS))
    alone = bool(np.all((weights == 0) | (weights == 1)))
    ensemble = Ensemble(
        lambda cloud: log_posterior(to_parameters(cloud), design, measured, law, scale),
        np.hstack([start, noise + scatter]),
        generator,
        weights if alone else None,
    )
    for number in range(rounds):
        chains = ensemble.run(burn_in * 2**number, kept * 2**number)
        r_hat = find_r_hat(chains[..., : levels + 1])
        if r_hat <= CONVERGED:
            break
    sample = to_parameters(chains.reshape(-1, chains.shape[-1]))
    return Draws(sample[:, : levels + 1], sample[:, levels + 1 :], r_hat)


def draw_noise(times: Array, measured: Array, law: NoiseLaw, seed: int, burn_in: int = 200, kept: int = 200) -> Array:
    """Draw the noise alone around times that are given; one row a draw."""
    scale = 1.0 if law == "proportional" else float(np.median(measured))
    _, noise = start_noise(times[:, None], measured, np.ones(1), law)
    generator = np.random.default_rng(seed)
    cloud = noise + np.array([0.2, 0.2, 0.2, 0.02]) * generator.normal(
        size=(2 * GROUPS * (NOISE_PARAMETERS + 2), NOISE_PARAMETERS)
    )

    def law_of(parameters: Array) -> Array:
        scaled = np.hstack([np.ones((len(parameters), 1)), parameters])
        return log_posterior(scaled, times[:, None], measured, law, scale)

    return Ensemble(law_of, cloud, generator).run(burn_in, kept).reshape(-1, NOISE_PARAMETERS)


def start_noise(design: Array, measured: Array, start: Array, law: NoiseLaw) -> tuple[Array, Array]:
    """Coefficients lowered until few requests come early, and noise of the size of the rest."""
    share = measured / (design @ start)
    lowered = start * min(1.0, float(np.quantile(share, 0.1)))
    times = design @ lowered
    delay = np.maximum(measured - times, 0.0) / (times if law == "proportional" else 1.0)
    short = max(float(np.median(delay)), 1e-4 * (1.0 if law == "proportional" else float(np.median(measured))))
    return lowered, np.array([np.log(short), -2.0, 1.0, 0.2])
