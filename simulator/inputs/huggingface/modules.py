"""Which parts of a model's layers the module names of a quantization scheme mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import translate
from typing import Any, NamedTuple

from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, LayerGroup, specialise
from simulator.inputs.checkpoint import PartFormat
from simulator.inputs.formats import SIZES

MOST_LAYERS = 4096  # that are looked at one by one
MOST_WILD, MOST_LONG = 5, 300  # of one expression: repetitions and characters, so that none takes for ever
PREFIXES = ("", "model.", "model.language_model.", "language_model.model.")
HEAD_NAMES = ("lm_head", "output", "embed_out")
EMBEDDING_NAMES = ("model.embed_tokens", "wte", "tok_embeddings", "embeddings", "word_embeddings")
# Layers that are not the text model's own: what drafts, and what takes in images and sound.
OTHER_LAYERS = re.compile(r"mtp|nextn|draft|eagle|vision|visual|image|img|vit_|audio|speech|sound|encoder|projector")
BESIDE = ("gemma4_text", "gemma4_unified_text")  # whose dense block, ``mlp``, stands beside ``experts``, not around it


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
    """Names of modules as files write them: whole, in part, with ``*``, or as expressions after ``re:``.

    A module beside some of those within it means itself alone: compressed-tensors lists all that have no scales, which
    a module of modules never has (``layers.0.linear_attn`` beside ``layers.0.linear_attn.in_proj_b``).
    """

    def __init__(self, given: Sequence[str], where: str) -> None:
        """Sort them by kind.

        Raises:
            InputError: an expression that is wrong or too much to try.
        """
        self.expressions = [compile_expression(name[3:], where) for name in given if name.startswith("re:")]
        others = [strip(name) for name in given if not name.startswith("re:")]
        plain = {name for name in others if is_plain(name)}
        self.plain = plain - {outer for name in plain for outer in list_outer(name)}
        wild = [f"(?:{translate(name)[:-2]}(?:\\..*)?\\Z)" for name in others if not is_plain(name)]
        self.wild = re.compile("|".join(wild)) if wild else None

    def match(self, names: Sequence[str]) -> bool:
        """Whether a module is among them, by itself or as part of a larger one.

        One of the names that files give it is enough, except where an expression says what a name must not have.
        """
        if self.plain and any(part in self.plain for name in names for part in list_parts(name)):
            return True
        if self.wild is not None and any(self.wild.match(name) for name in names):
            return True
        return any(
            (all if "(?!" in each.pattern else any)(each.match(prefix + name) for name in names)
            for each in self.expressions
            for prefix in PREFIXES
        )


def strip(name: str) -> str:
    """A name from its layers on, since what stands before them differs from file to file."""
    place = name.find("layers.")
    if place < 0 or "lm_head" in name or OTHER_LAYERS.search(name[:place]):
        return name.replace("language_model.", "").strip(".")
    return name[place:].strip(".")


def compile_expression(text: str, where: str) -> re.Pattern[str]:
    """An expression of names.

    Raises:
        InputError: one that is wrong or too much to try.
    """
    if len(text) > MOST_LONG or sum(text.count(char) for char in "*+{") > MOST_WILD or repeats_twice(text):
        raise InputError(f"{where}: the expression {text[:60]!r} of module names is too much to try")
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(f"{where}: the expression {text[:60]!r} of module names: {error}") from None


def repeats_twice(text: str) -> bool:
    """Whether a group that is repeated has a repetition or a choice within, and so countless ways to match.

    One that looks ahead alone, ``(?!vision)``, matches nothing and may stand in a group that is repeated.
    """
    open_groups: list[tuple[int, bool]] = []
    inside = False
    for place, char in enumerate(text):
        if char == "(":
            open_groups.append((place, inside))
            inside = False
        elif char == ")" and open_groups:
            start, before = open_groups.pop()
            if inside and text[place + 1 : place + 2] in tuple("*+{"):
                return True
            inside = before or (inside and text[start : start + 3] not in ("(?!", "(?="))
        elif char in "*+{|":
            inside = True
    return False


def place_scheme(
    scheme: Scheme, architecture: Architecture, order: Sequence[int], where: str, model_type: str = ""
) -> dict[str, PartFormat]:
    """Formats by part of the layers: of one whose modules differ, the mean of their bits.

    Args:
        scheme: what a file says.
        architecture: the model.
        order: the place of each layer's group among the groups.
        where: for errors.
        model_type: of the text model.

    Raises:
        InputError: an expression of names that is wrong or too much to try.
    """
    a = architecture
    kept = Names(scheme.kept, where)
    exact = {strip(name): stored for name, stored in scheme.special if is_plain(name)}
    special = [(Names([name], where), stored) for name, stored in scheme.special if not is_plain(name)]
    by_layer = any(char.isdigit() for name in (*scheme.kept, *(name for name, _ in scheme.special)) for char in name)
    found: dict[str, list[tuple[Any, PartFormat | None]]] = defaultdict(list)

    def choose(names: Sequence[str], default: PartFormat | None) -> PartFormat | None:
        if kept.match(names):
            return None
        own = next((exact[part] for name in names for part in list_parts(name) if part in exact), None)
        if own is not None:
            return own
        return next((one for which, one in special if which.match(names)), default)

    beside = model_type in BESIDE
    of_group = [list_modules(specialise(a, group), group, beside) for group in a.groups]
    if by_layer and len(order) == a.num_hidden_layers <= MOST_LAYERS:
        placed = [(layer, 1, of_group[group]) for layer, group in enumerate(order)]
    else:
        first = [order.index(group) if group in order else 0 for group in range(len(of_group))]
        placed = [(first[place], group.count, of_group[place]) for place, group in enumerate(a.groups)]
    for layer, count, modules in placed:
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


def is_plain(name: str) -> bool:
    """Whether a name means itself alone, without ``*`` and expressions."""
    return "*" not in name and not name.startswith("re:")


def list_parts(name: str) -> Iterator[str]:
    """A name and its parts between dots, the longest first."""
    words = name.split(".")
    for length in range(len(words), 0, -1):
        for first in range(len(words) - length + 1):
            yield ".".join(words[first : first + length])


def list_outer(name: str) -> Iterator[str]:
    """The modules that a module is within, by the dots in its name."""
    words = name.split(".")
    for length in range(1, len(words)):
        yield ".".join(words[:length])


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


def list_modules(a: Architecture, group: LayerGroup, beside: bool) -> list[Module]:
    """The matrices of one layer of a group, by the names that files give them."""
    return list_mixer(a, group) + list_feed_forward(a, group, beside)


# Where files put mixers that are no attention, by kind; the others are "mixer" or "mamba".
PLACES = {
    "gated_delta": ("linear_attn",),
    "kimi_delta": ("self_attn", "linear_attn"),
    "lightning_attention": ("self_attn",),
    "short_convolution": ("conv",),
    "real_gated_recurrence": ("temporal_block",),
}


INWARD = ("in_proj", "in_proj_qkvz", "in_proj_qkv", "q_proj", "qkv_proj")


def list_mixer(a: Architecture, group: LayerGroup) -> list[Module]:
    """The projections around attention; of other mixers, matrices of about the size that they have."""
    if group.mixer == "none":
        return []
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
        inward, outward = measure_recurrence(group, h)
        return [
            Module("attention", tuple(f"{place}.{end}" for place in places for end in ends), h * width)
            for ends, width in ((INWARD, inward), (("out_proj", "o_proj"), outward))
        ]
    return [
        Module("attention", tuple(f"{place}.{one}" for place in ("self_attn", "attn", "mixer") for one in names), size)
        for name, size in sizes.items()
        if size and (names := (name,) if a.is_latent or name == "o_proj" else (name, "qkv_proj"))
    ]


def measure_recurrence(group: LayerGroup, hidden_size: Any) -> tuple[Any, Any]:
    """About how wide what goes into a recurrent layer and what comes out of it are."""
    sizes = group.sizes or {}
    if "mamba_heads" in sizes:
        inner = sizes["mamba_heads"] * sizes["mamba_head_dim"]
        return 2 * inner, inner
    if "linear_num_value_heads" in sizes:
        inner = sizes["linear_num_value_heads"] * sizes["linear_value_head_dim"]
        return 2 * (sizes["linear_num_key_heads"] * sizes["linear_key_head_dim"] + inner), inner
    return 4 * hidden_size, 2 * hidden_size


def list_feed_forward(a: Architecture, group: LayerGroup, beside: bool) -> list[Module]:
    """The matrices of a dense block, or of experts, one of which stands for all, and of the shared ones.

    ``beside``: the block that all tokens meet is no part of the experts' block, and is called as a dense one.
    """
    if group.feed_forward == "none":
        return []
    if group.feed_forward == "experts":
        count = a.num_experts or 1
        places: tuple[str, ...] = (
            *("mlp.experts.0", "mlp.experts", "block_sparse_moe.experts.0", "feed_forward.experts"),
            *("mixer.experts.0", "moe.experts.0", "block_sparse_moe.experts", "ffn.experts.0"),
        )
        if beside:
            places = ("experts.0", "moe.experts.0")
        modules = list_block("experts", places, a, count * (a.moe_intermediate_size or 1))
        if a.shared_expert_intermediate_size:
            shared: tuple[str, ...] = (
                *("mlp.shared_experts", "mlp.shared_expert", "mlp.shared_mlp", "feed_forward.shared_expert"),
                *("mixer.shared_experts", "shared_mlp", "share_expert", "ffn.shared_experts"),
                "block_sparse_moe.shared_experts",
            )
            if beside:
                shared = ("mlp",)
            modules += list_block("shared_experts", shared, a, a.shared_expert_intermediate_size)
        return modules
    return list_block("feed_forward", ("mlp", "feed_forward", "mixer"), a, a.intermediate_size)


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
