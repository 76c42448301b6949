"""Layers whose attention passes short convolutions: ZAYA, Inkling and Inkling 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind
from simulator.inputs.huggingface.newer_layers import need

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]
WINDOW_HEADS = {
    "inkling_text": {"num_attention_heads": 64, "num_key_value_heads": 16, "head_dim": 128},
    "inkling2_text": {"num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128},
}
MIXERS = {"hybrid": "convolved_attention", "hybrid_sliding": "convolved_window_attention"}


def list_hybrids(config: Config, layers: int, windowed: Callable[[int], bool]) -> Sequence[str]:
    """Types of layers as ``layer_types`` lists them, else by the layers that see a window.

    Raises:
        InputError: a list of another length or with an unknown type.
    """
    types = config.types("layer_types", layers, MIXERS)
    return types or ["hybrid_sliding" if windowed(layer) else "hybrid" for layer in range(layers)]


def drop_window(types: Sequence[str]) -> Fields:
    """No window where no layer has one."""
    return {} if "hybrid_sliding" in types else {"sliding_window": None}


def place_zaya(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Compressed convolutional attention (Figliolia et al. 2025, arXiv 2510.04476).

    Queries and keys pass two convolutions, the first of each channel, the second of each head; half of a value is of
    the token before. The router is narrow, of three layers, and adds its state of the layer before; residuals have
    scales.

    Raises:
        InputError: no experts, no key heads, or no width of a head.
    """
    need(config, values, "num_experts", "num_key_value_heads", "head_dim")
    h, size, experts = values["hidden_size"], values["head_dim"], values["num_experts"]
    heads, kv_heads = values["num_attention_heads"], values["num_key_value_heads"]
    channels, kept = (heads + kv_heads) * size, kv_heads * size
    alone = config.whole("cca_time0", default=2) or 2
    grouped = config.whole("cca_time1", default=2) or 2
    width = config.whole("router_hidden_size", default=256) or 256
    mixing = channels * size * grouped
    # Down, two layers as wide, and to the experts, one of which is idle; a plain router's rows count by themselves.
    router = h * width + 2 * width**2 + width * (experts + 1) - h * experts
    scales = 2 * 4 * h + kv_heads + 2 * channels + 4 * width
    types = list_hybrids(config, len(kinds), lambda layer: False)
    placed = [
        kind._replace(mixer=MIXERS[of]).with_sizes(
            conv_channels=channels,
            conv_taps=alone,
            kept_numbers=channels * (alone + grouped - 2) + kept // 2,
            other_layer_parameters=mixing + router + scales,
            side_parameters=mixing + router,
        )
        for kind, of in zip(kinds, types, strict=True)
    ]
    return placed, {"other_parameters": 2 * h + (len(kinds) - 1) * width} | drop_window(types)


def attend(config: Config, values: Fields, of: str, dynamic: bool = False) -> tuple[Fields, int, int]:
    """Sizes of an Inkling layer's attention, and further numbers and small products of it.

    Heads under a window have sizes of their own. Positions are a bias of each distance, mixed from ``d_rel`` profiles
    by each token and head. Keys and values, and what both parts of a layer return, pass convolutions; ``dynamic`` ones
    of keys and values make their taps of the token.
    """
    h, windowed = values["hidden_size"], of == "hybrid_sliding"
    sizes = WINDOW_HEADS[config.model_type()]
    need(config, values, *sizes)
    own: dict[str, int] = {
        name: (config.whole(f"swa_{name}", default=size) or size) if windowed else values[name]
        for name, size in sizes.items()
    }
    heads, kv_heads, size = own.values()
    rank = config.whole("d_rel", default=16) or 16
    extent = values["sliding_window"] if windowed else config.whole("rel_extent", default=1024)
    taps = config.whole("conv_kernel_size", "sconv_kernel_size", default=4) or 4
    channels = 2 * kv_heads * size + 2 * h
    relative = h * heads * rank + (2 * h * kv_heads * taps if dynamic else 0)
    profiles = rank * (extent or 1)
    changed = {name: count for name, count in own.items() if count != values[name]}
    convolution = {"conv_channels": channels, "conv_taps": taps, "kept_numbers": channels * taps}
    return changed | convolution, relative + profiles, relative + heads * profiles


def place_inkling(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Windows in the layers of ``local_layer_ids``; the router scores the shared experts, too."""
    layers, h = len(kinds), values["hidden_size"]
    listed = set(config.items("local_layer_ids", int)) or {layer for layer in range(layers) if (layer + 1) % 6}
    types = list_hybrids(config, layers, lambda layer: layer in listed)
    shared = h * (config.whole("n_shared_experts", default=2, least=0) or 0)
    placed = []
    for kind, of in zip(kinds, types, strict=True):
        sizes, others, small = attend(config, values, of)
        rows = 0 if kind.feed_forward == "dense" else shared
        placed.append(
            kind._replace(mixer=MIXERS[of]).with_sizes(
                **sizes, other_layer_parameters=others + rows + 1, side_parameters=small + rows
            )
        )
    return placed, drop_window(types)


def place_inkling2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """The same with gates and sinks of each token, and residuals that attend to blocks of layers before.

    Attention residuals (Kimi Team 2026, block form): each part of a layer reads the sums of all blocks before it, as
    parallel streams are read (``costs.passes.mix_streams``: 3 n + 2 states for n streams).
    """
    layers, h = len(kinds), values["hidden_size"]
    types = list_hybrids(config, layers, lambda layer: (layer + 1) % 6 != 0)
    placed = []
    for layer, (kind, of) in enumerate(zip(kinds, types, strict=True)):
        full = of == "hybrid"
        sizes, others, small = attend(config, values, of, dynamic=full)
        whole = values | sizes
        heads, size = whole["num_attention_heads"], whole["head_dim"]
        sinks, clips = h * heads, heads * (size + (config.whole("d_rel", default=16) or 16))
        queries = h * ((3 if full else 1) if layer else 0) + h
        placed.append(
            kind._replace(mixer=MIXERS[of]).with_sizes(
                **sizes,
                attention_gate="element",
                norms_per_layer=4 if full else None,
                other_layer_parameters=others + sinks + clips + queries,
                side_parameters=small + sinks,
            )
        )
    blocks = -(-layers // (config.whole("n_layers_per_attn_res_block", default=6) or 6))
    read = blocks // 2 + 2  # states that a part reads on the average, its own included
    return placed, {"other_parameters": h, "residual_streams": max(1, read // 3)} | drop_window(types)


LAYER_RULES: dict[str, Callable[[Config, Fields, list[Kind]], Placed]] = {
    "zaya": place_zaya,
    "inkling": place_inkling,
    "inkling2": place_inkling2,
}
