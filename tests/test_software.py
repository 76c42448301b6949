"""Which stack and which profile answer where none is named, and what is said to differ."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import predict

from simulator.errors import InputError, RebuiltModelWarning
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import HARDWARE_FOLDER, PROFILE_FOLDER, list_ids, load_hardware, load_model, load_stack
from simulator.inputs.stack_support import find_obstacle, list_formats_asked
from simulator.inputs.stack_versions import name_engine
from simulator.serving.simulation import simulate
from simulator.timing.profile import list_settings, load_profile
from simulator.timing.software import choose_software
from simulator.timing.transfer import ERRORS, Phases, add_errors, list_formats, list_moves, list_place_moves

DEVICES = list_ids(HARDWARE_FOLDER)


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_has_an_estimate_by_a_stack_that_builds_what_it_is_asked_for(name: str) -> None:
    profile, stack = choose_software(load_hardware(name), None, None)
    assert profile is not None
    assert not stack.rebuilds


@pytest.mark.parametrize(("home", "stack"), list_settings())
def test_what_was_measured_answers_for_itself(home: str, stack: str) -> None:
    profile, chosen = choose_software(load_hardware(home), stack, None)
    assert profile is not None
    assert (profile.hardware, profile.stack, chosen.id) == (home, stack, stack)


@pytest.mark.parametrize(
    ("device", "engine"),
    [
        ("h100-sxm-80gb", "vllm"),
        ("mi355x-288gb", "vllm"),
        ("rtx-pro-6000-server-96gb", "vllm"),
        ("rtx-5090", "llama.cpp"),
        ("rx-7900-xtx-24gb", "llama.cpp"),
        ("apple-m4-max", "llama.cpp"),
        ("gaudi3-128gb", "optimum-habana"),
        ("epyc-9654", "pytorch-eager"),
    ],
)
def test_a_device_is_served_with_what_people_serve_it_with(device: str, engine: str) -> None:
    assert name_engine(choose_software(load_hardware(device), None, None).stack.id) == engine


def test_an_engine_without_a_version_is_the_version_that_is_carried_best() -> None:
    for device in ("a100-sxm-40gb", "mi300x-192gb", "h200-sxm-141gb"):
        measured = [stack for home, stack in list_settings() if home == device and name_engine(stack) == "vllm"]
        assert choose_software(load_hardware(device), "vllm", None).stack.id in measured
        assert choose_software(load_hardware(device), "vLLM", "none").stack.id == "vllm-0.14"  # the newest, of a bound


def test_a_version_that_does_not_ship_is_answered_by_the_one_that_covers_it() -> None:
    stack = choose_software(load_hardware("h100"), "vllm-0.18", None).stack
    assert stack.id == "vllm-0.14"
    assert stack.note == "no stack ships for vllm-0.18: vllm-0.14 stands for it"


def test_a_nearer_device_is_carried_before_a_farther_one() -> None:
    profile = choose_software(load_hardware("a100-pcie-80gb"), "vllm-0.6", None).profile
    assert profile is not None
    assert profile.hardware.startswith("a100")
    profile = choose_software(load_hardware("mi325x"), "vllm-0.6", None).profile
    assert profile is not None
    assert profile.hardware == "mi300x-192gb"


def test_differences_name_the_farthest_of_the_device_and_of_the_stack() -> None:
    h100, vllm = load_hardware("h100"), load_stack("vllm-0.6")
    kinds = [
        (("h100-sxm-80gb", "vllm-0.6"), []),
        (("h200-sxm-141gb", "vllm-0.6"), ["device"]),
        (("a100-sxm-80gb", "vllm-0.10"), ["generation", "version"]),
        (("mi300x-192gb", "sglang-0.4"), ["maker", "engine"]),
        (("gaudi2-96gb", "vllm-0.6"), ["class"]),
        (("my-own-chip", "vllm-0.6"), ["maker"]),
    ]
    for (home, stack), expected in kinds:
        assert [move.what for move in list_place_moves(home, stack, h100, vllm)] == expected


def test_a_design_that_no_sheet_names_is_like_no_other() -> None:
    """Gaudi 3 is not of the design of Gaudi 2, though neither sheet names one; two of Apple's of a year are alike."""
    pairs = {("gaudi2-96gb", "gaudi3-128gb"): "generation", ("apple-m2-ultra", "apple-m2-max"): "device"}
    pairs |= {("apple-m2-ultra", "apple-m4-pro"): "vector generation"}
    for (home, other), expected in pairs.items():
        (move,) = list_place_moves(home, "vllm-0.6", load_hardware(other), load_stack("vllm-0.6"))
        assert move.what == expected


def test_errors_grow_with_the_distance_and_add_as_squares() -> None:
    for near, far in (("device", "generation"), ("generation", "maker"), ("maker", "class"), ("class", "processor")):
        assert ERRORS[near].prefill < ERRORS[far].prefill
        assert ERRORS[near].decode < ERRORS[far].decode
    # No two generations without matrix units were measured; a profile of one is still nearer than one of another class.
    assert all(a < b for a, b in zip(ERRORS["generation"], ERRORS["vector generation"], strict=True))
    assert all(a < b for a, b in zip(ERRORS["vector generation"], ERRORS["class"], strict=True))
    moves = list_place_moves("a100-sxm-80gb", "sglang-0.4", load_hardware("h100"), load_stack("vllm-0.6"))
    expected = Phases(*(np.hypot(*pair) for pair in zip(ERRORS["generation"], ERRORS["engine"], strict=True)))
    assert add_errors(moves) == pytest.approx(expected)


def test_what_the_rows_did_not_have_is_said_and_widens_the_interval() -> None:
    """A profile of dense models in 16 bits, tp to 4, batches to 64 and 2,049 tokens, asked for something else."""
    profile = load_profile("a100-sxm-40gb--vllm-0.6")
    assert profile.covers is not None
    seen = replace(profile.covers, models=["llama-3-8b"], kinds=["attention", "ffn"], formats=["16-bit"], tp=1)
    profile = replace(profile, covers=replace(seen, batch_size=4, tokens=1000))

    def ask(model: str = "llama-3-8b", **other: object) -> list[str]:
        question = predict(model, "a100-sxm-40gb", profile, stack="vllm-0.6", dtype="bf16", **other).question  # type: ignore[arg-type]
        return [move.what for move in list_moves(profile, question.hardware, question.model.id, question.work)]

    assert ask() == []
    assert ask("llama-2-7b") == ["model"]
    assert ask("mixtral-8x7b-v0.1") == ["model", "kind"]
    assert ask(weight_dtype="int4-g128") == ["format"]
    assert ask(tp=2) == ["layout"]
    assert ask(batch_size=17) == ask(prompt_tokens=4000) == ["size"]
    near, far = (predict("llama-3-8b", "a100-sxm-40gb", profile, batch_size=size, dtype="bf16") for size in (16, 17))
    assert far.tpot_s_high / far.tpot_s > near.tpot_s_high / near.tpot_s
    both = predict("llama-3-8b", "a100-sxm-40gb", profile, batch_size=[16, 17], dtype="bf16")
    assert both.tpot_s_high == pytest.approx([near.tpot_s_high, far.tpot_s_high])


def test_formats_are_told_apart_by_what_is_not_of_16_bits() -> None:
    labels = {"bf16": {"16-bit"}, "fp16": {"16-bit"}, "experts mxfp4, rest bf16": {"mxfp4"}, "q4_k_m": {"q4_k_m"}}
    labels |= {"layers fp8-block, rest bf16": {"fp8-block"}, "int4-g128": {"int4"}, "": {"16-bit"}}
    assert {label: list_formats(label) for label in labels} == labels


@pytest.mark.parametrize("name", ["tp", "batch_size", "tokens"])
def test_rows_of_nothing_are_refused(name: str, tmp_path: Path) -> None:
    shipped = (PROFILE_FOLDER / "a100-sxm-40gb--vllm-0.6.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(re.sub(rf"^  {name}: \d+$", f"  {name}: 0", shipped, flags=re.MULTILINE))
    with pytest.raises(InputError, match=rf"covers.{name}: {name} is 0; it must be at least 1"):
        load_profile(tmp_path / "mine.yaml")


def test_a_stack_that_builds_another_model_says_so_in_python() -> None:
    with pytest.warns(RebuiltModelWarning, match=r"megatron-lm-2022 builds llama-3-8b as a model of 5.64 billion"):
        built = predict("llama-3-8b", "a100-sxm-80gb", stack="megatron-lm-2022")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = predict("llama-3-8b", "a100-sxm-80gb")
    with pytest.warns(RebuiltModelWarning, match="megatron-lm-2022 builds llama-3-8b"), pytest.raises(InputError):
        simulate("llama-3-8b", "a100-sxm-80gb", stack="megatron-lm-2022", concurrency=1)  # which has no scheduler
    assert built.question.built_parameters == pytest.approx(5.64e9, rel=0.01)
    assert named.question.built_parameters == 8_030_261_248


def test_consumer_blackwell_takes_what_was_measured_on_ada() -> None:
    """10.0 and 12.0 are both called Blackwell; kernels of the second are written for the instruction of Ada's."""
    expected = {"rtx-pro-6000": "l40s-48gb", "rtx-5090": "l40s-48gb", "gb200": "b200-180gb", "b300": "b200-180gb"}
    for device, home in expected.items():
        profile = choose_software(load_hardware(device), "tensorrt-llm-1.3", None).profile
        assert profile is not None
        assert profile.hardware == home
    (move,) = list_place_moves("b200-180gb", "vllm-0.6", load_hardware("rtx-pro-6000"), load_stack("vllm-0.6"))
    assert move.what == "generation"
    assert move.words == "Blackwell 12.0 for Blackwell 10.0"


def test_of_equals_a_profile_of_the_nearer_generation_and_bandwidth_is_carried() -> None:
    """An RTX 5090 (12.0) is nearer to 8.9 than to 8.6, and its memory to a 4090's; a 4070's is nearer to a 4080's."""
    for device, home in {"rtx-5090": "rtx-4090", "rtx-4070": "rtx-4080", "rtx-3090-ti": "rtx-3090"}.items():
        profile = choose_software(load_hardware(device), None, None).profile
        assert profile is not None
        assert profile.hardware == home


def test_of_equals_a_profile_of_the_same_form_of_memory_is_carried() -> None:
    profile = choose_software(load_hardware("rtx-3080-10gb"), "llama.cpp-b2795", None).profile
    assert profile is not None
    assert profile.hardware in ("rtx-3090", "rtx-a6000-48gb")  # and not the A100, of the same generation too


@pytest.mark.parametrize("stack", [None, "vllm"])
def test_a_version_that_cannot_run_a_model_is_not_chosen_for_it(stack: str | None) -> None:
    device = load_hardware("mi300x-192gb")
    assert choose_software(device, stack, None, load_model("llama-3.1-8b")).stack.id == "vllm-0.6"  # measured there
    chosen = choose_software(device, stack, None, load_model("gpt-oss-120b"))
    assert find_obstacle(chosen.stack, load_model("gpt-oss-120b").architecture, set(), device) is None
    assert chosen.profile is not None
    assert chosen.profile.hardware == device.id


def test_a_stack_says_which_models_and_makers_it_does_not_run() -> None:
    amd, nvidia = load_hardware("mi300x-192gb"), load_hardware("h100-sxm-80gb")
    old, sinks, hybrid = load_stack("vllm-0.6"), load_model("gpt-oss-20b"), load_model("qwen3-next-80b-a3b")
    assert "vLLM 0.10.1" in str(find_obstacle(old, sinks.architecture, set(), amd))
    assert "vLLM 0.10.2" in str(find_obstacle(old, hybrid.architecture, set(), nvidia))
    assert find_obstacle(old, load_model("deepseek-v3").architecture, set(), amd) is None
    assert "alone, not of AMD" in str(find_obstacle(load_stack("tensorrt-llm-1.3"), sinks.architecture, set(), amd))


@pytest.mark.parametrize(
    ("device", "weights", "engine"),
    [
        ("rtx-5090", "nvfp4", "vllm"),
        ("rtx-4090", "int4-awq", "vllm"),
        ("rtx-3090", "fp8", "vllm"),
        ("rtx-4090", "q4_k_m", "llama.cpp"),
        ("b200-180gb", "nvfp4", "vllm"),
        ("apple-m4-max", "q4_k_m", "llama.cpp"),
    ],
)
def test_a_device_is_served_with_an_engine_that_runs_the_format(device: str, weights: str, engine: str) -> None:
    hardware, model = load_hardware(device), load_model("llama-3.1-8b")
    asked = Deployment(weight_dtype=weights)
    stack = choose_software(hardware, None, None, model, asked).stack
    assert name_engine(stack.id) == engine
    assert find_obstacle(stack, model.architecture, list_formats_asked(asked, None), hardware) is None


def test_blackwell_is_not_answered_by_builds_from_before_it() -> None:
    for engine in (None, "llama.cpp", "vllm", "tensorrt-llm"):
        stack = choose_software(load_hardware("rtx-5090"), engine, None, load_model("llama-3.1-8b")).stack
        assert stack.id not in {"llama.cpp-b2795", "vllm-0.6", "tensorrt-llm-0.12"}


@pytest.mark.parametrize(
    ("device", "stack", "weights", "words"),
    [
        ("rtx-5090", "llama.cpp-b2795", None, "kernels built for Blackwell, which came with"),
        ("v100-sxm-32gb", "vllm-0.14", "fp8", "on Volta"),
        ("h100-sxm-80gb", "tensorrt-llm-1.3", "nvfp4", "before Blackwell"),
        ("a100-sxm-80gb", "tensorrt-llm-1.3", "fp8", "before Ada Lovelace"),
        ("apple-m2-ultra", "vllm-0.14", None, "Apple's GPUs"),
        ("mi300x-192gb", "lmdeploy-0.1", None, "NVIDIA alone"),
        ("h100-sxm-80gb", "tensorrt-llm-1.3", "q4_k_m", "GGUF"),
    ],
)
def test_a_stack_that_is_named_for_what_it_cannot_run_says_so(
    device: str, stack: str, weights: str | None, words: str
) -> None:
    question = predict("llama-3.1-8b", device, stack=stack, weight_dtype=weights, assume_fits=True).question
    assert words in str(question.obstacle)
