"""How far a profile is carried: what differs between its measurements and a question, and the error that each adds.

Errors of different origin add as variances of the logarithm of a time. A profile knows where it was measured (device,
stack) and what its rows were of (``Coverage``); whatever lies outside widens the interval, by phase.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from simulator.costs.layers import list_layers
from simulator.costs.request import Work
from simulator.errors import InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware
from simulator.inputs.stack import Stack
from simulator.inputs.stack_versions import name_engine
from simulator.numbers import Number, square_root, where
from simulator.timing.device import classify, find_instruction
from simulator.timing.profile import Coverage, Profile

GROUP_SIZE = re.compile(r"-g\d+$")
FEW_MODELS = 3  # fitted, whose residuals do not yet show how far the law is off for others
P90_DEVIATIONS = 1.645  # of a normal distribution, in which 90% of the errors lie
REFUSED_ERROR = 0.2  # least standard error of a profile that its calibration refuses: a judgement
FAR = 4.0  # times the most that was measured, past which a batch or a context counts as another size


class Phases(NamedTuple):
    """A relative standard error of each phase."""

    prefill: Number
    decode: Number


class Move(NamedTuple):
    """One difference: its kind, what it is in words, and the error that it adds, 0 where it does not hold."""

    what: str
    words: str
    error: Phases


# Standard error that each difference adds to the logarithm of a time, by phase. Of the first a judgement: no two
# processors have been measured. The others are the likeliest by all pairs of settings that were, rounded up (python -m
# benchmarks.transfer), since the priors have seen those devices; of a sister device twice that, for an RTX 3090 with
# the profile of an A6000 lay outside one row in three. Of generations without matrix units, which dequantize weights on
# the lanes that multiply, no two were measured: hardly less than another class. Another engine is given as much as
# another generation, however little it shows.
ERRORS = {
    "processor": Phases(0.35, 0.30),
    "device": Phases(0.04, 0.04),
    "generation": Phases(0.13, 0.06),
    "vector generation": Phases(0.16, 0.12),
    "maker": Phases(0.14, 0.08),
    "class": Phases(0.17, 0.13),
    "version": Phases(0.11, 0.11),
    "engine": Phases(0.12, 0.11),
    "model": Phases(0.03, 0.03),
    "kind": Phases(0.08, 0.06),
    "format": Phases(0.06, 0.05),
    "layout": Phases(0.05, 0.07),
    "size": Phases(0.05, 0.06),
    "requests": Phases(0.10, 0.06),
}


def list_moves(profile: Profile, hardware: Hardware, model: str, work: Work) -> tuple[Move, ...]:
    """Everything in which a question differs from what a profile was fitted to, and whether that fit was refused."""
    return (
        *list_refusals(profile),
        *list_place_moves(profile.hardware, profile.stack, hardware, work.stack),
        *list_work_moves(profile, model, work),
    )


def list_refusals(profile: Profile) -> list[Move]:
    """What the calibration of a profile says against it, as an error of at least a model that was not seen.

    Its own check says how large: a 90% quantile is so many standard deviations.
    """
    if not profile.refusal:
        return []
    found = 0.0 if profile.check is None else profile.check.p90_ape / P90_DEVIATIONS
    error = max(found, REFUSED_ERROR)
    return [Move("refused", f"refused by its own calibration ({profile.refusal})", Phases(error, error))]


def list_place_moves(home: str, home_stack: str, hardware: Hardware, stack: Stack) -> list[Move]:
    """Differences of device and of stack, at most one each: the widest that holds."""
    moves = []
    if home != hardware.id:
        moves.append(make_move(*compare_devices(home, hardware)))
    if home_stack != stack.id:
        what = "version" if name_engine(home_stack) == name_engine(stack.id) else "engine"
        moves.append(make_move(what, f"{stack.id} for {home_stack}"))
    return moves


def compare_devices(home: str, hardware: Hardware) -> tuple[str, str]:
    """What differs most between the device of a profile and another, and how to say it."""
    try:
        measured = load_hardware(home)
    except InputError:  # a user's own, whose sheet is not at hand
        return "maker", f"{hardware.id} for {home}"
    if classify(hardware) == classify(measured) == "cpu":
        return "processor", f"{hardware.id} for {home}"
    facts = {
        "class": (classify(measured), classify(hardware)),
        "maker": (measured.vendor, hardware.vendor),
        "generation": (measured.compute.generation, hardware.compute.generation),
    }
    for what, (before, after) in facts.items():
        if before != after or after is None:  # a design that no sheet names is like no other
            lanes = what == "generation" and classify(hardware) == "vector gpu"
            return "vector generation" if lanes else what, f"{after or hardware.id} for {before or home}"
    if find_instruction(hardware) != find_instruction(measured):  # such as the workstation's Blackwell for the server's
        one, other = hardware.compute, measured.compute
        return "generation", f"{one.generation} {one.capability} for {other.generation} {other.capability}"
    return "device", f"{hardware.id} for {home}"


def list_work_moves(profile: Profile, model: str, work: Work) -> list[Move]:
    """Differences of the model, of its formats, of the layout and of the sizes from the rows of the profile."""
    covers = profile.covers
    if covers is None:
        kernels = profile.provenance is not None and not profile.provenance.models
        return [make_move("requests", "kernels alone fitted")] if kernels else []
    moves = []
    if len(covers.models) < FEW_MODELS and model not in covers.models:
        moves.append(make_move("model", "few models fitted"))
    kinds = sorted(list_kinds(work.architecture) - set(covers.kinds))
    if kinds:
        moves.append(make_move("kind", f"{' and '.join(kinds)} not fitted"))
    formats = sorted(list_formats(work.deployment.weights_label) - set(covers.formats))
    if formats:
        moves.append(make_move("format", f"{' and '.join(formats)} weights not fitted"))
    if work.deployment.tp > covers.tp:
        moves.append(make_move("layout", f"tp {work.deployment.tp} past {covers.tp}"))
    return [*moves, *list_size_moves(covers, work)]


def list_size_moves(covers: Coverage, work: Work) -> list[Move]:
    """A batch or a context far past the largest that was measured; where these are arrays, so are the errors."""
    workload = work.workload
    sizes = {
        "batch": (workload.batch_size / work.deployment.dp, covers.batch_size),
        "context": (workload.prompt_tokens + workload.output_tokens, covers.tokens),
    }
    moves = []
    for what, (asked, most) in sizes.items():
        far = asked > FAR * most
        if np.any(far):
            error = Phases(*(where(far, part, 0.0) for part in ERRORS["size"]))
            moves.append(Move("size", f"a {what} of {np.max(asked):.0f} past {most}", error))
    return moves


def list_formats(label: str) -> set[str]:
    """Formats of weights as profiles tell them apart: those in other than 16 bits, of a label such as
    ``experts mxfp4, rest bf16``; all of 16 bits are alike, and so are groups of any size that share a scale.
    """
    formats = {GROUP_SIZE.sub("", part.split()[-1]) for part in label.split(", ") if part}
    return formats - {"fp16", "bf16"} or {"16-bit"}


def list_kinds(architecture: Architecture) -> frozenset[str]:
    """Kinds of layers that a profile may or may not have seen, in words."""
    kinds = set()
    for layer in list_layers(architecture):
        if layer.mixer.mixes:
            kinds.add(layer.mixer.projects_as)
        if layer.feed_forward.works:
            kinds.add(layer.feed_forward.label)
    return frozenset(kinds)


def make_move(what: str, words: str) -> Move:
    """A difference with the error of its kind."""
    return Move(what, words, ERRORS[what])


def widen_spread(profile: Profile, moves: Iterable[Move]) -> Phases:
    """Standard error of each phase besides that of the factors: what the law leaves, and all differences."""
    law = profile.discrepancy
    return add_errors([Move("law", "", Phases(law.prefill, law.decode)), *moves])


def add_errors(moves: Iterable[Move]) -> Phases:
    """The error of all differences together."""
    prefill, decode = 0.0, 0.0
    for move in moves:
        prefill, decode = prefill + move.error.prefill**2, decode + move.error.decode**2
    return Phases(square_root(prefill), square_root(decode))
