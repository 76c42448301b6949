"""Methods whose files say bits and groups, one function each.

Keys are those of Transformers' ``utils/quantization_config.py``, AutoRound, ExLlama and MLX.
"""

from __future__ import annotations

import re

from simulator.errors import suggest
from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import match_format
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.modules import Scheme
from simulator.inputs.huggingface.stored import (
    FP8,
    INT8,
    MOST_BITS,
    SCALE_BITS,
    blocks_of_fp8,
    integers,
    list_kept,
    read_bits,
    read_group,
    read_number,
    say,
)


def read_awq(part: Config) -> Scheme:
    """AWQ keeps a scale and, unless told not to, a zero for each group."""
    bits = read_bits(part, "bits", "w_bit", default=4)
    group = read_group(part, "group_size", "q_group_size", default=128)
    zero = bits if part.flag("zero_point", default=True) else 0
    kept = list_kept(part, "modules_to_not_convert")
    return Scheme(integers(bits, group, zero), kept, label=f"awq, {say(bits, group)}")


def read_gptq(part: Config) -> Scheme:
    """GPTQ's files hold zeros whether they are used or not; ``dynamic`` names modules that differ."""
    bits, group = read_bits(part, "bits"), read_group(part, "group_size", default=128)
    stored = integers(bits, group, bits)
    dynamic = part.part("dynamic")
    kept: list[str] = list(list_kept(part, "modules_to_not_convert"))
    special = []
    for key in () if dynamic is None else dynamic.data:
        pattern = f"re:{key[2:] if key[:2] in ('+:', '-:') else key}"
        if key.startswith("-:"):
            kept.append(pattern)
            continue
        own = dynamic.part(key) if dynamic is not None else None
        if own is not None:
            own_bits = read_bits(own, "bits", default=bits)
            special.append((pattern, integers(own_bits, read_group(own, "group_size", default=group), own_bits)))
    head = stored if part.flag("lm_head") else None
    return Scheme(stored, tuple(kept), tuple(special), head=head, label=f"gptq, {say(bits, group)}")


def read_auto_round(part: Config) -> Scheme:
    """AutoRound packs as GPTQ does; ``extra_config`` names modules that differ."""
    bits, group = read_bits(part, "bits"), read_group(part, "group_size", default=128)
    kind = str(part.data.get("data_type") or "int").lower()
    stored = integers(bits, group, bits)
    if kind in ("mx_fp", "nv_fp", "fp8", "mx_fp4", "nv_fp4"):
        stored = {"m": PartFormat("mxfp4" if bits == 4 else "mxfp8"), "n": PartFormat("nvfp4"), "f": FP8}[kind[0]]
    extra = part.part("extra_config")
    special, kept = [], list(list_kept(part, "modules_to_not_convert"))
    for name in () if extra is None else extra.data:
        own = extra.part(name) if extra is not None else None
        if own is None:
            continue
        own_bits = read_bits(own, "bits", default=bits)
        if own_bits >= MOST_BITS:
            kept.append(name)
        else:
            special.append((name, integers(own_bits, read_group(own, "group_size", default=group), own_bits)))
    return Scheme(stored, tuple(kept), tuple(special), label=f"auto-round, {say(bits, group)}")


def read_fp8(part: Config) -> Scheme:
    """A scale for each matrix, channel or block; inputs are brought to fp8."""
    kept = list_kept(part, "modules_to_not_convert", "ignored_layers")
    block = part.items("weight_block_size", int)
    return Scheme(blocks_of_fp8(part, list(block)), kept, label="fp8" + (" in blocks" if block else ""))


def read_bitsandbytes(part: Config) -> Scheme:
    """LLM.int8() multiplies in int8 (Dettmers et al. 2022, arXiv 2208.07339); four bits are of storage alone."""
    kept = list_kept(part, "llm_int8_skip_modules")
    if part.flag("load_in_8bit", "_load_in_8bit"):
        return Scheme(INT8, kept, label="bitsandbytes, 8 bits")
    if not part.flag("load_in_4bit", "_load_in_4bit"):
        raise part.error("neither load_in_4bit nor load_in_8bit")
    double = part.flag("bnb_4bit_use_double_quant")
    return Scheme(PartFormat("nf4-dq" if double else "nf4"), kept, label="bitsandbytes, 4 bits")


TORCHAO = re.compile(
    r"(?:(?P<inputs>int8|float8)(?:dynamic|static|semisparse)*activation)?(?P<kind>u?int|float|fp)(?P<bits>\d+)weight"
)


TORCHAO_FLOATS = {
    "nvfp4inference": PartFormat("nvfp4", "nvfp4"),
    "nvfp4dynamicactivationnvfp4weight": PartFormat("nvfp4", "nvfp4"),
    "nvfp4weightonly": PartFormat("nvfp4"),
    "mxfpinference": PartFormat("mxfp8", "mxfp8"),
    "mxdynamicactivationmxweight": PartFormat("mxfp8", "mxfp8"),
}


def read_torchao(part: Config) -> Scheme:
    """The type's name says bits of inputs and weights; of four bits, bf16 scales and zeros serve each group."""
    kept = list_kept(part, "modules_to_not_convert")
    given = part.data.get("quant_type")
    options = part.part("quant_type_kwargs")
    if isinstance(given, dict):
        outer = part.part("quant_type")
        inner = None if outer is None else (outer.part("default") or outer)
        if inner is None:
            raise part.error("missing key 'quant_type'")
        given, options = inner.data.get("_type"), inner.part("_data")
        named = None if options is None else options.part("module_fqn_to_config")
        default = None if named is None else named.part("_default")
        if default is not None:
            given, options = default.data.get("_type"), default.part("_data")
    if not isinstance(given, str):
        raise part.error("missing key 'quant_type'")
    plain = given.lower().replace("_", "").removesuffix("config")
    if plain in TORCHAO_FLOATS:
        return Scheme(TORCHAO_FLOATS[plain], kept, label=f"torchao, {given}")
    matched = TORCHAO.search(plain)
    if matched is None:
        known = "Int4WeightOnlyConfig, Int8DynamicActivationInt8WeightConfig, Float8WeightOnlyConfig and the like"
        raise part.error(f"unknown quant_type {given!r}; known are {known}")
    bits, floats = int(matched["bits"]), not matched["kind"].endswith("int")
    if not 1 <= bits <= MOST_BITS:
        raise part.error(f"quant_type {given!r}: {bits} bits")
    inputs = {None: None, "int8": "int8", "float8": "fp8"}[matched["inputs"]]
    if floats:
        stored = PartFormat("fp8" if bits == 8 else float(bits), inputs)
        group = None
    else:
        usual = None if bits == 8 else 32 if inputs else 128
        group = usual if options is None else read_group(options, "group_size", default=usual)
        stored = integers(bits, group, SCALE_BITS, inputs)
    tables = stored if part.flag("include_input_output_embeddings") else None
    return Scheme(stored, kept, head=tables, embedding=tables, label=f"torchao, {say(bits, group)}")


def read_hqq(part: Config) -> Scheme:
    """HQQ keeps a scale and a zero of 16 bits for each group."""
    given = part.part("quant_config") or part
    given = given.part("weight_quant_params") or given
    bits, group = read_bits(given, "nbits", "bits"), read_group(given, "group_size", default=64)
    kept = list_kept(part, "skip_modules")
    return Scheme(integers(bits, group, SCALE_BITS), kept, label=f"hqq, {say(bits, group)}")


def read_exl(part: Config) -> Scheme:
    """ExLlama mixes sizes so that all matrices together have so many bits, scales included; the head has its own."""
    bits, head = read_number(part, "bits"), read_number(part, "head_bits", 6)
    label = f"{part.data.get('quant_method')}, {bits:g} bits"
    return Scheme(PartFormat(bits), head=PartFormat(head), label=label)


def read_mxfp4(part: Config) -> Scheme:
    """The experts alone, with inputs of 16 bits, as gpt-oss is published (arXiv 2508.10925, section 2.1)."""
    kept = list_kept(part, "modules_to_not_convert")
    return Scheme(None, kept, experts=PartFormat("mxfp4"), label="mxfp4 experts")


def read_mxfp8(part: Config) -> Scheme:
    """A scale of 8 bits for each 32 weights, and inputs likewise."""
    return Scheme(PartFormat("mxfp8", "mxfp8"), list_kept(part, "modules_to_not_convert", "ignored_layers"))


def read_mlx(part: Config) -> Scheme:
    """MLX keeps a scale and a bias of 16 bits for each group, of the token table and the head too."""
    stored, label = read_mlx_format(part, None)
    kept, special = [], []
    for name, own in part.data.items():
        if own is False:
            kept.append(name)
        elif isinstance(own, dict):
            special.append((name, read_mlx_format(Config(f"{part.where}: {name}", own), part)[0]))
    return Scheme(stored, tuple(kept), tuple(special), head=stored, embedding=stored, label=label)


def read_mlx_format(part: Config, outer: Config | None) -> tuple[PartFormat, str]:
    """The format of MLX's group_size, bits and mode, and its words; a module's own fall back on the file's."""
    part = part if outer is None else Config(part.where, {**outer.data, **part.data})
    mode = part.data.get("mode") or "affine"
    if mode in ("mxfp4", "mxfp8", "nvfp4"):
        return PartFormat(str(mode)), f"MLX, {mode}"
    if mode != "affine":
        raise part.error(f"mode is {mode!r}; known are affine, mxfp4, mxfp8 and nvfp4")
    bits, group = read_bits(part, "bits"), read_group(part, "group_size", default=64)
    return integers(bits, group, SCALE_BITS), f"MLX, {say(bits, group)}"


def read_mistral(part: Config) -> Scheme:
    """Mistral's own files name the format of weights alone; inputs are brought to it."""
    named = part.data.get("qformat_weight")
    if not isinstance(named, str) or match_format(named.lower()) != "fp8":
        raise part.error(f"qformat_weight is {named!r}; known is fp8_e4m3")
    return Scheme(FP8, label="fp8")


def read_quanto(part: Config) -> Scheme:
    """Quanto's names of weights: int8, int4, int2, float8; groups of 128 below eight bits."""
    named = str(part.data.get("weights"))
    known: dict[str, PartFormat] = {
        "int8": integers(8, None),
        "int4": integers(4, 128, SCALE_BITS),
        "int2": integers(2, 128, SCALE_BITS),
        "float8": PartFormat("fp8"),
    }
    if named not in known:
        raise part.error(suggest(f"weights: unknown format '{named}'", named, known))
    return Scheme(known[named], list_kept(part, "modules_to_not_convert"), label=f"quanto, {named}")


def read_aqlm(part: Config) -> Scheme:
    """Codes into codebooks for each group of inputs (Egiazarian et al. 2024, arXiv 2401.06118)."""
    codes = read_bits(part, "nbits_per_codebook", default=16) * (part.whole("num_codebooks", default=1) or 1)
    bits = codes / (part.whole("in_group_size", default=8) or 8)
    return Scheme(PartFormat(bits), list_kept(part, "linear_weights_not_to_quantize"), label=f"aqlm, {bits:g} bits")


def read_int8(part: Config) -> Scheme:
    """Weights and inputs of eight bits, whatever else the file says."""
    return Scheme(INT8, list_kept(part, "modules_to_not_convert", "ignore"), label="int8")


def read_fp_quant(part: Config) -> Scheme:
    """FP-Quant: weights and inputs of four bits in ``forward_dtype``, mxfp4 or nvfp4."""
    named = str(part.data.get("forward_dtype", "mxfp4")).lower()
    if named not in ("mxfp4", "nvfp4"):
        raise part.error(f"forward_dtype is {named!r}; known are mxfp4 and nvfp4")
    return Scheme(PartFormat(named, named), list_kept(part, "modules_to_not_convert"), label=f"fp_quant, {named}")


def read_by_bits(part: Config) -> Scheme:
    """A method of which the bits alone count here."""
    bits = read_number(part, "bits", 8)
    named = part.data.get("quant_method")
    return Scheme(PartFormat(bits), list_kept(part, "modules_to_not_convert"), label=f"{named}, {bits:g} bits")


def read_bitnet(part: Config) -> Scheme:
    """Three values in two bits, with inputs of int8 (arXiv 2402.17764)."""
    return Scheme(PartFormat(2.0, "int8"), list_kept(part, "modules_to_not_convert"), label="bitnet, 2 bits")
