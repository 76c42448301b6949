"""A law reads the same for a number, an array, a symbol and a dual number: the functions under every law agree."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import numbers as elementary
from simulator.explore.dual import seed_duals, slopes_of, value_of
from simulator.numbers import (
    both,
    ceil,
    choose,
    either,
    is_multiple,
    is_symbolic,
    maximum,
    minimum,
    power,
    round_corner,
    round_up,
    smooth_maximum,
    square_root,
    where,
    whole_part,
)

whole = st.integers(1, 10**9)
# Quarters are exact in binary, so that a float and a rational are the same number and may be compared for equality.
quarters = st.integers(1, 10**6).map(lambda n: n / 4)
positive = st.floats(1e-9, 1e12)

# Each function of the module, as one of numbers, with the numbers it takes.
LAWS: dict[str, tuple[Callable[..., Any], tuple[st.SearchStrategy[Any], ...]]] = {
    "ceil": (ceil, (quarters,)),
    "minimum": (minimum, (quarters, quarters)),
    "maximum": (maximum, (quarters, quarters)),
    "where": (lambda a, b: where(a > b, a + 1, b + 2), (quarters, quarters)),
    "choose": (lambda a, b: choose(a > b, lambda: a + 1, lambda: b + 2), (quarters, quarters)),
    "both": (lambda a, b: where(both(a > 9, b > 9), a, b), (quarters, quarters)),
    "square_root": (lambda a: square_root(a * a), (quarters,)),
    "either": (lambda a, b: where(either(a > 9, b > 9), a, b), (quarters, quarters)),
    "power": (lambda a: power(2, a), (st.integers(1, 40),)),
    "whole_part": (whole_part, (quarters,)),
    "is_multiple": (lambda a: where(is_multiple(a, 8), a, -a), (st.integers(1, 99),)),
    "round_up": (lambda a, b: round_up(a, b), (st.integers(1, 10**9), st.sampled_from((1, 8, 64, 128, 1024)))),
}


def test_every_function_is_held_to_agree() -> None:
    defined = {name for name, _ in inspect.getmembers(elementary, inspect.isfunction)}
    assert defined == {*LAWS, "smooth_maximum", "round_corner", "is_symbolic", "sort_distinct"}


def evaluate(law: Callable[..., Any], values: tuple[float, ...]) -> Any:
    """Run the law on symbols, then put the numbers in."""
    symbols = sympy.symbols(f"x:{len(values)}", positive=True)
    exact = [sympy.Rational(value) for value in values]
    return law(*symbols).subs(dict(zip(symbols, exact, strict=True)))


@pytest.mark.parametrize("name", LAWS)
@settings(max_examples=25)  # SymPy is slow
@given(data=st.data())
def test_number_array_and_symbol_agree(name: str, data: st.DataObject) -> None:
    law, kinds = LAWS[name]
    rows = data.draw(st.lists(st.tuples(*kinds), min_size=1, max_size=9))
    numbers = [law(*row) for row in rows]
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    assert list(law(*columns)) == numbers
    assert evaluate(law, rows[0]) == sympy.nsimplify(numbers[0], rational=True)


@pytest.mark.parametrize("name", LAWS)
@given(data=st.data())
def test_a_number_stays_a_plain_number_and_an_array_an_array(name: str, data: st.DataObject) -> None:
    law, kinds = LAWS[name]
    row = data.draw(st.tuples(*kinds))
    assert type(law(*row)) in (int, float)
    assert isinstance(law(*(np.array([value], dtype=np.float64) for value in row)), np.ndarray)


@pytest.mark.parametrize("name", LAWS)
@given(data=st.data())
def test_a_dual_number_has_the_value_of_a_number(name: str, data: st.DataObject) -> None:
    law, kinds = LAWS[name]
    row = data.draw(st.tuples(*kinds))
    duals = seed_duals({str(place): value for place, value in enumerate(row)})
    assert not is_symbolic(*duals.values())
    assert value_of(law(*duals.values())) == law(*row)


@given(positive, positive, st.floats(1, 50))
def test_a_smooth_maximum_of_dual_numbers_has_its_derivatives(a: float, b: float, sharpness: float) -> None:
    seeds = seed_duals({"a": a, "b": b, "sharpness": sharpness}, logarithmic=False)
    smooth = smooth_maximum(seeds["a"], seeds["b"], seeds["sharpness"])
    assert value_of(smooth) == smooth_maximum(a, b, sharpness)
    by_a, by_b, by_sharpness = slopes_of(smooth)
    # It scales with its arguments (Euler's theorem), grows with each, and falls as it is sharpened.
    assert by_a * a + by_b * b == pytest.approx(value_of(smooth), rel=1e-9)
    assert 0 <= by_a <= 1 + 1e-12
    assert 0 <= by_b <= 1 + 1e-12
    assert by_sharpness <= 0


@settings(max_examples=25)
@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=4), st.floats(1, 50))
def test_smooth_maximum_of_number_array_and_symbol_agree(rows: list[tuple[float, float]], sharpness: float) -> None:
    numbers = [smooth_maximum(a, b, sharpness) for a, b in rows]
    a, b = np.array(rows).T
    np.testing.assert_allclose(smooth_maximum(a, b, sharpness), numbers, rtol=1e-14)
    symbolic = evaluate(lambda x, y: smooth_maximum(x, y, sharpness), rows[0])
    assert float(symbolic) == pytest.approx(numbers[0], rel=1e-12)


@given(positive, positive, st.floats(1, 50))
def test_smooth_maximum_is_between_the_larger_and_its_bound(a: float, b: float, sharpness: float) -> None:
    larger, smooth = max(a, b), smooth_maximum(a, b, sharpness)
    assert larger <= smooth <= larger * 2 ** (1 / sharpness) * (1 + 1e-14)
    assert smooth == smooth_maximum(b, a, sharpness)


@given(positive, st.floats(1, 50))
def test_smooth_maximum_of_equals_is_its_bound_and_of_something_and_nothing_is_exact(
    a: float, sharpness: float
) -> None:
    assert smooth_maximum(a, a, sharpness) == pytest.approx(a * 2 ** (1 / sharpness), rel=1e-14)
    assert smooth_maximum(a, 0.0, sharpness) == a


@given(positive, positive, st.floats(1, 40))
def test_a_sharper_maximum_is_closer_to_the_larger(a: float, b: float, sharpness: float) -> None:
    assert smooth_maximum(a, b, sharpness + 1) <= smooth_maximum(a, b, sharpness) * (1 + 1e-14)


@given(whole, st.integers(1, 4096))
def test_rounding_up_reaches_the_next_multiple_and_no_further(value: int, multiple: int) -> None:
    rounded = round_up(value, multiple)
    assert is_multiple(rounded, multiple)
    assert value <= rounded < value + multiple
    assert round_up(rounded, multiple) == rounded


@given(quarters)
def test_a_ceiling_is_a_whole_number_less_than_one_above(value: float) -> None:
    assert value <= ceil(value) < value + 1
    assert ceil(value) == math.floor(ceil(value))


def test_a_choice_works_out_only_what_it_takes() -> None:
    def refuse() -> float:
        raise AssertionError("worked out for nothing")

    assert choose(True, lambda: 1.0, refuse) == 1.0
    assert choose(False, refuse, lambda: 2.0) == 2.0
    assert list(choose(np.array([True, True]), lambda: np.array([1.0, 2.0]), refuse)) == [1.0, 2.0]
    assert list(choose(np.array([False]), refuse, lambda: np.array([3.0]))) == [3.0]


@pytest.mark.parametrize("plain", [1, 1.5, True, np.float64(2), np.int64(2), np.bool_(True), np.ones(3)])
def test_numbers_and_arrays_are_not_symbolic_and_one_symbol_is_enough(plain: Any) -> None:
    assert not is_symbolic(plain)
    assert is_symbolic(plain, sympy.Symbol("x"))


@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12))
def test_a_rounded_corner_is_the_smooth_maximum_of_sharpness_four(a: float, b: float) -> None:
    assert round_corner(a, b) == pytest.approx(smooth_maximum(a, b, 4), rel=1e-14)
    assert round_corner(np.array([a]), b)[0] == round_corner(a, b)
