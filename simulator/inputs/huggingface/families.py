"""Fields that a model type makes of several keys at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def derive_deepseek_v3(config: Config, values: Fields, shared: int = 1) -> Fields:
    """Shared experts are one block as wide as all of them."""
    count = config.whole("n_shared_experts", default=shared, least=0)
    return {"shared_expert_intermediate_size": count * values["moe_intermediate_size"] if count else None}


def derive_deepseek_v2(config: Config, values: Fields) -> Fields:
    """As the third version, with two shared experts by default.

    Raises:
        InputError: biases, which the routed experts would not have; no published model asks for them.
    """
    if config.flag("mlp_bias"):
        raise config.error("mlp_bias is true; a bias of some feed-forward blocks alone is not supported")
    return derive_deepseek_v3(config, values, shared=2)


FAMILIES: dict[str, Callable[[Config, Fields], Fields]] = {
    "opt": derive_opt,
    "falcon": derive_falcon,
    "refined_web": derive_refined_web,
    "gpt_bigcode": derive_gpt_bigcode,
    "deepseek_v2": derive_deepseek_v2,
    "deepseek_v3": derive_deepseek_v3,
}
