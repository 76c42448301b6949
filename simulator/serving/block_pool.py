"""The blocks of the KV cache of one replica: free ones, those of running requests, and prefixes kept for later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class BlockPool:
    """Blocks are free, taken by requests, or hold a prefix: then they are shared by all that read it.

    A prefix is a chain of chunks, each named by a hash and of ``chunk_blocks`` blocks. Chunks that no running request
    reads stay until room is needed; then those go first that were read longest ago.
    """

    def __init__(self, total: int, chunk_blocks: int = 1) -> None:
        """All blocks are free."""
        self.total, self.chunk_blocks = total, chunk_blocks
        self.free = total
        self.readers: dict[int, int] = {}  # of each chunk that running requests read: how many
        self.idle: OrderedDict[int, None] = OrderedDict()  # chunks that none reads, the longest unread first

    @property
    def available(self) -> int:
        """Blocks that a request may take: free ones, and those of chunks that none reads."""
        return self.free + len(self.idle) * self.chunk_blocks

    @property
    def used(self) -> int:
        """Blocks of running requests."""
        return self.total - self.free - len(self.idle) * self.chunk_blocks

    def take(self, blocks: int) -> None:
        """Give blocks to a request; ``available`` says how many there are."""
        while self.free < blocks:
            self.idle.popitem(last=False)
            self.free += self.chunk_blocks
        self.free -= blocks

    def give(self, blocks: int) -> None:
        """Take blocks back that hold no prefix."""
        self.free += blocks

    def find(self, chunks: Sequence[int]) -> int:
        """How many of the first chunks of a prompt are there."""
        for place, chunk in enumerate(chunks):
            if chunk not in self.readers and chunk not in self.idle:
                return place
        return len(chunks)

    def count_idle(self, chunks: Sequence[int]) -> int:
        """Blocks of chunks that none reads: available until they are read."""
        return sum(chunk in self.idle for chunk in chunks) * self.chunk_blocks

    def read(self, chunks: Sequence[int]) -> None:
        """A request reads chunks that are there."""
        for chunk in chunks:
            self.idle.pop(chunk, None)
            self.readers[chunk] = self.readers.get(chunk, 0) + 1

    def keep(self, chunks: Sequence[int]) -> list[int]:
        """A request has worked out chunks in blocks of its own: those that were not there become chunks it reads."""
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk not in self.readers and chunk not in self.idle]
        self.readers.update(dict.fromkeys(new, 1))
        return new

    def leave(self, chunks: Sequence[int]) -> None:
        """A request reads chunks no more; the end of a chain is given up before its beginning."""
        for chunk in reversed(chunks):
            self.readers[chunk] -= 1
            if not self.readers[chunk]:
                del self.readers[chunk]
                self.idle[chunk] = None
