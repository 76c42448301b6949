"""Options of which every combination is asked for, and how they are answered."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.options import (
    Command,
    add_options,
    assignment_option,
    describe_build,
    name_option,
    warn,
    warn_of_bound,
)
from simulator.errors import InputError
from simulator.inputs.ranges import parse_counts

if TYPE_CHECKING:
    from simulator.explore.compare import Comparison
    from simulator.inputs.deployment import Deployment


MOST_NAMED = 10  # impossible combinations
LAYOUT = ("tp", "pp", "dp", "ep", "micro_batches", "dtype", "weight_dtype", "kv_dtype")


def parse_counts_given(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[int]:
    """Lists or ranges of whole numbers, repeated or separated by commas, each number once."""
    return list(dict.fromkeys(parse_counts(",".join(values), option.opts[-1])))


def counts_option(*names: str, default: int, text: str) -> Callable[[Command], Command]:
    """An option that takes numbers, lists and ranges, repeated too."""
    return click.option(
        *names,
        multiple=True,
        default=(str(default),),
        callback=parse_counts_given,
        metavar="N[,N|-N+S|-N*S]",
        help=f"{text}  [default: {default}]",
    )


def combination_options(command: Command) -> Command:
    """Options of which every combination is asked for, each a list; for ``ask_combinations``."""
    options = (
        name_option("-m", "--model", "models", text="Names, YAML files, config.json, their folders or org/model."),
        name_option("-H", "--hardware", "devices", text="Names or YAML files of devices."),
        name_option(
            "-c", "--calibration", "calibrations", text="Profiles; 'none': the bound.  [default: each device's own]"
        ),
        name_option("-s", "--stack", "stacks", text="Software stacks.  [default: the profile's; ideal for a bound]"),
        counts_option("--tp", default=1, text="Tensor-parallel devices."),
        counts_option("--pp", default=1, text="Pipeline stages."),
        counts_option("--dp", default=1, text="Copies of the model that share the batch."),
        counts_option("--ep", default=1, text="Devices that the experts are spread over."),
        counts_option("--micro-batches", default=1, text="Parts of the batch in a pipeline."),
        name_option("--dtype", text="Matrix products: fp16, bf16, fp8, int8...  [default: fp16]"),
        name_option("--weight-dtype", text="Weights: fp8, int4-g128, q4_k_m...  [default: --dtype]"),
        name_option("--kv-dtype", text="KV cache.  [default: --dtype, of 16 bits at least]"),
        counts_option("-p", "--prompt-tokens", default=512, text="Tokens of the prompt."),
        counts_option("-n", "--output-tokens", default=128, text="Tokens to generate, the first included."),
        counts_option("-b", "--batch-size", default=1, text="Requests that run together."),
        assignment_option("--set", "changes", metavar="FIELD=VALUE", text="Change the architecture of every model."),
        assignment_option("--set-hw", "hardware_changes", metavar="KEY=VALUE", text="Change every device."),
    )
    return add_options(command, *options)


def ask_combinations(
    models: list[str],
    devices: list[str],
    calibrations: list[str],
    stacks: list[str],
    prompt_tokens: list[int],
    output_tokens: list[int],
    batch_size: list[int],
    changes: dict[str, str],
    hardware_changes: dict[str, str],
    baseline: int = 1,
    **layout: list[Any],
) -> Comparison:
    """Answer every combination that ``combination_options`` name.

    Raises:
        InputError: no model or no device, or as ``explore.compare.compare``.
        ImpossibleError: no combination is possible.
    """
    from simulator.explore import compare as explore
    from simulator.inputs.library import load_model
    from simulator.inputs.what_if import read_scalar
    from simulator.inputs.workload import Workload

    if not models or not devices:
        raise InputError("name a model and a device: -m NAME -H NAME, each as often as you like")
    return explore.compare(
        [load_model(name) for name in models],
        explore.list_places(devices, stacks or [None], calibrations or [None], hardware_changes),
        list_deployments(layout),
        [Workload(*counts) for counts in product(prompt_tokens, output_tokens, batch_size)],
        {field: read_scalar(text) for field, text in changes.items()},
        baseline,
    )


def list_deployments(layout: dict[str, list[Any]]) -> list[Deployment]:
    """Every combination of layout and formats.

    Raises:
        InputError: a format that does not exist.
    """
    from simulator.inputs.deployment import Deployment

    given = layout | {"dtype": layout["dtype"] or ["fp16"]}
    return [Deployment(*sizes) for sizes in product(*(given[name] or [None] for name in LAYOUT))]


def warn_of_combinations(comparison: Comparison, asked: dict[str, Any]) -> None:
    """Say what is left out, what stacks build otherwise, and which devices answer with the bound unasked."""
    warn_of_impossible(comparison)
    questions = [prediction.question for prediction in comparison.predictions]
    builds = {(one.model.id, one.work.stack.id): describe_build(one.model, one.work.stack) for one in questions}
    for built in builds.values():
        if built is not None and not asked["changes"]:
            warn(built)
    calibration = next(iter(asked["calibrations"]), None)
    for hardware in dict.fromkeys(one.hardware.id for one in questions if one.basis == "bound"):
        warn_of_bound("bound", calibration, hardware)


def warn_of_impossible(comparison: Comparison) -> None:
    """Count and name what is left out because it cannot be."""
    impossible = comparison.impossible
    if not impossible:
        return
    count = len(impossible) + len(comparison.predictions)
    warn(f"{len(impossible)} of {count} combinations are impossible and left out")
    for one in impossible[:MOST_NAMED]:
        warn(f"{one.label}: {one.reason}")
    if len(impossible) > MOST_NAMED:
        warn(f"and {len(impossible) - MOST_NAMED} more")
