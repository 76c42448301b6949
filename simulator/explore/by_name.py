"""``explain``, ``solve`` and ``sensitivity`` as Python asks them: of names, as ``predict`` takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from simulator.errors import InputError
from simulator.explore import explain as explaining
from simulator.explore import load_solve
from simulator.explore import sensitivity as deriving
from simulator.explore import solve as solving
from simulator.explore.explanation import Explanation
from simulator.explore.limits import parse_limit
from simulator.explore.load_solve import LoadSolution
from simulator.explore.sensitivity import Sensitivity
from simulator.explore.solution import Solution
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.prediction import predict
from simulator.serving.engine import Progress
from simulator.serving.lengths import Lengths
from simulator.serving.limits import read_limits
from simulator.serving.setup import Options
from simulator.serving.workload import LOADS, make_load
from simulator.timing.profile import Profile


class Request(TypedDict, total=False):
    """What ``predict`` takes besides model, device and profile; counts are plain numbers here."""

    stack: str | Path | Stack | None
    tp: int
    pp: int
    dp: int
    ep: int
    micro_batches: int
    dtype: str | None
    weight_dtype: str | None
    kv_dtype: str | None
    prompt_tokens: int
    output_tokens: int
    batch_size: int
    identical_prompts: bool
    changes: Mapping[str, Any] | None
    hardware_changes: Mapping[str, str] | None
    price: str | None
    grid: str | None
    pue: str | None


def explain(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None = None,
    *,
    assume_fits: bool = False,
    **request: Unpack[Request],
) -> Explanation:
    """Say where the time of one request goes.

    Args:
        model: as for ``predict``, with ``hardware`` and ``calibration``.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound.
        assume_fits: answer even where the model does not fit in memory.
        **request: ``stack``, layout, formats and counts as ``predict`` takes them, each a plain number or name.

    Returns:
        Seconds that each step from the bound to the prediction adds, and those of every operator.

    Raises:
        InputError: a name, file, layout or count that is wrong.
        ImpossibleError: it does not fit in memory.
    """
    return explaining.explain(predict(model, hardware, calibration, assume_fits=assume_fits, **request).question)


def sensitivity(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None = None,
    *,
    by: str = "e2e_s",
    assume_fits: bool = False,
    **request: Unpack[Request],
) -> Sensitivity:
    """Say what a time, a cost or an energy depends on: numbers of the data sheet, rates and factors of the profile.

    Args:
        model: as for ``predict``, with ``hardware`` and ``calibration``.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound.
        by: the metric that ranks: ``ttft_s``, ``cost_usd``, ``energy_j``...
        assume_fits: answer even where the model does not fit in memory.
        **request: ``stack``, layout, formats and counts as ``predict`` takes them, each a plain number or name.

    Returns:
        Elasticities: percent of the metric for one percent of the input.

    Raises:
        InputError: a name, file, layout or count that is wrong, or a metric that is not known.
        ImpossibleError: it does not fit in memory.
    """
    return deriving.find_sensitivity(
        predict(model, hardware, calibration, assume_fits=assume_fits, **request).question, by
    )


def solve(
    model: str | Path | Architecture | ModelSpec,
    hardware: str | Path | Hardware,
    calibration: str | Path | Profile | None = None,
    *,
    unknown: str,
    slo: str | Sequence[str] = (),
    concurrency: int | None = None,
    request_rate: float | None = None,
    trace: str | Path | None = None,
    lengths: Lengths | str = None,
    burstiness: float = 1.0,
    num_requests: int | None = None,
    seed: int = 0,
    max_num_batched_tokens: int | None = None,
    max_num_seqs: int | None = None,
    kv_blocks: int | None = None,
    progress: Progress | None = None,
    **request: Unpack[Request],
) -> Solution | LoadSolution:
    """Find the extreme value of one unknown that meets every limit and fits in memory.

    Args:
        model: as for ``predict``, with ``hardware`` and ``calibration``.
        hardware: name or alias, YAML, or an object.
        calibration: profile name, YAML or object; ``"none"`` for the bound.
        unknown: ``batch_size``, ``prompt_tokens``, ``output_tokens`` (the largest); ``devices``, ``tp``, ``pp``, ``dp``
            (the fewest); a number of the data sheet, such as ``memory.bandwidth`` (the smallest); ``concurrency`` or
            ``request_rate`` (the largest). What the request says of it is not used. Of the devices: for one request,
            or for a load where one is given.
        slo: limits such as ``"tpot_s:30ms"`` or ``"output_tokens_per_s:>1000"``; under load statistics of latencies,
            such as ``"ttft_s_p99:1"``.
        concurrency: requests in flight, of a load; one of this and the next two, as ``simulate`` takes them.
        request_rate: requests a second.
        trace: a table of requests.
        lengths: of requests under load, as ``simulate`` takes them, with all that follows.
        burstiness: of the time between requests.
        num_requests: how many requests are simulated.
        seed: of lengths and arrivals.
        max_num_batched_tokens: most tokens of a pass.
        max_num_seqs: most sequences that run.
        kv_blocks: blocks of KV cache of one replica.
        progress: under load, called now and then with the number of loads that were tried; what it raises ends the
            search.
        **request: ``stack``, layout, formats and counts as ``predict`` takes them, each a plain number or name.

    Returns:
        The value, in SI units, with the limits at it and just past it; ``possible`` is False where nothing meets them.

    Raises:
        InputError: an unknown or limit that there is not, or that nothing depends on.
        ImpossibleError: under load, where not even the least load holds the limits.
    """
    texts = [slo] if isinstance(slo, str) else list(slo)
    given: dict[str, Any] = {**request, unknown: 1} if unknown in solving.COUNTS else {**request}
    question = predict(model, hardware, calibration, assume_fits=True, **given).question
    given_load: dict[str, Any] = {"concurrency": concurrency, "request_rate": request_rate, "trace": trace}
    loads = [name for name, value in given_load.items() if value is not None]
    if unknown not in LOADS and not loads:
        return solving.solve(solving.Problem(question, unknown, tuple(map(parse_limit, texts))))
    if unknown in LOADS and loads:
        raise InputError(f"solve for {unknown} looks for the load; leave out {loads[0]}")
    counts = question.work.workload
    drawn: dict[str, Any] = {"burstiness": burstiness, "num_requests": num_requests, "seed": seed}
    load = make_load(int(counts.prompt_tokens), int(counts.output_tokens), lengths, **given_load, **drawn)
    if unknown in LOADS:
        load = load_solve.put(load, unknown, 1)
    options = Options(max_num_batched_tokens, max_num_seqs, kv_blocks)
    return load_solve.solve_load(question, load, unknown, read_limits(texts, load_solve.LIMITED), options, progress)
