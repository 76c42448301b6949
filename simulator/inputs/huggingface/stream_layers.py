"""Layers with parallel residual streams and attention to picked tokens between linear ones: Qwen4-Exp and GLM-5.3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.inputs.huggingface.config import Config
from simulator.inputs.huggingface.kinds import Kind

Fields = dict[str, Any]
Placed = tuple[list[Kind], Fields]
PICKED = ("indexed_attention", "full_attention")
WITNESSES = (2, 3, 5, 7, 11, 13, 17)  # enough below 3.4e14 (Jaeschke 1993)


def list_picked(config: Config, layers: int, default: int) -> list[bool]:
    """Whether each layer attends to picked tokens: as ``layer_types`` says, else the last of each ``default``.

    Raises:
        InputError: a list of another length or with an unknown type.
    """
    types = config.sized("layer_types", layers, str)
    unknown = next((of for of in types if of not in (*PICKED, "linear_attention")), None)
    if unknown is not None:
        raise config.error(f"layer_types: '{unknown}' is not supported")
    return [of in PICKED for of in types] or [(layer + 1) % default == 0 for layer in range(layers)]


def place_qwen4(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Gated delta layers, and attention to blocks of tokens that an index picks; streams are mixed at low rank.

    Some layers look up hashes of the last tokens in large tables of their own (``ple_layer_ids``, from 1).
    """
    layers, h = len(kinds), values["hidden_size"]
    picked = list_picked(config, layers, config.whole("full_attention_interval", default=4) or 4)
    delta = {"linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_conv_kernel_dim": 4}
    delta |= {"linear_key_head_dim": 128, "linear_value_head_dim": 128}
    sizes = {name: config.whole(name, default=size) or size for name, size in delta.items()}
    index = {
        "index_n_heads": config.whole("indexer_n_heads", default=None) or 4,
        "index_head_dim": config.whole("indexer_head_dim", default=None) or 128,
        "index_topk": config.whole("indexer_budget", default=None) or 2048,
        "index_block": config.whole("indexer_compress_ratio", default=None) or 1,
    }
    streams = config.whole("hc_count", default=4) or 4
    rank = config.whole("hc_lowrank", default=320) or 320
    wide = streams * h
    mixing = 2 * (2 * wide * rank + wide * streams)  # before both parts of a layer
    looks_up = sorted(set(config.items("ple_layer_ids", int)))
    placed = []
    for layer, (kind, picks) in enumerate(zip(kinds, picked, strict=True)):
        placed_kind = (
            kind._replace(mixer="indexed_attention").with_sizes(attention_gate="element", **index)
            if picks
            else kind._replace(mixer="gated_delta").with_sizes(**sizes)
        )
        more = {"other_layer_parameters": mixing + 2 * wide, "side_parameters": mixing, "stream_products": 0}
        if layer + 1 in looks_up:
            products, others, kept = measure_lookup(config, h, wide, looks_up.index(layer + 1))
            more["other_layer_parameters"] += products + others
            more["side_parameters"] += products
            more["kept_numbers"] = kept
        placed.append(placed_kind.with_sizes(**more))
    return placed, {"other_parameters": wide + 2 * wide * rank, "residual_streams": streams}


def measure_lookup(config: Config, hidden_size: int, wide: int, place: int) -> tuple[int, int, int]:
    """Numbers of the products around a layer's tables of hashed n-grams, of all else, and of what a sequence keeps.

    A key of each stream and a value are made of the rows looked up, and a convolution with gaps follows. Each table has
    a prime number of rows, the next after those of the tables before.
    """
    size = config.whole("ple_embed_dim", default=None) or hidden_size
    longest = config.whole("ngram_size", default=3) or 3
    heads = max(1, (longest - 1) * (config.whole("heads_per_ngram", default=8) or 8))
    taps = config.whole("ple_conv_kernel_size", default=4) or 4
    base = config.whole("ngram_vocab_size_base", default=20_000_000) or 1
    multiple = config.whole("make_ngram_vocab_size_divisible_by", default=128) or 1
    if heads * (place + 1) > MOST_TABLES:
        raise config.error(f"heads_per_ngram and ngram_size make more than {MOST_TABLES} tables")
    rows = sum(list_primes(base, heads * (place + 1))[-heads:])
    table = multiple * -(-rows // multiple) * (size // heads)
    return size * (wide + hidden_size), table + 3 * wide + taps * wide, wide * (taps - 1) * longest + longest - 1


MOST_TABLES = 2_000


def list_primes(least: int, count: int) -> list[int]:
    """The first prime numbers from one on."""
    found: list[int] = []
    number = least
    while len(found) < count:
        if is_prime(number):
            found.append(number)
        number += 1
    return found


def is_prime(number: int) -> bool:
    """Whether a number is prime, by the test of Miller and Rabin."""
    if number < 2 or any(number % one == 0 for one in WITNESSES):
        return number in WITNESSES
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for witness in WITNESSES:
        power = pow(witness, odd, number)
        if power in (1, number - 1):
            continue
        if not any((power := power * power % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True


def place_glm5_next(config: Config, values: Fields, kinds: list[Kind]) -> Placed:
    """Kimi Delta Attention, and latent attention to blocks of tokens that an index picks, or a layer before has."""
    layers, h = len(kinds), values["hidden_size"]
    own = config.part("linear_attn_config") or config
    size = own.whole("head_dim" if own is not config else "linear_head_dim", default=None) or 128
    taps = own.whole("linear_conv_kernel_dim", "short_conv_kernel_size", default=None) or 4
    delta = {
        "linear_num_heads": own.whole("linear_num_heads", "num_heads", default=None) or 64,
        "linear_head_dim": size,
        "linear_conv_kernel_dim": taps,
        "linear_gate_rank": size,
    }
    index = {
        "index_n_heads": config.whole("index_n_heads", default=None) or 32,
        "index_head_dim": config.whole("index_head_dim", default=None) or 128,
        "index_topk": config.whole("index_topk", default=None) or 2048,
        "index_block": config.whole("index_kpool", default=None) or 16,
    }
    shared = list_shared(config, layers)
    placed = [
        kind._replace(mixer="kimi_delta").with_sizes(**delta)
        if not picks
        else kind._replace(mixer="indexed_latent_attention").with_sizes(
            **({"index_topk": index["index_topk"]} if alike else index)
        )
        for kind, picks, alike in zip(kinds, list_picked(config, layers, 4), shared, strict=True)
    ]
    streams = config.whole("hc_mult", default=4) or 1
    outputs = streams * (streams + 2)
    around = outputs * streams * h + outputs + 3
    return placed, {
        "other_layer_parameters": 2 * around,
        "side_parameters": 2 * outputs * streams * h,
        "residual_streams": streams,
        "qk_rope_head_dim": config.whole("qk_rope_head_dim", default=0, least=0) or 0,  # no part is turned
    }


def list_shared(config: Config, layers: int) -> list[bool]:
    """Whether each layer takes the picks of one before: ``indexer_types``, a pattern of F and S, or each ``freq``-th.

    Raises:
        InputError: a list or pattern of another length.
    """
    types = config.sized("indexer_types", layers, str)
    if types:
        return [of == "shared" for of in types]
    pattern = config.data.get("index_topk_pattern")
    if pattern is not None:
        if not isinstance(pattern, str | list) or len(pattern) != layers:
            raise config.error(f"index_topk_pattern must have {layers} entries, one a layer")
        return [of in ("S", "shared") for of in pattern]
    every = max(config.whole("index_topk_freq", default=1) or 1, 1)
    offset = config.whole("index_skip_topk_offset", default=2, least=0) or 0
    return [max(layer - offset + 1, 0) % every != 0 for layer in range(layers)]


LAYER_RULES: dict[str, Callable[[Config, Fields, list[Kind]], Placed]] = {
    "qwen4": place_qwen4,
    "glm5_next": place_glm5_next,
}
