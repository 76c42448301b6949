"""Rebuild ``docs/accuracy.md``: how far Roofcast is off on measurements that it was not fitted to.

    ROOFCAST_DATA=... python -m benchmarks.accuracy_page

runs the benchmarks below one after the other and writes what each prints below its command, a quarter of an hour. The
page is written whole, after the last of them. Two more take longer: ``benchmarks.kernels`` an hour and a half,
``benchmarks.serving`` half an hour; their tables stand in ``docs/calibration.md`` and ``docs/serving.md``.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from simulator.specfile import write_whole

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accuracy.md"
HEAD = """# How far it is off

Every figure here is of measurements that the prediction had not seen. One command rebuilds this page
([benchmarks/accuracy_page.py](../benchmarks/accuracy_page.py)); it was last run on {date}:

```sh
ROOFCAST_DATA=... python -m benchmarks.accuracy_page
```

`ROOFCAST_DATA` is a folder with tables that do not ship; what they are and where they come from stands in
[calibration.md](calibration.md). An error is predicted over measured time less one, throughputs turned into times;
`bias` is the mean with its sign, positive where Roofcast is too slow; `coverage_90` is the share of rows inside their
90% intervals. Below 86% intervals are too narrow, above 94% too wide.

Elsewhere: [kernel tables](calibration.md#kernel-tables), [under load](serving.md#how-far-off-it-is), [the small
calibration of the A100](calibration.md#the-small-calibration-of-the-a100).
"""
PARTS = {  # the heading of each benchmark and what it is about
    "accuracy": (
        "Requests: models and devices left out",
        "A model is predicted from a fit to the others of its device and stack, a device with the profile of another.",
    ),
    "memory": ("Memory", "Tokens that vLLM's KV cache holds after its start."),
    "transfer": (
        "What carrying adds",
        "The error of each difference between two settings, as the rows show it and as the intervals use it.",
    ),
}


def run(name: str) -> str:
    """What a benchmark prints; its limits are its own business.

    Raises:
        SystemExit: it broke.
    """
    print(f"benchmarks.{name} ...", file=sys.stderr)
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout.strip():
        sys.exit(f"benchmarks.{name} printed nothing")
    return done.stdout.strip()


def main() -> None:
    """Run the benchmarks and write the page."""
    parts = [HEAD.format(date=datetime.now(UTC).date())]
    for name, (title, about) in PARTS.items():
        command = f"```sh\nROOFCAST_DATA=... python -m benchmarks.{name}\n```"
        parts.append(f"## {title}\n\n{about}\n\n{command}\n\n```text\n{run(name)}\n```\n")
    write_whole(PAGE, "\n".join(parts))


if __name__ == "__main__":
    main()
