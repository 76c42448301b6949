"""Layers of Gemma 3n and Gemma 4: the last of them read the keys and values of layers before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]


def list_gemma_types(config: Config, layers: int, period: int) -> Sequence[str]:
    """Types of layers: as listed, else the last of each ``period`` sees all."""
    types = config.sized("layer_types", layers, str)
    every = ["full_attention" if (layer + 1) % period == 0 else "sliding_attention" for layer in range(layers)]
    return types or every


def share_caches(config: Config, kinds: list[Kind], default: int) -> list[Kind]:
    """The last ``num_kv_shared_layers`` have no keys and values of their own, nor a norm of keys."""
    first = len(kinds) - (config.whole("num_kv_shared_layers", default=default, least=0) or 0)
    return [
        kind if layer < first else kind.with_sizes(reads_other_cache=True, qk_norm="query head")
        for layer, kind in enumerate(kinds)
    ]


def place_gemma3n(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Windows, shared caches, and blocks as wide as ``intermediate_size`` lists them.

    AltUp (Baykal et al. 2023, arXiv 2301.13310) mixes parallel residual streams; Laurel adds a product of low rank.
    """
    layers, h = len(kinds), values["hidden_size"]
    types = list_gemma_types(config, layers, 5)
    given = config.data.get("intermediate_size", 16384)
    widths = config.sized("intermediate_size", layers, int) if isinstance(given, list) else [given] * layers
    widest = max(widths)
    placed = [
        Kind("window_attention" if of == "sliding_attention" else "attention").with_sizes(
            intermediate_size=None if width == widest else width, stream_products=1
        )
        for of, width in zip(types, widths, strict=True)
    ]
    streams = config.whole("altup_num_inputs", default=4) or 1
    rank = config.whole("laurel_rank", default=64) or 0
    mixing = streams * streams + streams**3 + streams * h + 2 * h
    own = mixing + 2 * h * rank + h
    return share_caches(config, placed, 15), {
        "intermediate_size": widest,
        "other_layer_parameters": own,
        # AltUp asks its router twice, which makes the streams' matrix and their correction; its matrices before and
        # after all layers are spread over these.
        "side_parameters": 2 * h * rank
        + 2 * streams * h
        + streams**3
        + streams**2
        + 2 * (streams - 1) * h * h // layers,
        "residual_streams": streams,
        "other_parameters": 2 * (streams - 1) * h * h,
    }


def place_gemma4(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Windows; layers that see all have wider and fewer heads, and may have one projection for keys and values.

    The dense block stands beside the experts in each layer, as a shared expert does.
    """
    layers = len(kinds)
    types = list_gemma_types(config, layers, 6)
    one_projection = config.flag("attention_k_eq_v")
    heads = config.whole("num_global_key_value_heads", default=None) if one_projection else None
    size = config.whole("global_head_dim", default=512)
    part = config.part("per_layer_config")
    full = Kind("attention").with_sizes(
        head_dim=size, num_key_value_heads=heads, shared_key_value=True if one_projection else None
    )
    placed = []
    for layer, of in enumerate(types):
        kind = full if of == "full_attention" else Kind("window_attention")
        own = None if part is None else part.part(str(layer)) or part.part(f"{layer:02}")
        if own is not None:
            changed = {name: own.whole(name, default=None) for name in ("head_dim", "num_key_value_heads")}
            kind = kind.with_sizes(**changed)
        placed.append(kind)
    placed = share_caches(config, placed, 0)
    if config.flag("use_double_wide_mlp"):
        wide = 2 * values["intermediate_size"]
        first = layers - (config.whole("num_kv_shared_layers", default=0, least=0) or 0)
        placed = [kind if at < first else kind.with_sizes(intermediate_size=wide) for at, kind in enumerate(placed)]
    if not config.flag("enable_moe_block"):
        return placed, {"num_experts": None, "num_experts_per_tok": None, "moe_intermediate_size": None}
    return placed, {
        "shared_expert_intermediate_size": values["intermediate_size"],
        "norms_per_layer": 7,
        "router_bias": True,  # a learned scale of each expert
        "other_layer_parameters": values["hidden_size"],
    }
