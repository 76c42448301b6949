"""How many devices a model needs: the fewest that hold it, by tensor parallelism and, past a node, by pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.costs.footprint import measure_footprint
from simulator.errors import ImpossibleError, InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import ASKED, Deployment, check_deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.metrics.capacity import find_usable_bytes
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
    """Return the layout with the fewest devices that holds the model, in given formats, and its longest request.

    Tensor-parallel sizes that divide the model come first, since a pipeline makes no single request faster; only where
    a node is too small is the model cut into stages too, and then the fewest devices win, of equals the widest tensor
    parallelism. A size that is given is kept.

    Raises:
        InputError: a given size does not divide the model, or the device cannot be linked to others.
        ImpossibleError: no layout holds the model.
    """
    if tp is not None and pp is not None:
        given = replace(formats, tp=tp, pp=pp)
        check_deployment(given, architecture, hardware)
        candidates = iter([given])
    else:
        candidates = list_layouts(architecture, hardware, formats, tp, pp)
    least, usable = float("inf"), find_usable_bytes(hardware, stack)
    for deployment in candidates:
        needed = find_device_bytes(architecture, deployment, stack, prompt_tokens, output_tokens, batch_size)
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
    architecture: Architecture, hardware: Hardware, formats: Deployment, tp: int | None = None, pp: int | None = None
) -> Iterator[Deployment]:
    """Yield the layouts that divide the model, in the order in which they are tried."""
    widths = [tp] if tp is not None else range(1, find_most_linked(hardware) + 1)
    depths = [pp] if pp is not None else range(1, int(architecture.num_hidden_layers) + 1)
    allowed = [
        d
        for depth in depths
        for width in widths
        if divides(d := replace(formats, tp=width, pp=depth), architecture, hardware)
    ]
    yield from sorted(allowed, key=lambda d: (d.pp > 1, d.devices, -d.tp))


def divides(deployment: Deployment, architecture: Architecture, hardware: Hardware) -> bool:
    """Whether a layout divides the model and can be linked."""
    try:
        check_deployment(deployment, architecture, hardware)
    except InputError:
        return False
    return True


def find_most_linked(hardware: Hardware) -> int:
    """Most devices of one node that can share a layer."""
    return hardware.most_in_node or MOST_TENSOR_PARALLEL


def find_device_bytes(
    architecture: Architecture,
    deployment: Deployment,
    stack: Stack,
    prompt_tokens: Any,
    output_tokens: Any,
    batch_size: Any = 1,
) -> float:
    """Bytes that one device holds for the longest of the requests."""
    footprint = measure_footprint(architecture, deployment, stack, prompt_tokens, output_tokens, batch_size)
    return float(np.max(footprint.device_bytes))


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
