"""How a model is laid out over devices, and in which number formats."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.errors import InputError
from simulator.frozen import frozen_dataclass
from simulator.inputs.architecture import Architecture, LayerGroup, specialise
from simulator.inputs.checkpoint import CheckpointFormats
from simulator.inputs.formats import CACHE_SIZES, FORMATS, SIZES, WIDE, find_format
from simulator.inputs.gguf_types import FILES
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack

# What a person asks for, by name; the other fields of a deployment follow from the model and the device.
ASKED = ("tp", "pp", "dp", "ep", "micro_batches", "dtype", "weight_dtype", "kv_dtype")
MOST_DEVICES = 2**20
USUAL_DTYPE = "bf16"  # where neither a person nor a checkpoint names one


@frozen_dataclass
class Deployment:
    """How the model is split and in which formats its numbers are.

    ``tp`` devices share every layer, ``pp`` groups of them hold consecutive layers, and ``dp`` replicas of all that
    serve different requests. Experts are spread over ``ep`` devices: of one replica where ``ep`` is at most ``tp``,
    else of several replicas, which then send each other tokens. The batch goes through the stages in
    ``micro_batches`` parts.

    ``dtype`` is the format of matrix products and their inputs. Where it is narrower than 16 bits, all else is in 16.
    Where none is asked for, ``settle_formats`` puts in the checkpoint's: ``own`` holds them by part of the layers, and
    ``formats_from`` says where the formats come from.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    micro_batches: int = 1
    dtype: str | None = None  # None: the checkpoint's own, bf16 where nothing is known of it
    weight_dtype: str | None = None  # None: as dtype
    kv_dtype: str | None = None  # None: as dtype, of 16 bits at least
    own: CheckpointFormats | None = None  # of the checkpoint, by part, where they are the ones that hold
    formats_from: str = "the options"

    def __post_init__(self) -> None:
        """Replace spellings of formats by their names.

        Raises:
            InputError: a format that does not exist, or one that nothing computes in.
        """
        for option in ("dtype", "weight_dtype", "kv_dtype"):
            name = getattr(self, option)
            if name is None:
                continue
            if not isinstance(name, str) or name not in FORMATS:
                object.__setattr__(self, option, find_format(name, option.replace("_", " ")))
        if FORMATS[self.input_dtype].math is None:
            raise InputError(
                f"dtype {self.dtype} is a format of stored weights, which nothing computes in (--weight-dtype takes it)"
            )

    @property
    def devices(self) -> int:
        """Devices in use."""
        return self.tp * self.pp * self.dp

    @property
    def expert_replicas(self) -> int:
        """Replicas of the model that share one set of experts."""
        return max(self.ep // self.tp, 1)

    @property
    def expert_tp(self) -> Any:
        """Devices that share the matrices of one expert."""
        return self.tp / self.ep if self.expert_replicas == 1 else 1

    @property
    def input_dtype(self) -> str:
        """Format of the products with weights."""
        return self.dtype or USUAL_DTYPE

    @property
    def wide_dtype(self) -> str:
        """Format of everything that is no operand of a matrix product with weights."""
        return WIDE[self.input_dtype] if self.own is None else self.own.dtype

    @property
    def cache_dtype(self) -> str:
        """Format of the KV cache."""
        return self.kv_dtype or self.wide_dtype

    @property
    def activation_bytes(self) -> Any:
        """Bytes of one activation."""
        return SIZES[self.wide_dtype]

    @property
    def stores_file(self) -> bool:
        """Whether weights are in a type of GGUF file, whose bits a weight hold for all its tensors, the head too."""
        return (self.weight_dtype or self.dtype) in FILES

    @property
    def kv_bytes(self) -> Any:
        """Bytes of one number in the KV cache."""
        return CACHE_SIZES[self.cache_dtype]

    @property
    def weights_label(self) -> str:
        """Formats of the weights in words."""
        return self.weight_dtype or self.input_dtype if self.own is None else self.own.label

    @property
    def layer_format(self) -> str:
        """Format of the weights of the layers; of the checkpoint's parts the first that has one of its own."""
        if self.own is None:
            return self.weight_dtype or self.input_dtype
        named = [part.weights for part in self.own.parts.values() if isinstance(part.weights, str)]
        return named[0] if named else self.own.dtype

    def weight_bytes_of(self, part: str) -> Any:
        """Bytes of one weight of a part of the layers, one of ``checkpoint.PARTS``."""
        return SIZES[self.weight_dtype or self.input_dtype] if self.own is None else self.own.weight_bytes_of(part)

    def input_bytes_of(self, part: str) -> Any:
        """Bytes of one number that a product with the weights of a part reads."""
        return SIZES[self.input_dtype if self.own is None else self.own.inputs_of(part) or self.own.dtype]

    def computes_wide(self, part: str) -> bool:
        """Whether products of a part are in the wide format while those of others are not."""
        return self.own is not None and self.own.inputs_of(part) != self.dtype != self.own.dtype


def check_deployment(deployment: Deployment, architecture: Architecture, hardware: Hardware, stack: Stack) -> None:
    """Refuse a layout that does not divide the model, that the stack cannot run or that the device cannot link.

    Raises:
        InputError: with the first reason found.
    """
    d, a = deployment, architecture
    sizes = {"tp": d.tp, "pp": d.pp, "dp": d.dp, "ep": d.ep, "micro-batches": d.micro_batches}
    for name, value in sizes.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if value > MOST_DEVICES:
            raise InputError(f"{name} is above {MOST_DEVICES}, which nobody runs")
    for group in a.groups:
        check_tensor_parallel(d, specialise(a, group), group)
    if d.pp > a.num_hidden_layers:
        raise InputError(f"pp {d.pp} is more stages than there are layers, num_hidden_layers {a.num_hidden_layers}")
    if stack.even_stages and a.num_hidden_layers % d.pp:
        raise InputError(
            f"pp {d.pp} does not divide num_hidden_layers {a.num_hidden_layers}, and {stack.name} has equal stages only"
        )
    check_experts(d, a)
    if d.devices > 1:
        check_links(d, hardware)


# Sizes of recurrent mixers that devices share.
HEADS_OF_STATES = ("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads", "mamba_heads", "mamba_width")


def check_tensor_parallel(deployment: Deployment, architecture: Architecture, group: LayerGroup) -> None:
    """Refuse devices that cannot share a group of layers evenly; ``architecture`` is as the group has it.

    Raises:
        InputError: with the first reason found.
    """
    d, a = deployment, architecture
    split: dict[str, Any] = {"num_attention_heads": a.num_attention_heads}
    if group.feed_forward == "dense":
        split["intermediate_size"] = a.intermediate_size
    split |= {name: size for name, size in (group.sizes or {}).items() if name in HEADS_OF_STATES}
    for name, size in split.items():
        if size % d.tp:
            raise InputError(f"tp {d.tp} does not divide {name} {size}")
    if a.kv_heads % d.tp and d.tp % a.kv_heads:
        raise InputError(f"tp {d.tp} neither divides num_key_value_heads {a.kv_heads} nor is a multiple of it")


def check_experts(deployment: Deployment, architecture: Architecture) -> None:
    """Refuse experts spread over devices that cannot hold them evenly.

    Raises:
        InputError: with the first reason found.
    """
    d, a = deployment, architecture
    if a.num_experts is None:
        if d.ep > 1:
            raise InputError(f"ep is {d.ep}, but the model has no experts")
        return
    if d.tp % d.ep and d.ep % d.tp:
        raise InputError(f"ep {d.ep} neither divides tp {d.tp} nor is a multiple of it")
    if d.dp % d.expert_replicas:
        raise InputError(f"ep {d.ep} over tp {d.tp} needs {d.expert_replicas} replicas of the model, and dp is {d.dp}")
    if a.num_experts % d.ep:
        raise InputError(f"ep {d.ep} does not divide num_experts {a.num_experts}")
    for name in ("moe_intermediate_size", "shared_expert_intermediate_size"):
        size, sharers = getattr(a, name), d.expert_tp if name.startswith("moe") else d.tp
        if size is not None and size % sharers:
            raise InputError(f"{name} {size} does not divide over the {sharers:g} devices that share it")


def check_links(deployment: Deployment, hardware: Hardware) -> None:
    """Refuse devices that nothing links together as the layout asks.

    Raises:
        InputError: no link, or a layer shared by more devices than one node links without a link between nodes.
    """
    if deployment.tp * deployment.pp > 1 or deployment.expert_replicas > 1:
        hardware.find_link(max(deployment.tp, deployment.ep))
