"""The raw profiling logs: rows as in the published table, each of the run it follows, and no half-read log."""

import csv
from pathlib import Path

import pytest

from calibration.readers.rows import read_rows
from calibration.readers.runs import Told
from simulator.errors import InputError
from simulator.inputs.measurements import Measurement

HARDWARE, STACK = "a100-sxm-80gb", "megatron-lm-2022"
MT_NLG = {
    "num_layers": 105,
    "hidden_size": 20480,
    "num_attention_heads": 128,
    "ffn_hidden_size": 81920,
    "tensor_model_parallel_size": 8,
    "pipeline_model_parallel_size": 1,
    "micro_batch_size": 1,
    "params_dtype": "torch.float16",
}
LARGE = MT_NLG | {
    "num_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "ffn_hidden_size": 16384,
    "tensor_model_parallel_size": 1,
}
GRANDE = LARGE | {"num_layers": 50, "hidden_size": 5120, "num_attention_heads": 40, "ffn_hidden_size": 20480}
CRASH = [
    "Traceback (most recent call last):",
    '  File "profile.py", line 88, in <module>',
    "RuntimeError: CUDA out of memory. Tried to allocate 1.50 GiB (GPU 0; 79.35 GiB total capacity)",
]


def print_arguments(arguments: dict[str, object]) -> list[str]:
    """The block of arguments as Megatron prints it."""
    return [
        "using world size: 8, data-parallel-size: 1",
        "------------------------ arguments ------------------------",
        *(f"  {name} {'.' * (48 - len(name))} {value}" for name, value in arguments.items()),
        "-------------------- end of arguments ---------------------",
        "> initializing torch distributed ...",
    ]


def print_row(prompt_tokens: int, output_tokens: int, seconds: str = "0.087", std: str = "0.003") -> str:
    request = f"{{'num_input_tokens': {prompt_tokens}, 'num_output_tokens': {output_tokens}}}"
    return f"Runtime for {request}: {seconds} seconds +- {std}"


FIRST_ROW = len(print_arguments(MT_NLG)) + 1  # its line in a log of one run


def write_log(folder: Path, *lines: str, name: str = "run.log") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def read(path: Path) -> list[Measurement]:
    return read_rows(path, "megatron-log", Told(hardware=HARDWARE, stack=STACK))


def find_error(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


@pytest.mark.parametrize("model", ["ai21-j1-large", "openai-davinci"])
def test_a_raw_log_reads_to_the_rows_of_the_published_table(data_folder: Path, model: str) -> None:
    with (data_folder / "megatron_a100.csv").open(newline="") as file:
        published = [row for row in csv.DictReader(file) if row["model"] == model]
    rows = read(data_folder / "megatron_logs" / f"{model.replace('-', '_')}.log")
    assert len(rows) == 270
    names = ("model", "hardware", "stack", "weight_dtype", "activation_dtype", "kv_dtype", "metric")
    counts = ("tp", "pp", "batch_size", "prompt_tokens", "output_tokens")
    assert [tuple(getattr(row, name) for name in names) for row in rows] == [
        tuple(row[name] for name in names) for row in published
    ]
    assert [tuple(getattr(row, name) for name in counts) for row in rows] == [
        tuple(int(float(row[name])) for name in counts) for row in published
    ]
    assert [(row.value, row.std) for row in rows] == [(float(row["value"]), float(row["std"])) for row in published]


def test_a_row_belongs_to_the_run_it_follows(tmp_path: Path) -> None:
    path = write_log(
        tmp_path,
        *print_arguments(MT_NLG | {"tensor_model_parallel_size": 4}),
        print_row(1, 1, "0.110"),
        print_row(128, 1, "0.220"),
        *CRASH,
        *print_arguments(MT_NLG | {"params_dtype": "torch.bfloat16", "micro_batch_size": 2}),
        print_row(1, 1),
    )
    rows = read(path)
    assert [(row.tp, row.batch_size, row.activation_dtype, row.prompt_tokens, row.value) for row in rows] == [
        (4, 1, "fp16", 1, 0.110),
        (4, 1, "fp16", 128, 0.220),
        (8, 2, "bf16", 1, 0.087),
    ]
    assert {row.model for row in rows} == {"mt-nlg-530b"}


def test_an_argument_that_a_restart_does_not_print_is_not_taken_from_the_run_before(tmp_path: Path) -> None:
    again = {name: value for name, value in MT_NLG.items() if name != "tensor_model_parallel_size"}
    log = [*print_arguments(MT_NLG), print_row(1, 1), *CRASH, *print_arguments(again), print_row(1, 1)]
    expected = "the arguments above print no whole number for tensor_model_parallel_size"
    assert find_error(write_log(tmp_path, *log)) == f"run.log:{len(log)}: {expected}"


def test_the_model_is_the_one_shipped_model_of_the_printed_dimensions(tmp_path: Path) -> None:
    (row,) = read(write_log(tmp_path, *print_arguments(GRANDE), print_row(1, 1)))
    assert row.model == "ai21-j1-grande"


@pytest.mark.parametrize("name", ["ai21_j1_large.log", "J1_Large.log"])
def test_a_file_may_be_named_after_its_model_or_an_alias(tmp_path: Path, name: str) -> None:
    (row,) = read(write_log(tmp_path, *print_arguments(LARGE), print_row(1, 1), name=name))
    assert row.model == "ai21-j1-large"


def test_a_file_named_after_a_model_of_other_dimensions_is_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path, *print_arguments(LARGE), print_row(1, 1), name="openai_davinci.log")
    assert find_error(path).startswith(
        f"openai_davinci.log:{FIRST_ROW}: no known model of num_layers 32, hidden_size 4096"
    )


def test_dimensions_that_no_model_has_are_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path, *print_arguments(LARGE | {"num_layers": 33}), print_row(1, 1))
    dimensions = "num_layers 33, hidden_size 4096, num_attention_heads 32, ffn_hidden_size 16384"
    assert find_error(path) == f"run.log:{FIRST_ROW}: no known model of {dimensions}; name the file after the model"


@pytest.mark.parametrize(
    "cut",
    [
        "Runtime for {'num_input_tokens': 1920, 'num_outp",
        "Runtime for {'num_input_tokens': 1920, 'num_output_tokens': 64}: 5.6",
        "Runtime for {'num_input_tokens': 1920, 'num_output_tokens': 64}: 5.696 seconds +-",
    ],
)
def test_a_last_row_that_was_cut_off_is_named_with_its_line(tmp_path: Path, cut: str) -> None:
    path = write_log(tmp_path, *print_arguments(MT_NLG), print_row(1, 1), cut)
    assert find_error(path) == f"run.log:{FIRST_ROW + 1}: row cut off or not as expected: '{cut}'"


def test_a_row_before_any_arguments_is_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path, "> initializing torch distributed ...", print_row(1, 1), *print_arguments(MT_NLG))
    assert find_error(path) == "run.log:2: a row before any block of arguments"


def test_an_unknown_number_format_is_refused(tmp_path: Path) -> None:
    path = write_log(tmp_path, *print_arguments(MT_NLG | {"params_dtype": "torch.int8"}), print_row(1, 1))
    known = "torch.float16, torch.bfloat16, torch.float32"
    assert find_error(path) == f"run.log:{FIRST_ROW}: params_dtype is 'torch.int8'; known are {known}"


@pytest.mark.parametrize("lines", [print_arguments(MT_NLG)])
def test_a_file_without_a_single_row_is_no_profiling_log(tmp_path: Path, lines: list[str]) -> None:
    path = write_log(tmp_path, *lines)
    assert find_error(path) == "run.log: no line that starts with 'Runtime for'; is this a profiling log?"


@pytest.mark.parametrize(("lines", "text"), [([], "the file is empty"), (["hello"], "not a file of megatron-log")])
def test_a_file_of_something_else_is_not_read_as_a_log(tmp_path: Path, lines: list[str], text: str) -> None:
    assert find_error(write_log(tmp_path, *lines)) == f"run.log: {text}"


def test_a_log_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.log").write_bytes(b"\xff\xfe\x00")
    assert find_error(tmp_path / "none.log").startswith("none.log: cannot be read: No such file")
    assert find_error(tmp_path / "binary.log").startswith("binary.log: cannot be read: not text")
