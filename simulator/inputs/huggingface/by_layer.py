"""Layers whose sizes a file gives one by one, and layers of several blocks: Step 3.5, Nemotron-NAS, LongCat, A.X K1."""

from __future__ import annotations

from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]


def place_step(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Windows with heads of their own, and a gate a head; lists may go on with layers that only draft."""
    types = list(config.items("layer_types", str))[: len(kinds)] or ["full_attention"] * len(kinds)
    if len(types) != len(kinds):
        raise config.error(f"layer_types has {len(types)} entries; there are {len(kinds)} layers")
    other = config.part("attention_other_setting") or Config(config.where, {})
    heads = config.whole("num_sliding_attention_heads", default=None) or other.whole("num_attention_heads")
    own = {
        "num_attention_heads": heads,
        "num_key_value_heads": other.whole("num_attention_groups", default=None),
        "head_dim": other.whole("head_dim", default=None),
    }
    changed = {name: size for name, size in own.items() if size != values.get(name)}
    windowed = Kind("window_attention").with_sizes(attention_gate="head", **changed)
    full = Kind("attention").with_sizes(attention_gate="head")
    placed = [
        (windowed if of == "sliding_attention" else full)._replace(feed_forward=kind.feed_forward)
        for kind, of in zip(kinds, types, strict=True)
    ]
    return placed, {} if windowed in [kind._replace(feed_forward=None) for kind in placed] else {"sliding_window": None}


def place_step3(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Queries of all heads from one vector that they share (multi-matrix factorisation, arXiv 2412.19255)."""
    rank = config.whole("share_q_dim", default=2048)
    return [kind._replace(mixer="attention").with_sizes(query_rank=rank) for kind in kinds], {}


def place_nemotron_nas(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Blocks that a search has narrowed or left out (Bercovich et al. 2024, arXiv 2411.19146).

    Raises:
        InputError: no list of blocks, another length, or a block that is one matrix instead.
    """
    blocks = config.data.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != len(kinds) or not all(isinstance(one, dict) for one in blocks):
        raise config.error(f"block_configs must be a list of {len(kinds)} mappings, one a layer")
    placed = []
    for number, block in enumerate(blocks):
        part = Config(f"{config.where}: block_configs[{number}]", block)
        attention, ffn = part.part("attention"), part.part("ffn")
        if attention is None or ffn is None:
            raise part.error("missing key 'attention' or 'ffn'")
        if attention.flag("replace_with_linear") or ffn.flag("replace_with_linear"):
            raise part.error("replace_with_linear is not supported")
        mixes, works = not attention.flag("no_op"), not ffn.flag("no_op")
        kind = Kind("attention" if mixes else "none", "dense" if works else "none")
        placed.append(
            kind.with_sizes(
                num_key_value_heads=find_kv_heads(attention, values) if mixes else None,
                intermediate_size=find_width(ffn, values) if works else None,
                norms_per_layer=None if mixes and works else int(mixes) + int(works),
            )
        )
    return placed, {}


def find_kv_heads(attention: Config, values: Fields) -> int | None:
    """Key heads of a block: as given, or by how many query heads share one."""
    group = attention.whole("n_heads_in_group", default=None)
    return attention.whole("num_key_value_heads") if group is None else values["num_attention_heads"] // group


def find_width(ffn: Config, values: Fields) -> int | None:
    """Inner width of a block: as given, or two thirds of so many hidden sizes, up to a multiple of 256."""
    ratio = ffn.data.get("ffn_mult")
    if ratio is None:
        return ffn.whole("intermediate_size")
    if not isinstance(ratio, int | float) or isinstance(ratio, bool):
        raise ffn.error(f"ffn_mult is {ratio!r}; it must be a number")
    return 256 * -(-int(2 * ratio * values["hidden_size"] / 3) // 256)


def place_longcat(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Two blocks of latent attention and a dense part a layer, and experts beside them (arXiv 2509.01322, section 2).

    A block, and the experts, count as layers of their own here. Some experts return what they are given: of those that
    a token is sent to, as many as are left on the average do work.
    """
    layers = len(kinds)
    idle = config.whole("zero_expert_num", default=256, least=0) or 0
    experts, chosen = values["num_experts"], values["num_experts_per_tok"]
    working = max(1, round(chosen * experts / (experts + idle)))
    beside = Kind("none", "experts").with_sizes(
        norms_per_layer=0, num_experts_per_tok=working, other_layer_parameters=idle * values["hidden_size"]
    )
    placed = [Kind("latent_attention", "dense")] * (2 * layers) + [beside] * layers
    return placed, {"num_hidden_layers": 3 * layers}


def place_axk1(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """A norm more after experts."""
    return [
        kind.with_sizes(norms_per_layer=3) if kind.feed_forward == "experts" else kind for kind in kinds
    ], {} if any(kind.feed_forward == "dense" for kind in kinds) else {"norms_per_layer": 3}
