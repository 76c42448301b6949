"""What each layer is, in model types whose layers are of more kinds than windows and experts tell apart.

A rule takes the file, the fields read so far and the layers as windows and experts place them; it returns the layers,
and fields that it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simulator.inputs.huggingface import convolved_layers, newer_layers, stream_layers
from simulator.inputs.huggingface.by_layer import place_axk1, place_longcat, place_nemotron_nas, place_step, place_step3
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind
from simulator.inputs.huggingface.recurrences import place_rwkv, place_xlstm
from simulator.inputs.huggingface.shared_caches import place_gemma3n, place_gemma4
from simulator.inputs.huggingface.shared_weights import place_hrm, place_zamba, place_zamba2
from simulator.inputs.huggingface.state_spaces import (
    place_bamba,
    place_falcon_h1,
    place_granite_hybrid,
    place_jamba,
    place_mamba,
    place_mamba2,
    place_nemotron_h,
)

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]
FULL = ("full_attention", "attention")
LINEAR = ("linear_attention", "kda", "mamba")
WINDOWED = ("sliding_attention",)


def list_types(config: Config, layers: int, default: Callable[[int], bool]) -> Sequence[str]:
    """Types of layers as ``layer_types`` lists them; else full attention where ``default`` says, and linear.

    Raises:
        InputError: a list of another length or with an unknown type.
    """
    types = config.sized("layer_types", layers, str)
    if not types:
        return ["full_attention" if default(layer) else "linear_attention" for layer in range(layers)]
    unknown = next((kind for kind in types if kind not in (*FULL, *LINEAR, *WINDOWED, "conv")), None)
    if unknown is not None:
        raise config.error(f"layer_types: '{unknown}' is not supported")
    return types


def place_gated(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention with a gate of each element in all layers."""
    return [kind.with_sizes(attention_gate="element") for kind in kinds], {}


def place_gated_delta(config: Config, values: Fields, kinds: list[Kind], gate: str | None = "element") -> Placed:
    """Qwen3-Next and Qwen3.5: the last of each ``full_attention_interval`` layers attends, with a gate."""
    interval = config.whole("full_attention_interval", default=4) or 4
    types = list_types(config, len(kinds), lambda layer: (layer + 1) % interval == 0)
    defaults = {"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_conv_kernel_dim": 4}
    defaults |= {"linear_key_head_dim": 128, "linear_value_head_dim": 128}
    sizes = {name: config.whole(name, default=size) or size for name, size in defaults.items()}
    placed = [
        kind._replace(mixer="attention").with_sizes(attention_gate=gate)
        if of in FULL
        else kind._replace(mixer="gated_delta").with_sizes(**sizes)
        for kind, of in zip(kinds, types, strict=True)
    ]
    return placed, {}


def place_olmo_hybrid(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """The same without a gate of attention, whose heads are as many as those of the delta rule."""
    return place_gated_delta(config, values, kinds, None)


def place_kimi_linear(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Kimi Delta Attention, and latent attention in the layers that are listed, from 1, in the published file.

    Kimi K3 has whole output gates, routed experts between two projections and a norm, and attends over the results of
    all blocks of layers before each part (attention residuals).
    """
    part = config.part("linear_attn_config")
    full = set() if part is None else {layer - 1 for layer in part.items("full_attn_layers", int)}
    types = list_types(config, len(kinds), lambda layer: layer in full if part else (layer + 1) % 4 == 0)
    own = config if part is None else part
    size = own.whole("linear_head_dim", "head_dim", default=128)
    sizes = {
        "linear_num_heads": own.whole("linear_num_heads", "num_heads", default=32),
        "linear_head_dim": size,
        "linear_conv_kernel_dim": own.whole("linear_conv_kernel_dim", "short_conv_kernel_size", default=4),
        "linear_gate_rank": size,
        "linear_full_gate": own.flag("use_full_rank_gate") or None,
    }
    gate = {"attention_gate": "element" if config.flag("mla_use_output_gate") else None}
    placed = place_delta_and_latent(kinds, types, sizes, gate)
    mixing = count_depth_attention(config, values)
    if config.flag("latent_moe_use_norm") and values.get("moe_latent_size"):
        scales = mixing.get("other_layer_parameters", 0)
        placed = [
            kind.with_sizes(other_layer_parameters=values["moe_latent_size"] + scales)
            if kind.feed_forward != "dense"
            else kind
            for kind in placed
        ]
    return placed, mixing


def count_depth_attention(config: Config, values: Fields) -> Fields:
    """Attention over depth: before each part of a layer one query reads the sums of the blocks of layers before.

    A query and a norm for each part, and once at the end. As many blocks as there are on the average are read, and one
    residual written, where hyper-connections of a third as many streams read and write the same.
    """
    block = config.whole("attn_res_block_size")
    if block is None:
        return {}
    h, read = values["hidden_size"], values["num_hidden_layers"] / block / 2 + 1.5
    return {
        "other_layer_parameters": 4 * h,
        "other_parameters": 2 * h,
        "side_parameters": 2 * h,
        "residual_streams": max(2, round(read / 3)),
    }


def place_bailing(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Kimi Delta Attention with whole gates, and latent attention with a gate a head."""
    interval = config.whole("layer_group_size", default=6) or 6
    types = list_types(config, len(kinds), lambda layer: (layer + 1) % interval == 0)
    sizes = {
        "linear_num_heads": config.whole("linear_num_heads", "num_attention_heads", default=32),
        "linear_head_dim": config.whole("linear_head_dim", default=128),
        "linear_conv_kernel_dim": config.whole("linear_conv_kernel_dim", "short_conv_kernel_size", default=4),
    }
    return place_delta_and_latent(kinds, types, sizes, {"attention_gate": "head"}), {}


def place_delta_and_latent(kinds: list[Kind], types: Sequence[str], delta: Fields, latent: Fields) -> list[Kind]:
    """Layers of the two, each with sizes of its own."""
    return [
        kind._replace(mixer="latent_attention").with_sizes(**latent)
        if of in FULL
        else kind._replace(mixer="kimi_delta").with_sizes(**delta)
        for kind, of in zip(kinds, types, strict=True)
    ]


def place_minimax(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Lightning attention, and attention where ``attn_type_list`` has 1 or ``layer_types`` says so."""
    marks = config.sized("attn_type_list", len(kinds), int)
    types = list_types(config, len(kinds), lambda layer: bool(marks[layer]) if marks else layer % 2 == 0)
    mixers = ["attention" if of in FULL else "lightning_attention" for of in types]
    return [kind._replace(mixer=mixer) for kind, mixer in zip(kinds, mixers, strict=True)], {}


def place_lfm2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Short convolutions, and attention in the layers listed."""
    listed = set(config.items("full_attn_idxs", int)) or set(range(len(kinds)))
    types = list_types(config, len(kinds), lambda layer: layer in listed)
    sizes = {"conv_taps": config.whole("conv_L_cache", default=3), "conv_bias": config.flag("conv_bias")}
    gate = "head" if config.flag("use_attention_gate") else None
    mixers = {"full_attention": "attention", "sliding_attention": "window_attention"}
    placed = [
        kind._replace(mixer=mixers[of]).with_sizes(attention_gate=gate)
        if of in mixers
        else kind._replace(mixer="short_convolution").with_sizes(**sizes)
        for kind, of in zip(kinds, types, strict=True)
    ]
    return placed, {} if "sliding_attention" in types else {"sliding_window": None}


def place_recurrent_gemma(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Gated recurrences, and attention to a window, by turns that ``block_types`` lists."""
    turns = config.items("block_types", str) or ["recurrent", "recurrent", "attention"]
    sizes = {
        "lru_width": config.whole("lru_width", default=None) or values["hidden_size"],
        "conv1d_width": config.whole("conv1d_width", default=4),
    }
    placed = [
        kind._replace(mixer="window_attention")
        if turns[layer % len(turns)] == "attention"
        else kind._replace(mixer="real_gated_recurrence").with_sizes(**sizes)
        for layer, kind in enumerate(kinds)
    ]
    return placed, {"intermediate_size": values["intermediate_size"] // 2}


def place_indexed(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Latent attention to the tokens that an index picks; layers marked ``shared`` take the picks of one before."""
    shared = config.sized("indexer_types", len(kinds), str) or ["full"] * len(kinds)
    sizes = {name: config.whole(name, default=size) or size for name, size in INDEX_SIZES.items()}
    alone = {"index_topk": sizes["index_topk"]}
    return [
        kind._replace(mixer="indexed_latent_attention").with_sizes(**(alone if mark == "shared" else sizes))
        for kind, mark in zip(kinds, shared, strict=True)
    ], {}


def place_hy_v4(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """The same with a gate of each element, and residual streams."""
    placed, _ = place_indexed(config, values, kinds)
    streams = config.whole("hc_mult", default=4) or 0
    mixing = count_stream_mixing(streams, values["hidden_size"], 2 * streams, 2)
    return [kind.with_sizes(attention_gate="element") for kind in placed], mixing


def place_minimax_m3(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention to all tokens, or to the blocks that an index picks; dense blocks have a width of their own."""
    part = config.part("sparse_attention_config") or Config(config.where, {})
    marks = ["sparse" if mark else "full_attention" for mark in part.sized("sparse_attention_freq", len(kinds), int)]
    sizes = {
        "index_n_heads": part.whole("sparse_num_index_heads", default=config.whole("index_n_heads", default=4)),
        "index_head_dim": part.whole("sparse_index_dim", default=config.whole("index_head_dim", default=128)),
    }
    block = part.whole("sparse_block_size", default=config.whole("index_block_size", default=128)) or 1
    blocks = part.whole("sparse_topk_blocks", default=config.whole("index_topk_blocks", default=16)) or 1
    types = config.sized("layer_types", len(kinds), str) or marks or ["full_attention"] * len(kinds)
    placed = [
        kind._replace(mixer="attention")
        if of == "full_attention"
        else kind._replace(mixer="indexed_attention").with_sizes(**sizes, index_topk=block * blocks)
        for kind, of in zip(kinds, types, strict=True)
    ]
    return placed, {"intermediate_size": config.whole("dense_intermediate_size", default=12288)}


INDEX_SIZES = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}


def place_deepseek_v4(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Windows with summaries: of ``layer_types`` and ``compress_rates``, or a rate a layer in ``compress_ratios``."""
    layers, outputs = len(kinds), {name: config.whole(name, default=size) or size for name, size in V4_OUTPUTS.items()}
    part = config.part("compress_rates")
    rates = {name: (part.whole(name, default=rate) if part else rate) for name, rate in V4_RATES.items()}
    types = config.sized("layer_types", layers, str)
    listed = config.items("compress_ratios", int)[:layers]
    if types:
        listed = [rates.get(of, 0) or 0 for of in types]
    elif not listed:
        listed = [rates[HEAVY if layer < 3 or layer % 2 == 0 else SPARSE] or 0 for layer in range(layers)]
    index = {name: config.whole(name, default=size) or size for name, size in V4_INDEX.items()}
    placed = []
    for kind, rate in zip(kinds, listed, strict=True):
        own = outputs | ({"compress_rate": rate} if rate else {}) | (index if rate == rates[SPARSE] else {})
        placed.append(kind._replace(mixer="compressed_attention").with_sizes(**own))
    streams = config.whole("hc_mult", default=4) or 0
    mixing = count_stream_mixing(streams, values["hidden_size"], streams * (streams + 2), 3)
    return placed, mixing


HEAVY, SPARSE = "heavily_compressed_attention", "compressed_sparse_attention"
V4_RATES = {SPARSE: 4, HEAVY: 128}
V4_OUTPUTS = {"o_groups": 8, "o_lora_rank": 1024}
V4_INDEX = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 512}


def count_stream_mixing(streams: int, hidden_size: int, outputs: int, scales: int) -> Fields:
    """Learned numbers that mix residual streams around both parts of a layer, and once at the end.

    Manifold-constrained hyper-connections (Xie et al. 2025, arXiv 2512.24880), section 4.
    """
    if not streams:
        return {}
    wide = streams * hidden_size
    around = outputs * wide + outputs + scales
    return {
        "other_layer_parameters": 2 * around,
        "other_parameters": streams * wide + streams + 1,
        "side_parameters": 2 * outputs * wide,
        "residual_streams": streams,
    }


def place_mimo_v2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Layers with a window have twice the key heads, or those that ``swa_*`` keys say, and sinks."""
    layers = len(kinds)
    marks = config.sized("hybrid_layer_pattern", layers, int)
    types = config.sized("layer_types", layers, str)
    windowed = [of == "sliding_attention" for of in types] or [mark == 1 for mark in marks]
    windowed = windowed or [layer > 0 and (layer + 1) % 6 != 0 for layer in range(layers)]
    own = {
        "num_attention_heads": config.whole("swa_num_attention_heads", default=values["num_attention_heads"]),
        "num_key_value_heads": config.whole("swa_num_key_value_heads", default=2 * values["num_key_value_heads"]),
        "head_dim": config.whole("swa_head_dim", default=values["head_dim"]),
        "v_head_dim": config.whole("swa_v_head_dim", default=values["v_head_dim"]),
        "attention_sinks": config.flag("add_swa_attention_sink_bias", default=True),
    }
    changed = {name: size for name, size in own.items() if size != values.get(name, False)}
    before = config.whole("sliding_window_size", default=None)  # tokens before the query's own
    return [
        kind._replace(mixer="window_attention").with_sizes(**changed) if mark else kind._replace(mixer="attention")
        for kind, mark in zip(kinds, windowed, strict=True)
    ], {} if before is None else {"sliding_window": before + 1}


def place_laguna(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention with a gate a head, and heads that differ by layer."""
    heads = config.sized("num_attention_heads_per_layer", len(kinds), int)
    heads = heads or [values["num_attention_heads"]] * len(kinds)
    gate = "head" if config.flag("gating", default=True) else None
    return [
        kind.with_sizes(
            attention_gate=gate, num_attention_heads=None if count == values["num_attention_heads"] else count
        )
        for kind, count in zip(kinds, heads, strict=True)
    ], {}


def place_prefix(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Dense layers of a width of their own before those with experts."""
    width = config.whole("prefix_dense_intermediate_size", default=None)
    return [kind.with_sizes(intermediate_size=width if kind.feed_forward == "dense" else None) for kind in kinds], {}


LAYER_RULES: dict[str, Callable[[Config, Fields, list[Kind]], Placed]] = {
    "gated": place_gated,
    "gated_delta": place_gated_delta,
    "olmo_hybrid": place_olmo_hybrid,
    "kimi_linear": place_kimi_linear,
    "bailing": place_bailing,
    "minimax": place_minimax,
    "lfm2": place_lfm2,
    "recurrent_gemma": place_recurrent_gemma,
    "indexed": place_indexed,
    "hy_v4": place_hy_v4,
    "minimax_m3": place_minimax_m3,
    "deepseek_v4": place_deepseek_v4,
    "mimo_v2": place_mimo_v2,
    "laguna": place_laguna,
    "prefix": place_prefix,
    "step": place_step,
    "step3": place_step3,
    "nemotron_nas": place_nemotron_nas,
    "axk1": place_axk1,
    "longcat": place_longcat,
    "gemma3n": place_gemma3n,
    "gemma4": place_gemma4,
    "zamba": place_zamba,
    "zamba2": place_zamba2,
    "hrm": place_hrm,
    "rwkv": place_rwkv,
    "xlstm": place_xlstm,
    "bamba": place_bamba,
    "falcon_h1": place_falcon_h1,
    "granite_hybrid": place_granite_hybrid,
    "jamba": place_jamba,
    "mamba": place_mamba,
    "mamba2": place_mamba2,
    "nemotron_h": place_nemotron_h,
    **newer_layers.LAYER_RULES,
    **convolved_layers.LAYER_RULES,
    **stream_layers.LAYER_RULES,
}
