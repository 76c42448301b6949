"""Models by the names that checkpoints, tools and papers give them."""

import csv
from pathlib import Path

import pytest

from simulator import InputError
from simulator.costs.parameters import count_parameters
from simulator.inputs.library import MODEL_FOLDER, index_names, load_model
from simulator.inputs.model_names import match_model

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = index_names(MODEL_FOLDER)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", ("llama-3.1-8b", "fp8")),
        ("RedHatAI/Llama-3.3-70B-Instruct-fp8-dynamic", ("llama-3.3-70b", "fp8")),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", ("llama-3.1-8b", "int4-g128")),
        ("RedHatAI/Qwen2.5-7B-Instruct-quantized.w8a8", ("qwen2.5-7b", "int8")),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", ("llama-3.1-8b", "int4-g128")),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8", ("qwen2.5-7b", "int8-g128")),
        ("unsloth/Llama-3.2-1B-Instruct-bnb-4bit", ("llama-3.2-1b", "nf4")),
        ("amd/Llama-3.1-70B-Instruct-FP8-KV", ("llama-3.1-70b", "fp8")),
        ("models/llama-3-8b-q4_k_m.gguf", ("llama-3-8b", "q4_k_m")),
        ("Meta-Llama-3.1-70B-Instruct-IQ2_XXS-00001-of-00002.gguf", ("llama-3.1-70b", "iq2_xxs")),
        ("llama3:8b-instruct-q4_K_M", ("llama-3-8b", "q4_k_m")),
        ("/models/Llama-3.1-8B-Instruct/", ("llama-3.1-8b", None)),
        ("llama3.1", ("llama-3.1-8b", None)),
        ("deepseek-r1:671b", ("deepseek-v3", None)),
        ("qwen3:30b", ("qwen3-30b-a3b", None)),
        ("gemma3:27b-it-qat", ("gemma-3-27b", None)),
        ("qwen3moe 30B.A3B Q4_K - Medium", ("qwen3-30b-a3b", "q4_k_m")),
        ("qwen3next 80B.A3B Q4_K - Medium", ("qwen3-next-80b-a3b", "q4_k_m")),
        ("gpt-oss 120B MXFP4 MoE", ("gpt-oss-120b", "mxfp4")),
        ("llama2-70b-interactive-99.9", ("llama-2-70b", None)),
        ("llama3_1-405b", ("llama-3.1-405b", None)),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", ("deepseek-v3", "nvfp4")),
        ("amd/DeepSeek-R1-0528-MXFP4-Preview", ("deepseek-v3", "mxfp4")),
        ("mlx-community/Meta-Llama-3.1-8B-Instruct-4bit", ("llama-3.1-8b", "4.5bit")),
        ("Intel/Qwen3-30B-A3B-Instruct-2507-int4-AutoRound", ("qwen3-30b-a3b", "int4-g128")),
        ("unsloth/Qwen3-30B-A3B-GGUF:UD-Q4_K_XL", ("qwen3-30b-a3b", "q4_k_m")),
        ("unsloth/DeepSeek-R1-GGUF:UD-Q2_K_XL", None),  # too far from any type
        ("hugging-quants/Meta-Llama-3.1-405B-BNB-NF4-BF16", ("llama-3.1-405b", "nf4")),
        ("amd/gpt-oss-120b-w-mxfp4-a-fp8", ("gpt-oss-120b", "mxfp4")),
        ("turboderp/Llama-3.1-8B-Instruct-exl3", None),  # of how many bits?
        ("turboderp/Llama-3.1-8B-Instruct-4.65bpw-h6-exl2", ("llama-3.1-8b", "4.65bpw")),
        ("accounts/fireworks/models/llama-v3p1-70b-instruct", ("llama-3.1-70b", None)),
        ("Llama-3.2-1B-Instruct.Q6_K.llamafile", ("llama-3.2-1b", "q6_k")),
        ("Qwen/Qwen3-4B-Instruct-2507", ("qwen3-4b", None)),
        ("deepseek-ai/DeepSeek-V3.1-Terminus", ("deepseek-v3", None)),
        ("Falcon 180B", ("falcon-180b", None)),
        ("GPT-J 6B", ("gptj-6b", None)),
        ("Megatron-530B", ("mt-nlg-530b", None)),
        ("LLaMA-1 13B", ("llama-13b", None)),
        ("bert-base-uncased", None),
        ("someone/my-llama-3.1-8b", None),
        ("Llama-3.1-8B-abliterated", None),
        ("instruct", None),
        ("", None),
    ],
)
def test_a_name_means_what_is_left_without_maker_format_and_tuning(name: str, meant: object) -> None:
    assert match_model(name, NAMES) == meant


def test_every_shipped_name_means_itself() -> None:
    for name, path in NAMES.items():
        assert match_model(name, NAMES) == (path.stem, None)


def test_a_checkpoint_is_its_model_with_a_note() -> None:
    spec = load_model("nvidia/Llama-3.1-8B-Instruct-FP8")
    assert (spec.id, spec.architecture) == ("llama-3.1-8b", load_model("llama-3.1-8b").architecture)
    assert spec.note is not None
    assert "is taken as llama-3.1-8b" in spec.note
    assert load_model("llama-3.1-8b").note is None


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("GPT-20B", 20),
        ("GPT-89B", 88),
        ("gpt-175b", 175),
        ("llama-7b", 6.74),
        ("llama-13b", 13.0),
        ("internlm-20b", 20.1),
    ],
)
def test_models_of_benchmarks_have_the_size_in_their_name(name: str, billions: float) -> None:
    assert count_parameters(load_model(name).architecture) == pytest.approx(billions * 1e9, rel=0.02)


@pytest.mark.parametrize("table", ["published.csv", "published_2.csv", "serving/inferencex.csv", "serving/mlperf.csv"])
def test_all_models_of_the_published_tables_ship(table: str) -> None:
    path = DATA / table
    if not path.is_file():
        pytest.skip(f"needs {path}")
    with path.open(encoding="utf-8") as file:
        named = {row["model"] for row in csv.DictReader(file)}
    missing = []
    for name in sorted(named):
        try:
            load_model(name)
        except InputError:
            missing.append(name)
    assert missing == []
