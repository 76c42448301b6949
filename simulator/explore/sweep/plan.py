"""A sweep made ready: every name of its space resolved, its grid cut into chunks. Workers get it whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from simulator.errors import InputError, suggest
from simulator.explore.sweep.filters import Condition, Reduction
from simulator.explore.sweep.space import (
    Axis,
    DeviceName,
    ProfileName,
    Space,
    StackName,
    find_dimension,
    write_hardware_value,
)
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_model
from simulator.inputs.what_if import change_hardware, describe
from simulator.metrics.rates import AskedRates, Rates
from simulator.metrics.registry import is_interval
from simulator.specfile import Spec, build
from simulator.timing.software import Software, choose_software, list_unable

CHUNK_POINTS = 2**17  # of one part of a file
MOST_GROUPS = 512  # combinations of names in one chunk
MOST_POINTS = 10**12  # of a sweep
BLOCK_POINTS = 2**17  # of one pass of the laws
INTERVAL_BLOCK_POINTS = 2**13  # the same with intervals, which take a pass for every factor


class Block(NamedTuple):
    """A part of the grid: one combination of names, and a range of each of the five inner axes."""

    group: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """A resolved sweep.

    ``devices`` has, for each device, the data sheets of all combinations of its fields that are no numbers (see
    ``list_structures``), or why it cannot be changed so; ``software`` is by model, device, stack and
    calibration; ``rates`` are those of each device. ``needed`` are the columns to work out, ``shown`` those to
    answer with.
    """

    space: Space
    models: tuple[ModelSpec, ...]
    devices: tuple[tuple[Hardware | str, ...], ...]
    software: tuple[tuple[tuple[tuple[Software, ...], ...], ...], ...]
    rates: tuple[Rates, ...]
    shown: tuple[str, ...]
    conditions: tuple[Condition, ...]
    reduction: Reduction
    assume_fits: bool
    chunk_points: int = CHUNK_POINTS

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, the slowest first."""
        return self.space.axes

    @property
    def points(self) -> int:
        """Points of the whole grid."""
        return self.space.points

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that are shown, filtered by or sorted by."""
        used = [condition.column for condition in self.conditions] + self.reduction.columns
        return tuple(dict.fromkeys([*self.shown, *used]))

    @property
    def groups_per_chunk(self) -> int:
        """Combinations of names that one chunk holds whole; 0 where one is more than a chunk."""
        return min(self.chunk_points // math.prod(self.space.inner_shape), MOST_GROUPS)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        if self.groups_per_chunk:
            return -(-self.space.groups // self.groups_per_chunk)
        return self.space.groups * count_boxes(self.space.inner_shape, self.chunk_points)

    def list_blocks(self, chunk: int) -> Iterator[Block]:
        """The blocks of a chunk, of a size for one pass of the laws, in the order of the grid."""
        whole = tuple((0, length) for length in self.space.inner_shape)
        together = self.groups_per_chunk
        if together:
            last = min((chunk + 1) * together, self.space.groups)
            boxes = [(group, whole) for group in range(chunk * together, last)]
        else:
            group, place = divmod(chunk, count_boxes(self.space.inner_shape, self.chunk_points))
            boxes = [(group, find_box(whole, self.chunk_points, place))]
        limit = INTERVAL_BLOCK_POINTS if any(map(is_interval, self.needed)) else BLOCK_POINTS
        for group, box in boxes:
            for place in range(count_boxes(tuple(last - first for first, last in box), limit)):
                yield Block(group, find_box(box, limit, place))


def find_cut(shape: tuple[int, ...], limit: int) -> tuple[int, int]:
    """Which axis of a box to cut, and into how many pieces, so that none has more points than the limit.

    All axes before it are cut into single values; the pieces follow each other in the order of the points.
    """
    inner = 1
    for axis in range(len(shape) - 1, -1, -1):
        if inner * shape[axis] > limit:
            return axis, -(-shape[axis] // max(limit // inner, 1))
        inner *= shape[axis]
    return 0, 1


def count_boxes(shape: tuple[int, ...], limit: int) -> int:
    """Number of pieces that ``find_box`` cuts a box into."""
    axis, pieces = find_cut(shape, limit)
    return math.prod(shape[:axis]) * pieces


def find_box(box: tuple[tuple[int, int], ...], limit: int, place: int) -> tuple[tuple[int, int], ...]:
    """The piece of a box at one place in the order of the points."""
    shape = tuple(last - first for first, last in box)
    axis, pieces = find_cut(shape, limit)
    place, piece = divmod(place, pieces)
    ranges = list(box)
    for outer in range(axis - 1, -1, -1):
        place, index = divmod(place, shape[outer])
        ranges[outer] = (box[outer][0] + index, box[outer][0] + index + 1)
    first = box[axis][0]
    ranges[axis] = (first + shape[axis] * piece // pieces, first + shape[axis] * (piece + 1) // pieces)
    return tuple(ranges)


def list_structures(axes: tuple[Axis, ...]) -> list[dict[str, Any]]:
    """All combinations of the fields of a device that are no numbers, the last fastest."""
    fixed = [axis for axis in axes if not find_dimension(axis.name)[0]]
    names = [axis.name for axis in fixed]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in fixed))]


def resolve_devices(devices: tuple[DeviceName, ...], axes: tuple[Axis, ...]) -> tuple[tuple[Hardware | str, ...], ...]:
    """Data sheets of all devices with their fields changed, or why one cannot be changed so.

    Raises:
        InputError: a device that does not exist, or a change that none of them takes.
    """
    changed = tuple(change_device(device, axes) for device in devices)
    for same in zip(*changed, strict=True):
        if all(isinstance(one, str) for one in same):
            raise InputError(str(same[0]))
    return changed


def change_device(hardware: DeviceName, axes: tuple[Axis, ...]) -> tuple[Hardware | str, ...]:
    """Data sheets of one device with its fields changed, or why not; the numbers are the first of their axes.

    Raises:
        InputError: there is no such device.
    """
    if not axes:
        return (load_hardware(hardware),)
    if isinstance(hardware, Hardware):
        raise InputError(f"{hardware.id} is an object; hardware_changes need a device by name or file")
    firsts = {axis.name: axis.values[0] for axis in axes}
    base, changed = load_hardware(hardware), list[Hardware | str]()
    for structure in list_structures(axes):
        texts = {key: write_hardware_value(key, value) for key, value in (firsts | structure).items()}
        name = f"{base.id} ({describe(structure) or 'changed'})"  # another device: profiles are a transfer
        try:
            changed.append(replace(change_hardware(str(hardware), texts), id=name, name=name))
        except InputError as error:
            changed.append(f"{base.id}: {error}")
    return tuple(changed)


def resolve_software(
    models: Sequence[ModelSpec],
    devices: Sequence[DeviceName],
    stacks: Sequence[StackName],
    calibrations: Sequence[ProfileName],
) -> tuple[tuple[tuple[tuple[Software, ...], ...], ...], ...]:
    """Profiles and stacks as ``predict`` takes them, by the devices before their fields were changed.

    Models that the same stacks cannot run share the choice.

    Raises:
        InputError: a name or file that is wrong.
    """
    sheets = [load_hardware(device) for device in devices]
    found: dict[Any, tuple[tuple[Software, ...], ...]] = {}
    rows = []
    for model in models:
        keys = [(place, list_unable(model, sheet)) for place, sheet in enumerate(sheets)]
        for key, sheet in zip(keys, sheets, strict=True):
            if key not in found:
                found[key] = tuple(
                    tuple(choose_software(sheet, stack, named, model) for named in calibrations) for stack in stacks
                )
        rows.append(tuple(found[key] for key in keys))
    return tuple(rows)


def resolve_rates(devices: Sequence[DeviceName], axes: tuple[Axis, ...], asked: AskedRates) -> tuple[Rates, ...]:
    """What money and carbon of each device rest on; one with changed facts has a price where one is given alone.

    Raises:
        InputError: a price, grid or site that cannot be read.
    """
    ids = [load_hardware(device).id for device in devices]
    found = asked.find_all(list(dict.fromkeys(ids)))
    changed = bool(axes) and asked.price is None
    return tuple(found[one]._replace(price=None) if changed else found[one] for one in ids)


def check_fields(architecture: Architecture, axes: tuple[Axis, ...]) -> None:
    """Refuse fields that no architecture has, and values of the wrong type; how they go together is a point's matter.

    Raises:
        InputError: with the first that is wrong.
    """
    given = asdict(architecture)
    names = list(given)
    for axis in axes:
        if axis.name not in names:
            raise InputError(suggest(f"--set: unknown architecture field '{axis.name}'", axis.name, names))
        for value in axis.values:
            data = {key: known for key, known in (given | {axis.name: value}).items() if known is not None}
            build(Spec(Path("--set"), data | ({axis.name: None} if value is None else {}), {}), Architecture)


def check_names(space: Space) -> None:
    """Refuse number formats that do not exist.

    Raises:
        InputError: with the first that is wrong.
    """
    for axis in space.names:
        if axis.name.endswith("dtype"):
            for value in axis.values:
                Deployment(**{axis.name: value})


def resolve_plan(
    space: Space,
    rates: AskedRates,
    *,
    shown: tuple[str, ...],
    conditions: tuple[Condition, ...],
    reduction: Reduction,
    assume_fits: bool,
    chunk_points: int = CHUNK_POINTS,
) -> Plan:
    """Resolve every name of a space; the rest are fields of ``Plan``.

    Raises:
        InputError: a name, file, field or value that is wrong, or too many points.
    """
    if space.points > MOST_POINTS:
        raise InputError(f"{space.points:,} points are more than the {MOST_POINTS:,} that a sweep may have")
    check_names(space)
    models, devices, stacks, calibrations = (axis.values for axis in space.names[:4])
    specs = tuple(load_model(model) for model in models)
    check_fields(specs[0].architecture, space.architecture_fields)
    return Plan(
        space,
        specs,
        resolve_devices(devices, space.hardware_fields),
        resolve_software(specs, devices, stacks, calibrations),
        resolve_rates(devices, space.hardware_fields, rates),
        shown,
        conditions,
        reduction,
        assume_fits,
        chunk_points,
    )


def name_values(space: Space, group: int) -> dict[str, int]:
    """Index of the value of each of the named axes in one group."""
    indices: dict[str, int] = {}
    for axis in reversed(space.names):
        group, indices[axis.name] = divmod(group, len(axis.values))
    return indices
