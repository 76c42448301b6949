"""Number formats: what one number costs in memory, and the arithmetic that runs in it.

Sources of the block formats: GPTQ and AWQ keep an fp16 scale and a 4-bit zero for 128 weights (Frantar et al. 2022,
arXiv 2210.17323, section 5; Lin et al. 2023, arXiv 2306.00978); llama.cpp's blocks are structs of ``ggml-common.h``
(q8_0: 34 bytes for 32 weights; q4_K: 144 and q6_K: 210 bytes for 256; q4_k_m mixes the two by tensor); OCP
Microscaling Formats 1.0, table 1, gives an 8-bit scale to 32 numbers; NVFP4 gives an fp8 scale to 16.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.errors import InputError, suggest


class Format(NamedTuple):
    """Bits of one number with its share of the scales, and the key of its peak in a data sheet.

    No ``math``: a format for storage, whose numbers are widened before they are computed with.
    """

    bits: float
    math: str | None

    @property
    def size_bytes(self) -> float:
        """Bytes of one number; whole where it is."""
        size = self.bits / 8
        return int(size) if size.is_integer() else size


FORMATS: dict[str, Format] = {
    "fp32": Format(32, "fp32"),
    "tf32": Format(32, "tf32"),
    "fp16": Format(16, "fp16"),
    "bf16": Format(16, "bf16"),
    "fp8": Format(8, "fp8"),
    "int8": Format(8, "int8"),
    "int4": Format(4, "int4"),
    "mxfp8": Format(8 + 8 / 32, "fp8"),
    "mxfp4": Format(4 + 8 / 32, "fp4"),
    "nvfp4": Format(4 + 8 / 16, "fp4"),
    "int4-g128": Format(4 + (16 + 4) / 128, None),
    "int4-g32": Format(4 + (16 + 16) / 32, None),
    "q8_0": Format(34 * 8 / 32, None),
    "q4_k": Format(144 * 8 / 256, None),
    "q6_k": Format(210 * 8 / 256, None),
    "q4_k_m": Format(4.85, None),
}
SIZES = {name: number.size_bytes for name, number in FORMATS.items()}  # bytes of one number
WIDE_BITS = 16  # narrower formats are for the operands of matrix products; the rest of a layer stays at least this wide
WIDE = {name: name if number.bits >= WIDE_BITS else "bf16" for name, number in FORMATS.items()}
# Spellings of other tools.
ALIASES = {
    "f32": "fp32",
    "float32": "fp32",
    "f16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8_e4m3": "fp8",
    "e4m3": "fp8",
    "gptq": "int4-g128",
    "awq": "int4-g128",
    "w4a16": "int4-g128",
}


def find_format(name: str, what: str = "data type") -> str:
    """Return the name of a format, whatever its spelling; ``bf16/fp16``, of unknown which, is the first.

    Raises:
        InputError: no such format, or alternatives that differ in size.
    """
    if not isinstance(name, str):
        raise InputError(f"{what} is {name!r}; it must be one of {', '.join(FORMATS)}")
    found = [ALIASES.get(part, part) for part in name.lower().split("/")]
    for part in found:
        if part not in FORMATS:
            raise InputError(suggest(f"unknown {what} '{name}'", part, [*FORMATS, *ALIASES]))
    if len({FORMATS[part].bits for part in found}) > 1:
        raise InputError(f"{what} '{name}' is of two sizes; name one")
    return found[0]


def element_bytes(name: str) -> float:
    """Bytes of one number of a format.

    Raises:
        InputError: no such format.
    """
    return SIZES[find_format(name)]
