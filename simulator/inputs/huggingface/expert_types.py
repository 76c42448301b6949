"""Model types of attention and mixtures of experts."""

from __future__ import annotations

from dataclasses import replace

from simulator.inputs.huggingface.layout import (
    BIAS,
    EXPERTS,
    HEADS,
    LATENT,
    LATENT_SIZES,
    LOCAL_EXPERTS,
    ONE_BIAS,
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

DEEPSEEK_V3 = Layout(
    sizes(7168, 61, 128, 18432, 129280, 4096)
    | LATENT_SIZES
    | {"num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
    RMS_GATED,
    BIAS | LATENT | ROUTED_EXPERTS,
    experts=Experts("first", 3),
    family="shared",
)

GLM4_MOE = Layout(
    sizes(4096, 46, 96, 10944, 151552, 131072)
    | {"num_key_value_heads": 8, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1408},
    RMS_GATED,
    HEADS | own("attention_bias") | ROUTED_EXPERTS,
    {"use_qk_norm": {"qk_norm": "head"}},
    experts=Experts("first", 1),
    family="shared",
)
QWEN3_MOE = Layout(
    sizes(2048, 24, 32, 6144, 151936, 32768)
    | {"num_key_value_heads": 4, "sliding_window": 4096}
    | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    RMS_GATED | {"qk_norm": "head"},
    HEADS | BIAS | WINDOW | LOCAL_EXPERTS,
    windows=Windows(listed=False, switched=True),
    experts=Experts("sparse"),
)
GRANITE_SHARED = Layout(
    sizes(4096, 32, 32, 11008, 32000, 2048)
    | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 11008},
    RMS_GATED,
    HEADS | BIAS | WIDE_EXPERTS | {"shared_expert_intermediate_size": "shared_intermediate_size"},
    experts=Experts(),
)

EXPERT_TYPES: dict[str, Layout] = {
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
    "mixtral": Layout(
        sizes(4096, 32, 32, 14336, 32000, 131072)
        | {"num_key_value_heads": 8, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 14336},
        RMS_GATED,
        HEADS | WINDOW | WIDE_EXPERTS,
        windows=Windows(listed=False),
        experts=Experts(),
    ),
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
    "qwen3_moe": QWEN3_MOE,
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
    "olmoe": Layout(
        sizes(2048, 16, 16, 2048, 50304, 4096)
        | {"num_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 2048},
        RMS_GATED | {"qk_norm": "projection"},
        HEADS | BIAS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "granitemoe": Layout(
        sizes(4096, 32, 32, 11008, 32000, 2048)
        | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 11008},
        RMS_GATED,
        HEADS | BIAS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "glm4_moe": GLM4_MOE,
    "minimax_m2": Layout(
        sizes(3072, 62, 48, 1536, 200064, 196608)
        | {"num_key_value_heads": 8, "head_dim": 128}
        | {"num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 1536},
        RMS_GATED | {"qk_norm": "projection"},
        HEADS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "glm4v_moe_text": replace(
        GLM4_MOE,
        defaults=GLM4_MOE.defaults | {"vocab_size": 151424, "max_position_embeddings": 65536, "attention_bias": True},
        switches={},
    ),
    "glm4_moe_lite": replace(
        DEEPSEEK_V3,
        defaults=sizes(2048, 47, 20, 10240, 154880, 202752)
        | LATENT_SIZES
        | {"q_lora_rank": 768, "qk_nope_head_dim": 192, "v_head_dim": 256}
        | {"num_experts": 64, "num_experts_per_tok": 4, "moe_intermediate_size": 1536},
        experts=Experts("first", 1),
    ),
    "mistral4": replace(
        DEEPSEEK_V3,
        defaults=sizes(4096, 36, 32, 12288, 131072, 1048576)
        | LATENT_SIZES
        | {"q_lora_rank": 1024, "kv_lora_rank": 256, "qk_nope_head_dim": 64}
        | {"num_experts": 128, "num_experts_per_tok": 4, "moe_intermediate_size": 2048},
        experts=Experts("first", 0),
    ),
    "ernie4_5_moe": Layout(
        sizes(2560, 28, 20, 12288, 103424, 131072)
        | {"num_key_value_heads": 4, "num_experts": 64, "num_experts_per_tok": 6, "moe_intermediate_size": 1536}
        | TIED,
        RMS_GATED | {"router_bias": True},
        HEADS
        | ONE_BIAS
        | own("moe_intermediate_size")
        | {"num_experts": "moe_num_experts", "num_experts_per_tok": ("moe_k", "moe_topk")},
        experts=Experts("ranged"),
        family="shared_pair",
    ),
    "hunyuan_v1_moe": Layout(
        sizes(4096, 32, 32, 11008, 290943, 2048) | {"num_experts": 1, "moe_intermediate_size": 11008},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | BIAS | own("num_experts") | {"moe_intermediate_size": "intermediate_size"},
        experts=Experts(),
        family="hunyuan",
    ),
    "hy_v3": Layout(
        sizes(4096, 80, 64, 13312, 120832, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128}
        | {"num_experts": 192, "num_experts_per_tok": 8, "moe_intermediate_size": 1536},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | BIAS | EXPERTS | own("mlp_bias"),
        experts=Experts("first", 1),
        family="shared",
    ),
    "dots1": Layout(
        sizes(4608, 62, 32, 10944, 152064, 2048)
        | {"num_key_value_heads": 32, "sliding_window": 4096, "moe_intermediate_size": 1408},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | BIAS | WINDOW | ROUTED_EXPERTS,
        windows=Windows("late"),
        experts=Experts("first"),
        family="none_shared",
    ),
    "exaone_moe": Layout(
        sizes(4096, 32, 32, 16384, 102400, 2048)
        | {"sliding_window": 4096, "num_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 1024},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | WINDOW | EXPERTS,
        windows=Windows("periodic", 4),
        experts=Experts("first", 1),
        family="shared",
    ),
    "solar_open": Layout(
        sizes(4096, 48, 64, None, 196608, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128}
        | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1280},
        RMS_GATED,
        HEADS | BIAS | ROUTED_EXPERTS,
        experts=Experts(),
        family="shared",
    ),
    "phimoe": Layout(
        sizes(4096, 32, 32, 6400, 32064, 131072)
        | {"num_key_value_heads": 8, "num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 6400},
        {"gated_mlp": True},
        HEADS | BIAS | WINDOW | WIDE_EXPERTS | own("lm_head_bias"),
        windows=Windows(listed=False),
        experts=Experts(),
    ),
    "granitemoeshared": GRANITE_SHARED,
    "granitemoe_swa": replace(
        GRANITE_SHARED,
        defaults=GRANITE_SHARED.defaults | {"sliding_window": 128},
        fixed=RMS_GATED | {"attention_sinks": True},
        names=GRANITE_SHARED.names | WINDOW,
        windows=Windows("all but the first of", 4),
    ),
    "qwen3_vl_moe_text": replace(
        QWEN3_MOE,
        defaults=sizes(2048, 24, 16, 5632, 151936, 128000)
        | {"num_key_value_heads": 16, "head_dim": 128}
        | {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}
        | TIED,
    ),
    "qwen3_omni_moe_text": replace(
        QWEN3_MOE, defaults=QWEN3_MOE.defaults | {"vocab_size": 151936, "head_dim": 128, "sliding_window": None}
    ),
    "flex_olmo": Layout(
        sizes(4096, 32, 32, 11008, 100352, 4096)
        | {"num_experts": 7, "num_experts_per_tok": 5, "moe_intermediate_size": 11008},
        RMS_GATED | {"qk_norm": "projection"},
        HEADS | BIAS | WIDE_EXPERTS,
        experts=Experts(),
    ),
    "aria_text": Layout(
        sizes(4096, 32, 32, 4096, 32000, 2048)
        | {"head_dim": 128, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 4096},
        RMS_GATED,
        HEADS
        | BIAS
        | own("mlp_bias")
        | {
            "num_experts": "moe_num_experts",
            "num_experts_per_tok": "moe_topk",
            "moe_intermediate_size": "intermediate_size",
        },
        experts=Experts(),
        family="shared_pair",
    ),
    "mellum": Layout(
        sizes(2304, 28, 32, 7168, 98304, 131072)
        | {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 1024}
        | {"num_experts": 64, "num_experts_per_tok": 8, "moe_intermediate_size": 896},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | BIAS | WINDOW | LOCAL_EXPERTS,
        windows=Windows("none"),
        experts=Experts(),
    ),
    "kolibri1": Layout(
        sizes(2560, 50, 48, None, 128000, 262144)
        | {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 513}
        | {"num_experts": 384, "num_experts_per_tok": 6, "moe_intermediate_size": 512}
        | {"shared_expert_intermediate_size": 512},
        RMS_GATED | {"qk_norm": "head", "norms_per_layer": 4},
        HEADS | WINDOW | LOCAL_EXPERTS | own("shared_expert_intermediate_size"),
        windows=Windows("periodic", 5),
        experts=Experts(),
    ),
    "flint": Layout(
        sizes(2048, 49, 32, 6144, 150144, 262144)
        | {"num_key_value_heads": 4, "head_dim": 128, "sliding_window": 513}
        | {"num_experts": 256, "num_experts_per_tok": 6, "moe_intermediate_size": 512}
        | {"shared_expert_intermediate_size": 1024},
        RMS_GATED | {"qk_norm": "head", "attention_sinks": True},
        HEADS | BIAS | WINDOW | EXPERTS | own("shared_expert_intermediate_size"),
        windows=Windows("none"),
        experts=Experts("sparse"),
    ),
}
