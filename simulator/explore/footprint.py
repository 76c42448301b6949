"""What a model takes of each device, and how much more there is room for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.costs.footprint import count_graph_bytes, count_weight_bytes, count_weights
from simulator.metrics.capacity import find_capacity, find_usable_bytes
from simulator.metrics.layout import find_device_bytes, list_layouts
from simulator.prediction import Question


def describe_footprint(question: Question) -> dict[str, Any]:
    """Bytes of one device by purpose, whether they fit, and the largest batch, longest context and fewest devices."""
    work = question.work
    capacity = find_capacity(work, question.hardware)
    d, request = work.deployment, work.workload
    footprint = capacity.footprint
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
        "weights_each_bytes": footprint.device_weights_bytes,
        "kv_cache_each_bytes": footprint.device_kv_cache_bytes,
        "activations_each_bytes": footprint.activations_bytes,
        "graphs_each_bytes": count_graph_bytes(work.architecture, d, work.stack),
        "runtime_each_bytes": footprint.runtime_bytes,
        "needed_each_bytes": footprint.device_bytes,
        "usable_each_bytes": capacity.usable_bytes,
        "held_back_each_bytes": question.hardware.memory.capacity - capacity.usable_bytes,
        "graphs_in_share": work.stack.ledger.graphs_in_share,
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
    a, d, stack, request = question.work
    hardware = question.hardware
    usable = find_usable_bytes(hardware, stack)
    for layout in list_layouts(a, hardware, stack, replace(d, dp=1, ep=1)):
        if find_device_bytes(a, hardware, layout, stack, request) <= usable:
            return layout.devices
    return None
