"""Layers that share weights: of Zamba, and of hierarchical reasoning, whose two stacks run several times.

Zamba: between state spaces stand blocks of attention whose weights all of them share.
Glorioso et al. 2024 (arXiv 2405.16712), section 2: the blocks read the hidden state beside the embedding, so their
inputs are twice as wide. A block and the state space after it count as two layers here.
"""

from __future__ import annotations

from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind
from simulator.inputs.huggingface.state_spaces import read_mamba

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]
HYBRID = ("hybrid", "g")


def place_zamba(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """One set of weights, and Mamba in ``n_mamba_heads`` parts, whose projections of the step are not shared."""
    period = config.whole("attn_layer_period", default=6) or 6
    offset = config.whole("attn_layer_offset", default=4, least=0)
    types = config.sized("layers_block_type", len(kinds), str)
    marks = [of in HYBRID for of in types] or [layer % period == offset for layer in range(len(kinds))]
    sizes = read_mamba(config, values["hidden_size"])
    parts = config.whole("n_mamba_heads", default=2) or 1
    sizes["mamba_parts"] = parts
    return interleave(config, values, marks, Kind("mamba", "none").with_sizes(**sizes), 1, 0)


def place_zamba2(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """``num_mem_blocks`` sets of weights, each use of which has matrices of low rank of its own."""
    types = config.sized("layers_block_type", len(kinds), str)
    listed = set(config.items("hybrid_layer_ids", int))
    marks = [of in HYBRID for of in types] or [layer in listed for layer in range(len(kinds))]
    h, inner = values["hidden_size"], values["intermediate_size"]
    rank = config.whole("adapter_rank", default=128) or 0
    adapters = rank * (h + 2 * inner)
    if config.flag("use_shared_attention_adapter"):
        adapters += 3 * 2 * 2 * h * rank
    width = 2 * h
    heads = config.whole("n_mamba_heads", default=8) or 8
    sizes = {
        "mamba_heads": heads,
        "mamba_head_dim": width // heads,
        "mamba_groups": config.whole("mamba_ngroups", default=1),
        "state_size": config.whole("mamba_d_state", default=64),
        "conv_kernel": config.whole("mamba_d_conv", default=4),
        "conv_bias": config.flag("use_conv_bias", default=True),
        "mamba_bias": config.flag("add_bias_linear"),
        "mamba_norms": width,
    }
    copies = config.whole("num_mem_blocks", default=1) or 1
    return interleave(config, values, marks, Kind("mamba2", "none").with_sizes(**sizes), copies, adapters)


def interleave(config: Config, values: Fields, marks: list[bool], mamba: Kind, copies: int, adapters: int) -> Placed:
    """State spaces, and a shared block before each that is marked, with its own way back into the hidden state."""
    h = values["hidden_size"]
    uses = sum(marks)
    shared = {
        "attention_input_size": 2 * h,
        "head_dim": config.whole("attention_head_dim", default=None) or 2 * h // values["num_attention_heads"],
        "norms_per_layer": 3,  # of the input, twice as wide, and before the dense block
    }
    block = Kind("attention", "dense", copies=min(copies, uses) or None).with_sizes(**shared)
    beside = h * h + adapters
    after = mamba.with_sizes(norms_per_layer=1, other_layer_parameters=beside, side_parameters=beside)
    placed = []
    for mark in marks:
        placed += [block, after] if mark else [mamba.with_sizes(norms_per_layer=1)]
    return placed, {"num_hidden_layers": len(placed)}


def place_hrm(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """A slow stack of layers after ``L_cycles`` runs of a fast one, ``H_cycles`` times (Wang et al. 2025, 2506.21734).

    Each run has a cache of its own, and attention a gate of each element.
    """
    slow = config.whole("H_cycles", default=2) or 1
    fast = config.whole("L_cycles", default=3) or 1
    stack = config.whole("num_layers_per_stack", default=None)
    if stack is None:
        stack = len(kinds)
    gated = Kind().with_sizes(attention_gate="element")
    placed = [gated._replace(copies=stack)] * (stack * slow * fast)
    # A size that is the model's own keeps the second stack a group of its own.
    own = gated.with_sizes(head_dim=values["head_dim"])._replace(copies=stack)
    placed += [own] * (stack * slow)
    return placed, {"num_hidden_layers": len(placed), "other_parameters": values["hidden_size"]}
