"""What a calibration says of its own profile: refuse it, doubt it, or recommend it.

A fit always gives factors, of whatever it was handed. What decides is the share of the suite that was measured, the
errors on decoders that were not fitted, and what the device was caught at; the last since nothing held out can show
that everything was slow alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from calibration.fit.design import Screened
from calibration.fit.least_squares import Fit
from calibration.fit.validate import Validation
from simulator.inputs.hardware import Hardware
from simulator.inputs.measurements import HELD_OUT, OWN_SOURCE, Measurement
from simulator.inputs.operator_text import KINDS, parse_operator
from simulator.timing.profile import Verdict

# A profile is refused below or past these.
LEAST_SHARE = 0.6  # of the cases of the suite
FEWEST_MODELS, FEWEST_ROWS = 3, 6  # of decoders that were not fitted
MOST_MEDIAN, MOST_P90, MOST_BIAS, LEAST_COVERAGE = 0.15, 0.3, 0.1, 0.6  # of their errors, by metric
SPARED_KINDS = ("collectives",)  # without which a profile still holds for one device
# A profile is doubted past these.
SHEET_SHARES = (0.6, 1.1)  # of the data sheet's peak and bandwidth, that the best product and copy reach
LARGE_FLOPS, LARGE_BYTES = 3e10, 1e8  # from which a product and a copy could reach them
MOST_DEVIATIONS = 3.0  # of a prior's spread
LEAST_CLOCK, MOST_CLOCK_SPREAD = 0.85, 0.05  # of the data sheet's; relative, between the quartiles
MOST_DROPPED = 0.1  # share of the rows
OF_SERVER = "--engine"  # how a source goes on whose rows are of a server that was running
METRICS = {"ttft_s": "TTFT", "tpot_s": "TPOT"}


class RunFacts(NamedTuple):
    """What the fit cannot see of a run: the kind of each case that was planned, by ``key_row``, and its own doubts."""

    kinds: Mapping[tuple[object, ...], str]
    doubts: Sequence[str]


def key_row(row: Measurement) -> tuple[object, ...]:
    """What tells the case of a row from another."""
    variant = row.notes.removeprefix(HELD_OUT).removeprefix("; ")
    tokens = (row.batch_size, row.prompt_tokens, row.output_tokens)
    return (row.operator, variant, row.activation_dtype, row.metric, row.tp, row.model, *tokens)


def judge(
    rows: list[Measurement],
    screened: Screened,
    fit: Fit,
    requests: Validation | None,
    hardware: Hardware,
    facts: RunFacts | None,
) -> Verdict | None:
    """The verdict on a profile; None of rows that others measured, and where nothing is to be said.

    ``rows`` are all that there are, ``screened`` those that could be used, ``requests`` the check on decoders.
    """
    if all(row.source.startswith(f"{OWN_SOURCE} {OF_SERVER}") for row in rows):  # one model, and no suite
        refused, doubts = judge_requests(requests, 1), judge_rows(rows, screened) + judge_factors(fit)
        return Verdict(refused, doubts) if refused or doubts else None
    if not all(row.source.startswith(f"{OWN_SOURCE}, ") for row in rows):
        return None
    missing, refused = judge_share(screened.rows, facts)
    refused += judge_requests(requests)
    doubts = [*missing, *(facts.doubts if facts else ())]
    doubts += judge_rows(rows, screened) + judge_clocks(screened.rows, hardware) + judge_sheet(screened.rows, hardware)
    doubts += judge_factors(fit)
    return Verdict(refused, doubts) if refused or doubts else None


def judge_share(rows: list[Measurement], facts: RunFacts | None) -> tuple[list[str], list[str]]:
    """Doubts and refusals by what of the suite is there."""
    if facts is None:
        return [], []
    planned = facts.kinds
    measured = {key_row(row) for row in rows} & set(planned)
    refused = []
    if len(measured) < LEAST_SHARE * len(planned):
        refused.append(f"{len(measured)} of {len(planned)} cases are there to use")
    lacking = sorted(set(planned.values()) - {planned[key] for key in measured})
    words = [f"no case of {kind} is there" for kind in lacking]
    return (
        [line for kind, line in zip(lacking, words, strict=True) if kind in SPARED_KINDS],
        refused + [line for kind, line in zip(lacking, words, strict=True) if kind not in SPARED_KINDS],
    )


def judge_requests(requests: Validation | None, fewest_models: int = FEWEST_MODELS) -> list[str]:
    """Refusals by the errors on decoders, or on the loads of a server, that were not fitted."""
    rows = [] if requests is None else requests.rows
    models = {row.model for row in rows}
    refused = []
    if len(models) < fewest_models or len(rows) < FEWEST_ROWS:
        refused.append(f"checked on {len(models)} models and {len(rows)} rows that were not fitted")
    if requests is None:
        return refused
    for metric, name in METRICS.items():
        chosen = np.array([row.metric == metric for row in rows])
        if not chosen.any():
            refused.append(f"no {name} to check it on")
            continue
        found = requests.summarise(chosen)
        for what, value, most in (
            ("a median of", found["median_ape"], MOST_MEDIAN),
            ("a 90% quantile of", found["p90_ape"], MOST_P90),
            ("a bias of", abs(found["bias"]), MOST_BIAS),
        ):
            if value > most:
                refused.append(f"held-out {name} is off by {what} {100 * value:.0f}%")
        if found["coverage_90"] < LEAST_COVERAGE:
            refused.append(f"{100 * found['coverage_90']:.0f}% of held-out {name} lie in their 90% intervals")
    return refused


def judge_rows(rows: list[Measurement], screened: Screened) -> list[str]:
    """Doubts by how many rows could not be used."""
    dropped = len(rows) - len(screened.rows)
    return [f"{dropped} of {len(rows)} rows were left out of the fit"] if dropped > MOST_DROPPED * len(rows) else []


def judge_clocks(rows: list[Measurement], hardware: Hardware) -> list[str]:
    """Doubts by the clock that was measured beside the cases."""
    clocks = [row.clock_hz for row in rows if row.clock_hz]
    if not clocks:
        return []
    low, median, high = np.quantile(clocks, [0.25, 0.5, 0.75])
    share, spread = median / hardware.compute.clock, (high - low) / median
    doubts = []
    if share < LEAST_CLOCK:
        doubts.append(f"the clock was {100 * share:.0f}% of the data sheet's")
    if spread > MOST_CLOCK_SPREAD:
        doubts.append(f"the clock moved by {100 * spread:.0f}%")
    return doubts


def judge_sheet(rows: list[Measurement], hardware: Hardware) -> list[str]:
    """Doubts by the best product and the best copy beside the data sheet: the only sign of a device that is shared.

    A CPU's peaks were measured, not printed.
    """
    if hardware.kind == "cpu":
        return []
    shares: dict[str, float] = {}
    for row in rows:
        kind, values = parse_operator(row.operator) if row.operator else ("", ())
        sizes = dict(zip(KINDS.get(kind, ()), values, strict=True))
        if kind == "linear" and (flops := 2 * sizes["m"] * sizes["n"] * sizes["k"]) >= LARGE_FLOPS:
            share = flops / row.value / hardware.peak_flops_per_s(row.activation_dtype)
            shares["product"] = max(shares.get("product", 0.0), share)
        if kind == "stream" and sizes["bytes"] >= LARGE_BYTES:
            share = sizes["bytes"] / row.value / hardware.memory.bandwidth
            shares["copy"] = max(shares.get("copy", 0.0), share)
    low, high = SHEET_SHARES
    sheets = {"product": "peak", "copy": "bandwidth"}
    return [
        f"the best {name} reaches {100 * share:.0f}% of the data sheet's {sheets[name]}"
        for name, share in shares.items()
        if not low <= share <= high
    ]


def judge_factors(fit: Fit) -> list[str]:
    """Doubts by factors that are not where they were expected."""
    doubts = []
    at_bound = sorted(set(fit.factors_at_bound()) & set(fit.informed))
    if at_bound:
        doubts.append(f"at its bound: {', '.join(at_bound)}")
    far = []
    for name, value in zip(fit.factors.names, fit.factors, strict=True):
        prior = fit.priors[name]
        if abs(np.log(value / prior.value)) > MOST_DEVIATIONS * prior.spread:
            far.append(name)
    if far:
        doubts.append(f"further than {MOST_DEVIATIONS:g} deviations from what was expected: {', '.join(far)}")
    return doubts
