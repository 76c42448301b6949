"""A ``config.json`` of any family gives the model that Transformers builds of it, and says so where it cannot."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from families import count_layers

from cli import app
from simulator import InputError
from simulator.costs.parameters import count_active_parameters, count_parameters
from simulator.inputs.architecture import Architecture, ModelSpec, check_architecture
from simulator.inputs.library import MODEL_FOLDER, list_ids, load_model

Config = dict[str, Any]

# The smallest that divide, and the experts and latent widths of their families.
GPT2: Config = {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 256, "vocab_size": 128}
PLAIN: Config = {
    **{"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 160},
    **{"vocab_size": 128, "max_position_embeddings": 256},
}
SMALL = PLAIN | {"num_key_value_heads": 2}
WIDE = SMALL | {"head_dim": 32, "sliding_window": 32}
OPT = PLAIN | {"model_type": "opt", "ffn_dim": 160}
FALCON = {key: value for key, value in PLAIN.items() if key != "intermediate_size"} | {"model_type": "falcon"}
LOCAL = {"num_local_experts": 4, "num_experts_per_tok": 2}
QWEN_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
QWEN2_MOE = SMALL | QWEN_MOE | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 96}
QWEN3_MOE = SMALL | QWEN_MOE | {"model_type": "qwen3_moe"}
LLAMA4 = WIDE | LOCAL | {"model_type": "llama4_text", "intermediate_size_mlp": 192}
DEEPSEEK = PLAIN | {
    **{"kv_lora_rank": 24, "q_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12},
    **{"n_routed_experts": 4, "n_shared_experts": 2, "num_experts_per_tok": 2, "moe_intermediate_size": 48},
    **{"n_group": 2, "topk_group": 1, "first_k_dense_replace": 1},
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}

CASES: dict[str, Config] = {
    "gpt2": {"model_type": "gpt2"} | GPT2,
    "gpt2, own width and head": {"model_type": "gpt2", "n_inner": 160, "tie_word_embeddings": False} | GPT2,
    "gptj": {"model_type": "gptj", "rotary_dim": 8} | GPT2,
    "gpt_bigcode": {"model_type": "gpt_bigcode"} | GPT2,
    "gpt_neox": {"model_type": "gpt_neox"} | PLAIN,
    "gpt_neox without biases": {"model_type": "gpt_neox", "attention_bias": False} | PLAIN,
    "opt": OPT | {"word_embed_proj_dim": 64},
    "opt without biases": OPT | {"enable_bias": False},
    "opt-350m": OPT | {"word_embed_proj_dim": 32, "do_layer_norm_before": False},
    "bloom": {"model_type": "bloom", "n_embed": 64, "n_layer": 4, "n_head": 4, "vocab_size": 128},
    "falcon-7b": FALCON,
    "falcon-40b": FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2},
    "falcon-11b": FALCON
    | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1, "ffn_hidden_size": 160},
    "falcon-rw": FALCON | {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
    "llama": {"model_type": "llama"} | PLAIN,
    "llama with biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True} | SMALL,
    "llama, wide heads": {"model_type": "llama", "tie_word_embeddings": True} | WIDE,
    "llama4_text": LLAMA4,
    "llama4, layers by turns": {"model_type": "llama4", "text_config": LLAMA4 | {"interleave_moe_layer_step": 2}},
    "llama4, layers by name": LLAMA4 | {"moe_layers": [1, 2], "no_rope_layers": [1, 0, 0, 1]},
    "mistral": {"model_type": "mistral"} | SMALL,
    "mistral without windows": {"model_type": "mistral"} | WIDE | {"sliding_window": None},
    "mistral3": {"model_type": "mistral3", "text_config": WIDE | {"model_type": "mistral"}},
    "ministral": {"model_type": "ministral", "layer_types": ["sliding_attention", "full_attention"] * 2} | WIDE,
    "ministral3": {"model_type": "ministral3"} | WIDE,
    "mixtral": {"model_type": "mixtral"} | SMALL,
    "qwen2": {"model_type": "qwen2"} | SMALL,
    "qwen2, later layers": {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1} | SMALL,
    "qwen2_moe": QWEN2_MOE,
    "qwen2_moe, layers by turns": QWEN2_MOE | {"decoder_sparse_step": 2, "qkv_bias": False},
    "qwen3": {"model_type": "qwen3"} | SMALL,
    "qwen3 with biases": {"model_type": "qwen3", "attention_bias": True} | WIDE,
    "qwen3_moe": QWEN3_MOE,
    "qwen3_moe, layers by name": QWEN3_MOE | {"mlp_only_layers": [0, 3], "head_dim": 32},
    "gemma": {"model_type": "gemma"} | SMALL,
    "gemma2": {"model_type": "gemma2"} | WIDE,
    "gemma3_text": {"model_type": "gemma3_text", "sliding_window_pattern": 3} | WIDE,
    "gemma3": {"model_type": "gemma3", "text_config": {"num_hidden_layers": 7, "hidden_size": 64, "vocab_size": 64}},
    "phi": {"model_type": "phi", "qk_layernorm": True} | SMALL,
    "phi3": {"model_type": "phi3", "pad_token_id": 0} | SMALL,
    "deepseek_v2": {"model_type": "deepseek_v2", "topk_method": "group_limited_greedy"} | DEEPSEEK,
    "deepseek-v2-lite": {"model_type": "deepseek_v2"} | DEEPSEEK | {"q_lora_rank": None},
    "deepseek_v3": {"model_type": "deepseek_v3", "num_nextn_predict_layers": 1} | DEEPSEEK,
    "deepseek_v3 with biases": {"model_type": "deepseek_v3", "attention_bias": True} | DEEPSEEK,
    "gpt_oss": {"model_type": "gpt_oss"} | WIDE | LOCAL,
    "gpt_oss without biases": {"model_type": "gpt_oss", "attention_bias": False, "head_dim": 16} | SMALL | LOCAL,
    "olmo2": {"model_type": "olmo2"} | SMALL,
    "olmo3": {"model_type": "olmo3"} | SMALL,
    "olmoe": {"model_type": "olmoe", "num_experts": 4, "num_experts_per_tok": 2} | SMALL,
    "granite": {"model_type": "granite", "attention_bias": True, "mlp_bias": True} | SMALL,
    "granitemoe": {"model_type": "granitemoe"} | SMALL | LOCAL,
    "cohere": {"model_type": "cohere", "use_qk_norm": True} | SMALL,
    "cohere2": {"model_type": "cohere2"} | SMALL,
    "starcoder2": {"model_type": "starcoder2"} | SMALL,
    "starcoder2 without biases": {"model_type": "starcoder2", "use_bias": False} | SMALL | {"sliding_window": 32},
    "stablelm": {"model_type": "stablelm", "use_qkv_bias": True} | SMALL,
    "stablelm in parallel": {"model_type": "stablelm", "use_parallel_residual": True, "qk_layernorm": True} | SMALL,
    "glm": {"model_type": "glm", "pad_token_id": 0} | SMALL,
    "glm4": {"model_type": "glm4", "pad_token_id": 0} | SMALL,
    "glm4_moe": {"model_type": "glm4_moe", "use_qk_norm": True, "num_key_value_heads": 2, "pad_token_id": 0}
    | {key: value for key, value in DEEPSEEK.items() if "lora" not in key and not key.startswith(("qk_", "v_"))},
    "nemotron": {"model_type": "nemotron"} | SMALL,
    "arcee": {"model_type": "arcee"} | SMALL,
    "seed_oss": {"model_type": "seed_oss"} | SMALL,
    "smollm3": {"model_type": "smollm3", "pad_token_id": 0} | SMALL,
}


def read(folder: Path, config: Config) -> ModelSpec:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return load_model(path)


@pytest.mark.parametrize("name", CASES)
def test_parameters_and_windows_are_those_of_the_model_that_transformers_builds(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = CASES[name]
    wrapped = "text_config" in config
    built = transformers.AutoConfig.for_model(**(config | ({"vision_config": VISION} if wrapped else {})))
    if wrapped:
        tied = built.tie_word_embeddings
        built = built.text_config
        built.tie_word_embeddings = tied
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(built)
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    a = read(tmp_path, config).architecture
    check_architecture(a, name)
    assert count_parameters(a) == sum(sizes.values())
    in_experts = sum(size for key, size in sizes.items() if ".experts." in key)
    assert (a.num_experts is None) == (in_experts == 0)
    if a.num_experts is not None and a.num_experts_per_tok is not None:
        idle = in_experts * (1 - a.num_experts_per_tok / a.num_experts)
        assert count_active_parameters(a) == pytest.approx(sum(sizes.values()) - idle, rel=1e-9)
    types = getattr(built, "layer_types", None)
    if types is not None:
        assert count_layers(a, "attention") == types.count("full_attention")


# Layers without a window and without experts, and billions of parameters that a token meets, as published.
KNOWN: dict[str, tuple[int | None, int, int, float | None]] = {
    "mistral-7b-v0.1": (4096, 0, 0, None),
    "mistral-7b-v0.3": (None, 32, 0, None),
    "mixtral-8x7b-v0.1": (None, 32, 0, 12.9),
    "mixtral-8x22b-v0.1": (None, 56, 0, 39),
    "qwen2.5-7b": (None, 28, 0, None),
    "qwen3-30b-a3b": (None, 48, 0, 3.3),
    "qwen3-235b-a22b": (None, 94, 0, 22),
    "qwen2-57b-a14b": (None, 28, 0, 14),
    "gemma-2-9b": (4096, 21, 0, None),
    "gemma-3-27b": (1024, 10, 0, None),
    "phi-3-mini": (2047, 0, 0, None),
    "gpt-oss-20b": (128, 12, 0, None),
    "deepseek-v2-lite": (None, 27, 1, None),
    "deepseek-v2": (None, 60, 1, 21),
    "deepseek-v3": (None, 61, 3, 37),
    "llama-4-scout": (8192, 12, 0, 17),
    "llama-4-maverick": (8192, 12, 24, 17),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_model_has_its_windows_dense_layers_and_active_parameters(name: str) -> None:
    window, full, dense, active = KNOWN[name]
    a = load_model(name).architecture
    assert a.sliding_window == window
    assert sum(group.count for group in a.groups if group.mixer != "window_attention") == full
    experts = sum(group.count for group in a.groups if group.feed_forward == "experts")
    assert experts == (0 if a.num_experts is None else a.num_hidden_layers - dense)
    if active is not None:
        assert count_active_parameters(a) == pytest.approx(active * 1e9, rel=0.03)


def test_at_least_90_models_ship_with_sources() -> None:
    specs = [load_model(name) for name in list_ids(MODEL_FOLDER)]
    assert sum(bool(spec.sources) for spec in specs) == len(specs) >= 90


# As published: what equals the default of the type is left out, and old files have old spellings.
PUBLISHED: dict[str, Config] = {
    "gemma-3-4b": {
        "model_type": "gemma3",
        "text_config": {
            **{"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240},
            **{"num_hidden_layers": 34, "sliding_window": 1024, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}},
        },
        "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 1152},
    },
    "falcon-40b": {
        **{"model_type": "RefinedWeb", "hidden_size": 8192, "n_layer": 60, "n_head": 128, "n_head_kv": 8},
        **{"vocab_size": 65024, "bias": False, "alibi": False},
    },
    "falcon-7b": {
        **{"model_type": "RefinedWebModel", "hidden_size": 4544, "n_layer": 32, "n_head": 71, "multi_query": True},
        **{"vocab_size": 65024, "bias": False, "parallel_attn": True},
    },
    "deepseek-v3": {
        **{"model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128},
        **{"intermediate_size": 18432, "max_position_embeddings": 163840, "num_key_value_heads": 128},
        **{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}, "vocab_size": 129280},
    },
    "gpt-oss-120b": {
        **{"model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 36, "num_attention_heads": 64},
        **{"layer_types": ["sliding_attention", "full_attention"] * 18, "vocab_size": 201088},
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_omitted_keys_take_the_default_of_the_type(name: str, tmp_path: Path) -> None:
    assert read(tmp_path, PUBLISHED[name]).architecture == load_model(name).architecture


LLAMA = {"model_type": "llama"} | SMALL


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({key: LLAMA[key] for key in LLAMA if key != "hidden_size"}, "missing key 'hidden_size'"),
        ({"model_type": "gpt2", "n_layer": 2, "n_head": 2}, "missing key 'n_embd'"),
        ({"model_type": "gemma3"}, "missing key 'text_config'"),
        (LLAMA | {"num_hidden_layers": "4"}, "num_hidden_layers is '4'; it must be a whole number"),
        (LLAMA | {"num_hidden_layers": True}, "num_hidden_layers is True; it must be a whole number"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be at least 1"),
        (LLAMA | {"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'; it must be true or false"),
        (LLAMA | {"model_type": 5}, "model_type is 5; it must be text"),
        (LLAMA | {"model_type": "llava", "text_config": 5}, "text_config must be a mapping"),
        (LLAMA | {"num_attention_heads": 5}, "hidden_size 64 is not a multiple of num_attention_heads 5"),
        ({"model_type": "mistral3", "text_config": {"hidden_size": 6.5}}, "text_config: hidden_size is 6.5"),
        (WIDE | {"model_type": "gemma2", "layer_types": ["full_attention"]}, "layer_types has 1 entries; there are 4"),
        (WIDE | {"model_type": "gemma2", "layer_types": ["mamba"] * 4}, "layer_types: 'mamba' is not supported"),
        (QWEN2_MOE | {"num_experts_per_tok": 5}, "num_experts_per_tok 5 is past num_experts 4"),
        (QWEN2_MOE | {"mlp_only_layers": "0"}, "mlp_only_layers must be a list of whole numbers"),
        (QWEN2_MOE | {"decoder_sparse_step": 0}, "decoder_sparse_step is 0; it must be at least 1"),
        ({"model_type": "deepseek_v2"} | DEEPSEEK | {"num_experts_per_tok": None}, "missing key 'num_experts_per_tok'"),
        ({"model_type": "deepseek_v2", "mlp_bias": True} | DEEPSEEK, "mlp_bias is true; a bias of some feed-forward"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line(config: Config, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, config)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "config.json"))
    assert "\n" not in str(caught.value)


# What files of types that nobody knows say beside the sizes.
HARMLESS: Config = {
    **{"architectures": ["NewForCausalLM"], "auto_map": {"AutoConfig": "x"}, "attn_implementation": "eager"},
    **{"bias": False, "bos_token_id": 1, "eos_token_id": [2], "hidden_act": "silu", "initializer_range": 0.02},
    **{"rms_norm_eps": 1e-5, "rope_scaling": None, "rope_theta": 1e6, "torch_dtype": "float16", "use_cache": True},
    **{"transformers_version": "4.37.1", "num_experts": 0, "is_encoder_decoder": False, "attention_dropout": 0.1},
}


def test_an_unknown_type_of_the_llama_layout_works_with_a_note(tmp_path: Path) -> None:
    known = read(tmp_path, LLAMA)
    new = read(tmp_path, LLAMA | HARMLESS | {"model_type": "quokka"})
    assert known.note is None
    assert new.note == "unknown model_type 'quokka': read as the Llama layout"
    assert new.architecture == known.architecture
    assert read(tmp_path, LLAMA | {"model_type": "lama"}).note == (
        "unknown model_type 'lama' (did you mean 'llama'?): read as the Llama layout"
    )
    assert read(tmp_path, SMALL).note == "no model_type: read as the Llama layout"


def test_an_unknown_type_may_have_windows(tmp_path: Path) -> None:
    types = ["sliding_attention", "full_attention"] * 2
    a = read(tmp_path, SMALL | {"model_type": "new", "sliding_window": 64, "layer_types": types}).architecture
    assert (a.sliding_window, count_layers(a, "attention")) == (64, 2)
    off = SMALL | {"model_type": "new", "sliding_window": 64, "use_sliding_window": False}
    assert read(tmp_path, off).architecture.sliding_window is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"model_type": "rwkv9", "num_attention_heads": None, "state_size": 16, "conv_kernel": 4},
            "missing 'num_attention_heads'; keys it cannot explain: 'state_size', 'conv_kernel'",
        ),
        (
            {"num_local_experts": 8, "num_experts_per_tok": 2},
            "cannot explain: 'num_local_experts', 'num_experts_per_tok'",
        ),
        ({"kv_lora_rank": 512}, "cannot explain: 'kv_lora_rank'"),
        ({"layer_types": ["linear_attention"] * 4}, "cannot explain: 'layer_types'"),
        ({"hidden_act": "relu2"}, "cannot explain: 'hidden_act'"),
        ({"layer_norm_eps": 1e-5, "type_vocab_size": 2}, "cannot explain: 'layer_norm_eps', 'type_vocab_size'"),
        ({"vocab_size": None, "intermediate_size": None}, "missing 'intermediate_size', 'vocab_size'"),
    ],
)
def test_an_unknown_type_of_another_layout_is_refused_with_what_is_missing(
    change: Config, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"unknown model_type '.*, and not the Llama layout: ") as caught:
        read(tmp_path, SMALL | {"model_type": "new"} | change)
    assert problem in str(caught.value)


def test_quantized_weights_do_not_change_the_architecture(tmp_path: Path) -> None:
    quantized = read(tmp_path, LLAMA | {"quantization_config": {"quant_method": "gptq", "bits": 4}})
    assert quantized.note is None
    assert quantized.architecture == read(tmp_path, LLAMA).architecture


def test_the_note_stands_beside_the_answer_and_on_the_card(tmp_path: Path) -> None:
    read(tmp_path, LLAMA | {"model_type": "new"})
    question = ["predict", "-m", str(tmp_path), "-H", "a100-sxm-80gb", "-c", "none", "-p", "16", "-n", "2"]
    done = CliRunner().invoke(app, question)
    assert done.exit_code == 0
    assert done.stderr.strip() == "roofcast: note: unknown model_type 'new': read as the Llama layout"
    card = CliRunner().invoke(app, ["models", "show", str(tmp_path)]).stdout
    assert "read as the Llama layout" in " ".join(card.split())


class NoEntryError(OSError):
    """Stands in for what ``huggingface_hub`` raises where a repository lacks a file."""


class Hub:
    """Stands in for ``huggingface_hub``: gives one file, or fails."""

    def __init__(self, path: Path | None = None, error: Exception | None = None) -> None:
        self.path, self.error = path, error
        self.asked: list[tuple[str, str]] = []

    def download(self, name: str, file: str) -> str:
        self.asked.append((name, file))
        if self.error is not None:
            raise self.error
        assert self.path is not None
        if not (self.path.parent / file).exists():
            raise NoEntryError(file)
        return str(self.path.parent / file)


def install(monkeypatch: pytest.MonkeyPatch, hub: Hub | None) -> None:
    module = (
        None
        if hub is None
        else SimpleNamespace(hf_hub_download=hub.download, try_to_load_from_cache=lambda name, file: "there")
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", SimpleNamespace(EntryNotFoundError=NoEntryError))


def test_a_model_of_the_hub_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(tmp_path, LLAMA)
    hub = Hub(tmp_path / "config.json")
    install(monkeypatch, hub)
    spec = load_model("some-body/New_Model-1.5b")
    assert [file for _, file in hub.asked] == ["config.json", "hf_quant_config.json"]
    assert {name for name, _ in hub.asked} == {"some-body/New_Model-1.5b"}
    assert (spec.id, spec.architecture) == ("some-body/New_Model-1.5b", expected.architecture)


def test_what_lies_beside_a_configuration_is_downloaded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(tmp_path, LLAMA)
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    install(monkeypatch, Hub(tmp_path / "config.json"))
    formats = load_model("some-body/New_Model-1.5b").formats
    assert formats is not None
    assert formats.label == "layers fp8, rest bf16"


def test_what_ships_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(error=OSError("asked"))
    install(monkeypatch, hub)
    assert load_model("Qwen/Qwen3-8B").id == "qwen3-8b"
    with pytest.raises(InputError, match=r"^unknown model 'qwen3'"):
        load_model("qwen3")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("hub", "problem"),
    [
        (
            None,
            "unknown model 'qwen/qwen3-8' (did you mean 'qwen/qwen3-8b'?); to download its config.json, pip install",
        ),
        (Hub(error=OSError("404 Client Error.\n\nNot found")), "cannot be downloaded: 404 Client Error. Not found"),
        (Hub(error=ValueError("a bad name")), "cannot be downloaded: a bad name"),
    ],
)
def test_what_cannot_be_downloaded_is_one_line(hub: Hub | None, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, hub)
    with pytest.raises(InputError) as caught:
        load_model("qwen/qwen3-8")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shipped_models_are_architectures_that_can_be() -> None:
    for name in list_ids(MODEL_FOLDER):
        architecture = load_model(name).architecture
        assert isinstance(architecture, Architecture)
        check_architecture(architecture, name)
