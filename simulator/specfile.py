"""Strict reading of YAML and JSON specs into dataclasses, and whole-or-nothing writing.

Every error is an `InputError` of one line that says where, what, and what is allowed::

    a100.yaml:12: memory.bandwith: unknown key; did you mean 'bandwidth'? (allowed: capacity, bandwidth)

`read_spec` gives plain values with the line of every key. `build` makes a dataclass of them and converts nothing: text
is never a number, true is never 1. Only a whole number may stand where a real one is due.
"""

import contextlib
import difflib
import json
import math
import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from simulator.errors import InputError, nearest, suggest, unknown_name

__all__ = [
    "KeyPath",
    "Spec",
    "build",
    "check_target",
    "nearest",
    "read_spec",
    "spec_dataclass",
    "unknown_name",
    "write_whole",
]

KeyPath = tuple[str | int, ...]
T = TypeVar("T")

# libyaml is 15 times faster where PyYAML was built with it; looking up one alias reads every spec there is.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


@dataclass(frozen=True)
class Spec:
    """The plain content of a spec file, and the 1-based line of every key such as ``('sources', 0, 'title')``."""

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line_of(self, at: KeyPath) -> int:
        """Return the line of a key or, where the file does not have it, of the nearest key around it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)

    def error(self, what: str, at: KeyPath = ()) -> InputError:
        """Return the error that says ``what`` is wrong with the key ``at``."""
        return _error_at(self.path, self.line_of(at), at, what)


def _error_at(path: Path, line: int, at: KeyPath, what: str) -> InputError:
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).removeprefix(".")
    message = f"{path}:{line}: {key}: {what}" if key else f"{path}:{line}: {what}"
    return InputError(" ".join(message.splitlines()))  # a key may hold a line break, and so may what a parser says


def read_spec(path: Path) -> Spec:
    """Read a spec: JSON when the name ends in ``.json``, YAML otherwise.

    Raises:
        InputError: the file is missing, unreadable, empty, malformed, not a mapping, or gives a key twice.
    """
    text = _read_text(path)
    try:
        return _read_json(path, text) if path.suffix == ".json" else _read_yaml(path, text, _Loader)
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply, or an alias contains itself") from None


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_name_siblings(path)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise _error_at(path, 1, (), "is empty; a spec is a mapping of keys to values")
    return text


def _name_siblings(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    siblings = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
    near = difflib.get_close_matches(path.name, siblings, n=3, cutoff=0.5)
    return f"; nearest there: {', '.join(near)}" if near else ""


def _read_json(path: Path, text: str) -> Spec:
    try:
        data = json.loads(text)
    except ValueError as error:  # JSONDecodeError, or an integer of thousands of digits
        problem, line = getattr(error, "msg", str(error)), getattr(error, "lineno", 1)
        raise _error_at(path, line, (), f"not valid JSON: {problem}") from None
    # JSON is YAML, tabs apart, with other rules for numbers: this pass finds lines and repeated keys. Not by libyaml,
    # which refuses the surrogate pairs of JSON's "\ud83d\ude00".
    return Spec(path, data, _read_yaml(path, text.replace("\t", " "), yaml.SafeLoader).lines)


def _read_yaml(path: Path, text: str, loader_kind: type[Any]) -> Spec:
    try:
        loader = loader_kind(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _explain_syntax(path, text, error) from None
    reader = _NodeReader(path, loader)
    data = reader.value(root, ()) if root is not None else None
    if not isinstance(data, dict):
        raise _error_at(path, reader.lines.get((), 1), (), f"{_describe(data)}; a spec is a mapping of keys to values")
    return Spec(path, data, reader.lines)


def _explain_syntax(path: Path, text: str, error: yaml.YAMLError) -> InputError:
    unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if unprintable is not None:
        line = text.count("\n", 0, unprintable.start()) + 1
        return _error_at(path, line, (), f"not valid YAML: character {unprintable[0]!r} is not allowed")
    source = text.splitlines()
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    # What is never closed is noticed at the end of the file; where it was opened is the line to look at.
    index = next((mark.line for mark in marks if mark is not None and mark.line < len(source)), 0)
    problem = "a tab; YAML is indented with spaces" if "\t" in source[index] else getattr(error, "problem", error)
    return _error_at(path, index + 1, (), f"not valid YAML: {problem}")


class _NodeReader:
    """Turns YAML nodes into plain values and notes the line of each key.

    PyYAML would do it too, but keeps the last of two equal keys, takes keys that are not text, and forgets the lines.
    """

    def __init__(self, path: Path, loader: Any) -> None:
        self.path = path
        self.loader = loader
        self.lines: dict[KeyPath, int] = {}

    def value(self, node: yaml.Node, at: KeyPath) -> object:
        self.lines.setdefault(at, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            raise self.error(node, at, f"tag {node.tag!r} is not allowed; write plain YAML")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        if node.tag == f"{_TAG}timestamp":
            return node.value  # a date stays the text it is in JSON
        try:
            plain: object = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):
            raise self.error(node, at, f"{node.value!r} cannot be read as {node.tag.removeprefix(_TAG)}") from None
        return plain

    def mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                data |= self.merged(value, at)
        own: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, at, "a key is text, not a list or a mapping")
            here = (*at, key.value)
            if key.tag != f"{_TAG}str":
                raise self.error(key, at, f"key {key.value!r} is not text; write it in quotes")
            if key.value in own:
                raise self.error(key, here, f"given twice; first on line {own[key.value]}")
            own[key.value] = self.lines[here] = key.start_mark.line + 1
            data[key.value] = self.value(value, here)
        return data

    def merged(self, node: yaml.Node, at: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        for base in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):  # the first one wins
            if not isinstance(base, yaml.MappingNode):
                raise self.error(base, at, "'<<' takes a mapping or a list of mappings")
            data |= self.mapping(base, at)
        return data

    def error(self, node: yaml.Node, at: KeyPath, what: str) -> InputError:
        return _error_at(self.path, node.start_mark.line + 1, at, what)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def spec_dataclass(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass that `build` fills strictly: no unknown keys, no conversions, no nan or inf.

    Building an instance directly checks nothing, so its fields may then hold arrays or symbols.
    """
    cls.__pydantic_config__ = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def build(spec: Spec, kind: type[T]) -> T:
    """Make a `spec_dataclass` of a spec. A ValueError from its ``__post_init__`` becomes an error of the spec.

    Raises:
        InputError: the first thing wrong in file order, and how many more there are.
    """
    try:
        # By way of JSON: only there does pydantic's strict mode take a list for a tuple, a mapping for a dataclass.
        built: T = _adapter(kind).validate_json(json.dumps(spec.data))  # type: ignore[arg-type]  # mypy: unhashable
    except ValidationError as error:
        raise _explain(spec, kind, error.errors(include_url=False)) from None
    return built


def _explain(spec: Spec, kind: type[Any], errors: list[ErrorDetails]) -> InputError:
    unknown = [error["loc"] for error in errors if error["type"] == "unexpected_keyword_argument"]
    misspelt = {(*loc[:-1], nearest(str(loc[-1]), _allowed_keys(kind, loc[:-1]))) for loc in unknown}
    by_place: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        if error["type"] != "missing" or error["loc"] not in misspelt:
            by_place.setdefault(_find_place(spec.data, error["loc"])[0], []).append(error)
    first, *others = sorted(by_place, key=spec.line_of)
    more = f" (and {len(others)} more)" if others else ""
    return spec.error(_word(spec, kind, first, by_place[first]) + more, first)


def _find_place(data: Any, loc: KeyPath) -> tuple[KeyPath, object]:
    """Return the part of a path that the file has (pydantic adds missing keys and union branches), and its value."""
    place: KeyPath = ()
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            continue
        place = (*place, part)
    return place, data


_NEEDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}


def _word(spec: Spec, kind: type[Any], at: KeyPath, errors: list[ErrorDetails]) -> str:
    """Say what is wrong with one key. It has several errors if several keys are missing in it or types are possible."""
    error, value = errors[0], _find_place(spec.data, at)[1]
    match error["type"]:
        case "unexpected_keyword_argument":
            return suggest("unknown key", str(at[-1]), _allowed_keys(kind, at[:-1]))
        case "missing":
            names = ", ".join(repr(each["loc"][-1]) for each in errors if each["type"] == "missing")
            return f"missing key{'s' if ',' in names else ''} {names}"
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error" | "enum":
            allowed = [option.strip("'") for option in re.split(", | or ", error["ctx"]["expected"])]
            return suggest(f"unknown value {reprlib.repr(value)}", str(value), allowed)
    needs = [_NEEDS[each["type"]] for each in errors if each["type"] in _NEEDS]
    if not needs:
        return error["msg"].replace("Input", reprlib.repr(value), 1)
    number = _write_number(value, whole="a number" not in needs) if " number" in "".join(needs) else None
    if number is not None:
        return f"{value!r} is text{'' if spec.path.suffix == '.json' else ' in YAML'}; write {number}"
    in_quotes = " (write it in quotes)" if needs == ["text"] and isinstance(value, int | float) else ""
    return f"{_describe(value)}; needs {' or '.join(dict.fromkeys(needs))}{in_quotes}"


def _describe(value: object) -> str:
    if value is None:
        return "is empty"
    if isinstance(value, list | dict):
        return "is a list" if isinstance(value, list) else "is a mapping"
    if isinstance(value, bool):
        return f"{str(value).lower()} is a boolean"
    return f"{reprlib.repr(value)} is {'text' if isinstance(value, str) else 'a number'}"


def _write_number(value: object, whole: bool) -> str | None:
    """Return how YAML 1.1 writes the number that a text looks like (1e12 as 1.0e+12), None if it looks like none."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return None
    mantissa, e, exponent = str(value).strip().lower().partition("e")
    if whole or not e:
        return f"{number:.0f}" if whole else mantissa
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+d}"


def _allowed_keys(kind: Any, at: KeyPath) -> list[str]:
    """Return the fields of the dataclass at a place, looking through containers and ``| None``."""
    if is_dataclass(kind):
        if not at:
            return [each.name for each in fields(kind) if each.init]
        return _allowed_keys(get_type_hints(kind).get(str(at[0])), at[1:])
    inside = [argument for argument in get_args(kind) if argument not in (type(None), ...)]
    is_union = get_origin(kind) in (Union, UnionType)
    return _allowed_keys(inside[-1], at if is_union else at[1:]) if inside else []


def check_target(path: Path) -> Path:
    """Return where a path leads, a link followed, where a file can be written there.

    Raises:
        InputError: the folder is missing, or ``path`` is no regular file.
    """
    target = path.resolve()  # what a link points at, not the link
    try:
        if not target.parent.is_dir():
            raise InputError(f"{path}: cannot be written: there is no folder {path.parent}")
        if target.exists() and not target.is_file():  # renaming over /dev/null would destroy it
            raise InputError(f"{path}: cannot be written: is not a regular file")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return target


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file entirely or not at all: into a temporary file beside it, then renamed.

    Raises:
        InputError: the folder is missing or not writable, the disk is full, or ``path`` is no regular file.
    """
    target = check_target(path)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
