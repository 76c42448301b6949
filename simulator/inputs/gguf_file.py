"""A GGUF file as a model: its architecture and the types of its tensors, read from the header alone.

The keys are those of gguf-py's ``constants.py``. They are put in the words of a Hugging Face ``config.json``, whose
reader then knows what each kind of model has. Bytes of a part of the layers are those of its tensors, to the byte.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import InputError, suggest
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.checkpoint import CheckpointFormats, PartFormat
from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.layouts import LAYOUTS
from simulator.inputs.huggingface.reader import read_architecture

# Architectures of GGUF, and the model types whose layers they are.
MODEL_TYPES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen2moe": "qwen2_moe",
    "qwen3": "qwen3",
    "qwen3moe": "qwen3_moe",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "phi2": "phi",
    "phi3": "phi3",
    "gpt2": "gpt2",
    "gptj": "gptj",
    "gptneox": "gpt_neox",
    "bloom": "bloom",
    "starcoder2": "starcoder2",
    "stablelm": "stablelm",
    "deepseek2": "deepseek_v3",
    "gpt-oss": "gpt_oss",
    "olmo2": "olmo2",
    "granite": "granite",
    "glm4": "glm4",
    "command-r": "cohere",
    "cohere2": "cohere2",
    "smollm3": "smollm3",
    "seed_oss": "seed_oss",
    "ernie4_5": "ernie4_5",
}
# Keys below the architecture's name, and what configurations call them.
KEYS: dict[str, tuple[str, ...]] = {
    "embedding_length": ("hidden_size",),
    "block_count": ("num_hidden_layers",),
    "feed_forward_length": ("intermediate_size",),
    "context_length": ("max_position_embeddings", "n_positions", "seq_length"),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.key_length": ("head_dim",),
    "attention.sliding_window": ("sliding_window",),
    "attention.q_lora_rank": ("q_lora_rank",),
    "attention.kv_lora_rank": ("kv_lora_rank",),
    "expert_count": ("num_experts", "num_local_experts", "n_routed_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_feed_forward_length": ("moe_intermediate_size",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "expert_shared_count": ("n_shared_experts",),
    "leading_dense_block_count": ("first_k_dense_replace",),
}
BIASES = {
    "attention_bias": ("attn_q.bias", "attn_qkv.bias"),
    "attention_output_bias": ("attn_output.bias",),
    "mlp_bias": ("ffn_up.bias", "ffn_up_exps.bias"),
}
UNCOUNTED = ("rope_freqs", "rope_factors", "exp_probs_b")  # numbers that no architecture counts; their bytes do count
MIXER_NORMS = ("attn_q_norm", "attn_k_norm", "attn_q_a_norm", "attn_kv_a_norm")
SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


class Tensor(NamedTuple):
    """A tensor of a file: its name, its type, its dimensions with the fastest first, and its bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def elements(self) -> int:
        """Numbers in it."""
        count = 1
        for size in self.shape:
            count *= size
        return count


class Header(NamedTuple):
    """What stands before the numbers of a file."""

    fields: dict[str, Any]
    tensors: list[Tensor]


def read_gguf(path: Path) -> ModelSpec:
    """Read a GGUF file, with the other files that it was split into.

    Raises:
        InputError: the ``gguf`` package is not there, the file is none, a part is missing, or an unknown architecture.
    """
    headers = [read_header(part) for part in list_shards(path)]
    fields = headers[0].fields
    tensors = [tensor for header in headers for tensor in header.tensors]
    config = translate(str(path), fields, tensors)
    layout = LAYOUTS[config.model_type()]
    values = read_architecture(config, layout, is_part=False)
    names = {tensor.name for tensor in tensors}
    known = Architecture.__dataclass_fields__
    values |= {field: has_bias(names, ends) for field, ends in BIASES.items() if field in known and field in values}
    name = str(fields.get("general.name") or path.stem)
    counted = sum(tensor.elements for tensor in tensors if is_counted(tensor.name))
    formats = measure_formats(fields, tensors, path)
    return ModelSpec(path.stem, name, Architecture(**values), published_parameters=float(counted), formats=formats)


def list_shards(path: Path) -> list[Path]:
    """All files of a model that is split into several, in order; the one alone where it is whole.

    Raises:
        InputError: one is missing.
    """
    split = SHARD.fullmatch(path.name)
    if split is None:
        return [path]
    shards = [path.with_name(f"{split[1]}-{part:05}-of-{split[3]}.gguf") for part in range(1, int(split[3]) + 1)]
    missing = next((shard for shard in shards if not shard.is_file()), None)
    if missing is not None:
        raise InputError(f"{path}: its part {missing.name} is not beside it")
    return shards


def read_header(path: Path) -> Header:
    """The fields and tensors that a file lists, without their numbers.

    Raises:
        InputError: the ``gguf`` package is not there, or the file is none.
    """
    try:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType
    except ImportError:
        raise InputError(f"{path}: to read it, pip install 'roofcast[gguf]'") from None
    found: list[Tensor] = []

    class HeaderReader(GGUFReader):
        """A reader that stops before the numbers, which may not be there, and believes no length past the file's."""

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type == GGUFValueType.ARRAY:
                count = self.data[orig_offs + 4 : orig_offs + 12]  # behind the type of its elements
                if int.from_bytes(bytes(count), "little") > len(self.data):
                    raise ValueError("an array is longer than the file")
            return super()._get_field_parts(orig_offs, raw_type)

        def _build_tensors(self, start_offs: int, fields: list[Any]) -> None:
            for field in fields:
                _, name, _, dims, kind, _ = field.parts
                block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind[0])]
                shape = tuple(int(size) for size in dims)
                tensor = Tensor(bytes(name).decode(), GGMLQuantizationType(kind[0]).name.lower(), shape, 0)
                found.append(tensor._replace(size_bytes=tensor.elements // block * block_bytes))

    try:
        fields = HeaderReader(path).fields.values()
        read = {field.name: field.contents() for field in fields if not field.name.startswith("tokenizer.")}
    except (ValueError, IndexError, KeyError, OSError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a GGUF file that can be read: {' '.join(str(error).split())[:200]}") from None
    return Header(read, found)


def translate(where: str, fields: dict[str, Any], tensors: list[Tensor]) -> Config:
    """The fields of a file in the words of a ``config.json``.

    Raises:
        InputError: an architecture that is not known, with the nearest, or no token table.
    """
    name = str(fields.get("general.architecture"))
    if name not in MODEL_TYPES:
        raise InputError(suggest(f"{where}: unknown architecture '{name}'", name, MODEL_TYPES))
    data: dict[str, Any] = {"model_type": MODEL_TYPES[name]}
    for key, spellings in KEYS.items():
        value = fields.get(f"{name}.{key}")
        if isinstance(value, list) and len(set(value)) == 1:
            value = value[0]
        if value is not None:
            data |= dict.fromkeys(spellings, value)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    if len(shapes.get("token_embd.weight", ())) != 2:
        raise InputError(f"{where}: no table of tokens (token_embd.weight)")
    data["vocab_size"] = shapes["token_embd.weight"][1]
    data["tie_word_embeddings"] = "output.weight" not in shapes
    if name == "llama" and data.get("num_experts"):
        data["model_type"] = "mixtral"
    if data.get("kv_lora_rank"):
        data |= split_heads(name, fields)
        data["model_type"] = "deepseek_v3" if "blk.0.attn_q_a.weight" in shapes else "deepseek_v2"
    return Config(where, data)


def split_heads(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Widths of the heads of latent attention, and no rank of the queries where there is none."""
    rotated = fields.get(f"{name}.rope.dimension_count") or 0
    keys = fields.get(f"{name}.attention.key_length_mla") or fields.get(f"{name}.attention.key_length") or 0
    values = fields.get(f"{name}.attention.value_length_mla") or fields.get(f"{name}.attention.value_length")
    rank = fields.get(f"{name}.attention.q_lora_rank")
    own = {"qk_rope_head_dim": rotated, "qk_nope_head_dim": keys - rotated, "v_head_dim": values}
    return own | {"q_lora_rank": rank}


def has_bias(names: set[str], ends: tuple[str, ...]) -> bool:
    """Whether the layers have a bias of one of some names."""
    return any(f"blk.{layer}.{end}" in names for layer in (0, 1) for end in ends)


def measure_formats(fields: dict[str, Any], tensors: list[Tensor], path: Path) -> CheckpointFormats:
    """Mean bits of the numbers of each part, such that its bytes are those of its tensors."""
    held: dict[str, int] = defaultdict(int)
    counted: dict[str, int] = defaultdict(int)
    kinds: dict[str, int] = defaultdict(int)
    for tensor in tensors:
        part = find_part(tensor.name)
        held[part] += tensor.size_bytes
        kinds[tensor.kind] += tensor.elements
        if is_counted(tensor.name):
            counted[part] += tensor.elements
    parts: dict[str, Any] = {part: PartFormat(8 * held[part] / count) for part, count in counted.items() if count}
    most = max(kinds, key=lambda kind: kinds[kind])
    name = f"{8 * sum(held.values()) / sum(counted.values()):.4g} bits, mostly {most}"
    return CheckpointFormats(dtype="fp16", origin=path.name, name=name, **parts)


def is_counted(name: str) -> bool:
    """Whether the numbers of a tensor are parameters of the architecture."""
    return not any(part in name for part in UNCOUNTED)


def find_part(name: str) -> str:
    """The part of a checkpoint's formats that a tensor belongs to."""
    if name.startswith(("token_embd", "position_embd", "token_types")):
        return "embedding"
    if name.startswith("output."):
        return "head"
    own = name.split(".", 2)[-1] if name.startswith("blk.") else name
    if own.startswith(MIXER_NORMS):
        return "attention"
    if "norm" in own or own.startswith("ffn_gate_inp.") or own.startswith(UNCOUNTED):
        return "rest"
    if "_shexp" in own:
        return "shared_experts"
    if "_exps" in own:
        return "experts"
    return "feed_forward" if own.startswith("ffn_") else "attention"
