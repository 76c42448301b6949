"""Model types of attention and dense feed-forward blocks."""

from __future__ import annotations

from dataclasses import replace

from simulator.inputs.huggingface.layout import (
    ALL_BIASES,
    BIAS,
    GPT2_NAMES,
    HEADS,
    LATENT,
    LATENT_SIZES,
    ONE_BIAS,
    PARALLEL,
    QWEN_WINDOWS,
    RMS_GATED,
    TIED,
    WINDOW,
    Layout,
    own,
    sizes,
)
from simulator.inputs.huggingface.patterns import Windows

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


DENSE_TYPES: dict[str, Layout] = {
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
    "qwen2": QWEN2,
    "qwen2_vl": QWEN2_VL,  # at first in one piece, later with a part text_config
    "qwen2_vl_text": QWEN2_VL,
    "qwen2_5_vl": QWEN2_VL,
    "qwen2_5_vl_text": QWEN2_VL,
    "qwen3": QWEN3,
    "qwen3_vl_text": replace(QWEN3, defaults=QWEN3.defaults | {"max_position_embeddings": 128000}),
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
    "olmo2": OLMO2,
    "olmo3": replace(
        OLMO2,
        defaults=OLMO2.defaults | {"sliding_window": 4096},
        names=OLMO2.names | WINDOW,
        windows=Windows("periodic", 4),
    ),
    "granite": LLAMA,
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
    "internlm3": replace(
        LLAMA,
        defaults=sizes(4096, 48, 32, 10240, 128512, 32768) | {"num_key_value_heads": 2, "head_dim": 128},
        names=HEADS | {"attention_bias": ("qkv_bias", "attention_bias"), "mlp_bias": ("bias", "mlp_bias")},
    ),
    "iquestcoder": replace(
        LLAMA,
        defaults=sizes(5120, 80, 40, 27648, 76800, 131072) | {"num_key_value_heads": 8, "head_dim": 128},
    ),
    "helium": Layout(sizes(2560, 24, 20, 7040, 48000, 4096) | {"head_dim": 128}, RMS_GATED, HEADS | own("mlp_bias")),
    "hyperclovax": replace(
        LLAMA,
        defaults=sizes(4096, 32, 32, 11008, 32000, 2048) | {"head_dim": 128},
        switches={"use_post_norm": {"norms_per_layer": 4}},
    ),
    "cwm": Layout(
        sizes(6144, 64, 48, 21504, 128256, 131072)
        | {"num_key_value_heads": 8, "head_dim": 128, "sliding_window": 8192},
        RMS_GATED,
        HEADS | WINDOW | own("mlp_bias"),
        windows=Windows("all but the first of", 4),
    ),
    "apertus": Layout(
        sizes(4096, 32, 32, 14336, 131072, 65536),
        {"norm_bias": False, "qk_norm": "head", "other_layer_parameters": 2},  # of the activation
        HEADS | BIAS,
    ),
    "bitnet": Layout(
        sizes(2560, 30, 20, 6912, 128256, 2048) | {"num_key_value_heads": 5}, RMS_GATED, HEADS | BIAS, family="bitnet"
    ),
    "nanochat": Layout(
        sizes(768, 12, 6, 8192, 50304, 2048), {"norm_bias": False, "norms_per_layer": 0, "final_norms": 0}, HEADS | BIAS
    ),
    "jais2": Layout(
        sizes(3328, 32, 26, 26624, 150272, 8192) | {"head_dim": 128} | ALL_BIASES, {}, HEADS | BIAS | own("mlp_bias")
    ),
    "olmo": Layout(
        sizes(4096, 32, 32, 11008, 50304, 2048), RMS_GATED | {"norms_per_layer": 0, "final_norms": 0}, HEADS | BIAS
    ),
    "persimmon": Layout(sizes(4096, 36, 64, 16384, 262144, 16384), ALL_BIASES | {"qk_norm": "head with bias"}, {}),
    "ernie4_5": Layout(
        sizes(1024, 18, 16, 3072, 103424, 131072) | {"num_key_value_heads": 2, "head_dim": 128} | TIED,
        RMS_GATED,
        HEADS | ONE_BIAS,
    ),
    "exaone4": Layout(
        sizes(4096, 32, 32, 16384, 102400, 2048) | {"sliding_window": 4096},
        RMS_GATED | {"qk_norm": "head"},
        HEADS | WINDOW,
        windows=Windows("periodic", 4),
    ),
    "granite_swa": replace(
        LLAMA,
        defaults=sizes(2560, 24, 20, 8192, 100352, 8192) | {"num_key_value_heads": 4, "sliding_window": 128} | TIED,
        fixed=RMS_GATED | {"attention_sinks": True},
        names=LLAMA.names | WINDOW,
        windows=Windows("all but the first of", 4),
    ),
    "hunyuan_v1_dense": Layout(sizes(4096, 32, 32, 11008, 290943, 2048), RMS_GATED | {"qk_norm": "head"}, HEADS | BIAS),
    "vaultgemma": replace(
        GEMMA,
        defaults=sizes(2304, 26, 8, 9216, 256000, 8192)
        | {"num_key_value_heads": 4, "head_dim": 256, "sliding_window": 4096}
        | TIED,
        names=HEADS | BIAS | WINDOW,
        windows=Windows("periodic", 2),
    ),
    "glm4v_text": replace(GLM4, defaults=GLM4.defaults | {"max_position_embeddings": 32768, "head_dim": None}),
    "qwen2_5_omni_text": replace(
        QWEN2, defaults=sizes(3584, 28, 28, 18944, 152064, 32768) | {"num_key_value_heads": 4} | TIED
    ),
    "youtu": Layout(sizes(2048, 32, 16, 6144, 128256, 131072) | LATENT_SIZES | TIED, RMS_GATED, BIAS | LATENT),
    "minicpm3": Layout(
        sizes(2560, 62, 40, 6400, 73448, 32768)
        | {"q_lora_rank": 768, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}
        | TIED,
        RMS_GATED,
        BIAS | LATENT | own("mlp_bias"),
    ),
    "mpt": Layout(
        sizes(2048, 24, 16, None, 50368, 2048) | TIED,
        {"norm_bias": False, "position_embedding": "alibi"},
        {
            "hidden_size": ("d_model", "hidden_size"),
            "num_hidden_layers": ("n_layers", "num_hidden_layers"),
            "num_attention_heads": ("n_heads", "num_attention_heads"),
            "max_position_embeddings": ("max_seq_len", "max_position_embeddings"),
            "intermediate_size": (),
        },
        family="mpt",
    ),
    "codegen": Layout(
        sizes(4096, 28, 16, None, 50400, 2048), PARALLEL | {"mlp_bias": True, "lm_head_bias": True}, GPT2_NAMES
    ),
    "diffllama": replace(
        LLAMA, defaults=sizes(2048, 16, 32, 8192, 32000, 2048), names=HEADS | BIAS, family="diffllama", layers="runs"
    ),
    "doge": Layout(
        sizes(1024, 32, 8, 2048, 32768, 2048),
        RMS_GATED | {"qk_norm": "head"},
        own("num_key_value_heads", "mlp_bias") | BIAS,
        family="doge",
    ),
}
