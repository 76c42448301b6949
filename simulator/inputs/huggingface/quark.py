"""``quantization_config`` of AMD's Quark."""

from __future__ import annotations

from typing import Any

from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.modules import Scheme
from simulator.inputs.huggingface.stored import integers, list_kept, read_group

# Types of Quark's numbers that this project has as formats; fp4 and fp6 have a scale of 8 bits for each 32 of them.
QUARK: dict[str, str | float] = {
    **{"fp4": "mxfp4", "fp6_e2m3": 6.25, "fp6_e3m2": 6.25, "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"},
    **{"int8": "int8", "uint4": "int4", "int4": "int4"},
}


def read_quark(part: Config) -> Scheme:
    """A global format of weights and inputs, layers with formats of their own, and names left out."""
    whole = part.part("global_quant_config")
    if whole is None or not whole.data.get("weight"):
        raise part.error("missing key 'global_quant_config.weight'")
    stored, dtype = read_quark_format(whole)
    layers = part.part("layer_quant_config")
    own = {} if layers is None else {name: layers.part(name) for name in layers.data}
    special = tuple((name, read_quark_format(one)[0]) for name, one in own.items() if one and one.data.get("weight"))
    caches = part.part("kv_cache_quant_config")
    kept = [] if caches is None else [caches.part(name) for name in caches.data]
    cache = next((one for one in kept if one is not None and one.data.get("output_tensors")), None)
    kv_dtype = None if cache is None else QUARK.get(find_quark_type(cache, "output_tensors")[0])
    cached = kv_dtype if isinstance(kv_dtype, str) else None
    return Scheme(stored, list_kept(part, "exclude"), special, kv_dtype=cached, label=f"quark, {dtype}")


def find_quark_type(whole: Config, key: str) -> tuple[str, Config]:
    """The name of a type of numbers and where it stands: the last of several steps, the element of a block format."""
    given: Any = whole.data.get(key)
    step = given[-1] if isinstance(given, list) and given else given
    part = Config(f"{whole.where}: {key}", step) if isinstance(step, dict) else whole.part(key)
    data = {} if part is None else part.data
    named = data.get("mx_element_dtype") if data.get("dtype") in ("mx", "mx6", "mx9") else data.get("dtype")
    return str(named), part or whole


def read_quark_format(whole: Config) -> tuple[PartFormat, str]:
    """The format of a part of Quark's that has ``weight`` and ``input_tensors``, and what it calls the weights'.

    Raises:
        InputError: an unknown type of numbers.
    """
    dtype, weights = find_quark_type(whole, "weight")
    if dtype not in QUARK:
        raise weights.error(f"dtype is {dtype!r}; known are {', '.join(QUARK)}")
    inputs = QUARK.get(find_quark_type(whole, "input_tensors")[0]) if whole.data.get("input_tensors") else None
    read = inputs if isinstance(inputs, str) else None
    name = QUARK[dtype]
    if name == "int4":
        return integers(4, read_group(weights, "group_size"), 4, read), dtype
    return PartFormat(name, read), dtype
