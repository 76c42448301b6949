"""A decoder-only Transformer: its dimensions, under the names that Hugging Face configurations use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, TypeAlias

from simulator.errors import InputError, suggest
from simulator.inputs.checkpoint import CheckpointFormats
from simulator.specfile import Count, Range, check_ranges, spec_dataclass

PositionEmbedding = Literal["learned", "rotary", "alibi", "none"]
# What memory could ever hold of each: a width of a layer, its heads, its experts, a table's rows.
Width: TypeAlias = Annotated[int, Range(1, 2**24)]
Heads: TypeAlias = Annotated[int, Range(1, 2**16)]
Layers: TypeAlias = Annotated[int, Range(1, 10_000)]
Rows: TypeAlias = Annotated[int, Range(1, 2**28)]
Positions: TypeAlias = Annotated[int, Range(1, 2**40)]
Norms: TypeAlias = Annotated[int, Range(0, 100)]
Numbers: TypeAlias = Annotated[int, Range(0, 10**15)]
MOST_LAYERS = 10_000
QueryKeyNorm = Literal["none", "head", "head with bias", "projection", "query head"]


@spec_dataclass
class Source:
    """Where numbers come from: ``gives`` names key paths of the file; a prefix covers all keys below it."""

    title: str
    gives: list[str]
    url: str | None = None
    note: str | None = None


@spec_dataclass
class LayerGroup:
    """Layers that are alike: how many, the kinds of their two parts, and the sizes in which they differ from the model.

    ``sizes`` overrides fields of the architecture, and holds those that only the kind of mixer knows. ``copies``: sets
    of weights that the layers share by turns, as Zamba's attention does; None: each has its own.
    """

    count: Layers
    mixer: str | None = None  # None: the kind that the model's fields make
    feed_forward: str | None = None  # likewise
    sizes: dict[str, Any] | None = None
    copies: Layers | None = None

    def __post_init__(self) -> None:
        """Refuse more sets of weights than layers."""
        if self.copies is not None and not self.copies <= self.count:
            raise ValueError(f"copies is {self.copies}; it must be at most count")

    def __hash__(self) -> int:
        """Of the kinds and the count, since sizes have none."""
        return hash((self.count, self.mixer, self.feed_forward))


@spec_dataclass
class Architecture:
    """Dimensions and structure of one model, as published.

    The dimensions may also be NumPy arrays or SymPy symbols when the object is made in code: cost laws do not mind.
    """

    hidden_size: Width
    num_hidden_layers: Layers
    num_attention_heads: Heads
    intermediate_size: Width  # of a dense feed-forward block
    vocab_size: Rows
    max_position_embeddings: Positions
    num_key_value_heads: Heads | None = None  # None: as many as attention heads
    head_dim: Width | None = None  # None: hidden_size / num_attention_heads
    embedding_size: Width | None = None  # width of a factorised embedding; None: hidden_size
    embedding_projections: Norms = 1  # with a factorised embedding: one narrows the head's input, a second widens it
    position_embedding: PositionEmbedding = "rotary"
    position_offset: Count = 0  # rows of a learned position table before that of the first position
    tie_word_embeddings: bool = False
    gated_mlp: bool = False  # three matrices (GLU variants, Shazeer 2020) instead of two
    parallel_residual: bool = False  # attention and FFN read the same residual stream
    norms_per_layer: Norms = 2
    norm_bias: bool = True  # LayerNorm has weight and bias, RMSNorm a weight only
    final_norms: Norms = 1  # after the last layer
    qk_norm: QueryKeyNorm = "none"  # norm of queries and keys, with weights for one head or for all heads
    embedding_norm: bool = False
    attention_bias: bool = False
    attention_output_bias: bool = False
    attention_sinks: bool = False  # one learned score a head that takes part in the softmax
    mlp_bias: bool = False
    lm_head_bias: bool = False
    v_head_dim: Width | None = None  # width of a value of one head; None: as a key
    sliding_window: Positions | None = None  # tokens that window attention sees, the query's own included
    # Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): kv_lora_rank makes it so.
    q_lora_rank: Width | None = None
    kv_lora_rank: Width | None = None
    qk_nope_head_dim: Width | None = None
    qk_rope_head_dim: Annotated[int, Range(0, 2**24)] | None = None  # 0: no part carries the position
    # Mixture of experts: num_experts makes it so.
    num_experts: Heads | None = None
    num_experts_per_tok: Heads | None = None
    moe_intermediate_size: Width | None = None
    shared_expert_intermediate_size: Width | None = None  # of all shared experts together
    shared_expert_gate: bool = False
    router_bias: bool = False
    moe_latent_size: Width | None = None  # routed experts work on a projection so wide; None: on the hidden state
    # Rows of a second token table for each layer, that a layer mixes into its output (Gemma 3n).
    per_layer_vocab_size: Rows | None = None
    per_layer_input_size: Width | None = None
    other_parameters: Numbers = 0  # learned numbers outside the layers that enter no product of matrices to speak of
    other_layer_parameters: Numbers = 0  # the same of one layer: scales, mixing of residual streams, further norms
    # Of those of one layer, the weights of small matrices that every token meets (mixing of streams, adapters).
    side_parameters: Numbers = 0
    residual_streams: Heads = 1  # that a layer mixes before and after each of its two parts
    layers: tuple[LayerGroup, ...] | None = None  # None: all are alike, of the kinds that the fields above make

    @property
    def is_latent(self) -> bool:
        """Whether attention keeps one compressed vector a token instead of keys and values."""
        return self.kv_lora_rank is not None

    @property
    def latent_rank(self) -> Any:
        """Width of the compressed vector of latent attention."""
        return self.kv_lora_rank

    @property
    def unrotated_size(self) -> Any:
        """Width of the part of a latent query or key of one head that carries no position."""
        return self.qk_nope_head_dim

    @property
    def rotated_size(self) -> Any:
        """Width of the part of a latent query or key of one head that carries the position."""
        return self.qk_rope_head_dim

    @property
    def kv_heads(self) -> Any:
        """Number of key/value heads."""
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def head_size(self) -> Any:
        """Width of a query and of a key of one head."""
        if self.is_latent:
            return self.unrotated_size + self.rotated_size
        return self.hidden_size / self.num_attention_heads if self.head_dim is None else self.head_dim

    @property
    def value_size(self) -> Any:
        """Width of a value of one head."""
        return self.head_size if self.v_head_dim is None else self.v_head_dim

    @property
    def query_width(self) -> Any:
        """Width of all query heads together."""
        if self.is_latent or self.head_dim is not None:
            return self.num_attention_heads * self.head_size
        return self.hidden_size

    @property
    def context_width(self) -> Any:
        """Width of what attention returns, all heads together."""
        return self.query_width if self.v_head_dim is None else self.num_attention_heads * self.value_size

    @property
    def kv_width(self) -> Any:
        """Width of all key heads together. Not of latent attention, which keeps none."""
        return self.query_width if self.num_key_value_heads is None else self.num_key_value_heads * self.head_size

    @property
    def value_width(self) -> Any:
        """Width of all value heads together."""
        return self.kv_width if self.v_head_dim is None else self.kv_heads * self.v_head_dim

    @property
    def latent_width(self) -> Any:
        """Width of what latent attention keeps of a token: the compressed vector and the rotated part of the key."""
        return self.latent_rank + self.rotated_size

    @property
    def groups(self) -> tuple[LayerGroup, ...]:
        """The layers: groups of equal ones, each with the kinds of its mixer and its feed-forward part."""
        own = LayerGroup(self.num_hidden_layers, self.own_mixer, self.own_feed_forward)
        if self.layers is None:
            return (own,)
        return tuple(
            replace(group, mixer=group.mixer or own.mixer, feed_forward=group.feed_forward or own.feed_forward)
            for group in self.layers
        )

    @property
    def own_mixer(self) -> str:
        """Kind of mixer that the fields make."""
        if self.is_latent:
            return "latent_attention"
        return "attention" if self.sliding_window is None else "window_attention"

    @property
    def own_feed_forward(self) -> str:
        """Kind of feed-forward part that the fields make."""
        return "dense" if self.num_experts is None else "experts"

    @property
    def experts(self) -> Any:
        """Experts of one layer, without the shared ones."""
        return self.num_experts

    @property
    def activated_experts(self) -> Any:
        """Experts that one token is sent to."""
        return self.num_experts_per_tok

    @property
    def expert_width(self) -> Any:
        """Inner width of one expert."""
        return self.moe_intermediate_size

    @property
    def expert_input(self) -> Any:
        """Width of what a routed expert reads and returns."""
        return self.hidden_size if self.moe_latent_size is None else self.moe_latent_size

    @property
    def embedding_width(self) -> Any:
        """Width of the rows of the token table."""
        return self.hidden_size if self.embedding_size is None else self.embedding_size

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices in one feed-forward block."""
        return 3 if self.gated_mlp else 2


# The least dimensions that a model can have: for questions of structure alone.
SMALLEST: dict[str, Any] = {
    "hidden_size": 1,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 1,
    "vocab_size": 1,
    "max_position_embeddings": 1,
}


@spec_dataclass
class ModelSpec:
    """One architecture file: the dimensions with their name, aliases and sources."""

    id: str
    name: str
    architecture: Architecture
    aliases: list[str] | None = None
    published_parameters: Annotated[float, Range(1, 1e18)] | None = None
    sources: list[Source] | None = None
    note: str | None = None  # what a person should know who uses it
    formats: CheckpointFormats | None = None  # of the published weights; None: not known, or 16 bits throughout

    @property
    def hub_name(self) -> str:
        """The model as a hub names it, the instructed one where there is one; its id where no name is known."""
        names = [name for name in self.aliases or () if name.count("/") == 1]
        return next((name for name in names if name.endswith("Instruct")), names[0] if names else self.id)


MOST_SIZE = 2**40  # of what only a kind of layer knows
FIELD_NAMES = frozenset(field.name for field in fields(Architecture))
LATENT_FIELDS = ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
EXPERT_FIELDS = ("num_experts_per_tok", "moe_intermediate_size")


def check_architecture(architecture: Architecture, where: str) -> None:
    """Refuse dimensions that no model can have.

    Raises:
        InputError: a dimension out of its range, heads that do not divide what they share, or a part of a structure
            without the rest of it.
    """
    a = architecture
    check_ranges(a, where)
    if not a.is_latent and a.head_dim is None and a.hidden_size % a.num_attention_heads:
        raise InputError(
            f"{where}: hidden_size {a.hidden_size} is not a multiple of num_attention_heads {a.num_attention_heads}; "
            "give head_dim"
        )
    if a.num_attention_heads % a.kv_heads:
        raise InputError(
            f"{where}: num_attention_heads {a.num_attention_heads} is not a multiple of "
            f"num_key_value_heads {a.kv_heads}"
        )
    if any(getattr(a, name) is not None for name in ("kv_lora_rank", *LATENT_FIELDS[:2])):  # values have a width in any
        check_together(a, where, "kv_lora_rank", LATENT_FIELDS)
    check_together(a, where, "num_experts", EXPERT_FIELDS)
    if a.num_experts is not None and a.num_experts_per_tok is not None and a.num_experts_per_tok > a.num_experts:
        raise InputError(f"{where}: num_experts_per_tok {a.num_experts_per_tok} is past num_experts {a.num_experts}")
    check_layers(a, where)


def check_layers(architecture: Architecture, where: str) -> None:
    """Refuse groups of layers that do not add up, or whose kind lacks its sizes.

    Raises:
        InputError: with the first reason found.
    """
    a = architecture
    if a.layers is None:
        return
    total = sum(group.count for group in a.layers)
    if total != a.num_hidden_layers:
        raise InputError(f"{where}: layers add up to {total}, and num_hidden_layers is {a.num_hidden_layers}")
    for group in a.groups:
        own = specialise(a, group)
        check_sizes(own, group, where)
        if "window" in str(group.mixer) and own.sliding_window is None:
            raise InputError(f"{where}: layers of {group.mixer}, but no sliding_window")
        if group.feed_forward == "experts" and own.num_experts is None:
            raise InputError(f"{where}: layers of experts, but no num_experts")


def check_sizes(own: Architecture, group: LayerGroup, where: str) -> None:
    """Refuse sizes of a group of layers, whose architecture is ``own``, that no layer can have.

    Raises:
        InputError: with the size.
    """
    check_ranges(own, f"{where}: layers")
    for name, size in (group.sizes or {}).items():
        is_number = isinstance(size, int | float) and not isinstance(size, bool)
        if not (isinstance(size, str | bool | None) or (is_number and 0 <= size <= MOST_SIZE)):
            raise InputError(f"{where}: layers: {name} is {size!r}; it must be text or a number of 0 to {MOST_SIZE}")
        if name in FIELD_NAMES and not isinstance(size, int | str | None):
            raise InputError(f"{where}: layers: {name} is {size!r}; it must be a whole number, text, true or false")


def specialise(architecture: Architecture, group: LayerGroup) -> Architecture:
    """The architecture as a group of layers has it: with the sizes that the group changes."""
    changes = {name: size for name, size in (group.sizes or {}).items() if name in FIELD_NAMES}
    return replace(architecture, **changes) if changes else architecture


def check_together(architecture: Architecture, where: str, main: str, others: tuple[str, ...]) -> None:
    """Refuse one field of a structure without the others.

    Raises:
        InputError: with what is missing.
    """
    given = [name for name in (main, *others) if getattr(architecture, name) is not None]
    missing = [name for name in (main, *others) if name not in given]
    if given and missing:
        raise InputError(f"{where}: {given[0]} is given, but not {', '.join(missing)}")


def replace_fields(architecture: Architecture, changes: Mapping[str, Any], where: str) -> Architecture:
    """Return the architecture with some fields changed.

    Raises:
        InputError: a field that does not exist.
    """
    try:
        return replace(architecture, **changes)
    except TypeError:
        names = [field.name for field in fields(architecture)]
        unknown = next(key for key in changes if key not in names)
        raise InputError(suggest(f"{where}: unknown architecture field '{unknown}'", unknown, names)) from None
