"""Idealized runtime, cost, energy and carbon of a set of queries, model by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.parameters import count_parameters
from simulator.costs.passes import count_model_flops
from simulator.errors import InputError
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.queries import Queries
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.metrics.layout import choose_layout
from simulator.metrics.power import find_pass_power, find_tdp
from simulator.metrics.rate_file import HOUR_S
from simulator.metrics.rates import SHIPPED_RATES, AskedRates, Rates
from simulator.numbers import Number
from simulator.prediction import Prediction, answer, resolve
from simulator.studies.names import Devices
from simulator.timing.factors import Factors
from simulator.timing.intervals import find_intervals, list_used_factors
from simulator.timing.profile import Profile
from simulator.timing.request import Times, combine_times
from simulator.timing.transfer import widen_spread


@dataclass(frozen=True)
class Setting:
    """What all models of a comparison share: one device, one way of running, prices.

    ``layouts`` gives the sizes of some models; ``tp`` and ``pp`` of all; where neither does, the fewest devices that
    fit are taken.
    """

    hardware: Hardware
    calibration: str | Profile | None
    stack: str | Stack | None = None
    dtype: str | None = None
    tp: int | None = None
    pp: int | None = None
    layouts: Mapping[str, Devices] | None = None
    asked_rates: AskedRates = SHIPPED_RATES

    @cached_property
    def rates(self) -> Rates:
        """What money, energy and carbon rest on.

        Raises:
            InputError: a price, grid or site that cannot be read.
        """
        return self.asked_rates.find(self.hardware.id)


def predict_queries(spec: ModelSpec, queries: Queries, setting: Setting, extend: bool = False) -> Prediction:
    """Time every query alone on the layout of the setting.

    ``extend`` gives a model with learned positions as many as the longest query needs: its times do not depend on the
    length of that table.

    Raises:
        InputError: a layout that does not divide the model, or a query past its positions; with the model.
        ImpossibleError: the model fits on no layout.
    """
    try:
        return ask_queries(spec, queries, setting, extend)
    except InputError as error:
        named = str(error).startswith(spec.id)
        raise InputError(str(error) if named else f"{spec.id}: {error}") from None


def ask_queries(spec: ModelSpec, queries: Queries, setting: Setting, extend: bool) -> Prediction:
    """Choose the layout and time the queries on it."""
    changes = {}
    reached = int(np.max(queries.prompt_tokens + queries.output_tokens)) - 1
    bare = Workload(1, 1)
    parts = (setting.hardware, setting.calibration, setting.stack)
    question = resolve(spec, *parts, Deployment(dtype=setting.dtype), bare)
    if extend and question.work.architecture.max_position_embeddings < reached:
        changes = {"max_position_embeddings": reached}
    given = (setting.layouts or {}).get(spec.id)
    deployment = choose_layout(
        spec.id,
        question.work.architecture,
        setting.hardware,
        question.work.stack,
        question.work.deployment,
        queries.prompt_tokens,
        queries.output_tokens,
        tp=given.tp if given else setting.tp,
        pp=given.pp if given else setting.pp,
    )
    return answer(resolve(spec, *parts, deployment, Workload(*queries), changes, setting.rates))


def name_basis(prediction: Prediction) -> dict[str, Any]:
    """What an answer rests on, as fields of a row."""
    question = prediction.question
    return {
        "basis": prediction.basis,
        "hardware": question.hardware.id,
        "stack": question.work.stack.id,
        "profile": None if question.profile is None else question.profile.id,
    }


def count_flops(prediction: Prediction) -> Number:
    """FLOPs that each query asks of the model, over all devices: prefill, then the decode passes.

    Attention grows linearly with the context, so the pass in the middle stands for the mean.
    """
    a, d, _, request = prediction.question.work
    passes = request.output_tokens - 1
    middle = decode_batch(request.prompt_tokens + (passes + 1) / 2, request.batch_size)
    prefill = count_model_flops(a, d, prefill_batch(request.prompt_tokens, request.batch_size))
    return d.tp * (prefill + passes * count_model_flops(a, d, middle))


def find_mean_interval(prediction: Prediction) -> tuple[float, float] | tuple[None, None]:
    """Ends of the 90% interval of the mean time of the queries, seconds; None for a bound.

    The factors err for all queries together, so the interval is of the mean itself and not the mean of intervals.
    """
    knowledge = prediction.question.knowledge
    if knowledge is None:
        return None, None
    workload = prediction.question.work.workload

    def law(factors: Factors) -> Times:
        times = combine_times(prediction.question.times(factors), workload)
        return Times(*(np.mean(part, axis=-1) for part in (times.ttft_s, times.ttft_s, times.e2e_s)))

    used = list_used_factors(prediction.question.passes, prediction.question.machine)
    question = prediction.question
    spread = widen_spread(knowledge.profile, question.moves)
    interval = find_intervals(knowledge, used, law, 1, spread)
    return float(interval.low.e2e_s), float(interval.high.e2e_s)


def summarise(prediction: Prediction) -> dict[str, Any]:
    """The row of one model. Energy, carbon and power are None where the data sheet gives no thermal design power."""
    question = prediction.question
    d = question.work.deployment
    times: NDArray[Any] = np.asarray(prediction.e2e_s)
    low, high = find_mean_interval(prediction)
    price = question.rates.price
    return {
        "model": question.model_label,
        **name_basis(prediction),
        "tp": d.tp,
        "pp": d.pp,
        "devices": d.devices,
        "parameters": int(count_parameters(question.model.architecture)),
        "queries": times.size,
        "total_prompt_tokens": float(np.sum(question.work.workload.prompt_tokens)),
        "total_output_tokens": float(np.sum(question.work.workload.output_tokens)),
        "mean_s": float(np.mean(times)),
        "mean_s_low": low,
        "mean_s_high": high,
        "median_s": float(np.median(times)),
        "total_s": float(np.sum(times)),
        "total_flops": float(np.sum(count_flops(prediction))),
        "price_usd_per_device_hour": None if price is None else price.price * HOUR_S,
        "total_cost_usd": None if price is None else float(np.sum(prediction.cost_usd)),
        **summarise_energy(prediction),
    }


def summarise_energy(prediction: Prediction) -> dict[str, Any]:
    """Energy of all queries, its carbon, and the mean power of a working board; None where it is not known."""
    question = prediction.question
    _, grid, site = question.rates
    known = question.hardware.power is not None
    prefill_w = decode_w = None
    if known:
        tdp_w = find_tdp(question.hardware)
        prefill_w = float(np.mean(find_pass_power(prediction.request.prefill, question.machine.device, tdp_w)))
        decode_w = find_decode_power(prediction, tdp_w)
    energy_j = float(np.sum(prediction.energy_j)) if known else None
    return {
        "total_board_energy_j": None if energy_j is None else energy_j / site.pue,
        "pue": site.pue,
        "total_energy_j": energy_j,
        "grid_g_co2e_per_kwh": grid.g_co2e_per_kwh,
        "total_carbon_kg": float(np.sum(prediction.carbon_kg)) if known else None,
        "prefill_power_w": prefill_w,
        "decode_power_w": decode_w,
    }


def find_decode_power(prediction: Prediction, tdp_w: float) -> float | None:
    """Mean board power of a working device in decode, watts; None where no query generates past its first token."""
    decoding = np.asarray(prediction.question.work.workload.output_tokens) > 1
    if not np.any(decoding):
        return None
    device = prediction.question.machine.device
    power = np.broadcast_to(np.asarray(find_pass_power(prediction.request.decode, device, tdp_w)), decoding.shape)
    return float(np.mean(power[decoding]))
