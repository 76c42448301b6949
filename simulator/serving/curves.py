"""What the passes of one replica take, by the sequences that it runs: curves, from which loads are estimated.

A decode pass of ``n`` sequences takes ``step(n)``, with what drafts its tokens in it. Prompts that are read beside
them, or in a pass of their own, take ``opening + k reading`` of it for ``k`` prompts: each takes its own, and a pass
with any prompt more, as for reading all experts, or less, where the first fills what a pass has left. All come from the
law of a pass (``timing.passes.time_pass``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.costs.batch import Batch, Segment
from simulator.costs.passes import Pass, build_linear, forget_contexts, list_mixing
from simulator.costs.request import Work
from simulator.inputs.ranges import parse_counts
from simulator.inputs.stack import Scheduler
from simulator.numbers import ceil, maximum, sort_distinct
from simulator.serving.drafts import Draft
from simulator.serving.pass_table import pad_rows
from simulator.serving.state import Requests
from simulator.timing.passes import Machine, time_pass

Array = NDArray[np.float64]
BESIDE = ("vllm", "tensorrt-llm")  # policies that read prompts beside decoding sequences
GROUPS = 5  # of prompts by their length, where they differ
TOGETHER = 4.0  # prompts in a pass, to see what one more takes


class Mix(NamedTuple):
    """Requests by their moments: mean prompts of ``GROUPS`` by length, mean outputs and their spread (standard
    deviation over mean), the mean context of a decode pass, the tokens held midway and at the end, and how many a
    decode pass makes for one of them: more than one with drafts."""

    prompts: Array
    output_tokens: float
    output_spread: float
    context_tokens: float
    middle_tokens: float
    final_tokens: float
    longest: int
    made: float = 1.0

    @property
    def prompt_tokens(self) -> float:
        """Mean tokens of a prompt."""
        return float(self.prompts.mean())

    @property
    def passes(self) -> float:
        """Decode passes of a request."""
        return max(self.output_tokens - 1, 0.0) / self.made


def make_mix(prompt_tokens: float, output_tokens: float) -> Mix:
    """The moments of requests that are all alike."""
    middle, final = prompt_tokens + output_tokens / 2, prompt_tokens + output_tokens
    return Mix(np.array([prompt_tokens]), output_tokens, 0.0, middle, middle, final, int(final))


def measure_mix(requests: Requests, made: float = 1.0) -> Mix:
    """The moments of requests, whose decode passes make so many tokens each."""
    inputs, outputs = (np.asarray(one, dtype=np.float64) for one in (requests.input_tokens, requests.output_tokens))
    alike = inputs.min() == inputs.max()
    groups = np.array_split(np.sort(inputs), 1 if alike else min(GROUPS, len(inputs)))
    return Mix(
        np.array([group.mean() for group in groups]),
        float(outputs.mean()),
        float(outputs.std() / outputs.mean()),
        # A decode pass is one of a long request with more likelihood than of a short one.
        float(np.average(inputs + outputs / 2, weights=outputs)),
        float((inputs + outputs / 2).mean()),
        float((inputs + outputs).mean()),
        int((inputs + outputs).max()),
        made,
    )


class Curves(NamedTuple):
    """One replica by the sequences it runs, along the last axis, seconds; axes of factors or budgets stand in front.

    ``alone_s``: a prompt with nothing beside it. ``chunks``: passes that a prompt takes. ``spread``: of a prompt's
    seconds, standard deviation over mean. ``room``: prompts that a pass has room for, with nothing beside them.
    """

    sequences: Array
    step_s: Array
    opening_s: Array
    reading_s: Array
    alone_s: Array
    chunks: Array
    spread: Array
    scheduler: Scheduler
    room: Array

    @property
    def beside(self) -> bool:
        """Whether prompts are read beside decoding sequences."""
        return self.scheduler.policy in BESIDE

    @property
    def ahead(self) -> int:
        """Passes that are chosen before one that has just come can be: the one that runs, and one chosen ahead."""
        return 1 + self.scheduler.asynchronous

    def read(self, name: str, at: Array) -> Array:
        """One of the curves at some sequences, which need not be whole."""
        values: Array = getattr(self, name)
        return interpolate(self.sequences, values, np.minimum(np.maximum(at, 1.0), self.sequences[-1]))


def interpolate(grid: Array, values: Array, at: Array) -> Array:
    """Values along the last axis between the points of a grid, which ``at`` is within."""
    if len(grid) == 1:
        return np.broadcast_to(values, np.broadcast_shapes(values.shape, at.shape))
    place = np.clip(np.searchsorted(grid, at, side="right") - 1, 0, len(grid) - 2)
    share = (at - grid[place]) / (grid[place + 1] - grid[place])
    if at.ndim == 1:
        low, high = values[..., place], values[..., place + 1]
    else:
        shape = np.broadcast_shapes(values.shape[:-1], at.shape[:-1])
        places = np.broadcast_to(place, (*shape, at.shape[-1]))
        known = np.broadcast_to(values, (*shape, len(grid)))
        low, high = (np.take_along_axis(known, one, -1) for one in (places, places + 1))
    return np.asarray(low + share * (high - low))


def choose_grid(most: int) -> Array:
    """Numbers of sequences to time: each of the first few, then four to an octave, and one more of each.

    Where graphs are captured for numbers of rows, a pass of one sequence more runs the next graph: what it reads of
    weights leaps there, and grows with its caches alone up to the next.
    """
    many = sort_distinct(
        8 * np.round(np.geomspace(24, max(most, 24) + 8, 3 + int(4 * np.log2(max(most, 24) / 24))) / 8)
    )
    grid = np.concatenate([[1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17], many, many + 1]).astype(np.float64)
    return sort_distinct(np.minimum(grid, max(most, 1)))


def measure_curves(
    work: Work, machine: Machine, scheduler: Scheduler, mix: Mix, budget: Any, most: int, draft: Draft | None = None
) -> Curves:  # fmt: skip
    """Time a replica of up to so many sequences; ``budget`` may be an array of shape (budgets, 1, 1).

    What drafts reads what a pass verifies, beside prompts, and then makes all but one of its tokens one by one.
    """
    if draft is None:
        return measure_model(work, machine, scheduler, mix, budget, most, 1)
    verifying = measure_model(work, machine, scheduler, mix, budget, most, 1 + draft.tokens)
    if draft.question is None:
        return verifying
    own, its = draft.question.work, draft.question.machine
    reading, making = (measure_model(own, its, scheduler, mix, budget, most, n) for n in (1 + draft.tokens, 1))
    return verifying._replace(
        step_s=verifying.step_s + reading.step_s + (draft.tokens - 1) * making.step_s,
        opening_s=verifying.opening_s + reading.opening_s,
        reading_s=verifying.reading_s + reading.reading_s,
        alone_s=verifying.alone_s + reading.alone_s,
    )


def measure_model(
    work: Work, machine: Machine, scheduler: Scheduler, mix: Mix, budget: Any, most: int, queries: int
) -> Curves:  # fmt: skip
    """Time one model, of whose decoding sequences a pass has so many tokens each."""
    beside = scheduler.policy in BESIDE
    n = choose_grid(most)
    rows = list_rows(scheduler, n, queries)
    a, d, stack = work[:3]

    def time(*segments: Segment, run: tuple[Segment, ...] = ()) -> Array:
        """Seconds of a pass, whose linear layers run ``run`` where graphs pad it."""
        batch, linear = Batch(segments), Batch(run or segments)
        work = Pass(build_linear(a, d, stack, forget_contexts(linear)), list_mixing(a, d, stack, batch))
        return np.asarray(time_pass(work, machine).seconds, dtype=np.float64)

    # All arrays have an axis of prompts and one of sequences, behind which the axes of factors stand in front.
    wide = n[np.newaxis, :]
    decoding, running = (
        Segment(one, float(queries), mix.context_tokens, decodes=True) for one in (wide, rows[np.newaxis, :])
    )
    step_s = time(decoding, run=(running,))
    prompts = mix.prompts[:, np.newaxis]
    fit = np.asarray if scheduler.chunked_prefill else np.floor
    taken = queries * wide if beside else 0.0 * wide
    room = maximum(budget - taken, 1.0) if scheduler.chunked_prefill else prompts + 0.0 * wide
    chunks = ceil(prompts / room)
    tokens = prompts / chunks + 0.0 * wide
    before = (prompts - tokens) / 2
    others = (decoding,) if beside else ()
    base_s = step_s if beside else 0.0
    together = np.clip(np.floor(budget / mix.prompt_tokens) + 0.0 * tokens, 1.0, TOGETHER)
    both = np.concatenate([np.ones_like(together), together], axis=-2)  # one prompt, and several
    twice, after = (np.concatenate([one + 0.0 * together] * 2, axis=-2) for one in (tokens, before))
    read_s = time(Segment(both, twice, after), *others) - base_s
    first_s, more_s = np.split(read_s, 2, axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        each_s = np.where(together > 1, (more_s - first_s) / (together - 1), first_s)
    each_s = np.maximum(each_s, 0.0)
    alone_s = chunks * time(Segment(1.0, tokens, before)) if beside else chunks * first_s
    found = (chunks * each_s, chunks * (first_s - each_s), alone_s, chunks)
    reading, opening, alone, parts = (np.broadcast_to(one, np.broadcast_shapes(np.shape(one), first_s.shape))
                                      for one in found)  # fmt: skip
    whole = opening + reading
    mean_s = whole.mean(axis=-2)
    return Curves(
        n,
        step_s[..., 0, :],
        opening.mean(axis=-2),
        reading.mean(axis=-2),
        alone.mean(axis=-2),
        parts.mean(axis=-2),
        whole.std(axis=-2) / np.maximum(mean_s, 1e-12),
        scheduler,
        np.maximum(fit(np.atleast_2d(budget)[..., 0, :] / mix.prompt_tokens), 1.0),
    )


def list_rows(scheduler: Scheduler, sequences: Array, queries: int) -> Array:
    """Sequences that passes of so many really run: where graphs are captured, those of the next graph."""
    if not scheduler.graph_rows:
        return sequences
    asked = np.round(sequences * queries).astype(np.int64)
    rows = pad_rows(parse_counts(scheduler.graph_rows, "graph_rows"), int(asked.max()))
    return np.array(rows, dtype=np.float64)[asked] / queries
