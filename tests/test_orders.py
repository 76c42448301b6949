"""More work is never sooner, fewer bits and faster parts never later, wherever a profile or a bound answers.

Where a real kernel breaks the order, ``orders.py`` says which and how far: the kernel that is chosen by size, and one
row on a stack with ``load_bytes``. ``python -m benchmarks.robustness --only orders`` goes through all settings.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.robustness.orders import MODELS, Orders, check_setting, list_places
from simulator import predict
from simulator.inputs.library import load_hardware, load_stack

PLACES = list(list_places())
GAUDI = ("gaudi2-96gb", "gaudi2-96gb--optimum-habana", "optimum-habana")


@settings(max_examples=5, derandomize=True)
@example(GAUDI, "llama-3-8b", 1)  # larger arrays once slowed its short prompts by two fifths
@given(st.sampled_from(PLACES), st.sampled_from(MODELS[:4]), st.sampled_from([1, 4]))
def test_the_laws_keep_their_order(place: tuple[str, str, str], model: str, tp: int) -> None:
    device, profile, stack = place
    found = Orders({}, [])
    question = {"model": model, "calibration": profile, "stack": stack, "tp": tp, "assume_fits": True}
    check_setting(load_hardware(device), question, found)
    assert not [one for one in found.broken if not one.known]


@pytest.mark.parametrize("dtype", ["fp8", "int4-g128"])
def test_narrow_weights_do_not_slow_a_memory_bound_decode_of_systolic_arrays(dtype: str) -> None:
    asked = {"calibration": "gaudi2-96gb--optimum-habana", "stack": "optimum-habana", "dtype": "bf16"}
    wide = predict("llama-3-8b", "gaudi2-96gb", **asked)  # type: ignore[arg-type]  # names of options
    narrow = predict("llama-3-8b", "gaudi2-96gb", weight_dtype=dtype, **asked)  # type: ignore[arg-type]
    assert narrow.tpot_s < wide.tpot_s


def test_the_stack_says_where_one_row_is_slower_than_two() -> None:
    place = ("a100-sxm-80gb", "a100-sxm-80gb--llama.cpp-b2795", "llama.cpp-b2795")
    assert load_stack(place[2]).load_bytes
    one, two = (
        predict("llama-3-8b", place[0], calibration=place[1], stack=place[2], dtype="fp16", batch_size=batch).tpot_s
        for batch in (1, 2)
    )
    assert two < one
