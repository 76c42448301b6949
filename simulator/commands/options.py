"""Options and endings that commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from simulator.errors import InputError
from simulator.inputs.ranges import parse_counts
from simulator.report.output import OutputForm
from simulator.specfile import check_target, write_whole

if TYPE_CHECKING:
    from simulator.inputs.architecture import ModelSpec
    from simulator.inputs.hardware import Hardware
    from simulator.inputs.stack import Stack
    from simulator.prediction import Prediction, Question
    from simulator.timing.efficiency import Profile

SAME_SIZE = 0.02  # relative difference of parameters up to which a model counts as built as it is
Command = TypeVar("Command", bound=Callable[..., Any])


def parse_assignments(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``key=value`` options as a mapping."""
    pairs = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key or not text:
            raise InputError(f"{option.opts[0]}: '{value}' is not of the form key=value")
        if key.strip() in pairs:
            raise InputError(f"{option.opts[0]}: {key.strip()} is given twice")
        pairs[key.strip()] = text.strip()
    return pairs


def parse_count_list(context: click.Context, option: click.Parameter, value: str | None) -> list[int]:
    """A list or range of whole numbers."""
    return [] if value is None else parse_counts(value, option.opts[-1])


def parse_names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Names, repeated or separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def check_percent(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A percentage above zero."""
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value} is not a percentage above 0")
    return value


FORMS = click.Choice(get_args(OutputForm))
FILE = click.Path(path_type=Path, dir_okay=False)
output_option = click.option(
    "-o", "--output", type=FORMS, default="table", show_default=True, help="Form of the answer."
)
out_option = click.option("--out", type=FILE, help="Write the answer to a file, whole or not at all.")

slo_option = click.option(
    "--slo",
    multiple=True,
    metavar="NAME:AMOUNT",
    help="A limit: tpot_s:0.03, ttft_s:200ms, tpot_s_high:0.03 (upper end of the 90% interval), cost_usd:0.01 (of one "
    "request), output_tokens_per_s:>1000. Repeated, all hold.",
)


def count_option(*names: str, default: str | None = None, text: str) -> Callable[[Command], Command]:
    """An option that takes a number, a list or a range."""
    return click.option(
        *names, default=default, show_default=True, callback=parse_count_list, metavar="N[,N|-N+S|-N*S]", help=text
    )


def assignment_option(*names: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """An option that takes ``key=value``, repeated."""
    return click.option(*names, multiple=True, callback=parse_assignments, metavar=metavar, help=text)


def name_option(*names: str, text: str) -> Callable[[Command], Command]:
    """An option that takes names, repeated or separated by commas."""
    return click.option(*names, multiple=True, callback=parse_names, metavar="NAME[,NAME]", help=text)


def question_options(command: Command) -> Command:
    """Options that name a model, a device, a stack and a layout."""
    options = (
        click.option("-m", "--model", required=True, help="Name, YAML, config.json, its folder or org/model."),
        click.option("-H", "--hardware", required=True, help="Name or YAML of the device."),
        click.option(
            "-c", "--calibration", help="Profile: name, YAML, or 'none' for the bound.  [default: the device's own]"
        ),
        click.option("-s", "--stack", help="Software stack.  [default: the profile's; ideal for a bound]"),
        click.option("--tp", default=1, show_default=True, help="Tensor-parallel devices."),
        click.option("--pp", default=1, show_default=True, help="Pipeline stages."),
        click.option("--dp", default=1, show_default=True, help="Copies of the model that share the batch."),
        click.option("--ep", default=1, show_default=True, help="Devices that the experts are spread over."),
        click.option("--micro-batches", default=1, show_default=True, help="Parts of the batch in a pipeline."),
        click.option("--dtype", default="fp16", show_default=True, help="Matrix products: fp16, bf16, fp8, int8..."),
        click.option("--weight-dtype", help="Weights: fp8, int4-g128, q4_k_m...  [default: --dtype]"),
        click.option("--kv-dtype", help="KV cache.  [default: --dtype, of 16 bits at least]"),
    )
    return add_options(command, *options)


CHANGES = (
    assignment_option("--set", "changes", metavar="FIELD=VALUE", text="Change the architecture."),
    assignment_option("--set-hw", "hardware_changes", metavar="KEY=VALUE", text="Change the device."),
)
ONE: dict[str, Any] = {"type": click.IntRange(1), "show_default": True}


def add_options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """Add options to a command; its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def request_options(command: Command) -> Command:
    """``question_options`` of one request, with changes to its model and device; for ``ask_request``."""
    counts = (
        click.option("-p", "--prompt-tokens", default=512, help="Tokens of the prompt.", **ONE),
        click.option("-n", "--output-tokens", default=128, help="Tokens to generate, the first included.", **ONE),
        click.option("-b", "--batch-size", default=1, help="Requests that run together.", **ONE),
    )
    return add_options(command, question_options, *counts, *CHANGES)


def grid_options(command: Command) -> Command:
    """``question_options`` of one or many requests, with changes to their model and device; for ``ask_grid``."""
    counts = (
        count_option("-p", "--prompt-tokens", default="512", text="Tokens of the prompt."),
        count_option("-n", "--output-tokens", default="128", text="Tokens to generate, the first included."),
        count_option("-b", "--batch-size", default="1", text="Requests that run together."),
    )
    return add_options(command, question_options, *counts, *CHANGES)


def find_place(
    hardware: str, changes: dict[str, str], calibration: str | None, stack: str | None
) -> tuple[str | Hardware, str | Profile | None]:
    """The device with its changes, and the profile: the device's own, as it was, unless another is named.

    Raises:
        InputError: a name, file or change that is wrong.
    """
    from simulator.inputs.what_if import change_hardware
    from simulator.prediction import choose_profile

    changed = change_hardware(hardware, changes) if changes else hardware
    return changed, choose_profile(hardware, stack, calibration)


def ask_request(
    model: str,
    hardware: str,
    calibration: str | None,
    stack: str | None,
    prompt_tokens: int,
    output_tokens: int,
    batch_size: int,
    changes: dict[str, str],
    hardware_changes: dict[str, str],
    **layout: Any,
) -> Question:
    """The question that ``request_options`` ask.

    Raises:
        InputError: a name, file, layout, change or count that is wrong.
    """
    from simulator.inputs.deployment import Deployment
    from simulator.inputs.what_if import read_scalar
    from simulator.inputs.workload import Workload
    from simulator.prediction import resolve

    return resolve(
        model,
        *find_place(hardware, hardware_changes, calibration, stack),
        stack,
        Deployment(**layout),
        Workload(prompt_tokens, output_tokens, batch_size),
        {field: read_scalar(text) for field, text in changes.items()},
    )


def ask_grid(
    model: str,
    hardware: str,
    calibration: str | None,
    stack: str | None,
    changes: dict[str, str],
    hardware_changes: dict[str, str],
    **asked: Any,
) -> Prediction:
    """The answer to what ``grid_options`` ask.

    Raises:
        InputError: a name, file, layout, change or count that is wrong.
    """
    from simulator.inputs.what_if import read_scalar
    from simulator.prediction import predict_grid

    return predict_grid(
        model,
        *find_place(hardware, hardware_changes, calibration, stack),
        stack=stack,
        changes={field: read_scalar(text) for field, text in changes.items()},
        **asked,
    )


def deliver(text: str, out: Path | None, files: Mapping[Path, str | bytes] | None = None) -> None:
    """Write files, then print the answer or write it to a file; nothing is written where one of them cannot be.

    Raises:
        InputError: two of them are the same file, or one cannot be written.
    """
    contents = dict(files or {})
    if out is not None:
        if out in contents:
            raise InputError(f"{out}: two answers are to be written to it")
        contents[out] = text + "\n"
    for path in contents:
        check_target(path)
    for path, content in contents.items():
        write_whole(path, content)
    if out is None:
        click.echo(text)


def warn(text: str) -> None:
    """Say something beside the answer."""
    click.echo(f"roofcast: note: {text}", err=True)


def warn_of_question(question: Question, asked: dict[str, Any]) -> None:
    """Say what a person should know of an answer: of its model, its stack, and that it is a bound nobody asked for."""
    from simulator.timing.efficiency import list_settings

    for note in (question.model.note, question.work.stack.note):
        if note is not None:
            warn(note)
    built = None if question.changes else describe_build(question.model, question.work.stack)
    if built is not None:
        warn(built)
    stack = question.work.stack.id
    others = [other for hardware, other in list_settings() if hardware == question.hardware.id and other != stack]
    if asked["calibration"] is None and asked["stack"] is None and others:
        warn(f"stack {stack} was taken; profiles ship for {', '.join(others)} too (-s names one)")
    warn_of_bound(question.basis, asked["calibration"], asked["hardware"])


def describe_build(model: ModelSpec, stack: Stack) -> str | None:
    """How much smaller or larger than it is a stack builds a model; None where it does not."""
    from simulator.inputs.parameters import count_parameters

    named, built = map(count_parameters, (model.architecture, stack.build(model.architecture, model.id)))
    if abs(built / named - 1) <= SAME_SIZE:
        return None
    sizes = f"{built / 1e9:.3g} billion parameters, not {named / 1e9:.3g}"
    return f"stack {stack.id} builds {model.id} as a model of {sizes}"


def warn_of_bound(basis: str, calibration: str | None, hardware: str) -> None:
    """Say that an answer is the bound where nobody asked for it."""
    if basis == "bound" and calibration is None:
        warn(f"no profile ships for {hardware} with this stack: the answer is the bound; -c names one to transfer")
