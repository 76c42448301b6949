"""How a command ends: files written, the answer printed, and what a person should know of it on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.specfile import check_target, write_whole

if TYPE_CHECKING:
    from simulator.commands.asked import Asked, Choices
    from simulator.explore.compare import Comparison
    from simulator.inputs.architecture import ModelSpec
    from simulator.inputs.stack import Stack
    from simulator.prediction import Question

MOST_NAMED = 10  # impossible combinations
SAME_SIZE = 0.02  # relative difference of parameters up to which a model counts as built as it is


def deliver(text: str, out: Path | None, files: Mapping[Path, str | bytes] | None = None) -> None:
    """Write files, then print the answer or write it to a file; nothing is written where one of them cannot be.

    Raises:
        InputError: one cannot be written.
    """
    contents = dict(files or {}) | ({} if out is None else {out: text + "\n"})
    for path in contents:
        check_target(path)
    for path, content in contents.items():
        write_whole(path, content)
    if out is None:
        click.echo(text)


def warn(text: str) -> None:
    """Say something beside the answer."""
    click.echo(f"roofcast: note: {text}", err=True)


def warn_of_question(question: Question, asked: Asked) -> None:
    """Say what a person should know of an answer: of its model, its stack, and that it is a bound nobody asked for."""
    from simulator.timing.profile import list_settings

    for note in (question.model.note, question.work.stack.note):
        if note is not None:
            warn(note)
    built = None if question.changes else describe_build(question.model, question.work.stack)
    if built is not None:
        warn(built)
    stack = question.work.stack.id
    others = [other for hardware, other in list_settings() if hardware == question.hardware.id and other != stack]
    if asked.calibration is None and asked.stack is None and others:
        warn(f"stack {stack} was taken; profiles ship for {', '.join(others)} too (-s names one)")
    warn_of_bound(question.basis, asked.calibration, asked.hardware)


def describe_build(model: ModelSpec, stack: Stack) -> str | None:
    """How much smaller or larger than it is a stack builds a model; None where it does not."""
    from simulator.costs.parameters import count_parameters

    named, built = map(count_parameters, (model.architecture, stack.build(model.architecture, model.id)))
    if abs(built / named - 1) <= SAME_SIZE:
        return None
    sizes = f"{built / 1e9:.3g} billion parameters, not {named / 1e9:.3g}"
    return f"stack {stack.id} builds {model.id} as a model of {sizes}"


def warn_of_bound(basis: str, calibration: str | None, hardware: str) -> None:
    """Say that an answer is the bound where nobody asked for it."""
    if basis == "bound" and calibration is None:
        warn(f"no profile ships for {hardware} with this stack: the answer is the bound; -c names one to transfer")


def warn_of_combinations(comparison: Comparison, asked: Choices) -> None:
    """Say what is left out, what stacks build otherwise, and which devices answer with the bound unasked."""
    warn_of_impossible(comparison)
    questions = [prediction.question for prediction in comparison.predictions]
    builds = {(one.model.id, one.work.stack.id): describe_build(one.model, one.work.stack) for one in questions}
    for built in builds.values():
        if built is not None and not asked.changes:
            warn(built)
    calibration = asked.calibrations[0]
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
