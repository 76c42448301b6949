"""Methods whose files say bits and groups, one function each.

Keys are those of Transformers' ``utils/quantization_config.py``, AutoRound, ExLlama and MLX.
"""

from __future__ import annotations

from math import log2

from simulator.errors import suggest
from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import match_format
from simulator.inputs.huggingface.arguments import read_layers
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.modules import Scheme
from simulator.inputs.huggingface.stored import (
    FP8,
    INT8,
    MOST_BITS,
    NVFP4,
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
    kind = str(part.data.get("data_type") or "int")
    inputs = name_auto_round(str(part.data.get("act_data_type") or kind), read_bits(part, "act_bits", default=16))
    named = name_auto_round(kind, bits)
    floats = named is not None and not named.startswith("int")
    stored = PartFormat(named, inputs) if named is not None and floats else integers(bits, group, bits, inputs)
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


def name_auto_round(kind: str, bits: int) -> str | None:
    """The format that AutoRound calls so: ``mx_fp``, ``nv_fp4_with_static_gs``, ``fp8_static``, ``int``; None: wide."""
    if bits > 8:
        return None
    lower = kind.lower()
    if lower.startswith("mx"):
        return "mxfp4" if bits == 4 else "mxfp8"
    if lower.startswith("nv"):
        return "nvfp4"
    return "fp8" if lower.startswith("fp") else {8: "int8", 4: "int4"}.get(bits)


def read_fp8(part: Config) -> Scheme:
    """A scale for each matrix, channel or block; inputs are brought to fp8. Modules quantized anew have their own."""
    kept = list_kept(part, "modules_to_not_convert", "ignored_layers")
    block = part.items("weight_block_size", int)
    words = "fp8" + (" in blocks" if block else "")
    return Scheme(blocks_of_fp8(part, list(block)), kept, read_layers(part), label=words)


def read_bitsandbytes(part: Config) -> Scheme:
    """LLM.int8() multiplies in int8 (Dettmers et al. 2022, arXiv 2208.07339); four bits are of storage alone."""
    kept = list_kept(part, "llm_int8_skip_modules")
    if part.flag("load_in_8bit", "_load_in_8bit"):
        return Scheme(INT8, kept, label="bitsandbytes, 8 bits")
    if not part.flag("load_in_4bit", "_load_in_4bit"):
        raise part.error("neither load_in_4bit nor load_in_8bit")
    double = part.flag("bnb_4bit_use_double_quant")
    return Scheme(PartFormat("nf4-dq" if double else "nf4"), kept, label="bitsandbytes, 4 bits")


def read_hqq(part: Config) -> Scheme:
    """HQQ keeps a scale and a zero for each group, of 16 bits unless they are quantized; modules may have their own."""
    given, kept = part.part("quant_config") or part, list_kept(part, "skip_modules")
    own = [(name, given.part(name)) for name in given.data if isinstance(given.data[name], dict)]
    special = tuple((name, read_hqq_format(one)[0]) for name, one in own if one and "weight_quant_params" in one.data)
    if special and "weight_quant_params" not in given.data:
        return Scheme(None, kept, special, label="hqq, by module")
    stored, words = read_hqq_format(given)
    return Scheme(stored, kept, label=f"hqq, {words}")


def read_hqq_format(given: Config) -> tuple[PartFormat, str]:
    """The format of HQQ's parameters of weights, scales and zeros, and its words."""
    weights = given.part("weight_quant_params") or given
    bits, group = read_bits(weights, "nbits", "bits"), read_group(weights, "group_size", default=64)
    scales, zeros = (count_meta_bits(given.part(f"{what}_quant_params")) for what in ("scale", "zero"))
    if group is None:
        return integers(bits, None), say(bits, group)
    return PartFormat(bits + (scales + zeros) / group), say(bits, group)


def count_meta_bits(given: Config | None) -> float:
    """Bits of a scale or a zero of HQQ; where these are quantized, with their own scale and zero of 16 bits."""
    if given is None or not given.data:
        return SCALE_BITS
    bits, group = read_bits(given, "nbits", default=8), read_group(given, "group_size", default=None)
    return bits + (0 if group is None else 2 * SCALE_BITS / group)


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


def read_nvfp4(part: Config) -> Scheme:
    """Transformers' own: weights and inputs in nvfp4, or as FourOverSix scales them; the files may name no more."""
    named = part.data.get("quant_method")
    return Scheme(
        NVFP4, list_kept(part, "modules_to_not_convert"), label="nvfp4" if named == "nvfp4" else f"{named}, nvfp4"
    )


def read_metal(part: Config) -> Scheme:
    """A scale and a bias for each group, as MLX has it, of the layers' matrices alone."""
    bits, group = read_bits(part, "bits", default=4), read_group(part, "group_size", default=64)
    kept = list_kept(part, "modules_to_not_convert")
    return Scheme(integers(bits, group, SCALE_BITS), kept, label=f"metal, {say(bits, group)}")


def read_gemma(part: Config) -> Scheme:
    """Google's of Gemma: a scale for each channel, bits of 2, 4 or 8 by expressions of names that are searched for."""
    bits = read_bits(part, "num_bits", default=4)
    given = part.part("module_quant_configs")
    own = [] if given is None else [(name, given.part(name)) for name in given.data]
    special = tuple(
        (f"re:.*(?:{name})", integers(read_bits(one, "num_bits", default=bits), None)) for name, one in own if one
    )
    kept = list_kept(part, "modules_to_not_convert")
    table = integers(bits, None) if part.flag("quantize_embeddings") else None
    return Scheme(integers(bits, None), kept, special, embedding=table, label=f"gemma, {say(bits, None)}")


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
    named = str(part.data.get("weights")).removeprefix("q")
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


def read_experts_int8(part: Config) -> Scheme:
    """vLLM's: the routed experts in int8 with a scale a channel, all else wide."""
    return Scheme(None, experts=integers(8, None), label="experts in int8")


def read_qqq(part: Config) -> Scheme:
    """QQQ: weights of four bits in groups, inputs of int8 (Zhang et al. 2024, arXiv 2406.09904)."""
    bits, group = read_bits(part, "wbits", "bits", default=4), read_group(part, "group_size", default=128)
    return Scheme(integers(bits, group, 0, "int8"), label=f"qqq, {say(bits, group)}")


def read_fp_quant(part: Config) -> Scheme:
    """FP-Quant: weights and inputs of four bits in ``forward_dtype``, mxfp4 or nvfp4."""
    named = str(part.data.get("forward_dtype", "mxfp4")).lower()
    if named not in ("mxfp4", "nvfp4"):
        raise part.error(f"forward_dtype is {named!r}; known are mxfp4 and nvfp4")
    return Scheme(PartFormat(named, named), list_kept(part, "modules_to_not_convert"), label=f"fp_quant, {named}")


def read_by_bits(part: Config) -> Scheme:
    """A method of which the bits alone count here."""
    key = next((one for one in ("bits", "nbits", "wbits") if one in part.data), "bits")
    bits = read_number(part, key, 8)
    named = part.data.get("quant_method")
    return Scheme(PartFormat(bits), list_kept(part, "modules_to_not_convert"), label=f"{named}, {bits:g} bits")


def read_vptq(part: Config) -> Scheme:
    """Vectors of weights as indices of centroids, and their remainders (Liu et al. 2024, arXiv 2409.17066)."""
    kept = list_kept(part, "modules_to_not_convert")
    layers, shared = part.part("config_for_layers"), part.part("shared_layer_config")
    given = layers if layers is not None and layers.data else shared
    if given is None or not given.data:
        return read_by_bits(part)
    found = {name: count_vptq_bits(own) for name in given.data if (own := given.part(name)) is not None}
    if not found:
        raise part.error("no layer in config_for_layers")
    mean = sum(found.values()) / len(found)
    special = tuple((name, PartFormat(bits)) for name, bits in found.items())
    return Scheme(PartFormat(mean), kept, special, label=f"vptq, {mean:.3g} bits")


def count_vptq_bits(part: Config) -> float:
    """Bits of a weight of one matrix: indices, and the share of the two books of centroids in 16 bits."""
    bits = book = 0.0
    lengths = [*part.items("vector_lens", int), -1, -1][:2]
    for key in ("num_centroids", "num_res_centroids"):
        count = [*part.items(key, int), -1, -1][1]
        if min(count, lengths[1]) > 0:
            bits += log2(count) / lengths[1]
            book += 16 * count * lengths[1]
    groups, inputs, outputs = (part.whole(key, default=1) or 1 for key in ("group_num", "in_features", "out_features"))
    found = bits + (book * groups / (inputs * outputs) if inputs > 1 else 0.0)
    if not 0 < bits <= found <= MOST_BITS:
        raise part.error(
            f"num_centroids and vector_lens say {found:g} bits of a weight; above 0 and at most {MOST_BITS}"
        )
    return found


def read_bitnet(part: Config) -> Scheme:
    """Three values in two bits, with inputs of int8 (arXiv 2402.17764)."""
    return Scheme(PartFormat(2.0, "int8"), list_kept(part, "modules_to_not_convert"), label="bitnet, 2 bits")
