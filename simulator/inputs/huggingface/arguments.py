"""Methods whose files describe weights, inputs and cache apart: compressed-tensors, Model Optimizer.

Keys are those of compressed-tensors' ``quant_args.py``, of vLLM's ``model_executor/layers/quantization``, and of the
``hf_quant_config.json`` that NVIDIA's Model Optimizer writes.
"""

from __future__ import annotations

import re

from simulator.errors import suggest
from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import UNSTATED, match_format
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.modules import Scheme
from simulator.inputs.huggingface.stored import (
    FP8,
    INT8,
    MOST_BITS,
    NVFP4,
    blocks_of_fp8,
    integers,
    list_kept,
    read_bits,
    read_group,
)


def read_compressed_tensors(part: Config) -> Scheme:
    """Groups of targets, each with the arguments of weights and of inputs; an unignored head is a target too."""
    groups = part.part("config_groups")
    if groups is None:
        raise part.error("missing key 'config_groups'")
    default, special = None, []
    for name in groups.data:
        group = groups.part(name)
        if group is None:
            continue
        stored = halve_sparse(part, read_arguments(group))
        for target in group.items("targets", str) or ["Linear"]:
            if target == "Linear":
                default = stored
            elif stored is not None:
                special.append((target, stored))
    kept = list_kept(part, "ignore")
    label = f"compressed-tensors, {part.data.get('format') or 'no format'}"
    return Scheme(default, kept, tuple(special), head=default, kv_dtype=read_cache(part), label=label)


def read_arguments(group: Config) -> PartFormat | None:
    """The format of compressed-tensors' arguments of weights and of inputs; None: the weights stay wide.

    Raises:
        InputError: a key that cannot be.
    """
    weights, given = group.part("weights"), group.part("input_activations")
    if weights is None:
        return None
    bits, kind = read_bits(weights, "num_bits"), read_kind(weights)
    size = read_group(weights, "group_size")
    inputs = None if given is None else name_number(given, read_bits(given, "num_bits"), read_kind(given))
    if kind == "float" and bits == 4:
        return PartFormat("mxfp4" if size == 32 else "nvfp4", inputs)
    if kind == "float":
        if size == 32:
            return PartFormat("mxfp8", inputs)
        block = read_block(weights)
        return PartFormat(blocks_of_fp8(weights, block).weights if bits == 8 else float(bits), inputs)
    zero = 0 if weights.flag("symmetric", default=True) else bits
    return integers(bits, size, zero, inputs)


def read_block(weights: Config) -> list[int]:
    """Sizes of a block that shares a scale: a list, or ``128x128``; empty where there is none."""
    given = weights.data.get("block_structure")
    matched = re.fullmatch(r"(\d{1,9})x(\d{1,9})", given) if isinstance(given, str) else None
    return [int(size) for size in matched.groups()] if matched else list(weights.items("block_structure", int))


def halve_sparse(part: Config, stored: PartFormat | None) -> PartFormat | None:
    """Of weights two of each four of which are zero, half the numbers and a bit for each place are stored."""
    sparse = part.part("sparsity_config")
    kind = part.data.get("format") if sparse is None else sparse.data.get("format")
    if stored is None or kind not in ("sparse-24-bitmask", "marlin-24"):
        return stored
    return PartFormat(8 * stored.weight_bytes / 2 + 1, stored.inputs)


def read_kind(part: Config) -> str:
    """Whether numbers are ``int`` or ``float``.

    Raises:
        InputError: neither.
    """
    kind = part.data.get("type", "int")
    if kind not in ("int", "float"):
        raise part.error(f"type is {kind!r}; it must be int or float")
    return str(kind)


def name_number(part: Config, bits: int, kind: str) -> str | None:
    """The format of inputs or of a cache; None: as wide as all else.

    Raises:
        InputError: bits that nothing computes in.
    """
    if bits >= MOST_BITS:
        return None
    names = {("int", 8): "int8", ("float", 8): "fp8", ("int", 4): "int4", ("float", 4): "nvfp4"}
    if (kind, bits) not in names:
        raise part.error(f"num_bits is {bits}; {kind} numbers of inputs and caches have 4 or 8")
    if (kind, bits) == ("float", 4) and part.data.get("group_size") == 32:
        return "mxfp4"
    return names[kind, bits]


def read_cache(part: Config) -> str | None:
    """The format of the KV cache: ``kv_cache_scheme``, or the name that the Model Optimizer gives it.

    Raises:
        InputError: a name or numbers of none.
    """
    named = part.data.get("kv_cache_quant_algo")
    if named is not None and str(named).lower() not in UNSTATED:
        found = match_format(str(named).lower().removeprefix("kv_").removesuffix("_affine").removesuffix("_cast"))
        if found is None:
            raise part.error(f"kv_cache_quant_algo is {named!r}; known are FP8, NVFP4 and INT8")
        return found
    if not isinstance(part.data.get("kv_cache_scheme"), dict):
        return None
    scheme = part.part("kv_cache_scheme")
    return None if scheme is None else name_number(scheme, read_bits(scheme, "num_bits"), read_kind(scheme))


ALGORITHMS: dict[str, PartFormat | None] = {
    "fp8": FP8,
    "fp8_per_channel_per_token": FP8,
    "fp8_pb_wo": PartFormat("fp8-block", "fp8"),
    "fp8_pb_real": PartFormat("fp8-block", "fp8"),
    "fp8_block_scales": PartFormat("fp8-block", "fp8"),
    "nvfp4": NVFP4,
    "nvfp4_awq": NVFP4,
    "nvfp4_svdquant": NVFP4,
    "w4a16_nvfp4": PartFormat("nvfp4"),
    "nvfp4_w4a16": PartFormat("nvfp4"),
    "w4a8_nvfp4_fp8": PartFormat("nvfp4", "fp8"),
    "w4a8_mxfp4_fp8": PartFormat("mxfp4", "fp8"),
    "w4a16_mxfp4": PartFormat("mxfp4"),
    "mxfp4": PartFormat("mxfp4", "mxfp4"),
    "mxfp8": PartFormat("mxfp8", "mxfp8"),
    "w4a16": integers(4, 128),
    "w4a16_awq": integers(4, 128),
    "w4a16_gptq": integers(4, 128),
    "w4a8_awq": integers(4, 128, 0, "fp8"),
    "w8a16": integers(8, None),
    "w8a16_gptq": integers(8, 128),
    "int8_sq": INT8,
    "int8_wo": integers(8, None),
    "w8a8_sq_per_channel": INT8,
    "w8a8_sq_per_tensor": INT8,
    "w8a8_sq_per_channel_per_token_plugin": INT8,
    "none": None,
}


def read_modelopt(part: Config) -> Scheme:
    """``quant_algo`` names inputs and weights at once; ``quantized_layers`` gives modules their own."""
    kept = list_kept(part, "exclude_modules", "ignore")
    named = part.data.get("quant_algo")
    special = read_layers(part)
    mixed = special or str(named).lower() == "mixed_precision"
    if named is None and not mixed:
        return read_compressed_tensors(part)._replace(head=None)
    default = None if mixed else read_algorithm(part)
    label = f"modelopt, {named}"
    return Scheme(default, kept, special, kv_dtype=read_cache(part), label=label)


def read_layers(part: Config) -> tuple[tuple[str, PartFormat], ...]:
    """Modules that ``quantized_layers`` gives a format of their own."""
    layers = part.part("quantized_layers")
    given = {} if layers is None else {name: layers.part(name) for name in layers.data}
    stored = {name: read_algorithm(own) for name, own in given.items() if own is not None}
    return tuple((name, one) for name, one in stored.items() if one is not None)


def read_algorithm(part: Config) -> PartFormat | None:
    """The format of a ``quant_algo``.

    Raises:
        InputError: an unknown one, with the nearest.
    """
    named = part.data.get("quant_algo")
    name = "none" if named is None else str(named).lower()
    if name not in ALGORITHMS:
        raise part.error(suggest(f"unknown quant_algo '{named}'", name, ALGORITHMS))
    stored, group = ALGORITHMS[name], read_group(part, "group_size")
    if name in ("w4a16", "w4a16_awq", "w4a8_awq") and group is not None and stored is not None:
        return integers(4, group, 0, stored.inputs)
    return stored
