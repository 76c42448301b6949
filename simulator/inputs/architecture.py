"""A decoder-only Transformer: its dimensions, under the names that Hugging Face configurations use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal

from simulator.errors import InputError, suggest
from simulator.specfile import spec_dataclass

PositionEmbedding = Literal["learned", "rotary", "alibi", "none"]


@spec_dataclass
class Source:
    """Where numbers come from: ``gives`` names key paths of the file; a prefix covers all keys below it."""

    title: str
    gives: list[str]
    url: str | None = None
    note: str | None = None


@spec_dataclass
class Architecture:
    """Dimensions and structure of one model, as published.

    The dimensions may also be NumPy arrays or SymPy symbols when the object is made in code: cost laws do not mind.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    num_key_value_heads: int | None = None  # None: as many as attention heads
    head_dim: int | None = None  # None: hidden_size / num_attention_heads
    embedding_size: int | None = None  # width of a factorised embedding; None: hidden_size
    position_embedding: PositionEmbedding = "rotary"
    tie_word_embeddings: bool = False
    gated_mlp: bool = False  # three matrices (GLU variants, Shazeer 2020) instead of two
    parallel_residual: bool = False  # attention and FFN read the same residual stream
    norms_per_layer: int = 2
    norm_bias: bool = True  # LayerNorm has weight and bias, RMSNorm a weight only
    embedding_norm: bool = False
    attention_bias: bool = False
    attention_output_bias: bool = False
    mlp_bias: bool = False
    lm_head_bias: bool = False

    @property
    def kv_heads(self) -> Any:
        """Number of key/value heads."""
        return self.num_attention_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def head_size(self) -> Any:
        """Width of one attention head."""
        return self.hidden_size / self.num_attention_heads if self.head_dim is None else self.head_dim

    @property
    def query_width(self) -> Any:
        """Width of all query heads together."""
        return self.hidden_size if self.head_dim is None else self.num_attention_heads * self.head_dim

    @property
    def kv_width(self) -> Any:
        """Width of all key heads together; the values are as wide."""
        return self.query_width if self.num_key_value_heads is None else self.num_key_value_heads * self.head_size

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
    published_parameters: float | None = None
    sources: list[Source] | None = None

    def __post_init__(self) -> None:
        """Refuse a size that is none."""
        if self.published_parameters is not None and self.published_parameters <= 0:
            raise ValueError(f"published_parameters is {self.published_parameters}; it must be above 0")


def count_parameters(architecture: Architecture) -> Any:
    """Count every trainable number of the model, embeddings included."""
    a = architecture
    h, f, q, kv = a.hidden_size, a.intermediate_size, a.query_width, a.kv_width
    norm = h * (2 if a.norm_bias else 1)
    attention = h * (q + 2 * kv) + q * h
    attention += (q + 2 * kv) * a.attention_bias + h * a.attention_output_bias
    mlp = a.mlp_matrices * h * f + ((a.mlp_matrices - 1) * f + h) * a.mlp_bias
    layers = a.num_hidden_layers * (attention + mlp + a.norms_per_layer * norm)
    return layers + norm + count_embedding_parameters(a)


def count_embedding_parameters(architecture: Architecture) -> Any:
    """Count token and position tables, the head and what stands between them and the layers."""
    a = architecture
    tables = a.vocab_size * a.embedding_width * (1 if a.tie_word_embeddings else 2) + a.vocab_size * a.lm_head_bias
    if a.embedding_size is not None:
        tables += a.hidden_size * a.embedding_size
    if a.position_embedding == "learned":
        tables += a.max_position_embeddings * a.hidden_size
    if a.embedding_norm:
        tables += a.hidden_size * (2 if a.norm_bias else 1)
    return tables


def check_architecture(architecture: Architecture, where: str) -> None:
    """Refuse dimensions that no model can have.

    Raises:
        InputError: a dimension below 1, or heads that do not divide what they share.
    """
    a = architecture
    for field in fields(a):
        value = getattr(a, field.name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise InputError(f"{where}: {field.name} is {value}; it must be at least 1")
    if a.head_dim is None and a.hidden_size % a.num_attention_heads:
        raise InputError(
            f"{where}: hidden_size {a.hidden_size} is not a multiple of num_attention_heads {a.num_attention_heads}; "
            "give head_dim"
        )
    if a.num_attention_heads % a.kv_heads:
        raise InputError(
            f"{where}: num_attention_heads {a.num_attention_heads} is not a multiple of "
            f"num_key_value_heads {a.kv_heads}"
        )


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
