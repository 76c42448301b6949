"""Fitted runtimes in the format that HELM reads: the fit, the file, and two ways to take the time of a request from it.

    time(prompt, output) = overhead + prompt time(prompt) + time per output token * (output - 1)

is the two-parameter model of Narayanan et al. 2023 (arXiv 2305.02440), fitted as their released code fits it: for each
prompt size a line over output tokens gives the prompt time as intercept + slope, not below that of the smallest prompt;
then one line through all that is left over gives the time per output token.
Source: https://github.com/stanford-crfm/helm-efficiency, notebooks/fit_runtimes.py and notebooks/fit_runtimes.ipynb

One JSON object, a model a key: ``runtime_for_prompt_tokens`` (seconds by prompt size), ``runtime_per_output_token``
(seconds) and, for an API, ``overhead`` (seconds).
Source: https://github.com/stanford-crfm/helm, src/helm/benchmark/metrics/efficiency_metrics.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import numpy as np

from simulator.errors import InputError
from simulator.numbers import Number
from simulator.specfile import KeyPath, Range, build, read_spec, spec_dataclass

# Sizes that Narayanan et al. 2023 profiled (released logs), and those of the requests to APIs
# (helm/benchmark/scenarios/synthetic_efficiency_scenario.py; these prompts are those of the published file).
PROFILED_PROMPTS = (
    *(1, 16, 32, 64, 128, 192, 256, 320, 384, 428, 472, 512, 576, 640, 704, 768, 832, 896, 960, 1024),
    *(1152, 1280, 1408, 1536, 1664, 1792, 1920),
)
PROFILED_OUTPUTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
API_PROMPTS = (1, 256, 512, 1024, 1536)
API_OUTPUTS = (1, 2, 4, 8, 16, 32, 64)


SecondsOfFile: TypeAlias = Annotated[float, Range(0, 1e9)]


@spec_dataclass
class HelmEntry:
    """One model as the file has it; seconds."""

    runtime_per_output_token: SecondsOfFile
    runtime_for_prompt_tokens: dict[str, SecondsOfFile]
    overhead: SecondsOfFile | None = None


@dataclass(frozen=True)
class RuntimeFit:
    """Parameters of one model, seconds; prompts by growing size. With an overhead, it is not in the prompt times."""

    prompt_s: dict[int, float]
    per_output_token_s: float
    overhead_s: float | None = None


class Runtime(NamedTuple):
    """Time of a whole request, seconds."""

    prompt_tokens: int
    output_tokens: int
    seconds: float


def fit_runtimes(runtimes: Iterable[Runtime], decimals: int | None = None) -> RuntimeFit:
    """Fit the parameters of one model, without an overhead.

    Args:
        runtimes: one time for each pair of sizes, without noise.
        decimals: to round every step to before the next, as the paper does to milliseconds; None: not at all.

    Raises:
        InputError: a prompt size with fewer than two output sizes.
    """
    rows = sorted(runtimes)
    if not rows:
        raise InputError("no runtimes to fit")
    sizes = sorted({row.prompt_tokens for row in rows})
    prompt_s: dict[int, float] = {}
    for size in sizes:
        slope, intercept = fit_line([row for row in rows if row.prompt_tokens == size], decimals)
        prompt_s[size] = max(round_to(slope + intercept, decimals), prompt_s.get(sizes[0], -np.inf))
    left = [row._replace(seconds=row.seconds - prompt_s[row.prompt_tokens]) for row in rows]
    return RuntimeFit(prompt_s, fit_line(left, decimals)[0])


def fit_line(rows: list[Runtime], decimals: int | None) -> tuple[float, float]:
    """Slope and intercept of time over output tokens, by least squares."""
    tokens = np.array([row.output_tokens for row in rows], dtype=float)
    if len(set(tokens)) < 2:
        raise InputError(
            f"{rows[0].prompt_tokens} prompt tokens were run with one output size; a line needs at least two"
        )
    seconds = np.array([row.seconds for row in rows])
    centred = tokens - tokens.mean()
    slope = float(centred @ seconds / (centred @ centred))
    intercept = float(seconds.mean() - slope * tokens.mean())
    return round_to(slope, decimals), round_to(intercept, decimals)


def round_to(value: float, decimals: int | None) -> float:
    """A value rounded, where that is asked for."""
    return value if decimals is None else round(value, decimals)


def read_helm(path: Path) -> dict[str, RuntimeFit]:
    """Read a file of fitted runtimes.

    Raises:
        InputError: no such file, a key missing or unknown, a prompt size that is no whole number, or what is no time.
    """
    spec = read_spec(path)
    entries: dict[str, HelmEntry] = build(spec, dict[str, HelmEntry])
    fits = {}
    for name, entry in entries.items():
        prompts = entry.runtime_for_prompt_tokens
        if not prompts:
            raise spec.error("needs at least one prompt size", (name, "runtime_for_prompt_tokens"))
        for size in prompts:
            if not (size.isascii() and size.isdecimal() and int(size) > 0):
                at: KeyPath = (name, "runtime_for_prompt_tokens", size)
                raise spec.error(f"the prompt size '{size}' is not a whole number of at least 1", at)
        if min(*prompts.values(), entry.runtime_per_output_token) <= 0 or (entry.overhead or 0) < 0:
            raise spec.error("a time is not above zero", (name,))
        prompt_s = dict(sorted((int(size), seconds) for size, seconds in prompts.items()))
        fits[name] = RuntimeFit(prompt_s, entry.runtime_per_output_token, entry.overhead)
    if not fits:
        raise InputError(f"{path}: has no models")
    return fits


def format_helm(fits: Mapping[str, RuntimeFit], decimals: int | None = None) -> str:
    """The text of a file of fitted runtimes."""
    return json.dumps({name: make_entry(fit, decimals) for name, fit in fits.items()}, indent=2, allow_nan=False)


def make_entry(fit: RuntimeFit, decimals: int | None) -> dict[str, Any]:
    """The runtimes of one model as HELM has them."""
    prompts = {str(size): round_to(time, decimals) for size, time in fit.prompt_s.items()}
    per_token = round_to(fit.per_output_token_s, decimals)
    entry: dict[str, Any] = {"runtime_per_output_token": per_token, "runtime_for_prompt_tokens": prompts}
    return entry if fit.overhead_s is None else entry | {"overhead": round_to(fit.overhead_s, decimals)}


def estimate_as_helm(fit: RuntimeFit, prompt_tokens: float, output_tokens: float) -> float:
    """Time of a request as HELM reads it from the file, seconds.

    The prompt time is that of the smallest size that is no smaller, scaled down in proportion; past the largest size,
    scaled up. This makes a short prompt cheaper than the smallest that was measured.
    """
    size = next((size for size in sorted(fit.prompt_s) if prompt_tokens <= size), max(fit.prompt_s))
    time = fit.prompt_s[size] * (prompt_tokens / size)
    if output_tokens > 0:
        time += fit.per_output_token_s * (output_tokens - 1)
    return time + (fit.overhead_s or 0.0)


def estimate_by_interpolation(fit: RuntimeFit, prompt_tokens: Number, output_tokens: Number) -> Number:
    """Time of requests with prompt times on straight lines between the sizes, seconds, as the paper takes it.

    Past the largest size the prompt's time grows in proportion, as in HELM.
    """
    sizes = list(fit.prompt_s)
    prompt = np.interp(prompt_tokens, sizes, list(fit.prompt_s.values())) * np.maximum(prompt_tokens / sizes[-1], 1)
    return (fit.overhead_s or 0.0) + prompt + (output_tokens - 1) * fit.per_output_token_s
