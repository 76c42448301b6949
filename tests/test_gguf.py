"""Models from the header of a GGUF file: small ones, written with the package that llama.cpp's own tools use."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import predict

from simulator import InputError
from simulator.costs.parameters import count_parameters
from simulator.inputs.library import load_model
from simulator.prediction import Prediction

gguf: Any = pytest.importorskip("gguf")
TYPES = gguf.GGMLQuantizationType
VOCABULARY, WIDTH, INNER, HEADS, KEY_HEADS, LAYERS = 1000, 256, 512, 4, 2, 3
KEYS = WIDTH // HEADS * KEY_HEADS


def write(path: Path, tied: bool = False, experts: int = 0, architecture: str = "llama", numbers: bool = True) -> Path:
    """A model of three layers in several types; ``numbers``: with them, not its header alone."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)

    def add(name: str, kind: Any, *shape: int) -> None:
        writer.add_tensor(name, gguf.quants.quantize(np.ones(shape, np.float32), kind), raw_dtype=kind)

    add("token_embd.weight", TYPES.Q8_0, VOCABULARY, WIDTH)
    add("output_norm.weight", TYPES.F32, WIDTH)
    add("rope_freqs.weight", TYPES.F32, 32)
    if not tied:
        add("output.weight", TYPES.Q5_0, VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        add(f"blk.{layer}.attn_norm.weight", TYPES.F32, WIDTH)
        add(f"blk.{layer}.ffn_norm.weight", TYPES.F32, WIDTH)
        add(f"blk.{layer}.attn_q.weight", TYPES.Q4_0, WIDTH, WIDTH)
        add(f"blk.{layer}.attn_k.weight", TYPES.Q4_0, KEYS, WIDTH)
        add(f"blk.{layer}.attn_v.weight", TYPES.Q8_0 if layer else TYPES.Q5_1, KEYS, WIDTH)
        add(f"blk.{layer}.attn_output.weight", TYPES.Q4_0, WIDTH, WIDTH)
        stacked, end = ((experts,), "_exps") if experts else ((), "")
        if experts:
            add(f"blk.{layer}.ffn_gate_inp.weight", TYPES.F32, experts, WIDTH)
        add(f"blk.{layer}.ffn_gate{end}.weight", TYPES.Q4_0, *stacked, INNER, WIDTH)
        add(f"blk.{layer}.ffn_up{end}.weight", TYPES.Q4_0, *stacked, INNER, WIDTH)
        add(f"blk.{layer}.ffn_down{end}.weight", TYPES.Q5_1, *stacked, WIDTH, INNER)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if numbers:
        writer.write_tensors_to_file()
    else:
        writer.write_ti_data_to_file()
    writer.close()
    return path


def ask(path: Path, **options: Any) -> Prediction:
    """A small request, as a bound."""
    return predict(path, "rtx-4090", "none", prompt_tokens=16, output_tokens=2, **options)


@pytest.mark.parametrize(("tied", "experts"), [(False, 0), (True, 0), (False, 4)])
def test_weights_are_those_of_the_tensors_to_the_byte(tied: bool, experts: int, tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", tied, experts)
    tensors = gguf.GGUFReader(path).tensors
    answer = ask(path)
    assert answer.weights_bytes == pytest.approx(sum(int(tensor.n_bytes) for tensor in tensors), abs=0.5)
    counted = sum(int(tensor.n_elements) for tensor in tensors if "rope" not in tensor.name)
    assert count_parameters(answer.question.work.architecture) == counted
    assert answer.question.model.name == "Tiny"
    assert answer.question.work.architecture.tie_word_embeddings is tied


def test_the_answer_says_where_its_formats_are_from(tmp_path: Path) -> None:
    d = ask(write(tmp_path / "tiny.gguf")).question.work.deployment
    assert (d.dtype, d.cache_dtype) == ("fp16", "fp16")
    assert d.formats_from == "the checkpoint's own (tiny.gguf)"
    assert d.weights_label.endswith("bits, mostly q4_0")
    assert ask(tmp_path / "tiny.gguf", dtype="bf16").question.work.deployment.weights_label == "bf16"


def test_the_header_is_enough(tmp_path: Path) -> None:
    whole, header = write(tmp_path / "whole.gguf"), write(tmp_path / "header.gguf", numbers=False)
    assert header.stat().st_size < whole.stat().st_size / 10
    assert load_model(header).architecture == load_model(whole).architecture
    assert ask(header).weights_bytes == ask(whole).weights_bytes


def test_a_file_in_parts_needs_them_all(tmp_path: Path) -> None:
    first = write(tmp_path / "tiny-00001-of-00002.gguf")
    with pytest.raises(InputError, match=r"its part tiny-00002-of-00002\.gguf is not beside it"):
        load_model(first)


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("no header")
    with pytest.raises(InputError, match=r"text\.gguf: not a GGUF file that can be read"):
        load_model(path)
    write(path, architecture="llamma")
    with pytest.raises(InputError, match="unknown architecture 'llamma'; did you mean 'llama'"):
        load_model(path)


@pytest.mark.parametrize("count", [2**62, 10**7])
def test_an_array_longer_than_its_file_is_refused_at_once(count: int, tmp_path: Path) -> None:
    key, kinds = b"a", (9, 4)  # an array of numbers of four bytes
    head = struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, len(key)) + key
    path = tmp_path / "m.gguf"
    path.write_bytes(head + struct.pack("<IIQ", *kinds, count))
    with pytest.raises(InputError, match="an array is longer than the file"):
        load_model(path)
    text = struct.pack("<IQ", 8, 2) + b"\xff\xfe"  # of no letters
    for deep_or_wrong in (struct.pack("<I", 9) + 50_000 * struct.pack("<IQ", 9, 1), text):
        path.write_bytes(head + deep_or_wrong)
        with pytest.raises(InputError, match="not a GGUF file that can be read"):
            load_model(path)
