"""Where an engine stands: who waits, who runs, how far each request is, and which blocks it has."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.frozen import frozen_dataclass
from simulator.serving.block_pool import BlockPool

Counts = NDArray[np.int64]
Seconds = NDArray[np.float64]


@frozen_dataclass(eq=False)
class Requests:
    """What is asked, by request in the order of arrival; ``chunks`` are the hashes of each prompt's prefix.

    A chunk has ``chunk_tokens`` tokens; None: prompts share nothing.
    """

    input_tokens: Counts
    output_tokens: Counts
    chunks: list[tuple[int, ...]] | None = None
    chunk_tokens: int = 0

    def __len__(self) -> int:
        """How many requests."""
        return len(self.input_tokens)


class Limits(NamedTuple):
    """What one pass and the engine hold at most."""

    max_num_batched_tokens: int
    max_num_seqs: int


class Chunk(NamedTuple):
    """What a pass reads of a prompt: so many tokens after those in the cache; ``last``: the first output follows."""

    request: int
    new_tokens: int
    context_tokens: int
    last: bool


class Step(NamedTuple):
    """What the next pass runs: parts of prompts, and all decoding sequences or none."""

    prompts: tuple[Chunk, ...]
    decodes: bool


def extend(values: Counts, more: list[int]) -> Counts:
    """A copy with some more at its end; ``np.concatenate`` takes four times as long for a few."""
    count = len(values)
    longer = np.empty(count + len(more), dtype=np.int64)
    longer[:count] = values
    longer[count:] = more
    return longer


class State:
    """One engine. Decoding sequences are arrays in the order of admission, which are replaced and never changed.

    ``contexts`` are the tokens in the cache of each, after ``steps`` decode passes; it is done after pass ``end``.
    ``padding`` are those of finished sequences that a static batch still runs. ``partial`` is the request whose
    prompt is read in part, with the tokens done. ``leaving`` are finished requests whose end is not yet known to the
    scheduler. ``reserves``: a request owns from its start the blocks that it will need at its end. Beside an output
    token each decoding sequence has a draft of ``draft_tokens``.
    """

    def __init__(
        self,
        requests: Requests,
        limits: Limits,
        pool: BlockPool,
        blocks_of: Counts,
        block_tokens: int = 16,
        reserves: bool = False,
        draft_tokens: int = 0,
    ) -> None:
        """Nothing runs and nothing waits."""
        self.draft_tokens = draft_tokens
        self.requests, self.limits, self.pool = requests, limits, pool
        self.block_tokens, self.reserves = block_tokens, reserves
        self.blocks_of = blocks_of  # by the tokens in the cache of a sequence
        self.waiting: deque[int] = deque()
        self.partial: tuple[int, int] | None = None
        self.ids = self.contexts = self.end = np.zeros(0, dtype=np.int64)
        self.padding: Counts = np.zeros(0, dtype=np.int64)
        self.steps = 0
        self.next_end = 0  # the pass after which the first decoding sequence is done
        self.one_pass: tuple[Counts, int] = (self.contexts, 0)  # the growth of one pass, from which contexts
        self.grown = 0  # blocks by the tokens in the caches of the decoding sequences
        self.generated: dict[int, int] = {}  # tokens that preempted requests had generated
        self.held: dict[int, list[int]] = {}  # chunks that running requests read
        self.leaving: list[int] = []
        self.handed: set[int] = set()  # waiting requests whose prompts another engine has read
        self.preemptions: dict[int, int] = {}
        self.blocked = False  # the first in the queue enters only once a running request is done
        self.input = requests.input_tokens.tolist()
        self.output = requests.output_tokens.tolist()

    @property
    def running(self) -> int:
        """Sequences that hold a place."""
        return len(self.ids) + (self.partial is not None) + len(self.leaving)

    def count_goal(self, request: int) -> int:
        """Tokens to read before the next output: the prompt, and after a preemption what had been generated."""
        return int(self.input[request] + self.generated.get(request, 0))

    def count_owned(self, request: int, tokens: int) -> int:
        """Blocks of its own that a request with so many tokens in the cache has."""
        reached = self.input[request] + self.output[request] - 1 if self.reserves else tokens
        return int(self.blocks_of[reached]) - len(self.held.get(request, ())) * self.pool.chunk_blocks

    def count_growth(self, passes: int) -> int:
        """Blocks that the decoding sequences need for so many more passes."""
        if self.reserves or not len(self.ids):
            return 0
        if passes == 1:
            if self.one_pass[0] is not self.contexts:
                self.one_pass = (self.contexts, self.sum_growth(1))
            return self.one_pass[1]
        return self.sum_growth(passes)

    def sum_growth(self, passes: int) -> int:
        """``count_growth`` over all decoding sequences."""
        if self.draft_tokens:  # one pass, of which all tokens may be kept
            most = np.minimum(passes + self.draft_tokens, self.end - self.steps)
            return self.count_blocks(self.contexts + most) - self.grown
        return int(np.add.reduce(self.blocks_of[passes:][self.contexts])) - self.grown

    def count_blocks(self, contexts: Counts) -> int:
        """Blocks of sequences with so many tokens each in their caches."""
        return int(np.add.reduce(self.blocks_of[contexts]))

    def note_passes(self, passes: int) -> None:
        """So many decode passes were run; the blocks of the first were taken when it was planned."""
        grown = self.count_growth(passes)
        if passes > 1:
            self.pool.take(grown - self.count_growth(1))
        self.steps += passes
        self.contexts = self.contexts + passes
        if len(self.padding):
            self.padding = self.padding + passes
        self.grown += grown

    def note_drafts(self, accepted: Counts) -> Counts:
        """A pass was run in which so many tokens of each draft were right; how many were kept, of those still wanted.

        The blocks of whole drafts were taken when it was planned; those that were not needed are given back.
        """
        taken = self.grown + self.count_growth(1)
        self.steps += 1
        kept = np.minimum(accepted, self.end - self.steps)
        self.arrange(self.ids, self.contexts + (1 + kept), self.end - kept)
        if not self.reserves:
            self.pool.give(taken - self.grown)
        return kept

    def take_ended(self, as_padding: bool) -> list[int]:
        """Take out the requests that made their last token; as padding they run on."""
        going = self.end > self.steps
        ended: list[int] = self.ids[~going].tolist()
        if as_padding:
            self.padding = np.concatenate([self.padding, self.contexts[~going]])
        self.select(going)
        return ended

    def enter(self, request: int, most_tokens: int, whole: bool) -> Chunk | None:
        """Admit a waiting request with at most so many tokens of its prompt; None where the blocks are not there.

        ``whole``: those of the whole prompt must be there. What earlier prompts left in the cache is not read again.
        """
        goal, pool = self.count_goal(request), self.pool
        chunks = self.find_chunks(request)
        found = chunks[: pool.find(chunks)]
        hit = min(len(found) * self.requests.chunk_tokens, goal - 1)
        new = min(goal - hit, most_tokens)
        tokens = goal if whole else hit + new
        if self.reserves:
            tokens = self.input[request] + self.output[request] - 1
        shared = len(found) * pool.chunk_blocks
        if int(self.blocks_of[tokens]) - shared > pool.available - pool.count_idle(found):
            return None
        if found:
            pool.read(found)
            self.held[request] = list(found)
        pool.take(max(self.count_owned(request, hit + new), 0))
        return Chunk(request, new, hit, hit + new == goal)

    def take_handed(self) -> list[int]:
        """Let the first in the queue decode whose prompts another engine has read, as far as there is room."""
        taken: list[int] = []
        while self.waiting and self.waiting[0] in self.handed and self.running < self.limits.max_num_seqs:
            request = self.waiting[0]
            if int(self.blocks_of[self.input[request] + 1]) > self.pool.available:
                break
            self.pool.take(self.count_owned(request, self.input[request]))
            self.handed.discard(self.waiting.popleft())
            self.start_decoding([request])
            taken.append(request)
        return taken

    def find_chunks(self, request: int) -> tuple[int, ...]:
        """Hashes of the prompt's whole chunks."""
        if self.requests.chunks is None:
            return ()
        return self.requests.chunks[request][: self.input[request] // self.requests.chunk_tokens]

    def extend(self, most_tokens: int) -> Chunk | None:
        """Read on in the prompt that is read in part; None where the blocks are not there."""
        assert self.partial is not None
        request, done = self.partial
        goal = self.count_goal(request)
        new = min(goal - done, most_tokens)
        needed = self.count_owned(request, done + new) - self.count_owned(request, done)
        if needed > self.pool.available:
            return None
        self.pool.take(needed)
        return Chunk(request, new, done, done + new == goal)

    def preempt(self, place: int = -1) -> None:
        """Put a decoding sequence back to the head of the queue, without its blocks; it will be read again."""
        request = int(self.ids[place])
        context = int(self.contexts[place])
        self.generated[request] = context - self.input[request] + 1
        self.drop_blocks(request, context)
        self.requeue(request)
        keep = np.ones(len(self.ids), dtype=bool)
        keep[place] = False
        self.select(keep)

    def preempt_partial(self) -> None:
        """Put the request whose prompt is read in part back to the head of the queue."""
        assert self.partial is not None
        self.drop_blocks(*self.partial)
        self.requeue(self.partial[0])
        self.partial = None

    def requeue(self, request: int) -> None:
        """Put a preempted request first."""
        self.waiting.appendleft(request)
        self.preemptions[request] = self.preemptions.get(request, 0) + 1

    def drop_blocks(self, request: int, tokens: int) -> None:
        """Take the blocks of a request back."""
        self.pool.give(self.count_owned(request, tokens))
        self.pool.leave(self.held.pop(request, ()))

    def select(self, keep: NDArray[np.bool_]) -> None:
        """Keep some of the decoding sequences."""
        self.arrange(self.ids[keep], self.contexts[keep], self.end[keep])

    def arrange(self, ids: Counts, contexts: Counts, end: Counts) -> None:
        """Set the decoding sequences."""
        self.ids, self.contexts, self.end = ids, contexts, end
        self.next_end = int(end[end.argmin()]) if len(ids) else 0
        self.grown = self.count_blocks(contexts)

    def start_decoding(self, requests: list[int]) -> None:
        """Requests whose prompts are read, and that have more outputs to make, decode from now on."""
        contexts = [self.count_goal(request) for request in requests]
        end = [self.steps + self.output[one] - 1 - self.generated.get(one, 0) for one in requests]
        self.next_end = min(self.next_end, *end) if len(self.ids) else min(end)
        self.ids, self.contexts, self.end = (
            extend(known, added) for known, added in ((self.ids, requests), (self.contexts, contexts), (self.end, end))
        )
        self.grown += sum(int(self.blocks_of[tokens]) for tokens in contexts)

    def keep_prefix(self, request: int) -> None:
        """Leave the chunks of a prompt that is read to those that come."""
        chunks = self.find_chunks(request)
        if chunks:
            held = self.held.setdefault(request, [])
            held += self.pool.keep(chunks[len(held) :])

    def release(self) -> None:
        """Take back what requests have that are known to be done."""
        for request in self.leaving:
            self.drop_blocks(request, self.input[request] + self.output[request] - 1)
        self.leaving = []
