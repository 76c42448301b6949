"""Number formats: what one number costs in memory, and the arithmetic that runs in it.

Sources: GPTQ and AWQ keep an fp16 scale and a zero of as many bits as a weight for 128 weights (Frantar et al. 2022,
arXiv 2210.17323, section 5; Lin et al. 2023, arXiv 2306.00978); bitsandbytes' NF4 an fp32 scale for 64 weights, or with
double quantization an 8-bit one and an fp32 one for 256 of those (Dettmers et al. 2023, arXiv 2305.14314, section 3);
OCP Microscaling Formats 1.0, table 1, gives an 8-bit scale to 32 numbers; NVFP4 an fp8 scale to 16; blocks of fp8 as in
DeepSeek-V3 an fp32 scale to 128 x 128 (arXiv 2412.19437, section 3.3). GGUF's types: ``gguf_types.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from simulator.errors import InputError, nearest
from simulator.inputs.gguf_types import BLOCKS, FILES, find_file_type

T = TypeVar("T")


class Format(NamedTuple):
    """Bits of one number with its share of the scales, and the key of its peak in a data sheet.

    No ``math``: a format for storage, whose numbers are dequantized before they are computed with. ``file_bits``, of
    GGUF's mixes: bits of a weight averaged over a whole file, its token table and head with it; a tensor or cache in
    that format has ``block_bits``.
    """

    code_bits: float
    math: str | None
    group: int = 1  # numbers that share scales
    scale_bytes: float = 0.0  # of one group: scales, zeros and minima
    file_bits: float | None = None

    @property
    def block_bits(self) -> float:
        """Bits of one number in a tensor of this format."""
        return self.code_bits + 8 * self.scale_bytes / self.group

    @property
    def bits(self) -> float:
        """Bits of one weight of a model in this format."""
        return self.block_bits if self.file_bits is None else self.file_bits

    @property
    def size_bytes(self) -> float:
        """Bytes of one weight; whole where it is."""
        return as_bytes(self.bits)


def as_bytes(bits: float) -> float:
    """Bytes of so many bits; whole where they are."""
    size = bits / 8
    return int(size) if size.is_integer() else size


def of_gguf(name: str) -> Format:
    """A type of GGUF file."""
    tensor, bits = FILES[name]
    block = BLOCKS[tensor]
    return Format(block.code_bits, None, block.weights, block.shared_bytes, None if bits == block.bits else bits)


FREE = r"(\d+(?:\.\d+)?)[ -]?(?:bits?|bpw)"
LEAST_BITS, MOST_BITS = 1.0, 16.0


def parse_free(name: str) -> Format | None:
    """A format of so many bits a weight, scales included, stored alone: ``4.65bit``; None where the name is none."""
    matched = re.fullmatch(FREE, name)
    bits = float(matched[1]) if matched and len(name) < 16 else 0.0
    return Format(bits, None) if LEAST_BITS <= bits <= MOST_BITS else None


class Formats(dict[str, Format]):
    """Formats by name; a name such as ``4.65bit`` stands for itself."""

    def __missing__(self, name: str) -> Format:
        """A free number of bits."""
        free = parse_free(name)
        if free is None:
            raise KeyError(name)
        return free


FORMATS = Formats(
    {
        "fp32": Format(32, "fp32"),
        "tf32": Format(32, "tf32"),
        "fp16": Format(16, "fp16"),
        "bf16": Format(16, "bf16"),
        "fp8": Format(8, "fp8"),
        "fp8-block": Format(8, "fp8", 128 * 128, 4),
        "int8": Format(8, "int8"),
        "int4": Format(4, "int4"),
        "mxfp8": Format(8, "fp8", 32, 1),
        "mxfp4": Format(4, "fp4", 32, 1),
        "nvfp4": Format(4, "fp4", 16, 1),
        "w8a16": Format(8, None),  # a scale for each output channel
        "int8-g128": Format(8, None, 128, 2 + 1),
        "int4-g128": Format(4, None, 128, 2 + 0.5),
        "int4-g32": Format(4, None, 32, 2 + 2),
        "nf4": Format(4, None, 64, 4),
        "nf4-dq": Format(4, None, 64, 1 + 4 / 256),
        **{name: of_gguf(name) for name in FILES},
    }
)


class ByFormat(dict[str, T]):
    """Something of each format by its name, worked out once; of a free number of bits when asked."""

    def __init__(self, derive: Callable[[str], T]) -> None:
        """Work it out for all formats with names."""
        super().__init__({name: derive(name) for name in FORMATS})
        self.derive = derive

    def __missing__(self, name: str) -> T:
        """Of a free number of bits."""
        return self.derive(name)


WIDE_BITS = 16  # narrower formats are for the operands of matrix products; the rest of a layer stays at least this wide
SIZES = ByFormat(lambda name: FORMATS[name].size_bytes)  # bytes of one weight of a model
CACHE_SIZES = ByFormat(lambda name: as_bytes(FORMATS[name].block_bits))  # bytes of one number in the KV cache
WIDE = ByFormat(lambda name: name if FORMATS[name].bits >= WIDE_BITS else "bf16")
# Spellings of other tools. GPTQ, AWQ and W4A16 without a group are of 128.
ALIASES = {
    "f32": "fp32",
    "float32": "fp32",
    "float": "fp32",
    "f16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_e4m3fn": "fp8",
    "fp8_e5m2": "fp8",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
    "float8_e4m3fnuz": "fp8",
    "e4m3": "fp8",
    "e5m2": "fp8",
    "modelopt_fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "ptpc_fp8": "fp8",
    "fp8_per_channel_per_token": "fp8",
    "modelopt_mxfp8": "mxfp8",
    "modelopt_fp4": "nvfp4",
    "nvfp4_awq": "nvfp4",
    "petit_nvfp4": "nvfp4",
    "fp8-dynamic": "fp8",
    "fp8_dynamic": "fp8",
    "w8a8_fp8": "fp8",
    "fp8_block": "fp8-block",
    "fp8_block_scales": "fp8-block",
    "fp8_block_wise": "fp8-block",
    "w8a8": "int8",
    "w8a8_int8": "int8",
    "w8a8_sq_per_channel": "int8",
    "int8_sq": "int8",
    "int8-gptq": "int8-g128",
    "gptq-int8": "int8-g128",
    "int8_wo": "w8a16",
    "w8a16_int8": "w8a16",
    "int4-gptq": "int4-g128",
    "int4-awq": "int4-g128",
    "gptq-int4": "int4-g128",
    "gptq": "int4-g128",
    "gptq_marlin": "int4-g128",
    "gptq_bitblas": "int4-g128",
    "awq": "int4-g128",
    "awq_marlin": "int4-g128",
    "awq-int4": "int4-g128",
    "w4a16": "int4-g128",
    "w4a16_awq": "int4-g128",
    "w4a16_gptq": "int4-g128",
    "int4_wo": "int4-g128",
    "bnb-4bit": "nf4",
    "w4a16_mxfp4": "mxfp4",
    "mxfp4_moe": "mxfp4",
}
UNSTATED = {"auto", "none", "unset", "default", "no_quant", ""}  # how tools say that a format is the checkpoint's own
# Libraries and ways of quantization, which say nothing of the format.
METHODS = {
    "auto-round",
    "auto_round",
    "bitsandbytes",
    "bitblas",
    "compressed-tensors",
    "compressed_tensors",
    "exl2",
    "exl3",
    "gguf",
    "hqq",
    "inc",
    "marlin",
    "mixed_precision",
    "modelopt",
    "modelopt_mixed",
    "moe_wna16",
    "quanto",
    "quark",
    "torchao",
}


def find_format(name: str, what: str = "data type") -> str:
    """Return the name of a format, whatever its spelling; ``bf16/fp16``, of unknown which, is the first.

    Spellings are those of torch, the engines and their tools, and of llama.cpp; ``4.65bit`` is so many bits a weight.

    Raises:
        InputError: no such format, or alternatives that differ in size.
    """
    if not isinstance(name, str):
        raise InputError(f"{what} is {name!r}; it must be one of {', '.join(FORMATS)}")
    found = [match_format(part) for part in name.lower().split("/")]
    names = [one for one in found if one is not None]
    if len(names) < len(found):
        raise unknown_format(what, name)
    if len({FORMATS[part].bits for part in names}) > 1:
        raise InputError(f"{what} '{name}' is of two sizes; name one")
    return names[0]


def match_format(spelling: str) -> str | None:
    """The name of one format in lower case; None where there is none."""
    text = spelling.strip().removeprefix("torch.").removesuffix(" (metal)")
    for one in (text, text.replace("-", "_"), text.replace("_", "-")):
        if one in FORMATS:
            return one
        if one in ALIASES:
            return ALIASES[one]
    return find_file_type(text) or (text if parse_free(text) else None)


def unknown_format(what: str, name: str) -> InputError:
    """The error for a format that there is not, with the nearest."""
    if name.lower() in METHODS:
        return InputError(f"{what} '{name}' is a way to quantize and does not say the format; name that")
    near = nearest(name, [*FORMATS, *ALIASES])
    hint = "" if near is None else f"; did you mean {near!r}?"
    plain = [one for one in FORMATS if one not in FILES]
    own = " (the checkpoint's own is what you get without the option)" if name.lower() in UNSTATED else ""
    return InputError(
        f"unknown {what} '{name}'{hint}{own} (allowed: {', '.join(plain)}, GGUF's {min(FILES)} to {max(FILES)}, "
        "or bits such as 4.65bit)"
    )


def element_bytes(name: str) -> float:
    """Bytes of one number of a format.

    Raises:
        InputError: no such format.
    """
    return SIZES[find_format(name)]
