"""python -m benchmarks.robustness [--seconds 60] [--most 20000] [--seed 0] [--folder NEW] [--only fuzz|orders|kills]

Changed files and flags, laws that keep their order, and kills, in one table. Exit code 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.robustness.fence import enter
from benchmarks.robustness.fuzz import Found, fuzz


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--most", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = enter(asked.folder or Path(tempfile.mkdtemp(prefix="roofcast-fuzz-"), "cases"))
    found = fuzz(folder, asked.seconds, asked.most, asked.seed)
    report(found)
    sys.exit(bool(found.findings))


def report(found: Found) -> None:
    """Print how cases ended, and each different finding once with its command."""
    print(f"{found.ended.total()} cases: " + ", ".join(f"{count} {end}" for end, count in found.ended.most_common()))
    seen = {}
    for one in found.findings:
        seen.setdefault((one.kind, one.where), one)
    for (kind, where), one in seen.items():
        count = sum((other.kind, other.where) == (kind, where) for other in found.findings)
        print(f"{count:4} {kind:10} {where}\n     {' '.join(map(repr, one.case.words))[:300]}")
        for name, text in one.case.files.items():
            print(f"     {name}: {text[:200]!r}")


if __name__ == "__main__":
    main()
