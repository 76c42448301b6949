"""The noise of a shared service: a delay that is nearly always added, seldom a request that comes early.

    measured = time + delay                additive, of the same size whatever the request
    measured = time * (1 + delay)          proportional, as contention that slows every pass

The delay has the density of a mixture of two exponentials above zero, a short and a long one, for a tail heavier than
either, and falls off below zero with a scale that is at most the shorter one, so that one early answer does not pull
the times down. For one exponential this is the asymmetric Laplace law, whose likelihood is that of quantile regression
(Koenker and Machado 1999, doi:10.1080/01621459.1999.10473882) with the quantile estimated.

Where a density jumps at its end, the best fit is biased and the bootstrap fails, but the flat-prior posterior gives
intervals that cover (Chernozhukov and Hong 2004, doi:10.1111/j.1468-0262.2004.00540.x). emcee draws from it
(Foreman-Mackey et al. 2013, doi:10.1086/670067).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError

Array = NDArray[np.float64]
NoiseLaw = Literal["additive", "proportional"]
NOISE_PARAMETERS = 4
LEAST_LOG_EARLY = -7.0  # least scale below zero, of that above: a thousandth
MOST_LOG_LONG = 7.0  # longest exponential, of the shorter
LEAST_TIME_SHARE = 1e-9  # of the fastest request: what no time may fall below
# Autocorrelation times that the kept steps must span. With 48 walkers the mean of all draws is then off by some 5% of a
# standard deviation, and the ends of an interval by some 3% of its width.
CONVERGED = 10
MOST_ROUNDS = 3  # of draws, each twice as long as the one before, until they converge
LEAST_WALKERS = 48
# Shares of moves: by the difference of two walkers, scaled; by the whole difference, from one mode to the next; along
# the line through another walker, which brings back one that was left behind.
DIFFERENCES, WHOLE_DIFFERENCES, STRETCHES = 0.7, 0.1, 0.2
OWN_PARTS, REST = 1.0, 2.0  # as many of each as of all these together, and two, where the density falls into parts
IMPOSSIBLE = -1e300  # log of a density of zero; infinity times zero would be no number
LOW_QUANTILE = 0.2  # of the requests, that the start of the draws is fitted to
START_ROUNDS = 200


class Draws(NamedTuple):
    """A sample of the posterior: one row a draw."""

    coefficients: Array  # of the design's columns, seconds
    noise: Array  # (draws, 4), see ``unpack_noise``
    autocorrelation_times: float  # that the kept steps span, of the coefficient with the longest


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
    allowed = (coefficients[:, -1] > 0) & (times > least).all(axis=1)
    allowed &= (log_early > LEAST_LOG_EARLY) & (log_early < 0) & (log_long > 0) & (log_long < MOST_LOG_LONG)
    allowed &= (share > 0) & (share < 1) & (np.abs(log_short - np.log(scale)) < 14)
    result = np.full(times.shape, IMPOSSIBLE)
    result[allowed] = log_density(measured, times[allowed], noise[allowed], law)
    return result


def draw(
    log_parts: Callable[[Array], Array],
    cloud: Array,
    seed: int,
    burn_in: int,
    kept: int,
    rounds: int = 1,
    membership: Array | None = None,
    watched: int | None = None,
) -> tuple[Array, float]:
    """Draw from a density with emcee.

    By differential evolution (ter Braak 2006, doi:10.1007/s11222-006-8769-1) and stretches (Goodman and Weare 2010,
    doi:10.2140/camcos.2010.5.65).

    emcee's snooker move is left out: in release 3.1.6 its acceptance is wrong (github.com/dfm/emcee/pull/531).

    Args:
        log_parts: log density of each part (columns) for each walker (rows); a walker's is their sum.
        cloud: the walkers' start, one a row, at least twice as many as columns.
        seed: of the moves.
        burn_in: steps that are thrown away.
        kept: steps after those.
        rounds: at most; each begins where the last one ended, with twice as many steps, until the draws converge.
        membership: which part (rows) depends on which of the first coordinates (columns), one each, as 0 and 1; None:
            all coordinates move together.
        watched: how many of the first coordinates must converge; None: all.

    Returns:
        The draws, two of each autocorrelation time and walker or more, and how many such times the kept steps span.

    Raises:
        InputError: emcee is not installed.
    """
    emcee = load_emcee()
    evolve, stretch = emcee.moves.DEMove, emcee.moves.StretchMove
    moves = [(evolve(), DIFFERENCES), (evolve(gamma0=1.0), WHOLE_DIFFERENCES), (stretch(), STRETCHES)]
    if membership is not None:
        from calibration.traces.part_moves import OwnPartMove, RestMove

        moves.append((OwnPartMove(log_parts, membership), OWN_PARTS))
        moves.append((RestMove(membership.shape[1], cloud.shape[1]), REST))
    log_of = sum_parts(log_parts)
    cloud = place_walkers(log_of, cloud, np.random.default_rng(seed))
    sampler = emcee.EnsembleSampler(*cloud.shape, log_of, moves=moves, vectorize=True)
    state: Any = emcee.State(cloud, random_state=np.random.RandomState(seed).get_state())
    for number in range(rounds):
        state = sampler.run_mcmc(state, burn_in * 2**number, store=False, skip_initial_state_check=True)
        sampler.reset()
        state = sampler.run_mcmc(state, kept * 2**number)
        with np.errstate(invalid="ignore"):  # of a walker that has not moved, which forgets nothing
            times = np.nan_to_num(sampler.get_autocorr_time(tol=0), nan=kept * 2**number)
        longest = float(times[:watched].max())
        if kept * 2**number >= CONVERGED * longest:
            break
    return sampler.get_chain(thin=max(1, int(longest / 2)), flat=True), kept * 2**number / longest


def load_emcee() -> Any:
    """emcee, which only denoising needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        import emcee
    except ImportError:
        raise InputError("denoising needs emcee: pip install 'roofcast[denoise]'") from None
    return emcee


def sum_parts(log_parts: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The log density of each walker."""
    return lambda cloud: np.asarray(log_parts(cloud).sum(axis=1))


def place_walkers(log_of: Callable[[Array], Array], cloud: Array, generator: np.random.Generator) -> Array:
    """Let walkers outside of what is allowed join ones inside."""
    while not (inside := log_of(cloud) > IMPOSSIBLE / 2).all():
        taken = cloud[generator.choice(np.flatnonzero(inside), size=np.count_nonzero(~inside))]
        cloud[~inside] = taken * (1 + 1e-4 * generator.normal(size=taken.shape))
    return cloud


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
    burn_in: int = 500,
    kept: int = 1000,
    rounds: int = 1,
) -> Draws:
    """Draw times and noise together.

    The walkers move in the times at the mean output size of each prompt size, which the time per output token does not
    turn.

    Args:
        design: one row a request; times are ``design @ coefficients``, and the last column's coefficient is positive.
        measured: seconds.
        law: how the delay acts.
        seed: of the draws.
        burn_in: steps that are thrown away.
        kept: steps after those.
        rounds: see ``draw``.

    Raises:
        InputError: emcee is not installed.
    """
    weights, tokens = design[:, :-1], design[:, -1]
    levels = weights.shape[1]
    centre = (weights.T @ tokens) / weights.sum(axis=0)
    generator = np.random.default_rng(seed)
    lowered, noise = start_noise(design, measured, find_start(design, measured), law)
    scale = 1.0 if law == "proportional" else float(np.median(measured))

    def to_parameters(cloud: Array) -> Array:
        return np.hstack([cloud[:, :levels] - cloud[:, levels : levels + 1] * centre, cloud[:, levels:]])

    def log_parts(cloud: Array) -> Array:
        return log_posterior(to_parameters(cloud), design, measured, law, scale)

    walkers = count_walkers(levels + 1 + NOISE_PARAMETERS)
    spread = 0.02 * lowered + 1e-3 * float(np.median(measured)) / design.shape[1]
    start = np.abs(lowered + spread * generator.normal(size=(walkers, len(lowered))))
    start[:, :-1] += start[:, -1:] * centre
    cloud = np.hstack([start, scatter_noise(noise, walkers, generator)])
    alone = bool(np.all((weights == 0) | (weights == 1)))
    drawn, times = draw(log_parts, cloud, seed, burn_in, kept, rounds, weights if alone else None, levels + 1)
    sample = to_parameters(drawn)
    return Draws(sample[:, : levels + 1], sample[:, levels + 1 :], times)


def draw_noise(times: Array, measured: Array, law: NoiseLaw, seed: int, burn_in: int = 100, kept: int = 100) -> Array:
    """Draw the noise alone around times that are given; one row a draw.

    Raises:
        InputError: emcee is not installed.
    """
    scale = 1.0 if law == "proportional" else float(np.median(measured))
    _, noise = start_noise(times[:, None], measured, np.ones(1), law)
    generator = np.random.default_rng(seed)

    def log_parts(cloud: Array) -> Array:
        scaled = np.hstack([np.ones((len(cloud), 1)), cloud])
        return log_posterior(scaled, times[:, None], measured, law, scale)

    return draw(log_parts, scatter_noise(noise, count_walkers(NOISE_PARAMETERS), generator), seed, burn_in, kept)[0]


def count_walkers(coordinates: int) -> int:
    """An even number; a half of the walkers must span the space, with some to spare."""
    return max(LEAST_WALKERS, 2 * coordinates + 4)


def scatter_noise(noise: Array, walkers: int, generator: np.random.Generator) -> Array:
    """A cloud of walkers around one noise."""
    return noise + np.array([0.2, 0.2, 0.2, 0.02]) * generator.normal(size=(walkers, NOISE_PARAMETERS))


def start_noise(design: Array, measured: Array, start: Array, law: NoiseLaw) -> tuple[Array, Array]:
    """Coefficients lowered until few requests come early, and noise of the size of the rest."""
    share = measured / (design @ start)
    lowered = start * min(1.0, float(np.quantile(share, 0.1)))
    times = design @ lowered
    delay = np.maximum(measured - times, 0.0) / (times if law == "proportional" else 1.0)
    short = max(float(np.median(delay)), 1e-4 * (1.0 if law == "proportional" else float(np.median(measured))))
    return lowered, np.array([np.log(short), -2.0, 1.0, 0.2])
