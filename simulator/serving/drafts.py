"""Speculative decoding: a cheap draft of the next tokens, which one pass of the model verifies.

A pass keeps a draft up to its first wrong token, and makes one more of its own. Where each token of a draft is right
with probability ``a``, independently, a pass of ``k`` drafted tokens makes (1 - a^(k+1)) / (1 - a) on the mean
(Leviathan et al. 2023, arXiv 2211.17192, equation 1).

What makes the draft: a smaller model; ``mtp``, one more layer of the model itself with its head, run once for each
token (DeepSeek-V3, arXiv 2412.19437, section 2.2); or ``ngram``, a search of the text, which takes no time. A drafting
model first reads what the last pass verified, beside new prompts, then makes one token a pass, as vLLM and SGLang run
it. It runs by the same law on the same devices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from simulator.costs.footprint import count_kv_bytes, count_state_numbers, count_weight_bytes
from simulator.errors import InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.workload import Workload
from simulator.metrics.pool import Pool
from simulator.prediction import Question, resolve
from simulator.serving.clock import Clock
from simulator.serving.pass_table import Prompt
from simulator.serving.state import Counts

HEADS, SEARCH = "mtp", "ngram"
FAR = 2**16  # tokens over which a cache that grows is measured
STREAM = 2  # of the random numbers of a seed, after lengths and arrivals


class Draft(NamedTuple):
    """How many tokens are drafted for each sequence, how likely each is right, and the model that drafts, if any.

    ``shares_tables``: it uses the token table and the head of the model that it drafts for.
    """

    tokens: int
    acceptance: float
    name: str
    question: Question | None
    shares_tables: bool = False

    @property
    def made(self) -> float:
        """Tokens that a pass makes for a sequence on the mean."""
        a, most = self.acceptance, self.tokens + 1
        return float(most) if a == 1 else (1 - a**most) / (1 - a)

    def describe(self) -> str:
        """In words."""
        return f"drafts of {self.tokens} by {self.name}, each token right at {100 * self.acceptance:g}%"

    def count_weight_bytes(self) -> float:
        """Of the drafting model on each device."""
        if self.question is None:
            return 0.0
        a, d, stack, _ = self.question.work
        own = count_weight_bytes(a, d, stack)
        if self.shares_tables:  # what one more such layer takes
            own = count_weight_bytes(repeat_layer(a, 2), d, stack) - own
        return float(own)

    def shrink(self, pool: Pool) -> int:
        """Blocks of a cache in which the drafting model keeps its own tokens, beside its weights."""
        if self.question is None or not pool.tokens:
            return pool.blocks
        work = self.question.work
        each = float(count_kv_bytes(work.architecture, work.deployment, FAR)) / FAR
        per_token = pool.bytes / pool.tokens
        left = 1 - self.count_weight_bytes() / pool.bytes
        return max(int(pool.blocks * left * per_token / (per_token + each)), 0)


class Acceptance:
    """Draws how much of each draft is right."""

    def __init__(self, draft: Draft, seed: int) -> None:
        """The same seed, the same draws."""
        self.tokens, self.share = draft.tokens, draft.acceptance
        self.random = np.random.default_rng((seed, STREAM))

    def draw(self, sequences: int) -> Counts:
        """Right tokens at the beginning of the draft of each sequence."""
        right = self.random.random((sequences, self.tokens)) < self.share
        return np.asarray(np.cumprod(right, axis=1).sum(axis=1), dtype=np.int64)


class DraftedClock:
    """Passes that verify drafts, each after the passes that make them.

    ``reading`` times the pass of the drafting model over what was verified, ``making`` those of one token after it.
    """

    def __init__(self, verifying: Clock, reading: Clock, making: Clock, tokens: int) -> None:
        self.verifying, self.reading, self.making, self.tokens = verifying, reading, making, tokens

    def time(self, contexts: Counts, prompts: tuple[Prompt, ...] = ()) -> float:
        """Seconds of one pass and of its draft."""
        seconds = self.verifying.time(contexts, prompts) + self.reading.time(contexts, prompts)
        if len(contexts) and self.tokens > 1:
            seconds += self.making.time_run(contexts + 1, self.tokens - 1)
        return seconds

    def time_run(self, contexts: Counts, steps: int) -> float:
        """Seconds of passes one after the other, of which each keeps one token."""
        return sum(self.time(contexts + step) for step in range(steps))


def find_draft(question: Question, name: str | None, tokens: int | None, acceptance: float | None) -> Draft | None:
    """The draft that options ask for; None where they ask for none.

    Raises:
        InputError: a part of what a draft needs is missing or wrong, or the model cannot be drafted for.
    """
    given = {"draft": name, "draft_tokens": tokens, "acceptance": acceptance}
    if all(value is None for value in given.values()):
        return None
    missing = [option for option, value in given.items() if value is None]
    if missing or name is None or tokens is None or acceptance is None:
        raise InputError(
            f"speculative decoding needs draft, draft_tokens and acceptance; {' and '.join(missing)} is missing"
        )
    if isinstance(acceptance, bool) or not isinstance(acceptance, int | float) or not 0 <= acceptance <= 1:
        raise InputError(f"acceptance is {acceptance}; it must be a share within 0 to 1")
    a, d, stack, _ = question.work
    if d.pp != 1:
        raise InputError("speculative decoding over pipeline stages is not known; --pp 1")
    if float(count_state_numbers(a, d)):
        raise InputError(
            f"{question.model_label} has recurrent layers, whose states a wrong draft would spoil; no --draft"
        )
    if stack.scheduler is not None and stack.scheduler.policy == "static":
        raise InputError(f"stack {stack.id} runs static batches, for which drafts are not known")
    if name == SEARCH:
        return Draft(tokens, acceptance, name, None)
    if name == HEADS:
        work = question.work._replace(architecture=repeat_layer(a, 1))
        return Draft(tokens, acceptance, name, replace(question, work=work), True)
    layout = Deployment(d.tp, 1, d.dp)
    drafting = resolve(name, question.hardware, question.profile or "none", stack, layout, Workload(1, 1, 1))
    return Draft(tokens, acceptance, drafting.model.id, drafting)


def repeat_layer(a: Architecture, count: int) -> Architecture:
    """A model of so many of the last layer of another."""
    group = a.groups[-1]
    layers = None if a.layers is None else (replace(group, count=count, copies=None),)
    return replace(a, num_hidden_layers=count, layers=layers)
