"""Which layers of a model see a window alone, and which have a mixture of experts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulator.inputs.huggingface.config import Config


class Windows(NamedTuple):
    """How a model type tells which layers see a window.

    ``rule`` names one of ``WINDOW_RULES`` and ``period`` belongs to it. ``listed``: a list ``layer_types`` overrides
    the rule. ``switched``: there is no window unless ``use_sliding_window`` says so.
    """

    rule: str = "every"
    period: int = 1
    listed: bool = True
    switched: bool = False


class Experts(NamedTuple):
    """How a model type tells which layers have experts: one of ``EXPERT_RULES``, and the number it starts from."""

    rule: str = "all"
    default: int = 0


# A token of a chunk of c sees at most c tokens, so chunks count as windows of that width.
IS_WINDOWED = {"full_attention": False, "sliding_attention": True, "chunked_attention": True}


def place_windows(config: Config, windows: Windows, layers: int) -> list[bool]:
    """Say for each layer whether it sees a window alone.

    Raises:
        InputError: a list of layer types of another length or with an unknown type.
    """
    if windows.switched and not config.flag("use_sliding_window"):
        return [False] * layers
    if windows.listed and config.data.get("layer_types"):
        return list_windowed(config, layers)
    return WINDOW_RULES[windows.rule](config, layers, windows.period)


def list_windowed(config: Config, layers: int) -> list[bool]:
    """Say for each layer whether its type has a window.

    Raises:
        InputError: a list of another length or with an unknown type.
    """
    return [IS_WINDOWED[kind] for kind in config.types("layer_types", layers, IS_WINDOWED)]


def list_every(config: Config, layers: int, period: int) -> list[bool]:
    """Every layer."""
    return [True] * layers


def list_late(config: Config, layers: int, period: int) -> list[bool]:
    """The layers from ``max_window_layers`` on."""
    first = config.whole("max_window_layers", default=28, least=0) or 0
    return [layer >= first for layer in range(layers)]


def list_early(config: Config, layers: int, period: int) -> list[bool]:
    """Every other layer before ``max_window_layers``."""
    last = config.whole("max_window_layers", default=28, least=0) or 0
    return [layer % 2 == 0 and layer < last for layer in range(layers)]


def list_periodic(config: Config, layers: int, period: int) -> list[bool]:
    """All but the last of each ``period`` layers."""
    return [(layer + 1) % period != 0 for layer in range(layers)]


def list_none(config: Config, layers: int, period: int) -> list[bool]:
    """No layer."""
    return [False] * layers


def list_others(config: Config, layers: int, period: int) -> list[bool]:
    """All but the first of each ``period`` layers."""
    return [layer % period != 0 for layer in range(layers)]


def list_backward(config: Config, layers: int, period: int) -> list[bool]:
    """All but the last layer and each ``period``-th before it."""
    return [(layers - 1 - layer) % period != 0 for layer in range(layers)]


def list_patterned(config: Config, layers: int, period: int) -> list[bool]:
    """All but the last of each ``sliding_window_pattern`` layers."""
    return list_periodic(
        config, layers, config.whole("sliding_window_pattern", "_sliding_window_pattern", default=period) or period
    )


def list_rotated(config: Config, layers: int, period: int) -> list[bool]:
    """The layers with rotary positions, which ``no_rope_layers`` marks with 1."""
    marks = config.sized("no_rope_layers", layers, int)
    interval = config.whole("no_rope_layer_interval", default=period) or period
    return [mark != 0 for mark in marks] or list_periodic(config, layers, interval)


WINDOW_RULES: dict[str, Callable[[Config, int, int], list[bool]]] = {
    "every": list_every,
    "late": list_late,
    "early": list_early,
    "periodic": list_periodic,
    "patterned": list_patterned,
    "backward": list_backward,
    "none": list_none,
    "all but the first of": list_others,
    "rotated": list_rotated,
}


def list_first(config: Config, layers: int, default: int) -> list[bool]:
    """All layers but the first, as many as ``first_k_dense_replace`` or another spelling says."""
    dense = config.whole("first_k_dense_replace", "num_dense_layers", "dense_mlp_idx", default=default, least=0) or 0
    return [layer >= dense for layer in range(layers)]


def list_sparse(config: Config, layers: int, default: int) -> list[bool]:
    """Each ``decoder_sparse_step``-th layer, but those that ``mlp_only_layers`` names."""
    step = config.whole("decoder_sparse_step", default=1) or 1
    named = set(config.items("mlp_only_layers", int))
    return [layer not in named and (layer + 1) % step == 0 for layer in range(layers)]


def list_interleaved(config: Config, layers: int, default: int) -> list[bool]:
    """The layers in ``moe_layers``, or where it is absent each ``interleave_moe_layer_step``-th."""
    step = config.whole("interleave_moe_layer_step", default=1) or 1
    if config.data.get("moe_layers") is None:
        return [(layer + 1) % step == 0 for layer in range(layers)]
    named = set(config.items("moe_layers", int))
    return [layer in named for layer in range(layers)]


def list_ranged(config: Config, layers: int, default: int) -> list[bool]:
    """Each ``moe_layer_interval``-th layer from ``moe_layer_start_index`` to ``moe_layer_end_index``."""
    keys = ("moe_layer_start_index", "moe_layer_end_index")
    of_text = {key: [*config.items(key, int)][:1] for key in keys if isinstance(config.data.get(key), list)}
    config = Config(config.where, config.data | {key: found[0] for key, found in of_text.items() if found})
    first = config.whole("moe_layer_start_index", default=1, least=0) or 0
    last = config.whole("moe_layer_end_index", default=-1, least=-1)
    step = config.whole("moe_layer_interval", default=1) or 1
    last = layers - 1 if last is None or last < 0 else last
    return [first <= layer <= last and (layer + 1) % step == 0 for layer in range(layers)]


def list_offset(config: Config, layers: int, default: int) -> list[bool]:
    """Each ``expert_layer_period``-th layer from ``expert_layer_offset`` on."""
    period = config.whole("expert_layer_period", default=2) or 1
    offset = config.whole("expert_layer_offset", default=1, least=0)
    return [layer % period == offset for layer in range(layers)]


def list_enumerated(config: Config, layers: int, default: int) -> list[bool]:
    """The layers in ``moe_layers_enum``, a text of numbers, or where it is absent those from the default on.

    Raises:
        InputError: not such a text.
    """
    text = config.data.get("moe_layers_enum")
    if text is None:
        return [layer >= default for layer in range(layers)]
    parts = text.split(",") if isinstance(text, str) else [""]
    if not all(part.strip().isdigit() for part in parts):
        raise config.error(f"moe_layers_enum is {text!r}; it must be numbers with commas between")
    named = {int(part) for part in parts}
    return [layer in named for layer in range(layers)]


IS_SPARSE = {"dense": False, "sparse": True, "moe": True, "hash_moe": True}


def place_experts(config: Config, experts: Experts, layers: int) -> list[bool]:
    """Say for each layer whether it has experts: by ``mlp_layer_types`` or ``moe_layer_freq`` where they are listed.

    Raises:
        InputError: a list of another length or with an unknown type.
    """
    types = config.types("mlp_layer_types", layers, IS_SPARSE)
    if types:
        return [IS_SPARSE[kind] for kind in types]
    if isinstance(config.data.get("moe_layer_freq"), list) and config.data["moe_layer_freq"]:
        return [mark != 0 for mark in config.sized("moe_layer_freq", layers, int)]
    return EXPERT_RULES[experts.rule](config, layers, experts.default)


EXPERT_RULES: dict[str, Callable[[Config, int, int], list[bool]]] = {
    "all": lambda config, layers, default: [True] * layers,
    "first": list_first,
    "sparse": list_sparse,
    "interleaved": list_interleaved,
    "ranged": list_ranged,
    "offset": list_offset,
    "enumerated": list_enumerated,
}
