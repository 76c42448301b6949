"""Model types from before 2023, and recurrent ones and others that are rarely served."""

from __future__ import annotations

from simulator.inputs.huggingface.dense_types import DENSE_TYPES, LLAMA
from simulator.inputs.huggingface.layout import (
    ALL_BIASES,
    BIAS,
    GPT2_NAMES,
    HEADS,
    RMS_GATED,
    TIED,
    WINDOW,
    Layout,
    own,
    sizes,
)
from simulator.inputs.huggingface.patterns import Experts, Windows

LEARNED = {"position_embedding": "learned"}
WITHOUT_POSITIONS = {"position_embedding": "none"}
COHERE2 = DENSE_TYPES["cohere2"]
PHI3 = DENSE_TYPES["phi3"]

OLDER_TYPES: dict[str, Layout] = {
    "gpt-sw3": DENSE_TYPES["gpt2"],
    "openai-gpt": Layout(
        sizes(768, 12, 12, None, 40478, 512) | TIED,
        LEARNED | ALL_BIASES | {"final_norms": 0},
        GPT2_NAMES | {"intermediate_size": ()},
    ),
    "ctrl": Layout(
        sizes(1280, 48, 16, 8192, 246534, 256) | TIED,
        WITHOUT_POSITIONS | ALL_BIASES | {"lm_head_bias": True},
        GPT2_NAMES | {"intermediate_size": "dff"},
    ),
    "gpt_neo": Layout(
        sizes(2048, 24, 16, None, 50257, 2048) | TIED,
        LEARNED | {"attention_output_bias": True, "mlp_bias": True},
        {
            "num_hidden_layers": ("num_layers", "num_hidden_layers"),
            "num_attention_heads": ("num_heads", "num_attention_heads"),
        },  # every other layer masks all but a window; the cache of those is whole
    ),
    "gpt_neox_japanese": Layout(
        sizes(2560, 32, 32, None, 32000, 2048) | TIED, {}, {"intermediate_size": ()}, family="gpt_neox_japanese"
    ),
    "biogpt": Layout(sizes(1024, 24, 16, 4096, 42384, 1024) | TIED, LEARNED | ALL_BIASES | {"position_offset": 2}, {}),
    "xglm": Layout(
        sizes(1024, 24, 16, 4096, 256008, 2048) | TIED,
        WITHOUT_POSITIONS | ALL_BIASES,
        {
            "hidden_size": ("d_model", "hidden_size"),
            "num_hidden_layers": ("num_layers", "num_hidden_layers"),
            "num_attention_heads": ("attention_heads", "num_attention_heads"),
            "intermediate_size": "ffn_dim",
        },
    ),
    "cpmant": Layout(
        sizes(4096, 48, 32, 10240, 30720, 2048) | {"head_dim": 128},
        RMS_GATED,
        {"head_dim": "dim_head", "intermediate_size": "dim_ff"},
        family="cpmant",
    ),
    "modernbert-decoder": Layout(
        sizes(768, 22, 12, 1152, 50368, 8192) | {"sliding_window": 64, "lm_head_bias": True} | TIED,
        {"norm_bias": False, "gated_mlp": True, "embedding_norm": True},
        BIAS | WINDOW | own("mlp_bias") | {"lm_head_bias": "decoder_bias"},
        windows=Windows("all but the first of", 3),
        family="modernbert",
    ),
    "cohere_compass_text": Layout(
        COHERE2.defaults | {"head_dim": 128, "num_key_value_heads": 64},
        COHERE2.fixed,
        HEADS | BIAS | WINDOW,
        windows=Windows("none"),
    ),
    "emu3_text_model": Layout(
        sizes(4096, 32, 32, 14336, 184622, 9216) | {"num_key_value_heads": 8}, RMS_GATED, LLAMA.names
    ),
    "mllama_text_model": Layout(
        sizes(4096, 40, 32, 14336, 128256, 131072) | {"num_key_value_heads": 8},
        RMS_GATED,
        own("num_key_value_heads"),
        family="mllama",
    ),
    "phi4_multimodal": Layout(
        sizes(3072, 32, 32, 8192, 200064, 131072) | {"num_key_value_heads": 8},
        PHI3.fixed,
        PHI3.names,
        windows=PHI3.windows,
    ),
    "moshi": Layout(
        sizes(4096, 32, 32, 22528, 32000, 3000) | {"num_key_value_heads": 32, "head_dim": 128, "sliding_window": 3000},
        RMS_GATED,
        HEADS | WINDOW | {"intermediate_size": "ffn_dim"},
        windows=Windows(),
        family="moshi",
    ),
    "dbrx": Layout(
        sizes(2048, 24, 16, None, 32000, 2048)
        | {"num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 3584},
        RMS_GATED,
        {
            "hidden_size": "d_model",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "max_position_embeddings": "max_seq_len",
            **{"intermediate_size": (), "num_experts": (), "num_experts_per_tok": (), "moe_intermediate_size": ()},
        },
        experts=Experts(),
        family="dbrx",
    ),
    "hrm_text": Layout(
        sizes(1536, 16, 12, 4096, 151808, 2048) | {"head_dim": 128},
        RMS_GATED | {"norms_per_layer": 0, "final_norms": 0},
        own("head_dim") | BIAS | own("mlp_bias"),
        layers="hrm",
    ),
    "rwkv": Layout(
        sizes(4096, 32, 1, None, 50277, 1024),
        WITHOUT_POSITIONS | {"embedding_norm": True},
        {"num_attention_heads": (), "max_position_embeddings": "context_length"},
        layers="rwkv",
    ),
    "xlstm": Layout(
        sizes(4096, 32, 8, None, 50304, 2048),
        WITHOUT_POSITIONS | RMS_GATED,
        {
            "hidden_size": ("hidden_size", "embedding_dim"),
            "num_hidden_layers": ("num_hidden_layers", "num_blocks"),
            "num_attention_heads": "num_heads",
            **{"intermediate_size": (), "max_position_embeddings": ()},
        },
        layers="xlstm",
    ),
}
OLDER_TYPES["phi4mm"] = OLDER_TYPES["phi4_multimodal"]  # as its own code calls itself
