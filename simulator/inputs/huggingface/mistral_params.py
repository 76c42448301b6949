"""Mistral's own ``params.json`` in the words of a ``config.json``."""

from __future__ import annotations

from typing import Any

from simulator.inputs.huggingface.config import Config

NAMES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
    "max_seq_len": "max_position_embeddings",
    "max_position_embeddings": "max_position_embeddings",
    "sliding_window": "sliding_window",
    "tied_embeddings": "tie_word_embeddings",
    "q_lora_rank": "q_lora_rank",
    "kv_lora_rank": "kv_lora_rank",
    "qk_nope_head_dim": "qk_nope_head_dim",
    "qk_rope_head_dim": "qk_rope_head_dim",
    "v_head_dim": "v_head_dim",
}
EXPERT_NAMES = {
    "num_experts": "n_routed_experts",
    "num_experts_per_tok": "num_experts_per_tok",
    "expert_hidden_dim": "moe_intermediate_size",
    "num_shared_experts": "n_shared_experts",
    "first_k_dense_replace": "first_k_dense_replace",
}
MARKS = ("dim", "n_layers", "n_heads")


def translate_params(config: Config) -> Config:
    """The file in Hugging Face's words where it is in Mistral's, else as it is."""
    data = config.data
    if "model_type" in data or any(name not in data for name in MARKS):
        return config
    said: dict[str, Any] = {ours: data[theirs] for theirs, ours in NAMES.items() if data.get(theirs) is not None}
    if config.part("quantization") is not None:
        said["quantization"] = data["quantization"]
    experts = config.part("moe")
    if experts is None:
        return Config(config.where, {"model_type": "mistral", "sliding_window": None} | said)
    said |= {
        ours: experts.data[theirs] for theirs, ours in EXPERT_NAMES.items() if experts.data.get(theirs) is not None
    }
    if "moe_intermediate_size" in said:  # Mistral Large 3 and Small 4: latent attention, as DeepSeek-V3
        return Config(config.where, {"model_type": "deepseek_v3", "n_shared_experts": 0} | said)
    said["num_local_experts"] = said.pop("n_routed_experts", None)
    return Config(config.where, {"model_type": "mixtral", "sliding_window": None} | said)
