"""Layers of RWKV and xLSTM: recurrences without convolutions or attention."""

from __future__ import annotations

from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]


def place_rwkv(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """A weighted sum of all values before, of each channel; each channel is a head."""
    width = config.whole("attention_hidden_size", default=None) or values["hidden_size"]
    heads = {"num_attention_heads": width, "head_dim": 1}
    return [Kind("rwkv").with_sizes(rwkv_width=width) for _ in kinds], heads


def place_xlstm(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """A matrix of memory a head; widths are shares of the hidden one, that of the dense block in whole multiples.

    Raises:
        InputError: a share that is no number.
    """
    h, multiple = values["hidden_size"], config.whole("ffn_round_up_to_multiple_of", default=64) or 1
    raw = read_share(config, "ffn_proj_factor", 2.667) * h
    sizes = {
        "mlstm_key_width": int(h * read_share(config, "qk_dim_factor", 0.5)),
        "mlstm_value_width": int(h * read_share(config, "v_dim_factor", 1.0)),
        "mlstm_bias": config.flag("use_bias"),
    }
    fields = {"intermediate_size": multiple * int((raw + multiple - 1) // multiple)}
    if not config.flag("add_out_norm", default=True):
        fields["final_norms"] = 0
    return [Kind("mlstm").with_sizes(**sizes) for _ in kinds], fields


def read_share(config: Config, key: str, default: float) -> float:
    """A share of the hidden size.

    Raises:
        InputError: not a number above 0.
    """
    value = config.data.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1000:
        raise config.error(f"{key} is {value!r}; it must be a number above 0")
    return float(value)
