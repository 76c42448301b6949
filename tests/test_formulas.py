"""The printed formula and the counted number are one law: put numbers in, and they are the same."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.formulas import (
    ARCHITECTURE_SYMBOLS,
    COLUMNS,
    SYMBOLS,
    Formula,
    derive_formulas,
    find_symbol,
    read_values,
)
from simulator.costs.passes import Pass, build_pass, list_all
from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, replace_fields
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_model, load_stack

MEGATRON, IDEAL = "megatron-lm-2022", "ideal"
# Grouped heads and three FFN matrices, as in Llama-3-8B (arXiv 2407.21783, table 3).
GROUPED = Architecture(
    hidden_size=4096,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    intermediate_size=14336,
    vocab_size=128256,
    max_position_embeddings=8192,
    gated_mlp=True,
)
CASES = [
    ("gptj-6b", MEGATRON, {"t": 8}),
    ("openai-davinci", MEGATRON, {"t": 8}),
    ("bloom", MEGATRON, {"t": 4}),
    ("gptj-6b", IDEAL, {"t": 2}),
    ("yalm", IDEAL, {"t": 4}),
    ("grouped", MEGATRON, {"t": 4}),
    ("grouped", IDEAL, {"t": 8}),
    ("gptj-6b", MEGATRON, {"t": 1}),  # no messages, and nothing to do about them
    ("grouped", IDEAL, {"t": 1}),
]
REQUESTS = [{"b": 3, "p": 67, "c": 100}, {"b": 32, "p": 512, "c": 1537}]
SIZES = {"fp32": 4, "fp16": 2}


def find_model(name: str, stack: str) -> Architecture:
    return load_stack(stack).build(GROUPED if name == "grouped" else load_model(name).architecture, name)


@cache
def derive(name: str, stack: str) -> list[Formula]:
    return derive_formulas(find_model(name, stack), load_stack(stack), {})


def count(name: str, stack: str, values: Mapping[str, int], dtypes: tuple[str, str, str]) -> dict[str, Pass]:
    """The same pass in plain numbers."""
    a = replace_fields(find_model(name, stack), {SYMBOLS[s][0]: values[s] for s in ARCHITECTURE_SYMBOLS}, "test")
    weight, activation, kv = dtypes
    d = Deployment(values["t"], dtype=activation, weight_dtype=weight, kv_dtype=kv)
    tokens = {"prefill": prefill_batch(values["p"], values["b"]), "decode": decode_batch(values["c"], values["b"])}
    return {phase: build_pass(a, d, load_stack(stack), tokens[phase]) for phase in tokens}


def list_rows(step: Pass) -> list[list[Any]]:
    """Name, repetitions and costs of every operator of a pass, and of the whole."""
    rows = [[op.name, n, *(getattr(op, column) for column in COLUMNS)] for n, op in list_all(step)]
    return [*rows, ["total", 1, *(sum(row[1] * row[i] for row in rows) for i in range(2, 2 + len(COLUMNS)))]]


def list_expressions(formulas: list[Formula], phase: str) -> list[list[Any]]:
    """The same of formulas."""
    return [[f.operator, f.times, *(f.costs[column] for column in COLUMNS)] for f in formulas if f.phase == phase]


@cache
def compile_formulas(name: str, stack: str, phase: str) -> Callable[..., list[list[Any]]]:
    """The formulas as a function of the symbols, in the order of their table."""
    symbols = [sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS]
    rows = list_expressions(derive(name, stack), phase)
    made: Callable[..., list[list[Any]]] = sympy.lambdify(symbols, [expressions for _, *expressions in rows], "math")
    return made


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
@pytest.mark.parametrize(("name", "stack", "layout"), CASES)
def test_a_formula_with_numbers_put_in_is_the_number(
    name: str, stack: str, layout: dict[str, int], request_: dict[str, int]
) -> None:
    a = find_model(name, stack)
    values = read_values(a, layout | request_ | {"w": 2, "x": 2, "y": 2})
    formulas = derive_formulas(a, load_stack(stack), values)
    for phase, step in count(name, stack, values, ("fp16", "fp16", "fp16")).items():
        numbers = [[row[0], *map(float, row[1:])] for row in list_expressions(formulas, phase)]
        assert numbers == list_rows(step)


dtypes = st.tuples(*[st.sampled_from(("fp32", "fp16"))] * 3)


@pytest.mark.parametrize("stack", [MEGATRON, IDEAL])
@given(data=st.data(), elements=dtypes)
def test_formulas_hold_for_dimensions_that_no_model_has(
    stack: str, data: st.DataObject, elements: tuple[str, str, str]
) -> None:
    small = st.integers(1, 99)
    values = {name: data.draw(small, label=name) for name in ("h", "L", "d", "V", "b", "p", "c")}
    tp, kv_heads, group = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    values |= {"t": tp, "k": tp * kv_heads, "a": tp * kv_heads * group, "f": tp * data.draw(small)}
    values |= dict(zip("wxy", (SIZES[dtype] for dtype in elements), strict=True))
    for phase, step in count("grouped", stack, values, elements).items():
        law = compile_formulas("grouped", stack, phase)
        numbers = law(*(values[symbol] for symbol in SYMBOLS))
        assert numbers == [costs for _, *costs in list_rows(step)]


@pytest.mark.parametrize(("name", "stack"), sorted({case[:2] for case in CASES}))
def test_a_formula_speaks_of_nothing_but_the_symbols_in_the_table(name: str, stack: str) -> None:
    table = {sympy.Symbol(symbol, positive=True, integer=True) for symbol in SYMBOLS}
    used = set()
    for formula in derive(name, stack):
        for expression in (formula.times, *formula.costs.values()):
            used |= expression.free_symbols
    assert used <= table
    # Tied or not, a model's work depends on all of its dimensions, its layout and the request.
    assert used == table


def test_putting_all_numbers_in_leaves_no_symbol() -> None:
    a, values = find_model("bloom", MEGATRON), {"t": 8, "b": 2, "p": 64, "c": 99, "w": 2, "x": 2, "y": 2}
    formulas = derive_formulas(a, load_stack(MEGATRON), read_values(a, values))
    assert all(cost.is_integer for formula in formulas for cost in formula.costs.values())


def test_a_prefill_of_gpt_3_takes_two_flops_a_parameter_and_token() -> None:
    """To leading order 24 L h^2 FLOPs a token: Narayanan et al. 2021 (arXiv 2104.04473), appendix, forward pass."""
    h, layers = (sympy.Symbol(name, positive=True, integer=True) for name in "hL")
    whole = {"t": 8, "b": 1, "p": 1, "V": 1024, "d": 128}
    known = {sympy.Symbol(name, positive=True, integer=True): value for name, value in whole.items()}
    shape = {sympy.Symbol("f", positive=True, integer=True): 4 * h}
    shape |= {sympy.Symbol(heads, positive=True, integer=True): h / 128 for heads in "ak"}
    total = next(f for f in derive("openai-davinci", IDEAL) if (f.phase, f.operator) == ("prefill", "total"))
    # Key heads are at least one a device, and far more here.
    flops = 8 * total.costs["flops"].replace(sympy.Max, lambda one, heads: heads).subs(known).subs(shape)
    assert sympy.limit(flops / (layers * h**2), h, sympy.oo) == 24


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_is_found_by_its_name_and_by_itself(symbol: str) -> None:
    assert find_symbol(SYMBOLS[symbol][0]) == find_symbol(symbol) == symbol


def test_an_unknown_symbol_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown symbol 'hiden_size'.*'hidden_size'"):
        find_symbol("hiden_size")


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_a_value_that_is_not_a_whole_number_of_at_least_one_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="whole number of at least 1"):
        read_values(None, {"p": value})


def test_a_value_given_by_hand_wins_over_the_model() -> None:
    values = read_values(load_model("openai-davinci").architecture, {"num_hidden_layers": 2, "t": 8})
    assert values["L"] == 2
    assert values["t"] == 8
    assert values["k"] == values["a"] == 96
    assert values["d"] == 128


def test_formulas_of_experts_and_latent_attention_are_the_numbers() -> None:
    values: dict[str, int] = {"t": 4, "b": 3, "p": 67, "c": 100, "w": 2, "x": 2, "y": 2}
    for name in ("mixtral-8x7b-v0.1", "deepseek-v3"):
        a = find_model(name, IDEAL)
        put = {symbol: int(value) for symbol, value in read_values(a, values).items()}
        formulas = derive_formulas(a, load_stack(IDEAL), put)
        for phase, step in count(name, IDEAL, put, ("fp16", "fp16", "fp16")).items():
            for row, counted in zip(list_expressions(formulas, phase), list_rows(step), strict=True):
                assert row[0] == counted[0]
                assert [float(cost) for cost in row[1:]] == pytest.approx([float(cost) for cost in counted[1:]])
