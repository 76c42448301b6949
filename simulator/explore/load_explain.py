"""Where the time of a request goes under load: the first token, and every other one.

``TTFT = queue + prefill + interference``: from the arrival until a part of the prompt is read; what the prompt takes
alone on the engine; and what it waits for others while it is read. ``TPOT = weights + cache + host + draft +
interference``: the first four of a decode pass of as many sequences as an output token finds beside it on the mean, at
their mean context; and what is left, which is the passes, or the parts of passes, that read the prompts of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from simulator.serving.pass_table import Prompt
from simulator.serving.setup import Setup
from simulator.serving.simulation import Simulation
from simulator.shown import Shown

MEANINGS = {
    "queue": "waits until a part of its prompt is read",
    "prefill": "its own prompt, alone on the engine",
    "interference": "others, while its prompt is read",
    "weights": "products with weights, and kernels around them",
    "cache": "attention over all caches of a pass",
    "host": "the host, as far as a pass waits for it",
    "draft": "passes of the model that drafts",
    "prompts": "prompts of others, between or beside",
}


@dataclass(frozen=True)
class LoadExplanation(Shown):
    """A simulation, and the parts of its mean TTFT and mean TPOT, seconds; they add up."""

    simulation: Simulation

    @cached_property
    def ttft_s(self) -> dict[str, float]:
        """Parts of the mean time to first token."""
        o, setup = self.simulation.outcome, self.simulation.setup
        inside = o.first_s - o.admitted_s
        alone = {tokens: time_alone(setup, tokens) for tokens in np.unique(o.input_tokens).tolist()}
        own = np.minimum([alone[tokens] for tokens in o.input_tokens.tolist()], inside)  # a cache may have some of it
        queue, prefill = float(np.mean(o.admitted_s - o.arrival_s)), float(np.mean(own))
        return {"queue": queue, "prefill": prefill, "interference": float(np.mean(inside)) - prefill}

    @cached_property
    def tpot_s(self) -> dict[str, float]:
        """Parts of the mean time per output token; none where every request has one token."""
        o, setup = self.simulation.outcome, self.simulation.setup
        several = o.output_tokens > 1
        if not several.any():
            return {}
        spans, running = o.find_spans(1)
        beside = float(np.average(running, weights=spans * running)) / setup.question.work.deployment.dp
        context = np.average(o.input_tokens + o.output_tokens / 2, weights=o.output_tokens)
        contexts = np.full(max(round(beside), 1), round(float(context)))
        made = 1.0 if setup.draft is None else setup.draft.made
        parts = {name: seconds / made for name, seconds in setup.table.split(contexts).items()}
        if setup.draft is not None:
            parts["draft"] = (setup.clock.time(contexts) - setup.table.time(contexts)) / made
        left = self.simulation.values["tpot_s_mean"] - sum(parts.values())
        return parts | {"prompts": left}

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row a part."""
        rows = []
        for of, parts in (("ttft_s", self.ttft_s), ("tpot_s", self.tpot_s)):
            whole = sum(parts.values())
            rows += [
                {"of": of, "part": name, "seconds": seconds, "share": seconds / whole, "meaning": MEANINGS[name]}
                for name, seconds in parts.items()
            ]
        return rows

    def __repr__(self) -> str:
        """The largest part of each."""
        most = [
            f"{of} mostly {max(p, key=lambda n: p[n])}" for of, p in (("TTFT", self.ttft_s), ("TPOT", self.tpot_s)) if p
        ]
        return f"LoadExplanation({', '.join(most)}; {self.simulation!r})"


def time_alone(setup: Setup, tokens: int) -> float:
    """Seconds that a prompt takes on an engine that does nothing else, in as many passes as the budget makes of it."""
    budget, nothing = setup.limits.max_num_batched_tokens, np.zeros(0, dtype=np.int64)
    starts = range(0, tokens, budget) if setup.scheduler.chunked_prefill else [0]
    seconds = 0.0
    for start in starts:
        new = min(tokens - start, budget) if setup.scheduler.chunked_prefill else tokens
        seconds += setup.clock.time(nothing, (Prompt(new, start, start + new == tokens),))
    return seconds
