"""Fields and layers of model types of 2026 that need more than a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]


def need(config: Config, values: Fields, *names: str) -> None:
    """Refuse a file that has null for what a rule counts with.

    Raises:
        InputError: with the field.
    """
    missing = next((name for name in names if values.get(name) is None), None)
    if missing is not None:
        raise config.error(f"{missing} is null; a '{config.model_type()}' has one")


def derive_molmo2(config: Config, values: Fields) -> Fields:
    """Rows of the token table that the head does not have, and norms of queries and keys as in Qwen3 or OLMo."""
    more = config.whole("additional_vocab_size", default=128, least=0) or 0
    norms = {"qwen3": "head", "olmo": "projection"}
    kind = str(config.data.get("qk_norm_type", "qwen3"))
    normed = config.flag("use_qk_norm", default=True)
    return {
        "qk_norm": norms.get(kind, "projection") if normed else "none",
        "other_parameters": more * values["hidden_size"],
    }


def derive_ernie_vl(config: Config, values: Fields) -> Fields:
    """Experts for text, and narrower ones for images, which a text passes over: their parameters stay."""
    text, images = first_two(config, "moe_num_experts", 64)
    width, narrow = first_two(config, "moe_intermediate_size", 1536)
    shared = config.whole("moe_num_shared_experts", default=2, least=0) or 0
    layers = values["num_hidden_layers"] - 1
    one = images * (3 * values["hidden_size"] * narrow + values["hidden_size"] + 1)
    return {
        "num_experts": text,
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared * width if shared else None,
        "other_parameters": layers * one,
    }


def derive_voxtral(config: Config, values: Fields) -> Fields:
    """Two narrow matrices a layer, which make scales of the delay that was asked for, once and not for each token."""
    return {"other_layer_parameters": 2 * 32 * values["hidden_size"]}


def first_two(config: Config, key: str, default: int) -> tuple[int, int]:
    """A number for text and one for images: of a list, or the same for both."""
    if isinstance(config.data.get(key), list):
        numbers = [*config.items(key, int)] or [default]
        return int(numbers[0]), int(numbers[min(1, len(numbers) - 1)])
    number = config.whole(key, default=default) or default
    return number, number


def derive_dots3(config: Config, values: Fields) -> Fields:
    """Shared experts and windows have widths of their own."""
    count = config.whole("n_shared_experts", default=1, least=0) or 0
    width = config.whole("moe_shared_expert_intermediate_size", "shared_experts_intermediate_size", default=1536)
    window = config.whole("sliding_window", "sliding_window_size", default=None) or 512
    return {
        "shared_expert_intermediate_size": count * (width or 0) or None,
        "sliding_window": window,
    }


def derive_jetmoe(config: Config, values: Fields) -> Fields:
    """Attention whose query heads are experts (Shen et al. 2024, arXiv 2404.07413): a token has those of its choice."""
    need(config, values, "num_experts_per_tok", "num_experts", "num_key_value_heads", "head_dim")
    return {
        "num_attention_heads": values["num_key_value_heads"] * values["num_experts_per_tok"],
        "other_layer_parameters": 2 * values["hidden_size"],  # biases of what both parts return
    }


def place_jetmoe(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """As many experts of attention as of the feed-forward part."""
    return [
        kind._replace(mixer="routed_attention").with_sizes(attention_experts=values["num_experts"]) for kind in kinds
    ], {}


def place_muse_spark(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention with a gate of each element, gated residuals, and experts between two norms of their own width."""
    gates = 2 * values["hidden_size"]
    inner = 2 * (values.get("moe_latent_size") or 0)
    return [
        kind.with_sizes(
            attention_gate="element", other_layer_parameters=gates + (0 if kind.feed_forward == "dense" else inner)
        )
        for kind in kinds
    ], {}


INDEX_SIZES = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}


def read_index(config: Config, heads: int) -> Fields:
    """Sizes of the index that picks tokens."""
    return {
        name: config.whole(name, default=size) or size
        for name, size in (INDEX_SIZES | {"index_n_heads": heads}).items()
    }


def place_axk2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Queries and a gate from two compressed vectors at once, and norms with a gate of low rank."""
    need(config, values, "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    rank = config.whole("gated_norm_rank", default=16) or 0
    queries = values["num_attention_heads"] * (values["qk_nope_head_dim"] + values["qk_rope_head_dim"])
    gate = 2 * values["num_attention_heads"] * values["v_head_dim"]
    wider = values["q_lora_rank"] * (queries + gate)
    placed = []
    for kind in kinds:
        norms = 1 if kind.feed_forward == "dense" else 2
        small = wider + norms * 2 * rank * values["hidden_size"]
        placed.append(
            kind._replace(mixer="indexed_latent_attention").with_sizes(
                **read_index(config, 16), other_layer_parameters=small, side_parameters=small
            )
        )
    return placed, {}


def place_mistral_large4(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Latent attention to picked tokens, in each fourth layer without rotation.

    Raises:
        InputError: layers that take the cache of another.
    """
    need(config, values, "qk_nope_head_dim", "qk_rope_head_dim")
    layers = len(kinds)
    sources = config.sized("kv_source_layers", layers, int)
    if any(source != layer for layer, source in enumerate(sources)):
        raise config.error("kv_source_layers shares caches, which is not supported")
    interval = config.whole("no_rope_layer_interval", default=4) or 4
    rotated = [*config.items("no_rope_layers", int)][:layers] or [
        int((layer + 1) % interval != 0) for layer in range(layers)
    ]
    if len(rotated) != layers:
        raise config.error(f"no_rope_layers has {len(rotated)} entries; there are {layers} layers")
    index = read_index(config, 32)
    shared = config.sized("indexer_types", layers, str) or ["full"] * layers
    scales = 2 * values["num_attention_heads"]
    own = 2 * values["hidden_size"] + 2 * (index["index_n_heads"] or 0)
    whole = values["qk_nope_head_dim"] + values["qk_rope_head_dim"]
    plain = {"qk_nope_head_dim": whole, "qk_rope_head_dim": 0}
    placed = []
    for kind, turned, mark in zip(kinds, rotated, shared, strict=True):
        alone = mark == "shared"
        picks = {"index_topk": index["index_topk"]} if alone else index
        placed.append(
            kind._replace(mixer="indexed_latent_attention").with_sizes(
                **picks, **({} if turned else plain), other_layer_parameters=scales + (0 if alone else own)
            )
        )
    return placed, {}


SLIDING = {
    **{"num_attention_heads": 64, "q_lora_rank": 1024, "kv_lora_rank": 1024},
    **{"qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 128},
}


def place_dots3(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Latent attention with a gate a head: to picked tokens, or with sizes of its own to a window."""
    layers = len(kinds)
    types = config.sized("layer_types", layers, str) or [
        "indexed_attention" if layer < 2 or layer % 4 == 1 else "sliding_attention" for layer in range(layers)
    ]
    listed = config.part("per_layer_config")
    by_layer = {int(key): listed.part(key) for key in listed.data if key.isdecimal()} if listed else {}
    placed = []
    for layer, (kind, of) in enumerate(zip(kinds, types, strict=True)):
        if of not in ("sliding_attention", "indexed_attention", "full_attention"):
            raise config.error(f"layer_types: '{of}' is not supported")
        if of != "sliding_attention":
            mixer, sizes = "indexed_latent_attention", read_index(config, 64)
        else:
            mixer, part = "window_latent_attention", by_layer.get(layer)
            sizes = {
                name: config.whole(f"swa_{name}", default=size)
                if part is None
                else part.whole(name, default=values[name])
                for name, size in SLIDING.items()
            }
            sizes |= {"num_key_value_heads": sizes["num_attention_heads"]}
        normed = sizes.get("qk_rope_head_dim", values["qk_rope_head_dim"])  # of the keys' part that is turned
        placed.append(
            kind._replace(mixer=mixer).with_sizes(**sizes, attention_gate="head", other_layer_parameters=normed)
        )
    return placed, {}


FAMILIES: dict[str, Callable[[Config, Fields], Fields]] = {
    "molmo2": derive_molmo2,
    "ernie_vl": derive_ernie_vl,
    "dots3": derive_dots3,
    "jetmoe": derive_jetmoe,
    "voxtral": derive_voxtral,
}


def place_runs(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention that runs twice, each time with half of the values."""
    return [kind.with_sizes(attention_runs=2) for kind in kinds], {}


LAYER_RULES: dict[str, Callable[[Config, Fields, list[Kind]], Placed]] = {
    "muse_spark": place_muse_spark,
    "jetmoe": place_jetmoe,
    "runs": place_runs,
    "axk2": place_axk2,
    "mistral_large4": place_mistral_large4,
    "dots3": place_dots3,
}
