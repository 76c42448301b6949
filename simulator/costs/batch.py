"""What one forward pass runs: a batch of segments, each some sequences that are alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from simulator.numbers import Number


class Segment(NamedTuple):
    """Sequences of a pass that are alike: each adds ``new_tokens`` to a cache that holds ``context_tokens`` of it.

    ``decodes``: the new token is an output token of the pass before, so the kernels for one query a sequence serve it;
    more than one: a draft follows it, of which each token is verified.
    ``needs_logits``: a next token is wanted of each sequence; not so of a chunk of a prompt that is not its last.
    ``alike``: the sequences are the same text.
    """

    sequences: Number
    new_tokens: Number
    context_tokens: Number = 0.0
    decodes: bool = False
    needs_logits: bool = True
    alike: bool = False

    @property
    def rows(self) -> Number:
        """Rows that the linear layers see."""
        return self.sequences * self.new_tokens

    @property
    def reached(self) -> Number:
        """Tokens of each sequence after the pass."""
        return self.context_tokens + self.new_tokens


class Batch(NamedTuple):
    """The segments of one forward pass."""

    segments: tuple[Segment, ...]

    @property
    def rows(self) -> Number:
        """New tokens of all sequences: rows of every linear layer."""
        return add(segment.rows for segment in self.segments)

    def count_distinct(self, replicas: Number) -> Number:
        """New tokens that differ from each other, of so many replicas that each run such a batch."""
        return add(segment.new_tokens if segment.alike else segment.rows * replicas for segment in self.segments)

    @property
    def sequences(self) -> Number:
        """Sequences of all segments."""
        return add(segment.sequences for segment in self.segments)

    @property
    def logits(self) -> Number:
        """Rows whose next token is wanted: of a prompt the last, of an output token and its draft all."""
        wanted = [segment for segment in self.segments if segment.needs_logits]
        return add(segment.rows if segment.decodes else segment.sequences for segment in wanted)

    @property
    def decoding(self) -> tuple[Segment, ...]:
        """Segments of an output token, and its draft, after a cache."""
        return tuple(segment for segment in self.segments if segment.decodes)

    @property
    def prompts(self) -> tuple[Segment, ...]:
        """Segments that read prompts, whole or in chunks."""
        return tuple(segment for segment in self.segments if not segment.decodes)


def prefill_batch(prompt_tokens: Number, sequences: Number, alike: bool = False) -> Batch:
    """The pass that reads whole prompts."""
    return Batch((Segment(sequences, prompt_tokens, alike=alike),))


def decode_batch(reached: Number, sequences: Number, alike: bool = False) -> Batch:
    """The pass of one new token a sequence, after which each has ``reached`` tokens."""
    return Batch((Segment(sequences, 1, reached - 1, decodes=True, alike=alike),))


def add(numbers: Iterable[Number]) -> Number:
    """Sum of numbers, the first of which is left as it is."""
    total: Number = 0
    for place, number in enumerate(numbers):
        total = number if place == 0 else total + number
    return total
