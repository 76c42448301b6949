"""Strict reading of YAML and JSON specs into dataclasses, and whole-or-nothing writing.

Every error is an `InputError` of one line that says where, what, and what is allowed::

    a100.yaml:12: memory.bandwith: unknown key; did you mean 'bandwidth'? (allowed: capacity, bandwidth)

`read_spec` gives plain values with the line of every key. `build` makes a dataclass of them and converts nothing: text
is never a number, true is never 1. Only a whole number may stand where a real one is due. Specs that ship are read once
and then compiled (`simulator.specfile.compiled`): the parsers behind these two take longer to load than a prediction.
"""

from pathlib import Path

from simulator.errors import nearest, unknown_name
from simulator.specfile.ranges import (
    Count,
    Devices,
    Error,
    Launches,
    Positive,
    Range,
    Share,
    Times,
    check_ranges,
)
from simulator.specfile.spec import KeyPath, Spec, T, spec_dataclass
from simulator.specfile.writing import check_target, reserve, write_whole

__all__ = [
    "Count",
    "Devices",
    "Error",
    "KeyPath",
    "Launches",
    "Positive",
    "Range",
    "Share",
    "Spec",
    "Times",
    "build",
    "check_ranges",
    "check_target",
    "nearest",
    "read_spec",
    "reserve",
    "spec_dataclass",
    "unknown_name",
    "write_whole",
]


def read_spec(path: Path) -> Spec:
    """Read a spec: JSON when the name ends in ``.json``, YAML otherwise.

    Raises:
        InputError: the file is missing, unreadable, empty, malformed, not a mapping, or gives a key twice.
    """
    from simulator.specfile import reading

    return reading.read_spec(path)


def build(spec: Spec, kind: type[T]) -> T:
    """Make a `spec_dataclass` of a spec. A ValueError from its ``__post_init__`` becomes an error of the spec.

    Raises:
        InputError: the first thing wrong in file order, and how many more there are.
    """
    from simulator.specfile import validation

    return validation.build(spec, kind)
