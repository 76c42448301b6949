"""What a picture is of: model, device, request, profile and basis, a line each."""

from __future__ import annotations

from simulator.inputs.what_if import describe
from simulator.prediction import Prediction, Question


def describe_place(question: Question) -> str:
    """Model, devices, stack and format of a question."""
    work = question.work
    changed = f" ({describe(question.changes)})" if question.changes else ""
    sizes = ("tp", "pp", "dp", "ep")
    split = [f"{name} {size}" for name in sizes if (size := getattr(work.deployment, name)) > 1]
    layout = f" ({', '.join(split)})" if len(split) > 1 else ""
    device = f"{work.deployment.devices} x {question.hardware.name}{layout}"
    return f"{question.model.name}{changed} on {device}, {work.stack.name}, {work.deployment.dtype}"


def describe_request(prediction: Prediction) -> str:
    """Token counts and batch of a single request."""
    request = prediction.question.work.workload
    prompt, output, batch = int(request.prompt_tokens), int(request.output_tokens), int(request.batch_size)
    return f"{prompt:,} prompt + {write_count('output_tokens', output)}, {write_count('batch_size', batch)}"


def write_count(name: str, count: int) -> str:
    """One of the three counts of a request, in words."""
    if name == "batch_size":
        return f"batch {count:,}"
    return f"{count:,} {name.removesuffix('_tokens')} token{'' if count == 1 else 's'}"


def name_basis(question: Question) -> str:
    """The basis with the profile's name."""
    if question.profile is None:
        return "basis: bound (no profile; every efficiency 1, no overhead)"
    return f"basis: {question.basis} ({question.profile.id}{question.caution})"


def title_request(prediction: Prediction, what: str) -> list[str]:
    """The lines above a picture of a single request."""
    question = prediction.question
    return [what, describe_place(question), f"{describe_request(prediction)}; {name_basis(question)}"]
