"""Hugging Face ``config.json`` -> architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from simulator.inputs.architecture import MOST_LAYERS, Architecture, ModelSpec
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.encoders import OTHERS, refuse_encoders
from simulator.inputs.huggingface.families import FAMILIES
from simulator.inputs.huggingface.hybrids import LAYER_RULES
from simulator.inputs.huggingface.kinds import Kind, group_kinds, number_groups
from simulator.inputs.huggingface.layout import SIZES, Layout
from simulator.inputs.huggingface.layouts import LAYOUTS
from simulator.inputs.huggingface.llama_like import recognise_llama
from simulator.inputs.huggingface.mistral_params import translate_params
from simulator.inputs.huggingface.patterns import place_experts, place_windows
from simulator.inputs.huggingface.quantization import read_formats
from simulator.specfile import read_spec


class Wrapper(NamedTuple):
    """A model type whose text model stands in a part of the file.

    ``text_type``: that model's type where it is silent. ``tied``: whether the head is tied where neither says so; None:
    as the text model's type has it.
    """

    text_type: str = ""
    tied: bool | None = None


WRAPPERS = {
    "llama4": Wrapper("llama4_text"),
    "gemma3": Wrapper("gemma3_text", tied=True),
    "gemma3n": Wrapper("gemma3n_text", tied=True),
    "gemma4": Wrapper("gemma4_text", tied=True),
    "mistral3": Wrapper("mistral", tied=True),
    "qwen3_vl": Wrapper("qwen3_vl_text"),
    "qwen3_vl_moe": Wrapper("qwen3_vl_moe_text"),
    "glm4v": Wrapper("glm4v_text"),
    "glm4v_moe": Wrapper("glm4v_moe_text"),
    "kimi_k25": Wrapper("kimi_k2"),
    "deepseek_vl_v2": Wrapper("deepseek_v2"),
    "deepseekocr": Wrapper("deepseek_v2"),
    "ernie4_5_vl_moe": Wrapper("ernie4_5_vl_moe_text"),
    "inkling_mm_model": Wrapper("inkling_text"),
}
PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
FLAGS = {
    "tie_word_embeddings",
    "attention_bias",
    "attention_output_bias",
    "mlp_bias",
    "parallel_residual",
    "lm_head_bias",
}
# Where 0 means that there is none of it.
OPTIONAL = {
    *("sliding_window", "num_experts", "shared_expert_intermediate_size", "q_lora_rank"),
    *("per_layer_input_size", "moe_latent_size", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"),
}
EXPERT_FIELDS = (
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "shared_expert_gate",
    "router_bias",
    "moe_latent_size",
)


def read_config(path: Path, name: str | None = None) -> ModelSpec:
    """Read a ``config.json``; the model is named after its folder unless a name is given.

    Raises:
        InputError: a key of the wrong type, a missing dimension, or an unknown ``model_type`` of another layout.
    """
    config = translate_params(Config(str(path), read_spec(path).data))
    inner, changes, notes = unwrap(config)
    model_type = inner.model_type()
    if model_type in OTHERS and type_of_class(inner):  # the type says another thing than the class that builds it
        model_type = type_of_class(inner)
        config = inner = Config(inner.where, inner.data | {"model_type": model_type})
    refuse_encoders(config, config.model_type())
    refuse_encoders(inner, model_type, is_part=inner is not config)
    layout = LAYOUTS.get(model_type)
    if layout is None and type_of_class(inner):
        named, model_type = model_type, type_of_class(inner)
        layout = LAYOUTS[model_type]
        notes.append(f"unknown model_type '{named}': read as '{model_type}', which its class is of")
    elif layout is None:
        layout, note = recognise_llama(inner, model_type)
        notes.append(note)
    values, kinds = read_dimensions(inner, layout, is_part=inner is not config)
    architecture = Architecture(**values | {"layers": group_kinds(kinds)} | changes)
    formats = read_formats(config, inner, path, architecture, number_groups(kinds))
    name = name or path.resolve().parent.name or path.stem
    return ModelSpec(name, name, architecture, note="; ".join(notes) or None, formats=formats)


def unwrap(config: Config) -> tuple[Config, dict[str, Any], list[str]]:
    """Return the part that describes the text model, what the files around it say of it, and what it leaves out.

    Where both say whether the head is tied, the outer file counts, as in Transformers.

    Raises:
        InputError: a wrapper without its part.
    """
    model_type = config.model_type()
    part = next((part for part in map(config.part, PARTS) if part is not None), None)
    if part is None:
        if model_type in WRAPPERS:
            raise config.error("missing key 'text_config'")
        return config, {}, []
    wrapper = WRAPPERS.get(model_type, Wrapper(f"{model_type}_text" if f"{model_type}_text" in LAYOUTS else ""))
    text_type = wrapper.text_type or type_of_class(part)
    inner, changes, _ = unwrap(Config(part.where, {"model_type": text_type} | part.data))
    note = f"'{model_type}' is read as its text model alone: what takes in images or sound is left out"
    if config.data.get("tie_word_embeddings") is not None:
        changes = {"tie_word_embeddings": config.flag("tie_word_embeddings")}
    elif wrapper.tied is not None and not changes and inner.data.get("tie_word_embeddings") is None:
        changes = {"tie_word_embeddings": wrapper.tied}
    return inner, changes, [note]


def type_of_class(part: Config) -> str:
    """The model type of the class that builds a part: ``DeepseekV2ForCausalLM`` is ``deepseek_v2``."""
    named = [*part.items("architectures", str), ""][0].partition("For")[0].lower()
    return next((one for one in LAYOUTS if one.replace("_", "") == named), "")


def read_architecture(config: Config, layout: Layout, is_part: bool) -> dict[str, Any]:
    """Read the fields of an architecture.

    Raises:
        InputError: a key of the wrong type, or a dimension that a whole file must state.
    """
    values, kinds = read_dimensions(config, layout, is_part)
    return values | {"layers": group_kinds(kinds)}


def read_dimensions(config: Config, layout: Layout, is_part: bool) -> tuple[dict[str, Any], list[Kind]]:
    """Read all fields but the groups of layers, and what each layer is.

    Raises:
        InputError: a key of the wrong type, or a dimension that a whole file must state.
    """
    values = layout.fixed | read_fields(config, layout, is_part)
    if values["num_hidden_layers"] > MOST_LAYERS:
        raise config.error(f"num_hidden_layers is above {MOST_LAYERS}")
    if values["intermediate_size"] is None:
        values["intermediate_size"] = 4 * values["hidden_size"]
    for key, implied in layout.switches.items():
        if config.flag(key):
            values |= implied
    if layout.family is not None:
        values |= FAMILIES[layout.family](config, values)
    fields, kinds = place_layers(config, layout, values)
    return values | fields, kinds


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
        if not is_part and keys and must_state(field, layout) and all(config.data.get(key) is None for key in keys):
            raise config.error(f"missing key '{keys[0]}'")
        value = config.whole(*keys, default=default, least=0 if field in OPTIONAL else 1)
        values[field] = default if value is None and field in SIZES else value or None
    return values


def must_state(field: str, layout: Layout) -> bool:
    """Whether a file of its own says a field even where that is the type's default; a part of a file leaves it out."""
    if field == "intermediate_size":
        return layout.experts is None and layout.defaults[field] is not None
    return field in REQUIRED


def place_layers(config: Config, layout: Layout, values: dict[str, Any]) -> tuple[dict[str, Any], list[Kind]]:
    """What each layer is, and the fields that this changes.

    Raises:
        InputError: a list of layers that does not fit, or experts with no word on how many a token is sent to.
    """
    layers = values["num_hidden_layers"]
    windowed, expert = [False] * layers, [False] * layers
    if layout.windows is not None and values.get("sliding_window") is not None:
        windowed = place_windows(config, layout.windows, layers)
    if layout.experts is not None and values.get("num_experts") is not None:
        expert = place_experts(config, layout.experts, layers)
    fields: dict[str, Any] = {}
    if layout.windows is not None and not any(windowed):
        fields["sliding_window"] = None
    if layout.experts is not None and not any(expert):
        fields |= {field: Architecture.__dataclass_fields__[field].default for field in EXPERT_FIELDS}
    elif layout.experts is not None and values.get("num_experts_per_tok") is None:
        raise config.error("missing key 'num_experts_per_tok'")
    mixers = name_parts(windowed, "window_attention", "attention")
    kinds = [Kind(*parts) for parts in zip(mixers, name_parts(expert, "experts", "dense"), strict=True)]
    if layout.layers is not None:
        kinds, more = LAYER_RULES[layout.layers](config, values | fields, kinds)
        fields |= more
    return fields, kinds


def name_parts(marks: list[bool], marked: str, others: str) -> list[str | None]:
    """Kinds of a part of each layer; one that all share is not named."""
    if len(set(marks)) < 2:
        return [None] * len(marks)
    return [marked if mark else others for mark in marks]
