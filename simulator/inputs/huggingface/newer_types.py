"""Model types of 2026, and text models of the wrappers around them."""

from __future__ import annotations

from dataclasses import replace

from simulator.inputs.huggingface.dense_types import DENSE_TYPES
from simulator.inputs.huggingface.expert_types import EXPERT_TYPES
from simulator.inputs.huggingface.hybrid_types import DEEPSEEK_V32, QWEN3_5_MOE, experts
from simulator.inputs.huggingface.layout import (
    BIAS,
    EXPERTS,
    HEADS,
    LATENT_SIZES,
    RMS_GATED,
    ROUTED_EXPERTS,
    TIED,
    WIDE_EXPERTS,
    WINDOW,
    Layout,
    own,
    sizes,
)
from simulator.inputs.huggingface.patterns import Experts, Windows

# Attention with keys and values and the experts of DeepSeek-V2, as the text models of DeepSeek's OCR have them.
DEEPSEEK_OCR = Layout(
    sizes(1280, 12, 10, 6848, 129280, 32768) | experts(64, 6, 896),
    RMS_GATED,
    HEADS | BIAS | own("mlp_bias") | ROUTED_EXPERTS,
    experts=Experts("first", 1),
    family="shared_pair",
)
ERNIE = EXPERT_TYPES["ernie4_5_moe"]
INKLING = Layout(
    {},
    RMS_GATED | {"qk_norm": "head", "embedding_norm": True},
    HEADS
    | {"sliding_window": ("sliding_window_size", "sliding_window")}
    | ROUTED_EXPERTS
    | {"max_position_embeddings": ("model_max_length", "max_position_embeddings")},
    experts=Experts(),
)
MUSE_GLIMMER = Layout(
    sizes(6656, 52, 32, 19968, 202048, 131072) | {"num_key_value_heads": 2, "head_dim": 128, "sliding_window": 2048},
    RMS_GATED | {"norms_per_layer": 4},
    HEADS | BIAS | WINDOW,
    windows=Windows("backward", 4),
    layers="gated",
)
MISTRAL, GLM4 = DENSE_TYPES["mistral"], DENSE_TYPES["glm4"]
NEWER_TYPES: dict[str, Layout] = {
    "glm_ocr_text": replace(
        GLM4,
        defaults=sizes(1024, 16, 16, 4096, 59392, 131072) | {"num_key_value_heads": 8, "attention_bias": False},
    ),
    "voxtral_realtime_text": replace(
        MISTRAL,
        defaults=sizes(3072, 26, 32, 9216, 131072, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 8192}
        | TIED,
        family="voxtral",
    ),
    "molmo2_text": Layout(
        sizes(4096, 36, 32, 12288, 151936, 36864) | {"num_key_value_heads": 8, "head_dim": 128},
        RMS_GATED,
        HEADS | {"attention_bias": "attention_bias"},
        family="molmo2",
    ),
    "cosmos3_edge_text": Layout(
        sizes(2048, 28, 16, 9216, 131072, 131072) | {"num_key_value_heads": 8, "head_dim": 128},
        {"norm_bias": False},
        HEADS | BIAS | own("mlp_bias"),
    ),
    "deepseek_ocr2_text": DEEPSEEK_OCR,
    "ernie4_5_vl_moe_text": replace(
        ERNIE,
        names={
            name: keys for name, keys in ERNIE.names.items() if name not in ("moe_intermediate_size", "num_experts")
        },
        family="ernie_vl",
    ),
    "muse_glimmer_text": MUSE_GLIMMER,
    "muse_spark_text": replace(
        MUSE_GLIMMER,
        defaults=sizes(8192, 62, 128, 16384, 202048, 1048576)
        | {"num_key_value_heads": 16, "head_dim": 64, "sliding_window": 2048, "moe_latent_size": 4096}
        | experts(256, 8, 4096),
        fixed=RMS_GATED | {"norms_per_layer": 3},
        names=HEADS
        | BIAS
        | WINDOW
        | EXPERTS
        | {"num_experts": ("num_local_experts", "num_experts"), "moe_latent_size": "moe_hidden_size"},
        experts=Experts(),
        layers="muse_spark",
    ),
    "axk2": replace(
        DEEPSEEK_V32,
        defaults=sizes(2048, 48, 32, 5120, 163840, 131072)
        | {"q_lora_rank": 384, "kv_lora_rank": 128, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}
        | experts(128, 8, 512),
        experts=Experts("first", 1),
        layers="axk2",
    ),
    "mistral_large4_text": replace(
        DEEPSEEK_V32,
        defaults=sizes(6144, 72, 64, 24576, 204800, 1048576)
        | {"kv_lora_rank": 512, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 128}
        | experts(128, 4, 6144),
        names={name: keys for name, keys in DEEPSEEK_V32.names.items() if name != "q_lora_rank"},
        experts=Experts("first", 1),
        layers="mistral_large4",
    ),
    "dots3_note_text": replace(
        DEEPSEEK_V32,
        defaults=sizes(5120, 46, 128, 13824, 152064, 524288)
        | LATENT_SIZES
        | {"q_lora_rank": 1024}
        | experts(256, 8, 1536),
        experts=Experts("first", 1),
        family="dots3",
        layers="dots3",
    ),
    "jetmoe": Layout(
        sizes(2048, 12, 32, 5632, 32000, 4096)
        | {"num_key_value_heads": 16, "head_dim": 128}
        | experts(8, 2, 5632)
        | TIED,
        RMS_GATED,
        own("num_key_value_heads") | WIDE_EXPERTS | {"head_dim": "kv_channels", "num_attention_heads": ()},
        experts=Experts(),
        family="jetmoe",
        layers="jetmoe",
    ),
    "zaya": Layout(
        sizes(2048, 40, 8, None, 262272, 131072)
        | {"num_key_value_heads": 2, "head_dim": 128}
        | experts(16, 1, 2048)
        | TIED,
        RMS_GATED,
        HEADS | BIAS | WINDOW | EXPERTS | own("lm_head_bias") | {"intermediate_size": ()},
        experts=Experts(),
        layers="zaya",
    ),
    "inkling_text": replace(
        INKLING,
        defaults=sizes(6144, 66, 64, 24576, 201024, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 512}
        | experts(256, 6, 3072),
        experts=Experts("first"),
        family="inkling",
        layers="inkling",
    ),
    "inkling2_text": replace(
        INKLING,
        defaults=sizes(4608, 48, 48, None, 201024, 1048576)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 1024}
        | experts(384, 8, 2304),
        fixed=INKLING.fixed | {"qk_norm": "none"},
        names=INKLING.names | {"intermediate_size": ()},
        layers="inkling2",
    ),
    "qwen4_exp_text": replace(
        QWEN3_5_MOE,
        defaults=sizes(2048, 40, 16, None, 248320, 32768)
        | {"num_key_value_heads": 2, "head_dim": 256}
        | experts(512, 10, 512, 512),
        fixed=QWEN3_5_MOE.fixed | {"norms_per_layer": 0, "final_norms": 0},
        layers="qwen4",
    ),
    "glm5_next_text": replace(
        DEEPSEEK_V32,
        defaults=sizes(4096, 45, 64, 12288, 154880, 1048576)
        | LATENT_SIZES
        | {"qk_nope_head_dim": 256, "qk_rope_head_dim": None, "v_head_dim": 256}
        | experts(288, 8, 2048),
        layers="glm5_next",
    ),
    "unlimited_ocr_text": DEEPSEEK_OCR,  # the window is of what it has written: it sees the whole prompt besides
}
