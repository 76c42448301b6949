"""Keys that say in how many bits weights are stored, checked, and what integers in groups take."""

from __future__ import annotations

from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import FORMATS
from simulator.inputs.huggingface.config import Config

FP8 = PartFormat("fp8", "fp8")
INT8 = PartFormat("int8", "int8")
NVFP4 = PartFormat("nvfp4", "nvfp4")
SCALE_BITS = 16  # of one group of integers; a zero has as many bits as a weight, or as a scale where it is no integer
MOST_BITS = 16


def read_bits(part: Config, *keys: str, default: int | None = None) -> int:
    """Whole bits of a weight's code.

    Raises:
        InputError: missing, or no number of bits.
    """
    bits = part.whole(*keys, default=default)
    if bits is None:
        raise part.error(f"missing key '{keys[0]}'")
    if bits > MOST_BITS:
        raise part.error(f"{keys[0]} is {bits}; it must be at most {MOST_BITS}")
    return bits


def read_number(part: Config, key: str, default: float | None = None) -> float:
    """Bits that need not be whole.

    Raises:
        InputError: missing, or no number of bits.
    """
    value = part.data.get(key, default)
    if value is None:
        raise part.error(f"missing key '{key}'")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_BITS:
        raise part.error(f"{key} is {value!r}; it must be a number of bits, above 0 and at most {MOST_BITS}")
    return float(value)


def read_group(part: Config, *keys: str, default: int | None = None) -> int | None:
    """Weights that share a scale; None: all of a channel, which -1 says too.

    Raises:
        InputError: no number of weights.
    """
    if any(part.data.get(key) == -1 and not isinstance(part.data.get(key), bool) for key in keys):
        return None
    group = part.whole(*keys, default=default, least=-1)
    if group is not None and group < 1:
        raise part.error(f"{keys[0]} is {group}; it must be at least 1, or -1 for one scale a channel")
    return group


def list_kept(part: Config, *keys: str) -> tuple[str, ...]:
    """Names of modules that stay as they are."""
    return tuple(name for key in keys for name in part.items(key, str))


def integers(bits: int, group: int | None, zero_bits: float = 0.0, inputs: str | None = None) -> PartFormat:
    """Integers with a scale of 16 bits and a zero for each group; alone where one scale serves a channel."""
    if group is None:
        named = {8: "int8" if inputs == "int8" else "w8a16"}.get(bits)
        return PartFormat(named or float(bits), inputs)
    size = bits + (SCALE_BITS + zero_bits) / group
    name = f"int{bits}-g{group}"
    return PartFormat(name if name in FORMATS and FORMATS[name].bits == size else size, inputs)


def say(bits: float, group: int | None) -> str:
    """Bits and groups in words."""
    return f"{bits:g} bits" + ("" if group is None else f" in groups of {group}")


def blocks_of_fp8(part: Config, block: list[int]) -> PartFormat:
    """Numbers of fp8 with a scale of 32 bits for each block; none counts where there are no blocks."""
    if not block:
        return FP8
    if len(block) != 2 or min(block) < 1:
        raise part.error(f"weight_block_size is {block}; it must be two whole numbers of at least 1")
    return PartFormat("fp8-block" if block == [128, 128] else 8 + 32 / (block[0] * block[1]), "fp8")
