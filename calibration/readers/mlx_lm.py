"""What MLX-LM prints: ``mlx_lm.benchmark`` and ``mlx_lm.generate``.

Rates of one batch: prompt tokens over the time of the prefill, and generated tokens a second, of all sequences of the
batch. ``generate`` is one request, whose prompt may differ. Neither prints the model, the device or the version.
Source: https://github.com/ml-explore/mlx-lm, mlx_lm/benchmark.py and generate.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from calibration.readers.content import Content, need_count, need_positive
from calibration.readers.runs import Metric, Run, Told

TOOL = "mlx_lm"
BENCHMARK = re.compile(r"^Averages:.*?\bprompt_tps=([\d.]+), generation_tps=([\d.]+)", re.MULTILINE)
SIZES = re.compile(r"^Timing with (.+)$", re.MULTILINE)
SIZE = re.compile(r"(prompt_tokens|generation_tokens|batch_size)=(\d+)")
GENERATED = re.compile(
    r"^Prompt: (\d+) tokens, ([\d.]+) tokens-per-sec\s*\nGeneration: (\d+) tokens, ([\d.]+) tokens-per-sec",
    re.MULTILINE,
)


def recognise(content: Content) -> bool:
    """Either print."""
    return not content.objects and bool(BENCHMARK.search(content.text) or GENERATED.search(content.text))


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a text."""
    end = 0
    for found in BENCHMARK.finditer(content.text):
        named = [sizes[1] for sizes in SIZES.finditer(content.text, end, found.start())]
        end = found.end()
        yield make_run(content, found.start(), dict(SIZE.findall(named[-1])) if named else {}, found[1], found[2])
    for found in GENERATED.finditer(content.text):
        sizes = {"prompt_tokens": found[1], "generation_tokens": found[3]}
        yield make_run(content, found.start(), sizes, found[2], found[4])


def make_run(content: Content, place: int, sizes: dict[str, str], prompt_rate: str, output_rate: str) -> Run:
    """One batch."""
    where = f"{content.path}:{content.text.count(chr(10), 0, place) + 1}"
    counts: dict[str, Any] = {name: need_count(where, {name: value}, name) for name, value in sizes.items()}
    batch, prompt, output = (counts.get(name) for name in ("batch_size", "prompt_tokens", "generation_tokens"))
    rates = {"prompt_tps": prompt_rate, "generation_tps": output_rate}
    per_s = [need_positive(where, rates, name) for name in rates]
    metrics = [Metric("prefill_s", (batch or 1) * prompt / per_s[0])] if prompt else []
    if output is None or output > 1:
        metrics.append(Metric("tpot_s", (batch or 1) / per_s[1]))
    return Run(where, TOOL, metrics=metrics, batch_size=batch or 1, prompt_tokens=prompt, output_tokens=output)
