"""A table of what models can do: scenario, model, accuracy and token counts, as HELM's results are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from simulator.csvfile import MOST_COUNT, parse_real
from simulator.errors import InputError
from simulator.inputs.queries import read_csv

MODEL_PART = re.compile(r"[:,]?\bmodel=[^,]*")
OUTPUT_COLUMNS = ("output_tokens", "num_output_tokens")


class Score(NamedTuple):
    """One model on one scenario; token counts are means over its queries. ``others``: the table's other columns."""

    where: str
    scenario: str
    model: str
    accuracy: float
    prompt_tokens: float
    output_tokens: float
    others: dict[str, str]


class Scores(NamedTuple):
    """The rows that can be compared, and how many were left out for having no model or no accuracy."""

    rows: list[Score]
    left_out: int


def read_scores(path: Path, metric: str) -> Scores:
    """Read a table with the columns ``scenario, model, prompt_tokens``, ``output_tokens`` and the metric.

    A scenario that repeats the model (``boolq:model=openai_davinci``) loses that part. Rows without a model or without
    the metric are counted and left out.

    Raises:
        InputError: a column missing, an accuracy without token counts, a count that cannot be, a row given twice, or
            no row that can be compared.
    """
    rows: list[Score] = []
    left_out = 0
    seen: dict[tuple[str, str], str] = {}
    output_column = find_output_column(path)
    for where, cells in read_csv(path, ("scenario", "model", metric, "prompt_tokens", output_column)):
        if not cells["model"] or not cells[metric]:
            left_out += 1
            continue
        for name in ("prompt_tokens", output_column):
            if not cells[name]:
                raise InputError(f"{where}: {metric} without {name}: the cost of an answer depends on its tokens")
        row = parse_score(where, cells, metric, output_column)
        key = (row.scenario, row.model)
        if key in seen:
            raise InputError(f"{where}: {row.model} on {row.scenario} again; it stands at {seen[key]}")
        seen[key] = where
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: no row with a model and {metric}")
    return Scores(rows, left_out)


def find_output_column(path: Path) -> str:
    """The column of output tokens, under the name that the table gives it."""
    with_name = next(iter(read_csv(path, ())), None)
    header = with_name[1] if with_name else {}
    return next((name for name in OUTPUT_COLUMNS if name in header), OUTPUT_COLUMNS[0])


def parse_score(where: str, cells: dict[str, str], metric: str, output_column: str) -> Score:
    """One row, checked.

    Raises:
        InputError: something that is no number, or a count that is negative.
    """
    numbers = [parse_real(where, name, cells[name]) for name in (metric, "prompt_tokens", output_column)]
    for name, number in zip(("prompt_tokens", output_column), numbers[1:], strict=True):
        if number < 0:
            raise InputError(f"{where}: {name} is {number:g}; it must not be negative")
        if number > MOST_COUNT:
            raise InputError(f"{where}: {name} is {number:g}; it must be at most {MOST_COUNT}")
    if not 0 <= numbers[0] <= 1:
        raise InputError(f"{where}: {metric} is {numbers[0]:g}; an accuracy is from 0 to 1")
    scenario = MODEL_PART.sub("", cells["scenario"]).rstrip(":,")
    accuracy, prompt_tokens, output_tokens = numbers
    return Score(where, scenario, cells["model"], accuracy, prompt_tokens, output_tokens, cells)
