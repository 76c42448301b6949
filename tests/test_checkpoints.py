"""A checkpoint's own formats: which parts of a model they hold for, and what they weigh."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import predict

from simulator import InputError
from simulator.costs.parameters import count_layer_parts, count_parameters, count_table_parts
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.library import MODEL_FOLDER, list_ids, load_model
from simulator.prediction import Prediction
from simulator.report.specs import model_facts

H100, B200 = "h100-sxm-80gb", "b200-sxm-180gb"
LLAMA: dict[str, Any] = {
    **{"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 4096, "intermediate_size": 14336},
    **{"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256},
    **{"max_position_embeddings": 131072, "tie_word_embeddings": False},
}
MOE: dict[str, Any] = {
    **{"model_type": "qwen3_moe", "torch_dtype": "bfloat16", "hidden_size": 1024, "intermediate_size": 4096},
    **{"num_attention_heads": 16, "num_hidden_layers": 10, "num_key_value_heads": 4, "head_dim": 64},
    **{"num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 512, "vocab_size": 5000},
    **{"max_position_embeddings": 4096, "tie_word_embeddings": False},
}
TABLES = 2 * 2 * 128256 * 4096  # bytes of Llama 3 8B's token table and head in 16 bits
LAYERS = 8_030_261_248 - 2 * 128256 * 4096


def read(folder: Path, quantization: Any, base: dict[str, Any] = LLAMA, key: str = "quantization_config") -> ModelSpec:
    """The model of a configuration with a part on quantization."""
    (folder / "config.json").write_text(json.dumps(base | {key: quantization}))
    return load_model(folder / "config.json")


def ask(spec: ModelSpec, hardware: str = H100, **options: Any) -> Prediction:
    """A small request, as a bound on the ideal stack."""
    return predict(spec, hardware, "none", prompt_tokens=16, output_tokens=2, **options)


def weigh(spec: ModelSpec) -> float:
    """Bytes of the weights on one device."""
    return float(ask(spec).weights_bytes)


def arguments(bits: int, kind: str, **more: Any) -> dict[str, Any]:
    """Arguments of compressed-tensors for weights or inputs."""
    return {"num_bits": bits, "type": kind, **more}


def compress(weights: Any, inputs: Any = None, ignore: tuple[str, ...] = ("lm_head",), **more: Any) -> dict[str, Any]:
    """A configuration of compressed-tensors with one group."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": [*ignore], **more}


FP8 = arguments(8, "float", strategy="tensor")
# What a file says; bits of a weight of the layers, scales included; format of the products.
SCHEMES: dict[str, tuple[dict[str, Any], float, str]] = {
    "awq": ({"quant_method": "awq", "bits": 4, "group_size": 64}, 4 + 20 / 64, "bf16"),
    "awq of old": ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128, "zero_point": False}, 4.125, "bf16"),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 32}, 4 + 20 / 32, "bf16"),
    "gptq, one scale a channel": ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8, "bf16"),
    "auto-round": ({"quant_method": "auto-round", "bits": 2, "group_size": 64}, 2 + 18 / 64, "bf16"),
    "auto-round, packed": ({"quant_method": "intel/auto-round", "bits": 4, "group_size": 128}, 4.15625, "bf16"),
    "fp8": ({"quant_method": "fp8", "activation_scheme": "static"}, 8, "fp8"),
    "fp8 in blocks": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2, "fp8"),
    "fbgemm": ({"quant_method": "fbgemm_fp8"}, 8, "fp8"),
    "compressed-tensors fp8": (compress(FP8, FP8), 8, "fp8"),
    "compressed-tensors w8a16": (compress(arguments(8, "int", strategy="channel")), 8, "bf16"),
    "compressed-tensors w8a8": (compress(arguments(8, "int"), arguments(8, "int")), 8, "int8"),
    "compressed-tensors with zeros": (
        compress(arguments(4, "int", group_size=128, symmetric=False)), 4.15625, "bf16",
    ),
    "compressed-tensors w4a8": (compress(arguments(4, "int", group_size=128), FP8), 4.125, "fp8"),
    "compressed-tensors nvfp4 alone": (compress(arguments(4, "float", group_size=16)), 4.5, "bf16"),
    "bitsandbytes nf4": ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5, "bf16"),
    "bitsandbytes, scales quantized": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, 4.127, "bf16",
    ),
    "LLM.int8()": ({"load_in_8bit": True}, 8, "int8"),
    "torchao int4": ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, 4.25, "bf16"),
    "torchao int4 in groups": (
        {
            "quant_method": "torchao",
            "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}},
        }, 4.5, "bf16",
    ),
    "torchao int8": ({"quant_method": "torchao", "quant_type": "int8_dynamic_activation_int8_weight"}, 8, "int8"),
    "torchao fp8": (
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8DynamicActivationFloat8WeightConfig"}}},
        8, "fp8",
    ),
    "hqq": (
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, 4.5, "bf16",
    ),
    "modelopt fp8": ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8, "fp8"),
    "modelopt awq": ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ", "group_size": 128}, 4.125, "bf16"),
    "quark": (
        {
            "quant_method": "quark",
            "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}, "input_tensors": {"dtype": "fp8_e4m3"}},
        }, 8, "fp8",
    ),
    "quark in fp4, attention in fp8": (
        {
            "quant_method": "quark",
            "global_quant_config": {"weight": {"dtype": "fp4"}, "input_tensors": {"dtype": "fp4"}},
            "layer_quant_config": {"*mlp*": {"weight": {"dtype": "fp4"}}, "*self_attn*": {"weight": {"dtype": "fp4"}}},
        }, 4.25, "bf16",
    ),
    "torchao nvfp4": (
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "NVFP4WeightOnlyConfig"}}}, 4.5, "bf16",
    ),
    "torchao intx": (
        {
            "quant_method": "torchao",
            "quant_type": {
                "default": {
                    "_type": "Int8DynamicActivationIntxWeightConfig",
                    "_data": {
                        "weight_dtype": {"_data": "int4", "_type": "torch.dtype"},
                        "weight_granularity": {"_data": {"group_size": 32}, "_type": "PerGroup"},
                    },
                }
            },
        }, 4.5, "int8",
    ),
    "nvfp4 of transformers": ({"quant_method": "nvfp4"}, 4.5, "bf16"),
    "four over six": ({"quant_method": "fouroversix"}, 4.5, "bf16"),
    "metal": ({"quant_method": "metal", "bits": 4, "group_size": 64}, 4.5, "bf16"),
    "gemma": (
        {"quant_method": "gemma", "num_bits": 4, "module_quant_configs": {"self_attn|mlp": {"num_bits": 8}}}, 8, "bf16",
    ),
    "modelopt nvfp4 of weights": ({"quant_method": "modelopt", "quant_algo": "NVFP4_W4A16"}, 4.5, "bf16"),
    "torchao six bits": (
        {
            "quant_method": "torchao",
            "quant_type": "fpx_weight_only",
            "quant_type_kwargs": {"ebits": 3, "mbits": 2},
        }, 6, "bf16",
    ),
    "hqq, scales quantized": (
        {
            "quant_method": "hqq",
            "quant_config": {
                "weight_quant_params": {"nbits": 2, "group_size": 16},
                "scale_quant_params": {"nbits": 8, "group_size": 128},
                "zero_quant_params": {"nbits": 8},
            },
        }, 2 + (8 + 32 / 128 + 8) / 16, "bf16",
    ),
    "auto-round in fp8": (
        {"quant_method": "auto-round", "bits": 8, "act_bits": 8, "data_type": "fp8_static", "group_size": -1}, 8, "fp8",
    ),
    "compressed-tensors fp8 in blocks": (
        compress(arguments(8, "float", strategy="block", block_structure="128x128"), FP8), 8 + 32 / 128**2, "fp8",
    ),
    "compressed-tensors two of four": (
        compress(FP8, FP8, sparsity_config={"format": "sparse-24-bitmask"}), 5, "fp8",
    ),
    "modelopt nested": (
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "W4A16_AWQ", "group_size": 64}}, 4.25, "bf16",
    ),
    "quark in two steps": (
        {
            "quant_method": "quark",
            "global_quant_config": {
                "weight": [{"dtype": "fp8_e4m3"}, {"dtype": "int4"}],
                "input_tensors": {"dtype": "fp8_e4m3"},
            },
        }, 4, "fp8",
    ),
    "vptq": (
        {
            "quant_method": "vptq",
            "shared_layer_config": {
                "mlp": {"num_centroids": [-1, 65536], "num_res_centroids": [-1, 256], "vector_lens": [-1, 8]}
            },
        }, 3, "bf16",
    ),
    "qqq": ({"quant_method": "qqq", "wbits": 4, "group_size": 128}, 4.125, "int8"),
    "quanto": ({"quant_method": "quanto", "weights": "int8"}, 8, "bf16"),
    "eetq": ({"quant_method": "eetq"}, 8, "bf16"),
    "bitnet": ({"quant_method": "bitnet"}, 2, "int8"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMES)
def test_layers_have_the_bits_of_their_scheme_and_tables_16(name: str, tmp_path: Path) -> None:
    scheme, bits, dtype = SCHEMES[name]
    answer = ask(read(tmp_path, scheme))
    assert answer.weights_bytes == pytest.approx(TABLES + LAYERS * bits / 8, rel=2e-4)
    d = answer.question.work.deployment
    assert d.dtype == dtype
    assert d.wide_dtype == d.cache_dtype == "bf16"
    assert "quantization_config" in d.formats_from


def test_the_head_may_be_quantized_and_the_table_too(tmp_path: Path) -> None:
    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True}
    assert weigh(read(tmp_path, gptq)) == pytest.approx(TABLES / 2 + (TABLES / 4 + LAYERS) * 4.15625 / 8, rel=2e-4)
    exl2 = {"quant_method": "exl2", "bits": 4.65, "head_bits": 6}
    assert weigh(read(tmp_path, exl2)) == pytest.approx(TABLES / 2 + TABLES / 4 * 6 / 8 + LAYERS * 4.65 / 8, rel=2e-4)
    mlx = {"group_size": 64, "bits": 4}
    assert weigh(read(tmp_path, mlx, key="quantization")) == pytest.approx(8_030_261_248 * 4.5 / 8, rel=2e-4)
    everything = compress(FP8, FP8, ignore=())
    assert weigh(read(tmp_path, everything)) == pytest.approx(TABLES / 2 + TABLES / 4 + LAYERS, rel=2e-4)


def test_the_cache_is_in_the_format_that_the_checkpoint_says(tmp_path: Path) -> None:
    scheme = compress(FP8, FP8, kv_cache_scheme=arguments(8, "float"))
    for quantization in (scheme, {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}):
        spec = read(tmp_path, quantization)
        assert ask(spec).question.work.deployment.cache_dtype == "fp8"
        assert 2 * ask(spec).kv_cache_bytes == ask(spec, kv_dtype="bf16").kv_cache_bytes


def test_files_of_old_tools_beside_a_configuration_count(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 128, "desc_act": False}))
    spec = load_model(tmp_path)
    assert weigh(spec) == pytest.approx(TABLES + LAYERS * 4.15625 / 8, rel=2e-4)
    assert spec.formats is not None
    assert spec.formats.origin == "quantize_config.json: gptq, 4 bits in groups of 128"


def test_experts_may_have_a_format_of_their_own(tmp_path: Path) -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    spec = read(tmp_path, fp8, MOE | {"expert_dtype": "fp4"})
    parts = count_parts(spec)
    narrow = parts["experts"] * 4.25 + (parts["attention"]) * (8 + 32 / 128**2)
    wide = 16 * (count_parameters(spec.architecture) - parts["experts"] - parts["attention"])
    assert weigh(spec) == pytest.approx((narrow + wide) / 8, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [("deepseek-v3.2", 674), ("kimi-k2.5", 594), ("moonshotai/Kimi-K2-Instruct", 1029), ("mimo-v2-flash", 313)],
)
def test_models_that_ship_are_as_heavy_as_their_published_files(name: str, gigabytes: float) -> None:
    """MiMo-V2-Flash: 313 GB of files; Kimi-K2.6: 595 GB; DeepSeek-V3.2 without what drafts tokens."""
    assert model_facts(load_model(name))["weights_checkpoint_bytes"] == pytest.approx(gigabytes * 1e9, rel=0.02)


def test_what_lies_beside_a_configuration_counts(tmp_path: Path) -> None:
    beside = {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside))
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    d = ask(load_model(tmp_path), B200).question.work.deployment
    assert (d.dtype, d.weights_label, d.cache_dtype) == ("nvfp4", "layers nvfp4, rest bf16", "fp8")
    assert d.formats_from == "the checkpoint's own (hf_quant_config.json: modelopt, NVFP4)"


def count_parts(spec: ModelSpec) -> dict[str, float]:
    """Parameters by part."""
    return {**count_layer_parts(spec.architecture), **count_table_parts(spec.architecture)}


@pytest.mark.parametrize(
    ("kept", "layers"),
    [
        (["lm_head"], {}),
        (["re:^(?:(?!mlp|lm_head).)*$"], {"attention": 10}),
        (["lm_head", "self_attn"], {"attention": 10}),
        (["*self_attn*"], {"attention": 10}),
        (["re:.*self_attn.*", "re:.*mlp.gate$"], {"attention": 10}),
        (["model.layers.0.self_attn", "model.layers.9.self_attn"], {"attention": 2}),
        ([f"model.language_model.layers.3.self_attn.{part}_proj" for part in "qkvo"], {"attention": 1}),
        (["model.layers.0*"], {"attention": 1, "experts": 1}),
        (["model.layers.*.mlp.experts"], {"experts": 10}),
        (["mlp.gate", "router", "vision_tower*"], {}),
        (["model.layers.0.self_attn", "model.layers.0.self_attn.q_norm"], {}),  # beside its parts, itself alone
    ],
)
def test_modules_that_are_named_stay_wide(kept: list[str], layers: dict[str, int], tmp_path: Path) -> None:
    """In whole or in part, with stars, as expressions, of all layers or of some of the ten."""
    spec = read(tmp_path, compress(FP8, FP8, ("lm_head", *kept)), MOE)
    parts = count_parts(spec)
    wide = {part: layers.get(part, 0) / 10 for part in ("attention", "experts")} | dict.fromkeys(
        ("rest", "embedding", "head"), 1.0
    )
    assert weigh(spec) == pytest.approx(sum(count * (1 + wide[part]) for part, count in parts.items()), rel=1e-6)


def test_experts_alone_may_be_quantized(tmp_path: Path) -> None:
    spec = read(tmp_path, {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}, MOE)
    parts = count_parts(spec)
    experts = parts.pop("experts")
    assert weigh(spec) == pytest.approx(2 * sum(parts.values()) + experts * 4.25 / 8, rel=1e-6)
    answer = ask(spec)
    shares = {one.operator.name: one.operator.weight_share for one in answer.request.prefill.operators}
    assert shares["experts in"] == 4.25 / 16
    assert shares["qkv projection"] == shares["lm head"] == 1
    assert answer.question.work.deployment.weights_label == "experts mxfp4, rest bf16"


def test_parts_that_stay_wide_compute_wide(tmp_path: Path) -> None:
    """Experts in fp8 run at the fp8 peak, attention in bf16 at that of bf16."""
    answer = predict(
        read(tmp_path, compress(FP8, FP8, ("lm_head", "self_attn")), MOE), H100, "none", prompt_tokens=65536
    )
    rates = {one.operator.name: one.operator.flops / one.seconds for one in answer.request.prefill.operators}
    assert rates["experts in"] == pytest.approx(1978.9e12, rel=0.01)
    assert rates["qkv projection"] == pytest.approx(989.4e12, rel=0.01)


def test_modules_may_have_formats_of_their_own(tmp_path: Path) -> None:
    layers = {"model.layers.*.self_attn": {"quant_algo": "FP8"}, "model.layers.*.mlp.experts": {"quant_algo": "NVFP4"}}
    spec = read(tmp_path, {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}, MOE)
    parts = count_parts(spec)
    bytes_of = {"attention": 1.0, "experts": 4.5 / 8}
    assert weigh(spec) == pytest.approx(sum(bytes_of.get(part, 2) * count for part, count in parts.items()), rel=1e-6)
    dynamic = {"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*self_attn.*": {}}}
    bytes_of = {"experts": 4.15625 / 8}
    assert weigh(read(tmp_path, dynamic, MOE)) == pytest.approx(
        sum(bytes_of.get(part, 2) * count for part, count in parts.items()), rel=1e-6
    )


def test_names_that_say_a_layer_mean_the_layer_of_the_file(tmp_path: Path) -> None:
    """Nemotron-H: its second and sixth layers attend; the file keeps the second and its Mamba neighbour wide."""
    base = {
        **{"model_type": "nemotron_h", "torch_dtype": "bfloat16", "hidden_size": 512, "vocab_size": 1000},
        **{"hybrid_override_pattern": "M*M-M*", "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64},
        **{"intermediate_size": 1024, "mamba_num_heads": 8, "mamba_head_dim": 64, "ssm_state_size": 16},
        **{"num_hidden_layers": 6, "max_position_embeddings": 4096, "n_groups": 1},
    }
    sizes = {"*": 2 * (512 * 512 + 512 * 128), "M": 3 * 512 * 512}
    for wide in ((), (1,), (0, 1), (0, 1, 2, 4, 5)):
        kept = [f"backbone.layers.{layer}.mixer.*" for layer in wide]
        formats = read(tmp_path, {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": kept}, base).formats
        assert formats is not None
        assert formats.attention is not None
        bits = [(16 if layer in wide else 8, sizes[kind]) for layer, kind in enumerate("M*M-M*") if kind != "-"]
        mean = sum(one * size for one, size in bits) / sum(size for _, size in bits)
        assert 8 * formats.attention.weight_bytes == pytest.approx(mean, rel=1e-9)
        assert formats.feed_forward is not None
        assert formats.feed_forward.weight_bytes == 1


def test_the_token_table_may_have_a_format_of_its_own(tmp_path: Path) -> None:
    mlx = {"group_size": 64, "bits": 4, "model.embed_tokens": {"group_size": 64, "bits": 8}, "lm_head": False}
    expected = TABLES / 2 * (8.5 / 16 + 1) + LAYERS * 4.5 / 8
    assert weigh(read(tmp_path, mlx, key="quantization")) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize(
    ("quantization", "problem"),
    [
        ({"quant_method": "awq", "bits": "4"}, "bits is '4'; it must be a whole number"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 0}, "group_size is 0; it must be at least 1, or -1"),
        ({"quant_method": "gptq", "bits": 4, "group_size": -2}, "group_size is -2; it must be at least"),
        ({"quant_method": "gptq", "bits": 400}, "bits is 400; it must be at most 16"),
        ({"quant_method": "gptq", "bits": True}, "bits is True"),
        ({"quant_method": "gptq"}, "missing key 'bits'"),
        ({"quant_method": "exl2", "bits": "4.65"}, "bits is '4.65'; it must be a number of bits"),
        ({"quant_method": "awqq", "bits": 4}, "unknown quant_method 'awqq'; did you mean 'awq'?"),
        ({"quant_method": 7}, "quant_method is 7; it must be text"),
        ({"version": 1}, "missing key 'quant_method'"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP5"}, "unknown quant_algo 'NVFP5'; did you mean 'nvfp4'?"),
        ({"quant_method": "torchao", "quant_type": "int4"}, "unknown quant_type 'int4'"),
        ({"quant_method": "fp8", "weight_block_size": [0, 128]}, "weight_block_size is [0, 128]"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "must be a list of texts"),
        (compress(FP8, FP8, ("re:(a+)+$",)), "is too much to try"),
        (compress(FP8, FP8, ("re:((a+)b)+$",)), "is too much to try"),
        (compress(FP8, FP8, ("re:(a|a)*$",)), "is too much to try"),
        (compress(FP8, FP8, ("re:[",)), "of module names: "),
        (compress(arguments(8, "complex")), "type is 'complex'; it must be int or float"),
        ([4], "quantization_config must be a mapping"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(quantization: Any, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, quantization)
    assert problem in str(caught.value)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistral_s_own_file_says_its_format(tmp_path: Path) -> None:
    sizes = {"dim": 512, "n_layers": 2, "head_dim": 64, "hidden_dim": 1024, "n_heads": 8, "n_kv_heads": 2}
    quantization = {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}
    path = tmp_path / "params.json"
    sizes |= {"vocab_size": 1000, "max_seq_len": 4096}
    path.write_text(json.dumps({**sizes, "quantization": quantization}))
    d = ask(load_model(path)).question.work.deployment
    assert (d.dtype, d.weights_label) == ("fp8", "layers fp8, rest bf16")
    path.write_text(json.dumps({**sizes, "quantization": {"qformat_weight": 8}}))
    with pytest.raises(InputError, match="qformat_weight is 8; known is fp8_e4m3"):
        load_model(path)


def test_recurrent_layers_have_the_format_of_their_scheme(tmp_path: Path) -> None:
    """Qwen3-Next: three gated delta layers to one of attention; the file keeps one kind or the other wide."""
    base = {
        **{"model_type": "qwen3_next", "torch_dtype": "bfloat16", "hidden_size": 512, "num_hidden_layers": 8},
        **{"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 1024},
        **{"num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "vocab_size": 1000},
        **{"shared_expert_intermediate_size": 256, "max_position_embeddings": 4096},
    }
    bits = []
    for kept in ((), ("re:.*linear_attn.*",), ("re:.*self_attn.*",), ("re:.*linear_attn.*", "re:.*self_attn.*")):
        formats = read(tmp_path, compress(FP8, FP8, ("lm_head", *kept)), base).formats
        assert formats is not None
        assert formats.attention is not None
        bits.append(8 * formats.attention.weight_bytes)
    narrow, attention_alone, recurrent_alone, wide = bits
    assert (narrow, wide) == (8, 16)
    assert 8 < recurrent_alone < 16
    assert 8 < attention_alone < 16


def test_options_override_the_checkpoint(tmp_path: Path) -> None:
    spec = read(tmp_path, {"quant_method": "fp8", "activation_scheme": "dynamic"})
    asked = ask(spec, dtype="bf16").question.work.deployment
    assert (asked.weights_label, asked.formats_from) == ("bf16", "the options")
    assert ask(spec, dtype="bf16").e2e_s == ask(read(tmp_path, None), dtype="bf16").e2e_s
    weights = ask(spec, weight_dtype="awq").question.work.deployment
    assert (weights.dtype, weights.weights_label) == ("bf16", "int4-g128")
    assert weights.formats_from.startswith("weights as asked; ")
    cache = ask(spec, kv_dtype="fp8").question.work.deployment
    assert (cache.dtype, cache.weights_label, cache.cache_dtype) == ("fp8", "layers fp8, rest bf16", "fp8")


def test_a_device_without_a_format_widens_the_weights(tmp_path: Path) -> None:
    spec = read(tmp_path, {"quant_method": "fp8", "activation_scheme": "dynamic"})
    narrow, widened = ask(spec), ask(spec, "a100-sxm-80gb")
    assert narrow.weights_bytes == widened.weights_bytes
    d = widened.question.work.deployment
    assert (d.dtype, d.weights_label) == ("bf16", "layers fp8, rest bf16")
    assert d.formats_from.endswith("; computed in bf16, since the data sheet has no fp8 peak")


def test_the_format_of_numbers_is_the_file_s(tmp_path: Path) -> None:
    for key, text, dtype in (("torch_dtype", "float16", "fp16"), ("dtype", "float32", "fp32")):
        (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"torch_dtype": None, key: text}))
        d = ask(load_model(tmp_path)).question.work.deployment
        assert d.dtype == dtype
        assert d.formats_from == f"the checkpoint's own ({dtype} in config.json)"
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"torch_dtype": "float17"}))
    with pytest.raises(InputError, match="torch_dtype is 'float17'"):
        load_model(tmp_path)


def test_published_checkpoints_fit_where_they_are_known_to() -> None:
    """gpt-oss-120b on one H100 of 80 GB (its model card), DeepSeek-R1 on eight H200."""
    assert ask(load_model("gpt-oss-120b")).fits
    assert ask(load_model("gpt-oss-120b")).weights_bytes == pytest.approx(65.2e9, rel=0.01)
    assert ask(load_model("gpt-oss-20b")).weights_bytes == pytest.approx(13.8e9, rel=0.01)
    assert ask(load_model("deepseek-r1"), "h200-sxm-141gb", tp=8).fits


def test_parts_add_up_to_the_whole() -> None:
    for name in list_ids(MODEL_FOLDER):
        spec = load_model(name)
        assert sum(count_parts(spec).values()) == count_parameters(spec.architecture)


@pytest.mark.parametrize(
    ("name", "dtype", "weights", "cache"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8", "layers fp8, rest bf16", "bf16"),
        ("amd/Llama-3.1-8B-Instruct-FP8-KV", "fp8", "layers fp8, rest bf16", "fp8"),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "bf16", "layers int4-g128, rest bf16", "bf16"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "int8", "layers int8, rest bf16", "bf16"),
    ],
)
def test_the_name_of_a_checkpoint_says_its_formats(name: str, dtype: str, weights: str, cache: str) -> None:
    d = ask(load_model(name)).question.work.deployment
    assert (d.dtype, d.weights_label, d.cache_dtype) == (dtype, weights, cache)
    assert d.formats_from.endswith(f"in the name {name})")


def test_a_card_says_the_formats_of_the_checkpoint() -> None:
    facts = model_facts(load_model("gpt-oss-120b"))
    assert facts["checkpoint_formats"] == "experts mxfp4, rest bf16"
    assert facts["weights_checkpoint_bytes"] == ask(load_model("gpt-oss-120b")).weights_bytes
    assert "checkpoint_formats" not in model_facts(load_model("llama-3-8b"))
