"""From noisy timings of an API to the times it would take with nobody else on it.

    time(prompt, output) = overhead + prompt time(prompt) + time per output token * (output - 1)

fitted twice: as Narayanan et al. 2023 (arXiv 2305.02440) do, to the fastest trial of each pair of sizes by regression;
and to all trials with noise that only delays (``delay_model``), which gives intervals. Which of them describes requests
better is told by the likelihood of requests that neither was fitted to.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from calibration.traces.delay_model import (
    LEAST_TIME_SHARE,
    MOST_ROUNDS,
    NOISE_PARAMETERS,
    Array,
    Draws,
    NoiseLaw,
    draw_noise,
    draw_posterior,
    load_emcee,
    log_density,
)
from simulator.errors import InputError
from simulator.inputs.traces import Trace, drop_repeated, group_traces
from simulator.studies.helm_runtimes import Runtime, fit_runtimes

PromptLaw = Literal["each", "line"]
NOISE_LAWS: tuple[NoiseLaw, ...] = ("additive", "proportional")
FOLDS = 5
LEAST_A_SIZE = 5  # requests of a prompt size that gets a time of its own
LEAST_OUTPUT_SIZES = 3  # of each such prompt size
LEAST_A_PARAMETER = 2  # requests for each number that is fitted
SHOWN_SIZES = 5  # prompt sizes that are reported where all lie on a line
MOST_DRAWS = 1000  # that a held-out density is averaged over
PER_TOKEN = "output token"  # name of its time
INTERVAL = (0.05, 0.95)
STEPS = (500, 1000)  # of the walkers: thrown away, and kept
HELD_OUT_STEPS = (200, 100)
CONSTANT = 1e-6  # spread of the times, over their mean, up to which they are all the same
FLAT = 0.1  # low end of the time per output token over its median, below which it is not told from zero


class Estimate(NamedTuple):
    """A time with the ends of its 90% interval, seconds."""

    value_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Denoised:
    """The times of one model behind one API, seconds. ``held_out`` is the mean log density of a held-out request.

    ``paper`` and its ``held_out`` are None where the paper's regression cannot be done; ``paper_problem`` says why.
    ``gain`` is how much likelier the one-sided model makes a held-out request, with its standard error.
    ``repeated`` counts rows that stand in the file again, trial and time included, and are left out.
    """

    api: str
    model: str
    requests: int
    cut_short: int
    repeated: int
    prompt_law: PromptLaw
    noise_law: NoiseLaw
    sizes: tuple[int, ...]
    paper: dict[str, float] | None
    paper_problem: str | None
    one_sided: dict[str, Estimate]
    held_out: dict[str, float | None]
    gain: float | None
    gain_error: float | None
    raw_over_denoised: float
    autocorrelation_times: float

    @property
    def winner(self) -> str:
        """``paper`` or ``one-sided``, whichever makes held-out requests likelier."""
        return "paper" if self.gain is not None and self.gain < 0 else "one-sided"

    @property
    def label(self) -> str:
        """API and model, as HELM writes them."""
        return f"{self.api}/{self.model}" if self.api else self.model


class HeldOut(NamedTuple):
    """Log density of each request by fits that did not see it; None where the paper's regression fails."""

    paper: Array | None
    one_sided: Array


class Problem(NamedTuple):
    """The requests as arrays. Coefficients: times of a request of one output token, then time per output token."""

    law: PromptLaw
    knots: tuple[int, ...]  # prompt sizes of the coefficients: all, or the smallest and the largest
    prompts: Array
    outputs: Array
    measured: Array

    @property
    def design(self) -> Array:
        """One row a request."""
        return np.hstack([weigh_knots(self.prompts, self.knots), self.outputs[:, None] - 1])

    def select(self, chosen: Array) -> Problem:
        """Some of the requests."""
        return self._replace(prompts=self.prompts[chosen], outputs=self.outputs[chosen], measured=self.measured[chosen])


def weigh_knots(prompts: Array, knots: tuple[int, ...]) -> Array:
    """Weights of the knots in the time of each prompt: linear between two."""
    return np.column_stack([np.interp(prompts, knots, row) for row in np.eye(len(knots))])


def denoise(
    traces: list[Trace], prompt_law: PromptLaw | None = None, seed: int = 0
) -> tuple[list[Denoised], list[str]]:
    """Fit every model behind every API.

    Args:
        traces: the requests; those cut short are counted and left out.
        prompt_law: ``each`` prompt size has its own time, or all lie on a ``line``; None: the first where it can be.
        seed: of the random draws.

    Returns:
        What was fitted, and what is wrong with the requests of those models that were not.

    Raises:
        InputError: there are no requests, or emcee is not installed.
    """
    if not traces:
        raise InputError("no requests to fit")
    load_emcee()
    found, problems = [], []
    for group in group_traces(traces).values():
        try:
            found.append(denoise_group(group, prompt_law, seed))
        except InputError as error:
            problems.append(str(error))
    return found, problems


def denoise_group(group: list[Trace], prompt_law: PromptLaw | None, seed: int) -> Denoised:
    """Fit one model behind one API.

    Raises:
        InputError: too few requests, or requests that cannot tell the times apart; naming API and model.
    """
    single = drop_repeated(group)
    kept = sorted(
        (trace for trace in single if not trace.cut_short),
        key=lambda trace: (trace.prompt_tokens, trace.output_tokens, trace.trial),
    )
    label, cut_short, paper_problem = group[0].label, len(single) - len(kept), None
    try:
        problem = pose_problem(kept, prompt_law)
        scores = {law: score_held_out(problem, law, seed) for law in NOISE_LAWS}
        noise_law = choose_law(scores)
        draws = draw_posterior(problem.design, problem.measured, noise_law, seed, *STEPS, rounds=MOST_ROUNDS)
        check_growth(draws)
    except InputError as error:
        left = f" ({cut_short} cut short and left out)" if cut_short else ""
        raise InputError(f"{label}, {len(kept)} requests{left}: {error}") from None
    sizes = choose_sizes(problem)
    paper = None
    try:
        coefficients = fit_as_paper(problem)
        paper = {name: float(value) for name, value in name_times(coefficients[None], problem, sizes).items()}
    except InputError as error:
        paper_problem = str(error)
    gain, gain_error = compare_held_out(scores, noise_law)
    fitted = np.median(draws.coefficients, axis=0)
    return Denoised(
        group[0].api,
        group[0].model,
        len(kept),
        cut_short,
        len(group) - len(single),
        problem.law,
        noise_law,
        sizes,
        paper,
        paper_problem,
        {name: summarise(values) for name, values in name_times(draws.coefficients, problem, sizes).items()},
        {"paper": find_best_paper(scores), "one-sided": float(scores[noise_law].one_sided.mean())},
        gain,
        gain_error,
        float(problem.measured.mean() / (problem.design @ fitted).mean()),
        draws.autocorrelation_times,
    )


def choose_law(scores: Mapping[NoiseLaw, HeldOut]) -> NoiseLaw:
    """The law of delays with which the one-sided model makes held-out requests likeliest."""
    return max(scores, key=lambda law: float(scores[law].one_sided.mean()))


def find_best_paper(scores: Mapping[NoiseLaw, HeldOut]) -> float | None:
    """Mean log density of a held-out request by the paper's times, with the law that suits them best."""
    means = [float(score.paper.mean()) for score in scores.values() if score.paper is not None]
    return max(means, default=None)


def compare_held_out(scores: Mapping[NoiseLaw, HeldOut], law: NoiseLaw) -> tuple[float | None, float | None]:
    """How much likelier the one-sided model makes a request than the paper's times, each with the law that suits it
    best, in log density; and the standard error of that mean."""
    known = [score.paper for score in scores.values() if score.paper is not None]
    if not known:
        return None, None
    gains = scores[law].one_sided - max(known, key=lambda logs: float(logs.mean()))
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


def check_growth(draws: Draws) -> None:
    """Refuse times that do not grow with the output.

    Raises:
        InputError: the time per output token is not told from zero.
    """
    low, middle = np.quantile(draws.coefficients[:, -1], (INTERVAL[0], 0.5))
    if low < FLAT * middle:
        raise InputError("times do not grow with output tokens; the time per output token is not told from zero")


def pose_problem(traces: list[Trace], prompt_law: PromptLaw | None) -> Problem:
    """Choose a law for the prompt time and check that the requests can tell its parameters.

    Raises:
        InputError: too few requests, or a design that leaves something open.
    """
    counts = Counter(trace.prompt_tokens for trace in traces)
    outputs = defaultdict(set)
    for trace in traces:
        outputs[trace.prompt_tokens].add(trace.output_tokens)
    if len(set().union(*outputs.values())) < 2:
        raise InputError("all have the same number of output tokens; the time per output token needs at least two")
    thin = [size for size in sorted(counts) if counts[size] < LEAST_A_SIZE or len(outputs[size]) < LEAST_OUTPUT_SIZES]
    law = prompt_law or ("line" if thin and len(counts) > 1 else "each")
    if law == "each" and thin:
        raise InputError(
            f"{thin[0]} prompt tokens have {counts[thin[0]]} requests of {len(outputs[thin[0]])} output sizes; a time "
            f"of its own needs at least {LEAST_A_SIZE} of {LEAST_OUTPUT_SIZES}"
        )
    if law == "line" and len(counts) < 2:
        raise InputError(f"all have {next(iter(counts))} prompt tokens; a line needs at least two sizes")
    sizes = sorted(counts)
    knots = tuple(sizes) if law == "each" else (sizes[0], sizes[-1])
    requests = np.array([(trace.prompt_tokens, trace.output_tokens, trace.seconds) for trace in traces], dtype=float)
    problem = Problem(law, knots, *requests.T)
    if np.ptp(problem.measured) <= CONSTANT * problem.measured.mean():
        raise InputError("all take the same time; there is nothing to fit")
    needed = LEAST_A_PARAMETER * (len(knots) + 1 + NOISE_PARAMETERS)
    if len(traces) < needed:
        raise InputError(f"too few: {len(knots)} prompt times and their noise need at least {needed}")
    check_rank(problem)
    return problem


def check_rank(problem: Problem) -> None:
    """Refuse a design whose columns depend on each other.

    Raises:
        InputError: prompt and output sizes go together, so that their times cannot be told apart.
    """
    design = problem.design
    scaled = design / np.maximum(np.abs(design).max(axis=0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-6 * len(scaled) ** 0.5) < design.shape[1]:
        raise InputError("prompt and output sizes go together; their times cannot be told apart")


def fit_as_paper(problem: Problem) -> Array:
    """Coefficients by the paper's way, unrounded: the fastest trial of each pair of sizes, then regression.

    Where prompt times lie on a line, which the paper does not have, the regression is over all pairs at once.

    Raises:
        InputError: a prompt size with one output size, or times that fall with the output tokens.
    """
    fastest: dict[tuple[float, float], float] = {}
    for prompt, output, seconds in zip(problem.prompts, problem.outputs, problem.measured, strict=True):
        fastest[prompt, output] = min(float(seconds), fastest.get((prompt, output), np.inf))
    if problem.law == "each":
        fit = fit_runtimes(Runtime(int(p), int(o), seconds) for (p, o), seconds in fastest.items())
        coefficients = np.array([*(fit.prompt_s[size] for size in problem.knots), fit.per_output_token_s])
    else:
        pairs = np.array(list(fastest))
        cells = problem._replace(prompts=pairs[:, 0], outputs=pairs[:, 1], measured=np.array(list(fastest.values())))
        check_rank(cells)
        coefficients = np.linalg.lstsq(cells.design, cells.measured, rcond=None)[0]
    if not coefficients[-1] > CONSTANT * problem.measured.mean():
        raise InputError("the fastest trials do not grow with output tokens")
    if not (coefficients > 0).all():
        raise InputError("the regression gives a negative prompt time; too few or too noisy requests")
    return np.asarray(coefficients, dtype=float)


def score_held_out(problem: Problem, law: NoiseLaw, seed: int) -> HeldOut:
    """Log density of each request by fits to the others: every fifth of the sorted list is left out in turn.

    The paper says nothing of its noise. Its times get the same law of noise, fitted around them, so that the times are
    what is compared.

    Raises:
        InputError: what is left cannot tell the times apart.
    """
    fold = np.arange(len(problem.measured)) % FOLDS
    papers: Array | None = np.zeros(len(fold))
    one_sided = np.zeros(len(fold))
    for number in range(FOLDS):
        rest, left = problem.select(fold != number), problem.select(fold == number)
        check_rank(rest)
        drawn = draw_posterior(rest.design, rest.measured, law, seed, *HELD_OUT_STEPS)
        least = LEAST_TIME_SHARE * float(rest.measured.min())  # a line may fall below zero past its ends
        times = np.maximum(thin_out(drawn.coefficients) @ left.design.T, least)
        one_sided[fold == number] = average_density(log_density(left.measured, times, thin_out(drawn.noise), law))
        if papers is None:
            continue
        try:
            coefficients = fit_as_paper(rest)
        except InputError:  # without some requests it cannot be done
            papers = None
            continue
        noise = thin_out(draw_noise(rest.design @ coefficients, rest.measured, law, seed))
        same = np.repeat((left.design @ coefficients)[None], len(noise), axis=0)
        papers[fold == number] = average_density(log_density(left.measured, same, noise, law))
    return HeldOut(papers, one_sided)


def thin_out(draws: Array) -> Array:
    """At most so many rows, evenly."""
    return draws[:: max(1, len(draws) // MOST_DRAWS)]


def average_density(logs: Array) -> Array:
    """Log of the mean density over draws, for each request."""
    most = logs.max(axis=0)
    return np.asarray(most + np.log(np.exp(logs - most).mean(axis=0)))


def choose_sizes(problem: Problem) -> tuple[int, ...]:
    """Prompt sizes to report: all that have their own time, or a few of those on a line."""
    if problem.law == "each":
        return problem.knots
    ranks = np.linspace(0, 1, SHOWN_SIZES)
    return tuple(sorted({int(size) for size in np.quantile(problem.prompts, ranks, method="nearest")}))


def name_times(coefficients: Array, problem: Problem, sizes: tuple[int, ...]) -> dict[str, Array]:
    """The parameters by name, for each row of coefficients, seconds."""
    first, per_token = coefficients[:, :-1], coefficients[:, -1]
    overhead = first[:, 0] - per_token
    prompts = first @ weigh_knots(np.array(sizes, dtype=float), problem.knots).T - overhead[:, None]
    times = {"overhead": overhead}
    times |= {name_prompt(size): column for size, column in zip(sizes, prompts.T, strict=True)}
    return {name: values.squeeze() for name, values in (times | {PER_TOKEN: per_token}).items()}


def name_prompt(size: int) -> str:
    """The name of a prompt time."""
    return f"prompt {size}"


def summarise(values: Array) -> Estimate:
    """Median and 90% interval."""
    low, middle, high = np.quantile(values, (INTERVAL[0], 0.5, INTERVAL[1]))
    return Estimate(float(middle), float(low), float(high))
