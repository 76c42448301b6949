"""Which stack and which profile answer a question that names neither, or one of the two.

The stack is the one that the device is served with; the profile the one whose differences from the question add the
least error (``transfer``), and of equals the newest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from simulator.inputs.architecture import ModelSpec
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import STACK_FOLDER, list_ids, load_hardware, load_stack
from simulator.inputs.stack import Stack
from simulator.inputs.stack_support import find_obstacle, list_formats_asked
from simulator.inputs.stack_versions import find_engine, list_versions, name_engine
from simulator.inputs.what_if import change_hardware
from simulator.timing.device import classify, find_instruction, find_traits
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.profile import Profile, list_settings, load_profile, read_shipped_profile
from simulator.timing.transfer import Move, add_errors, list_place_moves

BOUND_STACK = "ideal"
SERVED_WITH = {"gpu": "vllm", "vector gpu": "llama.cpp", "systolic": "vllm", "cpu": "pytorch-eager"}
CONSUMER_ENGINE = "llama.cpp"
OTHER_ENGINES = ("vllm", "llama.cpp")  # tried in turn for what the usual one cannot run


class Software(NamedTuple):
    """The profile that is used, None for the bound, and the stack."""

    profile: Profile | None
    stack: Stack


class Place(NamedTuple):
    """Where and how a model runs: a device, the profile of its times (``none`` for the bound) and a stack."""

    hardware: Hardware
    calibration: Profile | str
    stack: Stack


class Candidate(NamedTuple):
    """A shipped profile that could be carried to a stack on a device, and what differs."""

    profile: Profile
    stack: Stack
    moves: list[Move]

    @property
    def error(self) -> float:
        """Relative standard error that the differences add, the mean of the two phases."""
        return float(sum(add_errors(self.moves)) / 2)


def choose_software(
    hardware: Hardware,
    stack: str | Path | Stack | None,
    calibration: str | Path | Profile | None,
    model: ModelSpec | None = None,
    deployment: Deployment | None = None,
) -> Software:
    """Resolve stack and profile.

    Args:
        hardware: the device; of one with changed facts the one that it was.
        stack: None: the profile's, else what the device is served with. An engine without a version: the version that
            can be carried with the least error.
        calibration: None: the shipped profile with the least transfer error; ``"none"``: none, for the bound.
        model: of several versions those are weighed that can run it, where some can; where no stack is named, of other
            engines too.
        deployment: the formats that are asked for.

    Raises:
        InputError: a name or file that is wrong.
    """
    if isinstance(calibration, str) and calibration.lower() == "none":
        return Software(None, load_stack(BOUND_STACK if stack is None else stack))
    if calibration is None:
        choices = list_choices(hardware) if stack is None else [list_named(stack)]
        stacks = list_able(choices, hardware, model, deployment)
        own = next((one for one in stacks if (hardware.id, one.id) in list_settings()), None)
        if own is not None:  # measured here: nothing else need be weighed, or even read
            return Software(read_shipped_profile(f"{hardware.id}--{own.id}"), own)
        best = rank_candidates(hardware, stacks)[0]
        return Software(best.profile, best.stack)
    profile = load_profile(calibration)
    if stack is None:
        return Software(profile, load_stack(profile.stack))
    stacks = list_able([list_named(stack)], hardware, model, deployment)
    return Software(profile, min(stacks, key=lambda one: weigh(profile, hardware, one).error))


def list_able(
    choices: Sequence[list[Stack]], hardware: Hardware, model: ModelSpec | None, deployment: Deployment | None
) -> list[Stack]:
    """Of the first stacks of which any can run a question those that can; the very first where none can."""
    if model is None:
        return choices[0]
    formats = list_formats_asked(deployment, model.formats)
    for stacks in choices:
        able = [one for one in stacks if find_obstacle(one, model.architecture, formats, hardware) is None]
        if able:
            return able
    return choices[0]


def list_choices(hardware: Hardware) -> list[list[Stack]]:
    """What a device is served with where no stack is named, then other engines for what that one cannot run."""
    usual = list_usual_stacks(hardware)
    named = {name_engine(one.id) for one in usual}
    others = [one for one in OTHER_ENGINES if one not in named] if classify(hardware) != "cpu" else []
    return [usual, *map(list_named, others)]


def list_unable(model: ModelSpec, hardware: Hardware, deployment: Deployment | None = None) -> tuple[str, ...]:
    """The shipped stacks that something is known to keep from running a question on a device."""
    formats = list_formats_asked(deployment, model.formats)
    stacks = map(load_stack, list_ids(STACK_FOLDER))
    return tuple(one.id for one in stacks if find_obstacle(one, model.architecture, formats, hardware) is not None)


def find_place(
    model: ModelSpec,
    hardware: str | Path | Hardware,
    changes: Mapping[str, str],
    calibration: str | Path | Profile | None,
    stack: str | Path | Stack | None,
    deployment: Deployment | None = None,
) -> Place:
    """The device with its changes, and the profile and the stack that the device as it was would have.

    Raises:
        InputError: a name, file or change that is wrong.
    """
    device = load_hardware(hardware)
    profile, chosen = choose_software(device, stack, calibration, model, deployment)
    return Place(change_hardware(hardware, changes) if changes else device, profile or "none", chosen)


def list_named(stack: str | Path | Stack) -> list[Stack]:
    """The stack of a name, or all versions of an engine that is named without one, the newest first."""
    engine = find_engine(stack) if isinstance(stack, str) else None
    versions = [] if engine is None else list_versions(engine, list_ids(STACK_FOLDER))
    return [load_stack(name) for name in versions] or [load_stack(stack)]


def list_usual_stacks(hardware: Hardware) -> list[Stack]:
    """What a device is served with where no stack is named: all versions of an engine, the newest first.

    An accelerator takes what was measured on those of its maker. None of them builds another model than it is asked to.
    """
    kind = classify(hardware)
    if kind == "systolic":
        homes = [(load_hardware(home), stack) for home, stack in list_settings()]
        own = {stack for home, stack in homes if (classify(home), home.vendor) == (kind, hardware.vendor)}
        if own:
            return [load_stack(stack) for stack in sorted(own, reverse=True)]
    return list_named(CONSUMER_ENGINE if hardware.segment == "consumer" and kind == "gpu" else SERVED_WITH[kind])


def rank_candidates(hardware: Hardware, stacks: Sequence[Stack]) -> list[Candidate]:
    """Every shipped profile that can be carried to one of the stacks on a device, that with the least error first.

    Of equals the stack that is named first, then the profile of the device that is the more alike, then that of the
    nearer generation, then of the nearer bandwidth, then the newest.
    """
    profiles = [
        read_shipped_profile(f"{home}--{stack}") for home, stack in list_settings() if shares_laws(home, hardware)
    ]
    newest = sorted(profiles, key=lambda one: one.provenance.date if one.provenance else "", reverse=True)
    order = {stack.id: place for place, stack in enumerate(stacks)}
    candidates = [weigh(profile, hardware, stack) for stack in stacks for profile in newest]

    def find_place(one: Candidate) -> tuple[float, ...]:
        home = load_hardware(one.profile.hardware)
        ratio = home.memory.bandwidth / hardware.memory.bandwidth
        alike = (count_unlike(home, hardware), count_generations(home, hardware), abs(math.log(ratio)))
        return one.error, order[one.stack.id], *alike

    return sorted(candidates, key=find_place)


def count_unlike(measured: Hardware, hardware: Hardware) -> int:
    """In how many of two things a device differs from a profile's own that its kernels and factors go by.

    They are the instruction that its kernels are written for, and the form of its memory: an RTX A6000 errs by up to 9%
    on an RTX 3090 with llama.cpp, an A100 by 17%.
    """
    pairs = ((find_instruction(one), *find_traits(one).memory.split()[:1]) for one in (measured, hardware))
    return sum(one != other for one, other in zip_longest(*pairs))


def count_generations(measured: Hardware, hardware: Hardware) -> float:
    """How far apart are the targets that compilers build for on two devices, where they are numbers such as 8.9."""
    built_for = [one.compute.capability or "" for one in (measured, hardware)]
    return abs(float(built_for[0]) - float(built_for[1])) if all(map(is_number, built_for)) else 0.0


def is_number(text: str) -> bool:
    """Whether a text is a plain decimal number."""
    return text.replace(".", "", 1).isdecimal()


def rank_profiles(hardware: Hardware) -> list[Candidate]:
    """Every shipped profile that can be carried to a device with its own stack.

    First the one that is taken where neither stack nor profile is named, then those with the least error.
    """
    default = choose_software(hardware, None, None).profile
    stacks = [load_stack(stack) for stack in dict.fromkeys(stack for _, stack in list_settings())]
    own = [one for one in rank_candidates(hardware, stacks) if one.stack.id == one.profile.stack]
    return sorted(own, key=lambda one: one.profile != default)


def weigh(profile: Profile, hardware: Hardware, stack: Stack) -> Candidate:
    """A profile as it would be carried."""
    return Candidate(profile, stack, list_place_moves(profile.hardware, profile.stack, hardware, stack))


def shares_laws(home: str, hardware: Hardware) -> bool:
    """Whether factors of one device mean something on another: those of GPUs and of CPUs are of other laws."""
    return find_family(load_hardware(home)) == find_family(hardware)


def find_family(hardware: Hardware) -> str:
    """Which laws a device is timed by."""
    return DEVICE_CLASSES[classify(hardware)].family
