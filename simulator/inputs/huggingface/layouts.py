"""What each ``model_type`` calls its dimensions, assumes where its file is silent, and always has.

Read off the ``configuration_*.py`` and ``modeling_*.py`` files of Hugging Face Transformers 5.23.0; the tests compare
the parameters with those of the models that it builds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    for layers of more than one kind. ``family``: a rule of ``families.py``.
    """

    defaults: Fields
    fixed: Fields = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    switches: dict[str, Fields] = field(default_factory=dict)
    windows: Windows | None = None
    experts: Experts | None = None
    family: str | None = None


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

FALCON = Layout(
    sizes(4544, 32, 71, None, 65024, 2048) | TIED,
    names={
        "hidden_size": ("hidden_size", "n_embed"),
        "num_hidden_layers": ("num_hidden_layers", "n_layer"),
        "num_attention_heads": ("num_attention_heads", "n_head"),
        "intermediate_size": "ffn_hidden_size",
        **{"attention_bias": "bias", "attention_output_bias": "bias", "mlp_bias": "bias"},
    },
    switches={"alibi": {"position_embedding": "alibi"}},
    family="falcon",
)
LLAMA = Layout(
    sizes(4096, 32, 32, 11008, 32000, 2048),
    RMS_GATED,
    HEADS | BIAS | own("mlp_bias"),
)
QWEN2 = Layout(
    sizes(4096, 32, 32, 22016, 151936, 32768) | {"num_key_value_heads": 32, "sliding_window": 4096},
    RMS_GATED | {"attention_bias": True},
    HEADS | WINDOW,
    windows=QWEN_WINDOWS,
)
QWEN2_VL = replace(
    QWEN2, defaults=sizes(8192, 80, 64, 29568, 152064, 32768) | {"num_key_value_heads": 8, "sliding_window": 4096}
)
QWEN3 = Layout(
    sizes(4096, 32, 32, 22016, 151936, 32768) | {"num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096},
    RMS_GATED | {"qk_norm": "head"},
    HEADS | BIAS | WINDOW,
    windows=QWEN_WINDOWS,
)
DEEPSEEK_V3 = Layout(
    sizes(7168, 61, 128, 18432, 129280, 4096)
    | LATENT_SIZES
    | {"num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
    RMS_GATED,
    BIAS | LATENT | ROUTED_EXPERTS,
    experts=Experts("first", 3),
    family="deepseek_v3",
)
GLM4 = Layout(
    sizes(4096, 40, 32, 13696, 151552, 131072) | {"num_key_value_heads": 2, "head_dim": 128, "attention_bias": True},
    RMS_GATED | {"norms_per_layer": 4},
    HEADS | own("attention_bias"),
)
GEMMA = Layout(
    sizes(3072, 28, 16, 24576, 256000, 8192) | {"num_key_value_heads": 16, "head_dim": 256} | TIED,
    RMS_GATED,
    HEADS | BIAS,
)
OLMO2 = Layout(sizes(4096, 32, 32, 11008, 50304, 2048), RMS_GATED | {"qk_norm": "projection"}, HEADS | BIAS)

LAYOUTS: dict[str, Layout] = {
    "gpt2": Layout(
        sizes(768, 12, 12, None, 50257, 1024) | TIED, {"position_embedding": "learned", **ALL_BIASES}, GPT2_NAMES
    ),
    "gptj": Layout(
        sizes(4096, 28, 16, None, 50400, 2048), PARALLEL | {"mlp_bias": True, "lm_head_bias": True}, GPT2_NAMES
    ),
    "gpt_neox": Layout(
        sizes(6144, 44, 64, 24576, 50432, 2048)
        | {"parallel_residual": True, "attention_bias": True, "attention_output_bias": True},
        {"mlp_bias": True},
        BIAS | {"parallel_residual": "use_parallel_residual"},
    ),
    "gpt_bigcode": Layout(
        sizes(768, 12, 12, None, 50257, 1024) | TIED,
        {"position_embedding": "learned", **ALL_BIASES},
        GPT2_NAMES,
        family="gpt_bigcode",
    ),
    "opt": Layout(
        sizes(768, 12, 12, 3072, 50272, 2048) | TIED | ALL_BIASES,
        {"position_embedding": "learned", "position_offset": 2},
        {
            "intermediate_size": "ffn_dim",
            "embedding_size": "word_embed_proj_dim",
            **{"attention_bias": "enable_bias", "attention_output_bias": "enable_bias", "mlp_bias": "enable_bias"},
        },
        family="opt",
    ),
    "bloom": Layout(
        sizes(64, 2, 8, None, 250880, 2048) | TIED,
        {"position_embedding": "alibi", "embedding_norm": True, **ALL_BIASES},
        {
            "hidden_size": ("n_embed", "hidden_size"),
            "num_hidden_layers": ("n_layer", "num_hidden_layers"),
            "num_attention_heads": ("n_head", "num_attention_heads"),
            "intermediate_size": (),
            "max_position_embeddings": "seq_length",
        },
    ),
    "falcon": FALCON,
    "RefinedWebModel": FALCON,  # as falcon-7b called itself at first
    "RefinedWeb": replace(FALCON, family="refined_web"),  # as falcon-40b did
    "llama": LLAMA,
    "llama4_text": Layout(
        sizes(5120, 48, 40, 16384, 202048, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 8192, "num_experts": 16}
        | {"num_experts_per_tok": 1, "moe_intermediate_size": 8192, "shared_expert_intermediate_size": 8192},
        RMS_GATED,
        {
            **{"intermediate_size": "intermediate_size_mlp", "shared_expert_intermediate_size": "intermediate_size"},
            **HEADS,
            **BIAS,
            **WIDE_EXPERTS,
            "sliding_window": "attention_chunk_size",
        },
        windows=Windows("rotated", 4),
        experts=Experts("interleaved"),
    ),
    "mistral": Layout(
        sizes(4096, 32, 32, 14336, 32000, 131072) | {"num_key_value_heads": 8, "sliding_window": 4096},
        RMS_GATED,
        HEADS | WINDOW,
        windows=Windows(listed=False),
    ),
    "ministral": Layout(
        sizes(4096, 32, 32, 14336, 32000, 131072) | {"num_key_value_heads": 8, "sliding_window": 4096},
        RMS_GATED,
        HEADS | WINDOW,
        windows=Windows(),
    ),
    "ministral3": Layout(
        sizes(4096, 34, 32, 14336, 131072, 262144) | {"num_key_value_heads": 8, "head_dim": 128},
        RMS_GATED,
        HEADS | WINDOW,
        windows=Windows(listed=False),
    ),
    "mixtral": Layout(
        sizes(4096, 32, 32, 14336, 32000, 131072)
        | {"num_key_value_heads": 8, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 14336},
        RMS_GATED,
        HEADS | WINDOW | WIDE_EXPERTS,
        windows=Windows(listed=False),
        experts=Experts(),
    ),
    "qwen2": QWEN2,
    "qwen2_vl": QWEN2_VL,  # at first in one piece, later with a part text_config
    "qwen2_vl_text": QWEN2_VL,
    "qwen2_5_vl": QWEN2_VL,
    "qwen2_5_vl_text": QWEN2_VL,
    "qwen2_moe": Layout(
        sizes(2048, 24, 16, 5632, 151936, 32768)
        | {"num_key_value_heads": 16, "attention_bias": True, "sliding_window": 4096}
        | {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}
        | {"shared_expert_intermediate_size": 5632},
        RMS_GATED | {"shared_expert_gate": True},
        HEADS | WINDOW | EXPERTS | own("shared_expert_intermediate_size") | {"attention_bias": "qkv_bias"},
        windows=Windows("early", switched=True),
        experts=Experts("sparse"),
    ),
    "qwen3": QWEN3,
    "qwen3_vl_text": replace(QWEN3, defaults=QWEN3.defaults | {"max_position_embeddings": 128000}),
    "qwen3_moe": Layout(
        sizes(2048, 24, 32, 6144, 151936, 32768)
        | {"num_key_value_heads": 4, "sliding_window": 4096}
        | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | BIAS | WINDOW | LOCAL_EXPERTS,
        windows=Windows(listed=False, switched=True),
        experts=Experts("sparse"),
    ),
    "gemma": GEMMA,
    "gemma2": replace(
        GEMMA,
        defaults=sizes(2304, 26, 8, 9216, 256000, 8192)
        | {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}
        | TIED,
        fixed=RMS_GATED | {"norms_per_layer": 4},
        names=HEADS | BIAS | WINDOW,
        windows=Windows("periodic", 2),
    ),
    "gemma3_text": replace(
        GEMMA,
        defaults=sizes(2304, 26, 8, 9216, 262208, 131072)
        | {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}
        | TIED,
        fixed=RMS_GATED | {"norms_per_layer": 4, "qk_norm": "head"},
        names=HEADS | BIAS | WINDOW,
        windows=Windows("patterned", 6),
    ),
    "phi": Layout(
        sizes(2048, 24, 32, 8192, 51200, 2048),
        PARALLEL | ALL_BIASES | {"lm_head_bias": True},
        HEADS,
        {"qk_layernorm": {"qk_norm": "head with bias"}},
    ),
    "phi3": Layout(
        sizes(3072, 32, 32, 8192, 32064, 4096),
        RMS_GATED,
        HEADS | WINDOW,
        windows=Windows(listed=False),
    ),
    "deepseek_v2": replace(
        DEEPSEEK_V3,
        defaults=sizes(4096, 32, 32, 11008, 102400, 2048)
        | LATENT_SIZES
        | {"num_experts": 64, "moe_intermediate_size": 1407},
        experts=Experts("first"),
        family="deepseek_v2",
    ),
    "deepseek_v3": DEEPSEEK_V3,
    "kimi_k2": DEEPSEEK_V3,
    "gpt_oss": Layout(
        sizes(2880, 36, 64, 2880, 201088, 131072)
        | {"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128}
        | {"attention_bias": True, "attention_output_bias": True}
        | {"num_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 2880},
        RMS_GATED | {"attention_sinks": True, "router_bias": True, "mlp_bias": True},
        HEADS | BIAS | WINDOW | WIDE_EXPERTS,
        windows=Windows("periodic", 2),
        experts=Experts(),
    ),
    "olmo2": OLMO2,
    "olmo3": replace(
        OLMO2,
        defaults=OLMO2.defaults | {"sliding_window": 4096},
        names=OLMO2.names | WINDOW,
        windows=Windows("periodic", 4),
    ),
    "olmoe": Layout(
        sizes(2048, 16, 16, 2048, 50304, 4096)
        | {"num_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
        RMS_GATED | {"qk_norm": "projection"},
        HEADS | BIAS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "granite": LLAMA,
    "granitemoe": Layout(
        sizes(4096, 32, 32, 11008, 32000, 2048)
        | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 11008},
        RMS_GATED,
        HEADS | BIAS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "cohere": Layout(
        sizes(8192, 40, 64, 22528, 256000, 8192) | TIED,
        RMS_GATED | PARALLEL,
        HEADS | BIAS,
        {"use_qk_norm": {"qk_norm": "projection"}},
    ),
    "cohere2": Layout(
        sizes(8192, 40, 64, 22528, 256000, 8192) | {"sliding_window": 4096} | TIED,
        RMS_GATED | PARALLEL,
        own("num_key_value_heads") | BIAS | WINDOW,
        windows=Windows("patterned", 4),
    ),
    "starcoder2": Layout(
        sizes(3072, 30, 24, 12288, 49152, 4096) | {"num_key_value_heads": 2} | ALL_BIASES | TIED,
        {},
        HEADS | ONE_BIAS | WINDOW,
        windows=Windows(listed=False),
    ),
    "stablelm": Layout(
        sizes(2560, 32, 32, 6912, 50304, 4096) | {"num_key_value_heads": 32},
        {"gated_mlp": True},
        own("num_key_value_heads") | {"attention_bias": "use_qkv_bias"},
        {"use_parallel_residual": PARALLEL, "qk_layernorm": {"qk_norm": "projection"}},
    ),
    "glm": replace(
        GLM4,
        defaults=GLM4.defaults | {"num_key_value_heads": 2, "head_dim": 128},
        fixed=RMS_GATED,
    ),
    "glm4": GLM4,
    "glm4_moe": Layout(
        sizes(4096, 46, 96, 10944, 151552, 131072)
        | {"num_key_value_heads": 8, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1408},
        RMS_GATED,
        HEADS | own("attention_bias") | ROUTED_EXPERTS,
        {"use_qk_norm": {"qk_norm": "head"}},
        experts=Experts("first", 1),
        family="deepseek_v3",
    ),
    "smollm3": Layout(
        sizes(2048, 36, 16, 11008, 128256, 32768) | {"num_key_value_heads": 4} | TIED,
        RMS_GATED,
        HEADS | BIAS | WINDOW | own("mlp_bias"),
        windows=Windows(switched=True),
    ),
    "seed_oss": Layout(
        sizes(4096, 64, 80, 27648, 155136, 524288)
        | {"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
        RMS_GATED,
        HEADS | own("attention_bias", "mlp_bias") | {"attention_output_bias": "attention_out_bias"},
    ),
    "nemotron": Layout(
        sizes(6144, 32, 48, 24576, 256000, 4096),
        {},
        HEADS | BIAS | own("mlp_bias"),
    ),
    "arcee": Layout(
        sizes(2560, 32, 32, 18432, 32000, 4096),
        {"norm_bias": False},
        HEADS | BIAS | own("mlp_bias"),
    ),
}
