"""Which parts of a model's layers the module names of a quantization scheme mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from fnmatch import translate
from itertools import accumulate
from typing import Any, NamedTuple

from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, LayerGroup, specialise
from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import SIZES

MOST_LAYERS = 4096  # that are looked at one by one
MOST_WILD, MOST_LONG = 5, 300  # of one expression: repetitions and characters, so that none takes for ever
PREFIXES = ("", "model.", "model.language_model.", "language_model.model.")
HEAD_NAMES = ("lm_head", "output", "embed_out")
EMBEDDING_NAMES = ("embed_tokens", "wte", "tok_embeddings")


class Scheme(NamedTuple):
    """How the matrices of a checkpoint are stored; None stays wide.

    ``default``: of the layers' linear modules; ``experts``: of the routed experts where these differ. ``kept``: names
    of modules that stay wide; ``special``: names with formats of their own. ``head`` and ``embedding`` are those of the
    tables. ``label``: the scheme in words.
    """

    default: PartFormat | None
    kept: tuple[str, ...] = ()
    special: tuple[tuple[str, PartFormat], ...] = ()
    experts: PartFormat | None = None
    head: PartFormat | None = None
    embedding: PartFormat | None = None
    kv_dtype: str | None = None
    label: str = ""


class Module(NamedTuple):
    """A matrix of a layer: the part that it belongs to, what files call it, and its numbers."""

    part: str
    names: tuple[str, ...]
    size: Any


class Names:
    """Names of modules as files write them: whole, in part, with ``*``, or as expressions after ``re:``."""

    def __init__(self, given: Sequence[str], where: str) -> None:
        """Sort them by kind.

        Raises:
            InputError: an expression that is wrong or too much to try.
        """
        self.expressions = [compile_expression(name[3:], where) for name in given if name.startswith("re:")]
        others = [strip(name) for name in given if not name.startswith("re:")]
        self.plain = {name for name in others if "*" not in name}
        wild = [f"(?:{translate(name)[:-2]}(?:\\..*)?\\Z)" for name in others if "*" in name]
        self.wild = re.compile("|".join(wild)) if wild else None
        self.tell_layers = any(char.isdigit() for name in given for char in name)

    def match(self, name: str) -> bool:
        """Whether a module is among them, by itself or as part of a larger one."""
        words = name.split(".")
        if any(
            ".".join(words[first:last]) in self.plain
            for first in range(len(words))
            for last in range(first + 1, len(words) + 1)
        ):
            return True
        if self.wild is not None and self.wild.match(name):
            return True
        return any(each.match(prefix + name) for each in self.expressions for prefix in PREFIXES)


def strip(name: str) -> str:
    """A name from its layers on, since what stands before them differs from file to file."""
    place = name.find("layers.")
    return (name if place < 0 or "lm_head" in name else name[place:]).strip(".")


def compile_expression(text: str, where: str) -> re.Pattern[str]:
    """An expression of names.

    Raises:
        InputError: one that is wrong or too much to try.
    """
    if len(text) > MOST_LONG or sum(text.count(char) for char in "*+{") > MOST_WILD or re.search(r"\)[*+{]", text):
        raise InputError(f"{where}: the expression {text[:60]!r} of module names is too much to try")
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(f"{where}: the expression {text[:60]!r} of module names: {error}") from None


def place_scheme(scheme: Scheme, architecture: Architecture, where: str) -> dict[str, PartFormat]:
    """Formats by part of the layers: of one whose modules differ, the mean of their bits.

    Layers of several kinds are taken in the order of their groups. ``where`` is for errors.

    Raises:
        InputError: an expression of names that is wrong or too much to try.
    """
    a = architecture
    kept, special = Names(scheme.kept, where), [(Names([name], where), stored) for name, stored in scheme.special]
    by_layer = kept.tell_layers or any(names.tell_layers for names, _ in special)
    found: dict[str, list[tuple[Any, PartFormat | None]]] = defaultdict(list)

    def choose(names: Sequence[str], default: PartFormat | None) -> PartFormat | None:
        if any(kept.match(name) for name in names):
            return None
        return next((one for which, one in special if any(which.match(name) for name in names)), default)

    ends = list(accumulate(group.count for group in a.groups))
    for group, end in zip(a.groups, ends, strict=True):
        modules = list_modules(specialise(a, group), group)
        one_by_one = by_layer and end <= MOST_LAYERS
        for layer in range(end - group.count, end) if one_by_one else [end - 1]:
            count = 1 if one_by_one else group.count
            for module in modules:
                default = scheme.experts if module.part == "experts" and scheme.experts else scheme.default
                stored = choose([f"layers.{layer}.{name}" for name in module.names], default)
                found[module.part].append((count * module.size, stored))
    tables = {"embedding": choose(EMBEDDING_NAMES, scheme.embedding)}
    if not a.tie_word_embeddings:
        tables["head"] = choose(HEAD_NAMES, scheme.head)
    parts = {part: mix(stored) for part, stored in found.items()}
    if any(stored is not None for stored in parts.values()):
        parts = {part: PartFormat("bf16") if stored is None else stored for part, stored in parts.items()}
    return {part: stored for part, stored in (parts | tables).items() if stored is not None}


def mix(stored: list[tuple[Any, PartFormat | None]]) -> PartFormat | None:
    """One format for the matrices of a part: theirs, or the mean of their bits with the inputs of most."""
    kinds = {one for _, one in stored}
    if len(kinds) == 1:
        return kinds.pop()
    total = sum(size for size, _ in stored)
    held = sum(size * (SIZES["bf16"] if one is None else one.weight_bytes) for size, one in stored)
    inputs: dict[str | None, Any] = defaultdict(int)
    for size, one in stored:
        inputs[None if one is None else one.inputs] += size
    return PartFormat(float(8 * held / total), max(inputs, key=lambda name: inputs[name]))


def list_modules(a: Architecture, group: LayerGroup) -> list[Module]:
    """The matrices of one layer of a group, by the names that files give them."""
    return list_mixer(a, group) + list_feed_forward(a, group)


# Where files put mixers that are no attention, by kind; the others are "mixer" or "mamba".
PLACES = {
    "gated_delta": ("linear_attn",),
    "kimi_delta": ("self_attn", "linear_attn"),
    "lightning_attention": ("self_attn",),
    "short_convolution": ("conv",),
    "real_gated_recurrence": ("temporal_block",),
}


def list_mixer(a: Architecture, group: LayerGroup) -> list[Module]:
    """The projections around attention; of other mixers, matrices of about the size that they have."""
    h = a.hidden_size
    sizes: dict[str, Any]
    attends = "attention" in (group.mixer or "") and group.mixer != "lightning_attention"
    if a.is_latent and attends:
        rank = a.q_lora_rank or a.query_width
        sizes = {
            "q_a_proj": h * rank,
            "q_b_proj": a.q_lora_rank * a.query_width if a.q_lora_rank else 0,
            "kv_a_proj_with_mqa": h * a.latent_width,
            "kv_b_proj": a.latent_rank * a.num_attention_heads * (a.unrotated_size + a.value_size),
            "o_proj": a.context_width * h,
        }
    elif attends:
        sizes = {
            "q_proj": h * a.query_width,
            "k_proj": h * a.kv_width,
            "v_proj": h * a.kv_width,
            "o_proj": a.context_width * h,
        }
    else:
        places = PLACES.get(group.mixer or "", ("mixer", "mamba"))
        return [
            Module("attention", tuple(f"{place}.{end}" for place in places), share * h * h)
            for end, share in (("in_proj", 4), ("out_proj", 2))
        ]
    return [
        Module("attention", tuple(f"{place}.{one}" for place in ("self_attn", "attn") for one in names), size)
        for name, size in sizes.items()
        if size and (names := (name,) if a.is_latent or name == "o_proj" else (name, "qkv_proj"))
    ]


def list_feed_forward(a: Architecture, group: LayerGroup) -> list[Module]:
    """The matrices of a dense block, or of experts, one of which stands for all, and of the shared ones."""
    if group.feed_forward == "experts":
        count = a.num_experts or 1
        places = ("mlp.experts.0", "mlp.experts", "block_sparse_moe.experts.0", "feed_forward.experts")
        modules = list_block("experts", places, a, count * (a.moe_intermediate_size or 1))
        if a.shared_expert_intermediate_size:
            shared = ("mlp.shared_experts", "mlp.shared_expert", "feed_forward.shared_expert")
            modules += list_block("shared_experts", shared, a, a.shared_expert_intermediate_size)
        return modules
    return list_block("feed_forward", ("mlp", "feed_forward"), a, a.intermediate_size)


MATRICES = {
    "gate": ("gate_proj", "gate_up_proj", "w1"),
    "up": ("up_proj", "gate_up_proj", "w3"),
    "down": ("down_proj", "w2"),
}


def list_block(part: str, places: tuple[str, ...], a: Architecture, width: Any) -> list[Module]:
    """The matrices of one feed-forward block of a width."""
    return [
        Module(part, tuple(f"{place}.{one}" for place in places for one in names), a.hidden_size * width)
        for what, names in MATRICES.items()
        if what != "gate" or a.gated_mlp
    ]
