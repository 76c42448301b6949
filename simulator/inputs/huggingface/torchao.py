"""``quantization_config`` of torchao: one type for all modules, or one for each name."""

from __future__ import annotations

import re

from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.modules import Scheme
from simulator.inputs.huggingface.stored import MOST_BITS, SCALE_BITS, integers, list_kept, read_bits, read_group, say

PLAIN = re.compile(
    r"(?:(?P<inputs>int[48]|float8)(?:dynamic|static|semisparse)*activation)?"
    r"(?P<kind>u?int|float|fp)(?P<bits>\d+)weight"
)
# Types of other words; the formats of floats have scales of their own.
FLOATS = {
    "nvfp4inference": PartFormat("nvfp4", "nvfp4"),
    "nvfp4dynamicactivationnvfp4weight": PartFormat("nvfp4", "nvfp4"),
    "nvfp4weightonly": PartFormat("nvfp4"),
    "mxfpinference": PartFormat("mxfp8", "mxfp8"),
    "mxdynamicactivationmxweight": PartFormat("mxfp8", "mxfp8"),
}
OF_ANY_BITS = {"int8dynamicactivationintxweight": "int8", "intxweightonly": None}
INPUTS = {None: None, "int4": "int4", "int8": "int8", "float8": "fp8"}


def read_torchao(part: Config) -> Scheme:
    """The type's name says bits of inputs and weights; modules may have types of their own, or none."""
    kept = list(list_kept(part, "modules_to_not_convert"))
    given = part.data.get("quant_type")
    if not isinstance(given, dict):
        stored, words = read_type(part, given, part.part("quant_type_kwargs"))
    else:
        outer = part.part("quant_type") or part
        own = outer.part("default") or outer
        options = own.part("_data")
        named = None if options is None else options.part("module_fqn_to_config") or options.part("fqn_to_config")
        if named is not None:
            return read_named(part, named, kept)
        stored, words = read_type(part, own.data.get("_type"), options)
    tables = stored if part.flag("include_input_output_embeddings") else None
    return Scheme(stored, tuple(kept), head=tables, embedding=tables, label=f"torchao, {words}")


def read_named(part: Config, named: Config, kept: list[str]) -> Scheme:
    """Types of modules by name; ``_default`` is that of all others, and null keeps a module wide."""
    default, label, special = None, "by module", []
    for name in named.data:
        own = named.part(name)
        if own is None:
            kept.append(name)
            continue
        stored, words = read_type(part, own.data.get("_type"), own.part("_data"))
        if name == "_default":
            default, label = stored, words
        else:
            special.append((name, stored))
    return Scheme(default, tuple(kept), tuple(special), label=f"torchao, {label}")


def read_type(part: Config, given: object, options: Config | None) -> tuple[PartFormat, str]:
    """The format of one type, and its words; of four bits, bf16 scales and zeros serve each group.

    Raises:
        InputError: an unknown type.
    """
    if not isinstance(given, str):
        raise part.error("missing key 'quant_type'")
    plain = given.lower().replace("_", "").removesuffix("config")
    options = options or Config(part.where, {})
    if plain in FLOATS:
        return FLOATS[plain], given
    if plain in OF_ANY_BITS:
        grain = options.part("weight_granularity") or options.part("granularity")
        grain = None if grain is None else grain.part("_data")
        bits, group = read_integer_bits(options, "weight_dtype"), read_group(grain or options, "group_size")
        return integers(bits, group, 0, OF_ANY_BITS[plain]), say(bits, group)
    if plain == "fpxweightonly":
        bits = 1 + read_bits(options, "ebits") + read_bits(options, "mbits")
        return PartFormat(float(bits)), say(bits, None)
    if plain in ("uintxweightonly", "gemliteuintxweightonly"):
        bits = read_integer_bits(options, "dtype") if plain[0] == "u" else read_bits(options, "bit_width", default=4)
        group = read_group(options, "group_size", default=64 if plain[0] == "u" else 128)
        return integers(bits, group, SCALE_BITS), say(bits, group)
    return read_plain_type(part, given, plain, options)


def read_plain_type(part: Config, given: str, plain: str, options: Config) -> tuple[PartFormat, str]:
    """The format of a type whose name has all its bits.

    Raises:
        InputError: an unknown one, or bits that no weight has.
    """
    matched = PLAIN.search(plain)
    if matched is None:
        known = "Int4WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig, Float8WeightOnlyConfig and the like"
        raise part.error(f"unknown quant_type {given!r}; known are {known}")
    bits, inputs = int(matched["bits"]), INPUTS[matched["inputs"]]
    if not 1 <= bits <= MOST_BITS:
        raise part.error(f"quant_type {given!r}: {bits} bits")
    if not matched["kind"].endswith("int"):
        return PartFormat("fp8" if bits == 8 else float(bits), inputs), say(bits, None)
    usual = None if bits == 8 else 32 if inputs == "int8" else 128
    group = read_group(options, "group_size", default=usual)
    return integers(bits, group, SCALE_BITS, inputs), say(bits, group)


def read_integer_bits(options: Config, key: str) -> int:
    """Bits of a type of integers, such as ``{"_data": "int4", "_type": "torch.dtype"}``.

    Raises:
        InputError: none, or no type of integers.
    """
    own = options.part(key) if isinstance(options.data.get(key), dict) else None
    named = options.data.get(key) if own is None else own.data.get("_data")
    matched = re.fullmatch(r"(?:torch\.)?u?int([1-8])", str(named))
    if matched is None:
        raise options.error(f"{key} is {named!r}; it must be a type of 1 to 8 bits such as int4")
    return int(matched[1])
