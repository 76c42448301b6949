"""Model types that bring their own code with the checkpoint, as engines serve them without Transformers."""

from __future__ import annotations

from dataclasses import replace

from simulator.inputs.huggingface.dense_types import DENSE_TYPES, LLAMA, QWEN2
from simulator.inputs.huggingface.expert_types import GLM4_MOE
from simulator.inputs.huggingface.hybrid_types import HYBRID_TYPES, experts
from simulator.inputs.huggingface.layout import (
    ALL_BIASES,
    BIAS,
    EXPERTS,
    GPT2_NAMES,
    HEADS,
    LOCAL_EXPERTS,
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

GROK = Layout(
    sizes(6144, 64, 48, 32768, 131072, 8192) | {"num_key_value_heads": 8} | experts(8, 2, 32768) | TIED,
    RMS_GATED | {"norms_per_layer": 4},
    HEADS | LOCAL_EXPERTS | {"moe_intermediate_size": ("moe_intermediate_size", "intermediate_size")},
    experts=Experts(),
    family="grok",
)
BAILING = Layout(
    sizes(2048, 28, 16, 5632, 126464, 16384) | {"num_key_value_heads": 4} | experts(64, 6, 1408),
    RMS_GATED,
    HEADS
    | EXPERTS
    | {"attention_bias": ("use_qkv_bias", "use_bias"), "attention_output_bias": "use_bias", "mlp_bias": ()},
    {"use_qk_norm": {"qk_norm": "head"}, "moe_router_enable_expert_bias": {"router_bias": True}},
    experts=Experts("first", 0),
    family="none_shared",
)
SEEING_QWEN2 = replace(
    QWEN2,  # beside what sees, flat in the same file; others of the type say that they have no biases
    defaults=QWEN2.defaults | {"attention_bias": True},
    fixed=RMS_GATED,
    names=HEADS | {"attention_bias": "attention_bias"},
    windows=None,
)
REMOTE_TYPES: dict[str, Layout] = {
    "qwen": Layout(
        sizes(4096, 32, 32, 22016, 151936, 8192) | {"head_dim": 128},
        RMS_GATED | {"attention_bias": True},
        {"head_dim": "kv_channels", "max_position_embeddings": ("seq_length", "max_position_embeddings")},
        family="halved",  # the width is that of both inward matrices together
    ),
    "baichuan": replace(
        LLAMA,
        names=LLAMA.names | {"max_position_embeddings": ("model_max_length", "max_position_embeddings")},
    ),
    "chatglm": Layout(
        sizes(4096, 28, 32, 13696, 65024, 8192),
        RMS_GATED,
        {
            "num_hidden_layers": ("num_layers", "num_hidden_layers"),
            "intermediate_size": ("ffn_hidden_size", "intermediate_size"),
            "vocab_size": ("padded_vocab_size", "vocab_size"),
            "max_position_embeddings": "seq_length",
            "head_dim": "kv_channels",
            "attention_bias": ("add_qkv_bias", "add_bias_linear"),
            "attention_output_bias": "add_bias_linear",
            "mlp_bias": "add_bias_linear",
        },
        family="chatglm",
    ),
    "internlm": replace(
        LLAMA,
        defaults=sizes(4096, 32, 32, 11008, 103168, 2048) | {"attention_bias": True, "attention_output_bias": True},
        names=HEADS | {"attention_bias": "bias", "attention_output_bias": "bias"},
    ),
    "internlm2": replace(
        LLAMA,
        defaults=sizes(4096, 32, 32, 11008, 103168, 2048) | {"attention_bias": True, "attention_output_bias": True},
        names=HEADS | {"attention_bias": "bias", "attention_output_bias": "bias"},
    ),
    "orion": replace(LLAMA, defaults=sizes(5120, 40, 40, 15360, 84608, 4096), fixed={"gated_mlp": True}),
    "xverse": replace(LLAMA, defaults=sizes(5120, 40, 40, 13824, 100278, 8192)),
    "minicpm": replace(LLAMA, defaults=sizes(4096, 32, 32, 11008, 32000, 2048) | TIED),
    "aquila": LLAMA,
    "exaone": replace(
        LLAMA,
        defaults=sizes(2048, 32, 32, 8192, 102400, 2048),
        names=LLAMA.names | {"num_hidden_layers": ("num_layers", "num_hidden_layers")},
    ),
    "solar": replace(LLAMA, names=LLAMA.names | WINDOW, windows=Windows("none")),
    "mimo": replace(QWEN2, names=HEADS | WINDOW | {"attention_bias": "attention_bias"}),
    "minicpmv": SEEING_QWEN2,
    "minicpmo": SEEING_QWEN2,
    "telechat": Layout(
        sizes(4096, 30, 32, 12288, 160256, 8192),
        RMS_GATED | {"attention_output_bias": True},
        HEADS
        | GPT2_NAMES
        | {
            "intermediate_size": ("ffn_hidden_size", "intermediate_size"),
            "max_position_embeddings": ("seq_length", "max_position_embeddings"),
        },
    ),  # the bias behind its last matrix of a layer is left out
    "telechat3": LLAMA,
    "molmo": replace(
        QWEN2,
        names=HEADS | {"attention_bias": "qkv_bias", "tie_word_embeddings": "weight_tying"},
        family="halved",  # the width is that of both inward matrices together
    ),
    "dots_ocr": QWEN2,
    "phi3_v": DENSE_TYPES["phi3"],
    "stablelm_epoch": DENSE_TYPES["stablelm"],
    "minimax_text_01": HYBRID_TYPES["minimax"],
    "minimax_m1": HYBRID_TYPES["minimax"],
    "minimax_m3": HYBRID_TYPES["minimax_m3_vl_text"],
    "step3p7": HYBRID_TYPES["step3p5"],
    "phi3small": Layout(
        sizes(4096, 32, 32, 14336, 100352, 8192) | {"num_key_value_heads": 8} | TIED,
        ALL_BIASES | {"gated_mlp": True},
        HEADS | {"intermediate_size": ("ff_intermediate_size", "intermediate_size")},
    ),  # half of its layers see some blocks of tokens alone; their cache is whole
    "jais": Layout(
        sizes(5120, 40, 40, None, 84992, 2048) | TIED,
        ALL_BIASES | {"position_embedding": "alibi"},
        GPT2_NAMES,
        family="jais",
    ),
    "deepseek": replace(
        GLM4_MOE,
        defaults=sizes(4096, 30, 32, 11008, 102400, 2048) | experts(None, None, 1407),
        names=HEADS | BIAS | ROUTED_EXPERTS,
        switches={},
        experts=Experts("first", 0),
        family="none_shared",
    ),
    "bailing_moe": BAILING,
    "bailing_moe_v2": BAILING,
    "PanguProMoE": Layout(
        sizes(5120, 48, 40, None, 153600, 131072) | {"num_key_value_heads": 8} | experts(64, 8, 1344, 5376),
        RMS_GATED,
        HEADS | EXPERTS | own("shared_expert_intermediate_size") | {"intermediate_size": ()},
        experts=Experts(),
    ),
    "arctic": Layout(
        sizes(4096, 32, 32, 14336, 32000, 4096) | experts(8, 1, 14336),
        RMS_GATED | {"norms_per_layer": 3},
        HEADS | WIDE_EXPERTS,
        experts=Experts(),
        family="arctic",
    ),
    "grok-1": GROK,
    "grok1": replace(GROK, defaults=GROK.defaults | {"tie_word_embeddings": False}),
    "step3_text": Layout(
        sizes(7168, 61, 64, 18432, 128815, 65536)
        | {"num_key_value_heads": 1, "head_dim": 256}
        | experts(48, 3, 5120, 5120),
        RMS_GATED,
        own("head_dim", "moe_intermediate_size")
        | {
            "num_key_value_heads": ("num_attention_groups", "num_key_value_heads"),
            "num_experts": ("moe_num_experts", "n_routed_experts"),
            "num_experts_per_tok": ("moe_top_k", "num_experts_per_tok"),
            "shared_expert_intermediate_size": "share_expert_dim",
            "max_position_embeddings": ("max_seq_len", "max_position_embedding", "max_position_embeddings"),
        },
        experts=Experts("enumerated", 4),
        layers="step3",
    ),
}
