"""Published files as they are: what each says of its formats, and files larger than a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from simulator import InputError
from simulator.costs.parameters import count_parameters
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.library import load_model

GEMMA4: dict[str, Any] = {
    **{"model_type": "gemma4_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 32, "vocab_size": 128},
    **{"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 32},
    **{"hidden_size_per_layer_input": 0, "torch_dtype": "bfloat16"},
}
QWEN3: dict[str, Any] = {
    **{"model_type": "qwen3_moe", "torch_dtype": "bfloat16", "hidden_size": 64, "intermediate_size": 96},
    **{"num_attention_heads": 4, "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 16},
    **{"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "vocab_size": 128},
}


def read(folder: Path, config: dict[str, Any], beside: dict[str, Any] | None = None) -> ModelSpec:
    """The model of a configuration, with a ``hf_quant_config.json`` beside it where one is given."""
    (folder / "config.json").write_text(json.dumps(config))
    if beside is not None:
        (folder / "hf_quant_config.json").write_text(json.dumps({"quantization": beside}))
    return load_model(folder / "config.json")


def list_parts(spec: ModelSpec) -> dict[str, str]:
    """The formats of parts that are not wide."""
    formats = spec.formats
    assert formats is not None
    found = {
        part: getattr(formats, part) for part in ("attention", "feed_forward", "experts", "shared_experts", "head")
    }
    return {part: stored.weights for part, stored in found.items() if stored is not None and stored.weights != "bf16"}


def test_a_dense_block_beside_experts_may_stay_wide_alone(tmp_path: Path) -> None:
    """nvidia/Gemma-4-26B-A4B-NVFP4: ``mlp`` is excluded, ``experts`` stand beside it and are not."""
    layers = [f"model.language_model.layers.{layer}" for layer in range(6)]
    kept = ["lm_head", "model.vision_tower*"]
    kept += [f"{layer}.{part}*" for layer in layers for part in ("mlp", "router", "self_attn")]
    beside = {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": kept}
    assert list_parts(read(tmp_path, GEMMA4, beside)) == {"experts": "nvfp4"}


@pytest.mark.parametrize("prefix", ["mtp", "model.mtp", "vision_tower.encoder", "model.visual", "audio_tower"])
def test_layers_of_other_parts_are_not_the_text_models(prefix: str, tmp_path: Path) -> None:
    """nvidia/Qwen3.5-397B-A17B-NVFP4 excludes ``mtp.layers.0*``, which is no layer of the model that answers."""
    beside = {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head", f"{prefix}.layers.0*"]}
    parts = list_parts(read(tmp_path, QWEN3, beside))
    assert parts == {"attention": "nvfp4", "experts": "nvfp4"}


def test_modules_quantized_anew_keep_the_rest_as_it_was(tmp_path: Path) -> None:
    """nvidia/DeepSeek-V4-Flash-NVFP4: fp8 in blocks as published, and experts brought to nvfp4."""
    again = {f"layers.{layer}.ffn.experts": {"quant_algo": "NVFP4", "group_size": 16} for layer in range(3)}
    scheme = {"quant_method": "fp8", "weight_block_size": [128, 128], "quantized_layers": again}
    spec = read(tmp_path, QWEN3 | {"quantization_config": scheme})
    assert list_parts(spec) == {"attention": "fp8-block", "experts": "nvfp4"}


def test_a_file_with_a_line_for_every_expert_is_read(tmp_path: Path) -> None:
    """nvidia/MiniMax-M3-NVFP4 names 22,422 modules with a format each."""
    names = [
        f"layers.{at % 3}.mlp.experts.{at // 3}.{one}_proj" for at in range(9000) for one in ("gate", "up", "down")
    ]
    algorithm = {"quant_algo": "NVFP4", "group_size": 16}
    scheme: dict[str, Any] = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}
    scheme |= {"quantized_layers": dict.fromkeys(names, algorithm)}
    assert list_parts(read(tmp_path, QWEN3 | {"quantization_config": scheme})) == {"experts": "nvfp4"}


def test_a_class_says_what_an_unknown_type_does_not(tmp_path: Path) -> None:
    """sgl-project/DeepSeek-V4-Flash-FP8 calls its type 'deepseek_ref'."""
    named = QWEN3 | {"model_type": "a_new_name", "architectures": ["Qwen3MoeForCausalLM"]}
    spec = read(tmp_path, named)
    assert count_parameters(spec.architecture) == count_parameters(read(tmp_path, QWEN3).architecture)
    assert spec.note == "unknown model_type 'a_new_name': read as 'qwen3_moe', which its class is of"
    with pytest.raises(InputError, match="unknown model_type 'a_new_name'"):
        read(tmp_path, named | {"architectures": ["ANewForCausalLM"]})


def test_blocks_that_an_index_picks_are_listed_in_either_way(tmp_path: Path) -> None:
    """MiniMaxAI/MiniMax-M3 marks them in ``sparse_attention_config``, Transformers in ``layer_types``."""
    shared = {"model_type": "minimax_m3_vl_text", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3}
    shared |= {"num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 32, "vocab_size": 128}
    published = shared | {"sparse_attention_config": {"sparse_attention_freq": [0, 1, 1]}, "moe_layer_freq": [0, 1, 1]}
    listed = shared | {"layer_types": ["full_attention", *["minimax_m3_sparse"] * 2]}
    listed |= {"mlp_layer_types": ["dense", "sparse", "sparse"]}
    assert read(tmp_path, published).architecture == read(tmp_path, listed).architecture
    groups = read(tmp_path, published).architecture.groups
    assert [(group.count, group.mixer) for group in groups] == [(1, "attention"), (2, "indexed_attention")]
