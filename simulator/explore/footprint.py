"""What a model takes of each device, and how much more there is room for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.costs.footprint import count_weight_bytes, count_weights
from simulator.errors import ImpossibleError, InputError
from simulator.explore.layout import choose_layout
from simulator.metrics.capacity import find_capacity
from simulator.prediction import Question


def describe_footprint(question: Question) -> dict[str, Any]:
    """Bytes of one device by purpose, whether they fit, and the largest batch, longest context and fewest devices."""
    work = question.work
    capacity = find_capacity(work, question.hardware)
    d, request = work.deployment, work.workload
    footprint = capacity.footprint
    weights, cache = footprint.weights_bytes / d.devices, footprint.kv_cache_bytes / d.devices
    reserved = work.stack.reserved_bytes
    return {
        "model": question.model_label,
        "hardware": question.hardware.id,
        "stack": work.stack.id,
        "devices": d.devices,
        "layout": f"tp {d.tp}, pp {d.pp}, dp {d.dp}, ep {d.ep}",
        "formats": f"{d.dtype}, weights {d.weights_label}, cache {d.cache_dtype}",
        "formats_from": d.formats_from,
        "weight_bits": find_weight_bits(question),
        "prompt_tokens": int(request.prompt_tokens),
        "output_tokens": int(request.output_tokens),
        "batch_size": int(request.batch_size),
        "weights_each_bytes": weights,
        "kv_cache_each_bytes": cache,
        "activations_each_bytes": footprint.device_bytes - weights - cache - reserved,
        "runtime_each_bytes": reserved,
        "needed_each_bytes": footprint.device_bytes,
        "usable_each_bytes": capacity.usable_bytes,
        "fits": capacity.fits,
        "largest_batch_size": capacity.largest_batch,
        "longest_context_tokens": capacity.longest_context,
        "fewest_devices": find_fewest_devices(question),
    }


def find_weight_bits(question: Question) -> float:
    """Mean bits of a weight, tables and head included."""
    a, d, stack, _ = question.work
    one = replace(d, tp=1, pp=1, dp=1, ep=1)
    return round(float(8 * count_weight_bytes(a, one, stack) / count_weights(a, one, stack)), 4)


def find_fewest_devices(question: Question) -> int | None:
    """Devices of the smallest layout that holds the request; None where none does."""
    work = question.work
    request = work.workload
    try:
        return choose_layout(
            question.model_label,
            work.architecture,
            question.hardware,
            work.stack,
            replace(work.deployment, dp=1, ep=1),
            request.prompt_tokens,
            request.output_tokens,
            request.batch_size,
        ).devices
    except (ImpossibleError, InputError):
        return None
