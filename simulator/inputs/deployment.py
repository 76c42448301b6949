"""How a model is laid out over devices, and in which number formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.errors import InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.hardware import Hardware

BYTES_PER_ELEMENT = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True, slots=True)
class Deployment:
    """Tensor- and pipeline-parallel sizes, and the data type of arithmetic, weights and KV cache."""

    tp: int = 1
    pp: int = 1
    dtype: str = "fp16"
    weight_dtype: str | None = None  # None: as dtype
    kv_dtype: str | None = None

    @property
    def devices(self) -> int:
        """Devices that hold one copy of the model."""
        return self.tp * self.pp

    @property
    def activation_bytes(self) -> int:
        """Bytes of one activation."""
        return BYTES_PER_ELEMENT[self.dtype]

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight."""
        return BYTES_PER_ELEMENT[self.weight_dtype or self.dtype]

    @property
    def kv_bytes(self) -> int:
        """Bytes of one number in the KV cache."""
        return BYTES_PER_ELEMENT[self.kv_dtype or self.dtype]


def check_deployment(deployment: Deployment, architecture: Architecture, hardware: Hardware) -> None:
    """Refuse a layout that does not divide the model or that the device cannot link.

    Raises:
        InputError: with the first reason found.
    """
    d, a = deployment, architecture
    for name, value in (("tp", d.tp), ("pp", d.pp)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
    for name, dtype in (("dtype", d.dtype), ("weight dtype", d.weight_dtype), ("kv dtype", d.kv_dtype)):
        if dtype is not None and (not isinstance(dtype, str) or dtype not in BYTES_PER_ELEMENT):
            raise InputError(f"unknown {name} '{dtype}' (allowed: {', '.join(BYTES_PER_ELEMENT)})")
    for name, size in (
        ("num_attention_heads", a.num_attention_heads),
        ("num_key_value_heads", a.kv_heads),
        ("intermediate_size", a.intermediate_size),
    ):
        if size % d.tp:
            raise InputError(f"tp {d.tp} does not divide {name} {size}")
    if a.num_hidden_layers % d.pp:
        raise InputError(f"pp {d.pp} does not divide num_hidden_layers {a.num_hidden_layers}")
    if d.devices > 1:
        check_node(d, hardware)


def check_node(deployment: Deployment, hardware: Hardware) -> None:
    """Refuse more devices than one node links together.

    Raises:
        InputError: no link, or fewer devices on it than asked for.
    """
    link = hardware.node_link()
    if link.max_devices is not None and deployment.tp > link.max_devices:
        raise InputError(
            f"tp {deployment.tp} is past the {link.max_devices} devices that a node of {hardware.id} links"
        )
