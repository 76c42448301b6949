"""Fields that a model type makes of several keys at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.inputs.huggingface import newer_layers
from simulator.inputs.huggingface.config import Config

Fields = dict[str, Any]


def derive_opt(config: Config, values: Fields) -> Fields:
    """The embedding may be narrower than the layers, with a matrix on either side; norms after a block are the last."""
    before = config.flag("do_layer_norm_before", default=True) and not config.flag("_remove_final_layer_norm")
    is_narrow = values["embedding_size"] not in (None, values["hidden_size"])
    embedding = {"embedding_projections": 2} if is_narrow else {"embedding_size": None}
    return embedding | {"final_norms": int(before)}


def derive_falcon(config: Config, values: Fields, is_new: bool = False) -> Fields:
    """Key/value heads and norms hang on the generation, and attention and FFN run in parallel unless it says not."""
    is_new = config.flag("new_decoder_architecture", default=is_new)
    is_parallel = config.flag("parallel_attn", default=True)
    norms = config.whole("num_ln_in_parallel_attn") or (2 if is_new else 1)
    shared = 1 if config.flag("multi_query", default=True) else None
    return {
        "num_key_value_heads": config.whole("num_kv_heads", "n_head_kv") if is_new else shared,
        "parallel_residual": is_parallel or is_new,
        "norms_per_layer": 1 if is_parallel and norms != 2 else 2,
    }


def derive_refined_web(config: Config, values: Fields) -> Fields:
    """The first files of Falcon-40B leave out that it is of the new generation."""
    return derive_falcon(config, values, is_new=True)


def derive_gpt_bigcode(config: Config, values: Fields) -> Fields:
    """One key/value head for all, unless the file says not."""
    return {"num_key_value_heads": 1 if config.flag("multi_query", default=True) else None}


def derive_shared(config: Config, values: Fields, shared: int = 1, width: int | None = None) -> Fields:
    """Shared experts are one block as wide as all of them, each as wide as a routed one unless a width is given.

    Raises:
        InputError: no width at all.
    """
    count = config.whole("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=shared, least=0)
    width = values["moe_intermediate_size"] if width is None else width
    if count and width is None:
        raise config.error("moe_intermediate_size is null; it must be a whole number")
    return {"shared_expert_intermediate_size": count * width if count and width else None}


def derive_shared_pair(config: Config, values: Fields) -> Fields:
    """Two shared experts by default."""
    return derive_shared(config, values, shared=2)


def derive_none_shared(config: Config, values: Fields) -> Fields:
    """No shared experts by default."""
    return derive_shared(config, values, shared=0)


def derive_inkling(config: Config, values: Fields) -> Fields:
    """Two shared experts; published files call the width of an expert ``intermediate_size``."""
    dense = config.whole("dense_intermediate_size", default=None)
    if dense is None:
        return derive_shared(config, values, shared=2)
    own = {"moe_intermediate_size": values["intermediate_size"], "intermediate_size": dense}
    return own | derive_shared(config, values | own, shared=2)


def derive_hunyuan(config: Config, values: Fields) -> Fields:
    """Numbers that the files give for each layer, all alike."""
    shared = find_alike(config, "num_shared_expert", 1)
    chosen = find_alike(config, "moe_topk", 1) if values["num_experts"] else None
    width = values["moe_intermediate_size"]
    return {"num_experts_per_tok": chosen, "shared_expert_intermediate_size": shared * width}


def find_alike(config: Config, key: str, default: int) -> int:
    """A whole number, or the one that a list holds for every layer.

    Raises:
        InputError: numbers that differ.
    """
    if not isinstance(config.data.get(key), list):
        return config.whole(key, default=default) or default
    numbers = set(config.items(key, int))
    if len(numbers) != 1:
        raise config.error(f"{key} differs by layer, which is not supported")
    return int(numbers.pop())


def derive_bitnet(config: Config, values: Fields) -> Fields:
    """A norm of what attention returns, and of what the dense block has inside."""
    return {"other_layer_parameters": values["hidden_size"] + values["intermediate_size"]}


def derive_diffllama(config: Config, values: Fields) -> Fields:
    """Four vectors as wide as a head, of which the share of the second attention map is made: it attends twice."""
    size = values["head_dim"] or values["hidden_size"] // values["num_attention_heads"]
    return {"other_layer_parameters": 4 * size}


def derive_doge(config: Config, values: Fields) -> Fields:
    """Scales of both residuals, and the mask that each key head makes of the values.

    Raises:
        InputError: its retrieved experts.
    """
    if config.flag("is_moe"):
        raise config.error("is_moe is true; Doge's experts are not supported")
    heads = values["num_key_value_heads"] or values["num_attention_heads"]
    width = heads * values["hidden_size"] // values["num_attention_heads"]
    return {
        "other_layer_parameters": 2 * values["hidden_size"] + heads + heads * width,
        "side_parameters": heads * width,
    }


def derive_beam(config: Config, values: Fields) -> Fields:
    """A bias of each head's gate."""
    return {"other_layer_parameters": values["num_attention_heads"]}


def derive_lfm2(config: Config, values: Fields) -> Fields:
    """The dense block is two thirds as wide as the file says, in whole multiples."""
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return {}
    raw = config.data.get("block_ffn_dim_multiplier", 1.0)
    width = int(2 * (config.whole("block_ff_dim", "intermediate_size", default=12288) or 0) / 3)
    if isinstance(raw, int | float):
        width = int(raw * width)
    multiple = config.whole("block_multiple_of", default=256) or 1
    return {"intermediate_size": multiple * -(-width // multiple)}


def derive_nemotron_h(config: Config, values: Fields) -> Fields:
    """The shared expert has a width of its own."""
    shared = config.whole("moe_shared_expert_intermediate_size", default=None)
    count = config.whole("n_shared_experts", default=1, least=0)
    return {"shared_expert_intermediate_size": shared if count else None}


def derive_mpt(config: Config, values: Fields) -> Fields:
    """Inner width as a multiple of the hidden one; attention's sizes in a part of their own."""
    ratio = config.whole("expansion_ratio", default=4) or 4
    part = config.part("attn_config")
    heads = None if part is None else part.whole("kv_n_heads", default=None)
    return {"intermediate_size": ratio * values["hidden_size"], "num_key_value_heads": heads}


def derive_deepseek_v2(config: Config, values: Fields) -> Fields:
    """As the third version, with two shared experts by default; ``use_mla`` may say that attention is not latent.

    Raises:
        InputError: biases, which the routed experts would not have; no published model asks for them.
    """
    if config.flag("mlp_bias"):
        raise config.error("mlp_bias is true; a bias of some feed-forward blocks alone is not supported")
    fields = derive_shared(config, values, shared=2)
    if config.flag("use_mla", default=True) and values["kv_lora_rank"] is not None:
        return fields
    latent = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    heads = config.whole("num_key_value_heads", default=None)
    return fields | dict.fromkeys(latent) | {"num_key_value_heads": heads}


def derive_gpt_neox_japanese(config: Config, values: Fields) -> Fields:
    """Inner width as a multiple; of all layers the last alone has a bias of what attention returns."""
    multiple = config.whole("intermediate_multiple_size", default=4) or 4
    return {"intermediate_size": multiple * values["hidden_size"], "other_parameters": values["hidden_size"]}


def derive_cpmant(config: Config, values: Fields) -> Fields:
    """Rows of the token table for prompts, tables of segments and of relative positions, and a head of its own."""
    segments = config.whole("segment_types", default=32) or 0
    prompts = (config.whole("prompt_types", default=32) or 0) * (config.whole("prompt_length", default=32) or 0)
    buckets = segments**2 + (config.whole("position_bias_num_buckets", default=512) or 0)
    others = (segments + prompts) * values["hidden_size"] + buckets * values["num_attention_heads"]
    return {"other_parameters": others, "tie_word_embeddings": False}


def derive_modernbert(config: Config, values: Fields) -> Fields:
    """A matrix and a norm before the head; the first layer has no norm, since the embedding has one."""
    window = config.whole("local_attention", default=128) or 128
    return {
        "embedding_size": values["hidden_size"],
        "sliding_window": config.whole("sliding_window", default=window // 2),
    }


def derive_mllama(config: Config, values: Fields) -> Fields:
    """Layers that look at an image are passed over where there is none: their parameters stay, and eight more rows."""
    h, width = values["hidden_size"], values["intermediate_size"]
    size = h // values["num_attention_heads"]
    kept = size * (values["num_key_value_heads"] or values["num_attention_heads"])
    listed = config.items("cross_attention_layers", int) or range(3, values["num_hidden_layers"], 5)
    one = 2 * h * (h + kept) + 3 * h * width + 2 * h + 2 * size + 2
    return {
        "num_hidden_layers": values["num_hidden_layers"] - len(listed),
        "other_parameters": len(listed) * one + 8 * h,
    }


def derive_moshi(config: Config, values: Fields) -> Fields:
    """The dense block's two inward matrices are one, as wide as the file says; a row more in the token table."""
    return {"intermediate_size": values["intermediate_size"] // 2, "other_parameters": values["hidden_size"]}


def derive_halved(config: Config, values: Fields) -> Fields:
    """The file's width is that of both inward matrices together."""
    return {"intermediate_size": values["intermediate_size"] // 2}


def derive_chatglm(config: Config, values: Fields) -> Fields:
    """As many key heads as groups, where queries share them."""
    groups = config.whole("multi_query_group_num", default=1) if config.flag("multi_query_attention") else None
    return {"num_key_value_heads": groups}


def derive_jais(config: Config, values: Fields) -> Fields:
    """A gated block where the activation says so, and positions of either kind."""
    learned = config.data.get("position_embedding_type") == "learned"
    gated = config.data.get("activation_function") == "swiglu"
    return {"gated_mlp": gated} | ({"position_embedding": "learned"} if learned else {})


def derive_arctic(config: Config, values: Fields) -> Fields:
    """A dense block as wide as the hidden state beside the experts of each layer.

    Raises:
        InputError: layers without experts, which no published model has.
    """
    if config.whole("moe_layer_frequency", default=2) != 1:
        raise config.error("moe_layer_frequency is not 1; layers without experts are not supported")
    return {"shared_expert_intermediate_size": values["hidden_size"]}


def derive_grok(config: Config, values: Fields) -> Fields:
    """A dense block beside the experts, where ``residual_moe`` says so."""
    return {"shared_expert_intermediate_size": values["intermediate_size"]} if config.flag("residual_moe") else {}


def derive_dbrx(config: Config, values: Fields) -> Fields:
    """Sizes of attention and of the experts stand in parts of their own."""
    attention, experts = config.part("attn_config"), config.part("ffn_config")
    fields: Fields = {"num_key_value_heads": 1 if attention is None else attention.whole("kv_n_heads", default=1)}
    if experts is not None:
        fields["num_experts"] = experts.whole("moe_num_experts", default=4)
        fields["num_experts_per_tok"] = experts.whole("moe_top_k", default=1)
        fields["moe_intermediate_size"] = experts.whole("ffn_hidden_size", default=3584)
    return fields


FAMILIES: dict[str, Callable[[Config, Fields], Fields]] = {
    "opt": derive_opt,
    "falcon": derive_falcon,
    "refined_web": derive_refined_web,
    "gpt_bigcode": derive_gpt_bigcode,
    "deepseek_v2": derive_deepseek_v2,
    "shared": derive_shared,
    "shared_pair": derive_shared_pair,
    "none_shared": derive_none_shared,
    "inkling": derive_inkling,
    "hunyuan": derive_hunyuan,
    "bitnet": derive_bitnet,
    "diffllama": derive_diffllama,
    "doge": derive_doge,
    "beam": derive_beam,
    "lfm2": derive_lfm2,
    "nemotron_h": derive_nemotron_h,
    "mpt": derive_mpt,
    "gpt_neox_japanese": derive_gpt_neox_japanese,
    "cpmant": derive_cpmant,
    "modernbert": derive_modernbert,
    "mllama": derive_mllama,
    "moshi": derive_moshi,
    "halved": derive_halved,
    "chatglm": derive_chatglm,
    "jais": derive_jais,
    "arctic": derive_arctic,
    "grok": derive_grok,
    "dbrx": derive_dbrx,
    **newer_layers.FAMILIES,
}
