"""GGUF's quantized types: bytes of a block of each tensor type, bits a weight of each type of file.

A tensor has one type, a file mixes several: ``q4_k_m`` keeps most matrices as Q4_K, some of them and the head as Q6_K,
and the norms as F32. Blocks are the structs of ``ggml-common.h``, as ``GGML_QUANT_SIZES`` of gguf-py lists them.

Bits of a file are those that llama.cpp states for Llama 3 8B, whose token table and head (13% of it) are in them:
``tools/quantize/README.md`` to four digits, and the file sizes of ``tools/quantize/quantize.cpp`` for what that leaves
out (4.34 GiB of 8,030,261,248 parameters: 4.64 bits). Where both are, they agree within 0.3%.
"""

from __future__ import annotations

from typing import NamedTuple

LLAMA_3_8B = 8_030_261_248
GIB = 2**30


class Block(NamedTuple):
    """A tensor type: weights of a block, bits of one weight's code, bytes of what the weights of the block share."""

    weights: int
    code_bits: float
    shared_bytes: float

    @property
    def bits(self) -> float:
        """Bits of one weight with its share."""
        return self.code_bits + 8 * self.shared_bytes / self.weights


# Codes of iq types are indices into a table of vectors, with their signs.
BLOCKS: dict[str, Block] = {
    "q1_0": Block(128, 1, 2),
    "q4_0": Block(32, 4, 2),
    "q4_1": Block(32, 4, 4),
    "q5_0": Block(32, 5, 2),
    "q5_1": Block(32, 5, 4),
    "q8_0": Block(32, 8, 2),
    "q2_k": Block(256, 2, 20),
    "q3_k": Block(256, 3, 14),
    "q4_k": Block(256, 4, 16),
    "q5_k": Block(256, 5, 16),
    "q6_k": Block(256, 6, 18),
    "iq1_s": Block(256, 1.375, 6),
    "iq1_m": Block(256, 1.5, 8),
    "iq2_xxs": Block(256, 1.875, 6),
    "iq2_xs": Block(256, 2, 10),
    "iq2_s": Block(256, 2.25, 10),
    "iq3_xxs": Block(256, 2.875, 6),
    "iq3_s": Block(256, 3.25, 6),
    "iq4_nl": Block(32, 4, 2),
    "iq4_xs": Block(256, 4, 8),
    "tq1_0": Block(256, 1.625, 2),
    "tq2_0": Block(256, 2, 2),
}


def spread(gib: float) -> float:
    """Bits a weight of a file of Llama 3 8B, from its size in GiB."""
    return 8 * gib * GIB / LLAMA_3_8B


# Type of file -> the tensor type that most of it is in, and bits a weight of the whole; q8_0 and q6_k are no mix.
FILES: dict[str, tuple[str, float]] = {
    "q4_0": ("q4_0", spread(4.34)),
    "q4_1": ("q4_1", spread(4.78)),
    "q5_0": ("q5_0", spread(5.21)),
    "q5_1": ("q5_1", spread(5.65)),
    "q8_0": ("q8_0", 8.5),
    "q2_k": ("q2_k", 3.1593),
    "q2_k_s": ("q2_k", 2.9697),
    "q3_k_s": ("q3_k", 3.6429),
    "q3_k_m": ("q3_k", spread(3.74)),
    "q3_k_l": ("q3_k", 4.2979),
    "q4_k_s": ("q4_k", 4.6672),
    "q4_k_m": ("q4_k", 4.8944),
    "q5_k_s": ("q5_k", 5.5704),
    "q5_k_m": ("q5_k", 5.7036),
    "q6_k": ("q6_k", 6.5625),
    "iq1_s": ("iq1_s", 2.0042),
    "iq1_m": ("iq1_m", 2.1460),
    "iq2_xxs": ("iq2_xxs", 2.3824),
    "iq2_xs": ("iq2_xs", 2.5882),
    "iq2_s": ("iq2_xs", 2.7403),
    "iq2_m": ("iq2_s", 2.9294),
    "iq3_xxs": ("iq3_xxs", 3.2548),
    "iq3_xs": ("iq3_s", 3.4977),
    "iq3_s": ("iq3_s", 3.6606),
    "iq3_m": ("iq3_s", 3.7628),
    "iq4_xs": ("iq4_xs", 4.4597),
    "iq4_nl": ("iq4_nl", 4.6818),
    # Not among those that llama.cpp states: their token table is in Q4_K and their head in Q6_K.
    "tq1_0": ("tq1_0", 2.19),
    "tq2_0": ("tq2_0", 2.516),
}
# What llama-quantize takes for another, and names with what llama.cpp prints behind or instead of them.
FILE_ALIASES = {"q2_k_m": "q2_k", "q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m", "iq3_s mix": "iq3_m"}
SIZES_IN_WORDS = {"small": "s", "medium": "m", "large": "l"}


def find_file_type(printed: str) -> str | None:
    """The type of file that a name is of, as llama.cpp writes or prints it; None where it is of none.

    ``Q4_K_M``, ``Q4_K - Medium``, ``mostly Q4_K - Medium``, ``IQ2_XXS - 2.0625 bpw``, ``IQ3_S mix - 3.66 bpw``.
    """
    text = printed.lower().strip().removeprefix("mostly ").removeprefix("all ").removesuffix(" (guessed)")
    head, _, tail = (part.strip() for part in text.partition(" - "))
    if tail in SIZES_IN_WORDS:
        head = f"{head}_{SIZES_IN_WORDS[tail]}"
    name = FILE_ALIASES.get(head, head)
    return name if name in FILES else None
