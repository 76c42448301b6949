"""Operators in words: text that is written is read, and its work is what PyTorch counts and what a layer launches."""

import re

import numpy as np
import pytest
import samples
import torch
from factor_samples import typical
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.operators import EDGES, build_operators, classify_size, find_class
from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.operators import Operator
from simulator.costs.passes import build_pass, list_all
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_model, load_stack
from simulator.inputs.operator_text import (
    DECODE,
    KINDS,
    PREFILL,
    WHOLE,
    format_operator,
    is_library_reduce,
    name_kind,
    parse_operator,
)
from simulator.prediction import describe_machine
from simulator.timing.passes import time_operator

A100 = load_hardware("a100-sxm-80gb")
TENSORRT = load_stack("tensorrt-llm-1.0")
TYPICAL = typical("tensorrt-llm-1.0")
DTYPES = {2: torch.float16, 4: torch.float32}
NAMES = {2: "fp16", 4: "fp32"}

counts = st.integers(1, 24)
element_sizes = st.sampled_from(list(DTYPES))


@st.composite
def operators(draw: st.DrawFn, sizes: st.SearchStrategy[float]) -> tuple[str, dict[str, float]]:
    """A kind with a value of each of its sizes."""
    kind = draw(st.sampled_from(list(KINDS)))
    whole = {"direct": st.integers(0, 1)} | dict.fromkeys(WHOLE, st.integers(1, 10**15 - 1))
    drawn = {name: draw(whole.get(name, sizes)) for name in KINDS[kind]}
    if kind == "attention":
        drawn["queries"], drawn["context"] = sorted((drawn["queries"], drawn["context"]))
        drawn["kv_heads"] = drawn["heads"]
    if kind == "experts":
        drawn["experts"] = max(drawn["chosen"], drawn["experts"], drawn["held"])
    return kind, drawn


@given(operators(st.integers(1, 10**15 - 1)))
def test_whole_sizes_are_read_as_they_were_written(operator: tuple[str, dict[str, float]]) -> None:
    kind, sizes = operator
    assert parse_operator(format_operator(kind, **sizes)) == (kind, tuple(sizes.values()))


@given(operators(st.floats(1e-300, 1e15)))
def test_writing_what_was_read_changes_no_letter(operator: tuple[str, dict[str, float]]) -> None:
    kind, sizes = operator
    text = format_operator(kind, **sizes)
    read_kind, read_sizes = parse_operator(text)
    assert read_sizes == pytest.approx(list(sizes.values()), rel=1e-14)
    assert format_operator(read_kind, **dict(zip(KINDS[kind], read_sizes, strict=True))) == text


def test_the_order_of_the_sizes_does_not_matter() -> None:
    assert parse_operator("linear k=64 m=16 n=4096") == parse_operator("linear m=16 n=4096 k=64")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linaer m=1 n=8 k=8", "unknown operator 'linaer'; did you mean 'linear'? (allowed: linear, batched, "),
        ("all-reduce bytes=8 direct=0", "unknown operator 'all-reduce'; did you mean 'all_reduce'? (allowed: "),
        ("convolution m=1", "unknown operator 'convolution' (allowed: linear, batched, "),
        ("linear m=1 n=8", "operator 'linear m=1 n=8' must say m, n, k"),
        ("linear m=1 n=8 k=8 batch=2", "operator 'linear m=1 n=8 k=8 batch=2' must say m, n, k"),
        ("batched m=1 n=8 q=8 batch=2", "operator 'batched m=1 n=8 q=8 batch=2' must say batch, m, n, k"),
        ("linear m=1 n=8 k=eight", "operator 'linear m=1 n=8 k=eight': a size is not a plain number"),
        ("linear m=1 n=8 k", "operator 'linear m=1 n=8 k': a size is not a plain number"),
        ("linear m=-1 n=8 k=8", "operator 'linear m=-1 n=8 k=8': m is -1; it must be above 0"),
        ("", "unknown operator ''"),
        ("linear m=1 m=2 n=8 k=8", "operator 'linear m=1 m=2 n=8 k=8' must say m, n, k, each once"),
        ("linear m=1_0 n=8 k=8", "operator 'linear m=1_0 n=8 k=8': a size is not a plain number"),
        ("linear m=1 n=8 k=0", "operator 'linear m=1 n=8 k=0': k is 0; it must be above 0 and below"),
        (
            "attention sequences=1 queries=9 context=8 heads=1 kv_heads=1 head_size=8",
            "operator 'attention sequences=1 queries=9 context=8 heads=1 kv_heads=1 head_size=8': more queries than",
        ),
        ("linear m=inf n=8 k=8", "operator 'linear m=inf n=8 k=8': a size is "),
        ("linear m=nan n=8 k=8", "operator 'linear m=nan n=8 k=8': a size is "),
    ],
)
def test_what_is_no_operator_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_operator(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@given(counts, st.integers(1, 3), st.integers(0, 40))
def test_attention_is_decode_exactly_for_one_query_after_a_cache(heads: int, queries: int, cached: int) -> None:
    sizes = {"sequences": 2, "heads": heads, "kv_heads": 1, "head_size": 64}
    text = format_operator("attention", queries=queries, context=cached + queries, **sizes)
    assert name_kind(text) == (DECODE if queries == 1 and cached else PREFILL)


def test_only_an_all_reduce_that_is_not_direct_is_the_librarys() -> None:
    assert is_library_reduce("all_reduce bytes=1024 direct=0")
    assert not is_library_reduce("all_reduce bytes=1024 direct=1")
    assert not is_library_reduce("linear m=1 n=8 k=8")


def size_of(*tensors: torch.Tensor) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def build(kind: str, sizes: dict[str, float], element_bytes: int) -> Operator:
    """The one operator of a kind, of numbers of so many bytes."""
    (operator,) = build_operators(kind, sizes, Deployment(dtype=NAMES[element_bytes]), TENSORRT)
    return operator


def empty(*shape: int, size: int) -> torch.Tensor:
    """A tensor with a shape and no numbers."""
    return torch.empty(shape, dtype=DTYPES[size], device="meta")


@given(counts, counts, counts, element_sizes)
def test_a_linear_operator_has_the_work_and_the_operands_that_pytorch_has(m: int, n: int, k: int, size: int) -> None:
    x, weight = empty(m, k, size=size), empty(n, k, size=size)
    with FlopCounterMode(display=False) as counter:
        y = functional.linear(x, weight)
    operator = build("linear", {"m": m, "n": n, "k": k, "copies": 0}, size)
    assert operator.flops == counter.get_total_flops()
    assert (operator.weight_bytes, operator.activation_bytes) == (size_of(weight), size_of(x, y))
    assert operator.bytes_moved == size_of(x, weight, y)


@given(counts, counts, counts, counts, element_sizes)
def test_a_batched_operator_has_the_work_and_the_operands_that_pytorch_has(
    batch: int, m: int, n: int, k: int, size: int
) -> None:
    left, right = empty(batch, m, k, size=size), empty(batch, k, n, size=size)
    with FlopCounterMode(display=False) as counter:
        product = torch.bmm(left, right)
    operator = build("batched", {"batch": batch, "m": m, "n": n, "k": k}, size)
    assert operator.flops == counter.get_total_flops()
    assert operator.bytes_moved == size_of(left, right, product)


@given(st.integers(1, 4), counts, st.integers(0, 40), st.integers(1, 4), st.integers(1, 4), counts, element_sizes)
def test_attention_has_the_work_that_pytorch_counts_under_a_causal_mask(
    sequences: int, queries: int, cached: int, kv_heads: int, group: int, head_size: int, size: int
) -> None:
    heads, context = kv_heads * group, cached + queries
    query = empty(sequences * heads, queries, head_size, size=size)
    keys, values = (empty(sequences, kv_heads, context, head_size, size=size) for _ in "kv")
    with FlopCounterMode(display=False) as counter:
        whole = [t.repeat_interleave(group, dim=1).reshape(-1, context, head_size) for t in (keys, values)]
        mixed = torch.bmm(torch.bmm(query, whole[0].transpose(1, 2)).softmax(-1), whole[1])
    seen = torch.ones(queries, context).tril(diagonal=cached).sum().item()  # scores that the mask lets through
    sizes = (sequences, queries, context, heads, kv_heads, head_size, 0, 0)
    text = format_operator("attention", **dict(zip(KINDS["attention"], sizes, strict=True)))
    operator = build(name_kind(text), dict(zip(KINDS["attention"], sizes, strict=True)), size)
    assert operator.flops == counter.get_total_flops() * seen / (queries * context)
    assert operator.activation_bytes == size_of(query, mixed)
    added = [cache[:, :, cached:] for cache in (keys, values)]  # written, and all are read
    assert operator.kv_bytes == size_of(keys, values, *added)


@given(st.sampled_from(list(EDGES)), st.data())
def test_a_size_is_in_the_class_that_names_it_and_in_no_other(kind: str, data: st.DataObject) -> None:
    for _, _, edges in EDGES[kind]:
        value = data.draw(st.sampled_from(edges) | st.floats(1e-300, 1e300))
        probes = [edges[0] / 2, *edges[1:], 2 * edges[-1]]
        names = [find_class(probe, edges) for probe in probes]
        holding = [name for name in names if low_end(name) < value <= high_end(name)]
        assert holding == [find_class(value, edges)]
        assert [low_end(name) for name in names] == [0, *map(high_end, names[:-1])]
        assert high_end(names[-1]) == float("inf")


def low_end(name: str) -> float:
    """Number that a class is past; 0 where it says none."""
    found = re.search(r"past (\S+)", name)
    return float(found[1]) if found else 0.0


def high_end(name: str) -> float:
    """Number that a class goes up to; infinite where it says none."""
    found = re.search(r"to (\S+)", name)
    return float(found[1]) if found else float("inf")


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("linear m=16 n=4096 k=4096", 2, "linear, m past 1 to 16, weights past 32 to 128 MB"),
        ("linear m=17 n=4096 k=4096", 1, "linear, m past 16 to 64, weights past 8 to 32 MB"),
        (
            "attention sequences=1 queries=1 context=128 heads=96 kv_heads=2 head_size=128",
            2,
            "decode_attention, heads a key past 32, context past 16 to 128",
        ),
        (
            "attention sequences=1 queries=1 context=1 heads=32 kv_heads=8 head_size=128",
            2,
            "prefill_attention, queries to 32",
        ),
        ("all_reduce bytes=16000001 direct=0", 2, "all_reduce, message past 16 MB"),
        ("elementwise bytes=1000000 launches=1", 2, "elementwise, bytes past 0.1 to 1 MB"),
        ("host launches=7", 2, "host"),
    ],
)
def test_size_classes_are_of_tokens_bytes_and_heads_that_share_keys(text: str, size: int, expected: str) -> None:
    assert classify_size(text, size) == expected


def find_in_model(name: str, kind: str, deployment: Deployment, decoding: bool) -> Operator:
    """An operator of GPT-J as the simulator builds it, for four sequences over 96 tokens."""
    tokens = decode_batch(96, 4) if decoding else prefill_batch(96, 4)
    step = build_pass(load_model("gptj-6b").architecture, deployment, TENSORRT, tokens)
    (found,) = [operator for _, operator in list_all(step) if (operator.name, operator.kind) == (name, kind)]
    return found


# GPT-J: 4096 wide, 16 heads of 256, 16384 in the FFN, and one all-reduce a layer, of attention and FFN together.
@pytest.mark.parametrize(
    ("text", "name", "tp", "decoding"),
    [
        ("linear m=384 n=12288 k=4096", "qkv projection", 1, False),
        ("linear m=4 n=4096 k=8192", "ffn out", 2, True),
        (
            "attention sequences=4 queries=96 context=96 heads=16 kv_heads=16 head_size=256",
            "attention",
            1,
            False,
        ),
        ("attention sequences=4 queries=1 context=96 heads=8 kv_heads=8 head_size=256", "attention", 2, True),
        ("all_reduce bytes=3145728 direct=1", "ffn all-reduce", 4, False),
        ("all_reduce bytes=32768 direct=1", "ffn all-reduce", 4, True),
    ],
)
def test_a_measured_operator_costs_and_takes_what_it_does_in_a_model(
    text: str, name: str, tp: int, decoding: bool
) -> None:
    deployment = Deployment(tp)
    in_model = find_in_model(name, name_kind(text), deployment, decoding)
    kind, sizes = parse_operator(text)
    alone = build(name_kind(text), dict(zip(KINDS[kind], sizes, strict=True)), 2)
    assert alone._replace(name=name) == in_model
    row = samples.make_operator_row(text, A100.id, TENSORRT.id, tp=tp)
    machine = describe_machine(A100, TENSORRT, deployment, None)
    for factors in (TYPICAL, TYPICAL.replace(product_latency_s=6e-6, kernel_latency_s=6e-6, direct_latency_cycles=9e3)):
        in_pass = time_operator(in_model, machine._replace(factors=factors))
        assert predict_rows(build_cases([row], "none"), factors) == pytest.approx([in_pass], rel=1e-12)


def test_a_table_of_operators_is_answered_as_its_rows_are_one_by_one() -> None:
    texts = [
        *(f"linear m={m} n=1024 k=4096" for m in (1, 33, 4096)),
        *(f"attention sequences=2 queries={q} context=512 heads=8 kv_heads=2 head_size=128" for q in (1, 8, 512)),
        *(f"all_reduce bytes={size} direct={direct}" for size in (2048, 2**23) for direct in (0, 1)),
    ]
    rows = [samples.make_operator_row(text, A100.id, TENSORRT.id, tp=2) for text in reversed(texts)]
    together = predict_rows(build_cases(rows, "none"), TYPICAL)
    alone = np.concatenate([predict_rows(build_cases([row], "none"), TYPICAL) for row in rows])
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert len(set(together)) == len(rows) - 1  # past the largest direct message, both kinds are the library's
