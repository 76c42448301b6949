"""Model types whose layers are of several kinds: recurrences, sparse and compressed attention, and more."""

from __future__ import annotations

from dataclasses import replace

from simulator.inputs.huggingface.layout import (
    BIAS,
    EXPERTS,
    HEADS,
    LATENT,
    LATENT_SIZES,
    LOCAL_EXPERTS,
    RMS_GATED,
    ROUTED_EXPERTS,
    TIED,
    WIDE_EXPERTS,
    WINDOW,
    Fields,
    Layout,
    Names,
    own,
    sizes,
)
from simulator.inputs.huggingface.patterns import Experts, Windows

ONE_NORM = {"norm_bias": False, "norms_per_layer": 1}
GATED_HEADS = RMS_GATED | {"qk_norm": "head"}
SHARED_EXPERT = own("shared_expert_intermediate_size")


def experts(count: int | None, chosen: int | None, width: int | None, shared: int | None = None) -> Fields:
    """Default numbers and widths of experts."""
    fields = {"num_experts": count, "num_experts_per_tok": chosen, "moe_intermediate_size": width}
    return fields | ({} if shared is None else {"shared_expert_intermediate_size": shared})


QWEN3_NEXT = Layout(
    sizes(2048, 48, 16, 5632, 151936, 32768) | {"num_key_value_heads": 2, "head_dim": 256} | experts(512, 10, 512, 512),
    GATED_HEADS | {"shared_expert_gate": True},
    HEADS | BIAS | EXPERTS | SHARED_EXPERT,
    experts=Experts("sparse"),
    layers="gated_delta",
)
QWEN3_5_MOE = replace(
    QWEN3_NEXT,
    defaults=sizes(2048, 40, 16, None, 248320, 32768)
    | {"num_key_value_heads": 2, "head_dim": 256}
    | experts(256, 8, 512, 512),
    experts=Experts(),
)
QWEN3_5 = Layout(
    sizes(4096, 32, 16, 12288, 248320, 32768) | {"num_key_value_heads": 4, "head_dim": 256},
    GATED_HEADS,
    HEADS | BIAS,
    layers="gated_delta",
)
MAMBA = Layout(
    sizes(768, 32, 1, None, 50280, 2048) | TIED,
    ONE_NORM,
    {
        "num_attention_heads": (),
        "max_position_embeddings": (),
        "hidden_size": ("hidden_size", "d_model"),
        "num_hidden_layers": ("num_hidden_layers", "n_layer"),
    },
    layers="mamba",
)
BAMBA = Layout(
    sizes(4096, 32, 32, 14336, 128000, 262144) | {"num_key_value_heads": 8},
    RMS_GATED,
    HEADS | BIAS | own("mlp_bias"),
    layers="bamba",
)
LFM2 = Layout(
    sizes(2560, 32, 32, 12288, 65536, 128000) | {"num_key_value_heads": 8} | TIED,
    GATED_HEADS,
    own("num_key_value_heads") | {"intermediate_size": ("block_ff_dim", "intermediate_size")},
    family="lfm2",
    layers="lfm2",
)
DEEPSEEK_V32 = Layout(
    sizes(7168, 61, 128, 18432, 129280, 163840) | LATENT_SIZES | experts(256, 8, 2048),
    RMS_GATED,
    BIAS | LATENT | ROUTED_EXPERTS,
    experts=Experts("first", 3),
    family="shared",
    layers="indexed",
)
GLM_DSA = replace(
    DEEPSEEK_V32,
    defaults=sizes(6144, 78, 64, 12288, 154880, 202752)
    | LATENT_SIZES
    | {"q_lora_rank": 2048, "qk_nope_head_dim": 192, "v_head_dim": 256}
    | experts(256, 8, 2048),
)
PER_LAYER = {
    "per_layer_input_size": "hidden_size_per_layer_input",
    "per_layer_vocab_size": "vocab_size_per_layer_input",
}
GEMMA4 = Layout(
    sizes(2304, 30, 8, 9216, 262144, 131072)
    | {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 512}
    | {"per_layer_input_size": 256, "per_layer_vocab_size": 262144}
    | TIED,
    GATED_HEADS | {"norms_per_layer": 4},
    HEADS | BIAS | WINDOW | PER_LAYER | EXPERTS | {"num_experts_per_tok": ("top_k_experts", "num_experts_per_tok")},
    layers="gemma4",
)

MIMO_V2 = Layout(
    sizes(4096, 48, 64, 16384, 152576, 131072)
    | {"num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "sliding_window": 129}
    | experts(256, 8, 2048),
    RMS_GATED,
    HEADS | BIAS | WINDOW | own("v_head_dim") | ROUTED_EXPERTS,
    experts=Experts("first", 1),
    layers="mimo_v2",
)

MINIMAX_M3 = Layout(
    sizes(6144, 60, 64, 3072, 200064, 524288)
    | {"num_key_value_heads": 4, "head_dim": 128}
    | experts(128, 4, 3072, 3072),
    GATED_HEADS,
    HEADS | WIDE_EXPERTS | {"shared_expert_intermediate_size": "shared_intermediate_size"},
    experts=Experts(),
    layers="minimax_m3",
)
STEP = Layout(
    sizes(4096, 45, 64, 11264, 128815, 128000)
    | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 512}
    | experts(288, 8, 1280, 1280),
    GATED_HEADS,
    own("head_dim", "moe_intermediate_size", "sliding_window")
    | {
        "num_key_value_heads": ("num_key_value_heads", "num_attention_groups"),
        "num_experts": ("n_routed_experts", "moe_num_experts", "num_experts"),
        "num_experts_per_tok": ("num_experts_per_tok", "moe_top_k"),
        "shared_expert_intermediate_size": ("share_expert_dim", "share_expert_dims"),
    },
    experts=Experts("enumerated", 3),
    layers="step",
)

# Latent attention and experts, as the files of Kimi Linear and Bailing spell them.
LATENT_EXPERTS: Names = (
    LATENT
    | EXPERTS
    | {
        "num_experts_per_tok": ("num_experts_per_token", "num_experts_per_tok"),
        "max_position_embeddings": ("model_max_length", "max_position_embeddings"),
    }
)

HYBRID_TYPES: dict[str, Layout] = {
    "qwen3_next": QWEN3_NEXT,
    "qwen3_5_text": QWEN3_5,
    "qwen3_5_moe_text": QWEN3_5_MOE,
    "qwen3_5": QWEN3_5,  # in one piece, without images
    "qwen3_5_moe": QWEN3_5_MOE,
    "olmo_hybrid": Layout(
        sizes(3840, 32, 30, 11008, 100352, 65536) | {"num_key_value_heads": 30},
        RMS_GATED | {"qk_norm": "projection"},
        HEADS | BIAS,
        layers="olmo_hybrid",
    ),
    "kimi_linear": Layout(
        sizes(2304, 27, 32, 9216, 163840, 1048576) | LATENT_SIZES | {"q_lora_rank": None} | experts(256, 8, 1024),
        RMS_GATED,
        LATENT_EXPERTS | {"moe_latent_size": "routed_expert_hidden_size"},
        experts=Experts("first", 1),
        family="shared",
        layers="kimi_linear",
    ),
    "bailing_hybrid": Layout(
        sizes(2560, 42, 32, 6144, 157184, 262144) | LATENT_SIZES | {"q_lora_rank": None} | experts(512, 8, 768),
        RMS_GATED,
        LATENT_EXPERTS,
        experts=Experts("first", 2),
        family="shared",
        layers="bailing",
    ),
    "minimax": Layout(
        sizes(4096, 32, 32, 14336, 32000, 131072) | {"num_key_value_heads": 8} | experts(8, 2, 14336),
        RMS_GATED,
        HEADS | WIDE_EXPERTS,
        experts=Experts(),
        layers="minimax",
    ),
    "mamba": MAMBA,
    "falcon_mamba": MAMBA,
    "mamba2": replace(MAMBA, defaults=sizes(4096, 64, 1, None, 32768, 2048), layers="mamba2"),
    "jamba": Layout(
        sizes(4096, 32, 32, 14336, 65536, 262144) | {"num_key_value_heads": 8} | experts(16, 2, 14336),
        RMS_GATED,
        own("num_key_value_heads", "num_experts", "num_experts_per_tok")
        | {"moe_intermediate_size": "intermediate_size"},
        experts=Experts("offset"),
        layers="jamba",
    ),
    "bamba": BAMBA,
    "falcon_h1": replace(
        BAMBA,
        defaults=sizes(4096, 32, 32, 14336, 128000, 8192) | {"num_key_value_heads": 8},
        layers="falcon_h1",
    ),
    "granitemoehybrid": Layout(
        sizes(4096, 32, 32, 11008, 32000, 2048) | experts(8, 2, 11008, 1024),
        RMS_GATED,
        HEADS | BIAS | WIDE_EXPERTS | {"shared_expert_intermediate_size": "shared_intermediate_size"},
        experts=Experts(),
        layers="granite_hybrid",
    ),
    "nemotron_h": Layout(
        sizes(4096, 52, 32, 21504, 131072, 4096)
        | {"num_key_value_heads": 8, "head_dim": 128, "moe_latent_size": None}
        | experts(8, 2, 7688),
        ONE_NORM,
        HEADS | BIAS | own("mlp_bias", "moe_latent_size") | ROUTED_EXPERTS | {"num_hidden_layers": ()},
        experts=Experts(),
        family="nemotron_h",
        layers="nemotron_h",
    ),
    "zamba": Layout(
        sizes(3712, 76, 16, 14848, 32000, 4096) | TIED,
        RMS_GATED,
        own("num_key_value_heads"),
        layers="zamba",
    ),
    "zamba2": Layout(
        sizes(2560, 54, 32, None, 32000, 4096) | TIED, RMS_GATED, own("num_key_value_heads"), layers="zamba2"
    ),
    "lfm2": LFM2,
    "lfm2_moe": replace(
        LFM2,
        defaults=sizes(2048, 32, 32, 7168, 65536, 128000) | {"num_key_value_heads": 8} | experts(32, 4, 1792) | TIED,
        names=own("num_key_value_heads") | EXPERTS,
        experts=Experts("first", 2),
        family=None,
    ),
    "lfm3": replace(
        LFM2,
        defaults=sizes(2048, 24, 16, 7680, 128000, 128000)
        | {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 256}
        | TIED,
        fixed=GATED_HEADS | {"norms_per_layer": 4},
        names=HEADS | WINDOW,
        family=None,
    ),
    "recurrent_gemma": Layout(
        sizes(2560, 26, 10, 7680, 256000, 8192)
        | {"num_key_value_heads": 1, "head_dim": 256, "sliding_window": 2048}
        | TIED,
        RMS_GATED | {"mlp_bias": True, "attention_output_bias": True},
        HEADS | own("attention_bias") | {"sliding_window": "attention_window_size"},
        layers="recurrent_gemma",
    ),
    "deepseek_v32": DEEPSEEK_V32,
    "glm_moe_dsa": GLM_DSA,
    "deepseek_v4": Layout(
        sizes(4096, 43, 64, None, 129280, 1048576)
        | {"num_key_value_heads": 1, "head_dim": 512, "q_lora_rank": 1024, "sliding_window": 128}
        | experts(256, 6, 2048),
        RMS_GATED | {"attention_sinks": True},
        HEADS | own("q_lora_rank") | WINDOW | ROUTED_EXPERTS | {"intermediate_size": "moe_intermediate_size"},
        experts=Experts(),
        family="shared",
        layers="deepseek_v4",
    ),
    "gemma3n_text": Layout(
        sizes(2048, 35, 8, None, 262400, 32768)
        | {"num_key_value_heads": 2, "head_dim": 256, "sliding_window": 512}
        | {"per_layer_input_size": 256, "per_layer_vocab_size": 262144}
        | TIED,
        GATED_HEADS | {"norms_per_layer": 4},
        HEADS | BIAS | WINDOW | PER_LAYER | {"intermediate_size": ()},
        layers="gemma3n",
    ),
    "gemma4_text": GEMMA4,
    "gemma4_unified_text": replace(
        GEMMA4, defaults=GEMMA4.defaults | {"per_layer_input_size": None, "sliding_window": 1024}
    ),
    "mimo_v2": MIMO_V2,
    "mimo_v2_flash": MIMO_V2,
    "afmoe": Layout(
        sizes(2048, 32, 16, 6144, 200192, 16384)
        | {"num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024}
        | experts(64, 6, 1408),
        GATED_HEADS | {"norms_per_layer": 4, "router_bias": True},
        HEADS | BIAS | WINDOW | EXPERTS,
        windows=Windows("periodic", 4),
        experts=Experts("first", 1),
        family="shared_pair",
        layers="gated",
    ),
    "laguna": Layout(
        sizes(2048, 40, 48, 8192, 100352, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 512}
        | experts(256, 8, 512, 512),
        GATED_HEADS | {"router_bias": True},
        HEADS | BIAS | WINDOW | EXPERTS | SHARED_EXPERT,
        windows=Windows("none"),
        experts=Experts("first", 1),
        layers="laguna",
    ),
    "cohere2_moe": Layout(
        sizes(8192, 40, 64, 22528, 256000, 8192)
        | {"num_key_value_heads": 64, "head_dim": 128, "sliding_window": 4096}
        | experts(8, 2, 22528)
        | TIED,
        RMS_GATED | {"parallel_residual": True, "norms_per_layer": 1},
        HEADS | BIAS | WINDOW | LOCAL_EXPERTS | {"moe_intermediate_size": "intermediate_size"},
        windows=Windows("patterned", 4),
        experts=Experts(),
        family="none_shared",
        layers="prefix",
    ),
    "step3p5": STEP,
    "nemotron-nas": Layout(
        sizes(8192, 80, 64, None, 128256, 131072),
        RMS_GATED,
        own("head_dim") | BIAS | own("mlp_bias") | {"intermediate_size": ()},
        layers="nemotron_nas",
    ),
    "longcat_flash": Layout(
        sizes(6144, 28, 64, 12288, 131072, 131072) | LATENT_SIZES | experts(512, 12, 2048),
        RMS_GATED,
        BIAS
        | LATENT
        | {
            "num_hidden_layers": ("num_layers", "num_hidden_layers"),
            "intermediate_size": ("ffn_hidden_size", "intermediate_size"),
            "num_experts": "n_routed_experts",
            "num_experts_per_tok": ("moe_topk", "num_experts_per_tok"),
            "moe_intermediate_size": ("expert_ffn_hidden_size", "moe_intermediate_size"),
        },
        experts=Experts(),
        layers="longcat",
    ),
    "axk1": replace(
        DEEPSEEK_V32,
        defaults=sizes(7168, 61, 64, 18432, 163840, 32768) | LATENT_SIZES | experts(192, 8, 2048),
        experts=Experts("first", 1),
        layers="axk1",
    ),
    "hy_v4": replace(
        DEEPSEEK_V32,
        defaults=sizes(2816, 34, 32, 6912, 120832, 262144)
        | LATENT_SIZES
        | {"qk_nope_head_dim": 192, "v_head_dim": 256}
        | experts(256, 8, 768),
        fixed=RMS_GATED | {"attention_sinks": True},
        experts=Experts("first", 1),
        layers="hy_v4",
    ),
    "minimax_m3_vl_text": MINIMAX_M3,
    "beam": Layout(
        sizes(5120, 52, 48, 20480, 151936, 8192)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 512}
        | experts(256, 8, 2560),
        GATED_HEADS | {"norms_per_layer": 4},
        HEADS | BIAS | WINDOW | EXPERTS,
        windows=Windows("periodic", 6),
        experts=Experts("first", 3),
        family="beam",
        layers="gated",
    ),
}
