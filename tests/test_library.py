"""From a name, a file or a change to the thing itself, and one line of why where there is none."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from samples import predict

from simulator import InputError
from simulator.costs.parameters import count_parameters
from simulator.inputs import library
from simulator.inputs.architecture import Architecture
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.inputs.ranges import parse_counts
from simulator.inputs.what_if import change_architecture, change_hardware, read_scalar
from simulator.timing.profile import list_settings, load_profile

PROFILE = "a100-sxm-80gb--megatron-lm-2022"
SHELVES: dict[str, tuple[Path, Callable[[Any], Any]]] = {
    "model": (library.MODEL_FOLDER, load_model),
    "hardware": (library.HARDWARE_FOLDER, load_hardware),
    "stack": (library.STACK_FOLDER, load_stack),
    "profile": (library.PROFILE_FOLDER, load_profile),
}
NAMES = [(what, name, path.stem) for what in SHELVES for name, path in library.iterate_names(SHELVES[what][0])]
SPELLINGS = (str.lower, str.upper, str.title, str.swapcase)


@pytest.mark.parametrize("what", SHELVES)
def test_a_name_or_alias_is_found_in_any_case(what: str) -> None:
    names = [(name, id_) for shelf, name, id_ in NAMES if shelf == what]
    assert names
    found = {write(name): SHELVES[what][1](write(name)).id for name, _ in names for write in SPELLINGS}
    assert found == {write(name): id_ for name, id_ in names for write in SPELLINGS}


@pytest.mark.parametrize("what", SHELVES)
def test_no_name_means_two_things(what: str) -> None:
    names = [name.lower() for kind, name, _ in NAMES if kind == what]
    assert sorted(names) == sorted(set(names))


def test_a_profile_is_named_after_its_device_and_stack() -> None:
    profiles = [load_profile(f"{hardware}--{stack}") for hardware, stack in list_settings()]
    assert {profile.id for profile in profiles} == set(library.list_ids(library.PROFILE_FOLDER))
    assert [(profile.hardware, profile.stack) for profile in profiles] == list_settings()


@pytest.mark.parametrize(
    ("what", "misspelt", "meant"),
    [
        ("model", "openai-davinchi", "openai-davinci"),
        ("model", "GPTJ-6", "gptj-6b"),
        ("hardware", "a100-smx-80gb", "a100-sxm-80gb"),
        ("stack", "megatron-ml-2022", "megatron-lm-2022"),
        ("profile", "a100-sxm-80gb--megatron", PROFILE),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(what: str, misspelt: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"^unknown {what} '{misspelt}'.* did you mean '{meant}'\?"):
        SHELVES[what][1](misspelt)


@pytest.mark.parametrize("what", SHELVES)
def test_a_file_of_ones_own_stands_wherever_a_name_does(what: str, tmp_path: Path) -> None:
    folder, load = SHELVES[what]
    shipped = next(folder.glob("*.yaml"))
    path = tmp_path / "own.yml"
    path.write_text(shipped.read_text().replace(f"id: {shipped.stem}\n", "id: my-own\n", 1))
    assert load(path).id == load(str(path)).id == "my-own"


def test_a_prediction_takes_a_file_in_each_place(tmp_path: Path) -> None:
    names = dict(zip(SHELVES, ("gptj-6b", "a100-sxm-80gb", "megatron-lm-2022", PROFILE), strict=True))
    files = {what: shutil.copy(SHELVES[what][0] / f"{name}.yaml", tmp_path) for what, name in names.items()}
    by_name, by_file = (
        predict(given["model"], given["hardware"], given["profile"], stack=given["stack"]) for given in (names, files)
    )
    assert by_file.to_dict() == by_name.to_dict()
    assert by_file.basis == "calibrated"


@pytest.mark.parametrize("what", SHELVES)
@pytest.mark.parametrize("name", ["nowhere.yaml", "./nowhere", "~/nowhere-to-be-found.yml", "/nowhere/config.json"])
def test_a_file_that_is_not_there_is_not_looked_up_as_a_name(what: str, name: str) -> None:
    with pytest.raises(InputError, match=rf"{re.escape(name.removeprefix('~').removeprefix('./'))}: no such file"):
        SHELVES[what][1](name)


# Hugging Face config.json files: the keys that give a model its shape, as the published files spell them.
CONFIGS: dict[str, dict[str, Any]] = {
    "gptj-6b": {  # huggingface.co/EleutherAI/gpt-j-6b
        **{"model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "n_inner": None, "n_positions": 2048},
        **{"vocab_size": 50400, "rotary_dim": 64, "tie_word_embeddings": False},
    },
    "gpt-neox-20b": {  # huggingface.co/EleutherAI/gpt-neox-20b
        **{"model_type": "gpt_neox", "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64},
        **{"intermediate_size": 24576, "vocab_size": 50432, "max_position_embeddings": 2048},
        **{"tie_word_embeddings": False, "use_cache": True, "rotary_pct": 0.25},
    },
    "opt-66b": {  # huggingface.co/facebook/opt-66b
        **{"model_type": "opt", "hidden_size": 9216, "num_hidden_layers": 64, "num_attention_heads": 72},
        **{"ffn_dim": 36864, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 9216},
    },
    "bloom": {  # huggingface.co/bigscience/bloom
        **{"model_type": "bloom", "hidden_size": 14336, "n_layer": 70, "n_head": 112, "vocab_size": 250880},
    },
}
GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}
LLAMA = {
    **{"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"intermediate_size": 11008, "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5},
}
LLAMA_3 = {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}
# As Hugging Face Transformers counts the parameters of gpt2, meta-llama/Llama-2-7b and meta-llama/Meta-Llama-3-8B.
SIZES = [(GPT2, 124_439_808), (LLAMA, 6_738_415_616), (LLAMA | LLAMA_3, 8_030_261_248)]


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hugging_face_configuration_is_the_shipped_model(name: str, tmp_path: Path) -> None:
    folder = write_config(tmp_path, CONFIGS[name])
    assert load_model(folder).architecture == load_model(name).architecture
    assert load_model(folder / "config.json").architecture == load_model(str(folder)).architecture


@pytest.mark.parametrize(("config", "parameters"), SIZES, ids=["gpt2", "llama-2-7b", "llama-3-8b"])
def test_a_hugging_face_configuration_counts_to_its_published_size(
    config: dict[str, Any], parameters: int, tmp_path: Path
) -> None:
    assert count_parameters(load_model(write_config(tmp_path, config)).architecture) == parameters


def test_a_bloom_configuration_may_say_n_embed(tmp_path: Path) -> None:
    """As bigscience/bloom-560m spells it; BloomConfig keeps the key for compatibility."""
    old = {"model_type": "bloom", "n_embed": 1024, "n_layer": 24, "num_attention_heads": 16, "vocab_size": 250880}
    assert count_parameters(load_model(write_config(tmp_path, old)).architecture) == 559_214_592


def test_a_gpt_neox_without_parallel_residual_sums_twice_a_layer(tmp_path: Path) -> None:
    """As togethercomputer/RedPajama-INCITE-Instruct-3B-v1 has it."""
    config = CONFIGS["gpt-neox-20b"] | {"use_parallel_residual": False}
    assert not load_model(write_config(tmp_path, config)).architecture.parallel_residual


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model_type": "t5", "d_model": 64}, "'t5' is not a decoder alone"),
        ({"hidden_size": None}, "missing key 'hidden_size'"),
        ({"intermediate_size": None}, "missing key 'intermediate_size'"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers is '32'; it must be a whole number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be at least 1"),
        ({"num_attention_heads": 33}, "hidden_size 4096 is not a multiple of num_attention_heads 33"),
        ({"num_key_value_heads": 5}, "num_attention_heads 32 is not a multiple of num_key_value_heads 5"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    folder = write_config(tmp_path, {key: value for key, value in (LLAMA | change).items() if value is not None})
    with pytest.raises(InputError, match=rf"config.json: {'.*' if problem[0] == '(' else ''}{re.escape(problem)}"):
        load_model(folder)


TINY = Architecture(64, 2, 4, 255, 100, 32, position_embedding="learned")


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ({"tp": 3}, "tp 3 does not divide num_attention_heads 16"),
        ({"model": TINY, "tp": 2}, "tp 2 does not divide intermediate_size 255"),
        ({"model": TINY, "prompt_tokens": 30, "output_tokens": 4}, "reaches 33 tokens, past the 32 positions"),
        (
            {"tp": 16, "hardware": "h20-96gb"},
            "a node of h20-96gb links 8 devices, 16 are to work together",
        ),
        ({"pp": 29}, "pp 29 is more stages than there are layers, num_hidden_layers 28"),
        ({"tp": 0}, "tp is 0; it must be a whole number of at least 1"),
        ({"tp": 2.0}, "tp is 2.0; it must be a whole number"),
        (
            {"hardware": "v100-sxm-32gb", "dtype": "bf16"},
            "v100-sxm-32gb: no bf16 matrix peak in its data sheet (it has",
        ),
        ({"hardware": "gh200-96gb", "tp": 2}, "gh200-96gb: no link between devices"),
        ({"dtype": "fp12"}, "unknown dtype 'fp12'"),
        ({"weight_dtype": "fp12"}, "unknown weight dtype 'fp12'"),
        ({"prompt_tokens": 0}, "prompt_tokens is 0; it must be a whole number of at least 1"),
        ({"batch_size": -1.5}, "batch_size is -1.5"),
        ({"prompt_tokens": float("nan")}, "prompt_tokens is nan"),
        ({"prompt_tokens": np.array([1, np.nan])}, "prompt_tokens holds a value that is not a whole number"),
        ({"batch_size": []}, "batch_size is empty"),
        ({"prompt_tokens": "many"}, "prompt_tokens is 'many'; it must be a number"),
    ],
)
def test_an_impossible_question_is_refused_with_its_reason(question: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        predict(**{"model": "gptj-6b", "hardware": "a100-sxm-80gb", "calibration": "none"} | question)


@pytest.mark.parametrize(
    "question",
    [
        {"prompt_tokens": [1, 2, 3], "output_tokens": [1, 2]},  # ValueError of NumPy
        {"prompt_tokens": "5"},  # text taken as a number
        {"batch_size": True},  # true taken as 1
        {"prompt_tokens": 10**400},  # OverflowError
    ],
)
def test_counts_that_are_no_counts_are_refused(question: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        predict("gptj-6b", "a100-sxm-80gb", "none", **question)


def test_a_model_may_be_changed_once_the_stack_has_built_it() -> None:
    """Megatron-LM builds every model with all heads and one position table; the change comes after."""
    changes = {"num_hidden_layers": 56, "num_key_value_heads": 4, "max_position_embeddings": 4096}
    answer = predict("gptj-6b", "a100-sxm-80gb", "none", stack="megatron", changes=changes, prompt_tokens=3900)
    built = answer.question.work.architecture
    assert (built.num_hidden_layers, built.kv_heads, built.max_position_embeddings) == (56, 4, 4096)
    assert answer.question.model_label == "gptj-6b (" + ", ".join(f"{k}={v}" for k, v in changes.items()) + ")"
    plain = predict("gptj-6b", "a100-sxm-80gb", "none", prompt_tokens=3900)
    assert 2 * answer.kv_cache_bytes == plain.kv_cache_bytes  # twice the layers, a quarter of the heads


def test_a_device_may_be_changed_and_is_then_another_device() -> None:
    link = {"links.node.bandwidth": "600 GB/s", "links.node.direction": "both ways together"}
    changed = change_hardware("h100-pcie-80gb", {"memory.bandwidth": "4.8 TB/s", **link})
    assert changed.memory.bandwidth == 4.8e12
    assert changed.find_link(8).bandwidth_each_way == 300e9
    assert changed.compute == load_hardware("h100-pcie").compute
    fast = change_hardware("a100-sxm-80gb", {"memory.bandwidth": "4.8 TB/s"})
    assert predict("gptj-6b", fast, PROFILE).basis == "transfer"
    assert predict("gptj-6b", fast).basis == "transfer"


def change_model(key: str, text: str) -> Architecture:
    return change_architecture(load_model("gptj-6b").architecture, {key: read_scalar(text)})


def change_device(key: str, text: str) -> Hardware:
    return change_hardware("a100-sxm-80gb", {key: text})


@pytest.mark.parametrize(
    ("change", "key", "value", "problem"),
    [
        (change_model, "num_hiden_layers", "48", "unknown key; did you mean 'num_hidden_layers'?"),
        (change_model, "num_hidden_layers", "many", "'many' is text; needs a whole number"),
        (change_model, "num_attention_heads", "7", "is not a multiple of num_attention_heads 7"),
        (change_model, "position_embedding", "rotory", "did you mean 'rotary'?"),
        (change_model, "hidden_size", "[1", "'[1' is not a value"),
        (change_device, "memory.bandwith", "4.8 TB/s", "unknown key; did you mean 'bandwidth'?"),
        (change_device, "memory.bandwidth", "4.8", "4.8 needs a unit, e.g. '2039 GB/s'"),
        (change_device, "memory.bandwidth", "4.8 TB", "is bytes; this field needs bytes per second"),
        (change_device, "memory.bandwidth", "-1 TB/s", "must be more than zero"),
        (change_device, "memory.bandwidth.read", "1 TB/s", "'bandwidth' holds a value, not further keys"),
        (change_device, "memory.efficiency", "0.5", "efficiency: unknown key"),
        (change_device, "compute.units", "0", "units is 0; it must be at least 1"),
    ],
)
def test_a_change_that_means_nothing_is_refused(change: Callable[..., Any], key: str, value: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        change(key, value)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("512", [512]),
        ("1,8,64", [1, 8, 64]),
        ("64-512+64", [64, 128, 192, 256, 320, 384, 448, 512]),
        ("128-32768*2", [128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]),
        ("3-9+4, 1, 5-5+1", [3, 7, 1, 5]),
    ],
)
def test_a_list_or_range_is_read_in_its_order(text: str, counts: list[int]) -> None:
    assert parse_counts(text, "prompt tokens") == counts


@given(st.integers(1, 10**6), st.integers(0, 10**4), st.integers(1, 10**3), st.integers(2, 10))
def test_a_range_holds_its_ends_and_nothing_past_them(first: int, more: int, step: int, factor: int) -> None:
    last = first + more
    assert parse_counts(f"{first}-{last}+{step}", "n") == list(range(first, last + 1, step))
    powers = [first * factor**i for i in range(64) if first * factor**i <= last]
    assert parse_counts(f"{first}-{last}*{factor}", "n") == powers


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "1e3", "many", "1,,2", "1-10", "5-1+1", "1-9*1", "1-9+0", "0-9+1", "1-1000000+1"]
)
def test_a_range_that_goes_nowhere_is_refused_under_its_name(text: str) -> None:
    with pytest.raises(InputError, match=r"^prompt tokens: "):
        parse_counts(text, "prompt tokens")


def test_a_folder_of_the_same_name_does_not_stand_in_for_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_model("gpt-neox-20b")
    (tmp_path / "gpt-neox-20b").mkdir()
    write_config(tmp_path / "gpt-neox-20b", CONFIGS["gptj-6b"])
    monkeypatch.chdir(tmp_path)
    assert load_model("gpt-neox-20b") == shipped
    assert load_model("./gpt-neox-20b").architecture == load_model(tmp_path / "gpt-neox-20b").architecture
    assert load_model("./gpt-neox-20b") != shipped


@pytest.mark.parametrize(
    "changes",
    [
        {"builds_as": {"hidden_size": "big"}},
        {"builds_as": {"hidden_size": -1}},
        {"builds_as_by_model": {"gptj-6b": {"hiden_size": 1}}},
        {"vocab_multiple": 0},
        {"layer_kernels": [{"name": "norm", "over": "hidden", "reads": -1}]},
        {"layer_kernels": [{"name": "norm", "over": "hidden", "launches": -1}]},
        {"unfused_attention": None},
    ],
)
def test_a_stack_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = yaml.safe_load((library.STACK_FOLDER / "megatron-lm-2022.yaml").read_text())
    path = tmp_path / "stack.yaml"
    path.write_text(yaml.safe_dump(data | changes))
    with pytest.raises(InputError) as caught:
        load_stack(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
