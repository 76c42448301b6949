"""Nothing lost, nothing nonsense: changed files, flags and questions, laws that keep their order, kills: one table.

python -m benchmarks.robustness [--seconds 60] [--most 20000] [--seed 0] [--only fuzz|page|orders|kills] [--folder NEW]
                                [--kills 100] [--calibrations 3]

Everything is written into one new folder. Exit code 1 where a file or flag ends in a traceback or hang, a kill loses
something, or a law breaks its order where ``orders.KNOWN`` does not say why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks.robustness.fence import enter
from benchmarks.robustness.fuzz import Finding, Found, fuzz
from benchmarks.robustness.kills import kill_all
from benchmarks.robustness.orders import Orders, check_orders
from benchmarks.robustness.web import Asker, questions

PARTS = ("kills", "orders", "page", "fuzz")


class Line(NamedTuple):
    """One line of the table: what was tried, how often, and what was wrong, by kind."""

    tried: str
    times: int
    wrong: dict[str, int]


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of changed files and flags")
    parser.add_argument("--most", type=int, default=20_000, help="changed files and flags")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--folder", type=Path, help="a new one")
    parser.add_argument("--kills", type=int, default=100, help="of sweeps, and of simulations")
    parser.add_argument("--calibrations", type=int, default=3, help="kills of calibrations, each half a minute")
    asked = parser.parse_args()
    parts = PARTS if asked.only is None else (asked.only,)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="roofcast-fuzz-"))
    lines: list[Line] = []
    if "kills" in parts:
        for name, count in (
            ("sweeps", asked.kills),
            ("simulations", asked.kills),
            ("calibrations", asked.calibrations),
        ):
            lines += [show(count_kills(name, folder, count, asked.seed))] if count else []
    if "orders" in parts:
        lines.append(show(count_orders(check_orders())))
    asker = Asker() if "page" in parts else None  # it opens a socket to itself
    fenced = enter(folder / "cases") if {"page", "fuzz"} & {*parts} else folder  # the last: the fence stays
    if asker is not None:
        found = fuzz(fenced, asked.seconds, asked.most, asked.seed, {"page": questions}, asker.run)
        report(found)
        lines.append(show(Line("questions to the page and its API", found.ended.total(), count_findings(found))))
    if "fuzz" in parts:
        found = fuzz(fenced, asked.seconds, asked.most, asked.seed)
        report(found)
        lines.append(show(Line("changed files and flags", found.ended.total(), count_findings(found))))
    sys.exit(any(any(line.wrong.values()) for line in lines))


def show(line: Line) -> Line:
    """Print a line of the table as soon as it is known."""
    wrong = ", ".join(f"{count} {kind}" for kind, count in line.wrong.items() if count) or "nothing"
    print(f"| {line.tried} | {line.times:,} | {wrong} |", flush=True)
    return line


def count_kills(name: str, folder: Path, count: int, seed: int) -> Line:
    """Kill a kind of command so many times."""
    own = folder / name
    own.mkdir(parents=True)
    began = time.monotonic()
    found = kill_all(name, own, count, seed)
    fresh = found.pop("kills after new rows", 0)
    kills = found.pop("kills")
    early = found.pop("interrupts of Python's own start", 0)
    after = f", {early} of them before a line of ours ran" if early else ""
    after += f", {fresh} of them after new rows" if fresh else ""
    return Line(f"kills of {name}{after}, {time.monotonic() - began:.0f} s", kills, dict(found))


def count_orders(orders: Orders) -> Line:
    """Checks of order, and the settings in which a law breaks it without a reason that is known."""
    by_law = Counter(one.law for one in orders.broken if not one.known)
    worst = {law: max(one.share for one in orders.broken if one.law == law) for law in by_law}
    known = sum(one.known for one in orders.broken)
    wrong = {f"{law} (up to {100 * worst[law]:.1f}%)": count for law, count in sorted(by_law.items())}
    return Line(f"orders of laws, {known} settings broken as real kernels do", sum(orders.checks.values()), wrong)


def count_findings(found: Found) -> dict[str, int]:
    """What went wrong, by kind."""
    return dict(Counter(one.kind for one in found.findings))


def report(found: Found) -> None:
    """Print how cases ended, and each different finding once with its command."""
    print(f"{found.ended.total()} cases: " + ", ".join(f"{count} {end}" for end, count in found.ended.most_common()))
    seen: dict[tuple[str, str], Finding] = {}
    for one in found.findings:
        seen.setdefault((one.kind, one.where), one)
    for (kind, where), one in seen.items():
        count = sum((other.kind, other.where) == (kind, where) for other in found.findings)
        print(f"{count:4} {kind:10} {where}\n     {' '.join(map(repr, one.case.words))[:300]}")
        for name, text in one.case.files.items():
            print(f"     {name}: {text[:200]!r}")


if __name__ == "__main__":
    main()
