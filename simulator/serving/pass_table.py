"""Times of a great many passes of one model on one machine, gathered from tables.

``time_pass`` times any batch, in tenths of a millisecond to milliseconds; a simulation runs millions of passes. But
what a pass takes is a sum: the linear layers take what the number of rows says, the head what the number of logits
says, the prompts their own mixing, and each decoding sequence its share of a kernel over as many like it. Each of these
is evaluated once over a whole axis, by the same functions, and then only looked up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.costs.batch import Batch, Segment
from simulator.costs.operators import Operator
from simulator.costs.passes import HostWork, build_linear, list_mixing
from simulator.costs.request import Work
from simulator.costs.structure import Group
from simulator.errors import InputError
from simulator.numbers import Number
from simulator.timing.host import time_host, time_issuing
from simulator.timing.passes import Machine, overlap_host, sum_times, time_groups, time_operators

Array = NDArray[np.float64]
Contexts = NDArray[np.int64]
PROMPTS_KEPT = 2**14  # different sets of prompts whose mixing is remembered
MOST_NUMBERS = 2**24  # kept of the shares of decoding sequences
LEAST_CONTEXT = 2**11  # tokens in a cache up to which shares are worked out at first
TOGETHER = 2**14  # contexts of several numbers of sequences that are worked out at once


class Prompt(NamedTuple):
    """Part of a prompt that a pass reads: new tokens, after so many that are in the cache."""

    new_tokens: int
    context_tokens: int = 0
    needs_logits: bool = True


class Run(NamedTuple):
    """One number of decoding sequences: the share of each by its context, seconds, and the sums of all before.

    ``rest_s``: all else of a pass of them alone; None where the host is beside the device, and the sum does not hold.
    """

    shares: Array
    sums: Array
    rest_s: float | None


NOT_BEGUN: tuple[Contexts | None, Run, float] = (None, Run(np.zeros(0), np.zeros(0), None), 0.0)


def pad_rows(graph_rows: Sequence[int], most: int) -> list[int]:
    """Rows that a pass of so many really runs, for each number up to the most."""
    padded = list(range(most + 1))
    below = 0
    for rows in graph_rows:
        if below >= most:
            break
        padded[below + 1 : rows + 1] = [rows] * (min(rows, most) - below)
        below = rows
    return padded


class PassTable:
    """Times of passes of up to ``max_rows`` tokens, over contexts of up to ``max_context`` tokens.

    Args:
        work: the model as the stack builds it, the layout and the stack; the request in it plays no part.
        machine: the device, and the factors or None for the bound.
        max_rows: most new tokens of one pass.
        max_context: most tokens of one sequence after a pass.
        graph_rows: numbers of rows that graphs were captured for; a pass of fewer runs as the next of them, padded.
        queries: new tokens of a decoding sequence in a pass: one, or one and its draft.
    """

    def __init__(
        self,
        work: Work,
        machine: Machine,
        max_rows: int,
        max_context: int,
        graph_rows: Sequence[int] = (),
        queries: int = 1,
    ) -> None:
        """Evaluate the linear part over all numbers of rows."""
        self.work, self.machine, self.queries = work, machine, queries
        self.padded = pad_rows(graph_rows, max_rows)
        max_rows = max(max_rows, self.padded[-1])
        self.max_rows, self.max_context = max_rows, max_context
        rows = np.arange(1.0, max_rows + 1)
        decoding = self._list_linear(Segment(rows / queries, float(queries), decodes=True))
        reading = self._list_linear(Segment(1.0, rows))
        common = decoding.keys() & reading.keys()
        self.layers = self._sum(decoding, common)
        self.decode_layers = self._sum(decoding, decoding.keys() - common)
        self.prompt_layers = self._sum(reading, reading.keys() - common)
        self.head = self._time_head(rows)
        self.runs: dict[tuple[int, bool], Run] = {}
        self.begun = NOT_BEGUN
        self.length = LEAST_CONTEXT  # contexts of which shares are worked out; it grows as they are reached
        self.whole_prompts: Array | None = None
        self.read_prompts = lru_cache(PROMPTS_KEPT)(self._read_prompts)
        self.find_host = lru_cache(None)(self._find_host)
        self.host = lru_cache(PROMPTS_KEPT)(self._time_host)
        self.serial = lru_cache(PROMPTS_KEPT)(self._time_serial_of)

    def time(self, contexts: Contexts, prompts: tuple[Prompt, ...] = ()) -> float:
        """Seconds of one pass.

        Args:
            contexts: tokens in the cache of each decoding sequence, which adds one; shape (sequences,).
            prompts: what the pass reads of prompts.

        Raises:
            InputError: more rows or longer contexts than the table has.
        """
        decoding = len(contexts)
        if not decoding:
            return float(self._complete(0.0, 0, prompts))
        run = self.find_run(contexts, bool(prompts))
        try:
            mixing_s = float(np.add.reduce(run.shares[contexts]))
        except IndexError:
            run = self._make_runs(contexts, 1, bool(prompts))
            mixing_s = float(np.add.reduce(run.shares[contexts]))
        if prompts or run.rest_s is None:
            return float(self._complete(mixing_s, decoding, prompts))
        return mixing_s + run.rest_s

    def time_run(self, contexts: Contexts, steps: int) -> float:
        """Seconds of ``steps`` passes of the same decoding sequences one after the other, each a token longer.

        Raises:
            InputError: more rows or longer contexts than the table has.
        """
        try:
            return self._time_run(contexts, steps)
        except IndexError:
            self._make_runs(contexts, steps, mixed=False)
            self.begun = NOT_BEGUN
            return self._time_run(contexts, steps)

    def _time_run(self, contexts: Contexts, steps: int) -> float:
        """The same, as far as the run of so many sequences was made."""
        if contexts is not self.begun[0]:  # the same sequences are asked for several numbers of passes
            run = self.find_run(contexts, mixed=False)
            self.begun = (contexts, run, float(np.add.reduce(run.sums[contexts])))
        _, run, before_s = self.begun
        if run.rest_s is not None:
            return steps * run.rest_s + (float(np.add.reduce(run.sums[steps:][contexts])) - before_s)
        each = np.add.reduce(run.shares[contexts[:, np.newaxis] + np.arange(steps)], axis=0)
        return float(np.add.reduce(self._complete(each, len(contexts), ())))

    def split(self, contexts: Contexts) -> dict[str, float]:
        """Seconds of one decode pass by what they go to; they add up to ``time``."""
        rows = self.padded[len(contexts) * self.queries] - 1
        head_s = self.head[len(contexts) * self.queries - 1]
        weights_s = self.layers[rows] + self.decode_layers[rows] + head_s
        whole_s = self.time(contexts)
        cache_s = float(np.add.reduce(self.find_run(contexts, mixed=False).shares[contexts]))
        return {"weights": weights_s, "cache": cache_s, "host": whole_s - weights_s - cache_s}

    def find_run(self, contexts: Contexts, mixed: bool) -> Run:
        """Shares of as many decoding sequences, alone or beside prompts."""
        return self.runs.get((len(contexts), mixed)) or self._make_runs(contexts, 1, mixed)

    def _complete(self, mixing_s: Number, decoding: int, prompts: tuple[Prompt, ...]) -> Number:
        """Seconds of a pass from those of its decoding sequences' mixing."""
        rows = logits = asked = decoding * self.queries
        device_s = mixing_s
        if prompts:
            read = 0
            for prompt in prompts:
                read += prompt.new_tokens
                logits += prompt.needs_logits
            rows += read
            device_s = device_s + (self.read_prompts(prompts) + self.prompt_layers[read - 1])
        if rows > self.max_rows:
            raise InputError(f"a pass of {rows} tokens is past the table's {self.max_rows}")
        device_s = device_s + self.layers[self.padded[rows] - 1]
        if decoding:
            device_s = device_s + self.decode_layers[self.padded[asked] - 1]
        wanted = rows if self.work.stack.logits == "all" else logits
        after_s = (self.head[wanted - 1] if wanted else 0.0) + self._time_serial(decoding, prompts)
        host_s, f = self._find_host_seconds(min(decoding, 1), prompts), self.machine.factors
        if host_s is not None and f is not None:
            device_s = overlap_host(host_s, device_s, self.machine.device, f)
        return device_s + after_s

    def _list_linear(self, segment: Segment) -> dict[str, tuple[Number, Operator]]:
        """Operators of the layers, the embedding and the stages by name, and how often each runs."""
        part = build_linear(*self.work[:3], Batch((segment,)))
        found: dict[str, tuple[Number, Operator]] = {}
        seen: Counter[str] = Counter()
        for layers, operators in [*part.layers, (1, part.embedding + part.stage)]:
            for one in operators:
                seen[one.name] += 1
                found[f"{one.name} {seen[one.name]}"] = (layers, one)
        return found

    def _sum(self, listed: dict[str, tuple[Number, Operator]], names: set[str]) -> list[float]:
        """Seconds of some operators together, by rows."""
        groups: list[Group] = [(count, [one]) for name, (count, one) in listed.items() if name in names]
        total: Array = np.zeros(self.max_rows) + sum_times(time_groups(groups, self.machine))
        return list(total.tolist())

    def _time_head(self, rows: Array) -> list[float]:
        """Seconds after the last layer, by the rows that the head sees."""
        a, d, stack, _ = self.work
        part = build_linear(a, d, stack, Batch((Segment(rows, 1.0, decodes=True),)))
        seconds: Array = np.zeros(len(rows)) + sum_times(time_operators(part.head, 1, self.machine))
        return list(seconds.tolist())

    def _time_serial(self, decoding: int, prompts: tuple[Prompt, ...]) -> float:
        """Host seconds that nothing hides."""
        f = self.machine.factors
        if f is None:
            return 0.0
        read = sum(prompt.new_tokens for prompt in prompts) if self.work.stack.encodes_text else 0
        return self.serial(min(decoding, 1), min(len(prompts), 1), decoding + len(prompts), read)

    def _time_serial_of(self, decoding: int, prompts: int, sequences: int, read: int) -> float:
        """The same by whether sequences decode and prompts are read, how many in all, and the tokens of text."""
        assert self.machine.factors is not None
        counted = self.find_host(decoding, prompts)._replace(sequences=float(sequences), encoded_tokens=float(read))
        return float(time_host(counted, [], self.machine.factors)[1])

    def _find_host(self, decoding: int, prompts: int) -> HostWork:
        """What the host does for a pass of decoding sequences, of prompts or of both."""
        return build_linear(*self.work[:3], self._make_batch(decoding, (Prompt(1),) * prompts)).host

    def _find_host_seconds(self, decoding: int, prompts: tuple[Prompt, ...]) -> float | None:
        """Host seconds beside the device. Fused attention has as many kernels for a long prompt as for a short one."""
        if self.work.stack.unfused_attention is None:
            prompts = (Prompt(1),) * len(prompts)
        return self.host(decoding, prompts)

    def _time_host(self, decoding: int, prompts: tuple[Prompt, ...]) -> float | None:
        """Host seconds beside the device; None where it issues no kernels one by one."""
        f = self.machine.factors
        batch = self._make_batch(decoding, prompts)
        part = build_linear(*self.work[:3], batch)
        if f is None or not part.host.eager:
            return None
        issuing = time_issuing(list_mixing(*self.work[:3], batch), f)
        return float(time_host(part.host, part.layers, f)[0] + issuing)

    def _make_batch(self, decoding: int, prompts: tuple[Prompt, ...]) -> Batch:
        """A batch of so many equal decoding sequences, and prompts: where their scores are written, padded to one."""
        segments = [
            Segment(1.0, float(one.new_tokens), float(one.context_tokens), needs_logits=one.needs_logits)
            for one in prompts
        ]
        if prompts and self.work.stack.unfused_attention is not None:
            longest = max(segments, key=lambda one: one.reached)
            segments = [longest._replace(sequences=float(len(prompts)))]
        if decoding:
            segments.append(Segment(float(decoding), float(self.queries), 1.0, decodes=True))
        return Batch(tuple(segments))

    def _read_prompts(self, prompts: tuple[Prompt, ...]) -> float:
        """Seconds of the mixing of prompts."""
        if len(prompts) == 1 and not prompts[0].context_tokens:
            if self.whole_prompts is None:
                rows = np.arange(1.0, self.max_rows + 1)
                groups = list_mixing(*self.work[:3], Batch((Segment(1.0, rows),)))
                self.whole_prompts = np.zeros(len(rows)) + self._time_mixing(groups)
            return float(self.whole_prompts[prompts[0].new_tokens - 1])
        return float(self._time_mixing(list_mixing(*self.work[:3], self._make_batch(0, prompts))))

    def _time_mixing(self, groups: list[Group]) -> Number:
        """Seconds of mixing in all layers."""
        return sum_times(time_groups(groups, self.machine))

    def _make_runs(self, contexts: Contexts, steps: int, mixed: bool) -> Run:
        """Shares of as many decoding sequences by the tokens in a cache, up to a power of two that these do not reach.

        Where the contexts are few, those of the next numbers of sequences too, which will be asked for.

        Raises:
            InputError: these reach past the contexts that the table has.
        """
        reached = int(contexts.max()) + steps
        if reached > self.max_context:
            raise InputError(f"a context is past the table's {self.max_context} tokens")
        self.length = length = min(max(2 ** reached.bit_length(), self.length), self.max_context)
        near = max(TOGETHER // length, 1)
        first = (len(contexts) - 1) // near * near + 1
        most = max((len(self.padded) - 1) // self.queries, len(contexts))
        numbers = range(first, min(first + near, most + 1))
        for number in numbers:
            self.runs.pop((number, mixed), None)
        while self.runs and self.count_numbers() + 2 * length * len(numbers) > MOST_NUMBERS:
            del self.runs[next(iter(self.runs))]  # that was made first
        several = np.array(numbers, dtype=np.float64)[:, np.newaxis]
        sequences = Segment(several, float(self.queries), np.arange(float(length)), decodes=True)
        beside = self._make_batch(0, (Prompt(1),)).segments if mixed else ()
        together = self._time_mixing(list_mixing(*self.work[:3], Batch((*beside, sequences))))
        if mixed:
            together = together - self.read_prompts((Prompt(1),))
        adds_up = not mixed and self.host(1, ()) is None
        for number, shares in zip(numbers, np.zeros((len(numbers), length)) + together / several, strict=True):
            sums = shares[:0] if mixed else np.concatenate([[0.0], np.cumsum(shares)])
            rest_s = float(self._complete(0.0, number, ())) if adds_up else None
            self.runs[number, mixed] = Run(shares, sums, rest_s)
        return self.runs[len(contexts), mixed]

    def count_numbers(self) -> int:
        """Numbers that are kept of all shares."""
        return sum(len(run.shares) + len(run.sums) for run in self.runs.values())
