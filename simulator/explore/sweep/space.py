"""The axes of a sweep: what varies, and in which order the points of the grid come.

The order is that of ``NAMES``, then the fields of the device and those of the architecture as given, then
``prompt_tokens``, ``output_tokens`` and ``batch_size``; the last varies fastest. Fields are lists ``1,2,4`` or ranges
``1TB/s..8TB/s*1.2`` (geometric) and ``1TB/s..8TB/s+0.5TB/s`` (arithmetic), the end included where a step meets it.
A value that is given twice counts once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, ModelSpec
from simulator.inputs.deployment import ASKED, Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.ranges import MOST, parse_counts
from simulator.inputs.stack import Stack
from simulator.inputs.what_if import read_scalar
from simulator.timing.profile import Profile
from simulator.units import Dimension, parse_quantity

PLACES = ("model", "hardware", "stack", "calibration")
LAYOUT = ASKED
NAMES = (*PLACES, *LAYOUT)
SIZES = tuple(field.name for field in fields(Deployment) if isinstance(field.default, int))
COUNTS = ("prompt_tokens", "output_tokens", "batch_size")
FIELD_RANGE = re.compile(r"(?P<first>.+?)\.\.(?P<last>[^*]+?)(?P<sign>[*+])(?P<step>[^*+]+)")
DASH_RANGE = re.compile(r"\d+-\d+[+*]\d+")
MOST_LETTERS = 200  # of one item
MOST_SIZES = 4096  # values of one of the sizes of a layout
MOST_FACTOR = Decimal(10) ** 18
MOST_WHOLE = 2**53  # up to here a float holds every whole number
# Numbers of a data sheet that the time laws take as arrays, by key, with what they measure; None: a whole number.
HARDWARE_NUMBERS: tuple[tuple[re.Pattern[str], Dimension | None], ...] = (
    (re.compile(r"compute\.units"), None),
    (re.compile(r"compute\.clock"), Dimension.HERTZ),
    (re.compile(r"compute\.(matrix|vector)_peak\..+"), Dimension.FLOPS_PER_SECOND),
    (re.compile(r"memory\.(l2_)?capacity"), Dimension.BYTES),
    (re.compile(r"memory\.bandwidth|links\.(node|network|host)\.bandwidth"), Dimension.BYTES_PER_SECOND),
    (re.compile(r"power\.tdp"), Dimension.WATTS),
)

Kind = TypeVar("Kind")
Several: TypeAlias = Kind | Sequence[Kind]
ModelName = str | Path | Architecture | ModelSpec
DeviceName = str | Path | Hardware
StackName = str | Path | Stack | None
ProfileName = str | Path | Profile | None
FormatName = str | None
Counts = int | str | Sequence[int] | NDArray[Any]  # text as on the command line
Name = ModelName | DeviceName | StackName | ProfileName
Scalar = int | float | bool | str | None
FieldValues = Scalar | Sequence[Scalar] | NDArray[Any]  # text as on the command line


class Axis(NamedTuple):
    """One thing that varies. Numbers of a data sheet are in SI units."""

    name: str
    values: tuple[Any, ...]


class Space(NamedTuple):
    """The axes of a grid in their order."""

    names: tuple[Axis, ...]
    hardware_fields: tuple[Axis, ...]
    architecture_fields: tuple[Axis, ...]
    counts: tuple[Axis, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, the slowest first."""
        return self.names + self.hardware_fields + self.architecture_fields + self.counts

    @property
    def groups(self) -> int:
        """Combinations of names and sizes."""
        return math.prod(len(axis.values) for axis in self.names)

    @property
    def inner_shape(self) -> tuple[int, int, int, int, int]:
        """Combinations of device fields, of architecture fields, and the lengths of the three counts."""
        devices, architectures = (
            math.prod(len(axis.values) for axis in axes) for axes in (self.hardware_fields, self.architecture_fields)
        )
        prompts, outputs, batches = (len(axis.values) for axis in self.counts)
        return devices, architectures, prompts, outputs, batches

    @property
    def points(self) -> int:
        """Points of the whole grid."""
        return self.groups * math.prod(self.inner_shape)


def build_space(
    names: Mapping[str, Several[Name | int] | NDArray[Any]],
    hardware_fields: Mapping[str, FieldValues],
    architecture_fields: Mapping[str, FieldValues],
    counts: Mapping[str, Counts],
) -> Space:
    """Make the axes; each value is one value, several, or text as on the command line.

    Raises:
        InputError: an empty axis, or a value that cannot be read.
    """
    return Space(
        tuple(Axis(name, read_name(name, names[name])) for name in NAMES),
        tuple(Axis(key, read_hardware_field(key, given)) for key, given in hardware_fields.items()),
        tuple(Axis(key, read_architecture_field(key, given)) for key, given in architecture_fields.items()),
        tuple(Axis(name, read_counts(name, counts[name])) for name in COUNTS),
    )


def read_name(name: str, given: Several[Name | int] | NDArray[Any]) -> tuple[Any, ...]:
    """Values of one of ``NAMES``.

    Raises:
        InputError: none, or a size that is no count.
    """
    if name in SIZES:
        sizes = read_counts(name, given)  # type: ignore[arg-type]  # sizes are counts
        if len(sizes) > MOST_SIZES:
            raise InputError(f"{name} has {len(sizes):,} values; at most {MOST_SIZES:,} sizes of a layout are tried")
        return sizes
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    return refuse_empty(name, values)


def read_counts(name: str, given: Counts) -> tuple[int, ...]:
    """Whole numbers of at least 1.

    Raises:
        InputError: none, or one that is not.
    """
    values = np.atleast_1d(np.asarray(parse_counts(given, name) if isinstance(given, str) else given)).ravel()
    if values.dtype.kind == "f" and np.all(values == np.floor(values)) and np.all(np.abs(values) < MOST_WHOLE):
        values = values.astype(np.int64)
    if not values.size:
        refuse_empty(name, ())
    if values.dtype.kind not in "iu" or np.any(values < 1) or np.any(values > MOST_WHOLE):
        raise InputError(f"{name} holds a value that is not a whole number of at least 1, at most 2^53")
    return tuple(dict.fromkeys(int(value) for value in values))


def refuse_empty(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values of an axis.

    Raises:
        InputError: there are none.
    """
    if not values:
        raise InputError(f"{name} has no value")
    return values


def find_dimension(key: str) -> tuple[bool, Dimension | None]:
    """Whether a key of a data sheet is a number that may be an array, and what it measures."""
    for pattern, dimension in HARDWARE_NUMBERS:
        if pattern.fullmatch(key):
            return True, dimension
    return False, None


def read_hardware_field(key: str, given: FieldValues) -> tuple[Any, ...]:
    """Values of a field of the data sheet: floats in SI units, whole numbers, or text for what is neither.

    Raises:
        InputError: no number, no unit, or a range that goes nowhere.
    """
    is_number, dimension = find_dimension(key)
    where = f"--set-hw {key}"
    values: list[Any] = []
    for part in split_parts(given, where):
        if dimension is None and (is_number or is_whole(part)):
            values += read_numbers(part, where)
        elif dimension is None:
            values.append(part)
        else:
            values += read_quantities(part, where, dimension)
    if is_number and dimension is None and any(value < 1 for value in values):
        raise InputError(f"{where}: must be at least 1")
    return refuse_empty(where, tuple(dict.fromkeys(values)))


def read_architecture_field(key: str, given: FieldValues) -> tuple[Any, ...]:
    """Values of a field of the architecture.

    Raises:
        InputError: not a value, or a range that goes nowhere.
    """
    where, values = f"--set {key}", list[Any]()
    for part in split_parts(given, where):
        if not isinstance(part, str):
            values.append(part.item() if isinstance(part, np.generic) else part)
        elif is_whole(part):
            values += read_numbers(part, where)
        else:
            values.append(read_scalar(part))
    if any(isinstance(value, int) and abs(value) > MOST_WHOLE for value in values):
        raise InputError(f"{where}: a whole number is at most 2^53")
    return refuse_empty(where, tuple(dict.fromkeys(values)))


def is_whole(part: Any) -> bool:
    """Whether an item is a whole number without a sign or a range of such."""
    return isinstance(part, str) and (part.isdecimal() or ".." in part or bool(DASH_RANGE.fullmatch(part)))


def split_parts(given: FieldValues, where: str) -> list[Any]:
    """Items of a list, of text separated by commas, or the one value that was given.

    Raises:
        InputError: nothing between two commas.
    """
    if isinstance(given, str):
        parts: list[Any] = [part.strip() for part in given.split(",")]
    else:
        parts = list(given) if isinstance(given, Sequence | np.ndarray) else [given]
    if any(isinstance(part, str) and not part for part in parts):
        raise InputError(f"{where}: '{given}' has an empty item")
    if any(isinstance(part, str) and len(part) > MOST_LETTERS for part in parts):
        raise InputError(f"{where}: an item has more than {MOST_LETTERS} letters")
    return parts


def read_numbers(part: Any, where: str) -> list[int]:
    """Whole numbers of one item: a number, ``first..last*factor``, ``first..last+step``, or the same with a dash.

    Raises:
        InputError: not such an item.
    """
    text = str(part)
    if DASH_RANGE.fullmatch(text):
        return parse_counts(text, where)
    matched = FIELD_RANGE.fullmatch(text)
    if matched is None:
        return [read_whole(text, where)]
    first, last = (read_whole(matched[name].strip(), where) for name in ("first", "last"))
    if matched["sign"] == "+":
        step = Decimal(read_whole(matched["step"].strip(), where))
    else:
        step = read_factor(matched["step"], where)
    values = spread(Decimal(first), Decimal(last), matched["sign"], step, where, text)
    if any(value != value.to_integral_value() for value in values):
        raise InputError(f"{where}: range '{text}' gives numbers that are not whole")
    return [int(value) for value in values]


def read_whole(text: str, where: str) -> int:
    """A whole number.

    Raises:
        InputError: it is not.
    """
    if not text.isdecimal() or len(text) > 15:
        raise InputError(f"{where}: '{text}' is not a whole number, a list 1,2,4 or a range 1..8*2 or 1..8+1")
    return int(text)


def read_quantities(part: Any, where: str, dimension: Dimension) -> list[float]:
    """Quantities of one item in SI units: one, ``first..last*factor`` or ``first..last+step``, each with its unit.

    Raises:
        InputError: not such an item.
    """
    text = str(part)
    matched = FIELD_RANGE.fullmatch(text)
    try:
        if matched is None:
            if ".." in text:
                raise ValueError(f"range '{text}' needs a step: '..8TB/s*1.2' or '..8TB/s+0.5TB/s'")
            return [parse_quantity(text, dimension)]
        first, last = (parse_quantity(matched[name], dimension) for name in ("first", "last"))
        sign = matched["sign"]
        step = Decimal(repr(parse_quantity(matched["step"], dimension))) if sign == "+" else Decimal(0)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if sign == "*":
        step = read_factor(matched["step"], where)
    return [float(value) for value in spread(Decimal(repr(first)), Decimal(repr(last)), sign, step, where, text)]


def read_factor(text: str, where: str) -> Decimal:
    """The factor of a geometric range.

    Raises:
        InputError: not a number above 1.
    """
    try:
        factor = Decimal(text.strip())
    except InvalidOperation:
        factor = Decimal("nan")
    if not factor.is_finite() or not Decimal("1.000001") < factor <= MOST_FACTOR:
        raise InputError(f"{where}: the factor '{text.strip()}' of a range must be a number above 1, 1e18 at most")
    return factor


def spread(first: Decimal, last: Decimal, sign: str, step: Decimal, where: str, text: str) -> list[Decimal]:
    """The values of a range, in exact decimals so that 0.1 + 0.2 is 0.3.

    Raises:
        InputError: it goes down or nowhere, or gives too many values.
    """
    if last < first or step <= 0:
        raise InputError(f"{where}: range '{text}' must go up")
    values = []
    while first <= last:
        values.append(first)
        if len(values) > MOST:
            raise InputError(f"{where}: range '{text}' gives more than {MOST} values")
        first = first * step if sign == "*" else first + step
    return values


def write_hardware_value(key: str, value: Any) -> str:
    """A value of ``read_hardware_field`` as the text that ``change_hardware`` takes."""
    dimension = find_dimension(key)[1]
    return str(value) if dimension is None else f"{value!r} {dimension.unit}"
