"""The number formats of a published checkpoint: those of each part of a model's layers, and of its KV cache."""

from __future__ import annotations

from typing import Annotated, Any

from simulator.errors import InputError
from simulator.inputs.formats import FORMATS, SIZES, WIDE_BITS, as_bytes, find_format
from simulator.inputs.gguf_types import FILES
from simulator.specfile import Range, spec_dataclass

MOST_BITS = 64.0  # of one number
LAYER_PARTS = ("attention", "feed_forward", "experts", "shared_experts")
PARTS = (*LAYER_PARTS, "embedding", "head", "rest")
NAMES = {"feed_forward": "feed-forward", "shared_experts": "shared experts", "rest": "norms and router"}


@spec_dataclass
class PartFormat:
    """How the weights of one part are stored and computed with.

    ``weights``: a format, or the mean bits of a weight where several are mixed. ``inputs``: the format that the numbers
    multiplied with them are brought to; None: they stay in the checkpoint's 16 bits.
    """

    weights: str | Annotated[float, Range(0, 64, above=True)]  # bits of one number
    inputs: str | None = None

    def __post_init__(self) -> None:
        """Replace spellings of formats by their names.

        Raises:
            ValueError: a format that does not exist, or bits that no number has.
        """
        if isinstance(self.weights, str):
            self.__dict__["weights"] = check_format(self.weights, "weights")
        elif not 0 < self.weights <= MOST_BITS:
            raise ValueError(f"weights is {self.weights}; bits are above 0 and at most {MOST_BITS:g}")
        if self.inputs is not None:
            self.__dict__["inputs"] = check_format(self.inputs, "inputs", computes=True)

    @property
    def weight_bytes(self) -> Any:
        """Bytes of one weight."""
        return SIZES[self.weights] if isinstance(self.weights, str) else as_bytes(self.weights)

    @property
    def label(self) -> str:
        """The format of the weights in words."""
        return self.weights if isinstance(self.weights, str) else f"{self.weights:.4g} bits"


@spec_dataclass
class CheckpointFormats:
    """Formats of a checkpoint by part of the layers; a part that is not named is stored and computed in ``dtype``.

    ``attention`` stands for whatever mixes tokens, with its projections; ``rest`` for norms and the router of experts.
    A tied table is the ``embedding``. ``origin`` says where it stands, in words.
    """

    dtype: str = "bf16"
    kv_dtype: str | None = None
    attention: PartFormat | None = None
    feed_forward: PartFormat | None = None  # dense
    experts: PartFormat | None = None
    shared_experts: PartFormat | None = None
    embedding: PartFormat | None = None
    head: PartFormat | None = None
    rest: PartFormat | None = None
    origin: str | None = None
    name: str | None = None  # the formats in words, where the parts would say too much

    def __post_init__(self) -> None:
        """Replace spellings of formats by their names.

        Raises:
            ValueError: a format that does not exist or that nothing computes in.
        """
        self.__dict__["dtype"] = check_format(self.dtype, "dtype", computes=True)
        if self.kv_dtype is not None:
            self.__dict__["kv_dtype"] = check_format(self.kv_dtype, "kv_dtype")

    @property
    def parts(self) -> dict[str, PartFormat]:
        """The parts that have a format of their own."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    def weight_bytes_of(self, part: str) -> Any:
        """Bytes of one weight of a part."""
        own: PartFormat | None = getattr(self, part)
        return SIZES[self.dtype] if own is None else own.weight_bytes

    def inputs_of(self, part: str) -> str | None:
        """Format that the inputs of a part's products are brought to; None: they stay as wide as all else."""
        own: PartFormat | None = getattr(self, part)
        return None if own is None else own.inputs

    @property
    def inputs(self) -> str | None:
        """The format of inputs that more parts have than any other; None where all stay wide."""
        found = [part.inputs for part in self.parts.values() if part.inputs is not None]
        return max(found, key=found.count) if found else None

    @property
    def label(self) -> str:
        """The formats of the weights in words: ``experts mxfp4, rest bf16``."""
        if self.name is not None:
            return self.name
        own = {name: part.label for name, part in self.parts.items()}
        layers = {label for name, label in own.items() if name in LAYER_PARTS}
        if len(layers) == 1 and self.attention is not None:
            own = {"layers": layers.pop()} | {name: label for name, label in own.items() if name not in LAYER_PARTS}
        words = [f"{NAMES.get(name, name)} {label}" for name, label in own.items() if label != self.dtype]
        return ", ".join([*words, *([f"rest {self.dtype}"] if len(self.parts) < len(PARTS) else [])])


def formats_of_name(stored: str, name: str) -> CheckpointFormats:
    """Formats that the name of a checkpoint says, such as ``org/model-FP8``: of its layers, with tables in 16 bits.

    Formats that are computed in hold for the inputs too, but mxfp4, whose weights alone are published so. A type of
    GGUF file is a mean over all parts. ``-KV`` at the end has the cache in fp8.
    """
    said = f"{stored} in the name {name}"
    if stored in FILES:
        whole: Any = {part: PartFormat(FORMATS[stored].bits) for part in PARTS}
        return CheckpointFormats("fp16", origin=said, name=stored, **whole)
    if FORMATS[stored].bits >= WIDE_BITS:
        return CheckpointFormats(stored, origin=said)
    inputs = None if stored == "mxfp4" or FORMATS[stored].math is None else stored
    cache = "fp8" if name.lower().endswith("-kv") else None
    layers: Any = dict.fromkeys(LAYER_PARTS, PartFormat(stored, inputs))
    return CheckpointFormats(kv_dtype=cache, origin=said, **layers)


def check_format(name: str, what: str, computes: bool = False) -> str:
    """The name of a format.

    Raises:
        ValueError: no such format, or one of storage where something computes.
    """
    try:
        found = find_format(name, what)
    except InputError as error:
        raise ValueError(str(error)) from None
    if computes and FORMATS[found].math is None:
        raise ValueError(f"{what} is {name!r}, a format of stored weights, which nothing computes in")
    return found
