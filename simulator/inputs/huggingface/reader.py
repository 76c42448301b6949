"""Hugging Face ``config.json`` -> architecture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from simulator.inputs.architecture import Architecture, LayerGroup, ModelSpec
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.families import FAMILIES
from simulator.inputs.huggingface.layouts import LAYOUTS, SIZES, Layout
from simulator.inputs.huggingface.llama_like import recognise_llama
from simulator.inputs.huggingface.patterns import EXPERT_RULES, place_windows
from simulator.specfile import read_spec


class Wrapper(NamedTuple):
    """A model type whose text model stands in ``text_config``.

    ``text_type``: that model's type where it is silent. ``tied``: whether the head is tied where the outer file is
    silent; None: as the part says.
    """

    text_type: str = ""
    tied: bool | None = None


WRAPPERS = {
    "llama4": Wrapper("llama4_text"),
    "gemma3": Wrapper("gemma3_text", tied=True),
    "mistral3": Wrapper("mistral", tied=True),
}
REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads")
FLAGS = {
    "tie_word_embeddings",
    "attention_bias",
    "attention_output_bias",
    "mlp_bias",
    "parallel_residual",
}
# Where 0 means that there is none of it.
OPTIONAL = {"sliding_window", "num_experts", "shared_expert_intermediate_size", "q_lora_rank"}
EXPERT_FIELDS = (
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "shared_expert_gate",
    "router_bias",
)


def read_config(path: Path, name: str | None = None) -> ModelSpec:
    """Read a ``config.json``; the model is named after its folder unless a name is given.

    Raises:
        InputError: a key of the wrong type, a missing dimension, or an unknown ``model_type`` of another layout.
    """
    config = Config(str(path), read_spec(path).data)
    inner, changes, notes = unwrap(config)
    model_type = inner.model_type()
    layout = LAYOUTS.get(model_type)
    if layout is None:
        layout, note = recognise_llama(inner, model_type)
        notes.append(note)
    fields = read_architecture(inner, layout, is_part=inner is not config) | changes
    notes += describe_quantization(config) or describe_quantization(inner)
    name = name or path.resolve().parent.name or path.stem
    return ModelSpec(name, name, Architecture(**fields), note="; ".join(notes) or None)


def unwrap(config: Config) -> tuple[Config, dict[str, Any], list[str]]:
    """Return the part that describes the text model, what the outer file says of it, and what it leaves out.

    Raises:
        InputError: a wrapper without its part.
    """
    model_type = config.model_type()
    part = config.part("text_config")
    if part is None:
        if model_type in WRAPPERS:
            raise config.error("missing key 'text_config'")
        return config, {}, []
    wrapper = WRAPPERS.get(model_type, Wrapper())
    inner = Config(part.where, {"model_type": wrapper.text_type} | part.data)
    note = f"'{model_type}' is read as its text model alone: what takes in images or sound is left out"
    if wrapper.tied is None and config.data.get("tie_word_embeddings") is None:
        return inner, {}, [note]
    return inner, {"tie_word_embeddings": config.flag("tie_word_embeddings", default=bool(wrapper.tied))}, [note]


def read_architecture(config: Config, layout: Layout, is_part: bool) -> dict[str, Any]:
    """Read the fields of an architecture.

    Raises:
        InputError: a key of the wrong type, or a dimension that a whole file must state.
    """
    values = layout.fixed | read_fields(config, layout, is_part)
    if values["intermediate_size"] is None:
        values["intermediate_size"] = 4 * values["hidden_size"]
    for key, implied in layout.switches.items():
        if config.flag(key):
            values |= implied
    if layout.family is not None:
        values |= FAMILIES[layout.family](config, values)
    return values | place_layers(config, layout, values)


def read_fields(config: Config, layout: Layout, is_part: bool) -> dict[str, Any]:
    """Read the fields that are one key each.

    Raises:
        InputError: a key of the wrong type, or a dimension that a whole file must state.
    """
    values: dict[str, Any] = {}
    for field in (*SIZES, "tie_word_embeddings", *layout.names):
        spelled = layout.names.get(field, field)
        keys = (spelled,) if isinstance(spelled, str) else spelled
        default = layout.defaults.get(field)
        if field in FLAGS:
            values[field] = config.flag(*keys, default=bool(default))
            continue
        if not is_part and must_state(field, layout) and all(config.data.get(key) is None for key in keys):
            raise config.error(f"missing key '{keys[0]}'")
        value = config.whole(*keys, default=default, least=0 if field in OPTIONAL else 1)
        values[field] = default if value is None and field in SIZES else value or None
    return values


def must_state(field: str, layout: Layout) -> bool:
    """Whether a file of its own says a field even where that is the type's default; a part of a file leaves it out."""
    if field == "intermediate_size":
        return layout.experts is None and layout.defaults[field] is not None
    return field in REQUIRED


def place_layers(config: Config, layout: Layout, values: dict[str, Any]) -> dict[str, Any]:
    """Group the layers by what they see and whether they have experts; of one kind alone, no groups are needed.

    Raises:
        InputError: a list of layers that does not fit, or experts with no word on how many a token is sent to.
    """
    layers = values["num_hidden_layers"]
    windowed, expert = [False] * layers, [False] * layers
    if layout.windows is not None and values.get("sliding_window") is not None:
        windowed = place_windows(config, layout.windows, layers)
    if layout.experts is not None and values.get("num_experts") is not None:
        expert = EXPERT_RULES[layout.experts.rule](config, layers, layout.experts.default)
    fields: dict[str, Any] = {}
    if layout.windows is not None and not any(windowed):
        fields["sliding_window"] = None
    if layout.experts is not None and not any(expert):
        fields |= {field: Architecture.__dataclass_fields__[field].default for field in EXPERT_FIELDS}
    elif layout.experts is not None and values.get("num_experts_per_tok") is None:
        raise config.error("missing key 'num_experts_per_tok'")
    kinds = Counter(zip(windowed, expert, strict=True))
    return fields if len(kinds) == 1 else fields | {"layers": name_groups(kinds)}


def name_groups(kinds: Counter[tuple[bool, bool]]) -> tuple[LayerGroup, ...]:
    """Groups of layers from how many are windowed, and have experts; a part that all share is not named."""
    mixed_windows, mixed_experts = (len({kind[place] for kind in kinds}) > 1 for place in (0, 1))
    return tuple(
        LayerGroup(
            count,
            ("window_attention" if windowed else "attention") if mixed_windows else None,
            ("experts" if expert else "dense") if mixed_experts else None,
        )
        for (windowed, expert), count in kinds.items()
    )


def describe_quantization(config: Config) -> list[str]:
    """What to say where the weights are stored in a narrow format, which the architecture does not depend on."""
    part = config.data.get("quantization_config")
    if not part:
        return []
    method = part.get("quant_method") if isinstance(part, dict) else None
    return [f"the file's weights are quantized{f' ({method})' if method else ''}: give --weight-dtype"]
