"""Whether a file of an unknown model type follows the Llama layout."""

from __future__ import annotations

import re
from dataclasses import replace

from simulator.errors import nearest
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.dense_types import LLAMA
from simulator.inputs.huggingface.layout import SIZES, Layout
from simulator.inputs.huggingface.layouts import LAYOUTS
from simulator.inputs.huggingface.patterns import IS_WINDOWED, Windows

NEEDED = tuple(name for name in SIZES if name != "max_position_embeddings")
MOST_NAMED = 6  # keys in an error

# Keys that say nothing of the shapes: names and versions, tokens, positions, training, numerics, and what runs it.
SILENT = re.compile(
    r"_.*|architectures|auto_map|model_type|.*version|name|.*name_or_path|.*class|task_specific_params|is_decoder"
    r"|.*tokens?(_.*)?|.*_ids?|(id2|.*_)label.*|label2id|problem_type|tie_encoder_decoder|return_dict.*|output_.*"
    r"|rope_.*|rotary.*|.*rotary_factor|.*theta|use_rope|no_rope_layer.*|.*_position_embeddings|(max|seq|model_max).*length"
    r"|.*dropout.*|.*initializer_range|init(ializer)?_.*|.*_std|.*_coef|z_loss.*|pretraining_tp|gradient_checkpointing"
    r"|.*rms_norm.*|.*multiplier|.*scal(e|ing|ar)(_.*)?|scale_.*|dim_model_base|.*softcap(ping)?|(torch_)?dtype|fp16|bf16"
    r"|.*cache.*|.*implementation|(use_)?flash.*|quantization_config|compression_config|transformers\.js_config"
    r"|generation_config|vision_.*|audio_.*|chunk_size_feed_forward|use_sliding_window|max_window_layers"
)
ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation_function")
ACTIVATIONS = ("silu", "swish", "swiglu")  # what stands for a gated FFN of three matrices
LLAMA_LIKE = replace(LLAMA, names=LLAMA.names | {"sliding_window": "sliding_window"}, windows=Windows())


def recognise_llama(config: Config, model_type: str) -> tuple[Layout, str]:
    """Return the Llama layout for a file that follows it, and the note that says so.

    Raises:
        InputError: a size is missing, or a key stands there that the layout cannot explain.
    """
    missing = [name for name in NEEDED if config.data.get(name) is None]
    foreign = [key for key in config.data if not explains(config, key)]
    near = nearest(model_type, LAYOUTS)
    hint = f" (did you mean '{near}'?)" if near else ""
    named = f"unknown model_type '{model_type}'{hint}" if model_type else "no model_type"
    if not missing and not foreign:
        layout = LLAMA_LIKE
        if "use_sliding_window" in config.data:
            layout = replace(layout, windows=Windows(switched=True))
        return layout, f"{named}: read as the Llama layout"
    problems = [f"missing {list_names(missing)}"] if missing else []
    problems += [f"keys it cannot explain: {list_names(foreign)}"] if foreign else []
    raise config.error(f"{named}, and not the Llama layout: {'; '.join(problems)}")


def explains(config: Config, key: str) -> bool:
    """Whether the Llama layout knows what a key means, or its value says that something is not there."""
    value = config.data[key]
    if not value:
        return True
    if key == "layer_types":
        return isinstance(value, list) and all(isinstance(of, str) and of in IS_WINDOWED for of in value)
    if key in ACTIVATION_KEYS:
        return value in ACTIVATIONS
    known = key in SIZES or key in LLAMA_LIKE.names or key == "tie_word_embeddings"
    return known or SILENT.fullmatch(key) is not None


def list_names(names: list[str]) -> str:
    """Names in quotes, the first few of them."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:MOST_NAMED]) + more
