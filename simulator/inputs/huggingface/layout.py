"""How one ``model_type`` is read: what it calls its dimensions, assumes where its file is silent, and always has.

Read off the ``configuration_*.py`` and ``modeling_*.py`` files of Hugging Face Transformers 5.23.0; the tests compare
the parameters with those of the models that it builds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.inputs.huggingface.patterns import Experts, Windows

Fields = dict[str, Any]
Names = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Layout:
    """How one model type is read.

    ``defaults``: fields of an architecture where the file is silent. ``fixed``: what the type implies. ``names``: our
    field and the file's key, or its spellings with the one that counts first; the sizes are read in any case, other
    fields where they stand here. ``switches``: what a key implies that is true. ``windows`` and ``experts``: the rules
    for layers of more than one kind. ``family``: a rule of ``families.py``; ``layers``: one of ``hybrids.py``, which
    says what each layer is.
    """

    defaults: Fields
    fixed: Fields = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    switches: dict[str, Fields] = field(default_factory=dict)
    windows: Windows | None = None
    experts: Experts | None = None
    family: str | None = None
    layers: str | None = None


SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)


def own(*fields: str) -> Names:
    """Fields that the file calls as we do."""
    return {field: field for field in fields}


def sizes(hidden: int, layers: int, heads: int, width: int | None, vocabulary: int, positions: int) -> Fields:
    """Default sizes; a width of None is four times the hidden size."""
    return dict(zip(SIZES, (hidden, layers, heads, width, vocabulary, positions), strict=True))


TIED = {"tie_word_embeddings": True}
RMS_GATED = {"norm_bias": False, "gated_mlp": True}
ALL_BIASES = {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True}
PARALLEL = {"parallel_residual": True, "norms_per_layer": 1}
HEADS = own("num_key_value_heads", "head_dim")
BIAS: Names = {"attention_bias": "attention_bias", "attention_output_bias": "attention_bias"}
ONE_BIAS: Names = {"attention_bias": "use_bias", "attention_output_bias": "use_bias", "mlp_bias": "use_bias"}
WINDOW = own("sliding_window")
GPT2_NAMES: Names = {
    "hidden_size": ("n_embd", "hidden_size"),
    "num_hidden_layers": ("n_layer", "num_hidden_layers"),
    "num_attention_heads": ("n_head", "num_attention_heads"),
    "intermediate_size": ("n_inner", "intermediate_size"),
    "max_position_embeddings": ("n_positions", "max_position_embeddings"),
}
EXPERTS = own("num_experts", "num_experts_per_tok", "moe_intermediate_size")
LOCAL_EXPERTS: Names = EXPERTS | {"num_experts": ("num_local_experts", "num_experts")}
WIDE_EXPERTS: Names = LOCAL_EXPERTS | {"moe_intermediate_size": "intermediate_size"}
ROUTED_EXPERTS: Names = EXPERTS | {"num_experts": ("n_routed_experts", "num_local_experts")}
LATENT = own("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
LATENT_SIZES = {
    **{"q_lora_rank": 1536, "kv_lora_rank": 512},
    **{"qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
}
QWEN_WINDOWS = Windows("late", switched=True)
