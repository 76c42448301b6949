"""How a command ends: files written, the answer printed, and what a person should know of it on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.specfile import check_target, write_whole

if TYPE_CHECKING:
    from simulator.commands.asked import Choices
    from simulator.explore.compare import Comparison
    from simulator.inputs.architecture import ModelSpec
    from simulator.inputs.stack import Stack
    from simulator.prediction import Question

MOST_NAMED = 10  # impossible combinations


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


def warn_of_question(question: Question) -> None:
    """Say what a person should know of an answer: of its model and of its stack."""
    for note in (question.model.note, question.work.stack.note):
        if note is not None:
            warn(note)
    if question.obstacle is not None:
        warn(question.obstacle)
    if not question.changes:
        warn_of_build(question.model, question.work.stack)


def warn_of_build(model: ModelSpec, stack: Stack) -> None:
    """Say how much smaller or larger than it is a stack builds a model, where it does."""
    from simulator.prediction import describe_build

    built = describe_build(model, stack)
    if built is not None:
        warn(built)


def warn_of_combinations(comparison: Comparison, asked: Choices) -> None:
    """Say what is left out, and what stacks build otherwise."""
    warn_of_impossible(comparison)
    questions = [prediction.question for prediction in comparison.predictions]
    builds = {(one.model.id, one.work.stack.id): one for one in questions if not asked.changes}
    for one in builds.values():
        warn_of_build(one.model, one.work.stack)


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
