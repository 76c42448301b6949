"""How many devices a model needs: the fewest that hold it, by tensor parallelism and, past a node, by pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator.errors import ImpossibleError, InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import ASKED, Deployment, check_deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.metrics.capacity import find_usable_bytes, measure_on
from simulator.units import format_quantity

MOST_TENSOR_PARALLEL = 8  # where the data sheet does not say how many devices a node links


def choose_layout(
    name: str,
    architecture: Architecture,
    hardware: Hardware,
    stack: Stack,
    formats: Deployment,
    prompt_tokens: Any,
    output_tokens: Any,
    batch_size: Any = 1,
    tp: int | None = None,
    pp: int | None = None,
) -> Deployment:
    """Return the layout that engines take for a model, in given formats, and its longest request: the smallest fitting.

    Tensor-parallel sizes of one node that divide the model come first, since a pipeline makes no single request faster;
    only where a node is too small is the model cut into stages too, and then the fewest devices win, of equals the
    widest tensor parallelism. Layers are shared by devices of several nodes only where nothing else holds the model.
    A size that is given is kept.

    Raises:
        InputError: a given size does not divide the model, or the device cannot be linked to others.
        ImpossibleError: no layout holds the model.
    """
    if tp is not None and pp is not None:
        given = replace(formats, tp=tp, pp=pp)
        check_deployment(given, architecture, hardware, stack)
        candidates = [given]
    else:
        candidates = list_layouts(architecture, hardware, stack, formats, tp, pp)
    node = find_most_linked(hardware)
    candidates.sort(key=lambda d: (d.tp > node, d.pp > 1, d.devices, -d.tp))
    workload = Workload(prompt_tokens, output_tokens, batch_size)
    least, usable = float("inf"), find_usable_bytes(hardware, stack)
    for deployment in candidates:
        needed = find_device_bytes(architecture, hardware, deployment, stack, workload)
        if needed <= usable:
            return deployment
        least = min(least, needed)
    if least == float("inf"):
        raise InputError(f"{name}: no layout with tp {tp or 'any'} and pp {pp or 'any'} divides the model")
    raise ImpossibleError(
        f"{name} fits on no layout of {hardware.id} that divides it: at the least "
        f"{format_quantity(least, 'B')} needed on each, {format_quantity(usable, 'B')} there"
    )


def list_layouts(
    architecture: Architecture,
    hardware: Hardware,
    stack: Stack,
    formats: Deployment,
    tp: int | None = None,
    pp: int | None = None,
) -> list[Deployment]:
    """The layouts that an engine can run, from the fewest devices to the most; past one node, of whole nodes.

    Of equally many devices those come first that share layers within a node, and of these the widest tensor
    parallelism.
    """
    node = find_most_linked(hardware)
    widths = [tp] if tp is not None else list_widths(architecture, node)
    depths = [pp] if pp is not None else range(1, int(architecture.num_hidden_layers) + 1)
    allowed = [
        d
        for width in widths
        if divides(replace(formats, tp=width, pp=1), architecture, hardware, stack)
        for depth in depths
        if (width * depth <= node or width * depth % node == 0)
        and divides(d := replace(formats, tp=width, pp=depth), architecture, hardware, stack)
    ]
    return sorted(allowed, key=lambda d: (d.devices, d.tp > node, -d.tp))


def list_widths(architecture: Architecture, node: int) -> list[int]:
    """Devices that may share a layer: up to a node's, and whole nodes."""
    heads = int(architecture.num_attention_heads)
    within = range(1, min(node, heads) + 1)  # what does not divide the heads cannot share them
    return [width for width in (*within, *range(2 * node, heads + 1, node)) if heads % width == 0]


def divides(deployment: Deployment, architecture: Architecture, hardware: Hardware, stack: Stack) -> bool:
    """Whether a stack runs a layout of the model, and the devices can be linked."""
    try:
        check_deployment(deployment, architecture, hardware, stack)
    except InputError:
        return False
    return True


def find_most_linked(hardware: Hardware) -> int:
    """Most devices of one node that can share a layer."""
    return hardware.most_in_node or MOST_TENSOR_PARALLEL


def find_device_bytes(
    architecture: Architecture, hardware: Hardware, deployment: Deployment, stack: Stack, workload: Workload
) -> float:
    """Bytes that one device holds for the longest of the requests."""
    return float(np.max(measure_on(hardware, architecture, deployment, stack, workload).device_bytes))


def describe_deployment(deployment: Deployment) -> dict[str, Any]:
    """Layout and formats by name, none left to a default."""
    d = deployment
    given = {name: getattr(d, name) for name in ASKED}
    return given | {"dtype": d.input_dtype, "weight_dtype": d.weights_label, "kv_dtype": d.cache_dtype}


def describe_layout(deployment: Deployment) -> str:
    """The sizes of a layout that are more than one: ``tp 4, pp 2``."""
    given = describe_deployment(deployment)
    sizes = [f"{name.replace('_', '-')} {size}" for name, size in given.items() if isinstance(size, int) and size > 1]
    return ", ".join(sizes) or "tp 1"
