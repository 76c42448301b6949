"""Remembered answers are those of the function, for whatever is asked."""

from dataclasses import replace
from typing import Any

import numpy as np
from samples import predict

from simulator.inputs.library import load_model, load_stack
from simulator.memo import MOST, remember


def test_equal_arguments_are_worked_out_once_and_arrays_anew() -> None:
    asked = []

    @remember
    def double(value: object) -> object:
        asked.append(value)
        return value * 2  # type: ignore[operator]

    assert [double(2), double(2), double(2.5)] == [4, 4, 5]
    assert asked == [2, 2.5]
    for _ in range(2):
        assert np.array_equal(double(np.arange(3)), 2 * np.arange(3))  # type: ignore[arg-type]
    assert len(asked) == 4


def test_no_more_than_so_many_answers_are_kept() -> None:
    asked: list[int] = []
    ask = remember(asked.append)
    for value in [*range(MOST + 1), 0]:
        ask(value)
    assert len(asked) == MOST + 2


def test_stacks_of_one_name_that_differ_have_answers_of_their_own() -> None:
    stack = load_stack("tensorrt-llm-1.0")
    question: dict[str, Any] = {
        "model": "llama-3-8b",
        "hardware": "a100-sxm-80gb",
        "calibration": "a100-sxm-80gb--vllm-0.6",
    }
    whole = predict(**question, stack=stack).ttft_s
    assert predict(**question, stack=replace(stack, logits="all")).ttft_s > whole
    assert predict(**question, stack=stack).ttft_s == whole


def test_numbers_of_another_kind_are_not_handed_to_those_who_ask_in_pythons_own() -> None:
    model = load_model("llama-3-8b").architecture
    question: dict[str, Any] = {
        "hardware": "a100-sxm-80gb",
        "calibration": "a100-sxm-80gb--vllm-0.6",
        "prompt_tokens": 77,
    }
    numbers: dict[str, Any] = {"hidden_size": np.int64(model.hidden_size), "intermediate_size": np.int64(14336)}
    foreign = replace(model, **numbers)
    assert predict(foreign, **question).e2e_s == predict(model, **question).e2e_s
    assert type(predict(model, **question).e2e_s) is float
