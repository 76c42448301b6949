"""Checkpoints that bring their own code: parameters as published."""

import json
from pathlib import Path

import pytest

from simulator import InputError
from simulator.costs.batch import prefill_batch
from simulator.costs.footprint import count_kv_numbers
from simulator.costs.parameters import count_active_parameters, count_parameters
from simulator.costs.passes import build_pass, list_all
from simulator.inputs.deployment import Deployment
from simulator.inputs.huggingface.reader import read_config
from simulator.inputs.library import load_stack

CASES = json.loads((Path(__file__).parent / "data" / "remote_types.json").read_text())
ONE = Deployment()


@pytest.mark.parametrize("name", CASES)
def test_a_published_file_has_its_published_parameters(name: str, tmp_path: Path) -> None:
    """To the number where the checkpoint's is known, else to half a percent of what its makers print."""
    case = CASES[name]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(case["config"]))
    spec = read_config(path)
    counted = count_parameters(spec.architecture)
    assert counted == case["parameters"] if "parameters" in case else counted == pytest.approx(case["about"], rel=5e-3)
    assert spec.note is None


def test_a_class_says_what_a_wrong_type_does_not(tmp_path: Path) -> None:
    """Grok-2 calls itself 'git', which is a captioner; a dense block stands beside its experts."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CASES["grok-2"]["config"]))
    a = read_config(path).architecture
    assert count_active_parameters(a) == pytest.approx(115e9, rel=0.02)


def test_a_wrapper_whose_prompt_sees_itself_still_writes_token_by_token(tmp_path: Path) -> None:
    """PaliGemma's text model has no causal mask over the prompt; the same file alone is an embedder."""
    path, text = tmp_path / "config.json", {"model_type": "gemma", "use_bidirectional_attention": True}
    path.write_text(json.dumps({"model_type": "paligemma", "text_config": text}))
    assert read_config(path).architecture.hidden_size == 3072
    path.write_text(json.dumps(text | {"hidden_size": 3072, "num_hidden_layers": 1, "num_attention_heads": 16}))
    with pytest.raises(InputError, match="as in an embedder"):
        read_config(path)


def test_queries_of_a_shared_vector_are_made_in_two_products(tmp_path: Path) -> None:
    """Step-3: 7168 to 2048, and 2048 to 64 heads of 256; one key and value of 256 numbers a layer are kept."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CASES["step3-text"]["config"]))
    a = read_config(path).architecture
    assert count_kv_numbers(a, ONE, 10) == 61 * 2 * 256 * 10
    work = list_all(build_pass(a, ONE, load_stack("ideal"), prefill_batch(10, 1)))
    flops = {op.name: op.flops for _, op in work}
    assert flops["qkv projection"] == 2 * 10 * 7168 * (2048 + 2 * 256)
    assert flops["query up"] == 2 * 10 * 2048 * 64 * 256


WIDE = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}
QWEN2_7B = WIDE | {"model_type": "qwen2", "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False}
SEEN = {"query_num": 64, "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27}, "slice_config": {"a": 1}}
MOLMO = {"intermediate_size": 37888, "embedding_size": 152064, "qkv_bias": True, "weight_tying": False}


@pytest.mark.parametrize(
    "other",
    [{"model_type": "minicpmv"} | SEEN, {"model_type": "minicpmo"} | SEEN, {"model_type": "molmo"} | MOLMO],
    ids=lambda other: str(other["model_type"]),
)
def test_the_language_model_of_what_sees_is_the_one_it_was_made_of(other: dict[str, object], tmp_path: Path) -> None:
    """MiniCPM-V 2.6, MiniCPM-o 2.6 and Molmo 7B-D lay Qwen2 7B flat beside the part that sees."""
    counted = []
    for config in (QWEN2_7B, QWEN2_7B | other):
        (tmp_path / "config.json").write_text(json.dumps(config))
        counted.append(count_parameters(read_config(tmp_path / "config.json").architecture))
    assert counted[1] == counted[0] == 7_615_616_512


def test_telechat_has_names_of_its_own_and_a_bias_behind_attention(tmp_path: Path) -> None:
    """Worked out by hand: two tables of 2,000, two layers of four square matrices, three of 48, and norms."""
    sizes = {"hidden_size": 16, "n_layer": 2, "n_head": 4, "ffn_hidden_size": 48, "vocab_size": 2000, "seq_length": 64}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "telechat"} | sizes))
    a = read_config(tmp_path / "config.json").architecture
    assert count_parameters(a) == 2 * 2000 * 16 + 2 * (4 * 16 * 16 + 16 + 3 * 16 * 48 + 2 * 16) + 16
