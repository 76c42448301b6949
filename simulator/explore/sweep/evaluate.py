"""The points of one chunk of a sweep, by the laws of ``predict`` on arrays.

Numbers of the data sheet, dimensions of the model, token counts and batch sizes are arrays of five axes: device
fields, architecture fields, prompt, output and batch. What the laws branch on is taken piece
by piece (``list_pieces``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.costs.request import Work
from simulator.errors import InputError
from simulator.explore.datasheet import replace_numbers
from simulator.explore.sweep.filters import Table, apply_conditions, join_tables, reduce_table
from simulator.explore.sweep.plan import Block, Plan, name_values
from simulator.explore.sweep.space import LAYOUT, Axis, find_dimension
from simulator.inputs.architecture import Architecture, ModelSpec, check_architecture
from simulator.inputs.deployment import Deployment, check_deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware
from simulator.inputs.settle import settle_formats
from simulator.inputs.workload import Workload, check_workload
from simulator.metrics.layout import describe_deployment
from simulator.metrics.rates import Rates
from simulator.metrics.registry import find_column
from simulator.prediction import Prediction, Question, answer, describe_machine, store_weights
from simulator.timing.software import Software, choose_software

# Dimensions that the cost laws take as arrays wherever they are given; they branch on all other fields.
ARRAY_FIELDS = frozenset(
    {
        *("hidden_size", "num_attention_heads", "intermediate_size", "vocab_size", "max_position_embeddings"),
        *("num_key_value_heads", "head_dim", "embedding_size", "sliding_window", "q_lora_rank", "kv_lora_rank"),
        *("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "num_experts"),
        "moe_intermediate_size",
    }
)
KINDS: dict[str, Any] = {"number": np.float64, "count": np.int64, "truth": np.bool_, "text": np.object_}
UNFIT = "does not fit in memory"
Places = NDArray[np.intp]


class ChunkAnswer(NamedTuple):
    """Rows of one chunk, its points, how many of them were left out for which reason, and of these how many for an
    input that is wrong rather than impossible."""

    table: Table
    points: int
    left_out: dict[str, int]
    wrong: int = 0


class Setting(NamedTuple):
    """What one combination of names stands for."""

    model: ModelSpec
    devices: tuple[Hardware | str, ...]  # text: why that one cannot be
    software: Software
    deployment: Deployment
    rates: Rates
    values: dict[str, Any]


class Piece(NamedTuple):
    """Combinations of device fields and of architecture fields, by their places in a block, that share all branches."""

    device: int
    devices: Places
    architectures: Places


def evaluate_chunk(plan: Plan, chunk: int) -> ChunkAnswer:
    """Predict the points of one chunk and keep the rows that are asked for."""
    left_out: Counter[str] = Counter()
    tables, points = [], 0
    for block in plan.list_blocks(chunk):
        points += math.prod(last - first for first, last in block.ranges)
        tables.append(apply_conditions(evaluate_block(plan, block, left_out), plan.conditions))
    table = reduce_table(join_tables(tables), plan.reduction, final=False)
    return ChunkAnswer(table, points, dict(left_out))


def evaluate_block(plan: Plan, block: Block, left_out: Counter[str]) -> Table:
    """All columns of the points of a block that are possible, in the order of the grid; the others are counted."""
    setting = find_setting(plan, block.group)
    shape = tuple(last - first for first, last in block.ranges)
    fields = list_fields(plan, block)
    kept = np.zeros(shape, dtype=bool)
    columns: dict[str, NDArray[Any]] = {}
    for piece in list_pieces(plan, setting, fields, shape):
        fill_piece(plan, setting, block, piece, fields, columns, kept, left_out)
    everything = bool(kept.all())
    rows = {}
    for name in plan.needed:
        column, kind = columns.get(name), find_kind(name)
        if column is None and kind is not None:
            column = np.zeros(shape, dtype=kind)  # no point of the block is possible
        elif column is None:
            column = describe_axis(plan, setting, fields, block, name, shape)
        rows[name] = column.reshape(-1) if everything else column[kept]
    return rows


def find_kind(name: str) -> Any:
    """Of which NumPy type a column is that is worked out; None of an axis."""
    column = find_column(name)
    return None if column is None else KINDS[column.metric.kind]


def make_empty(plan: Plan) -> Table:
    """The columns of a plan with no rows, each of its kind."""
    kinds = {name: find_kind(name) for name in plan.needed}
    return {
        name: type_values(find_axis(plan, name).values, ()) if kind is None else np.zeros(0, dtype=kind)
        for name, kind in kinds.items()
    }


def find_setting(plan: Plan, group: int) -> Setting:
    """Resolve one group by the tables of the plan."""
    places = name_values(plan.space, group)
    values = {axis.name: axis.values[places[axis.name]] for axis in plan.space.names}
    software = plan.software[places["model"]][places["hardware"]][places["stack"]][places["calibration"]]
    formats = {name: values[name] for name in LAYOUT}
    model, devices = plan.models[places["model"]], plan.devices[places["hardware"]]
    deployment = Deployment(**formats)
    if deployment.dtype or deployment.weight_dtype:  # formats that the stack of the plan may not run
        named = (values["stack"], values["calibration"])
        software = choose_software(load_hardware(values["hardware"]), *named, model, deployment)
    known = next((device for device in devices if not isinstance(device, str)), None)  # peaks are changed, not added
    if known is not None:
        deployment = settle_formats(deployment, model.formats, known, software.stack)
    deployment = store_weights(deployment, software.stack)
    values |= describe_deployment(deployment)
    return Setting(model, devices, software, deployment, plan.rates[places["hardware"]], values)


def list_fields(plan: Plan, block: Block) -> dict[str, Places]:
    """For each field of device and architecture, the place of its value in each combination of the block."""
    fields: dict[str, Places] = {}
    for axes, (first, last) in (
        (plan.space.hardware_fields, block.ranges[0]),
        (plan.space.architecture_fields, block.ranges[1]),
    ):
        lengths = tuple(len(axis.values) for axis in axes)
        indices = np.unravel_index(np.arange(first, last), lengths) if axes else ()
        fields.update((axis.name, index) for axis, index in zip(axes, indices, strict=True))
    return fields


def list_pieces(plan: Plan, setting: Setting, fields: dict[str, Places], shape: tuple[int, ...]) -> Iterator[Piece]:
    """Cut a block so that the laws take the same branches in each piece."""
    structure = np.zeros(shape[0], dtype=np.intp)
    for axis in plan.space.hardware_fields:
        if not find_dimension(axis.name)[0]:
            structure = structure * len(axis.values) + fields[axis.name]
    branching = {name for kernel in list_kernels(setting) for name in kernel}
    codes = np.zeros((1, shape[1]), dtype=np.intp)
    for axis in plan.space.architecture_fields:
        code = np.array(code_values(axis, axis.name in ARRAY_FIELDS and axis.name not in branching))
        codes = np.vstack([codes, code[fields[axis.name]]])
    branches = np.unique(codes, axis=1, return_inverse=True)[1].reshape(-1)
    for device in np.unique(structure):
        for branch in np.unique(branches):
            yield Piece(int(device), np.flatnonzero(structure == device), np.flatnonzero(branches == branch))


def list_kernels(setting: Setting) -> Iterator[list[str]]:
    """Fields that decide whether a kernel of the stack runs, by kernel."""
    stack = setting.software.stack
    for kernel in (*stack.embedding_kernels, *stack.layer_kernels, *stack.head_kernels, *(stack.expert_kernels or ())):
        yield list(kernel.when or {})


def code_values(axis: Axis, may_be_array: bool) -> list[int]:
    """A number for each value of an axis, the same where the laws take the same branch."""
    if may_be_array:
        return [0 if isinstance(value, int) and not isinstance(value, bool) else 1 for value in axis.values]
    return list(range(len(axis.values)))


def fill_piece(
    plan: Plan,
    setting: Setting,
    block: Block,
    piece: Piece,
    fields: dict[str, Places],
    columns: dict[str, NDArray[Any]],
    kept: NDArray[np.bool_],
    left_out: Counter[str],
) -> None:
    """Predict the points of a piece and put them in their places of the block's columns."""
    requests = math.prod(kept.shape[2:]) * len(piece.devices)
    device = setting.devices[piece.device]
    if isinstance(device, str):
        left_out[device] += requests * len(piece.architectures)
        return
    hardware = build_hardware(plan, device, piece, fields)
    possible, architecture = build_architectures(plan, setting, piece, fields, hardware, left_out, requests)
    if architecture is None:
        return
    try:
        prediction = answer(ask_points(plan, setting, block, hardware, architecture))
    except InputError as error:
        left_out[str(error)] += requests * len(possible)
        return
    inner = (len(piece.devices), len(possible), *kept.shape[2:])
    there = np.ones(inner, dtype=bool)
    refuse_positions(prediction, there, left_out)
    if not plan.assume_fits:
        refuse_unfit(prediction, there, left_out)
    place = np.ix_(piece.devices, possible)
    whole = inner == kept.shape
    kept[place] = there
    for name in plan.needed:
        values = read_column(prediction, name)
        if values is None:
            continue
        spread = np.broadcast_to(values, inner)
        if whole:
            columns[name] = spread
        else:
            if name not in columns:
                columns[name] = np.zeros(kept.shape, dtype=spread.dtype)
            columns[name][place] = spread


def build_hardware(plan: Plan, device: Hardware, piece: Piece, fields: dict[str, Places]) -> Hardware:
    """The data sheet of a piece, its numbers along the first axis."""
    numbers = {}
    for axis in plan.space.hardware_fields:
        if find_dimension(axis.name)[0]:
            places = fields[axis.name][piece.devices]
            numbers[axis.name] = spread_values(axis.values, places, (-1, 1, 1, 1, 1))
    return replace_numbers(device, numbers)


def build_architectures(
    plan: Plan,
    setting: Setting,
    piece: Piece,
    fields: dict[str, Places],
    hardware: Hardware,
    left_out: Counter[str],
    requests: int,
) -> tuple[Places, Architecture | None]:
    """The combinations of a piece that are possible, and their architecture with its dimensions along the second axis.

    Each impossible one leaves out so many requests.
    """
    base = setting.software.stack.build(setting.model.architecture, setting.model.id)
    axes = plan.space.architecture_fields
    possible = []
    for place in piece.architectures:
        changes = {axis.name: axis.values[fields[axis.name][place]] for axis in axes}
        architecture = replace(base, **changes) if changes else base
        try:
            check_architecture(architecture, "--set")
            check_deployment(setting.deployment, architecture, hardware, setting.software.stack)
            possible.append(place)
        except InputError as error:
            left_out[str(error).removeprefix("--set: ")] += requests
    if not possible:
        return np.empty(0, dtype=np.intp), None
    chosen = np.array(possible)
    arrays = {axis.name: spread_values(axis.values, fields[axis.name][chosen], (1, -1, 1, 1, 1)) for axis in axes}
    return chosen, replace(base, **arrays) if arrays else base


def spread_values(values: tuple[Any, ...], places: Places, shape: tuple[int, ...]) -> Any:
    """Values at some places: the one where all are the same, else a float64 array of a shape."""
    if np.all(places == places[0]):
        return values[places[0]]
    return np.array([values[place] for place in places], dtype=np.float64).reshape(shape)


def ask_points(plan: Plan, setting: Setting, block: Block, hardware: Hardware, architecture: Architecture) -> Question:
    """The question of all requests of a block on devices and architectures that go together.

    Raises:
        InputError: the data sheet lacks a peak or a link.
    """
    counts = []
    for position, axis in enumerate(plan.space.counts, start=2):
        first, last = block.ranges[position]
        values = axis.values[first:last]
        shape = [-1 if place == position else 1 for place in range(len(block.ranges))]
        counts.append(values[0] if len(values) == 1 else np.array(values, dtype=np.float64).reshape(shape))
    workload = check_workload(Workload(*counts), math.inf, False)
    profile, stack = setting.software
    machine = describe_machine(hardware, stack, setting.deployment, profile)
    work = Work(architecture, setting.deployment, stack, workload)
    return Question(setting.model, hardware, profile, work, machine, {}, setting.rates)


def refuse_positions(prediction: Prediction, there: NDArray[np.bool_], left_out: Counter[str]) -> None:
    """Leave out requests past the end of a learned table of positions."""
    architecture, workload = prediction.question.work.architecture, prediction.question.work.workload
    if architecture.position_embedding != "learned":
        return
    reached = workload.prompt_tokens + workload.output_tokens - 1
    past = np.broadcast_to(reached > architecture.max_position_embeddings, there.shape) & there
    if past.any():
        left_out["reaches past the positions of the model"] += int(past.sum())
        there &= ~past


def refuse_unfit(prediction: Prediction, there: NDArray[np.bool_], left_out: Counter[str]) -> None:
    """Leave out what does not fit in memory."""
    unfit = there & ~np.broadcast_to(prediction.fits, there.shape)
    if unfit.any():
        left_out[UNFIT] += int(unfit.sum())
        there &= ~unfit


def read_column(prediction: Prediction, name: str) -> NDArray[Any] | None:
    """A column of the answer that broadcasts over the points, NaN where it is not known; None where it is an axis."""
    kind = find_kind(name)
    if kind is None:
        return None
    value = prediction.find(name)
    return np.asarray(math.nan if value is None else value).astype(kind)


def describe_axis(
    plan: Plan, setting: Setting, fields: dict[str, Places], block: Block, name: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """The values of an axis at all points of a block."""
    if name in setting.values:
        return np.broadcast_to(type_values(find_axis(plan, name).values, (setting.values[name],)), shape)
    axis = find_axis(plan, name)
    typed = type_values(axis.values, axis.values)
    if name in fields:
        position = 0 if axis in plan.space.hardware_fields else 1
        values = typed[fields[name]]
    else:
        position = 2 + [count.name for count in plan.space.counts].index(name)
        first, last = block.ranges[position]
        values = typed[first:last]
    return np.broadcast_to(values.reshape(-1, *(1,) * (len(shape) - 1 - position)), shape)


def find_axis(plan: Plan, name: str) -> Axis:
    """An axis by its name."""
    return next(axis for axis in plan.space.axes if axis.name == name)


def type_values(axis: tuple[Any, ...], values: tuple[Any, ...]) -> NDArray[Any]:
    """Values as a column of the kind that the whole axis has: whole numbers, numbers (NaN: none), truths or text."""
    kinds = {type(value) for value in axis}
    if kinds <= {int, np.int64}:
        return np.array(values, dtype=np.int64)
    if kinds == {bool}:
        return np.array(values, dtype=bool)
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return np.array([name_value(value) for value in values], dtype=object)


def name_value(value: Any) -> str:
    """What an axis calls a value: an object by its id."""
    return "default" if value is None else str(getattr(value, "id", value))
