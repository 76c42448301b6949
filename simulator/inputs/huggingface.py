"""Hugging Face ``config.json`` -> architecture, for the model types whose layout the cost laws know."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import InputError, suggest
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.specfile import read_spec


class Layout(NamedTuple):
    """How one ``model_type`` spells its fields, what it always has, and the values of fields it may leave out.

    ``names`` maps our field to the file's key; ``fixed`` holds structure that the type implies.
    Sources: the ``configuration_*.py`` and ``modeling_*.py`` files of Hugging Face Transformers.
    """

    names: dict[str, str]
    fixed: dict[str, Any]
    defaults: dict[str, Any]


GPT2_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "intermediate_size": "n_inner",
    "max_position_embeddings": "n_positions",
}
ALL_BIASES = {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True}
LAYOUTS: dict[str, Layout] = {
    "gpt2": Layout(
        GPT2_NAMES,
        {"position_embedding": "learned", **ALL_BIASES},
        {"tie_word_embeddings": True, "vocab_size": 50257, "max_position_embeddings": 1024},
    ),
    "gptj": Layout(
        GPT2_NAMES,
        {"parallel_residual": True, "norms_per_layer": 1, "mlp_bias": True, "lm_head_bias": True},
        {"tie_word_embeddings": False, "vocab_size": 50400, "max_position_embeddings": 2048},
    ),
    "gpt_neox": Layout(
        {},
        {"parallel_residual": True, **ALL_BIASES},
        {"tie_word_embeddings": False, "vocab_size": 50432, "max_position_embeddings": 2048},
    ),
    "opt": Layout(
        {"intermediate_size": "ffn_dim"},
        {"position_embedding": "learned", **ALL_BIASES},
        {"tie_word_embeddings": True, "vocab_size": 50272, "max_position_embeddings": 2048},
    ),
    "bloom": Layout(
        {
            "hidden_size": "n_embed",
            "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head",
            "max_position_embeddings": "seq_length",
        },
        {"position_embedding": "alibi", "embedding_norm": True, **ALL_BIASES},
        {"tie_word_embeddings": True, "vocab_size": 250880, "max_position_embeddings": 2048},
    ),
    "llama": Layout(
        {},
        {"gated_mlp": True, "norm_bias": False},
        {"tie_word_embeddings": False, "vocab_size": 32000, "max_position_embeddings": 2048},
    ),
}
BOOLEAN_KEYS = ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_parallel_residual", "enable_bias")
REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads")
FOUR_TIMES_WIDE = {"gpt2", "gptj", "bloom"}  # their feed-forward width, where left out, is 4 x hidden_size
OPTIONAL = ("num_key_value_heads", "head_dim")


def read_config(path: Path) -> ModelSpec:
    """Read a ``config.json``.

    Raises:
        InputError: not a mapping, an unknown ``model_type``, or a dimension missing.
    """
    data = read_spec(path).data
    model_type = str(data.get("model_type", ""))
    if model_type not in LAYOUTS:
        raise InputError(suggest(f"{path}: unknown model_type '{model_type}'", model_type, LAYOUTS))
    layout = LAYOUTS[model_type]
    if "quantization_config" in data:
        raise InputError(f"{path}: quantization_config: quantized weights are not supported")
    for key in BOOLEAN_KEYS:
        if not isinstance(data.get(key, False), bool):
            raise InputError(f"{path}: {key} is {data[key]!r}; it must be true or false")
    if model_type == "opt" and data.get("word_embed_proj_dim", data.get("hidden_size")) != data.get("hidden_size"):
        raise InputError(f"{path}: word_embed_proj_dim other than hidden_size is not supported")
    values = dict(layout.defaults) | read_dimensions(path, data, layout)
    if values.get("intermediate_size") is None:
        if model_type not in FOUR_TIMES_WIDE:
            raise InputError(f"{path}: missing key '{layout.names.get('intermediate_size', 'intermediate_size')}'")
        values["intermediate_size"] = 4 * values["hidden_size"]
    if isinstance(data.get("use_parallel_residual"), bool):  # GPT-NeoX
        values["parallel_residual"] = data["use_parallel_residual"]
    if data.get("enable_bias") is False:  # OPT
        values |= dict.fromkeys(ALL_BIASES, False)
    name = path.parent.name or path.stem
    return ModelSpec(name, name, Architecture(**(layout.fixed | values)))


def read_dimensions(path: Path, data: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Pick the fields of an architecture out of the file.

    Raises:
        InputError: a required dimension is missing, or one is not a whole number.
    """
    values: dict[str, Any] = {}
    for field in (*REQUIRED, "intermediate_size", "vocab_size", "max_position_embeddings", *OPTIONAL):
        key = layout.names.get(field, field)
        value = data.get(key, data.get(field))
        if value is None:
            if field in REQUIRED:
                raise InputError(f"{path}: missing key '{key}'")
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError(f"{path}: {key} is {value!r}; it must be a whole number")
        values[field] = value
    if isinstance(data.get("tie_word_embeddings"), bool):
        values["tie_word_embeddings"] = data["tie_word_embeddings"]
    if isinstance(data.get("attention_bias"), bool) and "attention_bias" not in layout.fixed:
        values["attention_output_bias"] = data["attention_bias"]
    for field in ("attention_bias", "mlp_bias"):
        if isinstance(data.get(field), bool) and field not in layout.fixed:
            values[field] = data[field]
    return values
