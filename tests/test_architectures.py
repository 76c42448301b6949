"""Layers of every kind: parameters as Transformers builds them, caches and states as it keeps them."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import predict

from simulator import InputError
from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.footprint import count_kv_bytes, count_kv_numbers, count_state_numbers
from simulator.costs.layers import list_layers
from simulator.costs.mixers import MIXERS
from simulator.costs.parameters import count_active_parameters, count_parameters
from simulator.costs.passes import build_pass, list_all, sum_cost
from simulator.inputs.architecture import Architecture, LayerGroup
from simulator.inputs.deployment import Deployment
from simulator.inputs.huggingface.hybrid_types import HYBRID_TYPES
from simulator.inputs.huggingface.layouts import LAYOUTS
from simulator.inputs.huggingface.remote_types import REMOTE_TYPES
from simulator.inputs.library import load_model, load_stack

ONE = Deployment()
IDEAL = load_stack("ideal")
CASES = json.loads((Path(__file__).parent / "data" / "architectures.json").read_text())

# Sizes small enough to be built in a moment, under every spelling that configurations use.
SMALL: dict[str, Any] = {
    **{"hidden_size": 64, "n_embd": 64, "d_model": 64, "num_hidden_layers": 6, "n_layer": 6, "n_layers": 6},
    **{"num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
    **{"intermediate_size": 160, "n_inner": 160, "vocab_size": 128, "max_position_embeddings": 256},
    **{"num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "moe_topk": 2},
    **{"num_experts_per_tok": 2, "num_experts_per_token": 2, "moe_k": 2, "moe_intermediate_size": 48},
    **{"shared_expert_intermediate_size": 40, "shared_intermediate_size": 40, "n_group": 1, "topk_group": 1},
    **{"moe_shared_expert_intermediate_size": 40, "num_expert_group": 1, "moe_num_shared_experts": 2},
    **{"kv_lora_rank": 24, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12},
    **{"linear_key_head_dim": 16, "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4},
    **{"linear_head_dim": 16, "linear_num_heads": 4, "index_head_dim": 16, "index_n_heads": 2, "index_topk": 8},
    **{"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_d_ssm": 128, "mamba_num_heads": 8},
    **{"mamba_head_dim": 16, "ssm_state_size": 8, "state_size": 8, "n_groups": 2, "num_heads": 8},
    **{"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 128, "o_lora_rank": 8, "o_groups": 2},
    **{
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "laurel_rank": 8,
        "lru_width": 64,
        "sliding_window": 32,
    },
}
CONV_TYPES = ["conv", "full_attention"] * 3
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 4]},
    "deepseek_v4": {"num_key_value_heads": 1, "q_lora_rank": 32},
    "falcon_mamba": {"intermediate_size": 128},
    "mamba": {"intermediate_size": 128},
    "mamba2": {"head_dim": 16},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2},
    "gemma3n_text": {"num_kv_shared_layers": 1, "intermediate_size": [160, 160, 96, 96, 160, 160]},
    "gemma4_text": {"num_kv_shared_layers": 0, "num_global_key_value_heads": 1, "attention_k_eq_v": True},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 3},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "jamba": {"attn_layer_period": 3, "attn_layer_offset": 1},
    "lfm2": {"layer_types": CONV_TYPES},
    "lfm2_moe": {"layer_types": CONV_TYPES},
    "ministral": {"head_dim": 16},
    "minicpm3": {"head_dim": None},
    "minimax_m3_vl_text": {
        **{"layer_types": ["full_attention"] * 3 + ["minimax_m3_sparse"] * 3, "dense_intermediate_size": 160},
        "mlp_layer_types": ["dense"] * 3 + ["sparse"] * 3,
    },
    "nemotron": {"head_dim": 16, "num_key_value_heads": 4},
    "nemotron_h": {"layers_block_type": ["mamba", "moe", "attention", "mlp", "mamba", "moe"]},
    "qwen3_omni_moe_text": {"tie_word_embeddings": False},
    "recurrent_gemma": {"num_key_value_heads": 1},
    "vaultgemma": {"query_pre_attn_scalar": 16},
    "gpt_neo": {"attention_types": [[["global", "local"], 3]], "num_layers": 6, "num_heads": 4},
    "openai-gpt": {"n_positions": 256},
    "modernbert-decoder": {"local_attention": 64},
    "xglm": {"num_layers": 6, "attention_heads": 4, "ffn_dim": 160},
    "cpmant": {"dim_head": 16, "dim_ff": 160},
    "moshi": {"ffn_dim": 160, "num_codebooks": 2},
    "hrm_text": {"num_hidden_layers": 2},
    "glm5_next_text": {"q_lora_rank": 32, "index_kpool": 4, "qk_rope_head_dim": 0},
    "zaya": {"sliding_window": 32, "layer_types": ["hybrid", "hybrid_sliding"] * 3, "num_experts_per_tok": 1},
    "inkling_text": {"sliding_window_size": 32, "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4},
    "inkling2_text": {"sliding_window_size": 32, "n_layers_per_attn_res_block": 2},
    "qwen4_exp_text": {
        **{"hc_lowrank": 8, "ple_layer_ids": [1, 3], "ngram_vocab_size_base": 100, "heads_per_ngram": 2},
        **{"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 32},
        **{"indexer_compress_ratio": 4, "tie_word_embeddings": False, "eos_token_id": 2},
    },
    "zamba": {"num_hidden_layers": 8, "attn_layer_period": 3, "attn_layer_offset": 2, "attention_head_dim": 32},
    "zamba2": {
        **{"num_hidden_layers": 6, "layers_block_type": ["mamba", "mamba", "hybrid", "mamba", "hybrid", "mamba"]},
        **{"num_key_value_heads": 4, "num_mem_blocks": 2, "adapter_rank": 8, "n_mamba_heads": 2},
    },
}
PARTS = ("_text",)  # types that only a wrapper builds, and their text model
WITHOUT_A_MODEL = {"glm4v_moe_text", "glm4v_text", "qwen2_5_omni_text", "qwen3_omni_moe_text", "qwen3_vl_moe_text"}
ALIASES = {"RefinedWeb", "RefinedWebModel", "kimi_k2", "qwen2_vl", "qwen2_5_vl", "mistral4", "mimo_v2", "qwen3_5"}
ALIASES |= {"qwen3_5_moe", "phi4mm"}
TESTED_WITH_FILES = {
    "step3p5",
    "nemotron-nas",
    "qwen2_vl_text",
    "qwen2_5_vl_text",
    "qwen3_vl_text",
    "dbrx",
    "longcat_flash",
}
TESTED_WITH_FILES |= {"molmo2_text", "cosmos3_edge_text", "deepseek_ocr2_text", "ernie4_5_vl_moe_text"}
TESTED_WITH_FILES |= {
    "glm_ocr_text",
    "voxtral_realtime_text",
    "muse_glimmer_text",
    "muse_spark_text",
    "mistral_large4_text",
}
TESTED_WITH_FILES |= {"glm5_next_text", "unlimited_ocr_text"}
TESTED_WITH_FILES |= {"cohere_compass_text", "emu3_text_model", "mllama_text_model", "phi4_multimodal"}


def make_config(transformers: Any, model_type: str, **changes: Any) -> Any:
    made = transformers.models.auto.configuration_auto.CONFIG_MAPPING[model_type]
    default = made().to_dict()
    given = {key: value for key, value in SMALL.items() if key in default and default[key] is not None}
    if "kv_lora_rank" in given:
        given["num_key_value_heads"] = 4
        given.pop("head_dim", None)
    return made(**given | {"num_hidden_layers": 6} | OWN.get(model_type, {}) | changes)


def read(folder: Path, config: dict[str, Any]) -> Architecture:
    path = folder / "config.json"
    path.write_text(json.dumps(config, default=str))
    return load_model(path).architecture


@pytest.mark.parametrize("name", CASES)
def test_a_file_has_its_parameters_and_keeps_its_cache(name: str, tmp_path: Path) -> None:
    """Counted on models that Transformers 5.23 builds, and on the caches that they hold after 128 and 256 tokens."""
    a = read(tmp_path, CASES[name]["config"])
    assert count_parameters(a) == CASES[name]["parameters"]
    kept = [count_kv_numbers(a, ONE, tokens) + count_state_numbers(a, ONE) for tokens in (128, 256)]
    assert kept == CASES[name].get("cache", kept)
    assert count_kv_bytes(a, ONE, 128) == 2 * kept[0]


@pytest.mark.parametrize(
    "model_type", sorted(set(LAYOUTS) - set(REMOTE_TYPES) - ALIASES - WITHOUT_A_MODEL - TESTED_WITH_FILES)
)
def test_parameters_are_those_of_the_model_that_transformers_builds(model_type: str, tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        config = make_config(transformers, model_type)
        model = transformers.AutoModelForCausalLM.from_config(config)
    a = read(tmp_path, config.to_dict())
    assert count_parameters(a) == sum(math.prod(p.shape) for p in model.parameters())


def test_every_model_type_is_counted_against_transformers() -> None:
    assert set(LAYOUTS) >= ALIASES | WITHOUT_A_MODEL | TESTED_WITH_FILES


# Costs of the kinds of layers

KINDS = sorted({case for case in CASES if CASES[case]["config"]["model_type"] in HYBRID_TYPES})


@pytest.mark.parametrize("name", KINDS)
def test_a_recurrent_layer_works_as_hard_whatever_the_context(name: str, tmp_path: Path) -> None:
    """A decode pass of layers that keep a state is the same at any context; its products are those of one token."""
    a = read(tmp_path, CASES[name]["config"])
    states = [layer for layer in list_layers(a) if layer.mixer.count_cache(layer, ONE, 100) == 0 and layer.mixer.mixes]
    for layer in states:
        near, far = (layer.mixer.list_operators(layer, ONE, IDEAL, decode_batch(n, 3)) for n in (10, 10_000))
        assert near == far
        state = layer.mixer.count_state(layer, ONE)
        assert sum(op.bytes_moved for op in near) >= 2 * 2 * 3 * state  # two bytes a number, read and written


@pytest.mark.parametrize("name", KINDS)
def test_every_matrix_is_read_once_and_multiplied_with_every_token(name: str, tmp_path: Path) -> None:
    a = read(tmp_path, CASES[name]["config"])
    step = build_pass(a, ONE, IDEAL, decode_batch(64, 1))
    weights = sum_cost(step, "weight_bytes") / 2
    table = 0 if a.tie_word_embeddings else a.vocab_size * a.hidden_size
    tables = (a.per_layer_vocab_size or 0) * (a.per_layer_input_size or 0) * a.num_hidden_layers
    small = 0.03 * count_parameters(a)  # norms, convolutions, residual streams
    assert count_active_parameters(a) - table - tables - small <= weights <= count_active_parameters(a) - table - tables
    prefill = build_pass(a, ONE, IDEAL, prefill_batch(64, 1))
    products = sum(n * op.flops for n, op in list_all(prefill) if op.kind == "linear" and op.name != "lm head")
    step_products = sum(n * op.flops for n, op in list_all(step) if op.kind == "linear" and op.name != "lm head")
    if not any(group.mixer and "latent" in group.mixer for group in a.groups):  # which absorbs matrices for one token
        assert products == pytest.approx(64 * step_products, rel=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_devices_that_share_heads_share_the_state(name: str, tmp_path: Path) -> None:
    a = read(tmp_path, CASES[name]["config"])
    for layer in list_layers(a):
        whole, half = (layer.mixer.count_state(layer, Deployment(tp=tp)) for tp in (1, 2))
        assert half in (whole / 2, whole)  # summaries of V4, which all heads share, are on every device


def test_devices_that_cannot_share_the_states_are_refused(tmp_path: Path) -> None:
    config = CASES["kimi_linear"]["config"] | {"linear_num_heads": 6, "num_attention_heads": 8}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    with pytest.raises(InputError, match="tp 4 does not divide linear_num_heads 6"):
        predict(path, "a100-sxm-80gb", "none", tp=4)


def test_layers_that_share_weights_are_stored_once() -> None:
    sizes: dict[str, Any] = {"num_key_value_heads": 2, "gated_mlp": True, "norm_bias": False}
    alone = Architecture(8, 4, 2, 16, 32, 64, **sizes)
    shared = Architecture(8, 4, 2, 16, 32, 64, **sizes, layers=(LayerGroup(4, copies=1),))
    one = Architecture(8, 1, 2, 16, 32, 64, **sizes)
    assert count_parameters(shared) == count_parameters(one)
    assert count_kv_numbers(shared, ONE, 10) == count_kv_numbers(alone, ONE, 10)
    passes = [sum_cost(build_pass(a, ONE, IDEAL, decode_batch(9, 2)), "flops") for a in (alone, shared)]
    assert passes[0] == passes[1]


def test_every_kind_of_mixer_is_met() -> None:
    met = {group.mixer for case in CASES.values() for group in load_case(case).groups}
    assert set(MIXERS) - met <= {
        *("none", "attention_and_mamba2", "lightning_attention", "indexed_latent_attention", "indexed_attention"),
        *("real_gated_recurrence", "window_attention", "latent_attention", "rwkv", "mlstm"),
        *("window_latent_attention", "routed_attention"),
    }


def load_case(case: dict[str, Any]) -> Architecture:
    from simulator.inputs.huggingface.config import Config
    from simulator.inputs.huggingface.reader import read_architecture

    config = Config("case", case["config"].get("text_config", case["config"]))
    return Architecture(**read_architecture(config, LAYOUTS[config.model_type()], is_part=True))


FLOP_TYPES = ["llama", "exaone4", "vaultgemma", "youtu", "minimax_m2", "hy_v3", "granitemoeshared", "mimo_v2_flash"]
FLOP_TYPES += ["gemma4_text", "glm4_moe_lite", "gpt_oss", "jetmoe", "diffllama", "gemma3n_text"]


@pytest.mark.parametrize("model_type", FLOP_TYPES)
def test_work_is_what_pytorch_counts_less_the_masked_scores(model_type: str, tmp_path: Path) -> None:
    """Of the whole model on 24 tokens, with the logits of all; windows of 32 see all of them."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    tokens = 24
    config = make_config(transformers, model_type)
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = transformers.AutoModelForCausalLM.from_config(config, **eager).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(input_ids=torch.arange(3, 3 + tokens)[None], use_cache=False)
    a = read(tmp_path, config.to_dict())
    step = build_pass(a, ONE, replace(IDEAL, logits="all"), prefill_batch(tokens, 1))
    work = [(n, op.flops, "attention" in op.name) for n, op in list_all(step)]
    unmasked = 2 * tokens / (tokens + 1)
    counted = sum(n * flops * (unmasked if attends else 1) for n, flops, attends in work)
    assert counted == pytest.approx(counter.get_total_flops(), rel=1e-9)


# Beside masked scores: of picked tokens Transformers scores all.
NEAR = {"hy_v4": 2e-3, "deepseek_v4": 5e-3}


@pytest.mark.parametrize("model_type", NEAR)
def test_work_of_layers_that_differ_in_sizes_is_near_what_pytorch_counts(model_type: str, tmp_path: Path) -> None:
    """Layers whose index is another's, rates of compression and residual streams."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    tokens, config = 24, make_config(transformers, model_type)
    eager = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = transformers.AutoModelForCausalLM.from_config(config, **eager).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(input_ids=torch.arange(3, 3 + tokens)[None], use_cache=False)
    step = build_pass(read(tmp_path, config.to_dict()), ONE, replace(IDEAL, logits="all"), prefill_batch(tokens, 1))
    unmasked = 2 * tokens / (tokens + 1)
    counted = sum(n * op.flops * (unmasked if "attention" in op.name else 1) for n, op in list_all(step))
    assert counted == pytest.approx(counter.get_total_flops(), rel=NEAR[model_type])


RECURRENT_TYPES = [
    "mamba",
    "jamba",
    "qwen3_next",
    "qwen3_5_text",
    "olmo_hybrid",
    "kimi_linear",
    "bailing_hybrid",
    "minimax",
    "mamba2",
    "xlstm",
    "inkling_text",
    "inkling2_text",
]
# A chunk that divides the tokens, a key as wide as a value, without which Transformers fails, and a window past them.
WHOLE: dict[str, dict[str, Any]] = {
    "mamba2": {"chunk_size": 64},
    "xlstm": {"qk_dim_factor": 1.0},
    "inkling_text": {"sliding_window_size": 256},
    "inkling2_text": {"sliding_window_size": 256},
}


@pytest.mark.parametrize("model_type", RECURRENT_TYPES)
def test_work_of_recurrences_is_what_pytorch_counts_of_whole_chunks(model_type: str, tmp_path: Path) -> None:
    """Of two chunks; the convolutions, which here count as bytes alone, and Mamba-2's sums over chunks apart."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = make_config(transformers, model_type, **WHOLE.get(model_type, {}))
    eager = {} if model_type == "xlstm" else {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = transformers.AutoModelForCausalLM.from_config(config, **eager).eval()
    tokens = 128
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(input_ids=torch.arange(tokens)[None] % 100, use_cache=False)
    counts = counter.get_flop_counts()["Global"]
    products = sum(count for name, count in counts.items() if "convolution" not in str(name))
    a = read(tmp_path, config.to_dict())
    step = build_pass(a, ONE, replace(IDEAL, logits="all"), prefill_batch(tokens, 1))
    unmasked = 2 * tokens / (tokens + 1)
    counted = sum(n * op.flops * (unmasked if "attention" in op.name else 1) for n, op in list_all(step))
    assert counted == pytest.approx(products, rel=0.005 if model_type == "mamba2" else 1e-9)


# Files as they are published, where they say it otherwise than Transformers does


def test_published_files_of_kimi_linear_and_mimo_name_layers_their_own_way(tmp_path: Path) -> None:
    part = {"full_attn_layers": [4, 8], "kda_layers": [1, 2, 3, 5, 6, 7], "num_heads": 4, "head_dim": 16}
    kimi = {
        **{"model_type": "kimi_linear", "hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4},
        **{"vocab_size": 128, "intermediate_size": 160, "first_k_dense_replace": 1, "moe_layer_freq": 1},
        "linear_attn_config": part | {"short_conv_kernel_size": 4},
    }
    groups = read(tmp_path, kimi).groups
    assert sum(group.count for group in groups if group.mixer == "latent_attention") == 2
    assert sum(group.count for group in groups if group.feed_forward == "dense") == 1
    mimo = {
        **{"model_type": "mimo_v2_flash", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4},
        **{"vocab_size": 128, "intermediate_size": 160, "hybrid_layer_pattern": [0, 1, 1, 0]},
        **{"moe_layer_freq": [0, 1, 1, 1]},
        **{"num_key_value_heads": 2, "swa_num_key_value_heads": 4, "head_dim": 24, "v_head_dim": 16},
        **{"swa_head_dim": 24, "swa_v_head_dim": 16, "sliding_window": 128, "sliding_window_size": 128},
    }  # fmt: skip
    a = read(tmp_path, mimo)
    assert a.sliding_window == 129
    assert count_kv_numbers(a, ONE, 1000) == 2 * 2 * (24 + 16) * 1000 + 2 * 4 * (24 + 16) * 128


def test_a_nemotron_pattern_is_a_part_a_layer(tmp_path: Path) -> None:
    shared = {"model_type": "nemotron_h", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    shared |= {"vocab_size": 128, "intermediate_size": 160, "n_routed_experts": 4, "num_experts_per_tok": 2}
    by_pattern = read(tmp_path, shared | {"hybrid_override_pattern": "M-M*E"})
    listed = {"layers_block_type": ["mamba", "mlp", "mamba", "attention", "moe"]}
    assert read(tmp_path, shared | listed) == by_pattern
    assert [(group.count, group.mixer, group.feed_forward) for group in by_pattern.groups] == [
        *((2, "mamba2", "none"), (1, "none", "dense"), (1, "attention", "none"), (1, "none", "experts"))
    ]


def test_step_has_heads_of_its_own_under_windows(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    step = pytest.importorskip("transformers.models.step3p7")
    types = ["full_attention", *["sliding_attention"] * 3, "full_attention", "sliding_attention"]
    sizes = {key: SMALL[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim")}
    sizes |= {key: SMALL[key] for key in ("num_key_value_heads", "intermediate_size", "vocab_size", "n_routed_experts")}
    sizes |= {"num_experts_per_tok": 2, "moe_intermediate_size": 48, "share_expert_dim": 40, "sliding_window": 32}
    config = step.configuration_step3p7.Step3p7TextConfig(**sizes, layer_types=types, num_sliding_attention_heads=6)
    with torch.device("meta"):
        model = step.modeling_step3p7.Step3p7TextModel(config)  # without its head
    count = sum(math.prod(p.shape) for p in model.parameters()) + 64 * 128
    assert count_parameters(read(tmp_path, config.to_dict())) == count
    published = sizes | {"model_type": "step3p5", "layer_types": [*types, "full_attention"]}  # one that drafts
    published |= {"attention_other_setting": {"num_attention_heads": 6, "num_attention_groups": 2, "head_dim": 16}}
    assert count_parameters(read(tmp_path, published | {"moe_layers_enum": "3,4,5"})) == count


def test_files_with_parts_have_the_parameters_of_the_models_that_transformers_builds(tmp_path: Path) -> None:
    """Counted once on the meta device; DBRX is published with 132 billion, Llama 3.2 11B has 9.78 of them for text."""
    experts = {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}
    dbrx = {"model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "vocab_size": 100352}
    dbrx |= {"attn_config": {"kv_n_heads": 8}, "ffn_config": experts}
    assert count_parameters(read(tmp_path, dbrx)) == 131_596_523_520
    small = {"hidden_size": 64, "num_hidden_layers": 10, "num_attention_heads": 4, "num_key_value_heads": 2}
    small |= {"intermediate_size": 160, "vocab_size": 128}
    seeing = small | {"model_type": "mllama_text_model", "cross_attention_layers": [3, 8]}
    a = read(tmp_path, {"model_type": "mllama", "text_config": seeing})
    assert count_parameters(a) == 448_388
    assert count_kv_numbers(a, ONE, 10) == 8 * 2 * 32 * 10  # layers that look at an image keep nothing of a text
    assert count_parameters(read(tmp_path, small | {"model_type": "phi4_multimodal"})) == 447_808
    part = {"model_type": "emu3", "text_config": small | {"model_type": "emu3_text_model"}}
    assert count_parameters(read(tmp_path, part)) == 447_808
    compass = {"model_type": "cohere_compass_text", "head_dim": 16}
    assert count_parameters(read(tmp_path, small | compass)) == 438_976


@pytest.mark.parametrize(
    ("model_type", "text", "parameters"),
    [
        ("glm_ocr", {}, 373_359_616),
        ("voxtral_realtime", {}, 3_434_118_144),
        ("molmo2", {}, 8_191_259_648),
        ("cosmos3_edge", {}, 1_946_273_792),
        ("muse_glimmer", {}, 27_854_780_928),
        ("muse_spark", {}, 819_990_536_192),
        ("mistral_large4", {}, 1_050_118_202_880),
        ("glm5_next", {}, 313_326_816_766),
        ("unlimited_ocr", {}, 2_934_734_080),
        (
            "qwen4_exp",
            {"ple_layer_ids": [2, 6], "indexer_n_heads": 4, "indexer_head_dim": 256, "indexer_compress_ratio": 16},
            149_310_758_528,
        ),
        ("ernie4_5_vl_moe", {"moe_intermediate_size": [1536, 512], "moe_num_experts": [64, 64]}, 28_624_635_776),
    ],
)
def test_text_models_of_wrappers_have_the_parameters_that_transformers_builds(
    model_type: str, text: dict[str, Any], parameters: int, tmp_path: Path
) -> None:
    """Counted once on the meta device; of ERNIE, experts for images are kept, though no text meets them."""
    a = read(tmp_path, {"model_type": model_type, "text_config": text})
    assert count_parameters(a) == parameters
    if model_type == "ernie4_5_vl_moe":
        assert count_active_parameters(a) < parameters / 2


def test_a_token_meets_some_experts_of_attention_and_many_tokens_all(tmp_path: Path) -> None:
    """JetMoE: two of eight experts, each with a query and an output projection as wide as the key heads."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_key_value_heads": 4, "kv_channels": 16, "vocab_size": 32}
    experts = {"num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 128}
    a = read(tmp_path, sizes | experts | {"model_type": "jetmoe"})
    one = 2 * 64 * 4 * 16
    assert count_parameters(a) - count_active_parameters(a) == 6 * (one + 3 * 64 * 128)
    names = ("query projection", "output projection")
    read_of = [
        sum(
            op.weight_bytes for n, op in list_all(build_pass(a, ONE, IDEAL, decode_batch(9, batch))) if op.name in names
        )
        for batch in (1, 10_000)
    ]
    assert read_of == [2 * 2 * one, 2 * 8 * one]


def test_windows_of_latent_attention_keep_their_own_vectors(tmp_path: Path) -> None:
    """dots3.note: six layers, of which the third, fourth and fifth see 32 tokens of 24 + 8 numbers."""
    sizes = {key: SMALL[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")}
    sizes |= {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "index_head_dim": 16, "num_hidden_layers": 6}
    sizes |= {"swa_kv_lora_rank": 24, "swa_qk_rope_head_dim": 8, "sliding_window": 32}
    a = read(tmp_path, sizes | {"model_type": "dots3_note_text"})
    assert count_kv_numbers(a, ONE, 100) == 3 * (24 + 16) * 100 + 3 * 32 * 31


def test_attention_of_deepseek_may_be_of_plain_keys_and_values(tmp_path: Path) -> None:
    """DeepSeek-OCR: ten heads of 128 in twelve layers; the part names no model type, but what builds it."""
    part = {
        **{"architectures": ["DeepseekV2ForCausalLM"], "hidden_size": 1280, "num_hidden_layers": 12, "use_mla": False},
        **{"num_attention_heads": 10, "num_key_value_heads": 10, "kv_lora_rank": None, "qk_rope_head_dim": 0},
        **{"v_head_dim": 0, "qk_nope_head_dim": 0, "q_lora_rank": None, "vocab_size": 129280, "n_routed_experts": 64},
        **{"num_experts_per_tok": 6, "n_shared_experts": 2, "moe_intermediate_size": 896, "intermediate_size": 6848},
        **{"first_k_dense_replace": 1, "max_position_embeddings": 8192},
    }
    a = read(tmp_path, {"model_type": "deepseek_vl_v2", "language_config": part})
    assert a == read(tmp_path, {"model_type": "seeing", "language_config": part})
    assert count_kv_numbers(a, ONE, 10) == 12 * 2 * 1280 * 10
    h, layer = 1280, 4 * 1280**2 + 2 * 1280
    expert_layer = 3 * h * 896 * (64 + 2) + 64 * h
    assert count_parameters(a) == 2 * 129280 * h + h + 12 * layer + 3 * h * 6848 + 11 * expert_layer


def test_longcat_has_its_published_size_and_experts_that_do_nothing(tmp_path: Path) -> None:
    """560 billion, of which a token meets 27 on the average (arXiv 2509.01322)."""
    config = {"model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64}
    a = read(tmp_path, config | {"vocab_size": 131072, "ffn_hidden_size": 12288})
    assert count_parameters(a) == pytest.approx(560e9, rel=0.005)
    assert count_active_parameters(a) == pytest.approx(27e9, rel=0.05)
    assert count_kv_numbers(a, ONE, 10) == 2 * 28 * (512 + 64) * 10


def test_stacks_that_run_again_are_stored_once_and_keep_each_run(tmp_path: Path) -> None:
    stack = {"hidden_size": 64, "num_attention_heads": 4, "head_dim": 16, "intermediate_size": 160, "vocab_size": 128}
    files = [
        {"model_type": "hrm_text", "num_hidden_layers": 2, "H_cycles": slow, "L_cycles": fast} | stack
        for slow, fast in ((1, 1), (2, 3))
    ]
    once, often = (read(tmp_path, config) for config in files)
    assert count_parameters(once) == count_parameters(often)
    assert count_kv_numbers(often, ONE, 50) == 4 * count_kv_numbers(once, ONE, 50)


def test_parallel_streams_and_small_matrices_beside_a_layer_cost_what_they_move_and_multiply() -> None:
    """Four streams of a token of 8 numbers: 2 x (3 x 4 + 2) hidden states of 2 bytes; 100 weights, 200 FLOPs each."""
    sizes: dict[str, Any] = {"num_key_value_heads": 2, "gated_mlp": True, "norm_bias": False}
    plain = Architecture(8, 4, 2, 16, 32, 64, **sizes, other_layer_parameters=100)
    mixed = replace(plain, side_parameters=100, residual_streams=4)
    assert count_parameters(plain) == count_parameters(mixed)
    flops, moved = (
        [sum_cost(build_pass(a, ONE, IDEAL, decode_batch(9, 3)), cost) for a in (plain, mixed)]
        for cost in ("flops", "activation_bytes")
    )
    assert flops[1] - flops[0] == 4 * 3 * (200 + 2 * 2 * 4**2 * 8)  # a matrix of 4 by 4 on the streams, twice
    assert moved[1] - moved[0] == 4 * 3 * 2 * (28 * 8 + 8 + 100 / 8)


def test_blocks_that_a_search_left_out_have_neither_weights_nor_cache(tmp_path: Path) -> None:
    whole = {"attention": {"n_heads_in_group": 2, "no_op": False}, "ffn": {"ffn_mult": 3.0, "no_op": False}}
    no_attention = whole | {"attention": {"no_op": True}}
    no_ffn = whole | {"ffn": {"no_op": True}}
    config = {"model_type": "nemotron-nas", "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 128}
    a = read(tmp_path, config | {"num_hidden_layers": 3, "block_configs": [whole, no_attention, no_ffn]})
    attention, ffn, norm = 64 * (64 + 2 * 32) + 64 * 64, 3 * 64 * 256, 64
    assert count_parameters(a) == 2 * (attention + ffn) + 4 * norm + norm + 2 * 128 * 64
    assert count_kv_numbers(a, ONE, 10) == 2 * 2 * 32 * 10
    with pytest.raises(InputError, match="block_configs must be a list of 4 mappings"):
        read(tmp_path, config | {"num_hidden_layers": 4, "block_configs": [whole]})


# What is refused

LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128}
LLAMA |= {"intermediate_size": 160}
MISTRAL = LLAMA | {"model_type": "mistral", "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (LLAMA | {"model_type": "bert"}, "'bert' is not a decoder"),
        (LLAMA | {"model_type": "whisper"}, "'whisper' is not a decoder alone"),
        (LLAMA | {"model_type": "t5"}, "'t5' is not a decoder alone"),
        (LLAMA | {"is_encoder_decoder": True}, "is not a decoder alone"),
        (LLAMA | {"model_type": "gemma3_text", "use_bidirectional_attention": True}, "as in an embedder"),
        (LLAMA | {"architectures": ["LlamaForSequenceClassification"]}, "it scores or embeds, and writes no text"),
        (LLAMA | {"model_type": "llama_bidirec", "architectures": ["LlamaBidirectionalModel"]}, "is not a decoder"),
        ({"model_type": "diffusion_gemma", "text_config": LLAMA}, "it denoises whole blocks"),
        ({"model_type": "x", "text_config": {"model_type": "axk2", "q_lora_rank": None}}, "q_lora_rank is null"),
        ({"model_type": "x", "text_config": {"model_type": "jetmoe", "kv_channels": None}}, "head_dim is null"),
        (
            {"model_type": "mistral_large4", "text_config": {"no_rope_layers": [1, 0]}},
            "no_rope_layers has 2 entries; there are 72 layers",
        ),
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.6.0"}, "part of a diffusion model"),
        ({key: value for key, value in LLAMA.items() if key != "vocab_size"}, "missing key 'vocab_size'"),
        (LLAMA | {"vocab_size": 10**400}, r"the whole number 10+\.\.\. is past 2\^63"),
        (LLAMA | {"vocab_size": 10**10}, "vocab_size is 10000000000; it must be at most 268435456"),
        (LLAMA | {"num_hidden_layers": 2**53 + 1}, "num_hidden_layers is above"),
        (LLAMA | {"num_hidden_layers": 20_000}, "num_hidden_layers is above 10000"),
    ],
)
def test_what_is_no_decoder_is_refused_at_once(config: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        read(tmp_path, config)


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config", "thinker_config"])
def test_the_text_model_stands_in_a_part(part: str, tmp_path: Path) -> None:
    whole = read(tmp_path, LLAMA)
    assert read(tmp_path, {"model_type": "seeing", part: LLAMA}) == whole
    assert read(tmp_path, {"model_type": "seeing", "thinker_config": {part: LLAMA}}) == whole


def test_what_the_files_say_of_tying_is_obeyed(tmp_path: Path) -> None:
    def tied(outer: dict[str, Any], inner: dict[str, Any]) -> bool:
        return read(tmp_path, {"model_type": "mistral3", "text_config": MISTRAL | inner} | outer).tie_word_embeddings

    yes, no = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
    assert [tied({}, {}), tied({}, no), tied({}, yes)] == [True, False, True]
    assert [tied(no, yes), tied(yes, no)] == [False, True]  # the outer file counts, as in Transformers


def test_mistrals_own_file_is_read(tmp_path: Path) -> None:
    own = {
        "dim": 64,
        "n_layers": 2,
        "head_dim": 16,
        "hidden_dim": 160,
        "n_heads": 4,
        "n_kv_heads": 2,
        "vocab_size": 128,
    }
    config = LLAMA | {"model_type": "mistral", "head_dim": 16, "num_key_value_heads": 2, "sliding_window": None}
    assert read(tmp_path, own) == read(tmp_path, config)
    experts = own | {"moe": {"num_experts": 4, "num_experts_per_tok": 2}}
    mixtral = config | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
    assert read(tmp_path, experts) == read(tmp_path, mixtral)
