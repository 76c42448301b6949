"""Parts of a long trial, each a line of a file with the seeds that it drew from, and their sum as a table."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class Line:
    """What was tried, how often, how many of these were such and such, and what was wrong, by kind."""

    tried: str
    seeds: tuple[int, int]  # first and last that were drawn from
    times: int
    of_these: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """A row of the table."""
        parts = "".join(f", {count:,} {what}" for what, count in self.of_these.items() if count)
        wrong = ", ".join(f"{count} {kind}" for kind, count in self.wrong.items() if count) or "nothing"
        return f"| {self.tried}{parts} | {self.times:,} | {wrong} |"


def add_line(line: Line, file: TextIO) -> None:
    """Keep a line in a file that is open."""
    file.write(json.dumps(asdict(line)) + "\n")
    file.flush()


def sum_tally(path: Path) -> list[Line]:
    """The lines of a file, those of one kind added up.

    Raises:
        SystemExit: two parts of one kind drew from the same seed, and would count the same trials twice.
    """
    parts: dict[str, list[Line]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        read = json.loads(text)
        line = Line(**read | {"seeds": tuple(read["seeds"])})
        for other in parts.setdefault(line.tried, []):
            if line.seeds[0] <= other.seeds[1] and other.seeds[0] <= line.seeds[1]:
                raise SystemExit(f"{path}: {line.tried} of seeds {line.seeds} and {other.seeds} are the same trials")
        parts[line.tried].append(line)
    return [add_up(lines) for lines in parts.values()]


def add_up(lines: list[Line]) -> Line:
    """Parts of one kind as one."""
    of_these: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for line in lines:
        of_these.update(line.of_these)
        wrong.update(line.wrong)
    seeds = (min(line.seeds[0] for line in lines), max(line.seeds[1] for line in lines))
    return Line(lines[0].tried, seeds, sum(line.times for line in lines), dict(of_these), dict(wrong))
