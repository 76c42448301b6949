"""Nothing lost, nothing nonsense: changed files, flags and questions, laws that keep their order, kills: one table.

python -m benchmarks.robustness [--seconds 60] [--most 20000] [--seed 0] [--only fuzz|page|orders|kills] [--folder NEW]
                                [--kills 100] [--calibrations 3] [--workers 2] [--add TALLY]
python -m benchmarks.robustness --sum TALLY

Everything is written into one new folder. With ``--add`` each part is also kept as a line of a file, with its seed, and
``--sum`` prints the table of all lines; trials of one seed count once (each hundred of changed files take the next
seed, so begin parts a thousand apart). Exit code 1 where a file or flag ends in a traceback or hang, a kill
loses something, or a law breaks its order where ``orders.KNOWN`` does not say why.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from benchmarks.robustness.fence import enter
from benchmarks.robustness.fuzz import Finding, Found, fuzz
from benchmarks.robustness.kills import kill_side_by_side
from benchmarks.robustness.orders import Orders, check_orders
from benchmarks.robustness.tally import Line, add_line, sum_tally
from benchmarks.robustness.web import Asker, questions

PARTS = ("kills", "orders", "page", "fuzz")
OF_KILLS = {
    "kills after new rows": "after new rows",
    "interrupts of Python's own start": "before a line of ours ran",
}


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
    parser.add_argument("--workers", type=int, default=2, help="of kills, side by side")
    parser.add_argument("--add", type=Path, metavar="TALLY", help="keep each part as a line of this file")
    parser.add_argument("--sum", type=Path, metavar="TALLY", help="run nothing, and print what these lines add up to")
    asked = parser.parse_args()
    if asked.sum is not None:
        print("| tried | times | wrong |\n| --- | --- | --- |", *sum_tally(asked.sum), sep="\n")
        return
    parts = PARTS if asked.only is None else (asked.only,)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="roofcast-fuzz-"))
    wrong = False
    # Opened before the fence, which lets nothing be opened outside of its folder.
    with nullcontext() if asked.add is None else asked.add.open("a", encoding="utf-8") as tally:

        def keep(line: Line) -> None:
            nonlocal wrong
            wrong = wrong or any(line.wrong.values())
            print(line, flush=True)
            if tally is not None:
                add_line(line, tally)

        if "kills" in parts:
            for name in ("sweeps", "simulations", "calibrations"):
                count = asked.calibrations if name == "calibrations" else asked.kills
                if count:
                    keep(count_kills(name, folder, count, asked.seed, asked.workers))
        if "orders" in parts:
            keep(count_orders(check_orders()))
        asker = Asker() if "page" in parts else None  # it opens a socket to itself
        fenced = enter(folder / "cases") if {"page", "fuzz"} & {*parts} else folder  # the last: the fence stays
        if asker is not None:
            found = fuzz(fenced, asked.seconds, asked.most, asked.seed, {"page": questions}, asker.run)
            report(found)
            keep(count_fuzz("questions to the page and its API", found))
        if "fuzz" in parts:
            found = fuzz(fenced, asked.seconds, asked.most, asked.seed)
            report(found)
            keep(count_fuzz("changed files and flags", found))
    sys.exit(wrong)


def count_kills(name: str, folder: Path, count: int, seed: int, workers: int) -> Line:
    """Kill a kind of command so many times."""
    found = kill_side_by_side(name, folder / name, count, seed, workers)
    kills = found.pop("kills")
    of_these = {word: found.pop(key, 0) for key, word in OF_KILLS.items()}
    return Line(f"kills of {name}", (seed, seed + workers - 1), kills, of_these, dict(found))


def count_orders(orders: Orders) -> Line:
    """Checks of order, and the settings in which a law breaks it without a reason that is known."""
    by_law = Counter(one.law for one in orders.broken if not one.known)
    worst = {law: max(one.share for one in orders.broken if one.law == law and not one.known) for law in by_law}
    known = sum(one.known for one in orders.broken)
    wrong = {f"{law} (up to {100 * worst[law]:.1f}%)": count for law, count in sorted(by_law.items())}
    of_these = {"settings broken as real kernels do": known}
    return Line("orders of laws", (0, 0), sum(orders.checks.values()), of_these, wrong)


def count_fuzz(tried: str, found: Found) -> Line:
    """Cases and findings, and the seeds of their batches."""
    seeds = (found.batches[0], found.batches[-1])
    of_these = {"answered": found.ended["answer"]}
    return Line(tried, seeds, found.ended.total(), of_these, count_findings(found))


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
