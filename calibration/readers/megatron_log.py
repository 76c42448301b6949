"""Raw logs of the Megatron-LM profiling runs of Narayanan et al. 2023 -> tidy rows.

A log may hold several attempts: each prints its arguments and then its measurements, and a row belongs to the arguments
printed last before it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from calibration.readers.content import Content
from calibration.readers.runs import Told
from calibration.readers.settle import need_place
from simulator.errors import InputError
from simulator.inputs.library import MODEL_FOLDER, iterate_names, list_ids, read_shipped_model
from simulator.inputs.measurements import Measurement

BEGIN = re.compile(r"^-+ arguments -+$")
END = re.compile(r"^-+ end of arguments -+$")
ARGUMENT = re.compile(r"^\s*(\w+) \.{2,} (.*)$")
ROW = re.compile(
    r"^Runtime for \{'num_input_tokens': (\d+), 'num_output_tokens': (\d+)\}: (\d+\.\d{3}) seconds \+- (\d+\.\d{3})$"
)
ROW_START = "Runtime for"
DTYPES = {"torch.float16": "fp16", "torch.bfloat16": "bf16", "torch.float32": "fp32"}
SOURCE = "Megatron-LM profiling log"


def recognise(content: Content) -> bool:
    """A log with a row, or with the block of arguments before one."""
    return any(line.startswith(ROW_START) or BEGIN.match(line) for line in content.text.splitlines())


def read(content: Content, told: Told) -> list[Measurement]:
    """Read one log. The model is the one the file is named after, else the one shipped model of the printed dimensions.

    Raises:
        InputError: a row before any arguments, a row cut off, no rows, or no model that matches.
    """
    path, lines = content.path, content.text.splitlines()
    hardware, stack = need_place(path, "a Megatron-LM log", told)
    rows: list[Measurement] = []
    arguments: dict[str, str] = {}
    reading_arguments = False
    for number, line in enumerate(lines, start=1):
        if BEGIN.match(line):
            arguments, reading_arguments = {}, True
        elif END.match(line):
            reading_arguments = False
        elif reading_arguments and (argument := ARGUMENT.match(line)):
            arguments[argument[1]] = argument[2].strip()
        elif line.startswith(ROW_START):
            rows.append(parse_line(f"{path}:{number}", line, arguments, path, hardware, stack))
    if not rows:
        raise InputError(f"{path}: no line that starts with '{ROW_START}'; is this a profiling log?")
    return rows


def parse_line(where: str, line: str, arguments: dict[str, str], path: Path, hardware: str, stack: str) -> Measurement:
    """Turn one printed line into a row of the attempt it follows."""
    matched = ROW.match(line.rstrip())
    if matched is None:
        raise InputError(f"{where}: row cut off or not as expected: '{line.strip()}'")
    if not arguments:
        raise InputError(f"{where}: a row before any block of arguments")
    dtype = DTYPES.get(arguments.get("params_dtype", ""))
    if dtype is None:
        raise InputError(f"{where}: params_dtype is {arguments.get('params_dtype')!r}; known are {', '.join(DTYPES)}")
    prompt_tokens, output_tokens, value, std = matched.groups()
    if float(value) <= 0:
        raise InputError(f"{where}: a time of {value} seconds")
    return Measurement(
        SOURCE,
        find_model(where, path, arguments),
        hardware,
        stack,
        read_argument(where, arguments, "tensor_model_parallel_size"),
        read_argument(where, arguments, "pipeline_model_parallel_size"),
        dtype,
        dtype,
        dtype,
        read_argument(where, arguments, "micro_batch_size"),
        int(prompt_tokens),
        int(output_tokens),
        "e2e_s",
        float(value),
        float(std),
    )


def read_argument(where: str, arguments: dict[str, str], name: str) -> int:
    """A printed whole-number argument.

    Raises:
        InputError: not printed, or not a whole number.
    """
    try:
        return int(arguments[name])
    except (KeyError, ValueError):
        raise InputError(f"{where}: the arguments above print no whole number for {name}") from None


def find_model(where: str, path: Path, arguments: dict[str, str]) -> str:
    """Return the id of the model that an attempt ran.

    Raises:
        InputError: no shipped model, or more than one, has the printed dimensions.
    """
    names = ("num_layers", "hidden_size", "num_attention_heads", "ffn_hidden_size")
    printed = tuple(read_argument(where, arguments, name) for name in names)
    matching = match_models(path.stem, printed)
    if len(matching) != 1:
        dimensions = ", ".join(f"{name} {value}" for name, value in zip(names, printed, strict=True))
        found = f"several models ({', '.join(matching)})" if matching else "no known model"
        raise InputError(f"{where}: {found} of {dimensions}; name the file after the model")
    return matching[0]


@cache
def match_models(file_stem: str, printed: tuple[int, ...]) -> list[str]:
    """Return the shipped models of the printed dimensions; the one the file is named after, where it is named so."""
    named = dict(iterate_names(MODEL_FOLDER)).get(file_stem.lower().replace("_", "-"))
    candidates = [named.stem] if named else list_ids(MODEL_FOLDER)
    return [model for model in candidates if dimensions_of(model) == printed]


def dimensions_of(model: str) -> tuple[int, int, int, int]:
    """Layers, hidden size, heads and FFN size of a shipped model."""
    a = read_shipped_model(model).architecture
    return a.num_hidden_layers, a.hidden_size, a.num_attention_heads, a.intermediate_size
