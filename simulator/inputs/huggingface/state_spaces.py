"""Layers of the model types with Mamba's state spaces."""

from __future__ import annotations

from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]
USUAL_CHUNK = 256  # tokens of Mamba-2
ATTENDS = ("attention", "full_attention", "*")


def read_mamba(config: Config, hidden_size: int) -> Fields:
    """Sizes of a Mamba mixer, in either of the spellings."""
    width = config.whole("intermediate_size", default=None) if "state_size" in config.data else None
    expand = config.whole("mamba_expand", "expand", default=2) or 2
    given = config.data.get("mamba_dt_rank", config.data.get("time_step_rank", "auto"))
    rank = -(-hidden_size // 16) if given == "auto" else config.whole("mamba_dt_rank", "time_step_rank")
    return {
        "mamba_width": width or expand * hidden_size,
        "state_size": config.whole("mamba_d_state", "state_size", default=16),
        "time_step_rank": rank,
        "conv_kernel": config.whole("mamba_d_conv", "conv_kernel", default=4),
        "conv_bias": config.flag("mamba_conv_bias", "use_conv_bias", default=True),
        "mamba_bias": config.flag("mamba_proj_bias", "use_bias"),
    }


def read_mamba2(config: Config, width: int, defaults: Fields, normed: bool = True) -> Fields:
    """Sizes of a Mamba-2 mixer, in any of the spellings; ``width``: of all heads where the file says no head's."""
    heads = config.whole("mamba_n_heads", "mamba_num_heads", "num_heads", default=defaults["heads"])
    given = config.data.get("mamba_d_head", config.data.get("mamba_head_dim", config.data.get("head_dim")))
    if given in (None, "auto"):
        size: int | None = width // (heads or 1)
    else:
        size = config.whole("mamba_d_head", "mamba_head_dim", "head_dim", default=defaults["size"])
    chunk = config.whole("mamba_chunk_size", "chunk_size", default=defaults.get("chunk", USUAL_CHUNK))
    return {
        "chunk_tokens": None if chunk == USUAL_CHUNK else chunk,
        "mamba_heads": heads,
        "mamba_head_dim": size,
        "mamba_groups": config.whole("mamba_n_groups", "n_groups", default=defaults["groups"]),
        "state_size": config.whole("mamba_d_state", "ssm_state_size", "state_size", default=defaults["states"]),
        "conv_kernel": config.whole("mamba_d_conv", "conv_kernel", default=4),
        "conv_bias": config.flag("mamba_conv_bias", "use_conv_bias", default=True),
        "mamba_bias": config.flag("mamba_proj_bias", "use_bias"),
        "mamba_norms": (heads or 0) * (size or 0) if normed else 0,
    }


def place_mamba(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """State spaces alone; each channel is a head."""
    sizes = read_mamba(config, values["hidden_size"])
    heads = {"num_attention_heads": sizes["mamba_width"], "head_dim": 1}
    return [Kind("mamba", "none").with_sizes(**sizes) for _ in kinds], heads


def place_mamba2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """State spaces of the second kind alone."""
    defaults = {"heads": 128, "size": 64, "groups": 8, "states": 128}
    sizes = read_mamba2(config, 2 * values["hidden_size"], defaults)
    heads = {"num_attention_heads": sizes["mamba_heads"], "head_dim": sizes["mamba_head_dim"]}
    return [Kind("mamba2", "none").with_sizes(**sizes) for _ in kinds], heads


def place_jamba(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention in each ``attn_layer_period``-th layer from ``attn_layer_offset`` on."""
    period = config.whole("attn_layer_period", default=8) or 8
    offset = config.whole("attn_layer_offset", default=4, least=0)
    sizes = read_mamba(config, values["hidden_size"])
    sizes["mamba_norms"] = sizes["time_step_rank"] + 2 * sizes["state_size"]
    return mix(kinds, [layer % period == offset for layer in range(len(kinds))], "mamba", sizes), {}


def place_bamba(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention in the layers of ``attn_layer_indices``, or as ``layers_block_type`` says."""
    sizes = read_mamba2(config, expand(config, values), {"heads": 128, "size": 64, "groups": 1, "states": 256})
    types = config.sized("layers_block_type", len(kinds), str) or config.sized("layer_types", len(kinds), str)
    listed = set(config.items("attn_layer_indices", int))
    attends = [of in ATTENDS for of in types] or [layer in listed for layer in range(len(kinds))]
    return mix(kinds, attends, "mamba2", sizes), {}


def place_granite_hybrid(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """The same by ``layer_types``; without routed experts, the shared one is a dense block."""
    sizes = read_mamba2(config, expand(config, values), {"heads": 128, "size": 64, "groups": 1, "states": 256})
    types = config.sized("layer_types", len(kinds), str) or config.sized("layers_block_type", len(kinds), str)
    attends = [of in ATTENDS for of in types] or [False] * len(kinds)
    dense = {} if values.get("num_experts") else {"intermediate_size": config.whole("shared_intermediate_size")}
    return mix(kinds, attends, "mamba2", sizes), {name: size for name, size in dense.items() if size}


def place_falcon_h1(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Attention and a state space side by side in each layer."""
    width = config.whole("mamba_d_ssm", default=None) or expand(config, values)
    normed = config.flag("mamba_rms_norm")
    sizes = read_mamba2(config, width, {"heads": 128, "size": 8, "groups": 1, "states": 256}, normed)
    return [kind._replace(mixer="attention_and_mamba2").with_sizes(**sizes) for kind in kinds], {}


NEMOTRON_TYPES = {
    **{"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"},
    **{"mamba": "mamba", "linear_attention": "mamba", "attention": "attention", "full_attention": "attention"},
    **{"mlp": "mlp", "moe": "moe"},
}


def place_nemotron_h(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """One part a layer: a state space, attention, a dense block or experts, as the pattern says.

    Raises:
        InputError: no pattern, or one with an unknown sign.
    """
    pattern: Any = config.data.get("hybrid_override_pattern") or config.items("layers_block_type", str)
    if not pattern or not isinstance(pattern, str | list):
        raise config.error("missing key 'hybrid_override_pattern'")
    unknown = next((sign for sign in pattern if sign not in NEMOTRON_TYPES), None)
    if unknown is not None:
        raise config.error(f"hybrid_override_pattern: '{unknown}' is not supported")
    defaults = {"heads": 128, "size": 64, "groups": 8, "states": 128, "chunk": 128}
    mamba = {key: value for key, value in config.data.items() if key != "head_dim"}  # which is attention's here
    sizes = read_mamba2(Config(config.where, mamba), expand(config, values), defaults)
    parts = {
        "mamba": Kind("mamba2", "none").with_sizes(**sizes),
        "attention": Kind("attention", "none"),
        "mlp": Kind("none", "dense"),
        "moe": Kind("none", "experts"),
    }
    placed = [parts[NEMOTRON_TYPES[sign]] for sign in pattern]
    without = {"num_experts": None, "num_experts_per_tok": None, "moe_intermediate_size": None}
    without |= {"shared_expert_intermediate_size": None, "moe_latent_size": None}
    fields: Fields = {} if parts["moe"] in placed else without
    return placed, fields | {"num_hidden_layers": len(placed)}


def expand(config: Config, values: Fields) -> int:
    """Width of a state space as a multiple of the hidden size."""
    return (config.whole("mamba_expand", "expand", default=2) or 2) * int(values["hidden_size"])


def mix(kinds: list[Kind], attends: list[bool], mixer: str, sizes: Fields) -> list[Kind]:
    """Layers of attention where marked, and of a state space elsewhere."""
    return [
        kind._replace(mixer="attention") if mark else kind._replace(mixer=mixer).with_sizes(**sizes)
        for kind, mark in zip(kinds, attends, strict=True)
    ]
