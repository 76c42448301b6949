"""``quantization_config`` of a checkpoint, and its relatives, as formats by part of a model's layers.

Each method is one function and one line of ``METHODS``. What it says is a ``Scheme``: the format of the matrices, names
of modules that stay wide or have a format of their own, and the cache. ``modules.py`` finds the parts of these names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulator.errors import suggest
from simulator.inputs.architecture import Architecture
from simulator.inputs.checkpoint import CheckpointFormats, PartFormat
from simulator.inputs.formats import FORMATS, UNSTATED, match_format
from simulator.inputs.huggingface.arguments import read_compressed_tensors, read_modelopt
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.methods import (
    read_aqlm,
    read_auto_round,
    read_awq,
    read_bitnet,
    read_bitsandbytes,
    read_by_bits,
    read_exl,
    read_experts_int8,
    read_fp8,
    read_fp_quant,
    read_gemma,
    read_gptq,
    read_hqq,
    read_int8,
    read_metal,
    read_mistral,
    read_mlx,
    read_mxfp4,
    read_mxfp8,
    read_nvfp4,
    read_qqq,
    read_quanto,
    read_vptq,
)
from simulator.inputs.huggingface.modules import Scheme, place_scheme
from simulator.inputs.huggingface.quark import read_quark
from simulator.inputs.huggingface.stored import MOST_BITS
from simulator.inputs.huggingface.torchao import read_torchao
from simulator.specfile import read_spec

# What tools write beside a ``config.json``: NVIDIA's Model Optimizer, AutoGPTQ and AutoAWQ.
BESIDE = {"hf_quant_config.json": "", "quantize_config.json": "gptq", "quant_config.json": "awq"}


def read_formats(
    config: Config, inner: Config, path: Path, architecture: Architecture, order: Sequence[int]
) -> CheckpointFormats | None:
    """Formats that a ``config.json`` and what lies beside it say; None where they say none.

    Args:
        config: the whole file.
        inner: the part of the text model.
        path: where the file lies.
        architecture: as read from it.
        order: the place of each layer's group, for names of modules that say a layer.

    Raises:
        InputError: a method that is not known, with the nearest, or a key that cannot be.
    """
    dtype = read_dtype(inner) or read_dtype(config)
    found = find_part(config) or find_part(inner) or find_beside(path)
    if found is None:
        return None if dtype is None else CheckpointFormats(dtype=dtype, origin=f"{dtype} in {path.name}")
    origin, part = found
    method = find_method(part)
    scheme = set_experts_apart(METHODS[method](part), part, inner, config)
    parts: dict[str, Any] = place_scheme(scheme, architecture, order, part.where, inner.model_type())
    origin = f"{origin}: {scheme.label or method}"
    return CheckpointFormats(dtype=dtype or "bf16", kv_dtype=scheme.kv_dtype, origin=origin, **parts)


def set_experts_apart(scheme: Scheme, *files: Config) -> Scheme:
    """The scheme with ``expert_dtype``, as DeepSeek-V4 has it: routed experts in fp4, a scale of 8 bits for each 32.

    Raises:
        InputError: an ``expert_dtype`` that is not known.
    """
    where = next((file for file in files if file.data.get("expert_dtype") is not None), None)
    if where is None:
        return scheme
    named = where.data["expert_dtype"]
    if named not in ("fp4", "fp8"):
        raise where.error(f"expert_dtype is {named!r}; known are fp4 and fp8")
    inputs = None if scheme.default is None else scheme.default.inputs
    stored = PartFormat("mxfp4", inputs) if named == "fp4" else scheme.default
    return scheme._replace(experts=stored, label=f"{scheme.label}, experts {named}")


def read_dtype(config: Config) -> str | None:
    """The format that a file names for its numbers; None where it names none that is computed in as a whole.

    Raises:
        InputError: no such format.
    """
    text = config.data.get("dtype", config.data.get("torch_dtype"))
    if text is None or (isinstance(text, str) and text.lower() in UNSTATED):
        return None
    found = match_format(text.lower()) if isinstance(text, str) else None
    if found is None or FORMATS[found].math is None:
        raise config.error(f"torch_dtype is {text!r}; it must be one of bfloat16, float16, float32")
    return found if FORMATS[found].bits >= MOST_BITS else None


def find_part(config: Config) -> tuple[str, Config] | None:
    """The part of a file that is about quantization, and its key; MLX calls it ``quantization``."""
    for key in ("quantization_config", "compression_config", "quantization"):
        part = config.part(key)
        if part is not None and part.data:
            return key, part.part("quantization") or part  # Model Optimizer's, as it lies in a file of its own
    return None


def find_beside(path: Path) -> tuple[str, Config] | None:
    """The file that a tool has written beside a ``config.json``, with its method where the file names none."""
    for name, method in BESIDE.items():
        beside = path.parent / name
        if beside.is_file():
            whole = Config(str(beside), read_spec(beside).data)
            part = whole.part("quantization") or whole
            usual = {"quant_method": method} if method else {}
            return name, Config(part.where, usual | part.data)
    return None


def find_method(part: Config) -> str:
    """The method's name in ``METHODS``.

    Raises:
        InputError: none is named and the keys are of none, or an unknown one.
    """
    named = part.data.get("quant_method")
    if named is None:
        for key, method in KEYS.items():
            if key in part.data:
                return method
        raise part.error("missing key 'quant_method'")
    if not isinstance(named, str):
        raise part.error(f"quant_method is {named!r}; it must be text")
    if named.lower() == "nvfp4" and MODELOPT.keys() & part.data.keys():
        return "modelopt"
    name = named.lower().replace("_", "-").removeprefix("intel/").removeprefix("quantizationmethod.").partition(":")[0]
    name = SPELLINGS.get(name, name)
    if name not in METHODS:
        raise part.error(suggest(f"unknown quant_method '{named}'", name, METHODS))
    return name


METHODS: dict[str, Callable[[Config], Scheme]] = {
    "awq": read_awq,
    "gptq": read_gptq,
    "auto-round": read_auto_round,
    "fp8": read_fp8,
    "fbgemm-fp8": read_fp8,
    "compressed-tensors": read_compressed_tensors,
    "bitsandbytes": read_bitsandbytes,
    "torchao": read_torchao,
    "hqq": read_hqq,
    "exl2": read_exl,
    "exl3": read_exl,
    "mxfp4": read_mxfp4,
    "mxfp8": read_mxfp8,
    "modelopt": read_modelopt,
    "quark": read_quark,
    "quanto": read_quanto,
    "aqlm": read_aqlm,
    "bitnet": read_bitnet,
    "eetq": read_by_bits,
    "higgs": read_by_bits,
    "vptq": read_vptq,
    "spqr": read_by_bits,
    "sinq": read_by_bits,
    "ipex": read_by_bits,
    "deepspeedfp": read_by_bits,
    "squeezellm": read_by_bits,
    "experts-int8": read_experts_int8,
    "qqq": read_qqq,
    "w8a8-int8": read_int8,
    "fp-quant": read_fp_quant,
    "mlx": read_mlx,
    "mistral": read_mistral,
    "metal": read_metal,
    "fouroversix": read_nvfp4,
    "gemma": read_gemma,
    "nvfp4": read_nvfp4,
}
SPELLINGS = {
    "autoround": "auto-round",
    "gptqmodel": "gptq",
    "gptq-marlin": "gptq",
    "marlin": "gptq",
    "awq-marlin": "awq",
    "modelopt-fp4": "modelopt",
    "modelopt-mixed": "modelopt",
    "modelopt-nvfp4": "modelopt",
    "bnb": "bitsandbytes",
    "bits-and-bytes": "bitsandbytes",
    "tpu-int8": "ipex",
    "finegrained-fp8": "fp8",
    "w8a8-fp8": "fp8",
    "bitblas": "gptq",
    "gptq-bitblas": "gptq",
    "moe-wna16": "gptq",
    "petit-nvfp4": "modelopt",
    "inc": "auto-round",
    "sparseml": "compressed-tensors",
}
# Keys that tell a method where none is named.
MODELOPT = {"quant_algo": "modelopt", "quantized_layers": "modelopt"}
KEYS = {
    **MODELOPT,
    "config_groups": "compressed-tensors",
    "load_in_4bit": "bitsandbytes",
    "load_in_8bit": "bitsandbytes",
    "qformat_weight": "mistral",
    "w_bit": "awq",
    "mode": "mlx",
    "group_size": "mlx",
}
